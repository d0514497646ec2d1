//! The modules of the runtime import downwards only, in the order that ARCHITECTURE.md states.
//!
//! Every `crate::…` and `super::…` path of every source file is held to that order, in `use` items, in expressions and
//! inside macro calls. A module may import itself, its children, and its siblings and their children further down.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/dspinlock-runtime/src");
const ARCHITECTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ARCHITECTURE.md");

/// The names of a module, outermost first. The crate root has none.
type Module = Vec<String>;

/// The children of each folder, top first. Modules of one layer stand side by side and do not import each other.
type Layers = BTreeMap<Module, Vec<Vec<String>>>;

#[test]
fn imports_go_downwards_only() {
    let (layers, files) = (stated_layers(), source_files());
    let mut violations = String::new();
    for (module, file) in &files {
        for import in imports(module, file) {
            if let Some(reason) = violation(&layers, &files, module, &import.target) {
                let file = file.strip_prefix(SOURCES).expect("below the sources");
                let target = import.target.join("::");
                writeln!(
                    violations,
                    "{}:{}: `{target}` {reason}",
                    file.display(),
                    import.line
                )
                .unwrap();
            }
        }
    }
    assert!(violations.is_empty(), "\n{violations}");
}

#[test]
fn every_module_stands_in_the_stated_order_and_every_stated_module_exists() {
    let (layers, files) = (stated_layers(), source_files());
    let stated: Vec<Module> = layers
        .iter()
        .flat_map(|(folder, layers)| layers.iter().flatten().map(|name| child(folder, name)))
        .collect();
    for module in files.keys().filter(|module| !module.is_empty()) {
        assert!(
            stated.contains(module),
            "ARCHITECTURE.md does not list `{}`",
            module.join("::")
        );
    }
    for module in stated {
        let file = files.get(&module).unwrap_or_else(|| {
            panic!(
                "ARCHITECTURE.md lists `{}`, which does not exist",
                module.join("::")
            )
        });
        assert!(!tokens(file).is_empty(), "{} is empty", file.display());
    }
}

#[test]
fn the_top_of_the_runtime_has_at_most_fifteen_modules() {
    let top = source_files().keys().filter(|module| module.len() == 1).count();
    assert!(top <= 15, "{top} modules");
}

/// The standard clock does not count the time of a suspended machine.
#[test]
fn every_module_reads_the_clock_of_the_runtime() {
    let mut files = source_files();
    files.remove(&["rt".to_owned(), "clock".into()][..]);
    assert!(files.len() > 50, "{} files", files.len());
    for file in files.values() {
        let text = std::fs::read_to_string(file).expect("a source file");
        let reads = |line: &&str| line.contains("std::time::") && line.contains("Instant");
        assert_eq!(text.lines().find(reads), None, "{}", file.display());
    }
}

#[test]
fn an_upward_import_is_found_wherever_it_stands() {
    let (layers, files) = (stated_layers(), source_files());
    let module: Module = vec!["protocol".into(), "record".into()];
    for source in [
        "use crate::engine::enter;",
        "use crate::{key::Key, engine::{self, enter}};",
        "fn f() { crate::engine::enter() }",
        "fn f() { tokio::select! { () = crate::engine::enter() => {} } }",
        "use super::super::engine::enter;",
        "mod tests { use super::super::super::engine; }",
        "use crate::Error;",
        "use super::step;",
    ] {
        let mut found = Vec::new();
        scan(source.parse().expect("Rust"), &module, &mut found);
        assert!(
            found
                .iter()
                .any(|import| violation(&layers, &files, &module, &import.target).is_some()),
            "{source}"
        );
    }
    let mut found = Vec::new();
    let source = "use crate::key::Key; use super::header; mod tests { use super::*; }";
    scan(source.parse().expect("Rust"), &module, &mut found);
    assert_eq!(found.len(), 3);
}

/// Why `module` may not import `target`, if it may not.
fn violation(
    layers: &Layers,
    files: &BTreeMap<Module, PathBuf>,
    module: &Module,
    target: &Module,
) -> Option<&'static str> {
    let known = (0..=target.len())
        .rev()
        .map(|len| target[..len].to_vec())
        .find(|prefix| files.contains_key(prefix))?;
    if known == *module || known.starts_with(module) {
        return None;
    }
    if module.starts_with(&known) {
        return Some("is an item of a parent module, which stands above its children");
    }
    let common = module
        .iter()
        .zip(&known)
        .take_while(|(own, other)| own == other)
        .count();
    let folder = layers.get(&module[..common])?;
    let layer = |name: &String| folder.iter().position(|layer| layer.contains(name));
    match (layer(&module[common]), layer(&known[common])) {
        (Some(own), Some(other)) if own < other => None,
        (Some(own), Some(other)) if own == other => Some("stands in the same layer"),
        _ => Some("stands in a higher layer"),
    }
}

/// The code block `layers` of ARCHITECTURE.md: `folder: top > middle, beside > bottom`, each folder on a line.
fn stated_layers() -> Layers {
    let text = std::fs::read_to_string(ARCHITECTURE).expect("ARCHITECTURE.md");
    let (_, block) = text.split_once("```layers\n").expect("a code block `layers`");
    let (block, _) = block.split_once("```").expect("the end of the block");
    let names = |layer: &str| layer.split(',').map(|name| name.trim().to_owned()).collect();
    let lines = block.lines().filter(|line| !line.is_empty()).map(|line| {
        let (folder, layers) = line.split_once(':').expect("folder: layers");
        let folder = match folder.trim() {
            "src" => Module::new(),
            folder => folder.split('/').map(str::to_owned).collect(),
        };
        (folder, layers.split('>').map(names).collect())
    });
    lines.collect()
}

/// Every source file by its module, without files of tests.
fn source_files() -> BTreeMap<Module, PathBuf> {
    let mut files = BTreeMap::from([(Module::new(), Path::new(SOURCES).join("lib.rs"))]);
    collect(Path::new(SOURCES), &Module::new(), &mut files);
    files
}

fn collect(folder: &Path, module: &Module, files: &mut BTreeMap<Module, PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("UTF-8");
        if matches!(name, "lib" | "tests") {
            continue;
        }
        let module = child(module, name);
        if path.is_dir() {
            collect(&path, &module, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.insert(module, path);
        }
    }
}

fn child(module: &Module, name: &str) -> Module {
    let mut child = module.clone();
    child.push(name.to_owned());
    child
}

struct Import {
    target: Module,
    line: usize,
}

fn imports(module: &Module, file: &Path) -> Vec<Import> {
    let mut imports = Vec::new();
    scan(tokens(file), module, &mut imports);
    imports
}

fn tokens(file: &Path) -> TokenStream {
    let text = std::fs::read_to_string(file).expect("a source file");
    text.parse()
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Collects the `crate::…` and `super::…` paths among `tokens`, which stand in `module`.
fn scan(tokens: TokenStream, module: &Module, imports: &mut Vec<Import>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < tokens.len() {
        match &tokens[at] {
            TokenTree::Ident(ident) if *ident == "crate" || *ident == "super" => {
                let (mut target, mut next) = (module.clone(), at);
                if *ident == "crate" {
                    target.clear();
                    next += 1;
                } else {
                    while is_ident(tokens.get(next), "super") && is_separator(&tokens, next + 1) {
                        target.pop();
                        next += 3;
                    }
                    // Back to the separator behind the last `super`. `pub(super)` has none.
                    next = if next == at { at + 1 } else { next - 2 };
                }
                if is_separator(&tokens, next) {
                    tree(&tokens, next + 2, target, ident.span().start().line, imports);
                }
                at = next.max(at + 1);
            }
            // A `super` in an inline module, such as `mod tests { … }`, is the file's own module.
            TokenTree::Ident(ident) if *ident == "mod" => match (tokens.get(at + 1), tokens.get(at + 2)) {
                (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body)))
                    if body.delimiter() == Delimiter::Brace =>
                {
                    scan(body.stream(), &child(module, &name.to_string()), imports);
                    at += 3;
                }
                _ => at += 1,
            },
            TokenTree::Group(group) => {
                scan(group.stream(), module, imports);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

/// The leaves of a path that goes on at `at`, behind a `::`.
fn tree(tokens: &[TokenTree], at: usize, mut target: Module, line: usize, imports: &mut Vec<Import>) {
    match tokens.get(at) {
        Some(TokenTree::Ident(name)) if *name == "self" => imports.push(Import { target, line }),
        Some(TokenTree::Ident(name)) => {
            target.push(name.to_string());
            if is_separator(tokens, at + 1) {
                tree(tokens, at + 3, target, line, imports);
            } else {
                imports.push(Import { target, line });
            }
        }
        Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
            let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
            for branch in tokens.split(is_comma) {
                tree(branch, 0, target.clone(), line, imports);
            }
        }
        // `*`, or the generic arguments of a path in an expression.
        _ => imports.push(Import { target, line }),
    }
}

fn is_comma(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',')
}

fn is_ident(token: Option<&TokenTree>, name: &str) -> bool {
    matches!(token, Some(TokenTree::Ident(ident)) if *ident == name)
}

fn is_separator(tokens: &[TokenTree], at: usize) -> bool {
    let is_colon =
        |token: Option<&TokenTree>| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    is_colon(tokens.get(at)) && is_colon(tokens.get(at + 1))
}

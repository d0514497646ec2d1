//! Refuses a part of the key or of `validate` whose order differs between processes, if the type of the argument shows it.

use proc_macro2::Ident;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Expr, FnArg, Macro, PathSegment, Token, Type, UnOp};

use super::key::mentions;
use crate::errors::Errors;
use crate::model::LockedFn;
use crate::parse::Arg;

pub(crate) fn validate(function: &LockedFn, errors: &mut Errors) {
    let inputs = function.sig.inputs.iter();
    let types = inputs.filter_map(|input| match input {
        FnArg::Typed(typed) => Some(&typed.ty),
        FnArg::Receiver(_) => None,
    });
    for (parameter, ty) in function.parameters.iter().zip(types) {
        let mut names = parameter.names.iter();
        let Some((name, form)) = names.find_map(|name| Some((name, form(function, name)?))) else {
            continue;
        };
        let (argument, word) = argument(function, name);
        let mut unordered = Unordered::default();
        unordered.visit_type(ty);
        if let Some(collection) = unordered.set {
            let sorted = match sorted(ty, collection, name) {
                Some(sorted) => format!(", or `{argument} = {sorted}`"),
                None => String::new(),
            };
            let message = format_args!(
                "a `{collection}` has another order, and so another {word}, in every process: use a `BTreeSet`{sorted}"
            );
            errors.add(collection, message);
        } else if let (Form::Text, Some(collection)) = (form, unordered.map) {
            let message = format_args!(
                "the text of a `{collection}` has another order, and so another {word}, in every process: use a `BTreeMap`, or \
                 `{argument} = {name}`, which sorts the entries"
            );
            errors.add(collection, message);
        }
    }
}

/// The part of the key that sorts the argument, if the argument itself is the collection.
fn sorted(ty: &Type, collection: &Ident, name: &Ident) -> Option<String> {
    let (target, is_reference) = match ty {
        Type::Reference(reference) => (&*reference.elem, true),
        ty => (ty, false),
    };
    let Type::Path(path) = target else { return None };
    let is_collection = path
        .path
        .segments
        .last()
        .is_some_and(|last| last.ident == *collection);
    is_collection.then(|| match is_reference {
        true => format!("dspinlock::sorted({name})"),
        false => format!("dspinlock::sorted(&{name})"),
    })
}

/// How an argument is a part of the key.
enum Form {
    /// Serialized: the entries of a map are sorted.
    Value,
    /// In a hole of a format string: the entries of a map are not sorted.
    Text,
}

/// `None` if neither the argument itself nor its text is a part of the key. An expression may bring it into an order.
fn form(function: &LockedFn, name: &Ident) -> Option<Form> {
    let Some(key) = &function.args.key else {
        return (!function.skips(name)).then_some(Form::Value);
    };
    let validated = function.args.validate.iter().flat_map(|validate| &validate.value);
    let mut parts = key.value.iter().chain(validated);
    if parts.clone().any(|part| is_text(part, name)) {
        return Some(Form::Text);
    }
    parts.any(|part| is_value(part, name)).then_some(Form::Value)
}

/// Which argument of the attribute uses the argument of the function, and a word for its value.
fn argument(function: &LockedFn, name: &Ident) -> (&'static str, &'static str) {
    let uses = |arg: &Option<Arg<Vec<Expr>>>| {
        let mut parts = arg.iter().flat_map(|arg| &arg.value);
        parts.any(|part| mentions(part, name))
    };
    match uses(&function.args.validate) && !uses(&function.args.key) {
        true => ("validate", "check"),
        false => ("key", "key"),
    }
}

/// Whether the part is a format string with the argument in a hole, or a text that `format!` makes of the argument.
fn is_text(part: &Expr, name: &Ident) -> bool {
    match part {
        Expr::Lit(_) => mentions(part, name),
        Expr::Reference(reference) => is_text(&reference.expr, name),
        Expr::Paren(paren) => is_text(&paren.expr, name),
        Expr::Group(group) => is_text(&group.expr, name),
        Expr::MethodCall(call) => is_text(&call.receiver, name),
        Expr::Tuple(tuple) => tuple.elems.iter().any(|part| is_text(part, name)),
        Expr::Macro(part) => formats(&part.mac, name),
        _ => false,
    }
}

fn formats(mac: &Macro, name: &Ident) -> bool {
    let is_format = mac
        .path
        .segments
        .last()
        .is_some_and(|last| last.ident == "format" || last.ident == "format_args");
    let arguments = mac.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated);
    let formats = |argument: &Expr| match argument {
        Expr::Assign(named) => is_value(&named.right, name),
        argument => is_text(argument, name) || is_value(argument, name),
    };
    is_format && arguments.is_ok_and(|arguments| arguments.iter().any(formats))
}

/// Whether the part is the argument, a copy of it, or a tuple with one of them.
fn is_value(part: &Expr, name: &Ident) -> bool {
    match part {
        Expr::Path(path) => path.path.is_ident(name),
        Expr::Reference(reference) => is_value(&reference.expr, name),
        Expr::Paren(paren) => is_value(&paren.expr, name),
        Expr::Group(group) => is_value(&group.expr, name),
        Expr::Unary(unary) => matches!(unary.op, UnOp::Deref(_)) && is_value(&unary.expr, name),
        Expr::MethodCall(call) => {
            (call.method == "clone" || call.method == "to_owned") && is_value(&call.receiver, name)
        }
        Expr::Tuple(tuple) => tuple.elems.iter().any(|part| is_value(part, name)),
        _ => false,
    }
}

/// The first collections without an order in a type.
#[derive(Default)]
struct Unordered<'ast> {
    set: Option<&'ast Ident>,
    map: Option<&'ast Ident>,
}

impl<'ast> Visit<'ast> for Unordered<'ast> {
    fn visit_path_segment(&mut self, segment: &'ast PathSegment) {
        let name = segment.ident.to_string();
        if name.ends_with("HashSet") || name == "DashSet" || name == "BinaryHeap" {
            self.set.get_or_insert(&segment.ident);
        }
        if name.ends_with("HashMap") || name == "DashMap" {
            self.map.get_or_insert(&segment.ident);
        }
        visit::visit_path_segment(self, segment);
    }
}

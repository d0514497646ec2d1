//! Refuses a closure of `ttl` or `err_ttl` that uses an argument of the function. It does not see into macros.

use std::collections::HashSet;

use proc_macro2::Ident;
use syn::visit::{self, Visit};
use syn::{ExprPath, PatIdent};

use crate::errors::Errors;
use crate::model::LockedFn;

/// The compiler would say that a function pointer was expected, twice.
pub(crate) fn validate(function: &LockedFn, errors: &mut Errors) {
    for arg in [&function.args.ttl, &function.args.err_ttl].into_iter().flatten() {
        let Some(closure) = arg.value.closure() else {
            continue;
        };
        let mut names = Names::default();
        names.visit_expr(closure);
        let is_captured = |name: &&&Ident| {
            !names.bound.contains(**name) && (function.names().any(|it| it == **name) || **name == "self")
        };
        if let Some(captured) = names.used.iter().find(is_captured) {
            let message = format_args!(
                "the closure of `{}` cannot use `{captured}`, because it runs after the body and receives only the \
                 result: return what it needs from the function",
                arg.name
            );
            errors.add(captured, message);
        }
    }
}

/// The names in an expression.
#[derive(Default)]
struct Names<'ast> {
    /// The names that a pattern of the expression binds.
    bound: HashSet<&'ast Ident>,
    used: Vec<&'ast Ident>,
}

impl<'ast> Visit<'ast> for Names<'ast> {
    fn visit_pat_ident(&mut self, pattern: &'ast PatIdent) {
        self.bound.insert(&pattern.ident);
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_expr_path(&mut self, path: &'ast ExprPath) {
        self.used.extend(path.path.get_ident());
    }
}

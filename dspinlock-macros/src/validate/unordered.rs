//! Refuses a part of the key whose order differs between processes, if the type of the argument shows it.

use proc_macro2::Ident;
use syn::visit::{self, Visit};
use syn::{Expr, FnArg, PathSegment};

use crate::errors::Errors;
use crate::model::LockedFn;

pub(crate) fn validate(function: &LockedFn, errors: &mut Errors) {
    let inputs = function.sig.inputs.iter();
    let types = inputs.filter_map(|input| match input {
        FnArg::Typed(typed) => Some(&typed.ty),
        FnArg::Receiver(_) => None,
    });
    for (parameter, ty) in function.parameters.iter().zip(types) {
        let Some(name) = parameter.names.iter().find(|name| is_part(function, name)) else {
            continue;
        };
        let mut unordered = Unordered(None);
        unordered.visit_type(ty);
        if let Some(collection) = unordered.0 {
            let message = format_args!(
                "a `{collection}` has another order, and so another key, in every process: use a `BTreeSet`, or \
                 `key = dspinlock::sorted(&{name})`"
            );
            errors.add(collection, message);
        }
    }
}

/// Whether the argument itself is a part of the key. An expression may bring it into an order.
fn is_part(function: &LockedFn, name: &Ident) -> bool {
    match &function.args.key {
        Some(key) => key.value.iter().any(|part| is_name(part, name)),
        None => !function.skips(name),
    }
}

fn is_name(part: &Expr, name: &Ident) -> bool {
    match part {
        Expr::Path(path) => path.path.is_ident(name),
        Expr::Reference(reference) => is_name(&reference.expr, name),
        Expr::Paren(paren) => is_name(&paren.expr, name),
        _ => false,
    }
}

/// The first collection without an order in a type.
struct Unordered<'ast>(Option<&'ast Ident>);

impl<'ast> Visit<'ast> for Unordered<'ast> {
    fn visit_path_segment(&mut self, segment: &'ast PathSegment) {
        let name = segment.ident.to_string();
        if self.0.is_none() && (name.ends_with("HashSet") || name == "DashSet" || name == "BinaryHeap") {
            self.0 = Some(&segment.ident);
        }
        visit::visit_path_segment(self, segment);
    }
}

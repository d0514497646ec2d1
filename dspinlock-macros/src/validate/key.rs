//! Refuses a function if it is unclear which of its arguments are parts of the key.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Expr, ExprLit, FnArg, Lit, LitStr};

use crate::errors::Errors;
use crate::model::LockedFn;
use crate::parse;

/// Runs after every other check.
pub(crate) fn validate(function: &LockedFn, errors: &mut Errors) {
    for check in [
        skip_is_known,
        skip_is_unique,
        skip_has_no_key,
        key_depends_on_arguments,
        holes_name_arguments,
    ] {
        check(function, errors);
    }
    // After another error, a `key` or `skip` that seems to be missing may be in an argument that could not be read.
    if function.args.key.is_none() && errors.is_empty() {
        for check in [
            receiver_has_key,
            parts_have_names,
            cfg_has_key,
            cached_arguments_are_not_changed,
        ] {
            check(function, errors);
        }
    }
}

fn skip_is_known(function: &LockedFn, errors: &mut Errors) {
    for skipped in function.skipped() {
        if skipped == "self" {
            if function.sig.receiver().is_none() {
                errors.add(
                    skipped,
                    "cannot skip `self`, because the function has no receiver: remove it",
                );
            }
        } else if !is_argument(function, skipped) && function.generics().all(|(_, name)| name != skipped) {
            let message = format_args!(
                "cannot skip `{skipped}`, because no argument or generic parameter has this name: \
                 correct or remove it"
            );
            errors.add(skipped, message);
        }
    }
}

fn is_argument(function: &LockedFn, name: &Ident) -> bool {
    function.names().any(|argument| argument == name)
}

fn skip_is_unique(function: &LockedFn, errors: &mut Errors) {
    for (position, skipped) in function.skipped().enumerate() {
        if function
            .skipped()
            .take(position)
            .any(|earlier| earlier == skipped)
        {
            errors.add(skipped, format_args!("`{skipped}` is skipped twice: remove one"));
        }
    }
}

fn skip_has_no_key(function: &LockedFn, errors: &mut Errors) {
    if function.args.key.is_none() {
        return;
    }
    for skipped in function.skipped() {
        if skipped == "self" || is_argument(function, skipped) {
            let message = format_args!(
                "cannot skip `{skipped}`, because `key` already lists all parts of the key: remove it"
            );
            errors.add(skipped, message);
        }
    }
}

/// A text that was meant as an argument would give every call the same key, and so another call's result.
fn key_depends_on_arguments(function: &LockedFn, errors: &mut Errors) {
    let Some(key) = &function.args.key else {
        return;
    };
    let parts = &key.value;
    for text in parts.iter().filter_map(constant_text) {
        let is_meant = |argument: &&Ident| {
            *argument == &text.value() && !parts.iter().any(|part| mentions(part, argument))
        };
        if let Some(argument) = function.names().find(is_meant) {
            let message = format_args!(
                "this is a text, not the argument `{argument}`: write `{argument}` without quotes"
            );
            return errors.add(text, message);
        }
    }
    // A shared key has no other name than its literal.
    let is_constant = !parts.is_empty() && parts.iter().all(is_constant) && !function.args.is_shared();
    if let (true, Some(argument)) = (is_constant, function.names().next()) {
        let message = format_args!(
            "this key is the same for every call: use the arguments, as in `key = {argument}`, or write `key = ()` if one key \
             is meant"
        );
        errors.add(quote!(#(#parts),*), message);
    }
}

/// The compiler would suggest another key without the text. A name in capitals may be a constant.
fn holes_name_arguments(function: &LockedFn, errors: &mut Errors) {
    let is_unknown = |argument: &str| {
        parse::is_name(argument)
            && argument.starts_with(char::is_lowercase)
            && argument != "self"
            && function.names().all(|name| name.unraw() != argument)
            && function.generics().all(|(_, name)| name != argument)
    };
    for part in function.args.key.iter().flat_map(|key| &key.value) {
        let Expr::Lit(ExprLit {
            lit: Lit::Str(text), ..
        }) = part
        else {
            continue;
        };
        let format = text.value();
        let mut arguments = parse::holes(&format).into_iter().map(parse::argument);
        if let Some(unknown) = arguments.find(|argument| is_unknown(argument)) {
            errors.add(text, no_argument(function, unknown));
        }
    }
}

/// The error for a hole with an unknown name.
pub(super) fn no_argument(function: &LockedFn, unknown: &str) -> String {
    let names: Vec<String> = function.names().map(|name| name.unraw().to_string()).collect();
    let known = match &names[..] {
        [] => "the function has no arguments".to_owned(),
        [one] => format!("write `{one}`"),
        several => format!("the arguments are `{}`", several.join("`, `")),
    };
    format!("no argument has the name `{unknown}`: {known}")
}

/// Whether the part uses the argument, also in a hole of a format string.
pub(super) fn mentions(part: &Expr, argument: &Ident) -> bool {
    fn any(tokens: TokenStream, argument: &Ident) -> bool {
        tokens.into_iter().any(|token| match token {
            TokenTree::Ident(word) => word == *argument,
            TokenTree::Group(group) => any(group.stream(), argument),
            _ => false,
        })
    }
    match part {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text), ..
        }) => parse::holes(&text.value())
            .into_iter()
            .any(|hole| argument == parse::argument(hole)),
        part => any(part.to_token_stream(), argument),
    }
}

fn is_constant(part: &Expr) -> bool {
    match part {
        Expr::Lit(ExprLit { lit: Lit::Str(_), .. }) => constant_text(part).is_some(),
        part => matches!(part, Expr::Lit(_)),
    }
}

/// The text of a string literal without holes.
fn constant_text(part: &Expr) -> Option<&LitStr> {
    match part {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text), ..
        }) if parse::holes(&text.value()).is_empty() => Some(text),
        _ => None,
    }
}

fn receiver_has_key(function: &LockedFn, errors: &mut Errors) {
    let mut inputs = function.sig.inputs.iter();
    let receiver = inputs.find(|input| matches!(input, FnArg::Receiver(_)));
    let is_skipped = function.skipped().any(|skipped| skipped == "self");
    if let (Some(receiver), false) = (receiver, is_skipped) {
        let message = "`self` is not part of the key: list what identifies it with `key = (self.id, ...)`, \
                       or ignore it with `skip(self)`";
        errors.add(receiver, message);
    }
}

fn parts_have_names(function: &LockedFn, errors: &mut Errors) {
    for part in function.parameters.iter().filter_map(|it| it.unnamed.as_ref()) {
        let message = "a value without a name cannot be part of the key: name it (and `skip` it if needed), \
                       or set `key = ...`";
        errors.add(part, message);
    }
}

fn cfg_has_key(function: &LockedFn, errors: &mut Errors) {
    for parameter in &function.parameters {
        if let Some(cfg) = &parameter.cfg
            && !parameter.names.iter().all(|name| function.skips(name))
        {
            let message =
                "an argument behind `#[cfg]` cannot be part of the key: `skip` it, or set `key = ...`";
            errors.add(cfg, message);
        }
    }
}

fn cached_arguments_are_not_changed(function: &LockedFn, errors: &mut Errors) {
    if !function.is_cached() {
        return;
    }
    for parameter in &function.parameters {
        if let Some(reference) = &parameter.mutable
            && !parameter.names.iter().all(|name| function.skips(name))
        {
            let message = "a cached call does not run the body, which may change this argument: \
                           return the change, or `skip` the argument";
            errors.add(reference, message);
        }
    }
}

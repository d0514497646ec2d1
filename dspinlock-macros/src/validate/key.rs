//! Refuses a function if it is unclear which of its arguments are parts of the key.

use proc_macro2::Ident;
use syn::FnArg;

use crate::errors::Errors;
use crate::model::LockedFn;

/// Runs after every other check.
pub(crate) fn validate(function: &LockedFn, errors: &mut Errors) {
    for check in [skip_is_known, skip_is_unique, skip_has_no_key] {
        check(function, errors);
    }
    // After another error, a `key` or `skip` that seems to be missing may be in an argument that could not be read.
    if function.args.key.is_none() && errors.is_empty() {
        for check in [receiver_has_key, parts_have_names, cfg_has_key] {
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

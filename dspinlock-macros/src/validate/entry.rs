//! Refuses an `entry` that cannot be generated, and a `label` of something else than arguments.

use syn::ext::IdentExt;

use super::key::no_argument;
use crate::errors::Errors;
use crate::model::{Form, LockedFn};
use crate::parse;

pub(crate) fn validate(function: &LockedFn, errors: &mut Errors) {
    has_its_own_name(function, errors);
    is_beside_a_function(function, errors);
    label_has_arguments(function, errors);
}

fn has_its_own_name(function: &LockedFn, errors: &mut Errors) {
    if let Some(entry) = &function.args.entry
        && entry.value == function.sig.ident
    {
        let message = format_args!(
            "the name is taken by the function: write `entry = {}_entry`",
            entry.value
        );
        errors.add(&entry.value, message);
    }
}

fn is_beside_a_function(function: &LockedFn, errors: &mut Errors) {
    if let (Some(entry), Form::AsyncTrait { .. }) = (&function.args.entry, &function.form) {
        let message = "the trait has no such method: give the function a `name`, and use `Entry::of`";
        errors.add(&entry.value, message);
    }
}

fn label_has_arguments(function: &LockedFn, errors: &mut Errors) {
    let Some(label) = &function.args.label else { return };
    let text = label.value.value();
    let is_known = |argument: &str| match argument {
        "self" => function.sig.receiver().is_some(),
        argument => function.names().any(|name| name.unraw() == argument),
    };
    let arguments = parse::holes(&text).into_iter().map(parse::argument);
    if let Some(unknown) = arguments.filter(|it| parse::is_name(it)).find(|it| !is_known(it)) {
        errors.add(&label.value, no_argument(function, unknown));
    }
}

//! Refuses an argument of the function that is a number as a duration. It sees the type of an argument, but not of another
//! expression.

use proc_macro2::Ident;
use syn::{Expr, FnArg, Pat, Type};

use crate::errors::Errors;
use crate::model::LockedFn;
use crate::parse::{Setting, Wait};

/// The compiler would say which type it expects, but not how to make it.
pub(crate) fn validate(function: &LockedFn, errors: &mut Errors) {
    let args = &function.args;
    let wait = args.wait.iter().filter_map(|wait| match &wait.value {
        Wait::AtMost(setting) => Some((&wait.name, setting)),
        Wait::Forever => None,
    });
    let durations = [
        &args.near_cache,
        &args.ttl,
        &args.err_ttl,
        &args.lease,
        &args.spinlock_sleep_thresh,
        &args.max_block_time,
    ];
    let durations = durations.into_iter().flatten();
    for (name, setting) in durations.map(|arg| (&arg.name, &arg.value)).chain(wait) {
        if let Setting::PerCall(Expr::Path(path)) = setting
            && let Some(argument) = path.path.get_ident()
            && let Some(constructor) = constructor(function, argument)
        {
            let message = format_args!(
                "`{argument}` is a number, not a duration: write \
                 `{name} = std::time::Duration::{constructor}({argument})`"
            );
            errors.add(path, message);
        }
    }
}

/// What makes a duration of an argument, if the argument is a number.
fn constructor(function: &LockedFn, argument: &Ident) -> Option<&'static str> {
    let ty = function.sig.inputs.iter().find_map(|input| match input {
        FnArg::Typed(typed) => match &*typed.pat {
            Pat::Ident(pattern) if pattern.ident == *argument => Some(&*typed.ty),
            _ => None,
        },
        FnArg::Receiver(_) => None,
    });
    let Some(Type::Path(ty)) = ty else { return None };
    match ty.path.get_ident()?.to_string().as_str() {
        "f32" | "f64" => Some("from_secs_f64"),
        "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => Some("from_secs"),
        _ => None,
    }
}

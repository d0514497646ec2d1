//! Every rejection, one function each; all mistakes are reported at once.
//!
//! What a type can or cannot do is not known here: the traits of the run-time crate reject it, with the same care.

use std::time::Duration;

use syn::visit::{self, Visit};
use syn::{
    FnArg, GenericArgument, LitStr, PathArguments, Safety, Type, TypeImplTrait, TypePath, TypeReference,
};

use crate::args::{Given, Length};
use crate::fallback::Mistakes;
use crate::model::{Form, Guarded, is_boxed_future};

/// Notes all that is wrong with a function or with its arguments.
pub(crate) fn check(guarded: &Guarded, mistakes: &mut Mistakes) {
    for reject in [
        no_unsafe,
        no_const,
        no_extern,
        no_variadic,
        no_impl_trait,
        no_never,
        no_boxed_future,
    ] {
        reject(guarded, mistakes);
    }
    for reject in [
        known_skips,
        skip_without_key,
        one_error_way,
        one_patience,
        no_zero,
        lease_fits,
        clean_prefix,
    ] {
        reject(guarded, mistakes);
    }
    owned_value(guarded, mistakes);
    // What is missing may be in an argument that could not be read.
    if guarded.args.key.is_none() && mistakes.is_empty() {
        for reject in [receiver_needs_key, parts_need_names, cfg_needs_key] {
            reject(guarded, mistakes);
        }
    }
}

fn no_unsafe(guarded: &Guarded, mistakes: &mut Mistakes) {
    if let Safety::Unsafe(token) = guarded.sig.safety {
        let sentence = "a locked function cannot be `unsafe`: lock a safe function that calls it";
        mistakes.add(token, sentence);
    }
}

fn no_const(guarded: &Guarded, mistakes: &mut Mistakes) {
    if let Some(token) = guarded.sig.constness {
        mistakes.add(
            token,
            "a locked function cannot be `const`: a lock is taken at run time",
        );
    }
}

fn no_extern(guarded: &Guarded, mistakes: &mut Mistakes) {
    if let Some(abi) = &guarded.sig.abi {
        let sentence = "a locked function cannot be `extern`: lock a Rust function that calls it";
        mistakes.add(abi, sentence);
    }
}

fn no_variadic(guarded: &Guarded, mistakes: &mut Mistakes) {
    if let Some(variadic) = &guarded.sig.variadic {
        mistakes.add(
            variadic,
            "a locked function cannot be variadic: its key is made of known arguments",
        );
    }
}

fn no_impl_trait(guarded: &Guarded, mistakes: &mut Mistakes) {
    struct Find<'a>(&'a mut Mistakes);
    impl<'ast> Visit<'ast> for Find<'_> {
        fn visit_type_impl_trait(&mut self, ty: &'ast TypeImplTrait) {
            let sentence = "a locked function cannot return `impl Trait`: name the type that it returns";
            self.0.add(ty, sentence);
        }
    }
    Find(mistakes).visit_type(&guarded.output);
}

fn no_never(guarded: &Guarded, mistakes: &mut Mistakes) {
    if matches!(guarded.output, Type::Never(_)) {
        let sentence = "a locked function must return: `()` in the place of `!` would do";
        mistakes.add(&guarded.output, sentence);
    }
}

fn no_boxed_future(guarded: &Guarded, mistakes: &mut Mistakes) {
    if matches!(guarded.form, Form::Sync) && is_boxed_future(&guarded.output) {
        let sentence = "the lock would end before the future begins: make this an `async fn`";
        mistakes.add(&guarded.output, sentence);
    }
}

fn known_skips(guarded: &Guarded, mistakes: &mut Mistakes) {
    let skips = guarded.args.skip.iter().flat_map(|skip| &skip.value);
    for (position, skipped) in skips.clone().enumerate() {
        let is_known = match skipped == "self" {
            true => guarded.sig.receiver().is_some(),
            false => is_argument(guarded, skipped) || guarded.generics().any(|(_, name)| name == skipped),
        };
        if !is_known {
            let sentence = format_args!("there is no argument `{skipped}` to skip");
            mistakes.add(skipped, sentence);
        }
        if skips.clone().take(position).any(|earlier| earlier == skipped) {
            mistakes.add(skipped, format_args!("`{skipped}` is skipped twice: keep one"));
        }
    }
}

fn is_argument(guarded: &Guarded, name: &syn::Ident) -> bool {
    guarded
        .arguments
        .iter()
        .flat_map(|argument| &argument.names)
        .any(|known| known == name)
}

fn skip_without_key(guarded: &Guarded, mistakes: &mut Mistakes) {
    if guarded.args.key.is_none() {
        return;
    }
    for skipped in guarded.args.skip.iter().flat_map(|skip| &skip.value) {
        if skipped == "self" || is_argument(guarded, skipped) {
            let sentence =
                format_args!("`key` alone says which arguments count: do not skip `{skipped}` as well");
            mistakes.add(skipped, sentence);
        }
    }
}

fn one_error_way(guarded: &Guarded, mistakes: &mut Mistakes) {
    if let (Some(_), Some(on_error)) = (&guarded.args.map_err, &guarded.args.on_error) {
        let sentence = "`map_err` returns lock errors and `on_error` does not: keep one of them";
        mistakes.add(&on_error.name, sentence);
    }
}

fn one_patience(guarded: &Guarded, mistakes: &mut Mistakes) {
    if let (Some(wait), Some(_)) = (&guarded.args.wait, &guarded.args.max_spinlock_tries) {
        let sentence = "`wait` stands in the place of `max_spinlock_tries`: keep one of them";
        mistakes.add(&wait.name, sentence);
    }
}

fn no_zero(guarded: &Guarded, mistakes: &mut Mistakes) {
    let args = &guarded.args;
    for given in [
        &args.ttl,
        &args.lease,
        &args.spinlock_sleep_thresh,
        &args.max_block_time,
    ]
    .into_iter()
    .flatten()
    {
        if let Some((Duration::ZERO, text)) = fixed(given) {
            mistakes.add(text, format_args!("`{}` must be longer than zero", given.name));
        }
    }
}

/// The shortest lease: a third of it must leave time for a round trip.
const MIN_LEASE: Duration = Duration::from_millis(100);

/// The default of `max_block_time`.
const MAX_BLOCK_TIME: Duration = Duration::from_secs(30 * 60);

fn lease_fits(guarded: &Guarded, mistakes: &mut Mistakes) {
    let Some((lease, text)) = guarded.args.lease.as_ref().and_then(fixed) else {
        return;
    };
    if !lease.is_zero() && lease < MIN_LEASE {
        mistakes.add(
            text,
            "a lease must be at least 100ms long, or it lapses between two heartbeats",
        );
    }
    let most = match &guarded.args.max_block_time {
        Some(given) => fixed(given).map(|(most, _)| most),
        None => Some(MAX_BLOCK_TIME),
    };
    if most.is_some_and(|most| !most.is_zero() && lease > most) {
        mistakes.add(
            text,
            "a lease must not be longer than `max_block_time`, which is \"30m\" by default",
        );
    }
}

fn fixed(given: &Given<Length>) -> Option<(Duration, &LitStr)> {
    match &given.value {
        Length::Fixed(duration, text) => Some((*duration, text)),
        _ => None,
    }
}

fn clean_prefix(guarded: &Guarded, mistakes: &mut Mistakes) {
    let Some(prefix) = &guarded.args.prefix else {
        return;
    };
    let text = prefix.value.value();
    let is_clean = text
        .bytes()
        .all(|byte| !matches!(byte, b'{' | b'}' | b',' | ..b' ' | 0x7f));
    if !is_clean || text.is_empty() || text.len() > 64 {
        let sentence = "a prefix is 1 to 64 bytes without braces, commas and control characters";
        mistakes.add(&prefix.value, sentence);
    }
}

/// What is kept outlives the call, so that nothing in it can be borrowed. The error behind the comma is not kept.
fn owned_value(guarded: &Guarded, mistakes: &mut Mistakes) {
    struct Find<'a>(&'a mut Mistakes);
    impl<'ast> Visit<'ast> for Find<'_> {
        fn visit_type_reference(&mut self, ty: &'ast TypeReference) {
            let sentence =
                "a cached value outlives the call and cannot be borrowed: return an owned one, like `String`";
            self.0.add(ty, sentence);
        }

        // Function pointers and `PhantomData` hold no borrowed value.
        fn visit_type_fn_ptr(&mut self, _: &'ast syn::TypeFnPtr) {}

        fn visit_type_path(&mut self, ty: &'ast TypePath) {
            if ty
                .path
                .segments
                .last()
                .is_none_or(|last| last.ident != "PhantomData")
            {
                visit::visit_type_path(self, ty);
            }
        }
    }
    if guarded.is_cached() {
        Find(mistakes).visit_type(kept_part(&guarded.output));
    }
}

/// `T` of anything that looks like `Result<T, E>` or an alias of it, else the whole.
fn kept_part(output: &Type) -> &Type {
    let Type::Path(path) = output else { return output };
    match path.path.segments.last().map(|last| &last.arguments) {
        Some(PathArguments::AngleBracketed(inner)) => {
            let first = inner.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            });
            first.unwrap_or(output)
        }
        _ => output,
    }
}

fn receiver_needs_key(guarded: &Guarded, mistakes: &mut Mistakes) {
    let receiver = guarded
        .sig
        .inputs
        .iter()
        .find(|input| matches!(input, FnArg::Receiver(_)));
    let is_skipped = guarded
        .args
        .skip
        .iter()
        .flat_map(|skip| &skip.value)
        .any(|skipped| skipped == "self");
    if let (Some(receiver), false) = (receiver, is_skipped) {
        let sentence = "say what of `self` is part of the key, with `key = (self.id, ..)`, or that nothing is, with `skip(self)`";
        mistakes.add(receiver, sentence);
    }
}

fn parts_need_names(guarded: &Guarded, mistakes: &mut Mistakes) {
    for part in guarded
        .arguments
        .iter()
        .filter_map(|argument| argument.nameless.as_ref())
    {
        let sentence = "what has no name would be missing from the key: name it (and `skip` it if it must not count), or say `key = ...`";
        mistakes.add(part, sentence);
    }
}

fn cfg_needs_key(guarded: &Guarded, mistakes: &mut Mistakes) {
    for argument in &guarded.arguments {
        if let (Some(cfg), false) = (
            &argument.cfg,
            argument.names.iter().all(|name| guarded.skips(name)),
        ) {
            let sentence =
                "an argument that may not be there cannot be part of the key: `skip` it, or say `key = ...`";
            mistakes.add(cfg, sentence);
        }
    }
}

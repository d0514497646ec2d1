//! Every rejection, one function each; all mistakes are reported at once.
//!
//! What a type can or cannot do is not known here: the traits of the run-time crate reject it, with the same care.

pub(crate) mod arguments;

use syn::visit::{self, Visit};
use syn::{
    FnArg, GenericArgument, PathArguments, Safety, Type, TypeImplTrait, TypeParamBound, TypePath,
    TypeReference,
};

use crate::fallback::Mistakes;
use crate::model::{Form, Guarded};

type Rejection = fn(&Guarded, &mut Mistakes);

/// What the function or its arguments must not be.
const WRONG: [Rejection; 10] = [
    no_unsafe,
    no_const,
    no_extern,
    no_variadic,
    no_impl_trait,
    no_never,
    no_boxed_future,
    known_skips,
    one_key,
    owned_value,
];

/// What must be said where there is no `key`.
const MISSING: [Rejection; 3] = [receiver_needs_key, parts_need_names, cfg_needs_key];

/// Notes all that is wrong with a function or with its arguments.
pub(crate) fn validate(guarded: &Guarded, mistakes: &mut Mistakes) {
    arguments::check(&guarded.args, mistakes);
    for reject in WRONG {
        reject(guarded, mistakes);
    }
    // After another mistake nothing is called missing: it may be in the argument that could not be read.
    if guarded.args.key.is_none() && mistakes.is_empty() {
        for reject in MISSING {
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

/// The future in `Pin<Box<dyn Future ..>>`, `Box<dyn Future ..>` or `BoxFuture<..>`, however qualified.
fn is_boxed_future(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => path.path.segments.last().is_some_and(|last| {
            let inner = match &last.arguments {
                PathArguments::AngleBracketed(inner) => Some(&inner.args),
                _ => None,
            };
            let mut inner = inner.into_iter().flatten();
            match last.ident.to_string().as_str() {
                "BoxFuture" | "LocalBoxFuture" => true,
                "Pin" | "Box" => {
                    inner.any(|arg| matches!(arg, GenericArgument::Type(ty) if is_boxed_future(ty)))
                }
                _ => false,
            }
        }),
        Type::TraitObject(object) => object.bounds.iter().any(|bound| {
            matches!(bound, TypeParamBound::Trait(bound)
                if bound.path.segments.last().is_some_and(|last| last.ident == "Future"))
        }),
        _ => false,
    }
}

fn known_skips(guarded: &Guarded, mistakes: &mut Mistakes) {
    let skips = guarded.skipped();
    for (position, skipped) in skips.clone().enumerate() {
        let is_known = match skipped == "self" {
            true => guarded.sig.receiver().is_some(),
            false => {
                guarded.names().any(|name| name == skipped)
                    || guarded.generics().any(|(_, name)| name == skipped)
            }
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

fn one_key(guarded: &Guarded, mistakes: &mut Mistakes) {
    if guarded.args.key.is_none() {
        return;
    }
    for skipped in guarded.skipped() {
        if skipped == "self" || guarded.names().any(|name| name == skipped) {
            let sentence =
                format_args!("`key` alone says which arguments count: do not skip `{skipped}` as well");
            mistakes.add(skipped, sentence);
        }
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
    let is_skipped = guarded.skipped().any(|skipped| skipped == "self");
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

//! Refuses functions that cannot run behind a lock, because of their modifiers or of their return type.

use syn::visit::{self, Visit};
use syn::{
    Attribute, GenericArgument, PathArguments, Safety, Type, TypeImplTrait, TypeParamBound, TypePath,
    TypeReference,
};

use crate::errors::Errors;
use crate::model::{Form, LockedFn};

pub(crate) fn validate(function: &LockedFn, errors: &mut Errors) {
    for check in [
        one_attribute,
        not_unsafe,
        not_const,
        not_extern,
        not_variadic,
        no_impl_trait,
        no_never,
        no_future,
        no_borrowed_value,
    ] {
        check(function, errors);
    }
}

fn one_attribute(function: &LockedFn, errors: &mut Errors) {
    let is_second = |attr: &&Attribute| {
        let last = attr.path().segments.last();
        last.is_some_and(|last| last.ident == "dspinlock")
    };
    if let Some(second) = function.attrs.iter().find(is_second) {
        let message = "a function is locked once: merge the arguments of both attributes";
        errors.add(second, message);
    }
}

fn not_unsafe(function: &LockedFn, errors: &mut Errors) {
    if let Safety::Unsafe(token) = function.sig.safety {
        let message = "a locked function cannot be `unsafe`, because a caller can receive another's result: \
                       lock a safe function that calls it";
        errors.add(token, message);
    }
}

fn not_const(function: &LockedFn, errors: &mut Errors) {
    if let Some(token) = function.sig.constness {
        let message =
            "a locked function cannot be `const`, because a lock is acquired at run time: remove `const`";
        errors.add(token, message);
    }
}

fn not_extern(function: &LockedFn, errors: &mut Errors) {
    if let Some(abi) = &function.sig.abi {
        let message = "a locked function cannot be `extern`, because foreign code cannot handle a lock error: \
                       lock a Rust function that it calls";
        errors.add(abi, message);
    }
}

fn not_variadic(function: &LockedFn, errors: &mut Errors) {
    if let Some(variadic) = &function.sig.variadic {
        let message = "a locked function cannot be variadic, because the key needs every argument: \
                       lock a function with fixed arguments";
        errors.add(variadic, message);
    }
}

fn no_impl_trait(function: &LockedFn, errors: &mut Errors) {
    struct Find<'a>(&'a mut Errors);
    impl<'ast> Visit<'ast> for Find<'_> {
        fn visit_type_impl_trait(&mut self, ty: &'ast TypeImplTrait) {
            let message = "a locked function cannot return `impl Trait`, because the attribute names its type: \
                           return a concrete type";
            self.0.add(ty, message);
        }
    }
    Find(errors).visit_type(&function.output);
}

fn no_never(function: &LockedFn, errors: &mut Errors) {
    if matches!(function.output, Type::Never(_)) {
        let message = "a locked function cannot return `!`, because the lock is released on return: \
                       return `()`";
        errors.add(&function.output, message);
    }
}

fn no_future(function: &LockedFn, errors: &mut Errors) {
    if matches!(function.form, Form::Sync) && is_boxed_future(&function.output) {
        let message = "a locked function cannot return a future, because the lock is released before it runs: \
                       use an `async fn`, and put `#[dspinlock]` above `#[async_recursion]`";
        errors.add(&function.output, message);
    }
}

/// Whether this is `Pin<Box<dyn Future ..>>`, `Box<dyn Future ..>`, `BoxFuture<..>` or `LocalBoxFuture<..>`, with any
/// path in front.
fn is_boxed_future(ty: &Type) -> bool {
    match ty {
        Type::Path(path) => {
            path.path
                .segments
                .last()
                .is_some_and(|last| match last.ident.to_string().as_str() {
                    "BoxFuture" | "LocalBoxFuture" => true,
                    "Pin" | "Box" => type_arguments(&last.arguments).any(is_boxed_future),
                    _ => false,
                })
        }
        Type::TraitObject(object) => object.bounds.iter().any(|bound| {
            matches!(bound, TypeParamBound::Trait(bound)
                if bound.path.segments.last().is_some_and(|last| last.ident == "Future"))
        }),
        _ => false,
    }
}

/// A cached value outlives the call, so it cannot borrow. An error may borrow, because it is never cached.
fn no_borrowed_value(function: &LockedFn, errors: &mut Errors) {
    struct Find<'a>(&'a mut Errors);
    impl<'ast> Visit<'ast> for Find<'_> {
        fn visit_type_reference(&mut self, ty: &'ast TypeReference) {
            let message = "a cached value cannot be borrowed, because it outlives the call: \
                           return an owned type, such as `String`";
            self.0.add(ty, message);
        }

        // A function pointer borrows no value, and neither does `PhantomData`.
        fn visit_type_fn_ptr(&mut self, _: &'ast syn::TypeFnPtr) {}

        fn visit_type_path(&mut self, ty: &'ast TypePath) {
            let last = ty.path.segments.last();
            if last.is_none_or(|last| last.ident != "PhantomData") {
                visit::visit_type_path(self, ty);
            }
        }
    }
    if function.is_cached() {
        Find(errors).visit_type(cached_part(&function.output));
    }
}

/// `T` of a type that looks like `Result<T, E>` or an alias of it; else the whole type.
fn cached_part(output: &Type) -> &Type {
    let Type::Path(path) = output else { return output };
    let last = path.path.segments.last();
    let first = last.and_then(|last| type_arguments(&last.arguments).next());
    first.unwrap_or(output)
}

fn type_arguments(arguments: &PathArguments) -> impl Iterator<Item = &Type> {
    let arguments = match arguments {
        PathArguments::AngleBracketed(arguments) => Some(&arguments.args),
        _ => None,
    };
    arguments
        .into_iter()
        .flatten()
        .filter_map(|argument| match argument {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        })
}

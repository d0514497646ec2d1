//! Refuses `detach` and `on_lease_lost` on a function whose body cannot be a task, or cannot be stopped.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{FnArg, ReceiverKind, TypeReference};

use crate::errors::Errors;
use crate::model::{Form, LockedFn};
use crate::parse::{OnError, is_on};

pub(crate) fn validate(function: &LockedFn, errors: &mut Errors) {
    is_async(function, errors);
    one_end(function, errors);
    owns_its_arguments(function, errors);
    cancel_ends(function, errors);
}

fn is_async(function: &LockedFn, errors: &mut Errors) {
    if !matches!(function.form, Form::Sync) {
        return;
    }
    let args = &function.args;
    let detach = args
        .detach
        .as_ref()
        .filter(|_| is_on(&args.detach))
        .map(|arg| &arg.name);
    for name in [detach, args.on_lease_lost.as_ref().map(|arg| &arg.name)]
        .into_iter()
        .flatten()
    {
        let message = format_args!(
            "`{name}` needs an `async fn`, because a sync body can neither be stopped nor outlive its call"
        );
        errors.add(name, message);
    }
}

fn one_end(function: &LockedFn, errors: &mut Errors) {
    let args = &function.args;
    if let (Some(cancel), true) = (&args.on_lease_lost, is_on(&args.detach)) {
        let message = "`on_lease_lost = cancel` contradicts `detach`, whose body goes on: remove one";
        errors.add(&cancel.name, message);
    }
}

/// The body outlives the call, so it cannot borrow from the caller.
fn owns_its_arguments(function: &LockedFn, errors: &mut Errors) {
    struct Find<'a>(&'a mut Errors);
    impl Find<'_> {
        fn add(&mut self, at: Span) {
            let message = "the body of a function with `detach` outlives the call: take `self: Arc<Self>`, or an owned value";
            self.0.push(syn::Error::new(at, message));
        }
    }
    impl<'ast> Visit<'ast> for Find<'_> {
        fn visit_type_reference(&mut self, ty: &'ast TypeReference) {
            let is_static = ty
                .lifetime
                .as_ref()
                .is_some_and(|lifetime| lifetime.ident == "static");
            match is_static {
                true => visit::visit_type_reference(self, ty),
                false => self.add(ty.span()),
            }
        }

        // The argument of a function is not a value of the caller.
        fn visit_type_fn_ptr(&mut self, _: &'ast syn::TypeFnPtr) {}
        fn visit_parenthesized_generic_arguments(&mut self, _: &'ast syn::ParenthesizedGenericArguments) {}
    }
    if !is_on(&function.args.detach) || matches!(function.form, Form::Sync) {
        return;
    }
    let mut find = Find(errors);
    for input in &function.sig.inputs {
        match input {
            FnArg::Receiver(receiver) => match &receiver.kind {
                ReceiverKind::Reference(..) => find.add(receiver.span()),
                ReceiverKind::Typed(_, ty) => find.visit_type(ty),
                _ => {}
            },
            FnArg::Typed(typed) => find.visit_type(&typed.ty),
        }
    }
}

/// A body that was stopped cannot run again without the lock.
fn cancel_ends(function: &LockedFn, errors: &mut Errors) {
    let args = &function.args;
    if let (Some(cancel), Some(on_error)) = (&args.on_lease_lost, &args.on_error)
        && matches!(on_error.value, OnError::RunUnlocked)
    {
        let message = "`on_lease_lost = cancel` contradicts `on_error = run_unlocked`, which runs the body anyway: remove one";
        errors.add(&cancel.name, message);
    }
}

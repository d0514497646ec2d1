//! Writes the function of `entry = name`: the arguments of the annotated function, the key of its call, and nothing else.
//!
//! `expand` calls it with a function that is valid.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::visit::{self, Visit};
use syn::{Attribute, ExprAsync, ExprAwait, ExprClosure, ExprTry, Token};

use super::shim::{call, generated_at, in_braces, private, returning};
use crate::model::LockedFn;
use crate::parse::{Args, Setting, Wait};

pub(super) fn write(function: &LockedFn) -> Option<TokenStream> {
    let name = &function.args.entry.as_ref()?.value;
    let at = generated_at(name.span());
    let LockedFn { vis, output, .. } = function;
    let private = private(&function.args, at);
    let flow = Flow::of(&function.args);
    let mut entry = quote_spanned!(at=> #private::Entry<#output>);
    let mut sig = function.sig.clone();
    sig.ident = name.clone();
    sig.asyncness = flow.awaits.then(|| Token![async](at));
    let (call, returning) = (call(function, Some(name)), returning(function));
    // The name of the closure's type is that of this function.
    let mut body = quote_spanned!(at=> #call #returning.entry(|| {}));
    if flow.fails {
        entry = quote_spanned!(at=> <#output as #private::Tries>::Of<#entry>);
        body = quote_spanned!(at=> <#output as #private::Tries>::of(#body));
    }
    sig.output = syn::parse_quote_spanned!(at=> -> #entry);
    let body = in_braces(body, at);
    let cfgs = function.attrs.iter().filter(is_cfg);
    let doc = format!("The entry of a call of `{}`. Runs nothing.", function.sig.ident);
    Some(quote! {
        #(#cfgs)*
        #[doc = #doc]
        #[allow(dead_code, unused_variables, unused_mut, clippy::too_many_arguments)]
        #vis #sig #body
    })
}

fn is_cfg(attr: &&Attribute) -> bool {
    attr.path().is_ident("cfg")
}

/// What the expressions of the attribute need of the function around them.
#[derive(Default)]
struct Flow {
    awaits: bool,
    fails: bool,
}

impl Flow {
    fn of(args: &Args) -> Self {
        let mut flow = Self::default();
        let durations = [
            &args.ttl,
            &args.err_ttl,
            &args.near_cache,
            &args.lease,
            &args.max_block_time,
            &args.spinlock_sleep_thresh,
        ];
        for arg in durations.into_iter().flatten() {
            flow.visit_setting(&arg.value);
        }
        for arg in [&args.max_spinlock_tries, &args.replicas].into_iter().flatten() {
            flow.visit_setting(&arg.value);
        }
        if let Some(Wait::AtMost(wait)) = args.wait.as_ref().map(|wait| &wait.value) {
            flow.visit_setting(wait);
        }
        let key = args.key.iter().flat_map(|key| &key.value);
        let validated = args.validate.iter().flat_map(|validate| &validate.value);
        let pool = args.pool.iter().map(|pool| &pool.value);
        key.chain(validated)
            .chain(pool)
            .for_each(|expr| flow.visit_expr(expr));
        flow
    }

    fn visit_setting<T>(&mut self, setting: &Setting<T>) {
        if let Setting::PerCall(expr) = setting {
            self.visit_expr(expr);
        }
    }
}

/// A closure or an async block has a flow for itself.
impl<'ast> Visit<'ast> for Flow {
    fn visit_expr_await(&mut self, expr: &'ast ExprAwait) {
        self.awaits = true;
        visit::visit_expr_await(self, expr);
    }

    fn visit_expr_try(&mut self, expr: &'ast ExprTry) {
        self.fails = true;
        visit::visit_expr_try(self, expr);
    }

    fn visit_expr_async(&mut self, _: &'ast ExprAsync) {}
    fn visit_expr_closure(&mut self, _: &'ast ExprClosure) {}
}

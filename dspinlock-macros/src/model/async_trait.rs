//! Recognizes an async method that `#[async_trait]` (0.1) has already rewritten. `model` calls it. The form is:
//!
//! ```text
//! fn price<'async_trait>(self, __arg1: ..) -> Pin<Box<dyn Future<Output = T> + Send + 'async_trait>> {
//!     Box::pin(async move {
//!         let __self = self;
//!         let (a, b) = { let __arg1 = __arg1; __arg1 };
//!         let __ret: T = { body };
//!         __ret
//!     })
//! }
//! ```

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Expr, Local, Pat, Signature, Stmt, Type};

/// The method before `#[async_trait]` rewrote it.
pub(crate) struct Method {
    /// Binds the parameters, and the receiver as `__self`.
    pub(crate) prologue: Vec<Stmt>,
    pub(crate) output: Type,
    pub(crate) body: TokenStream,
}

/// The original method; `None` if `#[async_trait]` did not write this one.
pub(crate) fn method(sig: &Signature, body: &TokenStream) -> Option<Method> {
    let mut lifetimes = sig.generics.lifetimes();
    lifetimes.find(|param| param.lifetime.ident == "async_trait")?;
    let mut prologue = pinned_block(body)?;
    let at = prologue.iter().rposition(is_result)?;
    let result = prologue.remove(at);
    prologue.truncate(at);
    let (output, body) = typed_block(result)?;
    Some(Method {
        prologue,
        output,
        body,
    })
}

/// The statements in `Box::pin(async move { .. })`.
fn pinned_block(body: &TokenStream) -> Option<Vec<Stmt>> {
    let Ok(Expr::Call(pin)) = syn::parse2(body.clone()) else {
        return None;
    };
    match pin.args.into_iter().next()? {
        Expr::Async(block) => Some(block.block.stmts),
        _ => None,
    }
}

/// `let __ret: T = { body };` or `let _: () = { body };`
fn is_result(stmt: &Stmt) -> bool {
    let Stmt::Local(Local {
        pat: Pat::Type(typed),
        ..
    }) = stmt
    else {
        return false;
    };
    match &*typed.pat {
        Pat::Wild(_) => true,
        Pat::Ident(named) => named.ident == "__ret",
        _ => false,
    }
}

/// `T` and `body` of `let .. : T = { body };`.
fn typed_block(stmt: Stmt) -> Option<(Type, TokenStream)> {
    let Stmt::Local(Local {
        pat: Pat::Type(typed),
        init: Some(init),
        ..
    }) = stmt
    else {
        return None;
    };
    let Expr::Block(body) = *init.expr else {
        return None;
    };
    let stmts = body.block.stmts;
    Some((*typed.ty, quote!(#(#stmts)*)))
}

/// The pattern to which the prologue binds the parameter `__arg1`. It is a plain name if the original pattern is `_`.
pub(crate) fn original_pattern<'a>(pat: &Pat, prologue: &'a [Stmt]) -> Option<&'a Pat> {
    let Pat::Ident(positional) = pat else { return None };
    let name = positional.ident.to_string();
    name.strip_prefix("__arg")?.parse::<usize>().ok()?;
    prologue.iter().find_map(|stmt| match stmt {
        Stmt::Local(Local {
            pat,
            init: Some(init),
            ..
        }) if evaluates_to(&init.expr, &name) => Some(pat),
        _ => None,
    })
}

fn evaluates_to(expr: &Expr, name: &str) -> bool {
    match expr {
        Expr::Block(block) => {
            matches!(block.block.stmts.last(), Some(Stmt::Expr(last, None)) if evaluates_to(last, name))
        }
        Expr::Path(path) => path.path.is_ident(name),
        _ => false,
    }
}

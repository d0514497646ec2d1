//! What `#[async_trait]` (0.1) makes of an async method before the attribute sees it, and how to see the method in it:
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

/// A method as its author wrote it.
pub(crate) struct Method {
    /// Binds the arguments, and calls the receiver `__self`.
    pub(crate) prologue: Vec<Stmt>,
    pub(crate) output: Type,
    pub(crate) body: TokenStream,
}

/// The method in a function; `None` where `#[async_trait]` did not write it.
pub(crate) fn method(sig: &Signature, body: &TokenStream) -> Option<Method> {
    sig.generics
        .lifetimes()
        .find(|param| param.lifetime.ident == "async_trait")?;
    let Expr::Call(pin) = syn::parse2(body.clone()).ok()? else {
        return None;
    };
    let Some(Expr::Async(block)) = pin.args.first() else {
        return None;
    };
    let mut prologue = block.block.stmts.clone();
    let at = prologue
        .iter()
        .rposition(|stmt| matches!(stmt, Stmt::Local(local) if is_result(local)))?;
    let Stmt::Local(Local {
        pat: Pat::Type(pat),
        init: Some(init),
        ..
    }) = prologue.remove(at)
    else {
        return None;
    };
    prologue.truncate(at);
    let Expr::Block(body) = *init.expr else {
        return None;
    };
    let stmts = body.block.stmts;
    Some(Method {
        prologue,
        output: *pat.ty,
        body: quote!(#(#stmts)*),
    })
}

/// `let __ret: T = { body };` or `let _: () = { body };`
fn is_result(local: &Local) -> bool {
    let Pat::Type(typed) = &local.pat else {
        return false;
    };
    match &*typed.pat {
        Pat::Wild(_) => true,
        Pat::Ident(named) => named.ident == "__ret",
        _ => false,
    }
}

/// The pattern that the prologue binds an argument called `__arg1` to, which is a plain name where it was `_`.
pub(crate) fn original_pattern<'a>(pat: &Pat, prologue: &'a [Stmt]) -> Option<&'a Pat> {
    let Pat::Ident(positional) = pat else { return None };
    let name = positional.ident.to_string();
    name.strip_prefix("__arg")?.parse::<usize>().ok()?;
    prologue.iter().find_map(|stmt| match stmt {
        Stmt::Local(Local {
            pat,
            init: Some(init),
            ..
        }) if mentions(&init.expr, &name) => Some(pat),
        _ => None,
    })
}

fn mentions(expr: &Expr, name: &str) -> bool {
    match expr {
        Expr::Block(block) => {
            matches!(block.block.stmts.last(), Some(Stmt::Expr(last, None)) if mentions(last, name))
        }
        Expr::Path(path) => path.path.is_ident(name),
        _ => false,
    }
}

//! The names of the sites of this process. Two functions with one name would return each other's results, so the second one
//! is refused. `order` calls this module before it uses the name of a site. It never changes a key.
//!
//! The compiler's names do not distinguish two blocks of one function, two uses of one macro, or two local types.

use std::any::{TypeId, type_name};
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use foldhash::fast::RandomState;

use super::site::Site;
use super::site_name::{has_closure, has_every_type, site_name};
use crate::error::Error;
use crate::key::Owner;
use crate::rt::process::PerProcess;

/// The type of the body of a function: every function has another one, and so has every instance of a generic function.
#[derive(Clone, Copy)]
pub(crate) struct Body {
    pub(super) name: &'static str,
    id: TypeId,
}

impl Body {
    #[inline]
    pub(super) fn of<F>() -> Self {
        Self {
            name: type_name::<F>(),
            id: typeid::of::<F>(),
        }
    }

    #[inline]
    pub(super) fn owner(self, site: &'static Site) -> Owner {
        Owner::new(site, self.id)
    }
}

/// The first site of each name, and the type of its body. Sites may share a `name` of the attribute, so such a name is beside
/// the address of its site.
type Names = HashMap<(Option<usize>, String), (&'static Site, TypeId), RandomState>;

static NAMES: PerProcess<Mutex<Names>> = PerProcess::new(|_| Mutex::default());

thread_local! {
    /// What this thread has checked, so that it does not take the lock again.
    static CHECKED: RefCell<HashSet<Owner, RandomState>> = RefCell::default();
}

/// Refuses a name that does not distinguish this site from another one, or two instances of this site. Sites may share a `name`
/// of the attribute.
pub(crate) fn check(site: &'static Site, body: Body) -> Result<(), Error> {
    let owner = body.owner(site);
    // A thread that ends remembers nothing any more.
    if CHECKED
        .try_with(|checked| checked.borrow().contains(&owner))
        .unwrap_or(false)
    {
        return Ok(());
    }
    check_name(site, body)?;
    let _ = CHECKED.try_with(|checked| checked.borrow_mut().insert(owner));
    Ok(())
}

fn clash(name: &str, first: &Site, second: &Site) -> String {
    let (one, other) = (first.place, second.place);
    let problem = format!("two functions have the name `{name}`, and would return each other's results");
    if first.path == second.path && one.file() != other.file() {
        // A module has one file, so the path of the second one is that of another version.
        return format!(
            "{problem}: the crate is in the program in two versions ({one} and {other}): use one, or give the function a `name = \"...\"`"
        );
    }
    if one == other {
        return format!(
            "{problem}: a macro writes both at {one}: give each a `name = \"...\"`, which the macro takes as an argument"
        );
    }
    format!("{problem}: they stand at {one} and at {other}: give one of them a `name = \"...\"`")
}

fn check_name(site: &'static Site, body: Body) -> Result<(), Error> {
    if site.name == Some("") {
        return Ok(());
    }
    let name = site_name(site, body.name);
    if has_closure(&name) {
        return Err(Error::option(format!(
            "the key of `{name}` ({}) cannot distinguish closures, because all closures of a function have the same type name: pass a `fn`, or `skip` the type parameter of the closure (write `fn f<F: Fn()>(f: F)` instead of `impl Fn()`); if the closure is in the type of `self`, set `name = \"...\"`",
            site.place
        )));
    }
    let owner = match site.name {
        None => None,
        Some(_) if has_every_type(body.name) => Some(std::ptr::from_ref(site).addr()),
        Some(_) => return Ok(()),
    };
    let (first, first_body) = {
        let mut names = NAMES.get().lock().unwrap_or_else(PoisonError::into_inner);
        let name = (owner, name.to_string());
        // A generated function beside the annotated one has its name and its place, but has no body.
        if site.entry.is_some() {
            match names.get(&name) {
                Some((first, _)) if first.place != site.place => (*first, body.id),
                _ => return Ok(()),
            }
        } else {
            *names.entry(name).or_insert((site, body.id))
        }
    };
    if !std::ptr::eq(first, site) {
        return Err(Error::option(clash(&name, first, site)));
    }
    // Without an argument in `skip`, one name of a site is one instance.
    if first_body != body.id && site.skipped_generics.is_empty() {
        return Err(Error::option(format!(
            "two local types have the same name in `{name}` ({}), so their calls would return each other's results: rename one of the types",
            site.place
        )));
    }
    Ok(())
}

//! A shared value that lives as long as its handles, or as long as the process.

use std::ops::Deref;
use std::sync::Arc;

/// An `Arc`, or a reference to a value that is never dropped. A clone of the latter costs nothing, whereas all threads that
/// clone an `Arc` contend for its counter.
pub(crate) enum Handle<T: 'static> {
    Counted(Arc<T>),
    Static(&'static T),
}

impl<T> Handle<T> {
    pub(crate) fn new(value: T) -> Self {
        Self::Counted(Arc::new(value))
    }

    /// A handle of the value behind a handle that is never dropped.
    #[inline]
    pub(crate) fn of_static(handle: &'static Self) -> Self {
        Self::Static(handle)
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        std::ptr::eq::<T>(&**self, &**other)
    }
}

impl<T> Deref for Handle<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match self {
            Self::Counted(value) => value,
            Self::Static(value) => value,
        }
    }
}

impl<T> Clone for Handle<T> {
    #[inline]
    fn clone(&self) -> Self {
        match self {
            Self::Counted(value) => Self::Counted(value.clone()),
            Self::Static(value) => Self::Static(value),
        }
    }
}

impl<T: Default> Default for Handle<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

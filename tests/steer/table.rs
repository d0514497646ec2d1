//! Every argument of the attribute, on every store, on sync and async functions.

//! The attribute of the `dspinlock` crate: use it through that crate.
//!
//! The way of a function, in `guard`: `args` reads what stands in the parentheses, `model` the function, `check` rejects
//! what cannot be locked, `expand` writes the function anew. Where there is a mistake, `fallback` writes it as it was.

mod expand;
mod fallback;
mod model;
mod parse;
#[cfg(test)]
mod tests;
mod validate;

use proc_macro2::TokenStream;

/// Runs a function once per key across every thread, process and host that shares a store.
///
/// The first caller takes the lock and computes. Callers that arrive meanwhile wait and are handed its result (with
/// `cached_if_computed`) or run one after another (without). Later callers read the result and never touch the lock.
///
/// ```ignore
/// #[dspinlock(key = (user.id, region), cached_if_computed, ttl = "10m")]
/// async fn report(user: &User, region: &str) -> Result<Report, Failure> {
///     // Runs once for a user and region, anywhere, until ten minutes later.
/// }
/// ```
///
/// It stands on functions and methods, sync and async, in implementations of traits too, native or under
/// `#[async_trait]` (then on the method, with `#[async_trait]` on the `impl`).
///
/// # Arguments
///
/// | argument | default | meaning |
/// |---|---|---|
/// | `key = expr` | all arguments but `self` | what results are kept apart by: a tuple is a key of several parts, a string literal is a format string over the arguments, as in `"user:{id}"` |
/// | `skip(a, b)` | none | arguments that do not count, also `self`, and type and const parameters |
/// | `name = "..."` | the function's full path | the first part of the key; functions of one name share results, and `""` shares them with Python |
/// | `prefix = "..."` | `"dspinlock"` | the first part of every key in the store |
/// | `cached_if_computed` | off | a result is kept, and returned to whoever asks |
/// | `near_cache = "10s"` | off | with `cached_if_computed`: how old a copy in this process may be; see below |
/// | `fail_if_key_exists` | off | a key that exists is an error: the function runs at most once in the life of its key |
/// | `max_spinlock_tries = 10` | `10` | how often to look for a free key |
/// | `spinlock_sleep_thresh = "500ms"` | `"500ms"` | how long to sleep between two looks at most |
/// | `wait = "2m"` or `wait = forever` | tries × sleep | how long to wait in all |
/// | `ttl = "1h"` | `"1h"` | how long a result stays; also known as `expire_at_timedelta` |
/// | `max_block_time = "30m"` | `"30m"` | how long one caller may keep others out |
/// | `lease = "15s"` | `"15s"` | how long a lock outlives a process that died |
/// | `replicas = 1` | `0` | how many replicas of the store must have heard of a lock before it is held; see below |
/// | `map_err = path` | `From` | makes the function's error of a lock error |
/// | `on_error = run_unlocked` or `panic` | none | what becomes of a lock error where it is not returned |
///
/// Durations are whole numbers with units (`d`, `h`, `m`, `s`, `ms`, `us`, `ns`), as in `"1h30m"`, or any expression of
/// type `Duration`, which is evaluated at each call and may use the arguments.
///
/// The key is evaluated before the body, by reference; `?` and `.await` work in it. Its parts are `serde::Serialize`.
///
/// # Results
///
/// `Ok` is kept, `Err` never: whoever got an error leaves the key free for the next. Lock errors are returned as the
/// function's own error, which must be `From<dspinlock::Error>` (as `anyhow::Error` is) or be made by `map_err`. A
/// function that returns no `Result` must say what becomes of them with `on_error`.
///
/// A kept value is owned and implements `serde::Serialize` and `serde::Deserialize`; it need not be `Clone`.
///
/// # Replicas
///
/// Redis tells its replicas of a write when it has answered already, so that a lock may be forgotten in a failover. With
/// `replicas = n` a lock is held only once `n` replicas have acknowledged it (`WAIT`), which costs one more round trip. Where
/// fewer do so within a third of the lease, or a second, the lock is given up and the call fails with
/// `Error::Store { reason: StoreFailure::TooFewReplicas { .. }, .. }`. A store without replicas has none to count.
///
/// # The near cache
///
/// With `near_cache` a value that was read is kept in this process as well, decoded, and later calls copy it without
/// asking the store. It must then be `Clone + Send + Sync`. The server pushes every change of the key, whoever makes it,
/// and the copy is dropped: usually within a millisecond; at the latest at the age that is given here, and at the
/// value's own end. Who has written or deleted a key through the process's pool never sees what was there before. A lost
/// connection empties the near cache.
///
/// It needs Redis or Valkey: where the server does not push (said once in the log) and on the embedded store such
/// functions read the store at each call. `Pool::with_near_cache_size` bounds the number of copies.
#[proc_macro_attribute]
pub fn dspinlock(args: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let item = TokenStream::from(item);
    expand::expand(args.into(), item.clone())
        .unwrap_or_else(|error| fallback::fallback(&error, &item))
        .into()
}

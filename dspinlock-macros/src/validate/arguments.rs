//! Refuses arguments that are out of range, or that contradict each other. It does not look at the function.

use std::time::Duration;

use syn::Lit;

use crate::errors::Errors;
use crate::limits::{DEFAULT_MAX_BLOCK_TIME, DEFAULT_TTL, MAX_DURATION, MAX_PREFIX, MIN_LEASE};
use crate::parse::{Arg, Args, OnError, Setting, Wait, is_on};

pub(crate) fn validate(args: &Args, errors: &mut Errors) {
    for check in [
        one_error_policy,
        one_wait_limit,
        near_cache_contradicts_fail,
        near_cache_is_not_shared,
        python_knows_it,
        ttl_of_a_shared_key_is_fixed,
        err_ttl_is_in_range,
        validate_needs_a_key,
        validate_needs_the_lock,
        skip_ends,
        unlocked_once,
        durations_are_in_range,
        wait_is_in_range,
        block_time_allows_a_lease,
        lease_is_renewable,
        tries_are_in_range,
        prefix_is_valid,
    ] {
        check(args, errors);
    }
    // After another error, an argument that seems to be missing or wrong may be one that could not be read.
    if errors.is_empty() {
        for check in [
            near_cache_is_cached,
            errors_are_kept,
            ttl_is_of_use,
            lease_is_within_block_time,
            near_cache_is_within_ttl,
        ] {
            check(args, errors);
        }
    }
}

fn one_error_policy(args: &Args, errors: &mut Errors) {
    if let (Some(_), Some(on_error)) = (&args.map_err, &args.on_error) {
        let message = "`on_error` contradicts `map_err`, which returns the lock error: remove one";
        errors.add(&on_error.name, message);
    }
}

fn one_wait_limit(args: &Args, errors: &mut Errors) {
    if let (Some(wait), Some(_)) = (&args.wait, &args.max_spinlock_tries) {
        let message = "`wait` and `max_spinlock_tries` both limit how long a call waits: remove one";
        errors.add(&wait.name, message);
    }
}

fn near_cache_is_cached(args: &Args, errors: &mut Errors) {
    if let Some(near_cache) = &args.near_cache
        && !is_on(&args.cached_if_computed)
    {
        let message = "`near_cache` copies only cached values: add `cached_if_computed`";
        errors.add(&near_cache.name, message);
    }
}

fn near_cache_contradicts_fail(args: &Args, errors: &mut Errors) {
    if let Some(near_cache) = &args.near_cache
        && is_on(&args.fail_if_key_exists)
    {
        let message = "`near_cache` contradicts `fail_if_key_exists`, because it returns a copy instead of the error: \
                       remove one";
        errors.add(&near_cache.name, message);
    }
}

fn near_cache_is_not_shared(args: &Args, errors: &mut Errors) {
    if let Some(near_cache) = &args.near_cache
        && args.is_shared()
    {
        errors.add(
            &near_cache.name,
            "a key with `name = \"\"` keeps no value: drop `name = \"\"` or `near_cache`",
        );
    }
}

/// The key and the entry of `name = ""` are Python's.
fn python_knows_it(args: &Args, errors: &mut Errors) {
    let names = [
        args.version.as_ref().map(|arg| &arg.name),
        args.label.as_ref().map(|arg| &arg.name),
        args.validate.as_ref().map(|arg| &arg.name),
        args.err_ttl.as_ref().map(|arg| &arg.name),
    ];
    if args.is_shared() {
        for name in names.into_iter().flatten() {
            errors.add(
                name,
                format_args!("Python knows no `{name}`: drop `name = \"\"` or `{name}`"),
            );
        }
    }
}

/// A site says with `ttl = |value| ...` how long each result is kept.
fn ttl_of_a_shared_key_is_fixed(args: &Args, errors: &mut Errors) {
    if let Some(ttl) = &args.ttl
        && let Some(closure) = ttl.value.closure()
        && args.is_shared()
    {
        let message = "Python knows no `ttl` of one value: drop `name = \"\"`, or write a duration";
        errors.add(closure, message);
    }
}

/// `err_ttl = "0s"` replays an error to the calls that wait already.
fn err_ttl_is_in_range(args: &Args, errors: &mut Errors) {
    if let Some((duration, literal)) = literal(&args.err_ttl)
        && duration > MAX_DURATION
    {
        errors.add(literal, "`err_ttl` must be <= 100 years");
    }
}

/// A job that failed may run again, and without a cache nothing is kept.
fn errors_are_kept(args: &Args, errors: &mut Errors) {
    let Some(err_ttl) = &args.err_ttl else { return };
    if is_on(&args.fail_if_key_exists) {
        let message =
            "`err_ttl` contradicts `fail_if_key_exists`: a job that failed may run again, so remove one";
        errors.add(&err_ttl.name, message);
    } else if !is_on(&args.cached_if_computed) {
        let message =
            "`err_ttl` has no effect, because nothing is stored: add `cached_if_computed`, or remove it";
        errors.add(&err_ttl.name, message);
    }
}

fn validate_needs_a_key(args: &Args, errors: &mut Errors) {
    if let Some(validate) = &args.validate
        && args.key.is_none()
    {
        let message = "`validate` needs `key`, because without it all arguments are the key: add `key = ...`";
        errors.add(&validate.name, message);
    }
}

fn validate_needs_the_lock(args: &Args, errors: &mut Errors) {
    if let (Some(_), Some(on_error)) = (&args.validate, &args.on_error)
        && matches!(on_error.value, OnError::RunUnlocked)
    {
        let message = "`on_error = run_unlocked` would run a reused key again: remove it, or `validate`";
        errors.add(&on_error.name, message);
    }
}

fn unlocked_once(args: &Args, errors: &mut Errors) {
    let Some(unlocked) = &args.on_store_error else {
        return;
    };
    if let Some(on_error) = &args.on_error
        && matches!(on_error.value, OnError::RunUnlocked)
    {
        let message = "`on_error = run_unlocked` includes errors of the store: remove one";
        errors.add(&unlocked.name, message);
    }
    if is_on(&args.fail_if_key_exists) {
        let message =
            "`on_store_error = run_unlocked` could run a job twice: remove it, or `fail_if_key_exists`";
        errors.add(&unlocked.name, message);
    }
    if args.validate.is_some() {
        let message =
            "`on_store_error = run_unlocked` would run a reused key again: remove it, or `validate`";
        errors.add(&unlocked.name, message);
    }
}

fn skip_ends(args: &Args, errors: &mut Errors) {
    if let (Some(on_busy), Some(wait)) = (&args.on_busy, &args.wait)
        && matches!(wait.value, Wait::Forever)
    {
        let message = "`on_busy = skip` has no effect with `wait = forever`: remove one";
        errors.add(&on_busy.name, message);
    }
}

/// A shared key stays COMPUTED for `ttl`, as in Python, even if nothing is stored.
fn ttl_is_of_use(args: &Args, errors: &mut Errors) {
    if let Some(ttl) = &args.ttl
        && !is_on(&args.cached_if_computed)
        && !is_on(&args.fail_if_key_exists)
        && !args.is_shared()
    {
        let message = format_args!(
            "`{}` has no effect, because nothing is stored: add `cached_if_computed` or `fail_if_key_exists`, or remove it",
            ttl.name
        );
        errors.add(&ttl.name, message);
    }
}

fn durations_are_in_range(args: &Args, errors: &mut Errors) {
    let durations = [
        &args.near_cache,
        &args.ttl,
        &args.lease,
        &args.spinlock_sleep_thresh,
        &args.max_block_time,
    ];
    for arg in durations.into_iter().flatten() {
        if let Some((duration, literal)) = arg.value.literal()
            && !is_in_range(duration)
        {
            let message = format_args!("`{}` must be > 0 and <= 100 years", arg.name);
            errors.add(literal, message);
        }
    }
}

fn is_in_range(duration: Duration) -> bool {
    !duration.is_zero() && duration <= MAX_DURATION
}

fn wait_is_in_range(args: &Args, errors: &mut Errors) {
    if let Some(Arg {
        value: Wait::AtMost(wait),
        ..
    }) = &args.wait
        && let Some((wait, literal)) = wait.literal()
        && wait > MAX_DURATION
    {
        errors.add(
            literal,
            "`wait` must be <= 100 years: use `wait = forever` for no limit",
        );
    }
}

fn block_time_allows_a_lease(args: &Args, errors: &mut Errors) {
    if let Some((max, literal)) = literal(&args.max_block_time)
        && is_in_range(max)
        && max < MIN_LEASE
    {
        let message = "`max_block_time` must be >= 100ms, because it limits `lease`, which must be >= 100ms";
        errors.add(literal, message);
    }
}

fn lease_is_renewable(args: &Args, errors: &mut Errors) {
    if let Some((lease, literal)) = literal(&args.lease)
        && is_in_range(lease)
        && lease < MIN_LEASE
    {
        let message = "`lease` must be >= 100ms, because a shorter lease can expire before it is renewed";
        errors.add(literal, message);
    }
}

fn lease_is_within_block_time(args: &Args, errors: &mut Errors) {
    let Some((lease, literal)) = literal(&args.lease) else {
        return;
    };
    let message = match limit(&args.max_block_time, DEFAULT_MAX_BLOCK_TIME) {
        Limit::Given(max) if lease > max => {
            "`lease` must be <= `max_block_time`: shorten it, or raise `max_block_time`"
        }
        Limit::Default(max) if lease > max => {
            "`lease` must be <= `max_block_time`, which is 30m by default: shorten it, or set `max_block_time`"
        }
        _ => return,
    };
    errors.add(literal, message);
}

fn near_cache_is_within_ttl(args: &Args, errors: &mut Errors) {
    let Some((age, literal)) = literal(&args.near_cache) else {
        return;
    };
    let message = match limit(&args.ttl, DEFAULT_TTL) {
        Limit::Given(ttl) if age > ttl => {
            "`near_cache` must be <= `ttl`, because no copy outlives its value: shorten it, or raise `ttl`"
        }
        Limit::Default(ttl) if age > ttl => {
            "`near_cache` must be <= `ttl`, which is 1h by default: shorten it, or set `ttl`"
        }
        _ => return,
    };
    errors.add(literal, message);
}

/// The argument that limits another one.
enum Limit {
    Given(Duration),
    Default(Duration),
    /// Known at each call only.
    PerCall,
}

fn limit(arg: &Option<Arg<Setting<Duration>>>, default: Duration) -> Limit {
    match (arg, literal(arg)) {
        (None, _) => Limit::Default(default),
        (_, Some((given, _))) => Limit::Given(given),
        (_, None) => Limit::PerCall,
    }
}

fn literal(arg: &Option<Arg<Setting<Duration>>>) -> Option<(Duration, &Lit)> {
    arg.as_ref()?.value.literal()
}

fn tries_are_in_range(args: &Args, errors: &mut Errors) {
    let tries = args.max_spinlock_tries.as_ref();
    if let Some((0, literal)) = tries.and_then(|tries| tries.value.literal()) {
        let message = "`max_spinlock_tries` must be >= 1: use `wait = \"0s\"` for a call that does not wait";
        errors.add(literal, message);
    }
}

fn prefix_is_valid(args: &Args, errors: &mut Errors) {
    let Some(prefix) = &args.prefix else {
        return;
    };
    let text = prefix.value.value();
    let is_reserved = |c: char| matches!(c, '{' | '}' | ',') || c.is_control();
    if text.is_empty() || text.len() > MAX_PREFIX || text.contains(is_reserved) {
        let message = format_args!(
            "`prefix` must have 1 to {MAX_PREFIX} bytes, and no braces, commas or control characters, \
             because it is a part of every key"
        );
        errors.add(&prefix.value, message);
    }
}

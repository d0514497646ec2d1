//! The rejections of `check` that need not see the function.

use std::time::Duration;

use crate::fallback::Mistakes;
use crate::parse::args::{Args, is_on};

/// Notes what is wrong with the arguments, whatever they stand on.
pub(crate) fn check(args: &Args, mistakes: &mut Mistakes) {
    for reject in [
        one_error_way,
        one_patience,
        near_is_cached,
        no_zero,
        lease_fits,
        clean_prefix,
    ] {
        reject(args, mistakes);
    }
}

fn one_error_way(args: &Args, mistakes: &mut Mistakes) {
    if let (Some(_), Some(on_error)) = (&args.map_err, &args.on_error) {
        let sentence = "`map_err` returns lock errors and `on_error` does not: keep one of them";
        mistakes.add(&on_error.name, sentence);
    }
}

fn one_patience(args: &Args, mistakes: &mut Mistakes) {
    if let (Some(wait), Some(_)) = (&args.wait, &args.max_spinlock_tries) {
        let sentence = "`wait` stands in the place of `max_spinlock_tries`: keep one of them";
        mistakes.add(&wait.name, sentence);
    }
}

fn near_is_cached(args: &Args, mistakes: &mut Mistakes) {
    let Some(near) = &args.near_cache else {
        return;
    };
    if !is_on(&args.cached_if_computed) {
        let sentence = "`near_cache` keeps a copy of what is kept: say `cached_if_computed` as well";
        mistakes.add(&near.name, sentence);
    }
    if is_on(&args.fail_if_key_exists) {
        let sentence =
            "`near_cache` would hide the key that `fail_if_key_exists` is to find: keep one of them";
        mistakes.add(&near.name, sentence);
    }
}

fn no_zero(args: &Args, mistakes: &mut Mistakes) {
    let lengths = [
        &args.near_cache,
        &args.ttl,
        &args.lease,
        &args.spinlock_sleep_thresh,
        &args.max_block_time,
    ];
    for given in lengths.into_iter().flatten() {
        if let Some((Duration::ZERO, text)) = given.value.fixed() {
            mistakes.add(text, format_args!("`{}` must be longer than zero", given.name));
        }
    }
}

/// The shortest lease: a third of it must leave time for a round trip.
const MIN_LEASE: Duration = Duration::from_millis(100);

/// The default of `max_block_time`.
const MAX_BLOCK_TIME: Duration = Duration::from_secs(30 * 60);

fn lease_fits(args: &Args, mistakes: &mut Mistakes) {
    let Some((lease, text)) = args.lease.as_ref().and_then(|given| given.value.fixed()) else {
        return;
    };
    if !lease.is_zero() && lease < MIN_LEASE {
        mistakes.add(
            text,
            "a lease must be at least 100ms long, or it lapses between two heartbeats",
        );
    }
    let most = match &args.max_block_time {
        Some(given) => given.value.fixed().map(|(most, _)| most),
        None => Some(MAX_BLOCK_TIME),
    };
    if most.is_some_and(|most| !most.is_zero() && lease > most) {
        mistakes.add(
            text,
            "a lease must not be longer than `max_block_time`, which is \"30m\" by default",
        );
    }
}

fn clean_prefix(args: &Args, mistakes: &mut Mistakes) {
    let Some(prefix) = &args.prefix else {
        return;
    };
    let text = prefix.value.value();
    let is_clean = text
        .bytes()
        .all(|byte| !matches!(byte, b'{' | b'}' | b',' | ..b' ' | 0x7f));
    if !is_clean || text.is_empty() || text.len() > 64 {
        let sentence = "a prefix is 1 to 64 bytes without braces, commas and control characters";
        mistakes.add(&prefix.value, sentence);
    }
}

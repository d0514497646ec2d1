//! The names of the arguments, for error messages: an example of each, and a suggestion for an unknown name. `value` calls
//! it.

use proc_macro2::Ident;

/// Every argument, with an example.
const ARGUMENTS: [(&str, &str); 28] = [
    ("key", "key = id"),
    ("skip", "skip(client, trace_id)"),
    ("name", "name = \"price\""),
    ("prefix", "prefix = \"shop\""),
    ("version", "version = 2"),
    ("label", "label = \"user:{id}\""),
    ("validate", "validate = amount"),
    ("err_ttl", "err_ttl = \"1s\""),
    ("on_busy", "on_busy = skip"),
    ("on_store_error", "on_store_error = run_unlocked"),
    ("on_lease_lost", "on_lease_lost = cancel"),
    ("detach", "detach"),
    ("entry", "entry = price_entry"),
    ("pool", "pool = &self.pool"),
    ("cached_if_computed", "cached_if_computed"),
    ("near_cache", "near_cache = \"10s\""),
    ("fail_if_key_exists", "fail_if_key_exists"),
    ("max_spinlock_tries", "max_spinlock_tries = 10"),
    ("spinlock_sleep_thresh", "spinlock_sleep_thresh = \"500ms\""),
    ("wait", "wait = \"2m\""),
    ("ttl", "ttl = \"1h\""),
    ("expire_at_timedelta", "expire_at_timedelta = \"1h\""),
    ("max_block_time", "max_block_time = \"30m\""),
    ("lease", "lease = \"15s\""),
    ("replicas", "replicas = 1"),
    ("map_err", "map_err = MyError::Lock"),
    ("on_error", "on_error = run_unlocked"),
    ("crate", "crate = common::dspinlock"),
];

/// Arguments of other crates, and what to write instead.
const FOREIGN: [(&str, &str); 27] = [
    ("time", "use `ttl = \"1h\"`"),
    ("ttl_secs", "use `ttl = \"60s\"`"),
    ("ttl_millis", "use `ttl = \"500ms\"`"),
    ("expires", "use `ttl = \"1h\"`"),
    ("expire", "use `ttl = \"1h\"`"),
    ("expiry", "use `ttl = \"1h\"`"),
    ("max_age", "use `ttl = \"1h\"`"),
    ("time_to_live", "use `ttl = \"1h\"`"),
    ("time_refresh", "a read never extends `ttl`, so remove it"),
    ("refresh", "a read never extends `ttl`, so remove it"),
    ("size", "the number of results is not limited, so remove it"),
    ("max_size", "the number of results is not limited, so remove it"),
    (
        "max_capacity",
        "the number of results is not limited, so remove it",
    ),
    ("capacity", "the number of results is not limited, so remove it"),
    ("convert", "use `key = id`"),
    ("result", "`Ok` is stored and `Err` is not, so remove it"),
    ("cache_err", "use `err_ttl = \"1s\"`"),
    (
        "option",
        "`None` is stored too: return a `Result`, and `Err` for what is not stored",
    ),
    ("cache_none", "`None` is always stored, so remove it"),
    (
        "sync_writes",
        "calls with one key always run one at a time, so remove it",
    ),
    (
        "once",
        "use `fail_if_key_exists` to run once, or `cached_if_computed` to store the result",
    ),
    (
        "redis",
        "the pool chooses the store: use `dspinlock::init(Pool::open(url)?)`",
    ),
    (
        "disk",
        "the pool chooses the store: use `dspinlock::init(Pool::open(\"sqlite:PATH\")?)`",
    ),
    (
        "timeout",
        "use `wait = \"2m\"` to limit the wait, or `max_block_time = \"5m\"` to limit a holder",
    ),
    (
        "blocking",
        "a `fn` blocks while it waits and an `async fn` does not, so remove it",
    ),
    (
        "namespace",
        "the pool has it: use `Pool::builder(url).namespace(\"billing\")`, or set `DSPINLOCK_NAMESPACE`",
    ),
    ("map_error", "use `map_err = MyError::Lock`"),
];

/// An example of the argument, or an empty text for an unknown name.
pub(crate) fn example(name: &Ident) -> &'static str {
    ARGUMENTS
        .iter()
        .find(|(known, _)| name == known)
        .map_or("", |(_, example)| example)
}

pub(crate) fn is_known(name: &Ident) -> bool {
    ARGUMENTS.iter().any(|(known, _)| name == known)
}

/// What to write instead of an unknown name, if that can be guessed.
pub(crate) fn instead(name: &Ident) -> Option<String> {
    let foreign = FOREIGN.iter().find(|(foreign, _)| name == foreign);
    match foreign {
        Some((_, instead)) => Some((*instead).to_owned()),
        None => closest(&name.to_string()).map(|known| format!("did you mean `{known}`?")),
    }
}

/// The error message for an unknown name.
pub(crate) fn unknown(name: &Ident) -> String {
    let instead = instead(name).unwrap_or_else(|| {
        let known = ARGUMENTS.map(|(known, _)| known).join("`, `");
        format!("expected one of `{known}`")
    });
    format!("unknown argument `{name}`: {instead}")
}

fn closest(written: &str) -> Option<&'static str> {
    let (distance, known) = ARGUMENTS
        .map(|(known, _)| (distance(written, known), known))
        .into_iter()
        .min()?;
    // A short name such as `id` is as far from every name.
    (distance <= 2 + known.len() / 4 && distance < written.len()).then_some(known)
}

/// The Levenshtein distance; 1 if `written` is a shortened form of `known`.
fn distance(written: &str, known: &str) -> usize {
    if is_short_for(written, known) {
        return 1;
    }
    let known: Vec<char> = known.chars().collect();
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (i, a) in written.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in known.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[known.len()]
}

/// Whether the letters of `written` appear in `known`, in this order.
fn is_short_for(written: &str, known: &str) -> bool {
    let mut letters = known.chars();
    written.len() > 3 && written.chars().all(|letter| letters.any(|other| other == letter))
}

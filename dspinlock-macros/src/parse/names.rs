//! The names of the arguments, for error messages: an example of each, and a suggestion for an unknown name. `value` calls
//! it.

use proc_macro2::Ident;

/// Every argument, with an example.
const ARGUMENTS: [(&str, &str); 17] = [
    ("key", "key = id"),
    ("skip", "skip(client, trace_id)"),
    ("name", "name = \"price\""),
    ("prefix", "prefix = \"shop\""),
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
];

/// An example of the argument, or an empty text for an unknown name.
pub(crate) fn example(name: &Ident) -> &'static str {
    ARGUMENTS
        .iter()
        .find(|(known, _)| name == known)
        .map_or("", |(_, example)| example)
}

/// The error message for an unknown name.
pub(crate) fn unknown(name: &Ident) -> String {
    match closest(&name.to_string()) {
        Some(known) => format!("unknown argument `{name}`: did you mean `{known}`?"),
        None => {
            let known = ARGUMENTS.map(|(known, _)| known).join("`, `");
            format!("unknown argument `{name}`: expected one of `{known}`")
        }
    }
}

fn closest(written: &str) -> Option<&'static str> {
    let (distance, known) = ARGUMENTS
        .map(|(known, _)| (distance(written, known), known))
        .into_iter()
        .min()?;
    (distance <= 2 + known.len() / 4).then_some(known)
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

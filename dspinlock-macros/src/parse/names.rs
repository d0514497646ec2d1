//! The names of the attribute's arguments: what each looks like, and which one a misspelt name stands for.

use proc_macro2::Ident;

/// Each argument as it should look, to show to whoever wrote it otherwise.
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

/// How an argument is written.
pub(crate) fn example(name: &Ident) -> &'static str {
    ARGUMENTS
        .iter()
        .find(|(known, _)| name == known)
        .map_or("", |(_, example)| example)
}

/// One sentence on a name that no argument has.
pub(crate) fn unknown(name: &Ident) -> String {
    let written = name.to_string();
    let nearest = ARGUMENTS
        .map(|(known, _)| (distance(&written, known), known))
        .into_iter()
        .min();
    match nearest {
        Some((steps, known)) if steps <= 2 + known.len() / 4 => {
            format!("there is no argument `{name}`: did you mean `{known}`?")
        }
        _ => {
            let all = ARGUMENTS.map(|(known, _)| known).join("`, `");
            format!("there is no argument `{name}`; there are `{all}`")
        }
    }
}

/// How many letters to change, add or leave out; a shortened name counts as near.
fn distance(written: &str, known: &str) -> usize {
    let mut letters = known.chars();
    if written.len() > 3 && written.chars().all(|letter| letters.any(|other| other == letter)) {
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

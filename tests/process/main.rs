//! Process borders: `fork`, the end of a process, and `Pool::close` before it. `docs/promises.md` lists them.
//!
//! The tests start this binary again as a program, because a program needs its own main thread and its own threads. The
//! harness of Rust runs no test on the main thread, so this binary has a small one of its own.

mod close;
mod end;
mod fork;

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};

/// The environment variable with the words of a program: its name, then its arguments.
const PROGRAM: &str = "DSPINLOCK_TEST_PROGRAM";

/// The tests, with their names.
macro_rules! list {
    ($($module:ident::$name:ident,)*) => {
        &[$((stringify!($name), $module::$name as fn())),*]
    };
}

const TESTS: &[(&str, fn())] = list![
    fork::a_forked_child_and_its_parent_work_at_once,
    fork::a_child_that_is_forked_in_the_middle_of_a_call_never_hangs,
    fork::a_forked_child_may_open_the_first_pool,
    fork::a_pool_of_the_parent_is_an_error_in_the_child,
    fork::the_global_pool_opens_itself_again_in_the_child,
    fork::a_forked_child_changes_nothing_of_its_parent,
    fork::a_lock_of_a_forked_child_is_renewed,
    fork::a_forked_child_may_continue_with_the_runtime_of_its_parent,
    end::a_process_that_ends_frees_its_keys,
    end::a_process_that_ends_while_its_call_is_granted_frees_the_key,
    end::a_process_that_ends_acquires_no_lock,
    close::a_terminated_process_frees_or_publishes_each_key,
    close::a_process_that_is_terminated_at_any_moment_holds_no_key,
];

fn main() -> ExitCode {
    if let Ok(words) = env::var(PROGRAM) {
        let words: Vec<&str> = words.split(' ').collect();
        match words[0] {
            "fork" => fork::program(&words[1..]),
            "close" => close::program(&words[1..]),
            _ => end::program(&words),
        }
        return ExitCode::SUCCESS;
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    let is_listed = arguments.iter().any(|argument| argument == "--list");
    let is_exact = arguments.iter().any(|argument| argument == "--exact");
    let filters: Vec<&String> = arguments
        .iter()
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let is_chosen = |name: &str| {
        filters.is_empty()
            || filters.iter().any(|filter| {
                if is_exact {
                    name == *filter
                } else {
                    name.contains(filter.as_str())
                }
            })
    };
    let mut failed = Vec::new();
    for (name, test) in TESTS.iter().filter(|(name, _)| is_chosen(name)) {
        if is_listed {
            println!("{name}: test");
        } else if catch_unwind(AssertUnwindSafe(test)).is_ok() {
            println!("test {name} ... ok");
        } else {
            println!("test {name} ... FAILED");
            failed.push(name);
        }
    }
    if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The command of a program that uses the store at `url`.
fn program(words: &str, url: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("the path of the test binary"));
    command
        .env(PROGRAM, words)
        .env("DSPINLOCK_URL", url)
        .env("RUST_BACKTRACE", "0");
    command
}

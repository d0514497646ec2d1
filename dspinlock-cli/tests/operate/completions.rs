//! The completions of each shell are accepted by it, and name the subcommands.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::stage::run;

const SUBCOMMANDS: [&str; 6] = ["exec", "ls", "show", "rm", "doctor", "completions"];

#[test]
fn bash_completes_the_subcommands() {
    let script = run("sqlite::memory:", &["completions", "bash"]);
    assert_eq!(script.code, Some(0), "{script:?}");
    let ask = "\nCOMP_WORDS=(dspinlock ''); COMP_CWORD=1; _dspinlock dspinlock '' dspinlock; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let mut bash = Command::new("bash")
        .args(["--norc", "--noprofile"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("`bash` starts");
    let program = format!("{}{ask}\n", script.stdout);
    let mut stdin = bash.stdin.take().expect("a pipe");
    stdin.write_all(program.as_bytes()).expect("bash reads");
    drop(stdin);
    let answer = bash.wait_with_output().expect("our child");
    let words = String::from_utf8(answer.stdout).expect("UTF-8");
    for subcommand in SUBCOMMANDS {
        assert!(
            words.lines().any(|word| word == subcommand),
            "{subcommand}: {words}"
        );
    }
    assert!(!words.contains("exec-guard"), "{words}");
}

#[test]
fn zsh_and_fish_have_completions() {
    for (shell, start) in [("zsh", "#compdef dspinlock"), ("fish", "# Print an optspec")] {
        let script = run("sqlite::memory:", &["completions", shell]);
        assert!(script.lines()[0].starts_with(start), "{script:?}");
        for subcommand in SUBCOMMANDS {
            assert!(script.stdout.contains(subcommand), "{shell}: {subcommand}");
        }
    }
    assert_eq!(run("sqlite::memory:", &["completions", "csh"]).code, Some(64));
}

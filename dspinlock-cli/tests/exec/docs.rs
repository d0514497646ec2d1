//! The programs of docs/exec.md, and its tables against the program.

use std::path::Path;
use std::process::Command;

use crate::scene::{Scene, output};

const PAGE: &str = include_str!("../../../docs/exec.md");

/// The blocks of a language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let start = format!("\n```{language}\n");
    let blocks = page.split(start.as_str()).skip(1);
    blocks
        .map(|rest| rest.split("\n```\n").next().expect("a block ends"))
        .collect()
}

#[test]
fn the_programs_of_the_page_run() {
    let programs = blocks(PAGE, "sh");
    assert_eq!(programs.len(), 5, "the programs of the page were not found");
    let bin = Path::new(env!("CARGO_BIN_EXE_dspinlock"))
        .parent()
        .expect("a folder");
    let path = std::env::var("PATH").expect("a PATH");
    for program in programs {
        let scene = Scene::new();
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", program])
            .env("PATH", format!("{}:{path}", bin.display()))
            .env("DSPINLOCK_URL", scene.redis.url())
            .current_dir(scene.folder());
        let ran = output(&mut bash);
        assert!(
            ran.status.success(),
            "{program}\n{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        let commands = scene.redis.command_count(None);
        assert!(
            commands > 0,
            "`exec` did not use the store of the test: {program}"
        );
    }
}

#[test]
fn the_page_and_help_name_the_same_options_and_codes() {
    let scene = Scene::new();
    let help = |arguments: &[&str]| {
        let mut command = scene.dspinlock();
        command.args(arguments);
        String::from_utf8(output(&mut command).stdout).expect("UTF-8")
    };
    let exec = help(&["exec", "--help"]);
    let options = exec
        .lines()
        .filter_map(|line| line.trim().strip_prefix("--")?.split([' ', '<']).next())
        .filter(|name| !name.is_empty() && *name != "help");
    let options: Vec<&str> = options.collect();
    assert!(options.len() >= 12, "the options were not found: {options:?}");
    for option in options {
        assert!(
            PAGE.contains(&format!("`--{option}")) || PAGE.contains(&format!(" --{option} ")),
            "docs/exec.md does not name --{option}"
        );
    }
    let codes = |text: &str, before: &str, after: &str| -> Vec<u8> {
        let code = |line: &str| {
            line.strip_prefix(before)?
                .split(after)
                .next()?
                .trim()
                .parse()
                .ok()
        };
        text.lines().filter_map(code).collect()
    };
    let of_page = codes(PAGE, "| ", " |");
    assert_eq!(of_page, [64, 69, 70, 75, 76, 126, 127]);
    assert_eq!(codes(&help(&["--help"]), "  ", "  ")[1..], of_page);
}

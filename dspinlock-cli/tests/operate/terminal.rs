//! On a terminal, columns are aligned and coloured, and `rm` asks.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::process::Command;

use dspinlock::Pool;
use dspinlock_testkit::Redis;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::stage::{dspinlock, lock, price, run};

/// Runs the program on a terminal on which somebody types `keys`. Returns what the terminal shows, and the exit code.
fn on_terminal(command: &mut Command, keys: &str) -> (String, Option<i32>) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo terminal");
    grantpt(&terminal).expect("the terminal is ours");
    unlockpt(&terminal).expect("the terminal is ours");
    let name = OsString::from_vec(ptsname(&terminal, Vec::new()).expect("a name").into_bytes());
    let side = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&name)
        .expect("the other side");
    let mut terminal = File::from(terminal);
    terminal.write_all(keys.as_bytes()).expect("typed");
    let copy = || side.try_clone().expect("a descriptor");
    let mut child = command
        .stdin(copy())
        .stdout(copy())
        .stderr(copy())
        .spawn()
        .expect("the program starts");
    // The parent's copies are closed, so reading ends with the program.
    command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    drop(side);
    let mut screen = Vec::new();
    // Linux reports the end as an error.
    let _ = terminal.read_to_end(&mut screen);
    let code = child.wait().expect("our child").code();
    (String::from_utf8(screen).expect("UTF-8"), code)
}

#[test]
fn columns_are_aligned_below_their_names_and_coloured() {
    let server = Redis::start();
    let pool = Pool::open(&server.url()).expect("a good URL");
    price(&pool, 1);
    let (_, _held) = lock(&pool, "nightly");
    let (plain, _) = on_terminal(dspinlock(&server.url(), &["ls"]).env("NO_COLOR", "1"), "");
    let lines: Vec<&str> = plain.lines().collect();
    assert_eq!(lines.len(), 3, "{plain}");
    let keys = lines[0].find("KEY").expect("the names of the columns");
    assert!(
        lines[1..]
            .iter()
            .all(|line| line[keys..].starts_with("dspinlock,") && line[..keys].ends_with("  ")),
        "{plain}"
    );
    assert!(!plain.contains('\x1b'), "{plain}");
    let (coloured, code) = on_terminal(&mut dspinlock(&server.url(), &["ls"]), "");
    assert_eq!(code, Some(0));
    assert!(
        coloured.contains("\x1b[33mheld\x1b[0m") && coloured.contains("\x1b[32mcomputed\x1b[0m"),
        "{coloured}"
    );
    let (empty, _) = on_terminal(&mut dspinlock(&server.url(), &["ls", "--site", "absent"]), "");
    assert_eq!(empty.lines().count(), 1, "{empty}");
}

#[test]
fn rm_asks_and_deletes_only_after_a_yes() {
    let server = Redis::start();
    let pool = Pool::open(&server.url()).expect("a good URL");
    let (name, held) = lock(&pool, "nightly");
    for no in ["n\n", "\n", "x\n"] {
        let (screen, code) = on_terminal(&mut dspinlock(&server.url(), &["rm", &name]), no);
        assert!(
            code == Some(0) && screen.contains("nothing was deleted"),
            "{screen}"
        );
        assert!(screen.contains(&format!("delete `{name}` (1 held")), "{screen}");
        assert_eq!(server.keys().len(), 1);
    }
    let (screen, code) = on_terminal(&mut dspinlock(&server.url(), &["rm", &name]), "y\n");
    assert!(code == Some(0) && !screen.contains("nothing"), "{screen}");
    assert!(server.keys().is_empty());
    assert!(held.release_blocking().is_err());
    server.raw(&["SET", "session:42", "{}"]);
    let (screen, _) = on_terminal(&mut dspinlock(&server.url(), &["rm", "session:42"]), "n\n");
    assert!(
        screen.contains("delete `session:42` (another program wrote it)?"),
        "{screen}"
    );
    let (screen, code) = on_terminal(&mut dspinlock(&server.url(), &["rm", "session:42"]), "y\n");
    assert!(code == Some(0) && server.keys().is_empty(), "{screen}");
    for id in 0..3 {
        price(&pool, id);
    }
    let (screen, _) = on_terminal(
        &mut dspinlock(&server.url(), &["rm", "--site", "app::price"]),
        "y\n",
    );
    assert!(screen.contains("delete 3 entries?"), "{screen}");
    assert!(run(&server.url(), &["ls"]).lines().is_empty());
}

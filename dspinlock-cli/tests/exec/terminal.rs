//! On a terminal, `exec` and its command are a job of an interactive shell.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use dspinlock_testkit::eventually;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::scene::{DEFAULT_SIGNALS, Scene, is_alive, parent, stat};

/// An interactive bash on a pseudo terminal.
struct Shell {
    scene: Scene,
    terminal: File,
    bash: Child,
    screen: Arc<Mutex<String>>,
}

impl Shell {
    fn start() -> Self {
        let scene = Scene::new();
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo terminal");
        grantpt(&terminal).expect("the terminal is ours");
        unlockpt(&terminal).expect("the terminal is ours");
        let name = OsString::from_vec(ptsname(&terminal, Vec::new()).expect("a name").into_bytes());
        let side = || {
            OpenOptions::new()
                .read(true)
                .write(true)
                .open(&name)
                .expect("the other side")
        };
        let bash = Command::new("env")
            .args([
                DEFAULT_SIGNALS,
                "setsid",
                "--ctty",
                "bash",
                "--norc",
                "--noprofile",
                "-i",
            ])
            .env("PS1", "ready> ")
            .env("TERM", "dumb")
            .env("HISTFILE", "")
            .env("DSPINLOCK_URL", scene.redis.url())
            .env(
                "EXEC",
                format!("{} exec --key k", env!("CARGO_BIN_EXE_dspinlock")),
            )
            .current_dir(scene.folder())
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn()
            .expect("`setsid` and `bash` start");
        let terminal = File::from(terminal);
        let screen = Arc::new(Mutex::new(String::new()));
        let (mut reader, text) = (terminal.try_clone().expect("a descriptor"), screen.clone());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // An error says that the shell has ended.
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                let part = String::from_utf8_lossy(&buffer[..read]).into_owned();
                text.lock().expect("no panic").push_str(&part);
            }
        });
        let shell = Self {
            scene,
            terminal,
            bash,
            screen,
        };
        shell.expect("ready> ");
        shell
    }

    fn send(&self, keys: &str) {
        (&self.terminal)
            .write_all(keys.as_bytes())
            .expect("the terminal is open");
    }

    /// Waits for a text on the screen, and clears the screen up to its end.
    fn expect(&self, text: &str) {
        let found = || {
            let mut screen = self.screen.lock().expect("no panic");
            let end = screen.find(text)? + text.len();
            screen.drain(..end);
            Some(())
        };
        let start = std::time::Instant::now();
        while found().is_none() {
            let screen = self.screen.lock().expect("no panic").clone();
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "no {text:?} on the screen: {screen:?}"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.bash)
    }

    /// The foreground group of the terminal.
    fn foreground(&self) -> Pid {
        number(&stat(self.pid(), 8).expect("the shell runs"))
    }

    fn until_foreground(&self, what: &str, group: Pid) {
        eventually(what, || (self.foreground() == group).then_some(()));
    }

    /// Runs a script in the foreground, or otherwise as `suffix` says, and waits until it has started.
    fn start_job(&self, options: &str, script: &str, suffix: &str) -> Job {
        let _ = std::fs::remove_file(self.scene.path("pid"));
        self.scene
            .write("script", format!("sleep 300 & echo $$ >pid\n{script}\n"));
        self.send(&format!("$EXEC {options} -- sh ./script{suffix}\n"));
        self.scene.until("pid", 1);
        let command = self.scene.pids("pid")[0];
        let guard = parent(command);
        let exec = parent(guard);
        Job { command, guard, exec }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.bash.kill();
        let _ = self.bash.wait();
    }
}

struct Job {
    command: Pid,
    guard: Pid,
    exec: Pid,
}

impl Job {
    /// Three groups of one session: that of the shell's job, that of the guard, and that of the command.
    fn check_groups(&self, shell: &Shell) {
        for process in [self.command, self.guard, self.exec] {
            assert_eq!(group(process), process);
            assert_eq!(
                number(&stat(process, 6).expect("it runs")),
                shell.pid(),
                "the session"
            );
        }
    }

    fn until_state(&self, stopped: bool) {
        eventually(&format!("stopped: {stopped}"), || {
            let is_stopped = |process| stat(process, 3).as_deref() == Some("T");
            let states = [is_stopped(self.command), is_stopped(self.exec)];
            (states == [stopped; 2] && !is_stopped(self.guard)).then_some(())
        });
    }
}

fn number(text: &str) -> Pid {
    text.parse().ok().and_then(Pid::from_raw).expect("a process id")
}

fn group(process: Pid) -> Pid {
    number(&stat(process, 5).expect("it runs"))
}

/// A shell that is stopped between `vfork` and `exec` is not reported as stopped. So the script has started its only program
/// when it writes its process id.
const FOREVER: &str = "wait";

#[test]
fn the_command_has_the_terminal_and_reads_from_it() {
    let shell = Shell::start();
    let job = shell.start_job("", "read line; echo got $line; read line; exit 5", "");
    job.check_groups(&shell);
    shell.until_foreground("the command", job.command);
    shell.send("hello\n");
    shell.expect("got hello");
    assert_eq!(shell.foreground(), job.command);
    shell.send("bye\n");
    shell.expect("ready> ");
    assert_eq!(shell.foreground(), shell.pid());
    shell.send("echo code=$?\n");
    shell.expect("code=5");
}

#[test]
fn ctrl_c_reaches_the_command() {
    let shell = Shell::start();
    let job = shell.start_job("", FOREVER, "");
    shell.until_foreground("the command", job.command);
    shell.send("\x03");
    shell.expect("ready> ");
    assert_eq!(shell.foreground(), shell.pid());
    shell.send("echo code=$?\n");
    shell.expect("code=130");
    assert!(!is_alive(job.exec) && !is_alive(job.command));
}

#[test]
fn ctrl_z_stops_and_fg_continues() {
    let shell = Shell::start();
    let job = shell.start_job("", FOREVER, "");
    for _ in 0..3 {
        shell.until_foreground("the command", job.command);
        shell.send("\x1a");
        shell.expect("Stopped");
        shell.expect("ready> ");
        job.until_state(true);
        assert_eq!(shell.foreground(), shell.pid());
        shell.send("jobs\n");
        shell.expect("[1]+  Stopped");
        shell.send("fg\n");
        job.until_state(false);
    }
    shell.until_foreground("the command", job.command);
    shell.send("\x03");
    shell.expect("ready> ");
    shell.send("echo code=$?\n");
    shell.expect("code=130");
}

#[test]
fn bg_continues_without_the_terminal_and_fg_gives_it() {
    let shell = Shell::start();
    let job = shell.start_job("", FOREVER, "");
    shell.until_foreground("the command", job.command);
    shell.send("\x1a");
    shell.expect("Stopped");
    shell.send("bg\n");
    job.until_state(false);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(shell.foreground(), shell.pid());
    shell.send("jobs\n");
    shell.expect("[1]+  Running");
    shell.send("fg\n");
    shell.until_foreground("the command", job.command);
    shell.send("\x03");
    shell.expect("ready> ");
}

#[test]
fn a_background_job_that_reads_stops_until_fg() {
    let shell = Shell::start();
    let job = shell.start_job("", "read line; echo got $line", " &");
    job.until_state(true);
    assert_eq!(shell.foreground(), shell.pid());
    eventually("the shell notices it", || {
        shell.send("jobs\n");
        shell.expect("[1]+  ");
        thread::sleep(Duration::from_millis(50));
        shell
            .screen
            .lock()
            .expect("no panic")
            .starts_with("Stopped")
            .then_some(())
    });
    shell.send("fg\n");
    shell.until_foreground("the command", job.command);
    shell.send("hello\n");
    shell.expect("got hello");
    shell.expect("ready> ");
}

#[test]
fn a_job_that_is_stopped_for_longer_than_the_lease_ends() {
    let shell = Shell::start();
    let script = format!("trap 'echo x >>asked; exit' TERM; echo x >>started; {FOREVER}");
    let job = shell.start_job("--lease 3s", &script, "");
    shell.scene.until("started", 1);
    shell.until_foreground("the command", job.command);
    shell.send("\x1a");
    shell.expect("Stopped");
    eventually("the end of the command", || {
        (!is_alive(job.command)).then_some(())
    });
    assert_eq!(shell.scene.count("asked"), 1);
    shell.send("fg\n");
    shell.expect("lost the lock");
    shell.expect("ready> ");
    shell.send("echo code=$?\n");
    shell.expect("code=76");
}

#[test]
fn a_killed_exec_leaves_the_terminal_to_the_shell() {
    let shell = Shell::start();
    let script = format!("trap '' TERM; echo x >>started; {FOREVER}");
    let job = shell.start_job("--lease 3s", &script, "");
    shell.scene.until("started", 1);
    shell.until_foreground("the command", job.command);
    kill_process(job.exec, Signal::KILL).expect("it runs");
    shell.expect("Killed");
    shell.expect("ready> ");
    assert_eq!(shell.foreground(), shell.pid());
    let start = std::time::Instant::now();
    eventually("the end of the command", || {
        (!is_alive(job.command) && !is_alive(job.guard)).then_some(())
    });
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert_eq!(shell.foreground(), shell.pid());
    shell.send("echo alive=$((6 * 7))\n");
    shell.expect("alive=42");
}

#[test]
fn in_a_pipeline_the_other_programs_keep_the_terminal() {
    let shell = Shell::start();
    let job = shell.start_job(
        "",
        "trap 'echo x >>interrupted; exit' INT; echo x >>started; wait",
        " | cat",
    );
    shell.scene.until("started", 1);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(shell.foreground(), group(job.exec));
    shell.send("\x1a");
    shell.expect("Stopped");
    job.until_state(true);
    assert_eq!(shell.foreground(), shell.pid());
    shell.send("fg\n");
    job.until_state(false);
    shell.send("\x03");
    shell.scene.until("interrupted", 1);
    eventually("the end of exec", || (!is_alive(job.exec)).then_some(()));
}

#[test]
fn a_script_gets_the_terminal_back() {
    let shell = Shell::start();
    shell.scene.write(
        "outer",
        "$EXEC -- sh -c 'read line; echo first $line'; read line; echo second $line\n",
    );
    shell.send("sh ./outer\n");
    thread::sleep(Duration::from_millis(500));
    shell.send("one\n");
    shell.expect("first one");
    shell.send("two\n");
    shell.expect("second two");
    shell.expect("ready> ");
    assert_eq!(shell.foreground(), shell.pid());
}

#[test]
fn without_a_shell_ctrl_z_does_not_stop_the_command() {
    let shell = Shell::start();
    shell
        .scene
        .write("script", "echo $$ >pid; read line; echo $line >line\n");
    // The leader of the session, as under `ssh -t host dspinlock exec ...`.
    shell.send("exec $EXEC -- sh ./script\n");
    shell.scene.until("pid", 1);
    let command = shell.scene.pids("pid")[0];
    shell.until_foreground("the command", command);
    for _ in 0..3 {
        shell.send("\x1a");
        thread::sleep(Duration::from_millis(200));
    }
    shell.send("hello\n");
    shell.scene.until("line", 1);
    assert_eq!(shell.scene.read("line"), "hello\n");
    eventually("the end of exec", || (!is_alive(shell.pid())).then_some(()));
}

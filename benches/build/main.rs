//! Measures the time and the size of a release build of 100 annotated functions with 100 types of value.
//!
//! The baselines are the crate `cached`, and the same functions without an attribute. The benchmark writes a workspace into
//! `target/tmp`. Its crates differ only in the attribute. Dependencies are built first; then the crates are rebuilt in turn,
//! A B A B …, so that the figures contain no dependency. `cargo bench --bench build` needs the network once, for `cached`.

mod crates;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crates::Attribute;

const FUNCTIONS: usize = 100;
const ROUNDS: usize = 7;

fn main() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("build");
    let kinds = [Attribute::Ours, Attribute::Cached, Attribute::None];
    let [ours, cached, plain] = kinds.map(|attribute| Program::write(&folder, attribute, FUNCTIONS));
    let [one_of_ours, one_of_cached] =
        [Attribute::Ours, Attribute::Cached].map(|attribute| Program::write(&folder, attribute, 1));
    crates::write_workspace(&folder);
    let programs = [&ours, &cached, &plain, &one_of_ours, &one_of_cached];
    let sizes = programs.map(|program| program.build().size);
    let rounds: Vec<[Cost; 3]> = (0..ROUNDS)
        .map(|_| [&ours, &cached, &plain].map(Program::build))
        .collect();
    println!(
        "{FUNCTIONS} cached functions, release build          ours       cached     ratio  no attribute"
    );
    print("time, s", &rounds, |cost| cost.seconds);
    print("CPU time, s", &rounds, |cost| cost.cpu_seconds);
    let kib = |bytes: f64| bytes / 1024.0;
    row(
        "stripped program, KiB",
        kib(sizes[0]),
        kib(sizes[1]),
        kib(sizes[2]),
    );
    let each = |all: f64, one: f64| kib(all - one) / (FUNCTIONS - 1) as f64;
    row(
        "size of each additional function, KiB",
        each(sizes[0], sizes[3]),
        each(sizes[1], sizes[4]),
        f64::NAN,
    );
}

fn print(name: &str, rounds: &[[Cost; 3]], of: fn(&Cost) -> f64) {
    let [ours, cached, plain] = [0, 1, 2].map(|at| median(rounds.iter().map(|round| of(&round[at]))));
    let ratio = median(rounds.iter().map(|round| of(&round[0]) / of(&round[1])));
    line(name, ours, cached, ratio, plain);
}

fn row(name: &str, ours: f64, cached: f64, plain: f64) {
    line(name, ours, cached, ours / cached, plain);
}

fn line(name: &str, ours: f64, cached: f64, ratio: f64, plain: f64) {
    let plain = if plain.is_nan() {
        "-".into()
    } else {
        format!("{plain:.1}")
    };
    println!("{name:<44}  {ours:<9.1}  {cached:<9.1}  {ratio:>5.2}  {plain}");
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Time and size of one build.
struct Cost {
    seconds: f64,
    cpu_seconds: f64,
    size: f64,
}

/// A crate of the workspace.
struct Program {
    workspace: PathBuf,
    name: String,
}

impl Program {
    fn write(workspace: &Path, attribute: Attribute, functions: usize) -> Self {
        let name = format!("{}_{functions}", attribute.name());
        crates::write(&workspace.join(&name), &name, attribute, functions);
        Self {
            workspace: workspace.into(),
            name,
        }
    }

    /// Rebuilds the crate, and builds its dependencies if that has not happened yet.
    fn build(&self) -> Cost {
        let main = self.workspace.join(&self.name).join("src/main.rs");
        let touched = fs::File::open(&main).and_then(|file| file.set_modified(std::time::SystemTime::now()));
        touched.expect("the modification time can be set");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let (start, cpu) = (Instant::now(), cpu_seconds_of_children());
        let built = Command::new("nice")
            .arg(cargo)
            .args(["build", "--release", "--quiet", "--package", &self.name])
            .env("CARGO_TARGET_DIR", self.workspace.join("target"))
            .current_dir(&self.workspace)
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "{} does not build",
            self.name
        );
        let program = self.workspace.join("target/release").join(&self.name);
        Cost {
            seconds: start.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds_of_children() - cpu,
            size: fs::metadata(program).expect("the program exists").len() as f64,
        }
    }
}

/// CPU time of all exited child processes and their children.
fn cpu_seconds_of_children() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux has /proc");
    // The name of the program, in parentheses, may contain spaces.
    let (_, fields) = stat.rsplit_once(") ").expect("the line contains the name");
    let ticks = fields
        .split(' ')
        .skip(13)
        .take(2)
        .map(|ticks| ticks.parse::<f64>().expect("the field is a number"));
    ticks.sum::<f64>() / TICKS_PER_SECOND
}

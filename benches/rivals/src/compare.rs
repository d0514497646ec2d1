//! The figures of a workload, a column for each side.

use crate::measure::median;
use crate::side::{SIDES, Side};

/// What a figure counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    Micros,
    PerSecond,
    Count,
}

const UNITS: [(&str, Unit); 3] = [("µs", Unit::Micros), ("/s", Unit::PerSecond), ("", Unit::Count)];

/// The medians of a workload.
#[derive(Debug, Clone)]
pub(crate) struct Comparison {
    pub(crate) workload: String,
    pub(crate) unit: Unit,
    /// For each side: the median, and its ratio to bare, or 0 if there is none.
    pub(crate) figures: [Option<(f64, f64)>; SIDES.len()],
}

/// The figures of one round. Sides without this workload have none.
pub(crate) type Round = [Option<f64>; SIDES.len()];

impl Comparison {
    pub(crate) fn new(workload: impl Into<String>, unit: Unit, rounds: &[Round]) -> Self {
        let bare = SIDES.len() - 1;
        let figures = std::array::from_fn(|side| {
            let values = rounds
                .iter()
                .map(|round| round[side])
                .collect::<Option<Vec<_>>>()?;
            let ratios = rounds.iter().map(|round| Some(round[side]? / round[bare]?));
            let ratio = ratios.collect::<Option<Vec<_>>>().map_or(0.0, median);
            Some((median(values), ratio))
        });
        Self {
            workload: workload.into(),
            unit,
            figures,
        }
    }

    pub(crate) fn print(&self, cpus: &str) {
        let cells = self
            .figures
            .map(|figure| figure.map_or("–".into(), |figure| self.cell(figure)));
        print_line(&self.workload, cpus, &cells);
    }

    fn cell(&self, (value, ratio): (f64, f64)) -> String {
        let value = match (self.unit, value) {
            (Unit::Micros, 10_000.0..) => format!("{:.0} ms", value / 1e3),
            (Unit::Micros, 1_000.0..) => format!("{:.2} ms", value / 1e3),
            (Unit::Micros, 10.0..) => format!("{value:.1} µs"),
            (Unit::Micros, _) => format!("{value:.2} µs"),
            (Unit::PerSecond, _) => format!("{value:.0} /s"),
            (Unit::Count, _) if value.fract() == 0.0 => format!("{value}"),
            (Unit::Count, _) => format!("{value:.2}"),
        };
        if ratio == 0.0 {
            value
        } else {
            format!("{value} ({ratio:.2})")
        }
    }

    /// One line, which [`Self::decode`] reads.
    pub(crate) fn encode(&self) -> String {
        let figures = self
            .figures
            .map(|figure| figure.map_or("-".into(), |(value, ratio)| format!("{value} {ratio}")));
        let unit = UNITS
            .iter()
            .find(|unit| unit.1 == self.unit)
            .map_or("", |unit| unit.0);
        format!("{}\t{unit}\t{}", self.workload, figures.join("\t"))
    }

    pub(crate) fn decode(line: &str) -> Self {
        let fields: Vec<&str> = line.split('\t').collect();
        let unit = UNITS
            .iter()
            .find(|unit| unit.0 == fields[1])
            .expect("the unit is known");
        let figure = |text: &str| {
            let (value, ratio) = text.split_once(' ')?;
            Some((value.parse().ok()?, ratio.parse().ok()?))
        };
        Self {
            workload: fields[0].into(),
            unit: unit.1,
            figures: std::array::from_fn(|side| figure(fields[2 + side])),
        }
    }
}

pub(crate) fn print_header() {
    print_line("workload", "CPUs", &SIDES.map(|side| side.name().to_owned()));
    print_line("---", "---", &SIDES.map(|_| "---".to_owned()));
}

fn print_line(workload: &str, cpus: &str, cells: &[String; SIDES.len()]) {
    let cells: String = cells.iter().map(|cell| format!(" {cell:<16} |")).collect();
    println!("| {workload:<44} | {cpus:<4} |{cells}");
}

/// In each round, runs `measure` for these sides, one after the other.
pub(crate) fn rounds(count: u64, sides: &[Side], mut measure: impl FnMut(Side, u64) -> f64) -> Vec<Round> {
    let mut round = |round| SIDES.map(|side| sides.contains(&side).then(|| measure(side, round)));
    (0..count).map(&mut round).collect()
}

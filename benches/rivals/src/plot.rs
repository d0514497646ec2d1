//! Draws `docs/rivals.svg`: the time of each workload, compared with dspinlock.

#[path = "../../table/plot/svg.rs"]
#[expect(dead_code, reason = "the benchmark `table` uses all of it")]
mod svg;

use std::path::Path;

use crate::compare::{Comparison, Unit};
use crate::side::SIDES;
use svg::{Axis, Svg};

const WIDTH: f64 = 880.0;
const ROW: f64 = 34.0;
const TOP: f64 = 84.0;

pub(crate) fn write(table: &[Comparison]) {
    let workloads: Vec<_> = table
        .iter()
        .filter(|comparison| comparison.unit != Unit::Count)
        .collect();
    let bottom = TOP + ROW * workloads.len() as f64;
    let mut svg = Svg::new(WIDTH, bottom + 56.0);
    svg.title("Time of a workload, compared with dspinlock (less is faster)");
    svg.legend(&SIDES.map(|side| (side.name(), side.name())));
    let rows: Vec<_> = workloads.iter().map(|comparison| ratios(comparison)).collect();
    let ratios = rows.iter().flatten().flatten().map(|ratio| ratio.log10());
    let (min, max) = ratios.fold((0.0, 0.0), |(min, max): (f64, f64), ratio| {
        (min.min(ratio), max.max(ratio))
    });
    let x = Axis::new((min - 0.1, max + 0.1), (290.0, WIDTH - 30.0));
    for power in min.floor() as i32..=max.ceil() as i32 {
        for digit in [1.0, 2.0, 5.0] {
            let tick = digit * 10_f64.powi(power);
            if (min - 0.1..=max + 0.1).contains(&tick.log10()) {
                let at = x.at(tick.log10());
                svg.line("axis", (at, TOP - 8.0), (at, bottom));
                svg.text("soft", (at, bottom + 18.0), "middle", &format!("{tick} ×"));
            }
        }
    }
    for (row, (comparison, ratios)) in workloads.iter().zip(&rows).enumerate() {
        let y = TOP + ROW * (row as f64 + 0.5);
        svg.text("ink", (278.0, y + 4.0), "end", &comparison.workload);
        for (side, ratio) in SIDES.iter().zip(ratios) {
            if let Some(ratio) = ratio {
                svg.dot(side.name(), (x.at(ratio.log10()), y), 6.0);
            }
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/rivals.svg");
    std::fs::write(&file, svg.to_string()).expect("the file can be written");
}

/// The time of each side, compared with dspinlock.
fn ratios(comparison: &Comparison) -> Vec<Option<f64>> {
    let ours = comparison.figures[0].map_or(f64::NAN, |figure| figure.0);
    let ratio = |value: f64| match comparison.unit {
        Unit::PerSecond => ours / value,
        _ => value / ours,
    };
    comparison
        .figures
        .iter()
        .map(|figure| figure.map(|figure| ratio(figure.0)))
        .collect()
}

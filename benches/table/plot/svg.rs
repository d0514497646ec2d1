//! A small SVG writer. The drawings have colors for light and for dark pages.

use std::fmt::{self, Display, Formatter, Write};

/// Maps values to pixels.
pub(crate) struct Axis {
    values: (f64, f64),
    pixels: (f64, f64),
}

impl Axis {
    pub(crate) fn new(values: (f64, f64), pixels: (f64, f64)) -> Self {
        Self { values, pixels }
    }

    pub(crate) fn at(&self, value: f64) -> f64 {
        let part = (value - self.values.0) / (self.values.1 - self.values.0);
        self.pixels.0 + part * (self.pixels.1 - self.pixels.0)
    }

    /// About five round values.
    fn ticks(&self) -> Vec<f64> {
        let rough = (self.values.1 - self.values.0) / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .map(|digit| digit * power)
            .into_iter()
            .find(|step| *step >= rough)
            .unwrap_or(rough);
        let count = ((self.values.1 - self.values.0) / step + 1e-9) as usize;
        (0..=count)
            .map(|tick| self.values.0 + tick as f64 * step)
            .collect()
    }
}

pub(crate) struct Svg {
    width: f64,
    height: f64,
    body: String,
}

/// Classes: `ink` and `soft` for texts, `axis` for lines, `ours` and `bare` for the two sides of a comparison.
const STYLE: &str = "
text { font: 12px system-ui, sans-serif; }
.title { font-size: 14px; font-weight: 600; }
.page { fill: #ffffff; } .ink { fill: #1f2328; } .soft { fill: #59636e; } .axis { stroke: #d1d9e0; }
.ours, .dspinlock { fill: #0969da; } .bare { fill: #bc4c00; }
.HashDSpinlock { fill: #54aeff; } .cached { fill: #1a7f37; } .rslock { fill: #cf222e; } .moka { fill: #8250df; }
line.ours, path.ours { stroke: #0969da; } line.bare, path.bare { stroke: #bc4c00; }
path { fill: none !important; stroke-width: 2; } circle { fill-opacity: 0.8; }
@media (prefers-color-scheme: dark) {
.page { fill: #0d1117; } .ink { fill: #f0f6fc; } .soft { fill: #9198a1; } .axis { stroke: #3d444d; }
.ours, .dspinlock { fill: #4493f8; } .bare { fill: #f0883e; }
.HashDSpinlock { fill: #a5d6ff; } .cached { fill: #3fb950; } .rslock { fill: #f85149; } .moka { fill: #bc8cff; }
line.ours, path.ours { stroke: #4493f8; } line.bare, path.bare { stroke: #f0883e; }
}";

impl Svg {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        let body = format!("<style>{STYLE}</style>\n");
        let mut svg = Self { width, height, body };
        svg.add(format_args!(
            r#"<rect class="page" width="{width}" height="{height}" rx="6"/>"#
        ));
        svg
    }

    fn add(&mut self, element: impl Display) {
        writeln!(self.body, "{element}").expect("writing to a String does not fail");
    }

    pub(crate) fn title(&mut self, text: &str) {
        self.add(format_args!(
            r#"<text class="ink title" x="24" y="30">{text}</text>"#
        ));
    }

    /// Each entry is a class and its meaning.
    pub(crate) fn legend(&mut self, entries: &[(&str, &str)]) {
        let mut x = 30.0;
        for (class, text) in entries {
            self.add(format_args!(
                r#"<circle class="{class}" cx="{x}" cy="52" r="4"/>"#
            ));
            self.text("ink", (x + 10.0, 56.0), "start", text);
            x += 40.0 + 7.0 * text.len() as f64;
        }
    }

    pub(crate) fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: &str, text: &str) {
        let text = text.replace('&', "&amp;");
        self.add(format_args!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{text}</text>"#
        ));
    }

    pub(crate) fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.add(format_args!(
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        ));
    }

    pub(crate) fn dot(&mut self, class: &str, (x, y): (f64, f64), radius: f64) {
        self.add(format_args!(
            r#"<circle class="{class}" cx="{x:.1}" cy="{y:.1}" r="{radius}"/>"#
        ));
    }

    pub(crate) fn curve(&mut self, class: &str, points: impl Iterator<Item = (f64, f64)>) {
        let points: Vec<String> = points.map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
        self.add(format_args!(
            r#"<path class="{class}" d="M{}"/>"#,
            points.join(" L")
        ));
    }

    /// Draws the axis below the plot, with its unit and label.
    pub(crate) fn x_axis(&mut self, x: &Axis, y: &Axis, unit: &str, label: &str) {
        let bottom = y.pixels.0;
        self.line("axis", (x.pixels.0, bottom), (x.pixels.1, bottom));
        for tick in x.ticks() {
            let at = x.at(tick);
            self.line("axis", (at, bottom), (at, bottom + 4.0));
            self.text("soft", (at, bottom + 18.0), "middle", &tick.to_string());
        }
        let middle = f64::midpoint(x.pixels.0, x.pixels.1);
        self.text(
            "ink",
            (middle, bottom + 38.0),
            "middle",
            &format!("{unit}, {label}"),
        );
    }

    /// Draws the axis to the left of the plot, with grid lines.
    pub(crate) fn y_axis(&mut self, x: &Axis, y: &Axis, label: &str) {
        for tick in y.ticks() {
            let at = y.at(tick);
            self.line("axis", (x.pixels.0, at), (x.pixels.1, at));
            self.text("soft", (x.pixels.0 - 8.0, at + 4.0), "end", &tick.to_string());
        }
        self.text("ink", (x.pixels.0 - 32.0, y.pixels.1 - 14.0), "start", label);
    }
}

impl Display for Svg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { width, height, body } = self;
        writeln!(
            f,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">"#
        )?;
        writeln!(f, "{body}</svg>")
    }
}

//! Bar charts as SVG: groups of horizontal bars, one per series. No more than the benchmarks need, so no crate for it.

use std::fmt::Write;

/// Colours that most people can tell apart (Okabe and Ito's).
const COLOURS: [&str; 6] = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"];
const BAR: f64 = 13.0;
const GAP: f64 = 9.0;
const LEFT: f64 = 190.0;
const PLOT: f64 = 560.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 64.0;

/// A chart to be drawn.
pub(crate) struct Chart {
    /// Above the bars.
    pub(crate) title: String,
    /// Of the values, as `seconds`.
    pub(crate) unit: String,
    /// One colour each.
    pub(crate) series: Vec<String>,
    /// Label of each group and its values by series; no bar for none.
    pub(crate) groups: Vec<(String, Vec<Option<f64>>)>,
    /// Whether the axis is logarithmic; values of 0 are drawn at its beginning.
    pub(crate) logarithmic: bool,
}

impl Chart {
    /// The picture.
    pub(crate) fn svg(&self) -> String {
        let bars = self.series.len() as f64;
        let height = TOP + self.groups.len() as f64 * (bars * BAR + GAP) + 30.0;
        let width = LEFT + PLOT + RIGHT;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        text(&mut out, 10.0, 20.0, "start", &self.title, " font-size=\"14\"");
        self.legend(&mut out);
        let axis = Axis::of(self);
        axis.draw(&mut out, height - 26.0, &self.unit);
        let mut y = TOP;
        for (label, values) in &self.groups {
            let middle = y + bars * BAR / 2.0 + 4.0;
            text(&mut out, LEFT - 8.0, middle, "end", label, "");
            for (index, value) in values.iter().enumerate() {
                if let Some(value) = value {
                    let length = axis.at(*value);
                    let colour = COLOURS[index % COLOURS.len()];
                    let _infallible = writeln!(
                        out,
                        "<rect x=\"{LEFT}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
                        BAR - 2.0
                    );
                    text(
                        &mut out,
                        LEFT + length + 4.0,
                        y + BAR - 4.0,
                        "start",
                        &short(*value),
                        "",
                    );
                }
                y += BAR;
            }
            y += GAP;
        }
        out + "</svg>\n"
    }

    fn legend(&self, out: &mut String) {
        let mut x = LEFT;
        for (index, name) in self.series.iter().enumerate() {
            let colour = COLOURS[index % COLOURS.len()];
            let _infallible = writeln!(
                out,
                "<rect x=\"{x:.1}\" y=\"34\" width=\"11\" height=\"11\" fill=\"{colour}\"/>"
            );
            text(out, x + 15.0, 44.0, "start", name, "");
            x += 15.0 + name.chars().count() as f64 * 6.5 + 18.0;
        }
    }
}

/// From values to lengths.
struct Axis {
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Axis {
    fn of(chart: &Chart) -> Self {
        let values = chart.groups.iter().flat_map(|(_, v)| v.iter().flatten().copied());
        let largest = values.clone().fold(0.0, f64::max);
        let smallest = values.filter(|v| *v > 0.0).fold(f64::INFINITY, f64::min);
        if chart.logarithmic && smallest.is_finite() {
            // Whole powers of ten, and room for the smallest bar.
            let from = 10f64.powf((smallest / 1.5).log10().floor());
            let to = 10f64.powf(largest.log10().ceil()).max(from * 10.0);
            Self {
                from,
                to,
                logarithmic: true,
            }
        } else {
            Self {
                from: 0.0,
                to: if largest > 0.0 { largest } else { 1.0 },
                logarithmic: false,
            }
        }
    }

    fn at(&self, value: f64) -> f64 {
        let part = if self.logarithmic {
            (value.max(self.from) / self.from).log10() / (self.to / self.from).log10()
        } else {
            value / self.to
        };
        part * PLOT
    }

    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let decades = (self.to / self.from).log10().round() as i32;
            (0..=decades).map(|n| self.from * 10f64.powi(n)).collect()
        } else {
            (0..=4).map(|n| self.to * f64::from(n) / 4.0).collect()
        }
    }

    fn draw(&self, out: &mut String, bottom: f64, unit: &str) {
        for tick in self.ticks() {
            let x = LEFT + self.at(tick);
            let _infallible = writeln!(
                out,
                "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"#ddd\"/>",
                TOP - 6.0
            );
            text(out, x, bottom + 14.0, "middle", &short(tick), " fill=\"#666\"");
        }
        text(
            out,
            LEFT + PLOT + RIGHT - 6.0,
            bottom + 14.0,
            "end",
            unit,
            " fill=\"#666\"",
        );
    }
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, content: &str, more: &str) {
    let content = content
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    let _infallible = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{more}>{content}</text>"
    );
}

/// Three significant digits, with a letter for thousands and millions.
fn short(value: f64) -> String {
    let (value, unit) = match value {
        v if v >= 1e9 => (v / 1e9, "G"),
        v if v >= 1e6 => (v / 1e6, "M"),
        v if v >= 1e4 => (v / 1e3, "k"),
        v => (v, ""),
    };
    let digits = match value {
        v if v == 0.0 || v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        v => usize::try_from(2 - v.log10().floor() as i32).unwrap_or(3),
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_short() {
        for (value, expected) in [
            (0.0, "0"),
            (0.001, "0.001"),
            (0.0301, "0.0301"),
            (1.5, "1.5"),
            (83.0, "83"),
            (5000.0, "5000"),
            (12_345.0, "12.3k"),
            (1.0e6, "1M"),
        ] {
            assert_eq!(short(value), expected);
        }
    }

    #[test]
    fn a_chart_is_one_bar_per_value_and_escapes_its_text() {
        let chart = Chart {
            title: "a < b".to_owned(),
            unit: "seconds".to_owned(),
            series: vec!["one".to_owned(), "two".to_owned()],
            groups: vec![
                ("first".to_owned(), vec![Some(0.01), Some(2.0)]),
                ("second".to_owned(), vec![None, Some(0.0)]),
            ],
            logarithmic: true,
        };
        let svg = chart.svg();
        // Three bars, two squares of the legend, the background.
        assert_eq!(svg.matches("<rect").count(), 6);
        assert!(svg.contains("a &lt; b") && !svg.contains("NaN") && !svg.contains("inf"));
    }
}

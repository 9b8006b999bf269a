//! The plots, written as SVG without a library.

use std::fmt::Write;

use super::{
    plan::{FAST, IDLE, PACED, SUBSCRIBERS, TARGETS},
    results::Results,
};
use crate::{
    result::{DELIVERIES, P99, format_number},
    scenario::FULL,
    target::Kind,
};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
/// The colours of the targets, in their order.
const COLOURS: [&str; TARGETS.len()] = ["#808080", "#d55e00", "#0072b2", "#009e73"];
/// The margins around the plot: left, top, right, bottom.
const MARGIN: [f64; 4] = [80.0, 40.0, 110.0, 50.0];

/// All images, as file name and content.
pub(super) fn images(results: &Results) -> [(&'static str, String); 3] {
    [
        (
            "deliveries.svg",
            image(
                results,
                "Deliveries a second, at full speed",
                FAST,
                DELIVERIES,
            ),
        ),
        (
            "latency.svg",
            image(
                results,
                "99th percentile in ms, at 50 events/s (1,000 subscribers: 10)",
                PACED,
                P99,
            ),
        ),
        (
            "memory.svg",
            image(
                results,
                "Memory of the broker in MB, with idle subscribers",
                IDLE,
                FULL,
            ),
        ),
    ]
}

/// A logarithmic axis.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        self.from
            + (value / self.low).log10() / (self.high / self.low).log10() * (self.to - self.from)
    }
}

fn image(results: &Results, title: &str, rows: [&'static str; 3], number: &str) -> String {
    let points = |target| -> Vec<(f64, f64)> {
        let values = rows.iter().map(|row| {
            results
                .get(&(*row, target))
                .and_then(|found| found.get(number))
        });
        SUBSCRIBERS
            .iter()
            .zip(values)
            .filter_map(|(subscribers, value)| {
                Some((*subscribers as f64, value.filter(|value| *value > 0.0)?))
            })
            .collect()
    };
    let values: Vec<f64> = TARGETS
        .iter()
        .flat_map(|target| points(*target))
        .map(|(_, value)| value)
        .collect();
    let least = values
        .iter()
        .copied()
        .fold(f64::INFINITY, f64::min)
        .min(1e9);
    let most = values.iter().copied().fold(least, f64::max);
    let [left, top, right, bottom] = MARGIN;
    let (low, high) = (
        10_f64.powf(least.log10().floor()),
        10_f64.powf((most * 1.01).log10().ceil()),
    );
    let across = Axis {
        low: SUBSCRIBERS[0] as f64,
        high: SUBSCRIBERS[2] as f64,
        from: left,
        to: WIDTH - right,
    };
    let up = Axis {
        low,
        high,
        from: HEIGHT - bottom,
        to: top,
    };

    // A white background, as readers may use a dark theme.
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{left}\" y=\"22\" font-size=\"14\">{title}</text>\n"
    );
    let mut mark = low;
    while mark <= high * 1.001 {
        let y = up.at(mark);
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" x2=\"{:.0}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>",
            WIDTH - right
        );
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left - 8.0,
            y + 4.0,
            format_number(mark)
        );
        mark *= 10.0;
    }
    for subscribers in SUBSCRIBERS {
        let x = across.at(subscribers as f64);
        let _ = writeln!(
            svg,
            "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - bottom + 18.0,
            format_number(subscribers as f64)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">subscribers</text>",
        (left + WIDTH - right) / 2.0,
        HEIGHT - 12.0
    );
    for (place, target) in TARGETS.into_iter().enumerate() {
        curve(&mut svg, &points(target), target, place, &across, &up);
    }
    svg.push_str("</svg>\n");
    svg
}

/// A curve with its points, and its name in the legend.
fn curve(
    svg: &mut String,
    points: &[(f64, f64)],
    target: Kind,
    place: usize,
    across: &Axis,
    up: &Axis,
) {
    let colour = COLOURS[place];
    let places: Vec<(f64, f64)> = points
        .iter()
        .map(|(subscribers, value)| (across.at(*subscribers), up.at(*value)))
        .collect();
    let line: Vec<String> = places
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        line.join(" ")
    );
    for (x, y) in places {
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>"
        );
    }
    let (x, y) = (
        WIDTH - MARGIN[2] + 14.0,
        MARGIN[1] + 12.0 + 20.0 * place as f64,
    );
    let _ = writeln!(
        svg,
        "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"12\" height=\"4\" fill=\"{colour}\"/>",
        y - 6.0
    );
    let _ = writeln!(
        svg,
        "<text x=\"{:.0}\" y=\"{y:.0}\">{}</text>",
        x + 18.0,
        target.name()
    );
}

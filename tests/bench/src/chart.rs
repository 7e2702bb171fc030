//! A bar chart of the CPU time per request, as SVG that reads well on white and on black.

use std::fmt::Write as _;

use crate::contest::{Outcome, Standing};
use crate::workload::Workload;

const WIDTH: f64 = 820.0;
/// Where bars begin, right of the names.
const LEFT: f64 = 400.0;
/// Where the longest bar ends, left of its number.
const RIGHT: f64 = 770.0;
const HEADING: f64 = 34.0;
const ROW: f64 = 24.0;
const BAR: f64 = 14.0;
/// How far below the middle of a row its text stands.
const BASELINE: f64 = 4.5;

const STYLE: &str = "\
    text { font: 13px system-ui, sans-serif; fill: #57606a; }\n\
    .heading { font-weight: 600; fill: #24292f; }\n\
    .bar { fill: #8c959f; }\n\
    .wharf { fill: #0a7ea4; }\n\
    @media (prefers-color-scheme: dark) {\n\
      text { fill: #9ea7b3; }\n\
      .heading { fill: #e6edf3; }\n\
      .bar { fill: #6e7681; }\n\
      .wharf { fill: #39b6e0; }\n\
    }\n";

/// One block of bars for each workload.
pub(crate) fn draw(outcomes: &[(Workload, Outcome)]) -> String {
    let mut blocks = String::new();
    let mut y = 0.0;
    for (workload, outcome) in outcomes {
        y = block(&mut blocks, y, *workload, outcome);
    }
    let height = y + 10.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"CPU time per request of each server\">\n\
         <style>\n{STYLE}</style>\n{blocks}</svg>"
    )
}

/// Draws from `y` downwards, and tells where it ended.
fn block(out: &mut String, mut y: f64, workload: Workload, outcome: &Outcome) -> f64 {
    let mut bars: Vec<_> = outcome.standings.iter().filter_map(bar).collect();
    bars.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    let longest = bars.last().map_or(1.0, |(_, cpu)| *cpu);
    let title = format!("{}: CPU µs per request, less is better", workload.name());
    text(out, 0.0, y + HEADING / 2.0, "heading", &title);
    y += HEADING;
    for (standing, cpu) in bars {
        let class = if standing.peer.name.starts_with("wharf") {
            "bar wharf"
        } else {
            "bar"
        };
        let length = (RIGHT - LEFT) * cpu / longest;
        let (top, middle) = (y + (ROW - BAR) / 2.0, y + ROW / 2.0);
        text(out, 0.0, middle, "name", standing.peer.title);
        // Writing to a `String` can't fail.
        let _ = writeln!(
            out,
            "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{top}\" width=\"{length:.1}\" \
             height=\"{BAR}\" rx=\"2\"/>"
        );
        text(
            out,
            LEFT + length + 6.0,
            middle,
            "value",
            &format!("{cpu:.1}"),
        );
        y += ROW;
    }
    y
}

fn bar(standing: &Standing) -> Option<(&Standing, f64)> {
    Some((standing, standing.median(|sample| sample.cpu)?))
}

fn text(out: &mut String, x: f64, middle: f64, class: &str, text: &str) {
    let y = middle + BASELINE;
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        out,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
    );
}

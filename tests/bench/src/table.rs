//! Tables in Markdown that can be read as they are, and the numbers in them.

use std::fmt;
use std::time::Duration;

/// The first column is text, all others are numbers.
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<C: Into<String>>(columns: impl IntoIterator<Item = C>) -> Self {
        Self {
            columns: columns.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = || self.rows.iter().chain([&self.columns]);
        let width = |column: usize| {
            let cells = lines().filter_map(|line| line.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.columns.len()).map(width).collect();
        let write = |f: &mut fmt::Formatter<'_>, line: &[String]| {
            for (column, (cell, &width)) in line.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(f, "| {cell:<width$} ")?,
                    _ => write!(f, "| {cell:>width$} ")?,
                }
            }
            writeln!(f, "|")
        };
        write(f, &self.columns)?;
        for (column, &width) in widths.iter().enumerate() {
            match column {
                0 => write!(f, "|{:-<1$}", "", width + 2)?,
                _ => write!(f, "|{:->1$}", ":", width + 2)?,
            }
        }
        writeln!(f, "|")?;
        self.rows.iter().try_for_each(|row| write(f, row))
    }
}

/// What stands in a cell that couldn't be measured.
const NOTHING: &str = "–";

/// The middle one; nothing of nothing.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values.get((values.len() - 1) / 2)?;
    Some(f64::midpoint(*lower, *upper))
}

/// The mean; nothing of nothing. For what the kernel counts in ticks that are coarse beside it.
pub(crate) fn mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.into_iter().collect();
    let count = u64::try_from(values.len())
        .ok()
        .filter(|count| *count > 0)?;
    Some(values.iter().sum::<f64>() / float(count))
}

/// A number with so many digits behind the point.
pub(crate) fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| NOTHING.to_owned(), |value| format!("{value:.digits$}"))
}

/// How many times `base` it is.
pub(crate) fn ratio(value: Option<f64>, base: Option<f64>) -> String {
    number(value.zip(base).map(|(value, base)| value / base), 2)
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[expect(
    clippy::cast_precision_loss,
    reason = "what is counted here is far below 2^52, or shown with three digits"
)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

pub(crate) fn mib(bytes: u64) -> f64 {
    float(bytes) / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new(["server", "µs"]);
        table.row(["a", "12.5"]);
        let expected = "| server |   µs |\n|--------|-----:|\n| a      | 12.5 |\n";
        assert_eq!(table.to_string(), expected);
    }
}

//! Tables that fit the terminal: one column gives way, and notes stand below the rows that they are
//! about.

use anstyle::Style;
use textwrap::core::display_width;
use unicode_width::UnicodeWidthChar as _;

use super::paint::{QUIET, paint};

/// Between two columns.
const GAP: &str = "  ";
/// The least that is left of a text that has to give way.
const LEAST: usize = 8;

/// Where a column's text stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A column.
#[derive(Clone, Copy)]
pub(in crate::cli) struct Column {
    /// Its header.
    pub(in crate::cli) title: &'static str,
    /// Where its text stands.
    pub(in crate::cli) align: Align,
}

impl Column {
    /// A column of words.
    pub(in crate::cli) const fn left(title: &'static str) -> Self {
        let align = Align::Left;
        Self { title, align }
    }

    /// A column of numbers.
    pub(in crate::cli) const fn right(title: &'static str) -> Self {
        let align = Align::Right;
        Self { title, align }
    }
}

/// What stands in one place. The text is harmless and one line.
pub(in crate::cli) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A text in a style.
    pub(in crate::cli) fn styled(text: impl Into<String>, style: Style) -> Self {
        let text = text.into();
        Self { text, style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

enum Row {
    Cells(Vec<Cell>),
    Note(Style, String),
}

/// Rows, to be shown once all of them are known.
pub(in crate::cli) struct Table {
    columns: Vec<Column>,
    /// Which column gives way if the terminal is too narrow.
    elastic: usize,
    rows: Vec<Row>,
}

impl Table {
    /// A table without rows; `elastic` is the index of the column that gives way.
    pub(in crate::cli) fn new(columns: &[Column], elastic: usize) -> Self {
        let columns = columns.to_vec();
        let rows = Vec::new();
        Self {
            columns,
            elastic,
            rows,
        }
    }

    /// Adds a row with a cell for each column.
    pub(in crate::cli) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        debug_assert_eq!(N, self.columns.len());
        self.rows.push(Row::Cells(cells.into()));
    }

    /// Adds lines below the row before.
    pub(in crate::cli) fn note(&mut self, style: Style, text: impl Into<String>) {
        self.rows.push(Row::Note(style, text.into()));
    }

    /// The lines, the header first, none wider than `width`; `None` leaves every text as long as it is.
    pub(in crate::cli) fn lines(&self, width: Option<usize>) -> Vec<String> {
        let widths = self.widths(width);
        let titles: Vec<_> = self
            .columns
            .iter()
            .map(|c| Cell::styled(c.title, QUIET))
            .collect();
        let mut lines = vec![self.line(&titles, &widths)];
        for row in &self.rows {
            match row {
                Row::Cells(cells) => lines.push(self.line(cells, &widths)),
                Row::Note(style, text) => {
                    let wrapped = wrap(text, "  ", "    ", width);
                    lines.extend(wrapped.iter().map(|line| paint(*style, line)));
                }
            }
        }
        lines
    }

    /// The same as one text.
    pub(in crate::cli) fn text(&self, width: Option<usize>) -> String {
        let mut text = self.lines(width).join("\n");
        text.push('\n');
        text
    }

    fn widths(&self, width: Option<usize>) -> Vec<usize> {
        let mut widths: Vec<_> = self.columns.iter().map(|c| width_of(c.title)).collect();
        for row in &self.rows {
            if let Row::Cells(cells) = row {
                for (width, cell) in widths.iter_mut().zip(cells) {
                    *width = (*width).max(width_of(&cell.text));
                }
            }
        }
        if let Some(width) = width {
            let all = widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1);
            if let Some(elastic) = widths.get_mut(self.elastic) {
                let least = LEAST.min(*elastic);
                *elastic = elastic.saturating_sub(all.saturating_sub(width)).max(least);
            }
        }
        widths
    }

    fn line(&self, cells: &[Cell], widths: &[usize]) -> String {
        let mut line = String::new();
        let mut gap = 0;
        for ((cell, column), &width) in cells.iter().zip(&self.columns).zip(widths) {
            let text = fit(&cell.text, width);
            let padding = width.saturating_sub(width_of(&text));
            let (before, after) = match column.align {
                Align::Left => (gap, padding),
                Align::Right => (gap + padding, 0),
            };
            // spaces are written only before a text: no line ends in one
            if text.is_empty() {
                gap = before + after + GAP.len();
                continue;
            }
            line.extend(std::iter::repeat_n(' ', before));
            line.push_str(&paint(cell.style, &text));
            gap = after + GAP.len();
        }
        line
    }
}

/// The columns that a text takes on a terminal; styles take none.
pub(in crate::cli) fn width_of(text: &str) -> usize {
    display_width(text)
}

/// The text, without its middle if it is too long: names that differ at the end stay apart.
pub(in crate::cli) fn fit(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let end = take(text.chars().rev(), room / 2);
    let start = take(text.chars(), room - room / 2);
    let end: String = end.chars().rev().collect();
    if width == 0 {
        String::new()
    } else {
        format!("{start}…{end}")
    }
}

/// The beginning of a sentence that is too long.
pub(in crate::cli) fn cut(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let start = take(text.chars(), width.saturating_sub(1));
    let mark = if width == 0 { "" } else { "…" };
    format!("{}{mark}", start.trim_end())
}

fn take(chars: impl Iterator<Item = char>, width: usize) -> String {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= width
        })
        .collect()
}

/// The text in lines that are no wider than `width`; `None` makes one line of it.
pub(in crate::cli) fn wrap(
    text: &str,
    first: &str,
    others: &str,
    width: Option<usize>,
) -> Vec<String> {
    let Some(width) = width else {
        return vec![format!("{first}{text}")];
    };
    let options = textwrap::Options::new(width.max(20))
        .initial_indent(first)
        .subsequent_indent(others);
    textwrap::wrap(text, options)
        .into_iter()
        .map(Into::into)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(
            &[
                Column::left("NAME"),
                Column::right("COUNT"),
                Column::left("WHY"),
            ],
            0,
        );
        table.row(["short".into(), "7".into(), "".into()]);
        table.note(Style::new(), "a note about it");
        table.row([Cell::from("x".repeat(63)), "1200".into(), "because".into()]);
        table
    }

    #[test]
    fn columns_stand_below_each_other() {
        let mut table = Table::new(&[Column::left("NAME"), Column::right("COUNT")], 0);
        table.row(["größe".into(), "7".into()]);
        table.row(["日本".into(), "1200".into()]);
        let text = anstream::adapter::strip_str(&table.text(None)).to_string();
        assert_eq!(text, "NAME   COUNT\ngröße      7\n日本    1200\n");
    }

    #[test]
    fn the_elastic_column_gives_way() {
        for width in [40, 60, 78] {
            let lines = table().lines(Some(width));
            let widest = lines.iter().map(|line| width_of(line)).max().unwrap();
            assert_eq!(widest, width, "{lines:#?}");
        }
        let lines = table().lines(Some(40));
        assert!(lines[3].contains('…'), "{lines:?}");
        assert!(table().text(None).contains(&"x".repeat(63)));
    }

    #[test]
    fn a_terminal_that_is_far_too_narrow_leaves_something_to_read() {
        let lines = table().lines(Some(3));
        assert!(lines[3].starts_with("xxxx…xxx"), "{lines:?}");
    }

    #[test]
    fn no_line_ends_in_spaces() {
        for line in table().lines(Some(60)) {
            let line = anstream::adapter::strip_str(&line).to_string();
            assert_eq!(line.trim_end(), line);
        }
    }

    #[test]
    fn what_is_too_long_loses_its_middle() {
        assert_eq!(fit("service-a-1", 7), "ser…a-1");
        assert_eq!(fit("日本日本日本", 7), "日…本");
        assert_eq!(fit("ab", 1), "…");
        assert_eq!(fit("ab", 0), "");
    }

    #[test]
    fn a_sentence_that_is_too_long_loses_its_end() {
        assert_eq!(cut("it crashed", 10), "it crashed");
        assert_eq!(cut("it crashed", 4), "it…");
        assert_eq!(cut("it", 1), "…");
        assert_eq!(cut("it", 0), "");
    }
}

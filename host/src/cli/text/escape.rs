//! Makes text that a guest or a host wrote harmless for a terminal.
//!
//! Control sequences can move the cursor, rename the window or answer as if they were typed, and
//! direction marks show text in another order than it has. All of them are shown as what they are,
//! `\x1b` and `\u{202e}`; only colours, which programs write into their logs as a matter of course,
//! are dropped.

use std::fmt::Write as _;

/// One line: what breaks lines becomes a space.
pub(in crate::cli) fn line(text: &str) -> String {
    let mut safe = escaped(text, |safe| safe.push(' '));
    safe.truncate(safe.trim_end().len());
    safe
}

/// Several lines: line feeds stay, and each line that follows one is indented by `indent`.
pub(in crate::cli) fn block(text: &str, indent: &str) -> String {
    escaped(text.trim_end(), |safe| {
        safe.push('\n');
        safe.push_str(indent);
    })
}

/// A JSON document: what a terminal might take for an order is written as JSON's own escapes, so
/// that the document says the same as before. Control characters below a space can't be in it.
pub(in crate::cli) fn json(document: &str) -> String {
    let mut safe = String::with_capacity(document.len());
    let mut units = [0; 2];
    for c in document.trim().chars() {
        if c == '\n' || !is_dangerous(c) {
            safe.push(c);
        } else {
            for unit in c.encode_utf16(&mut units) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        }
    }
    safe
}

fn escaped(text: &str, mut new_line: impl FnMut(&mut String)) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(length) = colour(rest) {
            rest = &rest[length..];
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            '\r' if rest.starts_with('\n') || rest.is_empty() => {}
            '\n' => new_line(&mut safe),
            '\t' => safe.push_str("    "),
            c if !is_dangerous(c) => safe.push(c),
            c if u32::from(c) < 0x100 => {
                let _ = write!(safe, "\\x{:02x}", u32::from(c));
            }
            c => {
                let _ = write!(safe, "{}", c.escape_unicode());
            }
        }
    }
    safe
}

/// The length of a sequence that sets colours (ECMA-48, 8.3.117), if the text begins with one.
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !matches!(c, '0'..='9' | ';' | ':'))?;
    parameters[end..].starts_with('m').then_some(2 + end + 1)
}

/// Whether a character does anything but stand there: controls of both sets, what breaks lines, marks
/// that turn the direction, and characters that nobody sees.
fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_sequences_are_shown_and_not_obeyed() {
        assert_eq!(line("a\x1b]0;title\x07b"), "a\\x1b]0;title\\x07b");
        assert_eq!(line("\u{9b}2J"), "\\x9b2J");
        assert_eq!(line("pay\u{202e}gpj.exe"), "pay\\u{202e}gpj.exe");
        assert_eq!(line("\x1b[2J"), "\\x1b[2J");
        assert_eq!(line("100%\rdone"), "100%\\x0ddone");
    }

    #[test]
    fn colours_are_dropped() {
        assert_eq!(line("\x1b[1;32mINFO\x1b[0m ready\x1b[m"), "INFO ready");
        assert_eq!(
            line("\x1b[1;32"),
            "\\x1b[1;32",
            "one that is cut off is none"
        );
    }

    #[test]
    fn only_a_block_has_lines() {
        assert_eq!(line("a\r\nb\n"), "a b");
        assert_eq!(block("a\r\nb\n", "  "), "a\n  b");
        assert_eq!(line("größe 😀\t!"), "größe 😀    !");
    }

    #[test]
    fn a_document_stays_the_same_document() {
        let document = "{\"text\":\"a\u{9b}b\u{202e}\u{e0001}\",\n \"n\":1}\n";
        let safe = json(document);
        assert!(safe.is_ascii(), "{safe}");
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(parse(&safe), parse(document));
    }

    proptest! {
        #[test]
        fn nothing_that_comes_out_is_an_order(text in "(?s).{0,40}|(\x1b|\\[|[0-9]|m|\u{9b}|;){0,20}") {
            prop_assert!(!line(&text).chars().any(is_dangerous));
            prop_assert!(!block(&text, "").chars().any(|c| c != '\n' && is_dangerous(c)));
        }
    }
}

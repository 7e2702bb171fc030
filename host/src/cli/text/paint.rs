//! The few colours, and what they mean. They are always written; the sink drops them where they are
//! not wanted.

use anstyle::{AnsiColor, Style};

/// As it should be.
pub(in crate::cli) const GOOD: Style = AnsiColor::Green.on_default();
/// Worth a look.
pub(in crate::cli) const WARN: Style = AnsiColor::Yellow.on_default();
/// Broken.
pub(in crate::cli) const BAD: Style = AnsiColor::Red.on_default();
/// There for whoever looks for it.
pub(in crate::cli) const QUIET: Style = Style::new().dimmed();
/// What a line is about.
pub(in crate::cli) const BOLD: Style = Style::new().bold();

/// The text in a style.
pub(in crate::cli) fn paint(style: Style, text: &str) -> String {
    if style.is_plain() {
        text.to_owned()
    } else {
        format!("{style}{text}{style:#}")
    }
}

/// The colour of a state of a service, an instance or a release, of an event's level, or of a reason
/// to exit; unknown ones have none.
pub(in crate::cli) fn state_style(state: &str) -> Style {
    match state {
        "ready" | "live" => GOOD,
        "starting" | "degraded" | "held" | "canary" | "warning" | "killed" | "ejected" => WARN,
        "broken" | "refused" | "taken_back" | "error" | "trap" | "deadline" | "memory"
        | "start" | "host" => BAD,
        "draining" | "kept" | "retired" => QUIET,
        _ => Style::new(),
    }
}

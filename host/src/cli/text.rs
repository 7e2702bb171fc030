//! What the commands print with: tables, units, times, and text of others made harmless.

mod escape;
mod paint;
mod table;
mod time;
mod units;

pub(super) use self::escape::{block, json, line};
pub(super) use self::paint::{BAD, BOLD, GOOD, QUIET, WARN, paint, state_style};
pub(super) use self::table::{Cell, Column, Table, cut, fit, width_of, wrap};
pub(super) use self::time::{Stamps, stamp};
pub(super) use self::units::{age, count, latency, rate, short, size};

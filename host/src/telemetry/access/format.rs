//! The form of a line.

use std::fmt::{self, Write};
use std::time::{Duration, SystemTime};

use http::uri::PathAndQuery;
use serde::Serialize;
use time::OffsetDateTime;

use super::Access;
use crate::config::LogFormat;
use crate::service::exit::unix_seconds;
use crate::service::short;

/// Adds a line with its end to `to`.
pub(super) fn line(access: &Access, format: LogFormat, to: &mut String) {
    // a string takes everything
    let _ = match format {
        LogFormat::Text => text(access, to),
        LogFormat::Json => json(access, to),
    };
    to.push('\n');
}

/// For people: what the common log format begins with, then keys and values.
fn text(access: &Access, to: &mut String) -> fmt::Result {
    let Access {
        version, status, ..
    } = access;
    timestamp(access.at, to)?;
    write!(to, " {} \"{} ", access.remote, access.method)?;
    escape(path(access), to, |character| {
        is_unsafe(character) || character == '"' || character == '\\'
    });
    write!(to, " {version:?}\" {}", status.as_u16())?;
    if let Some(served) = &access.served {
        write!(to, " service={}", served.service)?;
        write!(to, " release={}", short(&served.digest))?;
        if let Some(revision) = served.revision {
            write!(to, " revision={revision}")?;
        }
        if let Some(instance) = served.instance {
            write!(to, " instance={instance}")?;
        }
        write!(to, " tries={}", served.tries)?;
    }
    let (head, duration) = (access.head.as_secs_f64(), access.duration.as_secs_f64());
    write!(to, " in={} out={}", access.bytes_in, access.bytes_out)?;
    write!(to, " head={head:.6} time={duration:.6}")?;
    if !access.complete {
        write!(to, " cut=true")?;
    }
    write!(to, " id={}", access.request)
}

#[derive(Serialize)]
struct Json<'a> {
    at: f64,
    request: &'a str,
    remote: std::net::IpAddr,
    method: &'a str,
    path: &'a str,
    version: &'a str,
    status: u16,
    service: Option<&'a str>,
    release: Option<&'a str>,
    revision: Option<u64>,
    instance: Option<crate::service::exit::InstanceId>,
    tries: u32,
    in_bytes: u64,
    out_bytes: u64,
    head_seconds: f64,
    duration_seconds: f64,
    complete: bool,
}

/// For machines: an object with the same keys in each line.
fn json(access: &Access, to: &mut String) -> fmt::Result {
    let served = access.served.as_ref();
    let version = format!("{:?}", access.version);
    let object = Json {
        at: (unix_seconds(access.at) * 1e6).round() / 1e6,
        request: access.request.as_str(),
        remote: access.remote,
        method: access.method.as_str(),
        path: path(access),
        version: &version,
        status: access.status.as_u16(),
        service: served.map(|served| served.service.as_str()),
        release: served.map(|served| short(&served.digest)),
        revision: served.and_then(|served| served.revision),
        instance: served.and_then(|served| served.instance),
        tries: served.map_or(0, |served| served.tries),
        in_bytes: access.bytes_in,
        out_bytes: access.bytes_out,
        head_seconds: seconds(access.head),
        duration_seconds: seconds(access.duration),
        complete: access.complete,
    };
    let object = serde_json::to_string(&object).map_err(|_| fmt::Error)?;
    // JSON lets through what a terminal may take for an order; as JSON it is the same if escaped
    escape(&object, to, is_unsafe);
    Ok(())
}

fn path(access: &Access) -> &str {
    access.target.as_ref().map_or("*", PathAndQuery::path)
}

/// In seconds, to the microsecond.
fn seconds(duration: Duration) -> f64 {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(micros).as_secs_f64()
}

/// As RFC 3339 has it, in UTC, to the millisecond.
fn timestamp(at: SystemTime, to: &mut String) -> fmt::Result {
    let at = OffsetDateTime::from(at);
    let (date, (hour, minute, second, millisecond)) = (at.date(), at.to_hms_milli());
    let (year, month, day) = (date.year(), u8::from(date.month()), date.day());
    write!(to, "{year:04}-{month:02}-{day:02}T")?;
    write!(to, "{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}

/// Characters that could end a line, overwrite it, or turn it around, where it is shown.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Adds `text` to `to`, with the characters that are `bad` as JSON writes them.
fn escape(text: &str, to: &mut String, bad: impl Fn(char) -> bool) {
    if !text.chars().any(&bad) {
        to.push_str(text);
        return;
    }
    for character in text.chars() {
        if !bad(character) {
            to.push(character);
        } else if matches!(character, '"' | '\\') {
            to.extend(['\\', character]);
        } else {
            let _ = write!(to, "\\u{:04x}", u32::from(character));
        }
    }
}

//! `wharf.toml` as it is written.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use super::decode::{decode, section};
use super::section::{LONGEST, SHORTEST, Section};
use super::units::{Count, OrOff, Size, Span};
use super::{WASM_MAX, WASM_PAGE};
use crate::config::{
    AccessLog, AccessOutput, Config, ConfigError, Deploy, Drain, Http, Log, LogFormat, Sandbox,
};

/// Decodes and checks the text of a configuration file.
pub(in crate::config) fn server(file: &Path, text: &str) -> Result<Config, ConfigError> {
    let raw: RawConfig = decode(file, text)?;
    let default = Config::default();
    let top = Section::new(file, "");
    Ok(Config {
        services: directory(top, "services", raw.services, default.services)?,
        data: directory(top, "data", raw.data, default.data)?,
        listen: address(top, "listen", raw.listen, default.listen)?,
        admin: address(top, "admin", raw.admin, default.admin)?,
        http: raw.http.check(Section::new(file, "http"))?,
        drain: raw.drain.check(Section::new(file, "drain"))?,
        deploy: raw.deploy.check(Section::new(file, "deploy"))?,
        sandbox: raw.sandbox.check(Section::new(file, "sandbox"))?,
        log: raw.log.check(Section::new(file, "log"))?,
        access_log: raw.access_log.check(Section::new(file, "access_log"))?,
    })
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawConfig {
    services: Option<String>,
    data: Option<String>,
    listen: Option<String>,
    admin: Option<String>,
    #[serde(deserialize_with = "section")]
    http: RawHttp,
    #[serde(deserialize_with = "section")]
    drain: RawDrain,
    #[serde(deserialize_with = "section")]
    deploy: RawDeploy,
    #[serde(deserialize_with = "section")]
    sandbox: RawSandbox,
    #[serde(deserialize_with = "section")]
    log: RawLog,
    #[serde(deserialize_with = "section")]
    access_log: RawAccessLog,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawHttp {
    max_connections: Option<Count>,
    header_timeout: Option<Span>,
    idle_timeout: Option<Span>,
    max_header_bytes: Option<Size>,
    max_headers: Option<Count>,
    max_concurrent_streams: Option<Count>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawDrain {
    grace: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawDeploy {
    quiet: Option<Span>,
    max_component_size: Option<Size>,
    parallel_compiles: Option<Count>,
    compile_timeout: Option<Span>,
    compile_memory: Option<Size>,
    drain: Option<Span>,
    compile_cache: Option<OrOff<Size>>,
    keep_releases: Option<Count>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawSandbox {
    max_instances: Option<Count>,
    max_memory: Option<Size>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLog {
    format: Option<LogFormat>,
    level: Option<String>,
    guest_lines_per_second: Option<Count>,
    guest_line_bytes: Option<Size>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawAccessLog {
    output: Option<String>,
    format: Option<LogFormat>,
}

impl RawHttp {
    fn check(self, at: Section<'_>) -> Result<Http, ConfigError> {
        let default = Http::default();
        Ok(Http {
            max_connections: at.whole(
                "max_connections",
                self.max_connections,
                default.max_connections,
                1..=1_000_000,
            )?,
            header_timeout: at.duration(
                "header_timeout",
                self.header_timeout,
                default.header_timeout,
                SHORTEST..=LONGEST,
            )?,
            idle_timeout: at.duration(
                "idle_timeout",
                self.idle_timeout,
                default.idle_timeout,
                SHORTEST..=LONGEST,
            )?,
            // hyper's HTTP/1 buffer can't be smaller than 8 KiB.
            max_header_bytes: at.size(
                "max_header_bytes",
                self.max_header_bytes,
                default.max_header_bytes,
                8 << 10..=1 << 20,
            )?,
            max_headers: at.whole(
                "max_headers",
                self.max_headers,
                default.max_headers,
                1..=1000,
            )?,
            max_concurrent_streams: at.whole(
                "max_concurrent_streams",
                self.max_concurrent_streams,
                default.max_concurrent_streams,
                1..=10_000,
            )?,
        })
    }
}

impl RawDrain {
    fn check(self, at: Section<'_>) -> Result<Drain, ConfigError> {
        let default = Drain::default();
        Ok(Drain {
            grace: at.duration("grace", self.grace, default.grace, Duration::ZERO..=LONGEST)?,
        })
    }
}

impl RawDeploy {
    fn check(self, at: Section<'_>) -> Result<Deploy, ConfigError> {
        let default = Deploy::default();
        let minute = Duration::from_mins(1);
        Ok(Deploy {
            quiet: at.duration("quiet", self.quiet, default.quiet, SHORTEST..=minute)?,
            max_component_size: at.size(
                "max_component_size",
                self.max_component_size,
                default.max_component_size,
                1 << 10..=1 << 30,
            )?,
            parallel_compiles: at.whole(
                "parallel_compiles",
                self.parallel_compiles,
                default.parallel_compiles,
                1..=64,
            )?,
            compile_timeout: at.duration(
                "compile_timeout",
                self.compile_timeout,
                default.compile_timeout,
                SHORTEST..=LONGEST,
            )?,
            // the compiler itself takes a part of the least
            compile_memory: at.size(
                "compile_memory",
                self.compile_memory,
                default.compile_memory,
                64 << 20..=1 << 40,
            )?,
            drain: at.duration("drain", self.drain, default.drain, Duration::ZERO..=LONGEST)?,
            // less than the code of one component would keep nothing
            compile_cache: at.size_or_off(
                "compile_cache",
                self.compile_cache,
                default.compile_cache,
                1 << 20..=1 << 40,
            )?,
            // the running one, and one to go back to
            keep_releases: at.whole(
                "keep_releases",
                self.keep_releases,
                default.keep_releases,
                2..=1000,
            )?,
        })
    }
}

impl RawSandbox {
    fn check(self, at: Section<'_>) -> Result<Sandbox, ConfigError> {
        let default = Sandbox::default();
        Ok(Sandbox {
            max_instances: at.whole(
                "max_instances",
                self.max_instances,
                default.max_instances,
                1..=100_000,
            )?,
            max_memory: at.size(
                "max_memory",
                self.max_memory,
                default.max_memory,
                WASM_PAGE..=WASM_MAX,
            )?,
        })
    }
}

impl RawLog {
    fn check(self, at: Section<'_>) -> Result<Log, ConfigError> {
        let default = Log::default();
        if let Some(level) = &self.level
            && let Err(error) = EnvFilter::try_new(level)
        {
            return Err(at.refuse(
                "level",
                format!(
                    "{level:?} is not a filter ({error}); allowed: \"error\", \"warn\", \"info\", \
                     \"debug\", \"trace\", or one per module such as \"info,wharf=debug\""
                ),
            ));
        }
        Ok(Log {
            format: self.format.unwrap_or(default.format),
            level: self.level.unwrap_or(default.level),
            guest_lines_per_second: at.whole(
                "guest_lines_per_second",
                self.guest_lines_per_second,
                default.guest_lines_per_second,
                1..=1_000_000,
            )?,
            guest_line_bytes: at.size(
                "guest_line_bytes",
                self.guest_line_bytes,
                default.guest_line_bytes,
                64..=1 << 20,
            )?,
        })
    }
}

impl RawAccessLog {
    fn check(self, at: Section<'_>) -> Result<AccessLog, ConfigError> {
        let default = AccessLog::default();
        let output = match self.output.as_deref() {
            None => default.output,
            Some("off") => AccessOutput::Off,
            Some("stdout") => AccessOutput::Stdout,
            Some("stderr") => AccessOutput::Stderr,
            Some("") => {
                let problem =
                    "is empty; allowed: \"off\", \"stdout\", \"stderr\", or the path of a file";
                return Err(at.refuse("output", problem));
            }
            Some(path) => AccessOutput::File(path.into()),
        };
        Ok(AccessLog {
            output,
            format: self.format.unwrap_or(default.format),
        })
    }
}

fn directory(
    at: Section<'_>,
    key: &str,
    written: Option<String>,
    default: PathBuf,
) -> Result<PathBuf, ConfigError> {
    match written {
        None => Ok(default),
        Some(path) if path.is_empty() => {
            Err(at.refuse(key, "is empty; allowed: the path of a directory"))
        }
        Some(path) => Ok(path.into()),
    }
}

fn address(
    at: Section<'_>,
    key: &str,
    written: Option<String>,
    default: SocketAddr,
) -> Result<SocketAddr, ConfigError> {
    let Some(text) = written else {
        return Ok(default);
    };
    text.parse().map_err(|_| {
        at.refuse(
            key,
            format!(
                "{text:?} is not an address; allowed: an IP address and a port, such as \
                 \"127.0.0.1:8080\" or \"[::]:8080\""
            ),
        )
    })
}

#[cfg(test)]
mod tests;

//! `wharf.toml`: the server as a whole.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use super::ConfigError;
use super::decode::{decode, section};
use super::section::{LONGEST, SHORTEST, Section, at_least_one, at_least_one_u32};
use super::units::{Count, Size, Span};

/// The configuration file that is read if none is named, in the working directory.
pub const DEFAULT_FILE: &str = "wharf.toml";

/// One page of a WebAssembly memory, the least that an instance can be given.
pub(super) const WASM_PAGE: u64 = 64 << 10;
/// All that a 32-bit memory can hold.
const WASM_MAX: u64 = 4 << 30;

/// The server's settings. [`Default`] is what holds if the operator says nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The directory of the services' files; `services`. A relative path is relative to the
    /// working directory.
    pub services: PathBuf,
    /// The directory of what the server keeps; `data`.
    pub data: PathBuf,
    /// Where requests come in; `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// Where health, metrics and the API are served; `127.0.0.1:9090`.
    pub admin: SocketAddr,
    /// `[http]`
    pub http: Http,
    /// `[drain]`
    pub drain: Drain,
    /// `[deploy]`
    pub deploy: Deploy,
    /// `[sandbox]`
    pub sandbox: Sandbox,
    /// `[log]`
    pub log: Log,
}

/// Limits on the clients' side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Connections that are open at the same time; 10 000.
    pub max_connections: NonZeroUsize,
    /// How long a client may take to send a request's head; 10 s.
    pub header_timeout: Duration,
    /// How long a connection without a request is kept open; 60 s.
    pub idle_timeout: Duration,
    /// The head of a request: request line and header fields, in bytes; 32 KiB.
    pub max_header_bytes: usize,
    /// The number of header fields in a request; 100.
    pub max_headers: usize,
    /// Requests at the same time on one HTTP/2 connection (RFC 9113, 6.5.2); 200.
    pub max_concurrent_streams: u32,
}

/// How the server stops.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drain {
    /// How long requests in flight may take to finish; 30 s. Zero ends them at once.
    pub grace: Duration,
}

/// How files become releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deploy {
    /// How long a file must have been unchanged before it is read; 100 ms.
    pub quiet: Duration,
    /// The largest component that is taken, in bytes; 64 MiB.
    pub max_component_size: usize,
    /// Components that are compiled at the same time; 1.
    pub parallel_compiles: NonZeroUsize,
    /// How long a replaced release may take to finish its requests; 30 s. Zero ends them at once.
    pub drain: Duration,
}

/// What all instances share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// Instances of all services together, the ones that are draining included: the slots of the
    /// pooling allocator; 1000.
    pub max_instances: NonZeroU32,
    /// The most memory that a manifest may ask for per instance, in bytes; 1 GiB.
    pub max_memory: usize,
}

/// What is written to stderr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// For people or for machines; text.
    pub format: LogFormat,
    /// Which events are written, in the syntax of `tracing_subscriber::EnvFilter` (checked);
    /// `info`.
    pub level: String,
    /// Lines of stdout and stderr per second and service that are kept, the rest is counted and
    /// dropped; 100.
    pub guest_lines_per_second: NonZeroU32,
    /// How much of one line of a guest is kept, in bytes; 8 KiB.
    pub guest_line_bytes: usize,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per event.
    Json,
}

/// What the command line says; it wins over the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// In place of [`Config::services`].
    pub services: Option<PathBuf>,
    /// In place of [`Config::listen`].
    pub listen: Option<SocketAddr>,
    /// In place of [`Config::admin`].
    pub admin: Option<SocketAddr>,
    /// In place of [`Config::data`].
    pub data: Option<PathBuf>,
}

impl Config {
    /// Reads `file`, which must be there, or else [`DEFAULT_FILE`], which needn't, and applies
    /// `overrides`.
    pub fn load(file: Option<&Path>, overrides: Overrides) -> Result<Self, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let mut config = match fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text)?,
            Err(error) if file.is_none() && error.kind() == io::ErrorKind::NotFound => {
                Self::default()
            }
            Err(cause) => {
                return Err(ConfigError::Read {
                    file: path.to_owned(),
                    cause,
                });
            }
        };
        config.apply(overrides);
        Ok(config)
    }

    /// Takes the text of a configuration file; `file` is where it came from, for messages.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let raw: RawConfig = decode(file, text)?;
        let default = Self::default();
        let top = Section::new(file, "");
        Ok(Self {
            services: directory(top, "services", raw.services, default.services)?,
            data: directory(top, "data", raw.data, default.data)?,
            listen: address(top, "listen", raw.listen, default.listen)?,
            admin: address(top, "admin", raw.admin, default.admin)?,
            http: raw.http.check(Section::new(file, "http"))?,
            drain: raw.drain.check(Section::new(file, "drain"))?,
            deploy: raw.deploy.check(Section::new(file, "deploy"))?,
            sandbox: raw.sandbox.check(Section::new(file, "sandbox"))?,
            log: raw.log.check(Section::new(file, "log"))?,
        })
    }

    fn apply(&mut self, overrides: Overrides) {
        let Overrides {
            services,
            listen,
            admin,
            data,
        } = overrides;
        self.services = services.unwrap_or_else(|| std::mem::take(&mut self.services));
        self.data = data.unwrap_or_else(|| std::mem::take(&mut self.data));
        self.listen = listen.unwrap_or(self.listen);
        self.admin = admin.unwrap_or(self.admin);
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            services: "services".into(),
            data: "data".into(),
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            admin: (Ipv4Addr::LOCALHOST, 9090).into(),
            http: Http::default(),
            drain: Drain::default(),
            deploy: Deploy::default(),
            sandbox: Sandbox::default(),
            log: Log::default(),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            max_connections: at_least_one(10_000),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(1),
            max_header_bytes: 32 << 10,
            max_headers: 100,
            max_concurrent_streams: 200,
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(30),
        }
    }
}

impl Default for Deploy {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(100),
            max_component_size: 64 << 20,
            parallel_compiles: at_least_one(1),
            drain: Duration::from_secs(30),
        }
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            max_instances: at_least_one_u32(1000),
            max_memory: 1 << 30,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            level: "info".to_owned(),
            guest_lines_per_second: at_least_one_u32(100),
            guest_line_bytes: 8 << 10,
        }
    }
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
    drain: Option<Span>,
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
            drain: at.duration("drain", self.drain, default.drain, Duration::ZERO..=LONGEST)?,
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

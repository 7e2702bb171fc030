//! `wharf.toml`: the server as a whole.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::{ConfigError, at_least_one, at_least_one_u32, raw};

/// The configuration file that is read if none is named, in the working directory.
pub const DEFAULT_FILE: &str = "wharf.toml";

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
    /// `[access_log]`
    pub access_log: AccessLog,
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
    /// How long compiling one component may take; 120 s.
    pub compile_timeout: Duration,
    /// The memory that compiling one component may take, in bytes; 2 GiB.
    pub compile_memory: u64,
    /// How long a replaced release may take to finish its requests; 30 s. Zero ends them at once.
    pub drain: Duration,
    /// How much compiled code is kept in the data directory, in bytes; 1 GiB. `None` keeps none:
    /// every start compiles.
    pub compile_cache: Option<u64>,
    /// Releases of each service that are kept to go back to, the running one included; 10.
    pub keep_releases: NonZeroUsize,
}

/// What all instances share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sandbox {
    /// Instances of all services of one generation of `wasi:http`, the ones that are draining
    /// included: the slots of its pooling allocator; 4000, which is two for each of a thousand
    /// services, all of them being swapped. Each takes 8 GiB of address space, and memory only when it is used.
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

/// What is written of each request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// Where to; nowhere.
    pub output: AccessOutput,
    /// For people or for machines; text.
    pub format: LogFormat,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessOutput {
    /// There is none.
    Off,
    /// The process's standard output.
    Stdout,
    /// The process's standard error.
    Stderr,
    /// This file, at its end; opened again when it was moved away.
    File(PathBuf),
}

impl Default for AccessLog {
    fn default() -> Self {
        Self {
            output: AccessOutput::Off,
            format: LogFormat::Text,
        }
    }
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
        raw::server(file, text)
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
            access_log: AccessLog::default(),
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
            compile_timeout: Duration::from_mins(2),
            compile_memory: 2 << 30,
            drain: Duration::from_secs(30),
            compile_cache: Some(1 << 30),
            keep_releases: at_least_one(10),
        }
    }
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            max_instances: at_least_one_u32(4000),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_wins_over_the_file() {
        let text = "listen = \"127.0.0.1:1\"\nadmin = \"127.0.0.1:2\"\nservices = \"a\"";
        let mut config = Config::parse(Path::new("wharf.toml"), text).unwrap();
        config.apply(Overrides {
            listen: Some("127.0.0.1:0".parse().unwrap()),
            data: Some("elsewhere".into()),
            ..Overrides::default()
        });
        assert_eq!(config.listen.port(), 0);
        assert_eq!(config.admin.port(), 2);
        assert_eq!(config.services, PathBuf::from("a"));
        assert_eq!(config.data, PathBuf::from("elsewhere"));
    }

    #[test]
    fn a_file_that_was_named_must_be_there() {
        let error =
            Config::load(Some(Path::new("no/such/file.toml")), Overrides::default()).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("no/such/file.toml: cannot be read: "),
            "{error}"
        );
        assert_eq!(error.file(), Path::new("no/such/file.toml"));
        assert_eq!(error.key(), None);
    }

    #[test]
    fn the_default_file_may_be_missing() {
        // Tests run in the directory of their package, which has none.
        assert!(!Path::new(DEFAULT_FILE).exists());
        assert_eq!(
            Config::load(None, Overrides::default()).unwrap(),
            Config::default()
        );
    }
}

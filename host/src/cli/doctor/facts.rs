//! What can be found out about the machine.

mod machine;
mod programs;

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::Config;

/// Everything that is judged.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) toolchain: Toolchain,
    pub(super) listen_address: SocketAddr,
    pub(super) listen: Port,
    pub(super) admin_address: SocketAddr,
    pub(super) admin: Port,
    pub(super) services_path: PathBuf,
    pub(super) services: Directory,
    pub(super) data_path: PathBuf,
    pub(super) data: Directory,
    pub(super) token_path: PathBuf,
    pub(super) token: TokenFile,
    /// `RLIMIT_NOFILE`, which the process has; `None` is no limit.
    pub(super) open_files: Option<u64>,
    /// `RLIMIT_AS`, in bytes; `None` is no limit.
    pub(super) address_space: Option<u64>,
    /// `vm.overcommit_memory`; `None` where there is no such thing, as with those below.
    pub(super) overcommit: Option<u64>,
    /// `vm.max_map_count`
    pub(super) mappings: Option<u64>,
    /// `fs.inotify.max_user_watches`
    pub(super) watches: Option<u64>,
    /// `http.max_connections`
    pub(super) connections: u64,
    /// `sandbox.max_instances`
    pub(super) instances: u64,
}

/// What components are built with.
#[derive(Debug, Clone)]
pub(super) struct Toolchain {
    /// What `cargo --version` says; `None` if there is none.
    pub(super) cargo: Option<String>,
    /// What `cargo component --version` says; `None` if there is none.
    pub(super) component: Option<String>,
    /// The standard library for [`target_name`](Self::target_name).
    pub(super) target: Target,
    /// There is a rustup.
    pub(super) rustup: bool,
}

impl Toolchain {
    /// The target that components are built for.
    pub(super) fn target_name(&self) -> &'static str {
        if self.component.is_some() {
            "wasm32-wasip1"
        } else {
            "wasm32-wasip2"
        }
    }
}

/// Whether a target can be built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Installed,
    Missing,
    /// The compiler is older than the target.
    Unknown,
}

/// Whether an address can be listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Port {
    Free,
    /// A host is there already, and which.
    Wharf(String),
    /// Something is there, and what is known about it.
    Taken(String),
    /// It takes more rights.
    Forbidden,
    /// What the system says.
    Unusable(String),
}

/// Whether a directory can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Directory {
    Usable,
    /// It isn't there, and can be made.
    Makeable,
    /// It is something else.
    SomethingElse,
    /// What the system says.
    Unusable(String),
}

/// The file with the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TokenFile {
    Missing,
    /// Who may read it.
    Mode(u32),
    /// What the system says.
    Unreadable(String),
}

impl Facts {
    /// Looks around for a server with these settings.
    pub(super) async fn gather(config: &Config) -> Self {
        let toolchain = programs::toolchain().await;
        let host = machine::running_host(config).await;
        let token_path = config.data.join("admin.token");
        let limit = |limit: rustix::process::Resource| rustix::process::getrlimit(limit).current;
        Self {
            toolchain,
            listen_address: config.listen,
            listen: machine::port(
                config.listen,
                host.as_ref().ok().map(|host| (host, &*host.listen)),
            ),
            admin_address: config.admin,
            admin: machine::admin_port(config.admin, &host),
            services: machine::directory(&config.services),
            services_path: config.services.clone(),
            data: machine::directory(&config.data),
            data_path: config.data.clone(),
            token: machine::token(&token_path),
            token_path,
            open_files: limit(rustix::process::Resource::Nofile),
            address_space: limit(rustix::process::Resource::As),
            overcommit: machine::setting("vm/overcommit_memory"),
            mappings: machine::setting("vm/max_map_count"),
            watches: machine::setting("fs/inotify/max_user_watches"),
            connections: config.http.max_connections.get() as u64,
            instances: u64::from(config.sandbox.max_instances.get()),
        }
    }
}

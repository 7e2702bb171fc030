//! Looks at addresses, files and settings of the kernel.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{Access, access};

use super::{Directory, Port, TokenFile};
use crate::cli::api::Host;
use crate::cli::client::{Client, Error, Options};
use crate::cli::text::line;
use crate::config::Config;

/// The host that runs with these settings, or why it can't be asked.
pub(super) async fn running_host(config: &Config) -> Result<Host, Error> {
    let options = Options {
        admin: config.admin.into(),
        data: config.data.clone(),
        token_file: None,
    };
    Client::new(&options).get("/api/host").await?.read()
}

/// Whether the operator's address can be had, or the host has it.
pub(super) fn admin_port(address: SocketAddr, host: &Result<Host, Error>) -> Port {
    let own = address.to_string();
    match (
        port(address, host.as_ref().ok().map(|host| (host, &*own))),
        host,
    ) {
        (Port::Taken(_), Err(Error::Unauthorized { .. })) => {
            Port::Taken(" by a host with another data directory".to_owned())
        }
        (Port::Taken(_), Err(Error::Token { .. })) => {
            Port::Taken(", and without the token nobody can tell by what".to_owned())
        }
        (port, _) => port,
    }
}

/// Whether an address can be listened on; `host` is one that runs, and where it listens.
pub(super) fn port(address: SocketAddr, host: Option<(&Host, &str)>) -> Port {
    match TcpListener::bind(address) {
        Ok(_) => Port::Free,
        Err(error) => match error.kind() {
            ErrorKind::AddrInUse => match host {
                Some((host, its)) if its == address.to_string() => {
                    Port::Wharf(format!("Wharf {} (pid {})", line(&host.version), host.pid))
                }
                _ => Port::Taken(String::new()),
            },
            ErrorKind::PermissionDenied => Port::Forbidden,
            ErrorKind::AddrNotAvailable => {
                Port::Unusable("this machine has no such address".to_owned())
            }
            _ => Port::Unusable(error.to_string()),
        },
    }
}

/// Whether a directory can be read and written, or made.
pub(super) fn directory(path: &Path) -> Directory {
    let allowed = |path: &Path| access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK);
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => Directory::SomethingElse,
        Ok(_) => match allowed(path) {
            Ok(()) => Directory::Usable,
            Err(error) => Directory::Unusable(io::Error::from(error).to_string()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = match path.parent() {
                Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
                Some(parent) => parent,
                None => return Directory::Unusable(error.to_string()),
            };
            match directory(parent) {
                Directory::Usable | Directory::Makeable => Directory::Makeable,
                other => other,
            }
        }
        Err(error) => Directory::Unusable(error.to_string()),
    }
}

/// Who may read the token.
pub(super) fn token(path: &Path) -> TokenFile {
    match fs::metadata(path) {
        Ok(metadata) => match access(path, Access::READ_OK) {
            Ok(()) => TokenFile::Mode(metadata.permissions().mode()),
            Err(error) => TokenFile::Unreadable(io::Error::from(error).to_string()),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => TokenFile::Missing,
        Err(error) => TokenFile::Unreadable(error.to_string()),
    }
}

/// A setting of the kernel; `None` where there is no such thing.
pub(super) fn setting(name: &str) -> Option<u64> {
    let text = fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_free_or_the_hosts_or_taken() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let host = Host {
            version: "0.1.0".to_owned(),
            pid: 7,
            ..Host::default()
        };
        let own = address.to_string();
        assert_eq!(port(address, None), Port::Taken(String::new()));
        assert_eq!(
            port(address, Some((&host, "127.0.0.1:1"))),
            Port::Taken(String::new())
        );
        assert_eq!(
            port(address, Some((&host, &own))),
            Port::Wharf("Wharf 0.1.0 (pid 7)".to_owned())
        );
        assert_eq!(port("127.0.0.1:0".parse().unwrap(), None), Port::Free);
        assert!(matches!(
            port("192.0.2.1:9".parse().unwrap(), None),
            Port::Unusable(_)
        ));
    }

    #[test]
    fn a_directory_that_can_be_made_is_as_good_as_one_that_is_there() {
        let directory_here = tempfile::tempdir().unwrap();
        let path = directory_here.path();
        fs::write(path.join("file"), "").unwrap();
        assert_eq!(directory(path), Directory::Usable);
        assert_eq!(directory(&path.join("a/b")), Directory::Makeable);
        assert_eq!(directory(&path.join("file")), Directory::SomethingElse);
        assert!(matches!(
            directory(&path.join("file/a")),
            Directory::Unusable(_)
        ));
    }

    #[test]
    fn the_mode_of_a_token_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("admin.token");
        assert_eq!(token(&path), TokenFile::Missing);
        fs::write(&path, "x").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let TokenFile::Mode(mode) = token(&path) else {
            panic!("{:?}", token(&path))
        };
        assert_eq!(mode & 0o777, 0o640);
    }
}

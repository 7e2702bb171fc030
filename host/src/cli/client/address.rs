//! The address of an admin listener, and the way there.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Error;

/// The port of an address that names none.
const PORT: u16 = 9090;
/// How long it may take to connect.
const CONNECT: Duration = Duration::from_secs(5);

/// `HOST:PORT`, `HOST`, or either as it stands in a browser's address line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// Connects; and what the request's `Host` has to be: the host takes addresses and `localhost`
    /// only, so that a name is looked up here.
    pub(super) async fn connect(&self) -> Result<(TcpStream, String), Error> {
        let failed = |cause: io::Error| {
            let address = self.to_string();
            Error::NoHost { address, cause }
        };
        let connected = timeout(CONNECT, TcpStream::connect((self.host.as_str(), self.port)));
        let stream = match connected.await {
            Ok(result) => result.map_err(failed)?,
            Err(_) => return Err(failed(io::ErrorKind::TimedOut.into())),
        };
        // requests are small, and someone waits for them
        let _ = stream.set_nodelay(true);
        let named = self.host == "localhost" || self.host.parse::<IpAddr>().is_ok();
        let authority = if named {
            self.to_string()
        } else {
            stream.peer_addr().map_err(failed)?.to_string()
        };
        Ok((stream, authority))
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("https://") {
            return Err(
                "the admin listener speaks plain HTTP; reach one elsewhere through \
                 `ssh -L 9090:127.0.0.1:9090 MACHINE`"
                    .to_owned(),
            );
        }
        let text = text.strip_prefix("http://").unwrap_or(text);
        let text = text.split(['/', '#']).next().unwrap_or_default();
        let wrong = || "expected HOST:PORT, such as 127.0.0.1:9090".to_owned();
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
                (host, port.strip_prefix(':'))
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let is_host =
            (!host.is_empty() && host.chars().all(is_name)) || host.parse::<IpAddr>().is_ok();
        let port = match port {
            Some(port) => port
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(wrong)?,
            None => PORT,
        };
        let host = host.to_owned();
        is_host.then_some(Self { host, port }).ok_or_else(wrong)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_copied_from_anywhere() {
        for (text, address) in [
            ("127.0.0.1:9090", "127.0.0.1:9090"),
            ("localhost", "localhost:9090"),
            ("[::1]:80", "[::1]:80"),
            ("http://10.0.0.7:9191/#token=ab", "10.0.0.7:9191"),
            ("edge-7.example:1", "edge-7.example:1"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), address);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "", ":9090", "a:b", "a:0", "[::1", "::1", "a b:1", "a:99999", "a\r\nx:1",
        ] {
            text.parse::<Address>().unwrap_err();
        }
        let error = "https://a".parse::<Address>().unwrap_err();
        assert!(error.contains("ssh -L"), "{error}");
    }
}

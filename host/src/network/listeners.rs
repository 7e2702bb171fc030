//! The host's own listeners, which a guest must not reach by a side door: a name that resolves to
//! them, or another way to write their address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::address::effective;

/// Where the host itself listens.
#[derive(Debug, Default)]
pub(super) struct Listeners(Vec<SocketAddr>);

impl Listeners {
    pub(super) fn new(addresses: Vec<SocketAddr>) -> Self {
        Self(addresses)
    }

    /// Whether dialling `target` reaches one of them.
    pub(super) fn reached_by(&self, target: SocketAddr) -> bool {
        let ip = effective(target.ip());
        self.0
            .iter()
            .filter(|listener| listener.port() == target.port())
            .any(|listener| {
                effective(listener.ip()) == ip || (listener.ip().is_unspecified() && is_own(ip))
            })
    }

    /// Whether `target`, which a grant names literally, is a listener under another address than
    /// the one that it has: `0.0.0.0`, say, or an IPv4 address wrapped in an IPv6 one.
    pub(super) fn reached_in_disguise_by(&self, target: SocketAddr) -> bool {
        effective(target.ip()) != target.ip()
            && !self.0.contains(&target)
            && self.reached_by(target)
    }
}

/// Whether `ip` is an address of this machine, for which the kernel is asked: only a machine's own
/// address can be bound. Nothing is sent.
fn is_own(ip: IpAddr) -> bool {
    ip.is_loopback() || (can_bind(ip) && !binds_anything(ip)) || is_its_own_source(ip)
}

fn can_bind(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// Machines that take over the addresses of others may bind any (`ip_nonlocal_bind`), so that
/// binding says nothing there.
fn binds_anything(ip: IpAddr) -> bool {
    can_bind(match ip {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    })
}

/// Whether the kernel would go to `ip` from that same address. Connecting a datagram socket only
/// chooses the route.
fn is_its_own_source(ip: IpAddr) -> bool {
    let any: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0))
        .and_then(|socket| socket.connect((ip, 9)).and_then(|()| socket.local_addr()))
        .is_ok_and(|source| source.ip() == ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn listeners(all: &[&str]) -> Listeners {
        Listeners::new(all.iter().copied().map(at).collect())
    }

    #[test]
    fn a_listener_is_reached_by_every_way_to_write_its_address() {
        let own = listeners(&["127.0.0.1:9000", "[::1]:9000"]);
        for target in [
            "127.0.0.1:9000",
            "0.0.0.0:9000",
            "[::]:9000",
            "[::1]:9000",
            "[::ffff:127.0.0.1]:9000",
            "[::127.0.0.1]:9000",
            "[64:ff9b::127.0.0.1]:9000",
            "[::ffff:0.0.0.0]:9000",
        ] {
            assert!(own.reached_by(at(target)), "{target}");
        }
        for target in ["127.0.0.1:9001", "127.0.0.2:9000", "10.0.0.1:9000"] {
            assert!(!own.reached_by(at(target)), "{target}");
        }
    }

    #[test]
    fn an_unspecified_listener_is_at_every_address_of_the_machine() {
        for all in ["0.0.0.0:8080", "[::]:8080"] {
            let own = listeners(&[all]);
            assert!(own.reached_by(at("127.0.0.1:8080")));
            assert!(own.reached_by(at("127.8.8.8:8080")));
            assert!(own.reached_by(at("[::1]:8080")));
            assert!(!own.reached_by(at("1.1.1.1:8080")));
            assert!(!own.reached_by(at("127.0.0.1:80")));
        }
        // whichever address this machine has outwards, if any
        let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
        if socket.connect("192.0.2.1:9").is_ok() {
            let ip = socket.local_addr().unwrap().ip();
            assert!(listeners(&["0.0.0.0:8080"]).reached_by((ip, 8080).into()));
        }
    }

    #[test]
    fn only_its_own_address_is_no_disguise() {
        let own = listeners(&["127.0.0.1:9000", "0.0.0.0:8080"]);
        assert!(!own.reached_in_disguise_by(at("127.0.0.1:9000")));
        assert!(!own.reached_in_disguise_by(at("127.0.0.1:8080")));
        assert!(!own.reached_in_disguise_by(at("0.0.0.0:8080")));
        assert!(own.reached_in_disguise_by(at("0.0.0.0:9000")));
        assert!(own.reached_in_disguise_by(at("[::ffff:127.0.0.1]:9000")));
        assert!(own.reached_in_disguise_by(at("[::ffff:127.0.0.1]:8080")));
        assert!(!own.reached_in_disguise_by(at("0.0.0.0:9001")));
    }
}

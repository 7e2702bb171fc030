//! How far a grant reaches: which addresses may be dialled for it. That follows from the kind of
//! grant and from the origin alone, not from the service. So each [`Reach`] has connections of its
//! own, kept by scheme, host and port, and whoever finds one there could have opened it.

use std::net::{IpAddr, SocketAddr};

use super::address::{Kind, kind};
use super::error::NetworkError;
use super::listeners::Listeners;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// The grant names an address: that one and no other, whatever it is.
    Literal,
    /// The grant names `localhost` or a name below it (RFC 6761, 6.3): loopback, and no lookup.
    Localhost,
    /// The grant names a name: public addresses and those of the house.
    Name,
    /// The grant names everything below a name. Others may be free to make such names, so only
    /// public addresses.
    Below,
}

impl Reach {
    /// Whether `target` may be dialled.
    ///
    /// # Errors
    ///
    /// [`NetworkError::IpProhibited`].
    pub(super) fn check(
        self,
        target: SocketAddr,
        listeners: &Listeners,
    ) -> Result<(), NetworkError> {
        let problem = self.wrong_with(target.ip()).or_else(|| {
            let reached = match self {
                Self::Literal => listeners.reached_in_disguise_by(target),
                _ => listeners.reached_by(target),
            };
            reached.then_some("is a listener of this server")
        });
        match problem {
            None => Ok(()),
            Some(why) => Err(NetworkError::IpProhibited {
                address: target,
                why,
            }),
        }
    }

    fn wrong_with(self, ip: IpAddr) -> Option<&'static str> {
        match (self, kind(ip)) {
            (Self::Literal, _)
            | (Self::Localhost, Kind::Loopback)
            | (Self::Name, Kind::Public | Kind::Private)
            | (Self::Below, Kind::Public) => None,
            (_, Kind::Special(why)) => Some(why),
            (_, Kind::Loopback) => Some("is a loopback address"),
            (_, Kind::Private) => Some("is a private address"),
            (_, Kind::Public) => Some("is not a loopback address"),
        }
    }
}

/// Whether `name`, in lower case and without a trailing dot, always means the machine itself.
pub(super) fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_grant_reaches_its_own_addresses() {
        use Reach::{Below, Literal, Localhost, Name};
        for (address, allowed) in [
            ("1.1.1.1:80", &[Literal, Name, Below][..]),
            ("[2606:4700::1111]:80", &[Literal, Name, Below]),
            ("10.0.0.1:80", &[Literal, Name]),
            ("[fd12::1]:80", &[Literal, Name]),
            ("127.0.0.1:80", &[Literal, Localhost]),
            ("[::1]:80", &[Literal, Localhost]),
            ("169.254.169.254:80", &[Literal]),
            ("[fe80::1]:80", &[Literal]),
            ("0.0.0.0:80", &[Literal]),
            ("224.0.0.1:80", &[Literal]),
            ("192.0.2.1:80", &[Literal]),
        ] {
            let address: SocketAddr = address.parse().unwrap();
            for reach in [Literal, Localhost, Name, Below] {
                assert_eq!(
                    reach.check(address, &Listeners::default()).is_ok(),
                    allowed.contains(&reach),
                    "{reach:?} {address}"
                );
            }
        }
    }

    #[test]
    fn a_listener_is_reached_by_its_literal_address_only() {
        let own: SocketAddr = "127.0.0.1:9000".parse().unwrap();
        let house: SocketAddr = "10.0.0.1:9000".parse().unwrap();
        let listeners = Listeners::new(vec![own, house]);
        assert!(Reach::Literal.check(own, &listeners).is_ok());
        assert!(Reach::Localhost.check(own, &listeners).is_err());
        assert!(Reach::Name.check(house, &listeners).is_err());
    }

    #[test]
    fn names_that_only_look_like_localhost_are_not() {
        assert!(is_localhost("localhost"));
        assert!(is_localhost("a.b.localhost"));
        for name in ["localhost.example", "notlocalhost", "a.notlocalhost"] {
            assert!(!is_localhost(name), "{name}");
        }
    }
}

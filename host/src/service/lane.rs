//! Which share of all requests a request belongs to.

use std::net::IpAddr;

use http::request::Parts;
use sha2::{Digest, Sha256};

use crate::config::{Key, Share};
use crate::dispatch::RequestId;

/// A number below [`Share::WHOLE`] that is the same for all requests of one caller, and travels with
/// whatever they ask of other services. A canary takes the lanes below its share, so that a caller
/// keeps to one release, and so do the calls made for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane(u16);

impl Lane {
    /// The lane of a client, by its address: of an IPv6 address the first 64 bits, which are what a
    /// customer is given (RFC 6177).
    pub fn of_address(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::of(&address.octets()),
            IpAddr::V6(address) => Self::of(&address.octets()[..8]),
        }
    }

    /// The lane of a request by `key`; `client` is its client's.
    pub fn by(key: &Key, head: &Parts, id: &RequestId, client: Self) -> Self {
        match key {
            Key::Address => client,
            Key::Request => Self::of(id.value().as_bytes()),
            Key::Header(name) => {
                let value = head.headers.get(name);
                value.map_or(client, |value| Self::of(value.as_bytes()))
            }
        }
    }

    /// Whether it belongs to a share.
    pub fn is_in(self, share: Share) -> bool {
        self.0 < share.hundredths()
    }

    /// Any change of the hash would move every caller: it is one that stays.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "it is less than a share's whole"
    )]
    fn of(what: &[u8]) -> Self {
        let digest = Sha256::digest(what);
        let number = digest
            .iter()
            .take(8)
            .fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
        Self((number % u64::from(Share::WHOLE)) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, Request};

    fn share(hundredths: u16) -> Share {
        Share::new(hundredths).unwrap()
    }

    #[test]
    fn a_share_gets_its_part_of_the_callers() {
        let callers = (0..20_000_u32).map(|number| IpAddr::from(number.to_be_bytes()));
        let taken = callers
            .filter(|caller| Lane::of_address(*caller).is_in(share(1000)))
            .count();
        assert!((1900..=2100).contains(&taken), "{taken} of 20000");
    }

    #[test]
    fn a_caller_keeps_to_its_lane() {
        let client = Lane::of_address("192.0.2.7".parse().unwrap());
        assert_eq!(
            client,
            Lane::of_address("::ffff:192.0.2.7".parse().unwrap())
        );
        assert_eq!(
            Lane::of_address("2001:db8::1".parse().unwrap()),
            Lane::of_address("2001:db8::2".parse().unwrap())
        );
        let lane = |key: &Key, user: Option<&str>| {
            let mut request = Request::new(());
            if let Some(user) = user {
                request
                    .headers_mut()
                    .insert("x-user", user.parse().unwrap());
            }
            Lane::by(key, &request.into_parts().0, &RequestId::random(), client)
        };
        let user = Key::Header(HeaderName::from_static("x-user"));
        assert_eq!(lane(&user, Some("ada")), lane(&user, Some("ada")));
        assert_ne!(lane(&user, Some("ada")), lane(&user, Some("bob")));
        assert_eq!(lane(&user, None), client);
        assert_eq!(lane(&Key::Address, Some("ada")), client);
        assert_ne!(lane(&Key::Request, None), lane(&Key::Request, None));
    }
}

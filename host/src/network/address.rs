//! What kind of place an address is. The tables are those of IANA's special-purpose registries
//! (RFC 6890 and its successors), read strictly: in IPv6 only what is assigned as global unicast
//! counts as public. An address that embeds an IPv4 address is the kind of place that the inner one
//! is, as a translator on the way may well unwrap it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Reachable for everybody.
    Public,
    /// Of a house: RFC 1918, shared address space (RFC 6598) and unique local IPv6.
    Private,
    /// The machine itself.
    Loopback,
    /// Nowhere that a name should lead; the text says why.
    Special(&'static str),
}

const METADATA: Kind = Kind::Special("is a cloud's metadata service");

/// Metadata services that don't live in link-local addresses: Alibaba's and Azure's.
const METADATA_V4: [Ipv4Addr; 2] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
];

/// The kind of `ip`.
pub(super) fn kind(ip: IpAddr) -> Kind {
    match ip {
        IpAddr::V4(ip) => kind_v4(ip),
        IpAddr::V6(ip) => kind_v6(ip),
    }
}

fn kind_v4(ip: Ipv4Addr) -> Kind {
    if METADATA_V4.contains(&ip) {
        return METADATA;
    }
    match ip.octets() {
        [0, 0, 0, 0] => Kind::Special("is the unspecified address"),
        [0, ..] => Kind::Special("is an address of \"this network\""),
        [127, ..] => Kind::Loopback,
        [169, 254, ..] => Kind::Special("is a link-local address"),
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => Kind::Private,
        [192, 0, 2, _] | [198, 51, 100, _] | [203, 0, 113, _] => {
            Kind::Special("is a documentation address")
        }
        [192, 0, 0, _] | [192, 88, 99, _] => Kind::Special("is reserved for protocols"),
        [198, 18..=19, ..] => Kind::Special("is reserved for benchmarks"),
        [224..=239, ..] => Kind::Special("is a multicast address"),
        [255, 255, 255, 255] => Kind::Special("is the broadcast address"),
        [240..=255, ..] => Kind::Special("is a reserved address"),
        _ => Kind::Public,
    }
}

fn kind_v6(ip: Ipv6Addr) -> Kind {
    if ip.is_unspecified() {
        return Kind::Special("is the unspecified address");
    }
    if ip.is_loopback() {
        return Kind::Loopback;
    }
    if let Some(inner) = embedded(ip) {
        return match (kind_v4(inner), ip.to_ipv4_mapped()) {
            // Only the mapped form is another way to write the same place: what comes of the
            // others is for whoever translates.
            (inner, Some(_)) => inner,
            (Kind::Public, None) => Kind::Public,
            (Kind::Special(why), None) => Kind::Special(why),
            (Kind::Private | Kind::Loopback, None) => {
                Kind::Special("wraps an IPv4 address that is not public")
            }
        };
    }
    match ip.segments() {
        // AWS's metadata, DNS and time services, and Google's metadata service
        [0xfd00, 0xec2, ..] | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => METADATA,
        [0xfc00..=0xfdff, ..] => Kind::Private,
        [0xfe80..=0xfebf, ..] => Kind::Special("is a link-local address"),
        [0xff00..=0xffff, ..] => Kind::Special("is a multicast address"),
        [0x2001, 0xdb8, ..] | [0x3fff, 0..=0x0fff, ..] => {
            Kind::Special("is a documentation address")
        }
        // Teredo, ORCHID, benchmarks and the like (2001::/23)
        [0x2001, 0..=0x01ff, ..] => Kind::Special("is reserved for protocols"),
        [0x2000..=0x3fff, ..] => Kind::Public,
        _ => Kind::Special("is a reserved address"),
    }
}

/// The IPv4 address within an IPv4-mapped (RFC 4291, 2.5.5.2), IPv4-compatible (2.5.5.1), NAT64
/// (RFC 6052, the well-known prefix) or 6to4 (RFC 3056) address.
pub(super) fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(join(high, low))
        }
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

/// The place that is reached by dialling `ip`: a wrapped address is unwrapped, and the unspecified
/// address leads to the machine itself.
pub(super) fn effective(ip: IpAddr) -> IpAddr {
    let ip = match ip {
        IpAddr::V6(v6) if !v6.is_unspecified() && !v6.is_loopback() => {
            embedded(v6).map_or(ip, IpAddr::V4)
        }
        _ => ip,
    };
    match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => ip,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Kind {
        kind(text.parse().unwrap())
    }

    #[test]
    fn public_addresses_are_public() {
        for text in [
            "1.1.1.1",
            "172.15.255.255",
            "172.32.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2001:200::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            assert_eq!(of(text), Kind::Public, "{text}");
        }
    }

    #[test]
    fn addresses_of_a_house_are_private() {
        for text in [
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.0",
            "100.127.255.255",
            "fc00::1",
            "fdff:ffff::1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(of(text), Kind::Private, "{text}");
        }
    }

    #[test]
    fn the_machine_itself_is_loopback() {
        for text in [
            "127.0.0.1",
            "127.255.255.254",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:7f00:1",
        ] {
            assert_eq!(of(text), Kind::Loopback, "{text}");
        }
    }

    #[test]
    fn everything_else_is_special() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "169.254.0.1",
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::2",
            "::127.0.0.1",
            "::10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0.0.0.0",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1.1.1.1",
            "2002:7f00:1::",
            "2002:a00:1::",
            "2002:a9fe:a9fe::",
            "100::1",
            "2001::1",
            "2001:10::1",
            "2001:db8::1",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(matches!(of(text), Kind::Special(_)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_wrapping_makes_an_address_more_public(bits: u32) {
            let inner = Ipv4Addr::from(bits);
            let [a, b] = [bits >> 16, bits & 0xffff];
            for text in [
                format!("::{inner}"),
                format!("::ffff:{inner}"),
                format!("64:ff9b::{inner}"),
                format!("2002:{a:x}:{b:x}::1"),
            ] {
                if of(&text) == Kind::Public {
                    prop_assert_eq!(kind_v4(inner), Kind::Public, "{}", text);
                }
            }
        }

        #[test]
        fn what_the_standard_library_calls_local_is_not_public(bits: u128, v4: u32) {
            let v4 = Ipv4Addr::from(v4);
            if v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_multicast()
                || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified()
            {
                prop_assert_ne!(kind_v4(v4), Kind::Public);
            }
            let v6 = Ipv6Addr::from(bits);
            if v6.is_multicast() || v6.is_unique_local() || v6.is_unicast_link_local() {
                prop_assert_ne!(kind_v6(v6), Kind::Public);
            }
        }
    }
}

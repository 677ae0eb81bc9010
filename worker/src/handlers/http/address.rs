//! Which addresses of the network requests may go to. Refused are those at which a machine finds what is said about it and
//! whom it trusts (metadata), and its own link; whoever needs one of them names it in the worker's configuration.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer};

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    LinkLocal,
    Metadata,
    Everybody,
    Nobody,
}

impl Kind {
    pub(super) fn words(self) -> &'static str {
        match self {
            Kind::LinkLocal => "link-local",
            Kind::Metadata => "of a cloud's metadata",
            Kind::Everybody => "of several at once",
            Kind::Nobody => "of no machine",
        }
    }
}

/// At which clouds answer about a machine, beside 169.254.169.254, which is link-local.
const METADATA: &[IpAddr] = &[
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// What is against an address, which no network of `allowed` has in it.
pub(super) fn refused(address: IpAddr, allowed: &[Network]) -> Option<Kind> {
    let meant = meant(address);
    let may = allowed
        .iter()
        .any(|network| network.contains(address) || network.contains(meant));
    if may { None } else { kind(meant) }
}

fn kind(address: IpAddr) -> Option<Kind> {
    if METADATA.contains(&address) {
        return Some(Kind::Metadata);
    }
    let (link_local, broadcast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.is_broadcast()),
        IpAddr::V6(v6) => (v6.is_unicast_link_local(), false),
    };
    if link_local {
        Some(Kind::LinkLocal)
    } else if broadcast || address.is_multicast() {
        Some(Kind::Everybody)
    } else if is_nobody(address) {
        Some(Kind::Nobody)
    } else {
        None
    }
}

/// A system takes the one without a number, and all of its network, for the machine itself.
fn is_nobody(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unspecified(),
    }
}

/// The address of version 4 that one of version 6 stands for, if it does: `::ffff:`, `::ffff:0:` (RFC 2765), `::`, `64:ff9b::` (RFC 6052)
/// and `2002:` in front. Below `64:ff9b:1::/48` (RFC 8215) each network says itself how much of it is its own prefix: the last 32
/// bits count, as in a prefix of 96, which is the usual one.
fn meant(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0xffff] | [0, 0, 0, 0, 0xffff, 0] => of(g, h),
        [0x64, 0xff9b, 0, 0, 0, 0] | [0x64, 0xff9b, 1, ..] => of(g, h),
        [0, 0, 0, 0, 0, 0] if g != 0 => of(g, h),
        [0x2002, high, low, ..] => of(high, low),
        _ => address,
    }
}

/// Addresses that begin alike: `169.254.0.0/16`, or one alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// A text that is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an address or a network, as 169.254.169.254 or fe80::/10, found {0:?}")]
pub struct NetworkError(String);

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        let begins = |of: u128, with: u128, width: u32| {
            let behind = width - u32::from(self.bits);
            of.checked_shr(behind) == with.checked_shr(behind)
        };
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                begins(u32::from(own).into(), u32::from(other).into(), 32)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => begins(own.into(), other.into(), 128),
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Network, NetworkError> {
        let fault = || NetworkError(text.chars().take(64).collect());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| fault())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), |bits| bits.trim().parse().map_err(|_| fault()))?;
        match bits <= width {
            true => Ok(Network { address, bits }),
            false => Err(fault()),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(address: &str, allowed: &[&str]) -> Option<Kind> {
        let allowed: Vec<Network> = allowed.iter().map(|text| text.parse().unwrap()).collect();
        refused(address.parse().unwrap(), &allowed)
    }

    #[test]
    fn what_a_machine_finds_about_itself_is_refused_however_it_is_written() {
        for (address, kind) in [
            ("169.254.169.254", Kind::LinkLocal),
            ("169.254.0.1", Kind::LinkLocal),
            ("fe80::1", Kind::LinkLocal),
            ("::ffff:169.254.169.254", Kind::LinkLocal),
            ("::169.254.169.254", Kind::LinkLocal),
            ("64:ff9b::a9fe:a9fe", Kind::LinkLocal),
            ("2002:a9fe:a9fe::1", Kind::LinkLocal),
            ("::ffff:0:169.254.169.254", Kind::LinkLocal),
            ("64:ff9b:1::a9fe:a9fe", Kind::LinkLocal),
            ("64:ff9b:1:ffff:7::100.100.100.200", Kind::Metadata),
            ("100.100.100.200", Kind::Metadata),
            ("fd00:ec2::254", Kind::Metadata),
            ("0.0.0.0", Kind::Nobody),
            ("0.1.2.3", Kind::Nobody),
            ("::", Kind::Nobody),
            ("::ffff:0.0.0.0", Kind::Nobody),
            ("255.255.255.255", Kind::Everybody),
            ("224.0.0.1", Kind::Everybody),
            ("ff02::1", Kind::Everybody),
        ] {
            assert_eq!(told(address, &[]), Some(kind), "{address}");
        }
        for address in [
            "127.0.0.1",
            "::1",
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "8.8.8.8",
            "fd00::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b:1::a00:1",
            "169.253.255.255",
            "169.255.0.0",
        ] {
            assert_eq!(told(address, &[]), None, "{address}");
        }
    }

    #[test]
    fn what_is_allowed_is_so_for_its_network_alone() {
        assert_eq!(told("169.254.169.254", &["169.254.169.254"]), None);
        assert_eq!(told("::ffff:169.254.169.254", &["169.254.169.254"]), None);
        assert_eq!(
            told("169.254.169.253", &["169.254.169.254"]),
            Some(Kind::LinkLocal)
        );
        assert_eq!(told("169.254.1.1", &["169.254.0.0/16"]), None);
        assert_eq!(told("fe80::1", &["169.254.0.0/16", "fe80::/10"]), None);
        assert_eq!(told("169.254.1.1", &["0.0.0.0/0"]), None);
        assert_eq!(told("fd00:ec2::254", &["0.0.0.0/0"]), Some(Kind::Metadata));
        assert_eq!(told("fd00:ec2::254", &["::/0"]), None);
        for bad in [
            "",
            "x",
            "10.0.0.0/33",
            "fe80::/129",
            "10.0.0.0/",
            "10.0.0/8",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}

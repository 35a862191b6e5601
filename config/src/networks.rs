//! Sets of networks, written as in Linkerd's `clusterNetworks`: `10.0.0.0/8,fd00::/8`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use crate::list;

/// A set of networks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Linkerd's `clusterNetworks`, which are the private ones, and this host.
    pub const PRIVATE: &'static str =
        "10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16,fd00::/8,127.0.0.0/8,::1";

    /// [`Self::PRIVATE`].
    #[must_use]
    pub fn private() -> Self {
        Self::PRIVATE.parse().unwrap_or_default()
    }

    /// Whether `address` is in one of them; an IPv4 address written as IPv6 counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// A text that is no set of networks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotNetworks {
    /// It is not made of addresses and prefix lengths.
    Malformed,
    /// Bits are set behind a prefix: which of the two is meant is anyone's guess.
    HostBits,
}

impl fmt::Display for NotNetworks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => {
                "write networks with commas between, as in `10.0.0.0/8,fd00::/8`, or `off`"
            }
            Self::HostBits => "clear the bits behind the prefix, as in `10.0.0.0/8`",
        })
    }
}

impl std::error::Error for NotNetworks {}

impl FromStr for Networks {
    type Err = NotNetworks;

    /// `off` and the empty text are no network; an address alone is a network of one.
    fn from_str(text: &str) -> Result<Self, NotNetworks> {
        list::read(text, network).map(Self)
    }
}

fn network(text: &str) -> Result<IpNet, NotNetworks> {
    let network = match text.parse::<IpAddr>() {
        Ok(alone) => IpNet::from(alone),
        Err(_) => text.parse().map_err(|_| NotNetworks::Malformed)?,
    };
    if network == network.trunc() { Ok(network) } else { Err(NotNetworks::HostBits) }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        list::write(f, self.0.iter().map(written))
    }
}

/// A network of one is its address.
fn written(network: &IpNet) -> String {
    let alone = network.prefix_len() == network.max_prefix_len();
    if alone { network.addr().to_string() } else { network.to_string() }
}

impl Serialize for Networks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::{Networks, NotNetworks};

    #[test]
    fn sets_are_read_and_written() {
        let rows = [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.0.0.0/8, fd00::/8", "10.0.0.0/8,fd00::/8"),
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1/32,::1/128", "192.0.2.1,::1"),
            ("0.0.0.0/0,::/0", "0.0.0.0/0,::/0"),
            ("off", "off"),
            ("", "off"),
            (Networks::PRIVATE, Networks::PRIVATE),
        ];
        for (text, written) in rows {
            assert_eq!(text.parse::<Networks>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn addresses_are_in_them_or_not() {
        let private = Networks::private();
        for (address, inside) in [
            ("10.255.0.1", true),
            ("11.0.0.1", false),
            ("172.31.255.255", true),
            ("172.32.0.0", false),
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:10.0.0.1", true),
            ("::ffff:8.8.8.8", false),
            ("fd12::1", true),
            ("fe80::1", false),
        ] {
            assert_eq!(private.contains(address.parse().unwrap()), inside, "{address}");
        }
        let all: Networks = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("203.0.113.9".parse().unwrap()));
        assert!(!all.contains("2001:db8::1".parse().unwrap()));
        assert!(!Networks::default().contains("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["10.0.0.0/33", "10.0.0/8", "a", "10.0.0.0/8,", "::/129", "10.0.0.0/+8", "/8"] {
            assert_eq!(text.parse::<Networks>(), Err(NotNetworks::Malformed), "{text}");
        }
        assert_eq!("10.0.0.1/8".parse::<Networks>(), Err(NotNetworks::HostBits));
    }
}

//! Who sent a request: the address of the connection, or what a trusted proxy says.
//!
//! Must not know what the address is used for.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::HeaderMap;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// A network, such as `10.0.0.0/8`, or a single address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u32,
}

/// A text that is no network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a network is an address such as 10.1.2.3, or with a length such as 10.0.0.0/8")]
pub struct NoNetwork;

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NoNetwork)?;
        let prefix = match prefix {
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| NoNetwork)?
            }
            Some(_) => return Err(NoNetwork),
            None => bits(address),
        };
        if prefix > bits(address) {
            return Err(NoNetwork);
        }
        Ok(Self { address: masked(address, prefix), prefix })
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Network {
    /// Whether the address is in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.prefix) == self.address
    }
}

/// Whether a trusted proxy has this address.
#[must_use]
pub fn is_trusted(address: IpAddr, trusted: &[Network]) -> bool {
    trusted.iter().any(|network| network.contains(address))
}

/// The address that a request came from: that of the connection, and where this is a trusted
/// proxy's, the last in `X-Forwarded-For` that is not. What stands further left anybody may have
/// written, and so is not read.
#[must_use]
pub fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let mut nearest = peer.to_canonical();
    if !is_trusted(nearest, trusted) {
        return nearest;
    }
    let values = headers.get_all(FORWARDED_FOR).iter().rev();
    for entry in values.flat_map(|value| value.as_bytes().rsplit(|byte| *byte == b',')) {
        let Some(address) = std::str::from_utf8(entry).ok().and_then(forwarded) else {
            return nearest;
        };
        nearest = address;
        if !is_trusted(nearest, trusted) {
            return nearest;
        }
    }
    nearest
}

/// An entry: an address, which some proxies write with its port.
fn forwarded(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let address = text.parse().ok();
    let address = address.or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()));
    address.map(|address| address.to_canonical())
}

fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, prefix: u32) -> IpAddr {
    let hidden = bits(address).saturating_sub(prefix);
    match address {
        IpAddr::V4(v4) => {
            IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(hidden).unwrap_or(0)).into())
        }
        IpAddr::V6(v6) => {
            IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(hidden).unwrap_or(0)).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_the_addresses_that_begin_like_it() {
        let has = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().contains(ip(address))
        };
        assert!(has("10.0.0.0/8", "10.255.0.1"));
        assert!(has("10.9.9.9/8", "10.1.2.3"), "what is behind the prefix does not count");
        assert!(!has("10.0.0.0/8", "11.0.0.1"));
        assert!(has("0.0.0.0/0", "1.2.3.4"));
        assert!(!has("0.0.0.0/0", "::1"));
        assert!(has("127.0.0.1", "127.0.0.1"));
        assert!(!has("127.0.0.1", "127.0.0.2"));
        assert!(has("fd00::/8", "fd12::1"));
        assert!(has("::1", "::1"));
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+8", "10.0.0/8", "a/8"] {
            assert_eq!(wrong.parse::<Network>(), Err(NoNetwork), "{wrong}");
        }
    }

    fn check(peer: &str, forwarded: &[&str], expected: &str) {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(FORWARDED_FOR, HeaderValue::from_str(value).unwrap());
        }
        let trusted = ["10.0.0.0/8", "::1"].map(|network| network.parse().unwrap());
        assert_eq!(address(ip(peer), &headers, &trusted), ip(expected), "{peer} {forwarded:?}");
    }

    #[test]
    fn the_last_address_that_no_trusted_proxy_has_is_the_client() {
        check("192.0.2.1", &[], "192.0.2.1");
        check("192.0.2.1", &["203.0.113.9"], "192.0.2.1");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["203.0.113.9"], "203.0.113.9");
        check("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9");
        check("10.0.0.1", &["1.1.1.1, 203.0.113.9"], "203.0.113.9");
        check("10.0.0.1", &["1.1.1.1", "203.0.113.9 , 10.2.2.2"], "203.0.113.9");
        check("10.0.0.1", &["10.3.3.3, 10.2.2.2"], "10.3.3.3");
        check("10.0.0.1", &["203.0.113.9:4711"], "203.0.113.9");
        check("::1", &["[2001:db8::7]:443"], "2001:db8::7");
        check("10.0.0.1", &["203.0.113.9, unknown"], "10.0.0.1");
        check("10.0.0.1", &["203.0.113.9,"], "10.0.0.1");
    }

    proptest! {
        #[test]
        fn a_network_contains_what_it_was_made_of(bits: u128, v6: bool, prefix in 0_u32..=128) {
            let low = u32::try_from(bits & u128::from(u32::MAX)).unwrap();
            let address = if v6 { IpAddr::V6(bits.into()) } else { IpAddr::V4(low.into()) };
            let prefix = prefix % (super::bits(address) + 1);
            let network: Network = format!("{address}/{prefix}").parse().unwrap();
            prop_assert!(network.contains(address));
            let shown: Network = format!("{network:?}").parse().unwrap();
            prop_assert_eq!(network, shown);
        }

        #[test]
        fn no_header_is_believed_that_no_trusted_proxy_sent(value: Vec<u8>, network in ".{0,20}") {
            let _ = network.parse::<Network>();
            let mut headers = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.insert(FORWARDED_FOR, value);
            }
            let trusted = ["10.0.0.0/8".parse().unwrap()];
            prop_assert_eq!(address(ip("192.0.2.1"), &headers, &trusted), ip("192.0.2.1"));
            let _ = address(ip("10.0.0.1"), &headers, &trusted);
        }
    }
}

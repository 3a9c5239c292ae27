//! Which proxy is used for an address, by curl's rules for environment variables.

use std::net::IpAddr;

use super::address::Address;

/// The proxies from the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http` addresses: `http_proxy`, in lower case only, because a web server may set the other one from a
    /// client's header.
    pub http: Option<String>,
    /// For `https` addresses: `https_proxy`.
    pub https: Option<String>,
    /// For both, if they have none of their own: `all_proxy`.
    pub all: Option<String>,
    /// The hosts without a proxy: `no_proxy`, names and addresses separated by commas.
    pub none_for: Option<String>,
}

impl Proxies {
    /// The proxy for `address`.
    pub(super) fn of(&self, address: &Address) -> Option<&str> {
        let own = if address.is_https() { &self.https } else { &self.http };
        // An empty variable counts as unset and does not hide the other one.
        let proxy = [own, &self.all].into_iter().flatten().find(|proxy| !proxy.is_empty())?;
        (!self.goes_without(address)).then_some(proxy)
    }

    fn goes_without(&self, address: &Address) -> bool {
        let list = self.none_for.as_deref().unwrap_or_default();
        if list.trim() == "*" {
            return true;
        }
        let mut patterns = list.split([',', ' ', '\t']).filter(|pattern| !pattern.is_empty());
        match address.host().parse::<IpAddr>() {
            Ok(host) => patterns.any(|pattern| is_in_network(host, pattern)),
            Err(_) => patterns.any(|pattern| is_below(address.host(), pattern)),
        }
    }
}

/// Whether a host is `pattern`, or its name ends with a dot and `pattern`.
fn is_below(host: &str, pattern: &str) -> bool {
    let plain = |name: &str| name.trim_end_matches('.').to_ascii_lowercase();
    let (host, pattern) = (plain(host), plain(pattern.strip_prefix('.').unwrap_or(pattern)));
    !pattern.is_empty() && (host == pattern || host.strip_suffix(&pattern).is_some_and(|rest| rest.ends_with('.')))
}

/// Whether a host is `pattern`, or in the network `pattern`: `10.0.0.0/8`.
fn is_in_network(host: IpAddr, pattern: &str) -> bool {
    let (network, length) = match pattern.split_once('/') {
        Some((network, length)) => (network, length.parse::<u32>().ok()),
        None => (pattern, Some(128)),
    };
    let (Ok(network), Some(length)) = (network.parse::<IpAddr>(), length) else { return false };
    let differ = match (host, network) {
        (IpAddr::V4(host), IpAddr::V4(network)) => u128::from(host.to_bits() ^ network.to_bits()) << 96,
        (IpAddr::V6(host), IpAddr::V6(network)) => host.to_bits() ^ network.to_bits(),
        _ => return false,
    };
    differ.leading_zeros() >= length
}

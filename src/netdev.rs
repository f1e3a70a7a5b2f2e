//! What an operator should know of an interface before it is a netdev port.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;

/// That this host's own addresses on the interface are not reached through the switch, if it
/// has any: what the switch sends by it leaves this host, and what this host sends by it the
/// switch never sees.
pub(crate) fn warning(interface: &str) -> Option<String> {
    let addresses = addresses(interface);
    let shown: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    (!shown.is_empty()).then(|| {
        format!(
            "{interface} has addresses of this host ({}), which cannot be reached through the \
             switch; to reach them, make {interface} and a tap port members of a bridge that has \
             the addresses",
            shown.join(", ")
        )
    })
}

/// Without link-local ones, which every interface has.
fn addresses(interface: &str) -> Vec<IpAddr> {
    let all = getifaddrs().into_iter().flatten();
    let own = all.filter(|one| one.interface_name == interface);
    let addresses = own.filter_map(|one| one.address).filter_map(|address| {
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    });
    addresses
        .filter(|address| match address {
            IpAddr::V4(address) => !address.is_link_local(),
            IpAddr::V6(address) => !address.is_unicast_link_local(),
        })
        .collect()
}

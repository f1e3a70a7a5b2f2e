//! Checks of the network interfaces that are ports, or will be: what they are members of,
//! whether they are up, and what else the kernel does with their packets.

use std::collections::{BTreeMap, BTreeSet};

use etherws_actors::{settings::LinkLocal, sys::inspect};
use futures_util::TryStreamExt as _;
use rtnetlink::packet_route::link::{
    BridgeStpState, InfoBridge, InfoData, InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage,
};

use super::{Finding, Subject, host::read, switch::Device};
use crate::netdev;

/// Least MTU with which IPv6 works (RFC 8200, 5).
const MIN_MTU_IPV6: u32 = 1280;

/// Longest super-frame that a kernel makes unless told otherwise; what is read at once has
/// room for it.
const MAX_SUPER_FRAME: u32 = 65_536;

/// An interface, as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    index: u32,
    name: String,
    kind: Option<InfoKind>,
    /// Index of the bridge or bond that it is a member of.
    master: Option<u32>,
    up: bool,
    /// Whether the link has a carrier.
    carrier: bool,
    mtu: u32,
    /// Longest super-frame that the kernel makes of what the interface receives or sends.
    super_frame: u32,
    /// Only for a bridge.
    stp: Option<bool>,
}

pub(super) async fn look(subject: &Subject, mut devices: Vec<Device>) -> Vec<Finding> {
    for name in &subject.netdevs {
        if !devices.iter().any(|device| device.name == *name) {
            let (kind, link_local) = ("netdev".to_owned(), LinkLocal::ALL_BUT_PAUSE);
            devices.push(Device { name: name.clone(), kind, link_local, carrier_from: None });
        }
    }
    if devices.is_empty() {
        return Vec::new();
    }
    let links = match links().await {
        Ok(links) => links,
        Err(error) => {
            let text = format!("cannot list network interfaces: {error}");
            return vec![Finding::warn("interfaces", text, "see ip link")];
        }
    };
    let mut findings: Vec<_> =
        devices.iter().flat_map(|device| interface(device, &links)).collect();
    findings.extend(bridges(&devices, &links));
    findings.extend(devices.iter().filter_map(|device| {
        let disabled = read(format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", device.name));
        ipv6(&device.name, disabled.as_deref())
    }));
    let netdevs = devices.iter().filter(|device| device.kind == "netdev");
    findings.extend(netdevs.filter_map(own_addresses));
    findings
}

async fn links() -> Result<BTreeMap<u32, Link>, String> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|error| error.to_string())?;
    let task = actix_rt::spawn(connection);
    let links: Result<Vec<_>, _> = handle.link().get().execute().try_collect().await;
    task.abort();
    let links = links.map_err(|error| error.to_string())?;
    Ok(links.iter().map(Link::of).map(|link| (link.index, link)).collect())
}

impl Link {
    fn of(message: &LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Self {
            index: message.header.index,
            name: String::new(),
            kind: None,
            master: None,
            up: flags.contains(LinkFlags::Up),
            carrier: flags.contains(LinkFlags::LowerUp),
            mtu: 0,
            super_frame: 0,
            stp: None,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::GsoMaxSize(octets) | LinkAttribute::GroMaxSize(octets) => {
                    link.super_frame = link.super_frame.max(*octets);
                }
                LinkAttribute::Controller(index) => link.master = Some(*index),
                LinkAttribute::LinkInfo(infos) => infos.iter().for_each(|info| link.read(info)),
                _ => {}
            }
        }
        link
    }

    fn read(&mut self, info: &LinkInfo) {
        match info {
            LinkInfo::Kind(kind) => self.kind = Some(kind.clone()),
            LinkInfo::Data(InfoData::Bridge(infos)) => {
                self.stp = infos.iter().find_map(|info| match info {
                    InfoBridge::StpState(state) => Some(*state != BridgeStpState::Disabled),
                    _ => None,
                });
            }
            _ => {}
        }
    }
}

/// The interface itself.
fn interface(device: &Device, links: &BTreeMap<u32, Link>) -> Vec<Finding> {
    let Device { name, kind, .. } = device;
    let Some(link) = links.values().find(|link| link.name == *name) else {
        let advice = "ip link lists the interfaces";
        return vec![Finding::fail(
            "interface",
            format!("interface {name} does not exist"),
            advice,
        )];
    };
    let mut findings = Vec::new();
    findings.extend(membership(device, link, links));
    findings.push(if !link.up {
        Finding::fail("interface", format!("{name} is down"), format!("ip link set {name} up"))
    } else if !link.carrier {
        let (text, advice) = match (&device.carrier_from, kind.as_str()) {
            (Some(port), _) => (
                format!("{name} has no carrier, since port {port} (carrier-from) is not up"),
                "see ctl listport why that port is not up, or whether it is there",
            ),
            (None, "tap") => {
                (format!("{name} has no carrier"), "no switch has it open: see ctl listport")
            }
            (None, _) => (format!("{name} has no carrier"), "check the cable and the other end"),
        };
        Finding::warn("interface", text, advice)
    } else {
        Finding::ok("interface", format!("{name} is up, with an MTU of {}", link.mtu))
    });
    if link.mtu < MIN_MTU_IPV6 {
        let text = format!("{name} has an MTU of {}; IPv6 needs {MIN_MTU_IPV6}", link.mtu);
        findings.push(Finding::warn("mtu", text, format!("ip link set {name} mtu {MIN_MTU_IPV6}")));
    }
    if link.super_frame > MAX_SUPER_FRAME {
        let text = format!(
            "{name} makes super-frames of up to {} octets (BIG TCP): those over {MAX_SUPER_FRAME} \
             are lost",
            link.super_frame
        );
        let advice = format!(
            "ip link set {name} gso_max_size {MAX_SUPER_FRAME} gro_max_size {MAX_SUPER_FRAME}"
        );
        findings.push(Finding::warn("offloads", text, advice));
    }
    if inspect::has_lro(name).unwrap_or(false) {
        let text = format!("{name} has LRO on: packets that it merges cannot be forwarded");
        findings.push(Finding::fail("offloads", text, format!("ethtool -K {name} lro off")));
    }
    if link.kind.is_none()
        && std::path::Path::new(&format!("/sys/class/net/{name}/phy80211")).exists()
    {
        let text =
            format!("{name} is a Wi-Fi interface: access points drop frames from other stations");
        findings.push(Finding::warn(
            "interface",
            text,
            "use a cable, or route instead of bridging",
        ));
    }
    findings
}

fn own_addresses(Device { name, .. }: &Device) -> Option<Finding> {
    let text = netdev::warning(name)?;
    let advice = format!("ctl addport tap --bridge br0 ewp0; ip link set {name} master br0");
    Some(Finding::warn("own-addresses", text, advice))
}

/// A netdev port must not have another master.
fn membership(device: &Device, link: &Link, links: &BTreeMap<u32, Link>) -> Option<Finding> {
    let Device { name, kind, .. } = device;
    let master = links.get(&link.master?)?;
    let whose = &master.name;
    let check = "membership";
    Some(match (kind.as_str(), &master.kind) {
        ("tap", Some(InfoKind::Bridge)) => {
            Finding::ok(check, format!("{name} is a member of bridge {whose}"))
        }
        (_, Some(InfoKind::Bridge)) => Finding::fail(
            check,
            format!("{name} is a member of bridge {whose}: two switches forward its frames"),
            format!(
                "add a tap port to {whose} instead (ip link set ewp0 master {whose}), or \
                 remove {name} from it: ip link set {name} nomaster"
            ),
        ),
        (_, kind) => {
            let kind = kind.as_ref().map_or_else(|| "master".to_owned(), ToString::to_string);
            Finding::fail(
                check,
                format!("{name} is a member of {whose}, a {kind}, which takes its frames"),
                format!("make {whose} the port instead of {name}"),
            )
        }
    })
}

/// The bridges that ports are, or are members of.
fn bridges(devices: &[Device], links: &BTreeMap<u32, Link>) -> Vec<Finding> {
    let is_port = |link: &Link| devices.iter().any(|device| device.name == link.name);
    let concerned: BTreeSet<u32> = links
        .values()
        .filter(|link| is_port(link))
        .flat_map(|link| [Some(link.index), link.master])
        .flatten()
        .collect();
    let bridges: Vec<_> = concerned
        .iter()
        .filter_map(|index| links.get(index))
        .filter(|link| link.kind == Some(InfoKind::Bridge))
        .collect();
    let passes = |bridge: &Link| {
        let is_there =
            |link: &&Link| link.index == bridge.index || link.master == Some(bridge.index);
        let names: Vec<_> = links.values().filter(is_there).map(|link| &link.name).collect();
        devices.iter().any(|one| names.contains(&&one.name) && one.link_local.contains(0))
    };
    let mut findings: Vec<_> =
        bridges.iter().filter_map(|bridge| spanning_tree(bridge, passes(bridge))).collect();
    if !bridges.is_empty() {
        for family in ["iptables", "ip6tables", "arptables"] {
            let key = format!("net.bridge.bridge-nf-call-{family}");
            let value = read(format!("/proc/sys/{}", key.replace('.', "/")));
            findings.extend(netfilter(&key, value.as_deref()));
        }
    }
    findings
}

/// `passes`: whether the setting `link-local` lets BPDUs pass its port.
fn spanning_tree(bridge: &Link, passes: bool) -> Option<Finding> {
    let (name, check) = (&bridge.name, "stp");
    Some(if !bridge.stp? {
        let text = format!("bridge {name} does not run STP; the loop guard looks for loops");
        Finding::ok(check, text)
    } else if passes {
        Finding::warn(
            check,
            format!("bridge {name} runs STP, and its BPDUs pass the switch to all other ports"),
            "spanning tree then covers the networks behind them as well; to keep it here, set \
             link-local without stp on the bridge's port",
        )
    } else {
        Finding::warn(
            check,
            format!("bridge {name} runs STP, and its BPDUs do not pass the switch"),
            "loops through the switch are found by its loop guard and not by STP; to let BPDUs \
             pass, set link-local with stp on the bridge's port",
        )
    })
}

/// `value` of a sysctl that exists if `br_netfilter` is loaded.
fn netfilter(key: &str, value: Option<&str>) -> Option<Finding> {
    (value == Some("1")).then(|| {
        let text =
            format!("{key} is 1: firewall rules for routed packets apply to bridged ones too");
        Finding::warn("bridge-netfilter", text, format!("to turn it off: sysctl -w {key}=0"))
    })
}

/// `disabled` of a sysctl that exists if the kernel has IPv6.
fn ipv6(name: &str, disabled: Option<&str>) -> Option<Finding> {
    (disabled == Some("1")).then(|| {
        let text = format!("IPv6 is disabled on {name}: setif cannot set IPv6 addresses");
        let advice = format!("to enable it: sysctl -w net.ipv6.conf.{name}.disable_ipv6=0");
        Finding::warn("ipv6", text, advice)
    })
}

#[cfg(test)]
mod tests {
    use super::{super::Level, *};

    fn link(index: u32, name: &str, kind: Option<InfoKind>, master: Option<u32>) -> (u32, Link) {
        let name = name.to_owned();
        let up = true;
        let link = Link {
            index,
            name,
            kind,
            master,
            up,
            carrier: up,
            mtu: 1500,
            super_frame: 65_536,
            stp: None,
        };
        (index, link)
    }

    fn device(name: &str, kind: &str) -> Device {
        let link_local = LinkLocal::ALL_BUT_PAUSE;
        Device { name: name.to_owned(), kind: kind.to_owned(), link_local, carrier_from: None }
    }

    #[test]
    fn a_netdev_that_is_a_member_is_a_fault_and_a_tap_in_a_bridge_is_not() {
        let links = BTreeMap::from([
            link(1, "br0", Some(InfoKind::Bridge), None),
            link(2, "bond0", Some(InfoKind::Bond), None),
            link(3, "eth0", None, Some(1)),
            link(4, "eth1", None, Some(2)),
            link(5, "ewp0", Some(InfoKind::Tun), Some(1)),
            link(6, "eth2", None, None),
        ]);
        let worst = |name, kind| {
            interface(&device(name, kind), &links).iter().map(|f| f.level).collect::<Vec<_>>()
        };
        assert_eq!(worst("eth0", "netdev"), [Level::Fail, Level::Ok]);
        assert_eq!(worst("eth1", "netdev"), [Level::Fail, Level::Ok]);
        assert_eq!(worst("ewp0", "tap"), [Level::Ok, Level::Ok]);
        assert_eq!(worst("eth2", "netdev"), [Level::Ok]);
        assert_eq!(worst("none0", "netdev"), [Level::Fail]);
    }

    #[test]
    fn a_link_that_is_down_or_without_cable_is_reported() {
        let (_, eth) = link(1, "eth0", None, None);
        let level = |up, carrier, mtu| {
            let links = BTreeMap::from([(1, Link { up, carrier, mtu, ..eth.clone() })]);
            interface(&device("eth0", "netdev"), &links).last().unwrap().level
        };
        assert_eq!(level(false, false, 1500), Level::Fail);
        assert_eq!(level(true, false, 1500), Level::Warn);
        assert_eq!(level(true, true, 1200), Level::Warn);
        assert_eq!(level(true, true, 1500), Level::Ok);
        let links_without = BTreeMap::from([(1, Link { carrier: false, ..eth.clone() })]);
        let follower = Device { carrier_from: Some("uplink".to_owned()), ..device("eth0", "tap") };
        let found = interface(&follower, &links_without);
        assert!(found.last().unwrap().text.contains("port uplink (carrier-from)"), "{found:?}");
        let links = BTreeMap::from([(1, Link { super_frame: 200_000, ..eth.clone() })]);
        let found = interface(&device("eth0", "netdev"), &links);
        assert!(found.last().unwrap().text.contains("(BIG TCP)"), "{found:?}");
    }

    #[test]
    fn filtering_of_bridged_packets_is_reported_if_it_is_on() {
        let key = "net.bridge.bridge-nf-call-iptables";
        assert_eq!((netfilter(key, None), netfilter(key, Some("0"))), (None, None));
        assert!(netfilter(key, Some("1")).unwrap().advice.unwrap().ends_with("iptables=0"));
        assert!(ipv6("eth0", Some("1")).is_some() && ipv6("eth0", Some("0")).is_none());
    }

    #[test]
    fn stp_of_a_bridge_is_reported() {
        let (_, bridge) = link(1, "br0", Some(InfoKind::Bridge), None);
        let found = |stp, passes| {
            spanning_tree(&Link { stp: Some(stp), ..bridge.clone() }, passes).unwrap()
        };
        assert_eq!((found(true, true).level, found(false, true).level), (Level::Warn, Level::Ok));
        assert!(found(true, true).text.contains("its BPDUs pass the switch"));
        assert!(found(true, false).text.contains("its BPDUs do not pass the switch"));
    }
}

//! Checks of a running switch, only through its control service: which ports are not up
//! and why, which discard frames now, which limits are near, and whether MTUs match.

use std::{collections::BTreeMap, time::Duration};

use actix_rt::time::{sleep, timeout};
use etherws_actors::settings::LinkLocal;

use super::Finding;
use crate::{
    api::{
        Interface, Limit, ListInterface, ListPort, Port, PortRef, PortReport, ShowPort, ShowStp,
        Tree, client::Endpoint,
    },
    ctl::output::error_text,
};

/// Between two readings of the counters: whatever is wrong now moves them.
const SAMPLE: Duration = Duration::from_secs(1);

/// Most ports whose limits are checked: each is a request.
const MAX_REPORTS: usize = 64;

/// Share of a limit, in percent, from which it is near.
const NEAR: u64 = 90;

/// How long a switch may take to say that it serves. Health checks have 3 s.
const HEALTH_LIMIT: Duration = Duration::from_millis(2500);

/// A network interface that is a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) name: String,
    /// `tap` or `netdev`.
    pub(super) kind: String,
    /// Its port's setting `link-local`; what is declared, where no switch could tell.
    pub(super) link_local: LinkLocal,
    /// Port that it has its carrier from.
    pub(super) carrier_from: Option<String>,
}

/// Checks the switch behind `endpoint`. Returns the devices of its ports, if they are on
/// this machine.
pub(super) async fn look(endpoint: &Endpoint) -> (Vec<Device>, Vec<Finding>) {
    let ports = match endpoint.ask(&ListPort::default()).await {
        Ok(ports) => ports,
        Err(error) => {
            let advice = "start one with etherws sw, or name another with --ctlurl";
            let text = format!("no running switch was checked: {}", error_text(&error));
            return (Vec::new(), vec![Finding::warn("control", text, advice)]);
        }
    };
    let text = format!("the switch at {endpoint} is running with {} ports", ports.len());
    let mut findings = vec![Finding::ok("control", text)];
    findings.extend(ports.iter().filter_map(state));
    sleep(SAMPLE).await;
    if let Ok(later) = endpoint.ask(&ListPort::default()).await {
        findings.extend(discards(&ports, &later));
    }
    let mut settings = BTreeMap::new();
    for port in ports.iter().take(MAX_REPORTS) {
        let port = PortRef::Number(port.port.into());
        // A 1.3 switch has no such method, and a port may have gone.
        if let Ok(reports) = endpoint.ask(&ShowPort { port }).await {
            findings.extend(reports.iter().flat_map(limits));
            findings.extend(reports.iter().filter_map(own_address));
            settings.extend(reports.iter().map(|report| (report.port.port, of_device(report))));
        }
    }
    if let Ok(trees) = endpoint.ask(&ShowStp {}).await {
        findings.extend(trees.iter().flat_map(Tree::findings));
    }
    if let Ok(interfaces) = endpoint.ask(&ListInterface {}).await {
        findings.extend(mtus(&interfaces));
    }
    let is_device = |port: &&Port| matches!(port.kind.as_str(), "tap" | "netdev");
    let devices = ports.iter().filter(is_device).map(|port| {
        let set = settings.get(&port.port).cloned().unwrap_or((LinkLocal::ALL_BUT_PAUSE, None));
        let (link_local, carrier_from) = set;
        Device { name: port.target.clone(), kind: port.kind.clone(), link_local, carrier_from }
    });
    (if endpoint.is_local() { devices.collect() } else { Vec::new() }, findings)
}

/// Whether the switch behind `endpoint` serves. A port that is down is no reason to start it again.
pub(super) async fn serves(endpoint: &Endpoint) -> Finding {
    let advice = "see the log of the switch, or name another one with --ctlurl";
    let wrong = match timeout(HEALTH_LIMIT, endpoint.ask(&ListPort::default())).await {
        Ok(Ok(ports)) => {
            let up = ports.iter().filter(|port| port.state() == "up").count();
            let text = format!("the switch at {endpoint} serves: {} ports, {up} up", ports.len());
            return Finding::ok("health", text);
        }
        Ok(Err(error)) => error_text(&error),
        Err(_) => format!("the switch at {endpoint} has not answered within {HEALTH_LIMIT:?}"),
    };
    Finding::fail("health", wrong, advice)
}

/// What there is to say of one port.
pub(super) fn port(report: &PortReport) -> Vec<Finding> {
    let Port { port: number, kind, target, .. } = &report.port;
    let up = || Finding::ok("port-state", format!("port {number} ({kind} {target}) is up"));
    let mut findings = vec![state(&report.port).unwrap_or_else(up)];
    findings.extend(limits(report));
    findings.extend(own_address(report));
    // What it has lost since it began: there was no moment before.
    findings.extend(discards(&[], std::slice::from_ref(&report.port)));
    findings
}

/// The port's device, if it is one.
pub(super) fn device(report: &PortReport) -> Option<Device> {
    let port = &report.port;
    let (link_local, carrier_from) = of_device(report);
    matches!(port.kind.as_str(), "tap" | "netdev").then(|| Device {
        name: port.target.clone(),
        kind: port.kind.clone(),
        link_local,
        carrier_from,
    })
}

/// Settings that matter for what is looked at in a device: `link-local` and `carrier-from`.
fn of_device(report: &PortReport) -> (LinkLocal, Option<String>) {
    let value = |name: &str| report.settings.get(name).map(|setting| setting.value.clone());
    let link_local = value("link-local").and_then(|value| value.parse().ok());
    let carrier_from = value("carrier-from").filter(|value| !value.is_empty());
    (link_local.unwrap_or(LinkLocal::ALL_BUT_PAUSE), carrier_from)
}

fn state(port: &Port) -> Option<Finding> {
    let Port { port: number, kind, target, error, .. } = port;
    let check = "port-state";
    let reason = error.as_deref().unwrap_or("reason unknown");
    let text = |state: &str| format!("port {number} ({kind} {target}) {state}: {reason}");
    Some(match port.state.as_deref()? {
        _ if port.shut => {
            let text = format!("port {number} ({kind} {target}) is shut: it forwards nothing");
            Finding::warn(check, text, format!("to open it: ctl setport --shut 0 {number}"))
        }
        "down" => {
            // What is down here is nobody's fault at the other end.
            let advice = if reason.contains("carrier-from") {
                format!(
                    "it follows that port: bring that one up, or have it follow none with ctl \
                     setport --default carrier-from {number}"
                )
            } else if reason.contains("is down") {
                format!("ip link set {target} up")
            } else {
                "check the cable and the other end".to_owned()
            };
            Finding::fail(check, text("carries no frames"), advice)
        }
        "backoff" | "connecting" if kind == "netdev" => {
            let advice = format!(
                "it is opened when the interface is back under this name (ip link lists them); if \
                 it has gone for good: ctl delport {number}"
            );
            Finding::fail(check, text("is not open"), advice)
        }
        "backoff" | "connecting" => {
            let advice = format!("it is retried automatically; to give up: ctl delport {number}");
            Finding::fail(check, text("is not connected"), advice)
        }
        "failed" => Finding::fail(
            check,
            text("has failed"),
            format!("delete it with ctl delport {number}, and add it again"),
        ),
        "loop" => {
            let advice = "two ports lead to the same network: remove one of them";
            Finding::fail(check, text("is blocked because of a loop"), advice)
        }
        "bpdu-guard" => {
            let advice = format!(
                "find the bridge, or let it in: ctl setport --bpdu-guard off {number}; the port \
                 is tried again 20 s after the last BPDU"
            );
            Finding::fail(check, text("is blocked by BPDU guard"), advice)
        }
        _ => return None,
    })
}

/// What grows from one reading to the next; and what has a cause that stays, however long
/// ago a frame was lost by it.
fn discards(before: &[Port], after: &[Port]) -> Vec<Finding> {
    let before: BTreeMap<_, _> = before.iter().map(|port| (port.port, &port.discards)).collect();
    let grown = after.iter().flat_map(|port| {
        let before = before.get(&port.port).copied();
        port.discards.iter().filter_map(move |(reason, &count)| {
            let earlier = before.and_then(|discards| discards.get(reason)).copied();
            let more = count.saturating_sub(earlier.unwrap_or(count));
            let is_lasting = STAYS.contains(&reason.as_str()) && count > 0;
            (more > 0 || is_lasting).then_some((port, reason.as_str(), more, count))
        })
    });
    grown.filter_map(|(port, reason, more, count)| discard(port, reason, more, count)).collect()
}

/// Reasons whose cause is how interfaces are set up.
const STAYS: [&str; 4] = ["too-long", "truncated", "unknown-offload", "device-queue"];

fn discard(port: &Port, reason: &str, more: u64, count: u64) -> Option<Finding> {
    let advice = match reason {
        "lack-of-buffers" => "its link is slower than the traffic to it: check the connection",
        "loop" => "two ports lead to the same network: remove one of them",
        "storm-broadcast" | "storm-multicast" | "storm-unicast" | "storm-octets" => {
            "find out who floods there; if it is intended, raise the limit with setport --storm-…"
        }
        "bpdu-guard" => "a bridge with spanning tree is behind it: see its state",
        "link-local" => {
            "protocols between neighbors (LLDP, LACP, ..) are kept to their link; if they shall \
             pass, say which: setport --link-local"
        }
        "invalid-source" => "a station there sends frames with a group address as source",
        "on-error" => "its peer sends invalid Ethernet frames",
        "too-long" => {
            "its interface does not take frames of that length: give all interfaces of the LAN \
             one MTU, hosts included (ip link set DEV mtu N)"
        }
        "truncated" => {
            "super-frames are longer than what is read at once: on the hosts, ip link set DEV \
             gso_max_size 65536 gso_ipv4_max_size 65536"
        }
        "unknown-offload" => {
            "super-frames have headers that are not known here: on the hosts, ethtool -K DEV tso \
             off gso off"
        }
        "device-queue" => {
            "the host sends faster by its interface than frames are read: make its queue longer \
             with ctl setport --txqueuelen N"
        }
        "port-down" => "it is shut, or not connected",
        "rate-in" => "more comes in by it than its rate-in; if it is to wait instead, add shape",
        "rate-out" => "more is sent to it than its rate-out; if it is to wait instead, add shape",
        "impair-limit" => {
            "its delay holds less than is sent: raise the limit with setport --impair-limit"
        }
        "foreign-source" => "somebody sends from an address that is not among its static-macs",
        "foreign-ip" => "somebody sends from an IP address that is not among its allowed-ips",
        "rogue-dhcp-server" => {
            "a DHCP server is behind it; if it is meant to be: ctl setport --dhcp-guard off"
        }
        "dhcp-spoof" => {
            "DHCP messages there name another station than their sender; a relay or a bridge that \
             changes addresses needs ctl setport --dhcp-guard off"
        }
        "dhcp-rate" => {
            "somebody there asks DHCP servers for too much; for many stations: ctl setport --dhcp-rate"
        }
        "arp-spoof" | "nd-spoof" | "ip-spoof" => {
            "somebody there uses an IP address that is not bound to it: see ctl listbinding, and for \
             addresses that no DHCP server gives ctl setport --allowed-ips"
        }
        "rogue-router" => {
            "a router announces itself there; if it is meant to: ctl setport --ra-guard off"
        }
        "rogue-querier" => {
            "a multicast router is behind it; if it is meant to be: ctl setport --querier-guard off"
        }
        "unreadable" => "somebody there hides something from its guards; ctl events names him",
        "isolated" => "isolated ports send to it, which is isolated, too, and not in their group",
        // A frame whose receiver is behind the port that it came from: nothing is wrong.
        _ => return None,
    };
    let Port { port: number, kind, target, .. } = port;
    let lost = match more {
        0 => format!("has discarded {count} frames"),
        _ => format!("discards {more} frames per second"),
    };
    let text = format!("port {number} ({kind} {target}) {lost}: {reason}");
    Some(Finding::warn("discards", text, advice))
}

/// Those that are nearly used up. A limit that is not a number is none.
fn limits(report: &PortReport) -> Vec<Finding> {
    let near = report.limits.iter().filter_map(|(name, Limit { value, limit })| {
        let most: u64 = limit.split('/').next()?.parse().ok()?;
        (most > 0 && *value >= most.saturating_mul(NEAR) / 100).then(|| {
            let Port { port, kind, target, .. } = &report.port;
            let text = format!("port {port} ({kind} {target}): {name} is {value} of {limit}");
            Finding::warn(
                "limits",
                text,
                format!("see ctl showport {port}; ctl setport raises the limit"),
            )
        })
    });
    near.collect()
}

/// Another machine has the address of a device of ours, or its frames come back.
fn own_address(report: &PortReport) -> Option<Finding> {
    let count = report.counters.get("own-address").copied().filter(|&count| count > 0)?;
    let Port { port, kind, target, user, .. } = &report.port;
    let user = user.as_ref().map(|user| format!(", user {user}")).unwrap_or_default();
    let text = format!(
        "port {port} ({kind} {target}{user}) has received {count} frames from the address of a \
         device of this switch: another machine has the same MAC address, or there is a loop"
    );
    let advice = "give one of the machines another, for instance with ctl setport --mac random; \
                  machines made from one image want a machine-id each";
    Some(Finding::warn("own-address", text, advice))
}

/// A switch does not fragment: a frame too long for one of its devices is lost there.
fn mtus(interfaces: &[Interface]) -> Option<Finding> {
    // One that is gone has none.
    let there = || interfaces.iter().filter(|interface| interface.mtu > 0);
    let least = there().min_by_key(|interface| interface.mtu)?;
    let most = there().max_by_key(|interface| interface.mtu)?;
    Some(if least.mtu == most.mtu {
        Finding::ok("mtu", format!("all interfaces of the switch have an MTU of {}", most.mtu))
    } else {
        let Interface { target, mtu, .. } = most;
        let text = format!(
            "MTUs of the switch's interfaces differ: {target} has {mtu}, {} has {}",
            least.target, least.mtu
        );
        let advice = format!(
            "long frames between them are lost; to match them: ctl setif --mtu {} {}",
            least.mtu, most.port
        );
        Finding::warn("mtu", text, advice)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::Level, *};

    fn port(more: serde_json::Value) -> Port {
        let mut port = json!({"port": 1, "type": "client", "target": "ws://h/", "tx": 0, "rx": 0,
            "shut": false, "state": "up"});
        port.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(port).unwrap()
    }

    #[test]
    fn a_port_that_is_not_up_is_reported_with_its_reason() {
        assert_eq!(state(&port(json!({}))), None);
        for name in ["backoff", "failed", "loop", "bpdu-guard"] {
            let finding = state(&port(json!({"state": name, "error": "why"}))).unwrap();
            assert_eq!(finding.level, Level::Fail);
            assert!(
                finding.text.contains("port 1 (client ws://h/)") && finding.text.ends_with("why")
            );
        }
        assert_eq!(state(&port(json!({"shut": true}))).unwrap().level, Level::Warn);
        let down = |error: &str| {
            let more = json!({"type": "netdev", "target": "eth1", "state": "down", "error": error});
            state(&port(more)).unwrap().advice.unwrap()
        };
        let of_ours = down("interface eth1 is down; ip link set eth1 up");
        assert_eq!(of_ours, "ip link set eth1 up");
        assert!(down("interface eth1 has no carrier").contains("the other end"));
        let follows = down("interface e has no carrier, since port 2 (carrier-from) is not up");
        assert!(follows.contains("--default carrier-from 1"), "{follows}");
        let gone = json!({"type": "netdev", "target": "eth1", "state": "backoff", "error": "gone"});
        let advice = state(&port(gone)).unwrap().advice.unwrap();
        assert!(advice.contains("ip link") && advice.contains("delport 1"), "{advice}");
    }

    #[test]
    fn discards_count_if_they_grow() {
        let at = |lost: u64, same: u64| {
            vec![port(json!({"discards": {"lack-of-buffers": lost, "same-port": same}}))]
        };
        assert!(discards(&at(5, 1), &at(5, 9)).is_empty());
        let grown = discards(&at(5, 1), &at(12, 1));
        assert!(grown[0].text.contains("7 frames per second: lack-of-buffers"), "{grown:?}");
        assert!(discards(&[], &at(5, 1)).is_empty(), "a port that is new");
        let stays = vec![port(json!({"discards": {"too-long": 3, "on-error": 3}}))];
        let found = discards(&stays, &stays);
        assert!(found[0].text.ends_with("has discarded 3 frames: too-long"), "{found:?}");
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn a_limit_is_near_at_nine_tenths() {
        let report = |value: u64, limit: &str| PortReport {
            port: port(json!({})),
            options: serde_json::Map::new(),
            loopguard: true,
            stp: None,
            settings: BTreeMap::new(),
            details: BTreeMap::new(),
            counters: BTreeMap::new(),
            limits: BTreeMap::from([("macs".to_owned(), Limit { value, limit: limit.to_owned() })]),
        };
        assert_eq!(limits(&report(7300, "8192")).len(), 0);
        assert_eq!(limits(&report(7400, "8192")).len(), 1);
        assert_eq!(limits(&report(950, "1000/4000")).len(), 1);
        assert_eq!(limits(&report(950, "off")).len(), 0);
    }

    #[test]
    fn an_address_that_two_machines_have_is_reported_with_the_user() {
        let report = |count: u64| PortReport {
            port: port(json!({"user": "bob"})),
            options: serde_json::Map::new(),
            loopguard: true,
            stp: None,
            settings: BTreeMap::new(),
            details: BTreeMap::new(),
            counters: BTreeMap::from([("own-address".to_owned(), count)]),
            limits: BTreeMap::new(),
        };
        assert_eq!(own_address(&report(0)), None);
        let finding = own_address(&report(3)).unwrap();
        assert!(finding.level == Level::Warn && finding.text.contains("user bob"), "{finding:?}");
    }

    #[test]
    fn interfaces_of_different_mtu_are_a_warning() {
        let interface = |port: u32, mtu: u32| -> Interface {
            serde_json::from_value(
                json!({"port": port, "type": "tap", "target": format!("t{port}"),
                "address": "", "netmask": "", "mtu": mtu}),
            )
            .unwrap()
        };
        assert_eq!(mtus(&[]), None);
        assert_eq!(mtus(&[interface(1, 0)]), None, "its device is gone");
        assert_eq!(mtus(&[interface(1, 0), interface(2, 1500)]).unwrap().level, Level::Ok);
        assert_eq!(mtus(&[interface(1, 1500), interface(2, 1500)]).unwrap().level, Level::Ok);
        let differ = mtus(&[interface(1, 1400), interface(2, 1500)]).unwrap();
        assert_eq!(differ.level, Level::Warn);
        assert!(differ.advice.unwrap().contains("setif --mtu 1400 2"));
    }
}

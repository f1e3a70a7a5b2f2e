//! The table of all metrics: names by Prometheus' conventions, with base units, and where
//! each number comes from. `docs/metrics.md` says the same and is checked against it.

use std::sync::Arc;

use etherws_actors::{
    counters::{Counters, Discard, Incident},
    message::{PortSurvey, Traffic, Usage},
    state::PortState,
    stp::{self, BpduCounts, State},
};
use prometheus_client::{
    metrics::MetricType::{self, Counter, Gauge},
    registry::Unit,
};

use super::{ListenerSurvey, Scrape};
use crate::server::{certificates::Certificate, counters::Count, events};

/// Labels of one sample.
pub(super) type Labels = Vec<(&'static str, String)>;

/// All samples of a family.
type Samples = Vec<(Labels, Value)>;

/// The value of one sample.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    /// A whole number.
    Count(u64),
    /// Another one, as of seconds.
    Real(f64),
}

/// A metric with all its samples.
pub(super) struct Family {
    /// Without its unit, and without the `_total` of a counter.
    pub(super) name: &'static str,
    /// In a sentence.
    pub(super) help: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) kind: MetricType,
    pub(super) samples: fn(&Scrape) -> Samples,
}

/// All of them.
pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "etherws_port_receive_frames",
        help: "Frames received from the port's medium.",
        unit: None,
        kind: Counter,
        samples: |scrape| counter(scrape, Counters::rx_frames),
    },
    Family {
        name: "etherws_port_receive",
        help: "Octets of frames received, without FCS.",
        unit: Some(Unit::Bytes),
        kind: Counter,
        samples: |scrape| counter(scrape, Counters::rx_octets),
    },
    Family {
        name: "etherws_port_transmit_frames",
        help: "Frames sent to the port's medium.",
        unit: None,
        kind: Counter,
        samples: |scrape| counter(scrape, Counters::tx_frames),
    },
    Family {
        name: "etherws_port_transmit",
        help: "Octets of frames sent, without FCS.",
        unit: Some(Unit::Bytes),
        kind: Counter,
        samples: |scrape| counter(scrape, Counters::tx_octets),
    },
    Family {
        name: "etherws_vlan_receive_frames",
        help: "Frames of the VLAN that came in, since a port first had settings for VLANs.",
        unit: None,
        kind: Counter,
        samples: |scrape| vlans(scrape, |traffic| traffic.rx_frames),
    },
    Family {
        name: "etherws_vlan_receive",
        help: "Octets of frames of the VLAN that came in, without FCS.",
        unit: Some(Unit::Bytes),
        kind: Counter,
        samples: |scrape| vlans(scrape, |traffic| traffic.rx_octets),
    },
    Family {
        name: "etherws_vlan_transmit_frames",
        help: "Frames of the VLAN that ports were given to send.",
        unit: None,
        kind: Counter,
        samples: |scrape| vlans(scrape, |traffic| traffic.tx_frames),
    },
    Family {
        name: "etherws_vlan_transmit",
        help: "Octets of frames of the VLAN that ports were given to send, without FCS.",
        unit: Some(Unit::Bytes),
        kind: Counter,
        samples: |scrape| vlans(scrape, |traffic| traffic.tx_octets),
    },
    Family {
        name: "etherws_port_discarded_frames",
        help: "Frames discarded on ingress or egress of the port.",
        unit: None,
        kind: Counter,
        samples: |scrape| {
            named(scrape, "reason", &Discard::ALL, |counters, &reason| {
                (reason.name(), counters.discards(reason))
            })
        },
    },
    Family {
        name: "etherws_port_incidents",
        help: "Other incidents on the port: loops, flaps, reconnects.",
        unit: None,
        kind: Counter,
        samples: |scrape| {
            named(scrape, "incident", &Incident::ALL, |counters, &incident| {
                (incident.name(), counters.incidents(incident))
            })
        },
    },
    Family {
        name: "etherws_port_state",
        help: "What the port is doing: 1 for its state, 0 for all others.",
        unit: None,
        kind: Gauge,
        samples: |scrape| {
            let ports = scrape.ports.iter();
            let states = ports.flat_map(|port| {
                PortState::NAMES.map(|state| {
                    let is_state = port.info.state.name() == state;
                    (labels(port, [("state", state)]), Value::Count(u64::from(is_state)))
                })
            });
            states.collect()
        },
    },
    Family {
        name: "etherws_port_shut",
        help: "1 if an operator has shut the port, else 0.",
        unit: None,
        kind: Gauge,
        samples: |scrape| ports(scrape, |port| Some(Value::Count(u64::from(port.info.shut)))),
    },
    Family {
        name: "etherws_port_queue",
        help: "Octets in the egress queue of a port that is up.",
        unit: Some(Unit::Bytes),
        kind: Gauge,
        samples: |scrape| ports(scrape, |port| port.queue.map(used)),
    },
    Family {
        name: "etherws_port_queue_limit",
        help: "Limit of the port's egress queue; beyond it frames are discarded for lack of buffers.",
        unit: Some(Unit::Bytes),
        kind: Gauge,
        samples: |scrape| ports(scrape, |port| port.queue.map(limit)),
    },
    Family {
        name: "etherws_port_learned_addresses",
        help: "MAC addresses learned behind the port.",
        unit: None,
        kind: Gauge,
        samples: |scrape| ports(scrape, |port| Some(used(port.macs))),
    },
    Family {
        name: "etherws_port_learned_addresses_limit",
        help: "MAC addresses that may be learned behind the port.",
        unit: None,
        kind: Gauge,
        samples: |scrape| ports(scrape, |port| Some(limit(port.macs))),
    },
    Family {
        name: "etherws_port_round_trip",
        help: "Latest round trip to the peer of a tunnel, where the peer is pinged.",
        unit: Some(Unit::Seconds),
        kind: Gauge,
        samples: |scrape| {
            ports(scrape, |port| {
                let is_open = port.queue.is_some();
                let round_trip = port.info.counters.round_trip().filter(|_| is_open)?;
                Some(Value::Real(round_trip.as_secs_f64()))
            })
        },
    },
    Family {
        name: "etherws_port_info",
        help: "What the port is, its name, and the user of its session; empty where there is none.",
        unit: None,
        kind: Gauge,
        samples: |scrape| {
            let ports = scrape.ports.iter().map(|port| {
                let name = port.info.name.as_ref().map(|name| name.as_str());
                let user = port.info.details.iter().find(|(name, _)| *name == "user");
                let user = user.map(|(_, user)| &**user);
                let [name, user] = [name, user].map(Option::unwrap_or_default);
                let (kind, target) = (port.info.kind, &*port.info.target);
                let what = [("name", name), ("type", kind), ("target", target), ("user", user)];
                (labels(port, what), Value::Count(1))
            });
            ports.collect()
        },
    },
    Family {
        name: "etherws_stp_port_state",
        help: "What spanning tree lets the port do: 1 for its state, 0 for all others.",
        unit: None,
        kind: Gauge,
        samples: |scrape| {
            let ports = scrape.ports.iter().filter_map(|port| Some((port, port.info.stp?.state)));
            let states = ports.flat_map(|(port, own)| {
                State::ALL.map(|state| {
                    let value = Value::Count(u64::from(state == own));
                    (labels(port, [("state", state.name())]), value)
                })
            });
            states.collect()
        },
    },
    Family {
        name: "etherws_stp_port_receive_bpdus",
        help: "BPDUs that spanning tree received on the port.",
        unit: None,
        kind: Counter,
        samples: |scrape| bpdus(scrape, |port| port.received),
    },
    Family {
        name: "etherws_stp_port_transmit_bpdus",
        help: "BPDUs that spanning tree sent from the port.",
        unit: None,
        kind: Counter,
        samples: |scrape| bpdus(scrape, |port| port.sent),
    },
    Family {
        name: "etherws_stp_root_path_cost",
        help: "Cost of the path to the root of the spanning tree; 0 if this switch is the root.",
        unit: None,
        kind: Gauge,
        samples: |scrape| one(scrape.survey.tree.map(|tree| Value::Count(tree.root_cost.into()))),
    },
    Family {
        name: "etherws_stp_topology_changes",
        help: "Topology changes of the spanning tree.",
        unit: None,
        kind: Counter,
        samples: |scrape| one(scrape.survey.tree.map(|tree| Value::Count(tree.topology_changes))),
    },
    Family {
        name: "etherws_fdb_entries",
        help: "Entries of the forwarding database.",
        unit: None,
        kind: Gauge,
        samples: |scrape| fdb(scrape, used),
    },
    Family {
        name: "etherws_fdb_entries_limit",
        help: "Entries that the forwarding database may have.",
        unit: None,
        kind: Gauge,
        samples: |scrape| fdb(scrape, limit),
    },
    Family {
        name: "etherws_bindings",
        help: "IP addresses that are bound to stations behind guarded ports.",
        unit: None,
        kind: Gauge,
        samples: |scrape| vec![(Vec::new(), used(scrape.survey.bindings))],
    },
    Family {
        name: "etherws_bindings_limit",
        help: "IP addresses that may be bound to stations.",
        unit: None,
        kind: Gauge,
        samples: |scrape| vec![(Vec::new(), limit(scrape.survey.bindings))],
    },
    Family {
        name: "etherws_lldp_neighbors",
        help: "LLDP neighbors.",
        unit: None,
        kind: Gauge,
        samples: |scrape| vec![(Vec::new(), used(scrape.survey.lldp_neighbors))],
    },
    Family {
        name: "etherws_lldp_neighbors_limit",
        help: "LLDP neighbors that there may be.",
        unit: None,
        kind: Gauge,
        samples: |scrape| vec![(Vec::new(), limit(scrape.survey.lldp_neighbors))],
    },
    Family {
        name: "etherws_neigh_entries",
        help: "IP addresses that are known for neigh-suppress.",
        unit: None,
        kind: Gauge,
        samples: |scrape| vec![(Vec::new(), used(scrape.survey.neigh_entries))],
    },
    Family {
        name: "etherws_neigh_entries_limit",
        help: "IP addresses that may be known for neigh-suppress.",
        unit: None,
        kind: Gauge,
        samples: |scrape| vec![(Vec::new(), limit(scrape.survey.neigh_entries))],
    },
    Family {
        name: "etherws_multicast_groups",
        help: "Multicast groups that hosts have joined, as snooping knows them.",
        unit: None,
        kind: Gauge,
        samples: |scrape| vec![(Vec::new(), used(scrape.survey.groups))],
    },
    Family {
        name: "etherws_multicast_groups_limit",
        help: "Multicast groups that hosts may have joined; 0 while snooping is off.",
        unit: None,
        kind: Gauge,
        samples: |scrape| vec![(Vec::new(), limit(scrape.survey.groups))],
    },
    Family {
        name: "etherws_queue_memory",
        help: "Octets that wait in all queues together, and that the switch has just read.",
        unit: Some(Unit::Bytes),
        kind: Gauge,
        samples: |scrape| vec![(Vec::new(), used(scrape.survey.queues))],
    },
    Family {
        name: "etherws_queue_memory_limit",
        help: "Octets that may wait in all queues together.",
        unit: Some(Unit::Bytes),
        kind: Gauge,
        samples: |scrape| vec![(Vec::new(), limit(scrape.survey.queues))],
    },
    Family {
        name: "etherws_sessions",
        help: "Sessions of the tunnel.",
        unit: None,
        kind: Gauge,
        samples: |scrape| vec![(vec![], Value::Count(scrape.sessions.0 as u64))],
    },
    Family {
        name: "etherws_sessions_limit",
        help: "Limit of sessions.",
        unit: None,
        kind: Gauge,
        samples: |scrape| vec![(vec![], Value::Count(scrape.sessions.1 as u64))],
    },
    Family {
        name: "etherws_listener_connections",
        help: "Connections to the listener that are not sessions.",
        unit: None,
        kind: Gauge,
        samples: |scrape| listeners(scrape, |listener| listener.connections as u64),
    },
    Family {
        name: "etherws_listener_accepted_connections",
        help: Count::Accepted.help(),
        unit: None,
        kind: Counter,
        samples: |scrape| listeners(scrape, |listener| listener.accepted),
    },
    Family {
        name: "etherws_listener_sessions",
        help: Count::Sessions.help(),
        unit: None,
        kind: Counter,
        samples: |scrape| listeners(scrape, |listener| listener.sessions),
    },
    Family {
        name: "etherws_listener_tls_failures",
        help: Count::TlsFailures.help(),
        unit: None,
        kind: Counter,
        samples: |scrape| listeners(scrape, |listener| listener.tls_failures),
    },
    Family {
        name: "etherws_listener_refused",
        help: "Connections and requests refused.",
        unit: None,
        kind: Counter,
        samples: |scrape| {
            let reasons = scrape.listeners.iter().flat_map(|listener| {
                listener.refused.iter().map(|&(reason, count)| {
                    let service = ("service", listener.service.to_owned());
                    let reason = ("reason", reason.name().to_owned());
                    (vec![service, reason], Value::Count(count))
                })
            });
            reasons.collect()
        },
    },
    Family {
        name: "etherws_event_readers",
        help: "Readers of the stream of events.",
        unit: None,
        kind: Gauge,
        samples: |scrape| vec![(vec![], Value::Count(scrape.watchers as u64))],
    },
    Family {
        name: "etherws_event_readers_limit",
        help: "Limit of the readers of the stream of events.",
        unit: None,
        kind: Gauge,
        samples: |_| vec![(vec![], Value::Count(events::MAX_READERS as u64))],
    },
    Family {
        name: "etherws_build_info",
        help: "The program's version.",
        unit: None,
        kind: Gauge,
        samples: |_| {
            let version = ("version", env!("CARGO_PKG_VERSION").to_owned());
            vec![(vec![version], Value::Count(1))]
        },
    },
    Family {
        name: "process_cpu",
        help: "Total user and system CPU time spent in seconds.",
        unit: Some(Unit::Seconds),
        kind: Counter,
        samples: |scrape| one(scrape.process.cpu.map(|cpu| Value::Real(cpu.as_secs_f64()))),
    },
    Family {
        name: "process_resident_memory",
        help: "Resident memory size in bytes.",
        unit: Some(Unit::Bytes),
        kind: Gauge,
        samples: |scrape| one(scrape.process.resident.map(Value::Count)),
    },
    Family {
        name: "process_open_fds",
        help: "Number of open file descriptors.",
        unit: None,
        kind: Gauge,
        samples: |scrape| one(scrape.process.descriptors.map(Value::Count)),
    },
    Family {
        name: "process_max_fds",
        help: "Maximum number of open file descriptors.",
        unit: None,
        kind: Gauge,
        samples: |scrape| one(scrape.process.max_descriptors.map(Value::Count)),
    },
    Family {
        name: "etherws_certificate_expiry_timestamp",
        help: "When the certificate expires, since the Unix epoch in seconds.",
        unit: Some(Unit::Seconds),
        kind: Gauge,
        samples: |scrape| {
            let sample = |one: &Certificate| {
                let file = ("file", one.file.display().to_string());
                let subject = ("subject", one.subject.clone());
                (vec![file, subject], Value::Count(u64::try_from(one.until).unwrap_or(0)))
            };
            scrape.certificates.iter().map(sample).collect()
        },
    },
    Family {
        name: "process_start_time",
        help: "Start time of the process since the Unix epoch in seconds.",
        unit: Some(Unit::Seconds),
        kind: Gauge,
        samples: |scrape| {
            one(Some(Value::Real(scrape.process.started.as_duration().as_secs_f64())))
        },
    },
];

/// One sample, where there is a value.
fn one(value: Option<Value>) -> Samples {
    value.map(|value| (vec![], value)).into_iter().collect()
}

fn used(usage: Usage) -> Value {
    Value::Count(usage.used as u64)
}

fn limit(usage: Usage) -> Value {
    Value::Count(usage.limit as u64)
}

/// What tells a port from others, and more. What else a port is stands in `etherws_port_info`
/// alone: it may change, and each change would be new series of all families.
fn labels<const N: usize>(port: &PortSurvey, more: [(&'static str, &str); N]) -> Labels {
    let port = [("port", port.info.port.to_string())];
    port.into_iter().chain(more.map(|(name, value)| (name, value.to_owned()))).collect()
}

/// A sample of each port that has a value.
fn ports(scrape: &Scrape, value: impl Fn(&PortSurvey) -> Option<Value>) -> Samples {
    let samples = scrape.ports.iter();
    samples.filter_map(|port| Some((labels(port, []), value(port)?))).collect()
}

/// A counter of each port.
fn counter(scrape: &Scrape, count: fn(&Counters) -> u64) -> Samples {
    ports(scrape, |port| Some(Value::Count(count(&port.info.counters))))
}

/// BPDUs of each port that takes part in spanning tree.
fn bpdus(scrape: &Scrape, count: fn(stp::PortInfo) -> BpduCounts) -> Samples {
    ports(scrape, |port| Some(Value::Count(count(port.info.stp?).total())))
}

/// A counter of each VLAN in which frames have passed.
fn vlans(scrape: &Scrape, count: fn(&Traffic) -> u64) -> Samples {
    let samples = scrape.survey.vlans.iter().map(|(vid, name, traffic)| {
        let vlan = ("vlan", vid.get().to_string());
        let name = name.clone().map(|name| ("name", name));
        ([vlan].into_iter().chain(name).collect(), Value::Count(count(traffic)))
    });
    samples.collect()
}

/// Counters of each port that have names of their own, which are the label's values.
fn named<T>(
    scrape: &Scrape,
    label: &'static str,
    all: &[T],
    count: impl Fn(&Counters, &T) -> (&'static str, u64),
) -> Samples {
    let samples = scrape.ports.iter().flat_map(|port| {
        let counters = Arc::clone(&port.info.counters);
        let count = &count;
        all.iter().map(move |one| {
            let (name, count) = count(&counters, one);
            (labels(port, [(label, name)]), Value::Count(count))
        })
    });
    samples.collect()
}

fn fdb(scrape: &Scrape, value: fn(Usage) -> Value) -> Samples {
    let entries = [("learned", scrape.survey.learned), ("static", scrape.survey.statics)];
    let sample = |(status, usage): (&str, _)| (vec![("status", status.to_owned())], value(usage));
    entries.map(sample).to_vec()
}

fn listeners(scrape: &Scrape, count: fn(&ListenerSurvey) -> u64) -> Samples {
    let samples = scrape.listeners.iter().map(|listener| {
        (vec![("service", listener.service.to_owned())], Value::Count(count(listener)))
    });
    samples.collect()
}

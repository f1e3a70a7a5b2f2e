//! What a watcher is told, event by event.

use etherws_actors::{
    guard::storm::StormLimit,
    monitor::{Monitor, Watcher},
    stp::BridgeSettings,
};
use futures_util::FutureExt as _;

use super::*;

/// A lab, and who watches it.
fn watched(options: SwitchOptions) -> (Lab, Watcher) {
    let monitor = Monitor::new();
    let watcher = monitor.watch();
    (Lab::with(SwitchOptions { monitor, ..options }), watcher)
}

fn unguarded() -> SwitchOptions {
    SwitchOptions {
        ports: PortSettings { loop_guard: Some(false), ..PortSettings::default() },
        ..SwitchOptions::default()
    }
}

/// What was told until now, a line each: event, port and details.
pub(super) fn told(watcher: &mut Watcher) -> Vec<String> {
    let events = std::iter::from_fn(|| watcher.next().now_or_never().flatten());
    let line = |event: std::sync::Arc<etherws_actors::monitor::Event>| {
        let port = event.port.map(|port| format!(" {port}")).unwrap_or_default();
        let details = event.details.iter().map(|(name, value)| format!(" {name}={value}"));
        format!("{}{port}{}", event.kind.name(), details.collect::<String>())
    };
    events.map(line).collect()
}

#[test]
fn ports_and_addresses_are_told_once_each() {
    run(async {
        let aging_time = Duration::from_secs(2);
        let (lab, mut watcher) = watched(SwitchOptions { aging_time, ..unguarded() });
        let (a, b) = (lab.memory().await, lab.memory().await);
        assert_eq!(
            told(&mut watcher),
            [
                "port-added 1 type=memory target=test",
                "port-up 1 type=memory target=test",
                "port-added 2 type=memory target=test",
                "port-up 2 type=memory target=test",
            ]
        );
        for _ in 0..3 {
            a.send(frame(2, 1)).await.expect("port 1");
        }
        lab.settle().await;
        assert_eq!(told(&mut watcher), ["mac-learned 1 mac=02:00:00:00:00:01 vlan=0"]);
        for _ in 0..3 {
            b.send(frame(2, 1)).await.expect("port 2");
        }
        lab.settle().await;
        assert_eq!(told(&mut watcher), ["mac-moved 2 mac=02:00:00:00:00:01 vlan=0 from=1"]);
        // Swept once.
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert_eq!(told(&mut watcher), ["mac-aged 2 mac=02:00:00:00:00:01 vlan=0"]);
        lab.delete(2).await.expect("port 2 is there");
        drop(a);
        lab.settle().await;
        assert_eq!(
            told(&mut watcher),
            [
                "port-deleted 2 type=memory target=test reason=deleted",
                "port-deleted 1 type=memory target=test reason=closed by the peer",
            ]
        );
    });
}

#[test]
fn an_address_that_comes_again_after_it_has_aged_is_told_of_in_order() {
    run(async {
        let (lab, mut watcher) = watched(unguarded());
        let (a, b) = (lab.memory().await, lab.memory().await);
        // Aging time is 300 s, and each minute all is swept: between the two.
        tokio::time::sleep(Duration::from_secs(30)).await;
        a.send(frame(2, 1)).await.expect("port 1");
        tokio::time::sleep(Duration::from_secs(310)).await;
        told(&mut watcher);
        b.send(frame(2, 1)).await.expect("port 2");
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert_eq!(
            told(&mut watcher),
            [
                "mac-aged 1 mac=02:00:00:00:00:01 vlan=0",
                "mac-learned 2 mac=02:00:00:00:00:01 vlan=0",
            ]
        );
    });
}

#[test]
fn a_storm_is_told_when_it_begins_and_counted_when_it_is_over() {
    run(async {
        let broadcast = StormLimit::Rate { rate: 1, burst: 2 };
        let ports = PortSettings { storm_broadcast: Some(broadcast), ..unguarded().ports };
        let (lab, mut watcher) = watched(SwitchOptions { ports, ..unguarded() });
        let (a, _b) = (lab.memory().await, lab.memory().await);
        a.send(frame(0xff, 1)).await.expect("port 1");
        lab.settle().await;
        told(&mut watcher);
        for _ in 0..2 {
            for _ in 0..8 {
                a.send(frame(0xff, 1)).await.expect("port 1");
            }
            lab.settle().await;
        }
        assert_eq!(
            told(&mut watcher),
            ["storm 1 class=broadcast limit=1/2 mac=02:00:00:00:00:01 vlan=0"]
        );
        tokio::time::sleep(Duration::from_secs(12)).await;
        assert_eq!(told(&mut watcher), ["storm-ended 1 class=broadcast discarded=15"]);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(told(&mut watcher).is_empty());
    });
}

#[test]
fn flaps_and_a_full_table_are_told_once_in_an_episode() {
    run(async {
        let (lab, mut watcher) = watched(SwitchOptions {
            ports: PortSettings { max_macs: Some(1), ..unguarded().ports },
            ..unguarded()
        });
        let (a, b) = (lab.memory().await, lab.memory().await);
        for number in 1..9 {
            a.send(frame(9, number)).await.expect("port 1");
        }
        lab.settle().await;
        let full = "table-full 1 limit=port by=port 1";
        assert_eq!(told(&mut watcher).iter().filter(|line| *line == full).count(), 1);
        for _ in 0..9 {
            for port in [&b, &a] {
                port.send(frame(9, 1)).await.expect("both are up");
                lab.settle().await;
            }
        }
        let lines = told(&mut watcher);
        let flaps: Vec<_> = lines.iter().filter(|line| line.starts_with("flap")).collect();
        assert_eq!(flaps, ["flap 1 mac=02:00:00:00:00:01 vlan=0 pinned=1"], "{lines:?}");
    });
}

#[test]
fn a_loop_and_its_end_are_told() {
    run(async {
        let (lab, mut watcher) = watched(SwitchOptions::default());
        let (one, other) = (lab.memory().await, lab.memory().await);
        let joined = guards::cable(one, Some(other));
        tokio::time::sleep(Duration::from_secs(2)).await;
        let reason = "it leads to the same network as port 1";
        assert_eq!(told(&mut watcher)[4..], [format!("loop 2 with=1 reason={reason}")]);
        joined.set(false);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(told(&mut watcher), ["loop-ended 2"]);
    });
}

#[test]
fn the_spanning_tree_tells_of_its_root_and_of_ports_to_bridges() {
    run(async {
        let of = |priority| Some(BridgeSettings { priority, ..BridgeSettings::default() });
        let (one, mut watcher) =
            watched(SwitchOptions { stp: of(32_768), ..SwitchOptions::default() });
        let root = Lab::with(SwitchOptions { stp: of(4096), ..SwitchOptions::default() });
        let _station = one.memory().await;
        let cable = guards::cable(one.memory().await, Some(root.memory().await));
        guards::cable(one.memory().await, Some(root.memory().await));
        let mut of_tree = async || {
            tokio::time::sleep(Duration::from_secs(20)).await;
            let mut lines = told(&mut watcher);
            lines.retain(|line| line.starts_with("stp-"));
            lines
        };
        let tree = root.control.show_stp().await.expect("it lives").expect("it takes part");
        assert_eq!(
            of_tree().await,
            [
                &format!("stp-root 2 root={} cost=20000", tree.bridge),
                "stp-port 2 role=root state=forwarding",
                "stp-port 3 role=alternate state=discarding",
            ]
        );
        cable.set(false);
        assert_eq!(
            of_tree().await[..2],
            [
                "stp-port 2 role=designated state=discarding",
                "stp-port 3 role=root state=forwarding"
            ]
        );
    });
}

//! Switches with real network devices, through the public interface alone: in a
//! user and network namespace of their own, so that no root is needed.

use std::{
    any::type_name,
    env,
    future::Future,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    time::Duration,
};

use actix::{Actor, Addr};
use etherws_actors::{
    kinds::{netdev::Netdev, tap::Tap},
    message::{ListPorts, PortInfo},
    port::Medium,
    state::PortState,
    supervisor,
    switch::{Switch, SwitchOptions},
};
use slog::Logger;

/// Set in the process that runs inside the namespace.
const INSIDE: &str = "ETHERWS_TEST_NAMESPACE";

/// For what needs a few milliseconds, or a restart's first wait.
const LIMIT: Duration = Duration::from_secs(30);

/// Runs this test again inside a new namespace, and `body` there.
fn in_namespace<F: Future<Output = ()>>(body: impl FnOnce() -> F) {
    if env::var_os(INSIDE).is_some() {
        return actix_rt::System::new().block_on(body());
    }
    let path = type_name::<F>().trim_end_matches("::{{closure}}");
    let (_, test) = path.split_once("::").expect("a path in a crate");
    let allowed = Command::new("unshare").args(["-Urn", "true"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: {test}: no user namespaces here (needs `unshare -Urn` to work)");
        return;
    }
    let output = Command::new("unshare")
        .args(["-Urn", "--kill-child"])
        .arg(env::current_exe().expect("the test binary"))
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .expect("unshare has just worked");
    let text = String::from_utf8_lossy(&output.stdout);
    print!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{test} in its namespace");
}

fn ip(line: &str) {
    let status = Command::new("ip").args(line.split_whitespace()).status();
    assert!(status.is_ok_and(|status| status.success()), "ip {line}");
}

struct Lab(Addr<Switch>);

impl Lab {
    fn new() -> Self {
        Self(Switch::new(SwitchOptions::default()).start())
    }

    async fn add(&self, medium: impl Medium) {
        let log = Logger::root(slog::Discard, slog::o!());
        supervisor::add(&self.0, medium, &log).await.expect("the device opens");
    }

    /// The only port.
    async fn port(&self) -> PortInfo {
        let mut page = self.0.send(ListPorts::default()).await.expect("the switch runs");
        assert_eq!(page.ports.len(), 1);
        page.ports.remove(0).info
    }

    /// Waits until the only port is in a state that `wanted` accepts.
    async fn until(&self, what: &str, wanted: impl Fn(&PortState) -> bool) -> PortInfo {
        let wait = async {
            loop {
                let port = self.port().await;
                if wanted(&port.state) {
                    return port;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(LIMIT, wait).await.expect(what)
    }
}

fn is_lost(state: &PortState) -> bool {
    matches!(state, PortState::Backoff { .. })
}

#[test]
fn a_deleted_tap_is_made_again_under_its_name_and_number() {
    in_namespace(|| async {
        let lab = Lab::new();
        lab.add(Tap::new("ewp%d")).await;
        let before = lab.port().await;
        assert_eq!((before.kind, before.target.as_str()), ("tap", "ewp0"));
        ip("link del ewp0");
        let lost = lab.until("the loss", is_lost).await;
        let reason = lost.state.reason().expect("a reason").to_owned();
        assert!(reason.starts_with("lost TAP device ewp0"), "{reason}");
        let after = lab.until("the restart", |state| *state == PortState::Up).await;
        assert_eq!((after.port, after.target), (before.port, before.target));
        ip("link show ewp0");
    });
}

#[test]
fn a_vanished_netdev_is_joined_again_when_it_returns() {
    in_namespace(|| async {
        let lab = Lab::new();
        ip("link add v0 type veth peer name v1");
        lab.add(Netdev::new("v0")).await;
        let before = lab.port().await;
        ip("link del v0");
        let is_missed = |state: &PortState| {
            state.reason().is_some_and(|reason| reason.starts_with("no network interface \"v0\""))
        };
        lab.until("an attempt without it", is_missed).await;
        ip("link add v0 type veth peer name v1");
        // It is joined while it is down, and carries frames once it has a carrier.
        lab.until("its return", |state| matches!(state, PortState::Down { .. })).await;
        ip("link set v0 up");
        ip("link set v1 up");
        let after = lab.until("its carrier", |state| *state == PortState::Up).await;
        assert_eq!((after.port, after.kind), (before.port, "netdev"));
    });
}

/// A process with a network stack of its own that waits, then pings.
fn pinging_host() -> Child {
    let script = "echo ready; read go; ip link set v1 up && ip addr add 192.0.2.2/24 dev v1 && \
                  ping -c 3 -i 0.2 -s 1472 -M do -w 20 192.0.2.1";
    let mut host = Command::new("unshare")
        .args(["-n", "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("unshare");
    let mut line = String::new();
    let output = host.stdout.as_mut().expect("piped");
    BufReader::with_capacity(1, output).read_line(&mut line).expect("a line");
    assert_eq!(line, "ready\n");
    host
}

#[test]
fn a_host_behind_a_netdev_pings_the_host_behind_a_tap() {
    in_namespace(|| async {
        let lab = Lab::new();
        lab.add(Tap::new("ewp0")).await;
        ip("addr add 192.0.2.1/24 dev ewp0");
        ip("link add v0 type veth peer name v1");
        ip("link set v0 up");
        lab.add(Netdev::new("v0")).await;
        let mut host = pinging_host();
        ip(&format!("link set v1 netns {}", host.id()));
        host.stdin.take().expect("piped").write_all(b"go\n").expect("it waits");
        let wait = async {
            loop {
                if let Some(status) = host.try_wait().expect("a child") {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let status = tokio::time::timeout(LIMIT, wait).await.expect("ping ends");
        assert!(status.success(), "ping: {status}");
        let page = lab.0.send(ListPorts::default()).await.expect("the switch runs");
        for port in page.ports.into_iter().map(|port| port.info) {
            let (rx, tx) = (port.counters.rx_octets(), port.counters.tx_octets());
            assert!(rx >= 3 * 1514 && tx >= 3 * 1514, "{}: rx {rx}, tx {tx}", port.target);
        }
    });
}

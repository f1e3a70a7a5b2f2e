//! Multicast snooping with real kernels: they join and leave by sockets, and speak IGMP and MLD.

use std::time::{Duration, Instant};

use crate::support::{
    LIMIT, lab::Namespace, need, process::Process, switch::Switch, wait_until, wait_within,
    ws::WebSocket,
};

/// Joins a group and tells of each datagram.
const RECEIVER: &str = r"
import socket, struct, sys
group, index = sys.argv[1], socket.if_nametoindex('eth0')
if ':' in group:
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(('', 5000))
    own = socket.inet_pton(socket.AF_INET6, group) + struct.pack('@I', index)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, own)
else:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('', 5000))
    own = struct.pack('4s4si', socket.inet_aton(group), bytes(4), index)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, own)
print('joined', flush=True)
while True:
    print('got', len(s.recv(2000)), flush=True)
";

/// Sends a group so many datagrams.
const SENDER: &str = r"
import socket, struct, sys
group, index = sys.argv[1], socket.if_nametoindex('eth0')
if ':' in group:
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 8)
else:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack('4s4si', bytes(4), bytes(4), index))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 8)
for _ in range(int(sys.argv[2])):
    s.sendto(bytes(100), (group, 5000))
";

/// Datagrams of a stream: far more than all else that passes meanwhile.
const STREAM: u64 = 300;

/// Hosts at a switch that snoops, each with `eth0`; the first one sends.
struct Lan {
    switch: Switch,
    hosts: Vec<Namespace>,
    // After the switch, which ends first.
    _hub: Namespace,
}

impl Lan {
    fn new(hosts: usize, options: &[&str]) -> Result<Self, String> {
        let hub = Namespace::new()?;
        let hosts: Vec<_> = (0..hosts).map(|_| hub.sibling()).collect();
        for (number, host) in (1..).zip(&hosts) {
            host.cable("eth0", &hub, &format!("h{number}"));
            host.ip(&format!("addr add 198.51.100.{number}/24 dev eth0"));
            hub.run("sysctl", &["-qw", &format!("net.ipv6.conf.h{number}.disable_ipv6=1")]).ok();
        }
        let snooping = ["--no-loopguard", "--mcast-snooping"];
        let switch = Switch::start_at(&hub.site, &[&snooping, options].concat());
        for number in 1..=hosts.len() {
            let name = format!("h{number}");
            switch.add(&["netdev", &name, "--name", &name]);
        }
        Ok(Self { switch, hosts, _hub: hub })
    }

    fn join(&self, host: usize, group: &str) -> Process {
        join(&self.hosts[host - 1], group)
    }

    /// Ports that have joined a group.
    fn members(&self, group: &str) -> Vec<u64> {
        let entries = self.switch.json(&["listmdb", "--group", group]);
        let ports = entries.iter().flat_map(|entry| entry["ports"].as_array().expect("a list"));
        ports.map(|port| port["port"].as_u64().expect("a number")).collect()
    }

    fn sent(&self) -> Vec<u64> {
        self.switch.ports().iter().map(|port| port["tx"].as_u64().expect("a number")).collect()
    }

    /// Has the first host send to a group; to which ports the stream has gone.
    fn stream(&self, group: &str) -> Vec<u64> {
        let before = self.sent();
        self.hosts[0].run("python3", &["-c", SENDER, group, &STREAM.to_string()]).ok();
        // Behind the stream.
        assert!(self.hosts[0].pings("198.51.100.2", 56));
        let after = self.sent();
        let all = (1..).zip(before.iter().zip(&after));
        let reached = all.filter(|(_, (before, after))| *after - *before >= STREAM / 2);
        reached.map(|(port, _)| port).collect()
    }

    /// Waits until all have been asked, and what nobody wants goes nowhere.
    fn settle(&self) {
        for group in ["239.255.77.77", "ff05::7777"] {
            wait_within(2 * LIMIT, "snooping to begin", || {
                self.stream(group).is_empty().then_some(())
            });
        }
    }

    /// Waits until nobody is a member; how long that takes.
    fn until_left(&self, group: &str) -> Duration {
        let start = Instant::now();
        wait_until("the end of a membership", || self.members(group).is_empty());
        start.elapsed()
    }
}

fn join(host: &Namespace, group: &str) -> Process {
    let receiver = host.start("python3", &["-c", RECEIVER, group]);
    wait_until("a socket to join", || receiver.stdout.contains("joined"));
    receiver
}

fn got(receiver: &Process) -> bool {
    receiver.stdout.contains("got 100")
}

#[test]
fn kernels_of_all_versions_join_and_leave_by_their_sockets() {
    let lan = need!(Lan::new(3, &["--mcast-querier"]));
    lan.settle();
    for (group, path, versions) in [
        ("239.1.1.1", "ipv4/conf/eth0/force_igmp_version", &[0, 2, 1][..]),
        ("ff05::1111", "ipv6/conf/eth0/force_mld_version", &[0, 1]),
    ] {
        for version in versions {
            let forced = format!("echo {version} > /proc/sys/net/{path}");
            lan.hosts[1].run("sh", &["-c", &forced]).ok();
            let mut receiver = lan.join(2, group);
            wait_until("a member", || lan.members(group) == [2]);
            assert_eq!(lan.stream(group), [2], "{group}, version {version}");
            wait_until("the stream", || got(&receiver));
            receiver.kill();
            if *version == 1 && group.starts_with("239") {
                // IGMPv1 does not leave.
                continue;
            }
            let left = lan.until_left(group);
            println!("{group}, version {version}: left after {left:?}");
            assert!(left < Duration::from_secs(5), "{left:?}");
            assert_eq!(lan.stream(group), [0_u64; 0], "{group}, version {version}");
        }
    }
    // What every host needs without joining before anybody has asked.
    let neighbor = lan.hosts[1].ip("-6 -o addr show dev eth0 scope link");
    let neighbor = neighbor.split_whitespace().nth(3).and_then(|ip| ip.split('/').next());
    lan.hosts[0].ip("-6 neigh flush dev eth0");
    assert!(lan.hosts[0].pings(&format!("{}%eth0", neighbor.expect("an address")), 56));
    assert_eq!(lan.stream("224.0.0.251"), [2, 3]);
    assert_eq!(lan.stream("ff02::fb"), [2, 3]);
}

#[test]
fn without_a_querier_all_is_flooded_and_another_switchs_querier_is_one() {
    let lan = need!(Lan::new(4, &[]));
    let _receiver = lan.join(2, "239.1.1.1");
    wait_until("a member", || lan.members("239.1.1.1") == [2]);
    assert_eq!(lan.stream("239.1.1.1"), [2, 3, 4]);
    // The last host is a Linux bridge, which asks.
    let bridge = &lan.hosts[3];
    bridge.ip("link add br0 type bridge mcast_snooping 1 mcast_querier 1");
    bridge.ip("link set eth0 master br0");
    bridge.ip("link set br0 up");
    wait_until("its queries", || {
        let all = lan.switch.json(&["listmdb", "--group", "224.0.0.0/4"]);
        all.first().is_some_and(|all| all["querier"]["port"] == 4)
    });
    wait_within(2 * LIMIT, "its answers", || (lan.stream("239.1.1.1") == [2, 4]).then_some(()));
    // It hears who has joined.
    let mdb = bridge.run("bridge", &["mdb", "show"]).ok().stdout;
    assert!(mdb.contains("239.1.1.1"), "{mdb}");
}

#[test]
fn one_leave_does_not_cut_the_other_receiver_behind_a_port_and_the_last_one_prunes_at_once() {
    let lan = need!(Lan::new(2, &["--mcast-querier"]));
    // Two hosts behind one more port.
    let (middle, one, other) = (&lan._hub.sibling(), lan._hub.sibling(), lan._hub.sibling());
    middle.ip("link add br0 type bridge mcast_snooping 0");
    middle.ip("link set br0 up");
    for (name, there) in [("h9", &lan._hub), ("one", &one), ("other", &other)] {
        let device = if name == "h9" { "h9" } else { "eth0" };
        middle.cable(name, there, device);
        middle.ip(&format!("link set {name} master br0"));
    }
    for (host, address) in [(&one, 21), (&other, 22)] {
        host.ip(&format!("addr add 198.51.100.{address}/24 dev eth0"));
    }
    assert_eq!(lan.switch.add(&["netdev", "h9", "--name", "h9", "--mcast-fast-leave", "on"]), 3);
    lan.settle();
    for group in ["239.2.2.2", "ff05::2222"] {
        let mut receivers = [&one, &other].map(|host| join(host, group));
        assert_eq!(lan.stream(group), [3]);
        wait_until("both", || receivers.iter().all(got));
        receivers[0].kill();
        assert!(one.pings("198.51.100.1", 56), "what it says has come");
        for _ in 0..5 {
            assert_eq!(lan.stream(group), [3], "{group}");
        }
        receivers[1].kill();
        let left = lan.until_left(group);
        println!("{group}: left after {left:?}");
        assert_eq!(lan.stream(group), [0_u64; 0]);
    }
}

#[test]
fn a_stream_to_one_of_a_hundred_tunnels_goes_through_one() {
    let switch = Switch::start(&["--mcast-snooping", "--mcast-querier"]);
    let (mut sender, from) = switch.open();
    let mut tunnels: Vec<_> = (0..100).map(|_| WebSocket::open(switch.tunnel, "/")).collect();
    wait_until("all tunnels", || switch.ports().len() == 101);
    let chosen = switch.number_of(&tunnels[41]);
    // IGMPv3: 239.3.3.3, no source excluded.
    let mut report = vec![1, 0, 0x5e, 0, 0, 22, 2, 0, 0, 0, 0, 42, 8, 0];
    report.extend([0x46, 0xc0, 0, 40, 0, 0, 0x40, 0, 1, 2, 0, 0, 0, 0, 0, 0, 224, 0, 0, 22]);
    report.extend([0x94, 4, 0, 0, 0x22, 0, 0xe7, 0xf7, 0, 0, 0, 1, 4, 0, 0, 0, 239, 3, 3, 3]);
    tunnels[41].send_frame(&report);
    let mut stream = vec![1, 0, 0x5e, 3, 3, 3, 2, 0, 0, 0, 0, 99, 8, 0];
    stream.extend([0x45, 0, 0, 128, 0, 0, 0, 0, 8, 17, 0, 0, 192, 0, 2, 99, 239, 3, 3, 3]);
    stream.resize(142, 7);
    let sent = || -> Vec<(u64, u64)> {
        let number = |port: &serde_json::Value, name: &str| port[name].as_u64().expect("a number");
        switch.ports().iter().map(|port| (number(port, "port"), number(port, "tx"))).collect()
    };
    let mut count = |frames: u64| -> Vec<(u64, u64)> {
        let received = || switch.port(from)["rx"].as_u64().expect("a number");
        let (before, until) = (sent(), received() + frames);
        (0..frames).for_each(|_| sender.send_frame(&stream));
        wait_until("the stream", || received() == until);
        let gone = || sent().iter().zip(&before).map(|(a, b)| (a.0, a.1 - b.1)).collect::<Vec<_>>();
        wait_until("its receiver", || gone().contains(&(chosen, frames)));
        gone().into_iter().filter(|(_, frames)| *frames > 0).collect()
    };
    // Whoever does not read is lost when his connection is full.
    wait_within(2 * LIMIT, "all to have been asked", || {
        let all = switch.json(&["listmdb", "--group", "224.0.0.0/4"]);
        all[0]["ports"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    let reached = count(1000);
    println!("1000 frames to one of 100 tunnels: {reached:?}");
    assert_eq!(reached, [(chosen, 1000)]);
}

//! Guards against the tools that attack a LAN, and with the servers that they imitate: what
//! counts is what the victim's kernel and clients make of it.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{
    TempDir,
    lab::Namespace,
    need,
    peers::tool,
    process::{Output, Process},
    switch::Switch,
    wait_until,
};

/// A LAN of three hosts, each with `eth0`: one that is trusted, the victim, and the attacker.
struct Lan {
    switch: Switch,
    uplink: Namespace,
    victim: Namespace,
    attacker: Namespace,
    // After the switch, which ends first.
    hub: Namespace,
}

/// Port of each, by name.
const UPLINK: &str = "uplink";
const VICTIM: &str = "victim";
const ATTACKER: &str = "attacker";

impl Lan {
    fn new() -> Result<Self, String> {
        Self::with(&[])
    }

    /// The same; the switch has further options.
    fn with(options: &[&str]) -> Result<Self, String> {
        let hub = Namespace::new()?;
        let [uplink, victim, attacker] = [(); 3].map(|()| hub.sibling());
        for (name, host) in [(UPLINK, &uplink), (VICTIM, &victim), (ATTACKER, &attacker)] {
            host.cable("eth0", &hub, name);
            // The hub's own stack says nothing.
            hub.run("sysctl", &["-qw", &format!("net.ipv6.conf.{name}.disable_ipv6=1")]).ok();
        }
        let switch = Self::start(&hub, options);
        let lan = Self { switch, uplink, victim, attacker, hub };
        for host in [&lan.victim, &lan.attacker] {
            wait_until("an address", || {
                let addresses = host.ip("-6 addr show dev eth0 scope link");
                addresses.contains("inet6") && !addresses.contains("tentative")
            });
        }
        Ok(lan)
    }

    fn start(hub: &Namespace, options: &[&str]) -> Switch {
        let switch = Switch::start_at(&hub.site, &[&["--no-loopguard"], options].concat());
        for name in [UPLINK, VICTIM, ATTACKER] {
            switch.add(&["netdev", name, "--name", name]);
        }
        switch.ctl(&["setport", ATTACKER, "--trust", "client"]).ok();
        switch
    }

    fn set(&self, port: &str, settings: &[&str]) {
        self.switch.ctl(&[&["setport", port], settings].concat()).ok();
    }

    fn discards(&self, reason: &str) -> u64 {
        let report = self.switch.json(&["showport", ATTACKER]);
        report[0]["counters"][format!("discard-{reason}")].as_u64().expect("a number")
    }

    /// Waits until all that the attacker has sent has come in: what he pings is behind it.
    fn settle(&self) {
        let address = self.victim.ip("-6 -o addr show dev eth0 scope link");
        let address = address.split_whitespace().nth(3).expect("an address");
        let address = address.split('/').next().expect("an address");
        assert!(self.attacker.pings(&format!("{address}%eth0"), 56));
    }

    /// Whether the victim has a router, or an address of what the attacker announces.
    fn is_taken_in(&self) -> bool {
        let routes = self.victim.ip("-6 route");
        routes.contains("default") || routes.contains("2001:db8:bad:")
    }

    fn guards(&self) -> Vec<Value> {
        self.switch.json(&["events", "--event", "guard"])
    }
}

fn run(host: &Namespace, words: &str) -> Output {
    let mut words = words.split_whitespace();
    host.run(words.next().expect("a program"), &words.collect::<Vec<_>>())
}

fn start(host: &Namespace, words: &str) -> Process {
    let mut words = words.split_whitespace();
    host.start(words.next().expect("a program"), &words.collect::<Vec<_>>())
}

#[test]
fn no_router_of_thc_ipv6_takes_a_kernel_in() {
    for name in ["fake_router26", "fake_router6", "flood_router26", "flood_router6", "kill_router6"]
    {
        need!(tool(&format!("atk6-{name}")));
    }
    let lan = need!(Lan::new());
    // It would: else nothing below says anything.
    lan.set(ATTACKER, &["--ra-guard", "off"]);
    let fake = "-A 2001:db8:bad::/64 -n 1 eth0";
    run(&lan.attacker, &format!("atk6-fake_router26 {fake}"));
    wait_until("the victim to be taken in", || lan.is_taken_in());
    lan.victim.ip("link set eth0 down");
    lan.victim.ip("link set eth0 up");
    wait_until("its address", || {
        let addresses = lan.victim.ip("-6 addr show dev eth0 scope link");
        addresses.contains("inet6") && !addresses.contains("tentative")
    });
    assert!(!lan.is_taken_in());
    lan.set(ATTACKER, &["--ra-guard", "on"]);
    // A kernel that believes neighbor discovery in fragments, as some do.
    run(&lan.victim, "sysctl -qw net.ipv6.conf.eth0.suppress_frag_ndisc=0").ok();
    let discarded = || lan.discards("rogue-router") + lan.discards("unreadable");
    let mut passed = Vec::new();
    for letters in ["", "-E H", "-E 1", "-E 111", "-E H111", "-E D", "-E O", "-E o", "-E F"] {
        let before = discarded();
        run(&lan.attacker, &format!("atk6-fake_router26 {letters} {fake}"));
        lan.settle();
        if lan.is_taken_in() || discarded() == before {
            passed.push(letters);
        }
    }
    assert_eq!(passed, Vec::<&str>::new());
    // These go on until they are ended. Debian's flood_router26 crashes with -D
    // and with -G.
    for attack in [
        "fake_router6 eth0 2001:db8:bad::/64",
        "fake_router6 -H eth0 2001:db8:bad::/64",
        "fake_router6 -F eth0 2001:db8:bad::/64",
        "fake_router6 -D eth0 2001:db8:bad::/64",
        "flood_router26 eth0",
        "flood_router26 -a eth0",
        "flood_router26 -H eth0",
        "flood_router26 -f eth0",
        "flood_router26 -F eth0",
        "flood_router26 -m -s eth0",
        "flood_router6 eth0",
        "flood_router6 -F eth0",
        "flood_router6 -D eth0",
        "flood_router6 -H eth0",
        "kill_router6 -F eth0 fe80::1",
    ] {
        let before = discarded();
        let mut process = start(&lan.attacker, &format!("atk6-{attack}"));
        wait_until(attack, || discarded() > before);
        process.kill();
        lan.settle();
        assert!(!lan.is_taken_in(), "{attack}: {}", lan.victim.ip("-6 route"));
    }
    let reasons: Vec<_> = lan.guards().iter().map(|event| event["what"].clone()).collect();
    assert_eq!(reasons.len(), 2, "once for each reason: {reasons:?}");
}

#[test]
fn radvd_and_redirects_behind_a_guard_announce_nothing() {
    need!(tool("radvd"));
    need!(tool("atk6-redir6"));
    let lan = need!(Lan::new());
    let dir = TempDir::new();
    let config = dir.file(
        "radvd.conf",
        "interface eth0 { AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4;\n\
         prefix 2001:db8:bad::/64 {}; };\n",
    );
    let log = dir.at("log");
    let radvd = |host: &Namespace| {
        let pid = dir.at(&format!("pid-{}", std::ptr::from_ref(host) as usize));
        start(host, &format!("radvd -n -C {config} -p {pid} -m logfile -l {log}"))
    };
    let _rogue = radvd(&lan.attacker);
    wait_until("an advertisement", || lan.discards("rogue-router") > 0);
    lan.settle();
    assert!(!lan.is_taken_in());
    // A redirect needs a packet that it is about.
    run(&lan.attacker, "atk6-redir6 eth0 2001:db8::1 2001:db8::2 fe80::1 fe80::2");
    let _true = radvd(&lan.uplink);
    wait_until("the router that is trusted", || lan.is_taken_in());
}

#[test]
fn dhcp_servers_are_heard_only_where_they_are_trusted() {
    for name in ["dnsmasq", "busybox"] {
        need!(tool(name));
    }
    let lan = need!(Lan::new());
    let dir = TempDir::new();
    let serve = |host: &Namespace, network: &str| {
        host.ip(&format!("addr add {network}.1/24 dev eth0"));
        let leases = dir.at(network);
        start(
            host,
            &format!(
                "dnsmasq -d -p 0 -C /dev/null -i eth0 --leasefile-ro -l {leases} \
                 --no-ping --log-dhcp --log-facility=- --dhcp-authoritative \
                 --dhcp-range={network}.50,{network}.60,1h"
            ),
        )
    };
    let ask = || lease(&lan.victim, &dir, "");
    let rogue = serve(&lan.attacker, "203.0.113");
    wait_until("the server", || rogue.stderr.contains("DHCP, IP range"));
    let asked = ask();
    assert!(!asked.contains("bound"), "{asked}");
    wait_until("its offers to come", || lan.discards("rogue-dhcp-server") > 0);
    let event = &lan.guards()[0];
    assert_eq!(event["what"], "rogue-dhcp-server", "{event}");
    assert_eq!(event["address"], "203.0.113.1", "{event}");
    let _right = serve(&lan.uplink, "198.51.100");
    wait_until("a lease", || ask().contains("bound 198.51.100."));
    lan.set(ATTACKER, &["--dhcp-guard", "off"]);
    lan.set(UPLINK, &["--shut", "on"]);
    wait_until("a lease of the other", || ask().contains("bound 203.0.113."));
    lan.set(UPLINK, &["--shut", "off"]);
}

/// Has a host ask a DHCP server, once; what udhcpc's script says of it.
fn lease(host: &Namespace, dir: &TempDir, more: &str) -> String {
    let script = dir.file(
        "script",
        "#!/bin/sh\n[ \"$1\" != bound ] || ip addr replace \"$ip/24\" dev eth0\necho \"$1 $ip\"\n",
    );
    let made = std::process::Command::new("chmod").args(["755", &script]).status();
    assert!(made.expect("chmod").success());
    run(host, &format!("busybox udhcpc -i eth0 -n -q -f -t 3 -T 1 -s {script} {more}")).stdout
}

/// Kea with addresses of 198.51.100.0/24, at `host`.
fn kea(host: &Namespace, dir: &TempDir) -> Process {
    host.ip("addr add 198.51.100.1/24 dev eth0");
    let config = serde_json::json!({"Dhcp4": {
        "interfaces-config": {"interfaces": ["eth0"], "dhcp-socket-type": "raw"},
        "lease-database": {"type": "memfile", "persist": false},
        "valid-lifetime": 600,
        "subnet4": [{"subnet": "198.51.100.0/24",
            "pools": [{"pool": "198.51.100.50 - 198.51.100.99"}]}],
    }});
    let config = dir.file("kea.json", config.to_string());
    let mut command = host.site.command("kea-dhcp4");
    command.args(["-c", &config]);
    command.env("KEA_PIDFILE_DIR", dir.path()).env("KEA_LOCKFILE_DIR", "none");
    Process::start(command)
}

#[test]
fn leases_of_kea_are_bound_to_their_stations_and_outlast_a_restart() {
    for name in ["kea-dhcp4", "busybox"] {
        need!(tool(name));
    }
    let dir = TempDir::new();
    let state = dir.at("");
    let options = ["--state", &state];
    let mut lan = need!(Lan::with(&options));
    let _kea = kea(&lan.uplink, &dir);
    let mut given = String::new();
    wait_until("a lease", || {
        given = lease(&lan.attacker, &dir, "");
        given.contains("bound 198.51.100.")
    });
    let ip = given.rsplit_once("bound ").expect("a lease").1.trim();
    let bound = |lan: &Lan| lan.switch.json(&["listbinding", "--port", ATTACKER]);
    let before = bound(&lan);
    assert_eq!((before.len(), before[0]["ip"].as_str()), (1, Some(ip)), "{before:?}");
    assert_eq!((&before[0]["port"], &before[0]["holder"]), (&3.into(), &ATTACKER.into()));
    assert!((1..=600).contains(&before[0]["left"].as_u64().expect("seconds")), "{before:?}");
    // Of a port that is not guarded nothing is noted.
    assert!(lease(&lan.victim, &dir, "").contains("bound"));
    assert_eq!(lan.switch.json(&["listbinding"]).len(), 1);
    lan.switch.process.signal(Signal::SIGTERM);
    assert!(lan.switch.process.wait_exit().success());
    lan.switch = Lan::start(&lan.hub, &options);
    let after = bound(&lan);
    assert_eq!((after.len(), &after[0]["mac"]), (1, &before[0]["mac"]), "{after:?}");
    assert_eq!((&after[0]["ip"], &after[0]["port"]), (&before[0]["ip"], &before[0]["port"]));
    // Given back, as it was had.
    let script = dir.at("script");
    let client = start(&lan.attacker, &format!("busybox udhcpc -i eth0 -f -s {script}"));
    wait_until("the lease again", || client.stdout.contains(&format!("bound {ip}")));
    client.signal(Signal::SIGUSR2);
    wait_until("its end", || bound(&lan).is_empty());
}

#[test]
fn nobody_is_a_neighbor_in_anothers_name() {
    for name in ["fake_advertise6", "parasite6", "dos-new-ip6"] {
        need!(tool(&format!("atk6-{name}")));
    }
    let lan = need!(Lan::new());
    lan.set(ATTACKER, &["--source-guard", "on"]);
    for (host, last) in [(&lan.uplink, 1), (&lan.victim, 2)] {
        host.ip(&format!("addr add 198.51.100.{last}/24 dev eth0"));
        host.ip(&format!("-6 addr add 2001:db8::{last}/64 dev eth0"));
    }
    wait_until("the neighbors", || {
        lan.victim.pings("2001:db8::1", 56) && lan.victim.pings("198.51.100.1", 56)
    });
    let true_ones = lan.uplink.ip("-o link show dev eth0");
    let mac = true_ones.split("link/ether ").nth(1).and_then(|rest| rest.split(' ').next());
    let mac = mac.expect("an address");
    let is_known = |ip: &str| lan.victim.ip(&format!("neigh show {ip} dev eth0")).contains(mac);
    assert!(is_known("2001:db8::1") && is_known("198.51.100.1"));
    let discarded = || ["nd-spoof", "ip-spoof", "unreadable"].map(|one| lan.discards(one));
    for letters in ["", "-H", "-f", "-F", "-r", "-s"] {
        let before = discarded();
        run(&lan.attacker, &format!("atk6-fake_advertise6 {letters} -n 1 -w 0 eth0 2001:db8::1"));
        lan.settle();
        assert!(is_known("2001:db8::1"), "{letters}");
        assert_ne!(discarded(), before, "{letters}");
    }
    // Who answers whatever is asked, and who keeps others from having an address.
    let mut last = 0x10;
    for (attack, nodad) in
        [("parasite6 eth0", "nodad"), ("dos-new-ip6 eth0", ""), ("dos-new-ip6 -S eth0", "")]
    {
        let before = discarded();
        let mut process = start(&lan.attacker, &format!("atk6-{attack}"));
        wait_until(attack, || {
            last += 1;
            let ip = format!("2001:db8::{last:x}");
            lan.uplink.ip(&format!("-6 addr add {ip}/64 dev eth0 {nodad}"));
            let is_tentative = || {
                let all = lan.uplink.ip("-6 -o addr show dev eth0 tentative");
                assert!(!all.contains("dadfailed"), "{attack}: {all}");
                !all.is_empty()
            };
            wait_until("the end of DAD", || !is_tentative());
            assert!(lan.victim.pings(&ip, 56) && is_known(&ip), "{attack}");
            discarded() != before
        });
        process.kill();
        lan.settle();
    }
    // ARP as the kernel itself sends it, with another's address.
    lan.attacker.ip("addr add 198.51.100.1/24 dev eth0");
    assert!(!lan.attacker.pings("198.51.100.2", 56));
    assert!(lan.discards("arp-spoof") > 0 && is_known("198.51.100.1"));
    assert!(lan.victim.pings("198.51.100.1", 56));
}

#[test]
fn a_flood_of_yersinia_is_cut_and_a_station_that_has_a_lease_may_use_it() {
    for name in ["yersinia", "kea-dhcp4", "busybox"] {
        need!(tool(name));
    }
    let dir = TempDir::new();
    let lan = need!(Lan::new());
    lan.set(ATTACKER, &["--source-guard", "on"]);
    let _kea = kea(&lan.uplink, &dir);
    wait_until("a lease", || lease(&lan.attacker, &dir, "").contains("bound 198.51.100."));
    assert!(lan.attacker.pings("198.51.100.1", 56));
    // Its DISCOVERs are from as many stations.
    let mut command = lan.attacker.site.command("yersinia");
    command.args(["dhcp", "-attack", "1", "-interface", "eth0"]).current_dir(dir.path());
    let mut flood = Process::start(command);
    wait_until("the flood to be cut", || lan.discards("dhcp-rate") > 1000);
    flood.kill();
    assert!(lan.switch.json(&["listbinding"]).len() < 70);
}

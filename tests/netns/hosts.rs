//! Who is who: real hosts behind a tunnel, which tell of themselves by ARP, ND and DHCP.

use serde_json::Value;

use super::{B, Pair};
use crate::support::{TempDir, need, peers::tool, switch::Switch, wait_for, wait_until};

/// The host whose MAC address is that of `device` at `pair.b`, as the left switch knows it.
fn right_host(pair: &Pair, wanted: impl Fn(&Value) -> bool) -> Value {
    let link = pair.b.ip("-o link show dev ewp0");
    let mac = link.split("link/ether ").nth(1).and_then(|rest| rest.split(' ').next());
    let mac = mac.expect("a MAC address").to_owned();
    wait_for("the host", || {
        let mut hosts = pair.left.json(&["listhosts"]).into_iter();
        hosts.find(|host| host["mac"] == *mac && wanted(host))
    })
}

fn has(host: &Value, version: &str, address: &str) -> bool {
    host[version].as_array().is_some_and(|list| list.iter().any(|one| one == address))
}

#[test]
fn hosts_behind_a_tunnel_are_known_by_address_port_and_user() {
    let dir = TempDir::new();
    let users = dir.file("users", "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let login = ["--user", "alice", "--passwd", "password"];
    let pair = need!(Pair::new(&["--htpasswd", &users], &login));
    for (namespace, address) in [(&pair.a, "2001:db8::1"), (&pair.b, "2001:db8::2")] {
        namespace.ip(&format!("addr add {address}/64 dev ewp0"));
    }
    pair.wait_ping();
    wait_until("a ping by IPv6", || pair.b.pings("2001:db8::1", 56));
    let host = right_host(&pair, |host| has(host, "ipv4", B) && has(host, "ipv6", "2001:db8::2"));
    let port = host["port"].as_u64().expect("a port");
    assert_eq!(pair.left.port(port)["type"], "server");
    assert_eq!((&host["user"], &host["vid"]), (&"alice".into(), &0.into()));
    assert_eq!(host["vendor"], "(local)", "a TAP's address is made up");
    // One line each, which a search for an address finds.
    let table = pair.left.ctl(&["listhosts"]).ok().stdout;
    let line = table.lines().find(|line| line.contains(B)).expect("a line");
    assert!(line.contains("alice") && line.contains("2001:db8::2"), "{table}");
}

#[test]
fn a_host_is_called_what_it_tells_a_dhcp_server() {
    need!(tool("busybox"));
    let pair = need!(Pair::new(&[], &[]));
    let dir = TempDir::new();
    let leases = dir.file("leases", "");
    let conf = format!(
        "start 198.51.100.50\nend 198.51.100.50\ninterface ewp0\nlease_file {leases}\n\
         pidfile {leases}.pid\noption subnet 255.255.255.0\n"
    );
    let conf = dir.file("udhcpd.conf", &conf);
    let _server = pair.a.start("busybox", &["udhcpd", "-f", &conf]);
    let client = ["udhcpc", "-f", "-q", "-n", "-i", "ewp0", "-s", "/bin/true"];
    let name = ["-x", "hostname:laptop-7"];
    wait_until("a lease", || pair.b.run("busybox", &[&client[..], &name].concat()).code == Some(0));
    let host = right_host(&pair, |host| has(host, "ipv4", "198.51.100.50"));
    assert_eq!(host["name"], "laptop-7");
}

#[test]
fn no_list_of_hosts_is_kept_where_none_is_wanted() {
    let switch = Switch::start(&["--no-hosts"]);
    let refused = switch.ctl(&["listhosts"]);
    assert!(refused.code != Some(0) && refused.stderr.contains("--no-hosts"), "{refused:?}");
}

//! Names with an address that does not answer, and addresses on one link only.

use std::time::Instant;

use crate::support::{TempDir, lab::Namespace, need, switch::Switch, wait_until};

/// Puts another /etc/hosts in a program's place.
const HOSTS: &str = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";

/// Gives 2001:db8::2 a neighbour that is not there: what is sent to it is lost.
fn lose_ipv6(namespace: &Namespace) {
    namespace.ip("-6 addr add 2001:db8::1/64 dev eth0 nodad");
    namespace.ip("-6 neigh add 2001:db8::2 lladdr 02:00:00:00:00:99 dev eth0 nud permanent");
}

#[test]
fn a_dead_ipv6_address_costs_less_than_half_a_second_each_time() {
    let (left, right) = need!(Namespace::pair());
    lose_ipv6(&right);
    let dir = TempDir::new();
    let hosts = dir.file("hosts", "2001:db8::2 both.example\n192.0.2.1 both.example\n");
    let site = right.site.then(["unshare", "-m", "sh", "-c", HOSTS, &hosts]);
    let mut server = Switch::start_at(&left.site, &["--host", "192.0.2.1", "--port", "8080"]);
    let client = Switch::start_at(&site, &[]);
    let began = Instant::now();
    let number = client.add(&["client", "ws://both.example:8080/"]);
    let took = began.elapsed().as_millis();
    println!("added after {took} ms");
    // A quarter of it is for the dead address; the rest is ctl and the handshake.
    assert!((200..900).contains(&took), "{took} ms");
    server.process.kill();
    wait_until("the loss", || client.port(number)["state"] != "up");
    let _server = Switch::start_at(&left.site, &["--host", "192.0.2.1", "--port", "8080"]);
    client.wait_state(number, "up");
}

#[test]
fn a_link_local_address_is_reached_by_its_zone() {
    let (left, right) = need!(Namespace::pair());
    for (namespace, address) in [(&left, "fe80::a"), (&right, "fe80::b")] {
        namespace.ip(&format!("-6 addr add {address}/64 dev eth0 nodad"));
    }
    let _server = Switch::start_at(&left.site, &["--host", "fe80::a%eth0", "--port", "8080"]);
    let client = Switch::start_at(&right.site, &[]);
    client.add(&["client", "ws://[fe80::a%25eth0]:8080/"]);
    let error = client.ctl(&["addport", "client", "ws://[fe80::a%25eth7]:8080/"]).failed().stderr;
    assert!(error.contains("no interface \"eth7\""), "{error}");
}

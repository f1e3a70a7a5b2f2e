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

/// A bridge between both ends that loses what is longer than 1000 octets, without a word.
#[test]
fn short_segments_pass_where_long_packets_are_lost() {
    let (left, right) = need!(Namespace::new().map(|one| (one.clone(), one.sibling())));
    need!(left.can_make_taps());
    let middle = left.sibling();
    middle.ip("link add br0 type bridge");
    middle.ip("link set br0 up");
    for (end, name, address) in [(&left, "west", "192.0.2.1/24"), (&right, "east", "192.0.2.2/24")]
    {
        end.cable("eth0", &middle, name);
        end.ip(&format!("addr add {address} dev eth0"));
        // Super-frames would pass whole.
        end.ip("link set eth0 gso_max_segs 1");
        middle.ip(&format!("link set {name} master br0 mtu 1000"));
    }
    let server = Switch::start_at(&left.site, &["--host", "192.0.2.1", "--port", "8080"]);
    let client = Switch::start_at(&right.site, &[]);
    for (switch, end, address) in
        [(&server, &left, "198.51.100.1/24"), (&client, &right, "198.51.100.2/24")]
    {
        switch.add(&["tap", "ewp0"]);
        switch.ctl(&["setif", "--address", address, "1"]).ok();
        end.ip("link set ewp0 up");
    }
    let url = "ws://192.0.2.1:8080/";
    let number = client.add(&["client", url]);
    wait_until("a short frame", || right.pings("198.51.100.1", 56));
    assert!(!right.pings("198.51.100.1", 1400), "the way is as it should be");
    client.ctl(&["delport", &number.to_string()]).ok();
    client.add(&["client", "--mss", "900", url]);
    wait_until("a long frame", || right.pings("198.51.100.1", 1400));
}

//! Bulk: a gigabyte of TCP through two switches arrives as it was sent.

use std::{thread, time::Duration};

use super::{A, B, Pair};
use crate::support::{
    certs::Certificates,
    need,
    peers::{python, script},
    process::{Process, Site, run_within},
    wait_within,
};

/// A gigabyte, as disks are sold.
pub(super) const GIGABYTE: u64 = 1_000_000_000;

/// A debug binary on two busy cores moves some 30 MB/s at worst.
const LONG: Duration = Duration::from_secs(120);

/// Sends `octets` from one host to an address of another; the hosts compare digests. Gives how
/// long that took, in seconds.
pub(super) fn transfer(from: &Site, to: &Site, address: &str, octets: u64) -> f64 {
    let python = python().expect("asked for before");
    let mut receive = to.command(&python);
    receive.args([&script("transfer.py"), "receive", address]);
    let mut receiver = Process::start(receive);
    let port = receiver.stdout.next("the receiver's port");
    let mut send = from.command(&python);
    send.args([&script("transfer.py"), "send", address, &port, &octets.to_string()]);
    let sent = run_within(LONG, send, b"").ok().stdout;
    let received = receiver.stdout.next("the receiver's result");
    let words: Vec<_> = received.split(' ').collect();
    assert_eq!(words[0], octets.to_string());
    assert_eq!(words[2], sent.trim());
    wait_within(LONG, "the receiver's end", || receiver.exited());
    words[1].parse().expect("seconds")
}

#[test]
fn a_gigabyte_over_ws_arrives_intact() {
    need!(python());
    let pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    transfer(&pair.b.site, &pair.a.site, A, GIGABYTE);
}

#[test]
fn a_gigabyte_over_wss_arrives_intact() {
    need!(python());
    let certs = need!(Certificates::new());
    let listen = ["--sslkey", &certs.key, "--sslcert", &certs.cert];
    let pair = need!(Pair::new(&listen, &["--cacerts", &certs.ca]));
    pair.wait_ping();
    transfer(&pair.b.site, &pair.a.site, A, GIGABYTE);
}

#[test]
fn both_directions_at_once_arrive_intact() {
    need!(python());
    let pair = need!(Pair::new(&[], &[]));
    pair.wait_ping();
    let octets = GIGABYTE / 20;
    let (a, b) = (&pair.a.site, &pair.b.site);
    thread::scope(|scope| {
        scope.spawn(|| transfer(b, a, A, octets));
        scope.spawn(|| transfer(a, b, B, octets));
    });
}

#[test]
fn ports_on_several_threads_carry_frames_in_order() {
    need!(python());
    let pair = need!(Pair::new(&["--threads", "3"], &[]));
    pair.wait_ping();
    // More sessions, so that every thread has ports.
    let others: Vec<_> =
        (0..4).map(|_| pair.right.add(&["client", "ws://192.0.2.1:8080/"])).collect();
    for other in others {
        pair.right.ctl(&["delport", &other.to_string()]).ok();
    }
    transfer(&pair.b.site, &pair.a.site, A, GIGABYTE / 10);
    transfer(&pair.a.site, &pair.b.site, B, GIGABYTE / 10);
}

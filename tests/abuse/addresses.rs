//! Who takes over addresses of others: what settings keep them where they are.

use crate::support::{frame, switch::Switch, wait_until};

#[test]
fn a_sticky_port_keeps_its_addresses_until_they_are_flushed() {
    let switch = Switch::start(&[]);
    let (mut gateway, first) = switch.open();
    let (mut thief, second) = switch.open();
    let (mut other, _) = switch.open();
    switch.ctl(&["setport", "--sticky", "on", &first.to_string()]).ok();
    gateway.send_frame(&frame(255, 1, b"here I am"));
    thief.expect_frame(&frame(255, 1, b"here I am"));
    other.expect_frame(&frame(255, 1, b"here I am"));
    thief.send_frame(&frame(9, 1, b"no, I"));
    for socket in [&mut gateway, &mut other] {
        socket.expect_frame(&frame(9, 1, b"no, I"));
    }
    other.send_frame(&frame(1, 3, b"for the gateway"));
    gateway.expect_frame(&frame(1, 3, b"for the gateway"));
    assert!(switch.ctl(&["listfdb"]).ok().stdout.contains("02:00:00:00:00:01  sticky"));
    let report = &switch.json(&["showport", &second.to_string()])[0];
    assert_eq!(report["counters"]["learned-entry-discards"], 1);

    switch.ctl(&["flushfdb", &first.to_string()]).ok();
    thief.send_frame(&frame(9, 1, b"I am the gateway"));
    wait_until("another port", || {
        switch
            .json(&["listfdb", "--mac", "02:00:00:00:00:01"])
            .first()
            .is_some_and(|line| line["port"] == second)
    });
}

#[test]
fn a_port_with_static_macs_sends_from_these_alone_and_nobody_else_does() {
    let switch = Switch::start(&[]);
    let (mut one, first) = switch.open();
    let (mut two, second) = switch.open();
    let macs = "02:00:00:00:00:01,02:00:00:00:00:02";
    switch.ctl(&["setport", "--static-macs", macs, &first.to_string()]).ok();
    one.send_frame(&frame(255, 7, b"foreign"));
    one.send_frame(&frame(255, 2, b"own"));
    two.expect_frame(&frame(255, 2, b"own"));
    let report = &switch.json(&["showport", &first.to_string()])[0];
    assert_eq!(report["counters"]["discard-foreign-source"], 1);
    assert_eq!(report["settings"]["static-macs"]["value"], macs);

    // Seen nowhere yet, and still no flood.
    two.send_frame(&frame(9, 1, b"teaches nothing"));
    one.expect_frame(&frame(9, 1, b"teaches nothing"));
    let lines = switch.json(&["listfdb", "--mac", "02:00:00:00:00:01"]);
    assert_eq!((lines.len(), &lines[0]["port"]), (1, &first.into()));
    assert_eq!(lines[0]["permanent"], true);
    let refused = switch.ctl(&["delfdb", "02:00:00:00:00:01"]).failed();
    assert!(refused.stderr.contains("static-macs"), "{}", refused.stderr);
    switch.ctl(&["flushfdb", "--all"]).ok();
    assert_eq!(switch.json(&["listfdb"]).len(), 2);

    switch.ctl(&["setport", "--default", "static-macs", &first.to_string()]).ok();
    assert!(switch.json(&["listfdb"]).iter().all(|line| line["port"] == second));
    let refused = switch.ctl(&["setport", "--static-macs", "03:00:00:00:00:01", "1"]).failed();
    assert!(refused.stderr.contains("03:00:00:00:00:01"), "{}", refused.stderr);
}

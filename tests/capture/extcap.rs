//! The ports of a switch in Wireshark's list, and captured from there.

use std::os::unix::fs::symlink;

use crate::support::{
    TempDir,
    lab::Namespace,
    need,
    peers::tool,
    process::{Process, run_within},
    switch::{ETHERWS, Switch},
    wait_until,
};

/// Longer than Wireshark looks for interfaces of all kinds.
const LIST_LIMIT: std::time::Duration = std::time::Duration::from_secs(60);

/// A folder of extcap programs with ours alone, by the name that tells it its work.
fn folder() -> TempDir {
    let dir = TempDir::new();
    symlink(ETHERWS, dir.at("etherws-extcap")).unwrap();
    dir
}

#[test]
fn wireshark_lists_the_ports_and_captures_from_one() {
    need!(tool("tshark"));
    let lab = need!(Namespace::new());
    need!(lab.can_make_taps());
    // The one that is asked without further ado: the usual port, in a network of its own.
    let switch = Switch::start_at(&lab.site, &["--ctlhost", "127.0.0.1", "--ctlport", "7867"]);
    assert_eq!(switch.add(&["tap", "ewp%d"]), 1);
    switch.ctl(&["setif", "--address", "198.51.100.1/24", "1"]).ok();
    let dir = folder();
    let home = TempDir::new();
    // As root, Wireshark looks into no folder but its own.
    let user = lab.site.then(["unshare", "-U", "--map-user=1000", "--map-group=1000"]);
    let tshark = |args: &[&str]| {
        let mut command = user.command("tshark");
        command.args(args).env("WIRESHARK_EXTCAP_DIR", dir.path()).env("HOME", home.path());
        command
    };
    let list = run_within(LIST_LIMIT, tshark(&["-D"]), b"");
    assert!(list.stdout.contains("etherws-all (etherws: all ports)"), "{list:?}");
    assert!(list.stdout.contains("etherws-1 (etherws: 1 tap ewp0)"), "{list:?}");

    let file = dir.at("live.pcapng");
    let mut live = Process::start(tshark(&[
        "-n",
        "-i",
        "etherws-1",
        "-o",
        "extcap.etherws_1.ethertype:arp",
        "-f",
        "arp host 198.51.100.9",
        "-c",
        "5",
        "-w",
        &file,
    ]));
    // Nobody has this address: the kernel asks for it again and again.
    wait_until("five ARP requests", || {
        lab.pings("198.51.100.9", 56);
        live.exited().is_some()
    });
    assert!(live.wait_exit().success());
    let packets = super::read(
        &file,
        &["frame.interface_name", "frame.packet_flags_direction", "arp.dst.proto_ipv4"],
    );
    assert_eq!(packets.len(), 5, "{packets:?}");
    for packet in packets {
        assert!(packet.ends_with("1 tap ewp0|0x00000001|198.51.100.9"), "{packet}");
    }
}

#[test]
fn what_wireshark_asks_is_answered() {
    let switch = Switch::start(&[]);
    let url = switch.control_url();
    let name = url.trim_start_matches("http://").trim_end_matches("/ctl");
    let id = format!("etherws-{}", name.replace(['.', ':'], "_"));
    let ask = |args: &[&str]| {
        let dir = folder();
        let mut command = crate::support::process::Site::here().command(dir.at("etherws-extcap"));
        command.args(args).env("ETHERWS_EXTCAP_URLS", url);
        run_within(LIST_LIMIT, command, b"")
    };
    let (_socket, _) = switch.open();
    let list = ask(&["--extcap-interfaces", "--extcap-version=4.0"]).ok().stdout;
    assert!(list.starts_with("extcap {version="), "{list}");
    assert!(list.contains("interface {value=etherws-all}{display=etherws: all ports}"), "{list}");
    let port = format!("interface {{value={id}-1}}{{display=etherws {name}: 1 server 127.0.0.1:");
    assert!(list.contains(&port), "{list}");
    switch.ctl(&["setport", "--name", "site-a", "1"]).ok();
    let list = ask(&["--extcap-interfaces", "--extcap-version=4.0"]).ok().stdout;
    let named = format!("{{value={id}-site-a}}{{display=etherws {name}: site-a: 1 server 127.");
    assert!(list.contains(&named), "{list}");
    let named = format!("{id}-site-a");
    ask(&["--extcap-interface", &named, "--extcap-dlts"]).ok();
    let all = format!("{id}-all");
    let dlts = ask(&["--extcap-interface", &all, "--extcap-dlts"]).ok().stdout;
    assert_eq!(dlts, "dlt {number=1}{name=EN10MB}{display=Ethernet}\n");
    let config = ask(&["--extcap-interface", &all, "--extcap-config"]).ok().stdout;
    assert!(config.contains(&format!(
        "{{call=--ctlurl}}{{display=Control URL}}{{type=string}}{{default={url}}}"
    )));
    assert!(config.contains("{call=--ctlpasswd}{display=Password}{type=password}"), "{config}");
    let failed = ask(&["--extcap-interface", "eth0", "--extcap-dlts"]).failed();
    assert!(failed.stderr.contains("no interface eth0"), "{failed:?}");
    let filter = |text| ask(&["--extcap-interface", &all, "--extcap-capture-filter", text]).ok();
    assert_eq!(filter("tcp port 80").stdout, "", "it is right");
    let wrong = filter("tcp prt 80").stdout;
    assert!(wrong.ends_with("the end of the filter\ntcp prt 80\n    ^^^\n"), "{wrong}");
}

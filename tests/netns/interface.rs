//! `setif` and `listif`: IPv4, IPv6, CIDR, MTU; all of it or nothing.

use crate::support::{lab::Namespace, need, switch::Switch};

/// A switch with one TAP.
fn with_tap() -> Result<(Switch, Namespace), String> {
    let namespace = Namespace::new()?;
    namespace.can_make_taps()?;
    let switch = Switch::start_at(&namespace.site, &[]);
    switch.add(&["tap", "ewp0"]);
    Ok((switch, namespace))
}

/// What the kernel says of addresses and MTU.
fn kernel(namespace: &Namespace) -> String {
    let link = namespace.ip("-o link show dev ewp0");
    // Without the state, which changes by itself.
    let (link, _) = link.split_once(" state ").unwrap();
    namespace.ip("-o addr show dev ewp0 scope global") + link
}

#[test]
fn addresses_are_set_replaced_and_taken_away() {
    let (switch, namespace) = need!(with_tap());
    let set = |args: &[&str]| {
        let all = [&["setif"], args, &["1"]].concat();
        switch.json(&all)[0]["addresses"].clone()
    };
    assert_eq!(set(&["--address", "192.0.2.1", "--netmask", "255.255.255.128"])[0], "192.0.2.1/25");
    assert!(kernel(&namespace).contains("inet 192.0.2.1/25 brd 192.0.2.127"));
    assert_eq!(set(&["--address", "192.0.2.9/24"])[0], "192.0.2.9/24");
    assert!(!kernel(&namespace).contains("192.0.2.1/"), "replaced, not added");
    assert_eq!(set(&["--netmask", "255.255.0.0"])[0], "192.0.2.9/16");
    let both = set(&["--address", "2001:db8::1/64"]);
    assert_eq!((&both[0], &both[1]), (&"192.0.2.9/16".into(), &"2001:db8::1/64".into()));
    let shown = namespace.ip("-6 addr show dev ewp0 scope global");
    assert!(
        !shown.contains("tentative") || shown.contains("optimistic"),
        "usable at once: {shown}"
    );
    assert_eq!(set(&["--address", "2001:db8::2/48"])[1], "2001:db8::2/48");
    assert!(!kernel(&namespace).contains("2001:db8::1"));
    let none = set(&["--address", ""]);
    assert_eq!(none[0], "2001:db8::2/48", "IPv4 went, IPv6 stays");
    let listed = switch.json(&["listif"]);
    assert_eq!(listed[0]["address"], "");
    assert_eq!(listed[0]["type"], "tap");
}

#[test]
fn all_or_nothing() {
    let (switch, namespace) = need!(with_tap());
    let good = ["setif", "--address", "192.0.2.1/24", "--mtu", "1400", "1"];
    switch.ctl(&good).ok();
    let before = kernel(&namespace);
    assert!(before.contains("mtu 1400"), "{before}");
    for (args, named) in [
        (&["--address", "192.0.2.2/24", "--mtu", "70000"][..], "70000"),
        (&["--address", "2001:db8::1/64", "--mtu", "600"], "600"),
        (&["--address", "192.0.2.2/33", "--mtu", "1300"], "33"),
        (&["--mtu", "1300", "--address", "192.0.2.2", "--netmask", "255.0.255.0"], "255.0.255.0"),
        (&["--mtu", "1300", "--netmask", "64", "--address", "192.0.2.2"], "64"),
        (&["--mtu", "1300", "--address", "224.0.0.1/24"], "224.0.0.1"),
        (&["--mtu", "1300", "--address", "ff02::1/64"], "ff02::1"),
    ] {
        let output = switch.ctl(&[&["setif"], args, &["1"]].concat()).failed();
        assert!(output.stderr.contains(named), "{args:?}: {}", output.stderr);
        assert_eq!(kernel(&namespace), before, "{args:?}");
    }
}

#[test]
fn a_netmask_without_an_address_is_refused() {
    let (switch, _namespace) = need!(with_tap());
    let output = switch.ctl(&["setif", "--netmask", "255.255.255.0", "1"]).failed();
    assert!(output.stderr.contains("address"), "{}", output.stderr);
}

#[test]
fn setif_on_a_netdev_changes_the_device_itself() {
    let namespace = need!(Namespace::new());
    namespace.ip("link add name real0 type veth peer name other0");
    let switch = Switch::start_at(&namespace.site, &[]);
    switch.add(&["netdev", "real0"]);
    let up = |namespace: &Namespace| namespace.ip("-o link show dev real0").contains(",UP");
    assert!(!up(&namespace), "a netdev is not brought up");
    switch.ctl(&["setif", "--address", "192.0.2.1/24", "--mtu", "1280", "1"]).ok();
    let shown = namespace.ip("-o addr show dev real0") + &namespace.ip("-o link show dev real0");
    assert!(shown.contains("192.0.2.1/24") && shown.contains("mtu 1280"), "{shown}");
    switch.ctl(&["delport", "1"]).ok();
    assert!(namespace.has_link("real0"));
    assert!(namespace.ip("-o addr show dev real0").contains("192.0.2.1/24"));
}

#[test]
fn a_port_without_interface_has_none_to_set() {
    let switch = Switch::start(&[]);
    let (_socket, number) = switch.open();
    let output = switch.ctl(&["setif", "--mtu", "1400", &number.to_string()]).failed();
    assert!(output.stderr.contains("is a server port"), "{output:?}");
    assert!(switch.json(&["listif"]).is_empty());
}

//! TAP devices: their names, their life, and what a refused one leaves behind.

use crate::support::{lab::Namespace, need, switch::Switch, wait_until};

#[test]
fn percent_d_becomes_the_lowest_free_number() {
    let namespace = need!(Namespace::new());
    need!(namespace.can_make_taps());
    let switch = Switch::start_at(&namespace.site, &[]);
    for name in ["ewp0", "ewp1"] {
        let number = switch.add(&["tap", "ewp%d"]);
        assert_eq!(switch.port(number)["target"], name);
        assert!(namespace.ip(&format!("-o link show dev {name}")).contains("UP"));
    }
    switch.ctl(&["delport", "1"]).ok();
    wait_until("the TAP's end", || !namespace.has_link("ewp0"));
    let number = switch.add(&["tap", "ewp%d"]);
    assert_eq!((number, &switch.port(number)["target"]), (3, &"ewp0".into()));
}

#[test]
fn a_refused_tap_leaves_nothing_behind() {
    let namespace = need!(Namespace::new());
    need!(namespace.can_make_taps());
    let switch = Switch::start_at(&namespace.site, &[]);
    switch.add(&["tap", "taken0"]);
    namespace.ip("link add name real0 type veth peer name real1");
    let before = namespace.ip("-o link show");
    for name in ["", "taken0", "real0", "lo", "a/b", "a b", "sixteen-letters-", "..", "%d%d", "%s"]
    {
        let output = switch.ctl(&["addport", "tap", name]).failed();
        assert!(output.stderr.contains(name), "{name:?}: {}", output.stderr);
        assert_eq!(output.stderr.lines().count(), 1, "{}", output.stderr);
    }
    for name in ["", "none0", "taken0", "a/b"] {
        let output = switch.ctl(&["addport", "netdev", name]).failed();
        assert!(output.stderr.contains(name), "{name:?}: {}", output.stderr);
    }
    let links = |text: &str| text.lines().map(|line| line[..20].to_owned()).collect::<Vec<_>>();
    assert_eq!(links(&namespace.ip("-o link show")), links(&before));
    assert_eq!(switch.ports().len(), 1);
    assert_eq!(switch.add(&["tap", "next0"]), 2, "a refused port takes no number");
}

#[test]
fn taps_go_with_the_switch_however_it_ends() {
    let namespace = need!(Namespace::new());
    need!(namespace.can_make_taps());
    let mut switch = Switch::start_at(&namespace.site, &[]);
    switch.add(&["tap", "ewp0"]);
    switch.process.kill();
    assert!(!namespace.has_link("ewp0"));
}

#[test]
fn without_permission_the_way_out_is_named() {
    let namespace = need!(Namespace::new());
    let powerless = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"];
    let switch = Switch::start_at(&namespace.site.then(powerless), &[]);
    namespace.ip("link add name real0 type veth peer name real1");
    for args in [["addport", "tap", "ewp0"], ["addport", "netdev", "real0"]] {
        let output = switch.ctl(&args).failed();
        assert!(output.stderr.contains("CAP_NET_"), "{}", output.stderr);
    }
    assert!(switch.ports().is_empty());
}

//! What the switch may still do once it listens, of every thread of it.

use std::fs;

use nix::unistd::geteuid;

use crate::support::{
    TempDir,
    lab::Namespace,
    need,
    switch::{Switch, etherws},
    wait_until,
};

/// CAP_NET_ADMIN and CAP_NET_RAW, as bits.
const KEPT: u64 = 1 << 12 | 1 << 13;

/// A field of the status of each thread.
fn of_all_threads(pid: u32, field: &str) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let mut values: Vec<_> = threads
        .map(|thread| {
            let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
            let value = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
            value.split_whitespace().next().unwrap_or_default().to_owned()
        })
        .collect();
    values.sort();
    values.dedup();
    values
}

fn assert_limited(pid: u32, kept: u64) {
    let set = |name| {
        let values = of_all_threads(pid, name);
        let [value] = &values[..] else { panic!("threads differ in {name} {values:?}") };
        u64::from_str_radix(value, 16).unwrap()
    };
    assert_eq!(set("CapEff:"), kept);
    assert_eq!(set("CapPrm:"), kept);
    for none in ["CapInh:", "CapAmb:"] {
        assert_eq!(set(none), 0, "{none}");
    }
    assert_eq!(of_all_threads(pid, "NoNewPrivs:"), ["1"]);
}

#[test]
fn all_threads_keep_two_capabilities_at_most() {
    let namespace = need!(Namespace::new());
    let args = ["--threads", "2", "--port", "80", "--host", "127.0.0.1"];
    let switch = Switch::start_at(&namespace.site, &args);
    assert_limited(switch.process.pid(), KEPT);
    assert_eq!(of_all_threads(switch.process.pid(), "CapBnd:"), ["0000000000000000"]);
    assert!(of_all_threads(switch.process.pid(), "Pid:").len() > 2, "several threads");
    // That is enough for what it does.
    need!(namespace.can_make_taps());
    assert_eq!(switch.add(&["tap", "ewp0"]), 1);
    switch.ctl(&["setif", "--address", "198.51.100.1/24", "--mtu", "1400", "1"]).ok();
    namespace.ip("link add veth0 type veth peer name veth1");
    assert_eq!(switch.add(&["netdev", "veth0"]), 2);
}

#[test]
fn a_persistent_tap_of_its_user_needs_no_capability() {
    let namespace = need!(Namespace::new());
    need!(namespace.can_make_taps());
    namespace.ip("tuntap add dev ewp0 mode tap user 0");
    let bare = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"];
    let site = namespace.site.then(bare);
    let switch = Switch::start_at(&site, &[]);
    assert_limited(switch.process.pid(), 0);
    let refused = switch.ctl(&["addport", "tap", "ewp0"]).failed();
    assert!(refused.stderr.contains("is down"), "{refused:?}");
    namespace.ip("link set ewp0 up");
    assert_eq!(switch.add(&["tap", "ewp0"]), 1);
    wait_until("its carrier", || namespace.ip("link show ewp0").contains("LOWER_UP"));
    let refused = switch.ctl(&["addport", "tap", "ewp1"]).failed();
    assert!(refused.stderr.contains("needs CAP_NET_ADMIN"), "{refused:?}");
    namespace.ip("link add veth0 type veth peer name veth1");
    let refused = switch.ctl(&["addport", "netdev", "veth0"]).failed();
    assert!(refused.stderr.contains("CAP_NET"), "{refused:?}");
    let refused = switch.ctl(&["addport", "netdev", "lo"]).failed();
    assert!(refused.stderr.contains("lo is the loopback interface"), "{refused:?}");
}

#[test]
fn the_switch_becomes_the_user_that_it_is_told() {
    if !geteuid().is_root() {
        return need!(Err("only root may become somebody else"));
    }
    let nobody = nix::unistd::User::from_name("nobody").unwrap().expect("nobody");
    let switch = Switch::start(&["--user", "nobody"]);
    let pid = switch.process.pid();
    assert_eq!(of_all_threads(pid, "Uid:"), [nobody.uid.to_string()]);
    assert_eq!(of_all_threads(pid, "Gid:"), [nobody.gid.to_string()]);
    let groups = of_all_threads(pid, "Groups:");
    assert!(groups.iter().all(|group| *group == nobody.gid.to_string()), "{groups:?}");
    let held = u64::from_str_radix(&of_all_threads(pid, "CapPrm:")[0], 16).unwrap();
    assert_limited(pid, held & KEPT);
    drop(switch.open());
}

#[test]
fn a_user_who_cannot_read_what_is_read_again_is_told_at_the_start() {
    if !geteuid().is_root() {
        return need!(Err("only root may become somebody else"));
    }
    let dir = TempDir::new();
    let file = dir.file("users", "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&file, mode).unwrap();
    let listen = ["sw", "--foreground", "--host", "127.0.0.1", "--port", "0", "--ctlport", "0"];
    let output = etherws(&[&listen[..], &["--user", "nobody", "--htpasswd", &file]].concat());
    let output = output.failed();
    assert!(output.stderr.contains(&file) && output.stderr.contains("denied"), "{output:?}");
    let output = etherws(&[&listen[..], &["--user", "no-such-user"]].concat()).failed();
    assert!(output.stderr.contains("no user no-such-user"), "{output:?}");
}

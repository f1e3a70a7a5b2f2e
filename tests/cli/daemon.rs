//! Without `--foreground`: the command returns once the switch listens, and what it
//! leaves running depends on nobody.

use std::fs;

use crate::support::{
    TempDir,
    lab::Namespace,
    need,
    process::run,
    switch::{ETHERWS, command},
    wait_until,
};

/// PIDs of the daemons in a namespace.
fn daemons(namespace: &Namespace) -> Vec<u32> {
    let net = namespace.run("readlink", &["/proc/self/ns/net"]).ok().stdout;
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).ok();
        let there = link("ns/net").is_some_and(|path| path.to_str() == Some(net.trim()));
        there && link("exe").is_some_and(|path| path.to_str() == Some(ETHERWS))
    })
    .collect()
}

#[test]
fn the_command_returns_when_both_ports_are_open() {
    let namespace = need!(Namespace::new());
    let output = run(command(&namespace.daemons, &["sw"])).ok();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
    // At once and at the first attempt.
    run(command(&namespace.site, &["ctl", "listport"])).ok();
    let status = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1/"];
    assert_eq!(namespace.run("curl", &status).ok().stdout, "400");
}

#[test]
fn the_switch_belongs_to_no_terminal_and_no_parent() {
    let namespace = need!(Namespace::new());
    run(command(&namespace.daemons, &["sw"])).ok();
    let pids = daemons(&namespace);
    let [pid] = pids[..] else { panic!("one process, not {pids:?}") };
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let (parent, session, terminal) = (fields[1], fields[3], fields[4]);
    let own = std::process::id().to_string();
    assert!(parent != own, "{stat}");
    let mine = fs::read_to_string("/proc/self/stat").unwrap();
    let my_session = mine.rsplit_once(") ").unwrap().1.split(' ').nth(3).unwrap().to_owned();
    assert!(session != my_session && terminal == "0", "{stat}");
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).unwrap();
    assert_eq!(link("cwd").to_str(), Some("/"));
    for stream in ["fd/0", "fd/1", "fd/2"] {
        assert_eq!(link(stream).to_str(), Some("/dev/null"), "{stream}");
    }
}

#[test]
fn it_keeps_two_capabilities_at_most_and_gains_none() {
    let namespace = need!(Namespace::new());
    run(command(&namespace.daemons, &["sw", "--threads", "2"])).ok();
    let pids = daemons(&namespace);
    let [pid] = pids[..] else { panic!("one process, not {pids:?}") };
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        // CAP_NET_ADMIN and CAP_NET_RAW.
        for line in ["CapPrm:\t0000000000003000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"] {
            assert!(status.contains(line), "{line}: {status}");
        }
    }
}

#[test]
fn files_are_found_from_where_the_command_was_given() {
    let namespace = need!(Namespace::new());
    let dir = TempDir::new();
    // The password is "password".
    dir.file("users", "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let mut sw = command(&namespace.daemons, &["sw", "--ctlhtpasswd", "users"]);
    sw.current_dir(dir.path());
    run(sw).ok();
    let login = ["ctl", "--ctluser", "a", "--ctlpasswd", "password", "listport"];
    run(command(&namespace.site, &login)).ok();
    run(command(&namespace.site, &["ctl", "listport"])).failed();
}

#[test]
fn a_daemon_that_cannot_start_says_why() {
    let namespace = need!(Namespace::new());
    run(command(&namespace.daemons, &["sw"])).ok();
    let output = run(command(&namespace.daemons, &["sw"])).failed();
    assert!(output.stderr.contains(":80"), "{}", output.stderr);
    assert!(output.stderr.contains("in use"), "{}", output.stderr);
    assert_eq!(daemons(&namespace).len(), 1);
}

#[test]
fn sigterm_ends_the_daemon_and_its_taps() {
    let namespace = need!(Namespace::new());
    need!(namespace.can_make_taps());
    run(command(&namespace.daemons, &["sw"])).ok();
    run(command(&namespace.site, &["ctl", "addport", "tap", "ewp0"])).ok();
    assert!(namespace.has_link("ewp0"));
    let pid = daemons(&namespace)[0].to_string();
    namespace.run("kill", &[&pid]).ok();
    wait_until("the daemon's end", || daemons(&namespace).is_empty());
    assert!(!namespace.has_link("ewp0"));
}

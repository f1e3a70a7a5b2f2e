//! Control on a Unix socket.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
};

use nix::sys::signal::Signal;

use crate::support::{
    TempDir, need,
    peers::tool,
    process::{Process, Site, run},
    switch::{Switch, command, etherws},
    wait_until,
};

#[test]
fn a_socket_serves_control_to_its_user_and_goes_with_the_switch() {
    let dir = TempDir::new();
    let path = dir.at("socket");
    let users = dir.file("users", "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    // Whatever TCP asks for, and whatever its path is.
    let args = ["--ctlsock", &path, "--ctlhtpasswd", &users, "--ctlpath", "/other"];
    let mut switch = Switch::start(&args);
    let metadata = fs::metadata(&path).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    switch.ctl(&["listport"]).failed();
    for url in [format!("unix:{path}"), format!("unix://{path}")] {
        let output = etherws(&["ctl", "--ctlurl", &url, "listport"]).ok();
        assert_eq!(output.stdout, "  Port  Type  State  RX  TX  Target\n");
    }
    // It is a listener as the others are.
    let url = format!("unix:{path}");
    let servers = etherws(&["ctl", "--ctlurl", &url, "--json", "showserver"]).ok().json();
    let servers = servers.as_array().unwrap();
    let own = servers.iter().find(|one| one["service"] == "control-socket").unwrap();
    assert!(own["counters"]["accepted"].as_u64().is_some_and(|count| count >= 3), "{own}");
    // A page cannot open it, but the rules are the same.
    need!(tool("curl"));
    let curl = |more: &[&str]| {
        let mut curl = Site::here().command("curl");
        curl.args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", &path]);
        curl.args(["http://localhost/ctl", "--data", "{}"]).args(more);
        run(curl).ok().stdout
    };
    assert_eq!(curl(&["-H", "Content-Type: application/json"]), "200");
    assert_eq!(curl(&[]), "415");
    assert_eq!(curl(&["-H", "Upgrade: websocket", "-H", "Connection: Upgrade"]), "400");
    switch.process.signal(Signal::SIGTERM);
    assert!(switch.process.wait_exit().success());
    assert!(!fs::exists(&path).unwrap());
    let output = etherws(&["ctl", "--ctlurl", &format!("unix:{path}"), "listport"]).failed();
    assert!(output.stderr.contains(&path), "{output:?}");
}

#[test]
fn a_socket_alone_leaves_no_tcp_and_a_dead_switchs_is_replaced() {
    let dir = TempDir::new();
    let path = dir.at("socket");
    let start = || {
        let args = ["sw", "--foreground", "--host", "127.0.0.1", "--port", "0"];
        let mut command = command(&Site::here(), &args);
        // By a name of its own folder, as a daemon's would be another one.
        command.args(["--ctlsock", "socket"]).current_dir(dir.path());
        Process::start(command)
    };
    let listens = |process: &Process| process.stderr.contains("socket: ");
    let url = format!("unix:{path}");
    let mut first = start();
    wait_until("the socket", || listens(&first));
    assert!(!first.stderr.contains("7867"), "{}", first.stderr.text());
    // Not while somebody listens there.
    let mut second = start();
    assert!(!second.wait_exit().success());
    wait_until("the reason", || second.stderr.contains("another program listens"));
    etherws(&["ctl", "--ctlurl", &url, "listport"]).ok();
    first.kill();
    assert!(fs::exists(&path).unwrap());
    let third = start();
    wait_until("the socket", || listens(&third));
    etherws(&["ctl", "--ctlurl", &url, "listport"]).ok();
}

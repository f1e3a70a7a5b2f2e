//! etherws 0.3's commands: one TAP, one command, no control.

use crate::support::{
    TempDir,
    lab::Namespace,
    need,
    process::{Process, run, run_with},
    switch::{Switch, command, field},
    wait_for, wait_until,
};

#[test]
fn server_and_client_join_two_taps() {
    let (left, right) = need!(Namespace::pair());
    let dir = TempDir::new();
    // The password is "password".
    let users = dir.file("users", "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let server = ["--device", "old%d", "--foreground", "server", "--address", "192.0.2.1"];
    let server = [&server[..], &["--path", "/p", "--port", "8080", "--htpasswd", &users]].concat();
    let server = Process::start(command(&left.site, &server));
    wait_until("the server", || server.stderr.contains("tunnel"));
    let client = ["--foreground", "client", "--uri", "ws://192.0.2.1:8080/p", "--user", "alice"];
    let mut client = Process::start(command(&right.site, &client));
    client.tell("password");
    wait_until("the client's TAP", || right.has_link("ethws0"));
    assert!(left.has_link("old0"));
    left.ip("addr add 198.51.100.1/24 dev old0");
    right.ip("addr add 198.51.100.2/24 dev ethws0");
    wait_until("a ping through the tunnel", || right.pings("198.51.100.1", 56));
    // 0.3 cut frames at the TAP's MTU.
    assert!(right.pings("198.51.100.1", 1472));
    assert!(left.pings("198.51.100.2", 1472));
    // Nothing else listens: there is no control.
    assert!(!left.run("ss", &["-Hltn"]).ok().stdout.contains(":7867"));
    drop(client);
    wait_until("the TAP's end", || !right.has_link("ethws0"));
}

#[test]
fn the_server_becomes_a_daemon_as_well() {
    let namespace = need!(Namespace::new());
    need!(namespace.can_make_taps());
    run(command(&namespace.daemons, &["server"])).ok();
    assert!(namespace.has_link("ethws0"));
    let status = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1/"];
    assert_eq!(namespace.run("curl", &status).ok().stdout, "400");
}

#[test]
fn a_wrong_command_leaves_no_tap() {
    let namespace = need!(Namespace::new());
    need!(namespace.can_make_taps());
    let uri = "ws://127.0.0.1:9/";
    for (args, named) in [
        (&["--foreground", "server", "--address", "192.0.2.99"][..], "192.0.2.99"),
        (&["--foreground", "server", "--keyfile", "/etc/hostname"], "certfile"),
        (&["--foreground", "client", "--uri", "http://127.0.0.1/"], "http"),
        (&["--foreground", "client", "--uri", uri], "127.0.0.1:9"),
        (&["client", "--uri", uri], "127.0.0.1:9"),
    ] {
        let output = run_with(command(&namespace.daemons, args), b"").failed();
        assert!(output.stderr.contains(named), "{args:?}: {}", output.stderr);
        assert!(!namespace.has_link("ethws0"), "{args:?}");
    }
}

#[test]
fn clients_of_a_server_reach_each_other() {
    let namespace = need!(Namespace::new());
    need!(namespace.can_make_taps());
    let args = ["--foreground", "server", "--address", "127.0.0.1", "--port", "0"];
    let server = Process::start(command(&namespace.site, &args));
    let url = wait_for("the server", || {
        let look = |line: &str| {
            let tunnel = field(line, "service")? == "tunnel";
            tunnel.then(|| field(line, "address").map(|at| format!("ws://{at}/")))?
        };
        server.stderr.find(look)
    });
    // Two switches beside it, each with a port of the test's own: out through one, in
    // through the other.
    let [one, other] = [(); 2].map(|()| Switch::start_at(&namespace.site, &[]));
    for switch in [&one, &other] {
        switch.add(&["client", &url]);
    }
    one.add(&["tap", "one0"]);
    other.add(&["tap", "other0"]);
    namespace.ip("addr add 198.51.100.1/24 dev one0");
    let learned = |switch: &Switch| !switch.json(&["listfdb"]).is_empty();
    namespace.run("ping", &["-c", "1", "-W", "1", "198.51.100.77"]);
    wait_until("an address at the other end", || learned(&other));
}

//! What the switch and its service manager tell each other, with a manager of our own.

use std::{os::unix::net::UnixDatagram, time::Duration};

use nix::sys::signal::Signal;

use crate::support::{
    LIMIT, TempDir, need,
    peers::tool,
    process::{Process, Site, run},
    switch::{ETHERWS, command, etherws},
    wait_for,
    ws::{PING, PONG, WebSocket},
};

/// The socket that a service manager listens on.
struct Manager {
    socket: UnixDatagram,
    path: String,
}

impl Manager {
    fn new(dir: &TempDir) -> Self {
        let path = dir.at("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Self { socket, path }
    }

    /// The next message, as lines.
    fn next(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let octets = self.socket.recv(&mut buffer).expect("a message within the limit");
        let text = std::str::from_utf8(&buffer[..octets]).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// The next message but signs of life.
    fn next_event(&self) -> Vec<String> {
        loop {
            let message = self.next();
            if !message.iter().any(|line| line.starts_with("STATUS=")) {
                return message;
            }
        }
    }
}

#[test]
fn it_tells_that_it_serves_lives_reloads_and_ends() {
    let dir = TempDir::new();
    let manager = Manager::new(&dir);
    let url = format!("unix:{}", dir.at("control"));
    let args = ["sw", "--foreground", "--host", "127.0.0.1", "--port", "0"];
    let mut sw = command(&Site::here(), &args);
    sw.args(["--ctlsock", &dir.at("control")]);
    sw.env("NOTIFY_SOCKET", &manager.path).env("WATCHDOG_USEC", "400000");
    let mut sw = Process::start(sw);
    assert_eq!(manager.next(), ["READY=1"]);
    // At once and at the first attempt, and control is found by the environment alone.
    let mut ctl = command(&Site::here(), &["ctl", "listport"]);
    ctl.env("ETHERWS_CTLURL", &url);
    run(ctl).ok();
    assert_eq!(manager.next(), ["WATCHDOG=1", "STATUS=0 ports, 0 up; 0 sessions"]);
    sw.signal(Signal::SIGHUP);
    let reloading = manager.next_event();
    let [first, time] = &reloading[..] else { panic!("{reloading:?}") };
    assert_eq!(first, "RELOADING=1");
    let time: u64 = time.strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
    assert!(time > 0);
    assert_eq!(manager.next_event(), ["READY=1"]);
    // One that stands still says nothing.
    sw.signal(Signal::SIGSTOP);
    manager.socket.set_read_timeout(Some(Duration::from_millis(450))).unwrap();
    let mut buffer = [0; 4096];
    // What it had said before.
    while manager.socket.recv(&mut buffer).is_ok() {}
    assert!(manager.socket.recv(&mut buffer).is_err());
    manager.socket.set_read_timeout(Some(LIMIT)).unwrap();
    sw.signal(Signal::SIGCONT);
    assert_eq!(manager.next()[0], "WATCHDOG=1");
    sw.signal(Signal::SIGTERM);
    assert_eq!(manager.next_event(), ["STOPPING=1"]);
    assert!(sw.wait_exit().success());
}

#[test]
fn a_manager_that_is_gone_harms_nothing() {
    let dir = TempDir::new();
    let args = ["sw", "--foreground", "--host", "127.0.0.1", "--port", "0"];
    let mut sw = command(&Site::here(), &args);
    sw.args(["--ctlsock", &dir.at("control")]).env("NOTIFY_SOCKET", dir.at("nobody"));
    let mut sw = Process::start(sw);
    wait_for("its complaint", || {
        sw.stderr.contains("cannot notify the service manager").then_some(())
    });
    etherws(&["ctl", "--ctlurl", &format!("unix:{}", dir.at("control")), "listport"]).ok();
    sw.signal(Signal::SIGTERM);
    assert!(sw.wait_exit().success());
}

/// Starts a switch with sockets; `activate.py` says how they are written.
fn activate(sockets: &[&str], args: &[&str]) -> Process {
    let mut python = Site::here().command("python3");
    python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/packaging/activate.py"));
    python.args(sockets).args(["--", ETHERWS, "sw", "--foreground"]).args(args);
    Process::start(python)
}

fn pings(socket: &mut WebSocket) {
    socket.send(PING, b"");
    assert!(socket.receive().is_some_and(|message| message.opcode == PONG));
}

#[test]
fn inherited_sockets_are_served_instead_of_own_ones() {
    need!(tool("python3"));
    let dir = TempDir::new();
    let control = dir.at("control");
    // No address of ours: it would not start.
    let elsewhere = ["--host", "192.0.2.77", "--port", "80", "--no-loopguard"];
    let sockets = ["tunnel=tcp", &format!("control={control}")];
    let args = [&elsewhere[..], &["--ctlsock", "/nowhere/control"]].concat();
    let mut sw = activate(&sockets, &args);
    let tunnel = sw.stdout.next("the tunnel's address");
    let mut socket = WebSocket::open(tunnel.parse().unwrap(), "/");
    pings(&mut socket);
    let url = format!("unix:{control}");
    let ports = etherws(&["ctl", "--ctlurl", &url, "--json", "listport"]).ok().json();
    assert_eq!(ports[0]["type"], "server");
    // SIGHUP leaves them as they are.
    sw.signal(Signal::SIGHUP);
    pings(&mut socket);
    sw.signal(Signal::SIGTERM);
    assert!(sw.wait_exit().success());
    assert!(std::fs::exists(&control).unwrap(), "the file is the manager's");
}

#[test]
fn a_socket_that_cannot_be_served_is_named() {
    need!(tool("python3"));
    let dir = TempDir::new();
    let unix = |name: &str| format!("{name}={}", dir.at(name));
    for (socket, expected) in [
        ("web=tcp", "\"web\" of an inherited socket is not known; set FileDescriptorName="),
        ("tunnel=udp", "\"tunnel\" cannot be used"),
        ("control=udp", "\"control\" cannot be used"),
        ("tunnel=connected", "does not listen"),
        (&unix("tunnel"), "\"tunnel\" cannot be used"),
        // Control is on the Unix socket alone.
        ("control=tcp", "no control listener on TCP"),
    ] {
        let listen = ["--host", "127.0.0.1", "--port", "0", "--ctlsock", &dir.at("ctl")];
        let mut sw = activate(&[socket], &listen);
        assert_eq!(sw.wait_exit().code(), Some(1), "{socket}");
        assert!(sw.stderr.contains(expected), "{expected}: {}", sw.stderr.text());
    }
}

//! etherws 1.3 itself, of 2015, at the other end: both roles, both programs, ws and
//! wss. `tests/peers/setup.py` makes it run on Python 3.

use std::net::SocketAddr;

use crate::support::{
    TempDir,
    certs::Certificates,
    frame,
    lab::Namespace,
    need,
    peers::python,
    process::{Output, Process, Site, run},
    switch::{Switch, command, etherws},
    wait_for, wait_until,
    ws::{WebSocket, encode},
};

/// The password is "password".
const USERS: &str = "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";

/// The original's program with arguments.
fn original(site: &Site, args: &[&str]) -> Result<std::process::Command, String> {
    let python = python()?;
    let mut command = site.command(&python);
    command.arg(python.replace("bin/python", "etherws.py")).args(args);
    Ok(command)
}

/// The original's switch on loopback.
struct Original {
    process: Process,
    tunnel: SocketAddr,
    control: String,
}

impl Original {
    fn start(args: &[&str]) -> Result<Self, String> {
        let listen = ["--host", "127.0.0.1", "--port", "0", "--ctlhost", "127.0.0.2"];
        let args = [&["sw", "--foreground", "--ctlport", "0"], &listen[..], args].concat();
        let process = Process::start(original(&Site::here(), &args)?);
        let [tunnel, control] = ["127.0.0.1", "127.0.0.2"]
            .map(|host| wait_for("the original", || listener(process.pid(), host)));
        Ok(Self { process, tunnel, control: format!("http://{control}/ctl") })
    }

    /// Its own ctl against its own switch.
    fn ctl(&self, args: &[&str]) -> Output {
        their_ctl(&self.control, args)
    }

    /// Our ctl against it.
    fn our_ctl(&self, args: &[&str]) -> Output {
        etherws(&[&["ctl", "--ctlurl", &self.control], args].concat())
    }

    fn url(&self) -> String {
        format!("ws://{}/", self.tunnel)
    }

    fn tls_url(&self) -> String {
        format!("wss://localhost:{}/", self.tunnel.port())
    }

    /// A port of the test's own, once it is listed.
    fn open(&self) -> WebSocket {
        let socket = WebSocket::open(self.tunnel, "/");
        let target = socket.local_address().to_string();
        wait_until("the port", || self.ctl(&["listport"]).stdout.contains(&target));
        socket
    }
}

fn their_ctl(url: &str, args: &[&str]) -> Output {
    let args = [&["ctl", "--ctlurl", url], args].concat();
    run(original(&Site::here(), &args).expect("its Python is there"))
}

/// Where a process listens on `host`: it cannot say which port it got.
fn listener(pid: u32, host: &str) -> Option<SocketAddr> {
    let mut ss = Site::here().command("ss");
    ss.args(["-Hltnp"]);
    let sockets = run(ss).ok().stdout;
    let line = sockets.lines().find(|line| {
        line.contains(&format!("pid={pid},")) && line.contains(&format!(" {host}:"))
    })?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// Frames of many lengths from each end to the other.
fn exchange(one: &mut WebSocket, other: &mut WebSocket) {
    for length in [14, 60, 125, 126, 1514, 9014, 65_550] {
        let sent = frame(255, 1, &vec![1; length - 14]);
        one.send_frame(&sent);
        other.expect_frame(&sent);
        let answer = frame(1, 2, &vec![2; length - 14]);
        other.send_frame(&answer);
        one.expect_frame(&answer);
    }
}

#[test]
fn our_client_joins_its_server() {
    let original = need!(Original::start(&[]));
    let switch = Switch::start(&[]);
    let number = switch.add(&["client", &original.url()]);
    let (mut near, _) = switch.open();
    let mut far = original.open();
    exchange(&mut near, &mut far);
    switch.ctl(&["delport", &number.to_string()]).ok();
    wait_until("its port's end", || original.ctl(&["listport"]).stdout.lines().count() == 2);
}

#[test]
fn its_client_joins_our_server() {
    let original = need!(Original::start(&[]));
    let switch = Switch::start(&[]);
    let added = original.ctl(&["addport", "client", &switch.url()]).ok().stdout;
    assert!(added.contains("client  up"), "{added}");
    let (mut near, _) = switch.open();
    let mut far = original.open();
    exchange(&mut near, &mut far);
    let number = switch.ports()[0]["port"].to_string();
    switch.ctl(&["delport", &number]).ok();
    let gone = || !original.ctl(&["listport"]).stdout.contains("client");
    wait_until("its port's end", gone);
}

#[test]
fn our_client_comes_back_to_its_server() {
    let original = need!(Original::start(&[]));
    let switch = Switch::start(&[]);
    let number = switch.add(&["client", &original.url()]);
    original.ctl(&["delport", "1"]).ok();
    wait_until("another port there", || original.ctl(&["listport"]).stdout.contains("\n  2  "));
    switch.wait_state(number, "up");
}

#[test]
fn passwords_pass_both_ways() {
    let dir = TempDir::new();
    let users = dir.file("users", USERS);
    let original = need!(Original::start(&["--htpasswd", &users]));
    let switch = Switch::start(&["--htpasswd", &users]);
    let login = ["client", "--user", "alice", "--passwd", "password"];
    switch.add(&[&login[..], &[&original.url()]].concat());
    let refused = switch.ctl(&["addport", "client", &original.url()]).failed();
    assert!(refused.stderr.contains(&original.url()), "{}", refused.stderr);
    let url = switch.url();
    let add = [&["addport"], &login[..], &[&url]].concat();
    assert!(original.ctl(&add).stdout.contains("client  up"));
    let refused = original.ctl(&["addport", "client", &switch.url()]).stdout;
    assert!(refused.contains("Invalid params (-32602)"), "{refused}");
}

#[test]
fn its_ctl_controls_our_switch() {
    let original = need!(Original::start(&[]));
    let switch = Switch::start(&[]);
    let ctl = |args: &[&str]| their_ctl(switch.control_url(), args).ok().stdout;
    let added = ctl(&["addport", "client", &original.url()]);
    let wanted = switch.ctl(&["listport"]).ok().stdout;
    assert_eq!(added, wanted);
    let (mut near, _) = switch.open();
    near.send_frame(&frame(255, 1, b"x"));
    wait_until("an address", || !switch.json(&["listfdb"]).is_empty());
    assert!(ctl(&["listfdb"]).contains("  2     0     02:00:00:00:00:01  "));
    assert!(ctl(&["setport", "--shut", "1", "2"]).contains("server  shut"));
    assert_eq!(ctl(&["listport"]), switch.ctl(&["listport"]).ok().stdout);
    assert_eq!(ctl(&["listif"]), switch.ctl(&["listif"]).ok().stdout);
    assert!(ctl(&["delport", "1"]).contains("client"));
    let refused = ctl(&["delport", "77"]);
    assert!(refused.starts_with("  Invalid params (-32602)\n    "), "{refused}");
    assert!(refused.contains("77"), "{refused}");
}

#[test]
fn our_ctl_controls_its_switch() {
    let original = need!(Original::start(&[]));
    let switch = Switch::start(&[]);
    let added = original.our_ctl(&["addport", "client", &switch.url()]).ok().stdout;
    assert_eq!(added, original.ctl(&["listport"]).stdout);
    let mut far = original.open();
    far.send_frame(&frame(255, 1, b"x"));
    wait_until("an address", || original.our_ctl(&["listfdb"]).ok().stdout.contains("02:00:"));
    for list in ["listport", "listif"] {
        assert_eq!(original.our_ctl(&[list]).ok().stdout, original.ctl(&[list]).stdout);
    }
    let json = original.our_ctl(&["--json", "listport"]).ok().json();
    assert_eq!(json[0]["type"], "client");
    assert!(original.our_ctl(&["setport", "--shut", "1", "1"]).ok().stdout.contains("shut"));
    let refused = original.our_ctl(&["delport", "77"]).failed();
    assert!(refused.stderr.contains("KeyError: 77"), "{}", refused.stderr);
    original.our_ctl(&["delport", "1"]).ok();
    assert!(!original.ctl(&["listport"]).stdout.contains("client"));
}

/// Its client reads one message a TLS record: what shares a record with another one
/// would stay unread until more comes.
#[test]
fn messages_in_a_row_over_tls_reach_its_client() {
    let certs = need!(Certificates::new());
    let original = need!(Original::start(&[]));
    let switch = Switch::start(&["--sslkey", &certs.key, "--sslcert", &certs.cert]);
    let add = ["addport", "client", "--cacerts", &certs.ca, &switch.tls_url()];
    let added = original.ctl(&add).stdout;
    assert!(added.contains("client  up"), "{added}\n{}", original.process.stderr.text());
    let mut far = original.open();
    let mut near = WebSocket::open_tls(switch.tunnel, &certs.ca, "/", &[]).unwrap();
    switch.number_of(&near);
    let frames: Vec<_> = (0..30).map(|round| frame(255, 1, &[round; 500])).collect();
    near.send_raw(&frames.iter().flat_map(|frame| encode(0x82, frame)).collect::<Vec<_>>());
    for frame in &frames {
        far.expect_frame(frame);
    }
    far.send_frame(&frame(1, 2, &[9; 1500]));
    near.expect_frame(&frame(1, 2, &[9; 1500]));
}

#[test]
fn our_client_joins_its_server_over_tls() {
    let certs = need!(Certificates::new());
    let original = need!(Original::start(&["--sslkey", &certs.key, "--sslcert", &certs.cert]));
    let switch = Switch::start(&[]);
    switch.add(&["client", "--cacerts", &certs.ca, &original.tls_url()]);
    let (mut near, _) = switch.open();
    let mut far = WebSocket::open_tls(original.tunnel, &certs.ca, "/", &[]).unwrap();
    let target = far.local_address().to_string();
    wait_until("the port", || original.ctl(&["listport"]).stdout.contains(&target));
    exchange(&mut near, &mut far);
}

#[test]
fn taps_of_both_programs_share_a_network() {
    let (left, right) = need!(Namespace::pair());
    let args = ["sw", "--foreground"];
    let _theirs = Process::start(need!(original(&left.site, &args)));
    let _ours = Process::start(command(&right.site, &args));
    let their = |args: &[&str]| run(original(&left.site, args).expect("it runs already")).stdout;
    let our = |args: &[&str]| run(command(&right.site, args));
    wait_until("the original", || their(&["ctl", "listport"]).contains("Port  Type"));
    wait_until("ours", || our(&["ctl", "listport"]).code == Some(0));
    their(&["ctl", "addport", "tap", "ewp0"]);
    their(&["ctl", "setif", "--address", "198.51.100.1", "--netmask", "255.255.255.0", "1"]);
    our(&["ctl", "addport", "tap", "ewp0"]).ok();
    our(&["ctl", "setif", "--address", "198.51.100.2/24", "1"]).ok();
    our(&["ctl", "addport", "client", "ws://192.0.2.1/"]).ok();
    wait_until("a ping", || right.pings("198.51.100.1", 56));
    assert!(right.pings("198.51.100.1", 1472));
    assert!(left.pings("198.51.100.2", 8000), "in fragments of IP");
    // And the other way round.
    our(&["ctl", "delport", "2"]).ok();
    assert!(their(&["ctl", "addport", "client", "ws://192.0.2.2/"]).contains("client  up"));
    wait_until("a ping", || left.pings("198.51.100.2", 1472));
}

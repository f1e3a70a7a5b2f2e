//! Behind real reverse proxies: the configurations of docs/proxies.md, each with the tunnel, the
//! client's real address, and control, which nobody reaches as a local client through them.

use std::net::{SocketAddr, TcpStream};

use crate::support::{
    TempDir, frame, free_address,
    http::{ask, basic},
    need, peers,
    process::{Process, Site},
    switch::{Switch, command},
    wait_until,
    ws::WebSocket,
};

/// Sections of the document.
const TUNNEL: &str = "## Behind a reverse proxy";
const CONTROL: &str = "## Control under a prefix";

const LIST: &str = r#"{"jsonrpc": "2.0", "id": 0, "method": "etherws.control.listPort"}"#;

/// The example for `program` in a section of the document, with the addresses of this test.
fn example(section: &str, program: &str, own: SocketAddr, switch: &Switch) -> String {
    let document = include_str!("../../docs/proxies.md");
    let (_, rest) = document.split_once(&format!("\n{section}\n")).expect("the section");
    let (_, rest) = rest.split_once(&format!("```{program}\n")).expect("its example");
    let (example, _) = rest.split_once("```").expect("its end");
    // The fixed port first: the digits of the other may begin with it.
    let example = example.replace(":443", &own.to_string());
    let example = example.replace("127.0.0.1:8080", &switch.tunnel.to_string());
    example.replace("127.0.0.1:7867", &switch.control.to_string())
}

/// Starts `program` until it listens at `own`.
fn start(program: &str, args: &[&str], own: SocketAddr) -> Process {
    let mut command = Site::here().command(program);
    // Where Caddy keeps what it has made.
    let folder = env!("CARGO_TARGET_TMPDIR");
    command.args(args).env("XDG_CONFIG_HOME", folder).env("XDG_DATA_HOME", folder);
    let process = Process::start(command);
    wait_until(program, || TcpStream::connect(own).is_ok());
    process
}

/// A client behind a proxy has a tunnel, and is seen as what it is.
fn check(switch: &Switch, at: SocketAddr, shows_port: bool) {
    let client = [127, 0, 0, 9];
    // A claim of its own changes nothing.
    let spoofed = [("X-Forwarded-For", "6.6.6.6"), ("Forwarded", "for=6.6.6.6")];
    let mut socket = WebSocket::open_from_with(client, at, "/lan", &spoofed).expect("a tunnel");
    let mut other = WebSocket::open_from_with(client, at, "/lan", &[]).expect("a tunnel");
    let own = socket.local_address();
    let own = if shows_port { own.to_string() } else { own.ip().to_string() };
    wait_until("both with their real address", || {
        let ports = switch.ports();
        let real = |port: &&serde_json::Value| {
            port["target"].as_str().is_some_and(|target| target.starts_with("127.0.0.9"))
        };
        ports.iter().filter(real).count() == 2 && ports.iter().any(|port| port["target"] == *own)
    });
    wait_until("the same in the log", || switch.process.stderr.contains(&format!("peer: {own}")));
    socket.send_frame(&frame(255, 1, b"through a proxy"));
    other.expect_frame(&frame(255, 1, b"through a proxy"));
    drop((socket, other));
    wait_until("their end", || switch.ports().is_empty());
}

/// Asked by its socket: nobody at the address of a trusted proxy is local.
fn switch(dir: &TempDir, more: &[&str]) -> Switch {
    let socket = dir.at("control");
    let own = ["--path", "/lan", "--trusted-proxies", "127.0.0.1", "--ctlsock", &socket];
    Switch::start(&[&own, more].concat()).asked_at(format!("unix:{socket}"))
}

/// nginx at `own` with these places.
fn nginx(dir: &TempDir, own: SocketAddr, locations: &str) -> Process {
    let folder = dir.path().display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {folder}/{kind};"))
        .join(" ");
    let text = format!(
        "daemon off; pid {folder}/pid; error_log stderr; events {{}} \
         http {{ access_log off; {temporary} server {{ listen {own};\n{locations}\n}} }}"
    );
    start("nginx", &["-e", "stderr", "-c", &dir.file("nginx.conf", text)], own)
}

#[test]
fn nginx_tells_the_clients_address_and_makes_nobody_local() {
    need!(peers::tool("nginx"));
    let (dir, own) = (TempDir::new(), free_address());
    let switch = switch(&dir, &[]);
    let tunnel = example(TUNNEL, "nginx", own, &switch);
    let control = switch.control;
    let control_too = format!(
        "location /ctl {{ proxy_pass http://{control}; \
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }}\n\
         location = /silent {{ proxy_pass http://{control}/ctl; }}"
    );
    let _nginx = nginx(&dir, own, &format!("{tunnel}\n{control_too}"));
    check(&switch, own, false);
    for path in ["/lan/healthz", "/lan/readyz"] {
        assert_eq!(ask(own, "GET", path, &[], "").status, 200, "{path}");
    }
    assert_eq!(ask(own, "POST", "/ctl", &[], LIST).status, 403);
    let claim = [("X-Forwarded-For", "127.0.0.1")];
    assert_eq!(ask(own, "POST", "/ctl", &claim, LIST).status, 403);
    // Without a header at all, as nginx does unless it is told to.
    assert_eq!(ask(own, "POST", "/silent", &[], LIST).status, 403);
}

#[test]
fn control_under_a_prefix_of_nginx_has_its_page_and_its_streams() {
    need!(peers::tool("nginx"));
    let (dir, own) = (TempDir::new(), free_address());
    let users = dir.file("admins", "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n");
    let name = own.ip().to_string();
    let switch = switch(&dir, &["--ctlhtpasswd", &users, "--ctlname", &name]);
    let _nginx = nginx(&dir, own, &example(CONTROL, "nginx", own, &switch));
    let login = [("Authorization", &*basic("a", "password"))];
    let page = ask(own, "GET", "/switch/", &login, "");
    assert!(page.status == 200 && page.body.contains("page.js"), "{page:?}");
    assert_eq!(ask(own, "GET", "/switch/page.js", &login, "").status, 200);
    assert_eq!(ask(own, "GET", "/switch/", &[], "").status, 401);

    let url = format!("http://{own}/switch/ctl");
    let ctl = |words: &[&str]| {
        let login = ["ctl", "--ctlurl", &url, "--ctluser", "a", "--ctlpasswd", "password"];
        Process::start(command(&Site::here(), &[&login[..], words].concat()))
    };
    let events = ctl(&["monitor"]);
    let mut capture = ctl(&["capture", "-c", "1"]);
    let open = || WebSocket::open(switch.tunnel, "/lan");
    let (mut one, mut two) = (open(), open());
    wait_until("an event", || {
        drop(open());
        events.stdout.contains("port-up")
    });
    wait_until("a frame in the capture", || {
        one.send_frame(&frame(255, 1, b"seen"));
        two.expect_frame(&frame(255, 1, b"seen"));
        capture.exited().is_some()
    });
    assert!(capture.wait_exit().success());
    assert!(capture.stdout.contains("02:00:00:00:00:01"), "{}", capture.stdout.text());
}

#[test]
fn haproxy_tells_the_clients_address_by_the_proxy_protocol() {
    need!(peers::tool("haproxy"));
    for version in ["send-proxy-v2", "send-proxy"] {
        let (dir, own) = (TempDir::new(), free_address());
        let switch = switch(&dir, &["--proxy-protocol"]);
        let text = example(TUNNEL, "haproxy", own, &switch).replace("send-proxy-v2", version);
        let file = dir.file("haproxy.cfg", text);
        let _haproxy = start("haproxy", &["-db", "-f", &file], own);
        check(&switch, own, true);
    }
}

#[test]
fn caddy_tells_the_clients_address() {
    need!(peers::tool("caddy"));
    let (dir, own) = (TempDir::new(), free_address());
    let switch = switch(&dir, &[]);
    let proxy = example(TUNNEL, "caddy", own, &switch);
    let (ip, port) = (own.ip(), own.port());
    let text =
        format!("{{\n admin off\n auto_https off\n}}\nhttp://:{port} {{\nbind {ip}\n{proxy}\n}}\n");
    let _caddy = start(
        "caddy",
        &["run", "--adapter", "caddyfile", "--config", &dir.file("Caddyfile", text)],
        own,
    );
    check(&switch, own, false);
}

#[test]
fn apache_tells_the_clients_address() {
    need!(peers::tool("apache2"));
    let (dir, own) = (TempDir::new(), free_address());
    let switch = switch(&dir, &[]);
    let proxy = example(TUNNEL, "apache", own, &switch);
    let folder = dir.path().display();
    let modules = ["mpm_event", "authz_core", "proxy", "proxy_http"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .concat();
    let text = format!(
        "ServerRoot {folder}\nServerName localhost\nPidFile {folder}/pid\n\
         DefaultRuntimeDir {folder}\nErrorLog /dev/stderr\n{modules}\
         <IfModule unixd_module>\nUser www-data\n</IfModule>\n\
         Listen {own}\n{proxy}\n"
    );
    let file = dir.file("apache.conf", text);
    let _apache = start("apache2", &["-X", "-f", &file], own);
    check(&switch, own, false);
}

//! Behind real reverse proxies: the configurations of docs/proxies.md, each with the tunnel, the
//! client's real address, and control, which nobody reaches as a local client through them.

use std::net::{TcpListener, TcpStream};

use crate::support::{
    TempDir, frame,
    http::ask,
    need, peers,
    process::{Process, Site},
    switch::Switch,
    wait_until,
    ws::WebSocket,
};

const LIST: &str = r#"{"jsonrpc": "2.0", "id": 0, "method": "etherws.control.listPort"}"#;

/// The example for `program` in the document, with the ports of this test.
fn example(program: &str, own: u16, switch: &Switch) -> String {
    let document = include_str!("../../docs/proxies.md");
    let (_, rest) = document.split_once(&format!("```{program}\n")).expect("its example");
    let (example, _) = rest.split_once("```").expect("its end");
    // The fixed port first: the digits of the other may begin with it.
    let example = example.replace(":443", &format!("127.0.0.1:{own}"));
    example.replace("127.0.0.1:8080", &switch.tunnel.to_string())
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    listener.local_addr().expect("bound").port()
}

/// Starts `program` until it listens at `port`.
fn start(program: &str, args: &[&str], port: u16) -> Process {
    let mut command = Site::here().command(program);
    // Where Caddy keeps what it has made.
    let folder = env!("CARGO_TARGET_TMPDIR");
    command.args(args).env("XDG_CONFIG_HOME", folder).env("XDG_DATA_HOME", folder);
    let process = Process::start(command);
    wait_until(program, || TcpStream::connect(("127.0.0.1", port)).is_ok());
    process
}

/// A client behind a proxy at `port` has a tunnel, and is seen as what it is.
fn check(switch: &Switch, port: u16, shows_port: bool) {
    let (at, client) = (([127, 0, 0, 1], port).into(), [127, 0, 0, 9]);
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

#[test]
fn nginx_tells_the_clients_address_and_makes_nobody_local() {
    need!(peers::tool("nginx"));
    let (dir, port) = (TempDir::new(), free_port());
    let switch = switch(&dir, &[]);
    let tunnel = example("nginx", port, &switch);
    let control = switch.control;
    let folder = dir.path().display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("{kind}_temp_path {folder}/{kind};"))
        .join(" ");
    let text = format!(
        "daemon off; pid {folder}/pid; error_log stderr; events {{}} \
         http {{ access_log off; {temporary} server {{ listen 127.0.0.1:{port};\n{tunnel}\n\
         location /ctl {{ proxy_pass http://{control}; \
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }}\n\
         location = /silent {{ proxy_pass http://{control}/ctl; }} }} }}"
    );
    let file = dir.file("nginx.conf", text);
    let _nginx = start("nginx", &["-e", "stderr", "-c", &file], port);
    check(&switch, port, false);
    let at = ([127, 0, 0, 1], port).into();
    for path in ["/lan/healthz", "/lan/readyz"] {
        assert_eq!(ask(at, "GET", path, &[], "").status, 200, "{path}");
    }
    assert_eq!(ask(at, "POST", "/ctl", &[], LIST).status, 403);
    let claim = [("X-Forwarded-For", "127.0.0.1")];
    assert_eq!(ask(at, "POST", "/ctl", &claim, LIST).status, 403);
    // Without a header at all, as nginx does unless it is told to.
    assert_eq!(ask(at, "POST", "/silent", &[], LIST).status, 403);
}

#[test]
fn haproxy_tells_the_clients_address_by_the_proxy_protocol() {
    need!(peers::tool("haproxy"));
    for version in ["send-proxy-v2", "send-proxy"] {
        let (dir, port) = (TempDir::new(), free_port());
        let switch = switch(&dir, &["--proxy-protocol"]);
        let text = example("haproxy", port, &switch).replace("send-proxy-v2", version);
        let file = dir.file("haproxy.cfg", text);
        let _haproxy = start("haproxy", &["-db", "-f", &file], port);
        check(&switch, port, true);
    }
}

#[test]
fn caddy_tells_the_clients_address() {
    need!(peers::tool("caddy"));
    let (dir, port) = (TempDir::new(), free_port());
    let switch = switch(&dir, &[]);
    let proxy = example("caddy", port, &switch);
    let text = format!("{{\n admin off\n auto_https off\n}}\nhttp://:{port} {{\n{proxy}\n}}\n");
    let _caddy = start(
        "caddy",
        &["run", "--adapter", "caddyfile", "--config", &dir.file("Caddyfile", text)],
        port,
    );
    check(&switch, port, false);
}

#[test]
fn apache_tells_the_clients_address() {
    need!(peers::tool("apache2"));
    let (dir, port) = (TempDir::new(), free_port());
    let switch = switch(&dir, &[]);
    let proxy = example("apache", port, &switch);
    let folder = dir.path().display();
    let modules = ["mpm_event", "authz_core", "proxy", "proxy_http"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .concat();
    let text = format!(
        "ServerRoot {folder}\nServerName localhost\nPidFile {folder}/pid\n\
         DefaultRuntimeDir {folder}\nErrorLog /dev/stderr\n{modules}\
         <IfModule unixd_module>\nUser www-data\n</IfModule>\n\
         Listen 127.0.0.1:{port}\n{proxy}\n"
    );
    let file = dir.file("apache.conf", text);
    let _apache = start("apache2", &["-X", "-f", &file], port);
    check(&switch, port, false);
}

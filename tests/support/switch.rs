//! The real binary: `etherws sw` in the foreground as a child process, and
//! `etherws ctl` against it.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    process::{self, Command},
    sync::atomic::{AtomicU8, Ordering},
};

use serde_json::{Value, json};

use super::{
    http,
    process::{Output, Process, Site, run},
    wait_for,
    ws::WebSocket,
};

pub(crate) const ETHERWS: &str = env!("CARGO_BIN_EXE_etherws");

/// `etherws` with arguments, run to its end.
pub(crate) fn etherws<T: AsRef<OsStr>>(args: &[T]) -> Output {
    run(command(&Site::here(), args))
}

/// `etherws` with arguments, at a place.
pub(crate) fn command<T: AsRef<OsStr>>(site: &Site, args: &[T]) -> Command {
    let mut command = site.command(ETHERWS);
    // Not the service, if one runs on this machine.
    command.args(args).env("ETHERWS_CTLURL", "http://127.0.0.1:7867/ctl");
    command
}

/// A switch that runs, and where it listens.
#[derive(Debug)]
pub(crate) struct Switch {
    pub(crate) process: Process,
    pub(crate) site: Site,
    /// Address of the tunnel's listener.
    pub(crate) tunnel: SocketAddr,
    /// Address of control's listener.
    pub(crate) control: SocketAddr,
    /// What `etherws ctl` needs beside the command.
    ctl: Vec<String>,
}

/// Two loopback addresses: with one for both, ports 0 and 0 would be one listener.
const LISTEN: [(&str, &str); 4] =
    [("--host", "127.0.0.1"), ("--port", "0"), ("--ctlhost", "127.0.0.2"), ("--ctlport", "0")];

/// Options for one listener of both services. Port 0 is two: each gets a free one. The address
/// is of this process and this call, so that the port is free.
pub(crate) fn one_listener() -> [&'static str; 8] {
    static COUNT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = process::id().to_be_bytes();
    let address = format!("127.{high}.{low}.{}", COUNT.fetch_add(1, Ordering::Relaxed));
    let address: &str = address.leak();
    ["--host", address, "--ctlhost", address, "--port", "7868", "--ctlport", "7868"]
}

impl Switch {
    /// `etherws sw --foreground` on loopback with `args`; without loop guard, whose
    /// frames would stand between those that a WebSocket by hand waits for.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_at(&Site::here(), &[&["--no-loopguard"], args].concat())
    }

    /// The same with the loop guard.
    pub(crate) fn start_guarded(args: &[&str]) -> Self {
        Self::start_at(&Site::here(), args)
    }

    /// The same somewhere else; listens where `args` says, else on loopback.
    pub(crate) fn start_at(site: &Site, args: &[&str]) -> Self {
        Self::start_with(site, args, &[])
    }

    /// The same with variables in the switch's environment.
    pub(crate) fn start_with(site: &Site, args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = command(site, &["sw", "--foreground"]);
        command.envs(environment.iter().copied());
        for (option, value) in LISTEN {
            // A file says where; an option would win over it.
            if !args.contains(&option) && !args.contains(&"--config") {
                command.args([option, value]);
            }
        }
        command.args(args);
        let mut process = Process::start(command);
        let [tunnel, control] = ["tunnel", "control"]
            .map(|service| wait_for("the listeners", || listening(&mut process, service)));
        let scheme = if args.contains(&"--ctlsslcert") { "https" } else { "http" };
        let path = args.iter().skip_while(|arg| **arg != "--ctlpath").nth(1).unwrap_or(&"/ctl");
        let ctl = vec!["--ctlurl".to_owned(), format!("{scheme}://{control}{path}")];
        Self { process, site: site.clone(), tunnel, control, ctl }
    }

    /// Further options for each `etherws ctl`.
    pub(crate) fn with_ctl(mut self, options: &[&str]) -> Self {
        self.ctl.extend(options.iter().map(|option| (*option).to_owned()));
        self
    }

    /// Has `etherws ctl` ask it at another URL, such as that of its Unix socket.
    pub(crate) fn asked_at(mut self, url: String) -> Self {
        self.ctl[1] = url;
        self
    }

    /// URL of the tunnel.
    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.tunnel)
    }

    /// URL of the tunnel over TLS; the tests' certificates are for `localhost`.
    pub(crate) fn tls_url(&self) -> String {
        format!("wss://localhost:{}/", self.tunnel.port())
    }

    /// URL of control.
    pub(crate) fn control_url(&self) -> &str {
        &self.ctl[1]
    }

    pub(crate) fn ctl_command(&self, args: &[&str]) -> Command {
        let mut command = command(&self.site, &["ctl"]);
        command.args(&self.ctl).args(args);
        command
    }

    /// `etherws ctl` with arguments, run to its end.
    pub(crate) fn ctl(&self, args: &[&str]) -> Output {
        run(self.ctl_command(args))
    }

    /// What a command gives with `--json`; it must succeed.
    pub(crate) fn json(&self, args: &[&str]) -> Vec<Value> {
        let mut all = vec!["--json"];
        all.extend(args);
        match self.ctl(&all).ok().json() {
            Value::Array(entries) => entries,
            other => panic!("no list: {other}"),
        }
    }

    /// The ports, by number.
    pub(crate) fn ports(&self) -> Vec<Value> {
        self.json(&["listport"])
    }

    /// One port; it must be there.
    pub(crate) fn port(&self, number: u64) -> Value {
        let mut ports = self.ports().into_iter();
        ports.find(|port| port["port"] == number).unwrap_or_else(|| panic!("no port {number}"))
    }

    /// Adds a port, which must succeed, and gives its number.
    pub(crate) fn add(&self, args: &[&str]) -> u64 {
        let mut all = vec!["addport"];
        all.extend(args);
        self.json(&all)[0]["port"].as_u64().expect("a number")
    }

    /// Waits until `listport` shows `state` for a port.
    pub(crate) fn wait_state(&self, number: u64, state: &str) {
        wait_for(&format!("port {number} to be {state}"), || {
            (self.port(number)["state"] == state).then_some(())
        });
    }

    /// Opens a WebSocket to the tunnel and waits until it is a port, whose number is
    /// given too.
    pub(crate) fn open(&self) -> (WebSocket, u64) {
        let socket = WebSocket::open(self.tunnel, "/");
        let number = self.number_of(&socket);
        (socket, number)
    }

    /// The number of the port that a WebSocket became.
    pub(crate) fn number_of(&self, socket: &WebSocket) -> u64 {
        let target = socket.local_address().to_string();
        wait_for("the port of a WebSocket", || {
            let ports = self.ports();
            let port = ports.iter().find(|port| port["target"] == *target)?;
            port["port"].as_u64()
        })
    }

    /// Asks control by JSON-RPC without `etherws ctl` between, and gives the whole
    /// reply.
    pub(crate) fn rpc(&self, method: &str, params: &Value) -> Value {
        let method = format!("etherws.control.{method}");
        let body = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        http::ask(self.control, "POST", "/ctl", &[], &body.to_string()).json()
    }
}

/// Where a service listens, as the log says; both may share one listener.
fn listening(process: &mut Process, service: &str) -> Option<SocketAddr> {
    let found = process.stderr.find(|line| {
        let services = field(line, "service")?;
        if !services.split('+').any(|one| one == service) {
            return None;
        }
        field(line, "address")?.parse().ok()
    });
    if found.is_none() {
        let status = process.exited();
        assert!(status.is_none(), "etherws sw ended: {status:?}\n{}", process.stderr.text());
    }
    found
}

/// The value of `key` in a line of the log.
pub(crate) fn field<'a>(line: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(&format!("{key}: "))?;
    rest.split([',', ' ']).next()
}

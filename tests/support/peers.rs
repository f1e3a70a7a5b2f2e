//! Programs that are not ours. Those in Python stand in `tests/peers/` and run in the
//! virtual environment that `make peers` fills.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::{
    hex,
    process::{Process, Site},
    unhex,
};

/// Checks that a program is installed.
pub(crate) fn tool(name: &str) -> Result<(), String> {
    // Where Debian keeps the tools of the administrator, whatever PATH says.
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).chain(more).any(|dir| dir.join(name).is_file());
    if found { Ok(()) } else { Err(format!("{name} is not installed")) }
}

/// Path of a script in `tests/peers/`.
pub(crate) fn script(name: &str) -> String {
    format!("{}/tests/peers/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The Python that has the peers' packages.
pub(crate) fn python() -> Result<String, String> {
    let python = concat!(env!("CARGO_TARGET_TMPDIR"), "/../peers/bin/python");
    if Path::new(python).exists() {
        Ok(python.to_owned())
    } else {
        Err("no Python with the foreign programs; run `make peers`".to_owned())
    }
}

/// Starts a script of `tests/peers/`.
pub(crate) fn start(site: &Site, name: &str, args: &[&str]) -> Result<Process, String> {
    let mut command = site.command(python()?);
    command.arg("-u").arg(script(name)).args(args);
    Ok(Process::start(command))
}

/// A WebSocket library of somebody else: takes and gives frames.
#[derive(Debug)]
pub(crate) struct Peer {
    process: Process,
    /// Events that were read but not asked for yet.
    seen: VecDeque<Value>,
}

impl Peer {
    /// A client of `library`, `websockets` or `websocket-client`, that has connected.
    pub(crate) fn client(library: &str, url: &str, more: &[&str]) -> Result<Self, String> {
        let mut peer = Self::launch(&Site::here(), &[&["client", library, url], more].concat())?;
        peer.expect("open");
        Ok(peer)
    }

    /// The same, which need not get its connection.
    pub(crate) fn launch(site: &Site, args: &[&str]) -> Result<Self, String> {
        Ok(Self { process: start(site, "ws_peer.py", args)?, seen: VecDeque::new() })
    }

    /// A server of `websockets` on a free port of 127.0.0.1, and the port.
    pub(crate) fn server(more: &[&str]) -> Result<(Self, u16), String> {
        let args = [&["server", "websockets"], more].concat();
        let mut peer = Self::launch(&Site::here(), &args)?;
        let port = peer.expect("listening")["port"].as_u64().expect("a port");
        Ok((peer, port.try_into().expect("a port's number")))
    }

    pub(crate) fn send(&mut self, frame: &[u8]) {
        self.process.tell(&format!("send {}", hex(frame)));
    }

    /// Gives the peer a command of its own: `close`, `ping`, `text` …
    pub(crate) fn tell(&mut self, line: &str) {
        self.process.tell(line);
    }

    /// Waits for the next event of a kind; others stay for later.
    pub(crate) fn expect(&mut self, kind: &str) -> Value {
        if let Some(at) = self.seen.iter().position(|event| event["event"] == kind) {
            return self.seen.remove(at).expect("just found");
        }
        loop {
            let line = self.process.stdout.next(&format!("{kind} at a Python peer"));
            let event: Value = serde_json::from_str(&line).expect("an event");
            if event["event"] == kind {
                return event;
            }
            self.seen.push_back(event);
        }
    }

    /// Asserts that the next frame is this one.
    pub(crate) fn expect_frame(&mut self, frame: &[u8]) {
        let event = self.expect("frame");
        let octets = unhex(event["hex"].as_str().expect("octets"));
        assert_eq!(octets, frame);
    }
}

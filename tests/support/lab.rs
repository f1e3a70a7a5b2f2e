//! Network namespaces without root: a holder process has a user and a PID namespace,
//! further holders in it have a network each. They end when this process does, as
//! their standard input closes, and everything inside ends with them.

use std::{path::Path, process::Command, rc::Rc};

use super::process::{Output, Process, Site, run};

/// Prints the shell's own PID as the machine sees it, then waits for the end of
/// standard input. `$$` would be the number inside the PID namespace.
const HOLD: &str = "read -r pid rest </proc/self/stat; echo $pid; exec cat";

/// A network of its own.
#[derive(Debug, Clone)]
pub(crate) struct Namespace {
    /// For programs that a test starts and ends.
    pub(crate) site: Site,
    /// For daemons: they end with the PID namespace.
    pub(crate) daemons: Site,
    holder: Rc<Holder>,
    lab: Rc<Holder>,
}

#[derive(Debug)]
struct Holder {
    _process: Process,
    pid: String,
}

impl Holder {
    fn start(command: Command) -> Result<Self, String> {
        let mut process = Process::start(command);
        let pid = super::wait_for("the holder of a namespace", || {
            // First the exit: what it has said before is then complete.
            let exited = process.exited().is_some();
            let said = process.stdout.find(|line| Some(Ok(line.to_owned())));
            said.or_else(|| exited.then(|| Err(process.stderr.text())))
        })?;
        Ok(Self { _process: process, pid })
    }
}

impl Namespace {
    /// A namespace with nothing but loopback, which is up.
    pub(crate) fn new() -> Result<Self, String> {
        let mut unshare = Site::here().command("unshare");
        unshare.args(["-Urpf", "--kill-child", "sh", "-c", HOLD]);
        let lab = Holder::start(unshare)
            .map_err(|cause| format!("user namespaces are not allowed here: {cause}"))?;
        Self::inside(Rc::new(lab))
    }

    /// One more network in the same user namespace.
    pub(crate) fn sibling(&self) -> Self {
        Self::inside(Rc::clone(&self.lab)).expect("the first one could be made")
    }

    fn inside(lab: Rc<Holder>) -> Result<Self, String> {
        let user = ["nsenter", "-t", &lab.pid, "-U", "--preserve-credentials"].map(str::to_owned);
        let mut unshare = Site::behind(&user).command("unshare");
        unshare.args(["-n", "sh", "-c", HOLD]);
        let holder = Holder::start(unshare)?;
        let net = format!("--net=/proc/{}/ns/net", holder.pid);
        let [site, daemons] = [None, Some("-p".to_owned())]
            .map(|more| Site::behind(user.iter().cloned().chain([net.clone()]).chain(more)));
        let namespace = Self { site, daemons, holder: Rc::new(holder), lab };
        namespace.ip("link set lo up");
        Ok(namespace)
    }

    /// Two namespaces joined by a cable from `eth0` to `eth0`, with the addresses
    /// 192.0.2.1/24 and 192.0.2.2/24, in which TAP devices can be made.
    pub(crate) fn pair() -> Result<(Self, Self), String> {
        let left = Self::new()?;
        left.can_make_taps()?;
        let right = left.sibling();
        left.cable("eth0", &right, "eth0");
        left.ip("addr add 192.0.2.1/24 dev eth0");
        right.ip("addr add 192.0.2.2/24 dev eth0");
        Ok((left, right))
    }

    /// Whether a TAP device can be made: in some containers it cannot.
    pub(crate) fn can_make_taps(&self) -> Result<(), String> {
        if !Path::new("/dev/net/tun").exists() {
            return Err("there is no /dev/net/tun; load the module tun".to_owned());
        }
        let made = self.run("ip", &["tuntap", "add", "dev", "probe", "mode", "tap"]);
        if made.code != Some(0) {
            return Err(format!("TAP devices are not allowed here: {}", made.stderr.trim()));
        }
        self.ip("link del probe");
        Ok(())
    }

    /// Joins two namespaces by a pair of veth devices, both up.
    pub(crate) fn cable(&self, here: &str, other: &Self, there: &str) {
        let pid = &other.holder.pid;
        self.ip(&format!("link add name {here} type veth peer name {there} netns {pid}"));
        self.ip(&format!("link set {here} up"));
        other.ip(&format!("link set {there} up"));
    }

    /// What makes `nsenter` enter this network alone.
    pub(crate) fn net_argument(&self) -> String {
        format!("--net=/proc/{}/ns/net", self.holder.pid)
    }

    /// Runs `ip` with the words of `words`, which must succeed.
    pub(crate) fn ip(&self, words: &str) -> String {
        let words: Vec<_> = words.split_whitespace().collect();
        self.run("ip", &words).ok().stdout
    }

    /// Runs a program to its end.
    pub(crate) fn run(&self, program: &str, args: &[&str]) -> Output {
        let mut command = self.site.command(program);
        command.args(args);
        run(command)
    }

    /// Starts a program that goes on.
    pub(crate) fn start(&self, program: &str, args: &[&str]) -> Process {
        let mut command = self.site.command(program);
        command.args(args);
        Process::start(command)
    }

    /// Takes a device over from `other`.
    pub(crate) fn take(&self, other: &Self, device: &str) {
        other.ip(&format!("link set {device} netns {}", self.holder.pid));
    }

    pub(crate) fn has_link(&self, name: &str) -> bool {
        self.run("ip", &["link", "show", "dev", name]).code == Some(0)
    }

    /// Pings `to` once with `octets` of data, and gives whether an answer came.
    pub(crate) fn pings(&self, to: &str, octets: u16) -> bool {
        let size = octets.to_string();
        self.run("ping", &["-n", "-c", "1", "-W", "2", "-s", &size, to]).code == Some(0)
    }
}

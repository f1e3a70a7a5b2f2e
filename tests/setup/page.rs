//! docs/first-network.md, typed as it stands there: each machine has a network, and files of its
//! own in the places that the page names.

use std::{collections::HashMap, time::Instant};

use super::link_in;
use crate::support::{
    TempDir, lab::Namespace, need, peers::tool, process::Process, switch::ETHERWS, wait_within,
};

const PAGE: &str = include_str!("../../docs/first-network.md");

/// Longest time for one command.
const LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

/// A shell on a machine, which goes on as long as the machine.
struct Machine {
    shell: Process,
    count: usize,
}

impl Machine {
    /// In this network, with `/etc` and `/run` of its own.
    fn new(network: &Namespace, folder: &str) -> Result<Self, String> {
        let script = format!(
            "set -e; mkdir -p {folder}/upper {folder}/work {folder}/bin {folder}/home; \
             ln -sf {ETHERWS} {folder}/bin/etherws; \
             mount -t overlay -o lowerdir=/etc,upperdir={folder}/upper,workdir={folder}/work overlay /etc; \
             mount -t tmpfs tmpfs /run; cd {folder}/home; \
             PATH={folder}/bin:$PATH; export PATH; exec sh"
        );
        let mut command = network.daemons.command("unshare");
        command.args(["-m", "sh", "-c", &script]);
        command.env_remove("ETHERWS_CTLURL");
        let mut machine = Self { shell: Process::start(command), count: 0 };
        machine.shell.tell("echo ready");
        let found = wait_within(LIMIT, "the shell", || {
            let ready = machine.shell.stdout.contains("ready").then_some(Ok(()));
            let why = machine.shell.exited().map(|_| Err(machine.shell.stderr.text()));
            ready.or(why)
        });
        found.map(|()| machine)
    }

    /// Types a line, and gives its exit status and what it has printed.
    fn types(&mut self, line: &str) -> (i32, String) {
        self.count += 1;
        let end = format!("== {} ", self.count);
        let before = self.shell.stdout.text().len();
        self.shell.tell(line);
        self.shell.tell(&format!("echo '{end}'$?"));
        let status = wait_within(LIMIT, line, || {
            self.shell.stdout.find(|said| said.strip_prefix(&*end).map(str::to_owned))
        });
        (status.parse().unwrap(), self.shell.stdout.text()[before..].to_owned())
    }
}

/// Machine, whether the command is to fail, the command, and the lines that it is to print.
type Typed = (&'static str, bool, &'static str, Vec<&'static str>);

/// The commands of the page, each with the machine that it is typed on, whether it is to fail, and
/// the lines that it is to print.
fn commands() -> Vec<Typed> {
    let blocks = PAGE.split("```").skip(1).step_by(2);
    let mut all: Vec<Typed> = Vec::new();
    for line in blocks.filter_map(|block| block.strip_prefix("console\n")).flat_map(str::lines) {
        let typed = [("# ", false), ("! ", true)].into_iter().find_map(|(prompt, fails)| {
            let (machine, command) = line.split_once(prompt)?;
            let is_name = !machine.is_empty() && machine.chars().all(|c| c.is_ascii_lowercase());
            is_name.then_some((machine, fails, command))
        });
        match (typed, all.last_mut()) {
            (Some((machine, fails, command)), _) => all.push((machine, fails, command, Vec::new())),
            (None, Some((.., printed))) => printed.push(line),
            (None, None) => panic!("{line} before any command"),
        }
    }
    all
}

/// Whether a line was printed: dates, and what stands for a link, are other ones.
fn is_printed(wanted: &str, said: &str) -> bool {
    let plain = |text: &str| -> String {
        text.chars()
            .map(|c| if c.is_ascii_digit() { '0' } else { c })
            .collect::<String>()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    let wanted = wanted.split("...").map(plain).next().unwrap_or_default();
    said.lines().any(|line| plain(line).contains(&wanted))
}

#[test]
fn the_first_network_is_built_as_the_page_says() {
    for program in ["curl", "python3", "ping"] {
        need!(tool(program));
    }
    let (hub, laptop) = need!(Namespace::pair());
    // A third one on the same cable: a bridge at the hub.
    let desktop = hub.sibling();
    for (namespace, name) in [(&laptop, "to-laptop"), (&desktop, "to-desktop")] {
        if name == "to-desktop" {
            hub.cable(name, namespace, "eth0");
        }
    }
    hub.ip("link add br0 type bridge");
    hub.ip("addr flush dev eth0");
    for port in ["eth0", "to-desktop"] {
        hub.ip(&format!("link set {port} master br0"));
    }
    hub.ip("link set br0 up");
    hub.ip("addr add 192.0.2.1/24 dev br0");
    desktop.ip("addr add 192.0.2.3/24 dev eth0");

    let dir = TempDir::new();
    let mut machines = HashMap::new();
    for (name, network) in [("hub", &hub), ("laptop", &laptop), ("desktop", &desktop)] {
        let folder = dir.at(name);
        std::fs::create_dir_all(&folder).unwrap();
        machines.insert(name, need!(Machine::new(network, &folder)));
    }
    let all = commands();
    let started = Instant::now();
    let (mut link, mut pinged) = (String::new(), None);
    for (name, fails, command, wanted) in &all {
        let machine = machines.get_mut(name).unwrap_or_else(|| panic!("no machine {name}"));
        let typed = command.replace("LINK", &link);
        // The tunnel is opened in the background: the first ping may come before it.
        let tries = command.starts_with("ping") && !fails;
        let (status, said) = wait_within(LIMIT, &typed, || {
            let done = machine.types(&typed);
            (!tries || done.0 == 0).then_some(done)
        });
        assert_eq!(status != 0, *fails, "{name}: {typed}: {said}");
        for line in wanted {
            assert!(
                line.trim().is_empty() || is_printed(line, &said),
                "{name}: {typed}: {line:?} in {said}"
            );
        }
        if said.contains("etherws join 'https") {
            link = link_in(&said);
        }
        if command.starts_with("ping") {
            pinged.get_or_insert_with(|| started.elapsed());
        }
    }
    println!("from nothing to ping in {:?}, all of it in {:?}", pinged.unwrap(), started.elapsed());
    let until_ping = all.iter().position(|(_, _, command, _)| command.starts_with("ping"));
    assert_eq!(until_ping, Some(4), "four commands");
}

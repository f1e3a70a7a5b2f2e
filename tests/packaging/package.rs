//! The Debian package, and the service that it installs: the README's "first secure
//! tunnel" as it is typed there, on machines with a systemd of their own.

mod operated;

use std::{fs, net::IpAddr, path::Path};

use serde_json::Value;

use super::{
    machine::{Disks, Machine},
    portable,
};
use crate::{
    documents::{has, links},
    support::{
        LIMIT, TempDir,
        lab::Namespace,
        need,
        peers::tool,
        process::{Site, run, run_within},
        switch::ETHERWS,
        wait_within,
    },
};

/// Builds a package of this version with the binary that is tested, and gives its octets.
/// As `make deb` does it, but for what takes its time there: a release build, and xz.
fn build(dir: &TempDir, version: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let command = |program: &str, args: &[&str]| {
        let mut command = Site::here().command(program);
        command.current_dir(root).args(args).env("CARGO_TARGET_DIR", dir.path());
        run_within(6 * LIMIT, command, b"").ok()
    };
    let binary = dir.at("release/etherws");
    fs::create_dir_all(dir.at("release")).unwrap();
    if !fs::exists(&binary).unwrap() {
        command("strip", &["-o", &binary, ETHERWS]);
        command(ETHERWS, &["manual", &dir.at("release/manual")]);
        command("make", &["-s", "notices"]);
        command("sh", &["-c", "gzip -9n \"$0\"/man?/*", &dir.at("release/manual")]);
    }
    let package = dir.at("etherws.deb");
    let options = ["--no-build", "--no-strip", "--fast", "--offline", "--locked"];
    command("cargo-deb", &[&options[..], &["--deb-version", version, "-o", &package]].concat());
    fs::read(package).unwrap()
}

fn can_build() -> Result<(), String> {
    ["cargo-deb", "dpkg-deb", "make", "python3", "strip"].into_iter().try_for_each(tool)
}

#[test]
fn the_package_keeps_to_debians_rules() {
    need!(can_build());
    need!(tool("lintian"));
    let dir = TempDir::new();
    build(&dir, "2.0.0~dev-1");
    let mut lintian = Site::here().command("lintian");
    lintian.args(["--fail-on=error,warning", "--allow-root"]).arg(dir.at("etherws.deb"));
    run_within(6 * LIMIT, lintian, b"").ok();

    // It has the licenses of all that is in the program.
    let mut unpack = Site::here().command("dpkg-deb");
    unpack.arg("-x").args([dir.at("etherws.deb"), dir.at("unpacked")]);
    run(unpack).ok();
    let root = dir.at("unpacked/usr/share/doc/etherws");
    let notices = fs::read_to_string(format!("{root}/THIRD-PARTY")).unwrap();
    for name in ["\naws-lc-sys ", "\nrustls ", "\ntokio ", "\nuPlot ", "Copyright (c)"] {
        assert!(notices.contains(name), "{name}");
    }
    // Its documents link to nothing that it does not have.
    let mut followed = 0;
    for folder in [root.clone(), format!("{root}/docs")] {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        for document in entries.filter(|path| path.extension().is_some_and(|it| it == "md")) {
            for (file, anchor) in links(&fs::read_to_string(&document).unwrap()) {
                let there = document.with_file_name(&file);
                let there = if file.is_empty() { &document } else { &there };
                let leads = there.exists()
                    && (anchor.is_empty() || has(&fs::read_to_string(there).unwrap(), &anchor));
                assert!(leads, "{}: {file}#{anchor}", document.display());
                followed += 1;
            }
        }
    }
    assert!(followed > 100, "{followed}");
}

/// Two machines on one cable, 192.0.2.1 and 192.0.2.2, that run; or with what else `prepare`
/// gives their networks.
fn machines(prepare: impl Fn(&Namespace, &Namespace)) -> Result<(Machine, Machine), String> {
    let disks = Disks::new()?;
    let (left, right) = Namespace::pair()?;
    prepare(&left, &right);
    let mut left = Machine::new("left", &disks, &left)?;
    let mut right = Machine::new("right", &disks, &right)?;
    left.boot()?;
    right.boot()?;
    Ok((left, right))
}

/// Installs the package as the README does.
fn install(machine: &Machine, package: &[u8]) {
    machine.write("/root/package.deb", package);
    machine.run(&["apt-get", "install", "-y", "/root/package.deb"]).ok();
}

const TUNNELS: &str = include_str!("../../docs/tunnels.md");
const INSTALL: &str = include_str!("../../docs/install.md");

/// The configuration that the package brings.
const FILE: &str = "/etc/etherws/etherws.toml";

/// The blocks of this language in a section of a document.
fn blocks<'a>(document: &'a str, section: &str, language: &str) -> Vec<&'a str> {
    let (_, section) = document.split_once(section).unwrap();
    let (section, _) = section.split_once("\n##").unwrap_or((section, ""));
    let blocks = section.split("```").skip(1).step_by(2);
    blocks.filter_map(|block| block.strip_prefix(language)).collect()
}

/// Types a block as root, with the password where it is asked for.
fn typed(machine: &Machine, block: &str) {
    let asks = |line: &str| {
        let (before, asked) = line.split_once("systemd-ask-password \"")?;
        Some(format!("{before}echo top-secret{}\n", asked.split_once('"')?.1))
    };
    let block: String =
        block.lines().map(|line| asks(line).unwrap_or_else(|| format!("{line}\n"))).collect();
    let block =
        block.replace("sudo ", "").replace("etherws passwd", "echo top-secret | etherws passwd");
    machine.run(&["sh", "-ec", &block]).ok();
}

fn edit(machine: &Machine, old: &str, new: &str) {
    let text = machine.run(&["cat", FILE]).ok().stdout;
    assert!(text.contains(old), "{old:?} in {text}");
    machine.write(FILE, text.replacen(old, new, 1).as_bytes());
}

fn ports(machine: &Machine) -> Value {
    machine.run(&["etherws", "ctl", "--json", "listport"]).ok().json()
}

fn pings(machine: &Machine, address: &str) -> bool {
    machine.run(&["ping", "-n", "-c", "1", "-W", "1", address]).code == Some(0)
}

/// A property of the service, as systemd has it.
fn property(machine: &Machine, name: &str) -> String {
    let output = machine.run(&["systemctl", "show", "--value", "-p", name, "etherws"]);
    output.ok().stdout.trim().to_owned()
}

/// Does what the page says of a tunnel with a password, with the `server` at this address.
fn do_as_the_page_says(left: &Machine, right: &Machine, server: IpAddr) {
    let in_page = |language| blocks(TUNNELS, "## A tunnel with a password\n", language);
    let (shell, toml) = (in_page("sh"), in_page("toml"));
    let ([make, copy, start, doctor], [of_server, of_client]) = (&shell[..], &toml[..]) else {
        panic!("the section has other blocks");
    };
    let address = server.to_string();
    let host = if server.is_ipv6() { format!("[{address}]") } else { address.clone() };
    typed(left, &make.replace("192.0.2.1", &address));
    left.write(FILE, of_server.as_bytes());
    let certificate = left.run(&["cat", "/etc/etherws/tunnel.crt"]).ok().stdout;
    right.write("/etc/etherws/tunnel.crt", certificate.as_bytes());
    typed(right, copy);
    right.write(FILE, of_client.replace("192.0.2.1", &host).as_bytes());
    for machine in [left, right] {
        // It returns when the service is ready: at once and at the first attempt.
        typed(machine, start);
        assert_eq!(ports(machine)[0]["target"], "ethws0");
    }
    joined(left, right);
    typed(right, doctor);
}

/// Waits until two machines reach each other through the tunnel.
fn joined(left: &Machine, right: &Machine) {
    // Both ask each time: who has a new TAP tells the other one its address so. And a client port
    // may wait half a minute for its next attempt.
    let pinged = || (pings(left, "198.51.100.2") & pings(right, "198.51.100.1")).then_some(());
    wait_within(3 * LIMIT, "the tunnel", pinged);
}

#[test]
fn the_page_holds_where_there_is_only_ipv6() {
    need!(can_build());
    let (left, right) = need!(machines(|left, right| {
        for (end, address) in [(left, "2001:db8::1/64"), (right, "2001:db8::2/64")] {
            end.ip("-4 addr flush dev eth0");
            end.ip(&format!("addr add {address} dev eth0 nodad"));
        }
    }));
    let package = build(&TempDir::new(), "2.0.0~dev-1");
    for machine in [&left, &right] {
        install(machine, &package);
    }
    do_as_the_page_says(&left, &right, "2001:db8::1".parse().unwrap());
    let session = &ports(&left)[1];
    assert!(session["target"].as_str().unwrap().starts_with("[2001:db8::2]:"), "{session}");
    // One listener is there for both versions of IP.
    let both = "for address in 127.0.0.1 ::1; do exec 3<>/dev/tcp/$address/443; done";
    left.run(&["bash", "-ec", both]).ok();
}

#[test]
fn a_tunnel_between_two_hosts_survives_reboots_upgrades_and_is_purged() {
    need!(can_build());
    let (mut left, mut right) = need!(machines(|_, _| ()));
    let dir = TempDir::new();
    let package = build(&dir, "2.0.0~dev-1");
    for machine in [&left, &right] {
        install(machine, &package);
        assert_eq!(property(machine, "ActiveState"), "inactive", "nobody has asked for it");
    }
    do_as_the_page_says(&left, &right, "192.0.2.1".parse().unwrap());
    // Told now and then, and not at each change.
    let told = || property(&right, "StatusText") == "2 ports, 2 up; 0 sessions";
    wait_within(LIMIT, "the status", || told().then_some(()));

    // It may do no more than it needs, and that is enough.
    let pid = property(&right, "MainPID");
    let status = right.run(&["cat", &format!("/proc/{pid}/status")]).ok().stdout;
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1", "CapBnd:\t0000000000003400"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    right.run(&["ip", "link", "add", "veth0", "type", "veth", "peer", "name", "veth1"]).ok();
    right.run(&["etherws", "ctl", "addport", "netdev", "veth0"]).ok();
    right.run(&["etherws", "ctl", "setif", "--mtu", "1400", "1"]).ok();
    right.run(&["systemctl", "reload", "etherws"]).ok();
    assert_eq!(property(&right, "MainPID"), pid);

    // A password that only root and the running service may read.
    // The service may not make one: of this folder it may write its configuration alone.
    let passwd = "echo secret | runuser -u etherws -- etherws passwd /etc/etherws/others alice";
    left.run(&["sh", "-c", passwd]).failed();
    right.run(&["runuser", "-u", "etherws", "--", "touch", "/etc/etherws/x"]).failed();
    right.run(&["etherws", "ctl", "setport", "1", "--max-macs", "77"]).ok();
    right.run(&["etherws", "ctl", "save"]).ok();
    assert!(right.run(&["cat", FILE]).ok().stdout.contains("max-macs = 77"));
    // What root may read and the service may not is a fault.
    right.run(&["chmod", "600", "/etc/etherws/branch.password"]).ok();
    let checked = right.run(&["etherws", "check", FILE]).failed();
    assert!(checked.stderr.contains("branch.password"), "{checked:?}");
    right.run(&["chmod", "640", "/etc/etherws/branch.password"]).ok();
    edit(&right, "\"branch.password\"", "\"tunnel\"");
    right.write("/root/tunnel.password", b"top-secret\n");
    right.run(&["mkdir", "/etc/systemd/system/etherws.service.d"]).ok();
    let credential = b"[Service]\nLoadCredential=tunnel:/root/tunnel.password\n";
    right.write("/etc/systemd/system/etherws.service.d/override.conf", credential);
    right.run(&["systemctl", "daemon-reload"]).ok();
    right.run(&["systemctl", "restart", "etherws"]).ok();
    joined(&left, &right);
    // With a credential in use, it can be reloaded.
    right.run(&["systemctl", "reload", "etherws"]).ok();
    let sessions = left.run(&["etherws", "ctl", "--json", "listport"]).ok().json();
    assert_eq!(sessions[1]["user"], "branch", "{sessions}");

    // systemd holds the sockets: control for its group, and the tunnel's, over a restart.
    let socket = "/etc/systemd/system/etherws.socket.d";
    left.run(&["mkdir", socket]).ok();
    let tunnels = "### Let systemd listen for tunnels\n";
    let [override_] = blocks(INSTALL, tunnels, "ini")[..] else { panic!("one override") };
    left.write(&format!("{socket}/override.conf"), override_.as_bytes());
    left.run(&["systemctl", "daemon-reload"]).ok();
    left.run(&["useradd", "alice"]).ok();
    for section in ["### Who may control the service\n", tunnels] {
        let [units] = blocks(INSTALL, section, "sh")[..] else { panic!("one block of commands") };
        typed(&left, units);
    }
    left.run(&["runuser", "-u", "alice", "--", "etherws", "ctl", "listport"]).ok();
    left.run(&["runuser", "-u", "alice", "--", "cat", "/etc/etherws/tunnel.key"]).failed();
    left.run(&["systemctl", "restart", "etherws"]).ok();
    joined(&left, &right);

    // One after the other, by power cut and in good order.
    right.cut();
    need!(right.boot());
    joined(&left, &right);
    left.shut_down();
    need!(left.boot());
    joined(&left, &right);

    // A newer version replaces it and leaves the configuration alone.
    let newer = build(&dir, "2.0.0-1");
    let pid = property(&right, "MainPID");
    let configuration = |machine: &Machine| machine.run(&["cat", FILE]).ok().stdout;
    let before = configuration(&right);
    install(&right, &newer);
    assert_ne!(property(&right, "MainPID"), pid);
    assert!(before.contains("wss://192.0.2.1/") && configuration(&right) == before);
    joined(&left, &right);

    // So it does with both sockets on, and one start that fails is not the last.
    install(&left, &newer);
    for unit in ["etherws.service", "etherws.socket", "etherws-control.socket"] {
        left.run(&["systemctl", "is-active", unit]).ok();
    }
    left.run(&["runuser", "-u", "alice", "--", "etherws", "ctl", "status"]).ok();
    joined(&left, &right);
    let text = right.run(&["cat", FILE]).ok().stdout;
    right.write(FILE, b"[switch]\nnonsense = 1\n");
    right.run(&["systemctl", "restart", "etherws"]).failed();
    wait_within(LIMIT, "the end", || (property(&right, "ActiveState") == "failed").then_some(()));
    assert_eq!(property(&right, "ExecMainStatus"), "78");
    right.write(FILE, text.as_bytes());
    right.run(&["systemctl", "start", "etherws"]).ok();
    joined(&left, &right);

    // What its owner has put elsewhere is not the package's.
    right.run(&["rm", "-r", "/etc/systemd/system/etherws.service.d"]).ok();
    right.run(&["apt-get", "purge", "-y", "etherws"]).ok();
    assert_eq!(right.written("*etherws*"), "");
    for (database, name) in
        [("passwd", "etherws"), ("group", "etherws"), ("group", "etherws-control")]
    {
        assert_eq!(right.run(&["getent", database, name]).stdout, "");
    }
}

/// Two commands on two machines that have the package: the service does the rest.
#[test]
fn two_commands_join_two_installed_services() {
    need!(can_build());
    let (left, right) = need!(machines(|_, _| ()));
    let package = build(&TempDir::new(), "2.0.0~dev-1");
    for machine in [&left, &right] {
        install(machine, &package);
    }
    let said = left.run(&["etherws", "init", "--name", "homelab"]).ok().stdout;
    assert!(said.contains("The hub runs."), "{said}");
    let link = said.split('\'').nth(1).expect("a link in quotes");
    let said = right.run(&["etherws", "join", link]).ok().stdout;
    assert!(said.contains("homelab (10.99.0.1) answers: "), "{said}");
    assert_eq!(property(&right, "ActiveState"), "active");
    assert!(pings(&left, "10.99.0.2"));
    // The service renews its own files, and nobody else reads them.
    for (machine, folder) in [(&left, "hub"), (&right, "lan-192.0.2.1")] {
        let folder = format!("/etc/etherws/{folder}");
        let found = machine.run(&["stat", "-c", "%U %a", &folder]).ok().stdout;
        assert!(["etherws 700", "etherws 2700"].contains(&found.trim()), "{found}");
        machine.run(&["etherws", "check", FILE]).ok();
    }
    let link = left.run(&["etherws", "invite", "other", "--json"]).ok().json();
    assert!(link[0]["link"].as_str().unwrap().starts_with("https://192.0.2.1/#"), "{link}");
    left.run(&["etherws", "users", "revoke", "member-1"]).ok();
    let gone = || (!pings(&right, "10.99.0.1")).then_some(());
    wait_within(LIMIT, "the end of the tunnel", gone);
    let said = right.run(&["etherws", "leave"]).ok();
    assert!(said.stdout.contains("The tunnel is removed from"), "{said:?}");
    assert_eq!(property(&right, "ActiveState"), "inactive");
}

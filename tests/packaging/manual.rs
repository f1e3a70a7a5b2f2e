//! Man pages and completions that the program writes of itself.

use std::{env, fs, path::Path};

use crate::support::{
    TempDir, need,
    peers::tool,
    process::{Site, run},
    switch::{Switch, etherws},
};

#[test]
fn each_command_has_a_page_without_mistakes() {
    let dir = TempDir::new();
    etherws(&["manual", &dir.at("manual")]).ok();
    let folders =
        ["manual/man1", "manual/man5"].map(|folder| fs::read_dir(dir.at(folder)).unwrap());
    let pages = folders.into_iter().flatten().flatten();
    let pages: Vec<_> = pages.map(|page| page.path()).collect();
    for page in ["etherws", "etherws-sw", "etherws-ctl-addport-client", "etherws-passwd"] {
        assert!(pages.iter().any(|path| path.ends_with(format!("{page}.1"))), "{pages:?}");
    }
    assert!(pages.iter().any(|path| path.ends_with("etherws.toml.5")), "{pages:?}");
    need!(tool("man"));
    for page in pages {
        let mut man = Site::here().command("man");
        man.args(["--warnings", "-E", "UTF-8", "-Tutf8", "-l"]).arg(&page);
        man.env("LC_ALL", "C.UTF-8").env("MANROFFSEQ", "").env("MANWIDTH", "80");
        let output = run(man).ok();
        assert_eq!(output.stderr, "", "{}", page.display());
        assert!(!output.stdout.is_empty(), "{}", page.display());
    }
}

/// What bash offers at the end of a line.
fn completed(words: &[&str], url: &str) -> String {
    let script = "eval \"$(etherws completions bash)\"; COMP_WORDS=(\"$@\"); \
                  COMP_CWORD=$(($# - 1)); _clap_complete_etherws etherws \"${@: -1}\"; \
                  echo \"${COMPREPLY[@]}\"";
    let mut bash = Site::here().command("bash");
    let program = Path::new(env!("CARGO_BIN_EXE_etherws")).parent().unwrap();
    let path = format!("{}:{}", program.display(), env::var("PATH").unwrap());
    bash.args(["-c", script, "bash"]).args(words).env("PATH", path).env("ETHERWS_CTLURL", url);
    run(bash).ok().stdout
}

#[test]
fn a_shell_completes_commands_options_ports_users_and_devices() {
    need!(tool("bash"));
    let switch = Switch::start(&["--host", "127.0.0.1"]);
    let (_socket, port) = switch.open();
    let port = port.to_string();
    switch.ctl(&["setport", "--name", "uplink", &port]).ok();
    let dir = TempDir::new();
    let users = dir.file("users", "alice:x\nbob:x\n");
    for (words, expected) in [
        (&["etherws", ""][..], "passwd"),
        (&["etherws", "ctl", "list"], "listport"),
        (&["etherws", "ctl", "addport", "client", "--ca"], "--cacerts"),
        (&["etherws", "ctl", "delport", ""], &port),
        (&["etherws", "ctl", "delport", ""], "uplink"),
        (&["etherws", "ctl", "capture", "up"], "uplink"),
        (&["etherws", "ctl", "listfdb", "--port", ""], "uplink"),
        (&["etherws", "ctl", "addport", "netdev", ""], "lo"),
        (&["etherws", "passwd", &users, "b"], "bob"),
        (&["etherws", "ctl", "setport", &port, "--stp-edge", ""], "auto"),
        (&["etherws", "ctl", "setport", &port, "--lldp-status", "rx-"], "rx-only"),
        (&["etherws", "ctl", "setport", &port, "--neigh-suppress", ""], "on"),
        (&["etherws", "ctl", "setport", &port, "--default", "lldp-"], "lldp-status"),
        (&["etherws", "ctl", "addport", "tap", "--carrier-from", ""], "uplink"),
        (&["etherws", "ctl", "addport", "netdev", "lo", "--trust", ""], "client"),
        (&["etherws", "sw", "--storm-octets", ""], "off"),
        (&["etherws", "sw", "--stp", ""], "rstp"),
    ] {
        let offered = completed(words, switch.control_url());
        assert!(offered.split_whitespace().any(|word| word == expected), "{words:?}: {offered}");
    }
    // The shell would run it.
    switch.ctl(&["setport", "--name", "A;$(reboot)", &port]).ok();
    let offered = completed(&["etherws", "ctl", "delport", ""], switch.control_url());
    let is_offered = |wanted: &str| offered.split_whitespace().any(|word| word == wanted);
    assert!(is_offered(&port) && !offered.contains("reboot"), "{offered}");
    // Nobody answers there: options are left, and no error is shown.
    let offered = completed(&["etherws", "ctl", "delport", ""], "http://127.0.0.1:1/ctl");
    assert!(offered.split_whitespace().all(|word| word.starts_with("--")), "{offered}");
}

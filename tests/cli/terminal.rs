//! `ctl` on a terminal: colour, alignment, progress, `top`; and that a pipe sees none of
//! it.

use crate::support::{
    need,
    peers::{python, script},
    process::{Output, Process, Site, run, run_with},
    switch::{ETHERWS, Switch, command, etherws},
    wait_until,
};

/// Runs `ctl` on a terminal. `keys` are pairs of what to wait for and what to type then.
fn on_terminal(switch: &Switch, keys: &[&str], args: &[&str]) -> Result<Output, String> {
    on_terminal_with(switch, keys, args, &[])
}

fn on_terminal_with(
    switch: &Switch,
    keys: &[&str],
    args: &[&str],
    environment: &[(&str, &str)],
) -> Result<Output, String> {
    let mut command = switch.site.command(python()?);
    command.arg(script("terminal.py")).args(keys).args(["--", ETHERWS, "ctl"]);
    command.args(["--ctlurl", switch.control_url()]).args(args);
    // What else speaks for or against colour: a CI's terminal takes it whatever TERM says.
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
        command.env_remove(name);
    }
    command.env("TERM", "xterm").envs(environment.iter().copied());
    Ok(run(command))
}

#[test]
fn colour_is_for_terminals_that_want_it() {
    let switch = Switch::start(&[]);
    let (_socket, _) = switch.open();
    let args = ["listport"];
    let output = need!(on_terminal(&switch, &[], &args)).ok();
    assert!(output.stdout.contains("\u{1b}[32mup\u{1b}[0m"), "{output:?}");
    for environment in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let output = need!(on_terminal_with(&switch, &[], &args, &[environment])).ok();
        assert!(!output.stdout.contains('\u{1b}') && output.stdout.contains("up"), "{output:?}");
    }
    let output = need!(on_terminal(&switch, &[], &["--color", "never", "listport"])).ok();
    assert!(!output.stdout.contains('\u{1b}'), "{output:?}");
    let piped = |args: &[&str]| switch.ctl(args).ok().stdout;
    assert!(!piped(&["listport"]).contains('\u{1b}'));
    assert!(piped(&["--color=always", "listport"]).contains("\u{1b}[32mup"));
    assert!(piped(&["listport", "--color=always"]).contains("\u{1b}[32mup"));
}

#[test]
fn a_port_that_connects_shows_it_and_ctrl_c_says_what_becomes_of_it() {
    let switch = Switch::start(&[]);
    // The kernel accepts; nobody answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", silent.local_addr().unwrap());
    let keys = ["connecting to ", "\\x03"];
    let output = need!(on_terminal(&switch, &keys, &["addport", "client", &url])).failed();
    assert_eq!(output.code, Some(130), "{output:?}");
    assert!(output.stdout.contains(&format!("connecting to {url}")), "{output:?}");
    assert!(output.stdout.contains("the switch goes on connecting"), "{output:?}");
}

#[test]
fn top_fills_the_screen_takes_keys_and_leaves_the_terminal_as_it_was() {
    let switch = Switch::start(&[]);
    let (_socket, _) = switch.open();
    let keys = ["by rate", "s", "by rx", "p", "by port", "q"];
    let output = need!(on_terminal(&switch, &keys, &["top"])).ok();
    let shown = &output.stdout;
    assert!(shown.contains("RX bit/s") && shown.contains("server"), "{shown}");
    // The alternate screen, and back with the cursor (xterm's private modes).
    assert!(shown.starts_with("\u{1b}[?1049h") && shown.contains("\u{1b}[?25h"), "{shown:?}");
    assert!(shown.ends_with("\u{1b}[?1049l"), "{shown:?}");
}

#[test]
fn top_in_a_pipe_prints_as_many_tables_as_asked_for() {
    let switch = Switch::start(&[]);
    let (_socket, _) = switch.open();
    let args = ["top", "--delay", "0.1", "--count", "3"];
    let printed = switch.ctl(&args).ok().stdout;
    assert_eq!(printed.matches("  Port  Type    State  RX bit/s").count(), 3, "{printed}");
    let json = switch.ctl(&[&["--json"], &args[..]].concat()).ok().stdout;
    assert_eq!(json.lines().count(), 3);
    let line: serde_json::Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!((&line[0]["port"], line[0]["frames-rx"].as_f64()), (&1.into(), Some(0.0)));
    assert_eq!(etherws(&["ctl", "top", "-d", "0"]).failed().code, Some(2));
}

#[test]
fn top_goes_on_with_a_switch_that_was_started_again() {
    let dir = crate::support::TempDir::new();
    let socket = dir.at("control");
    let start = || {
        let mut sw = command(&Site::here(), &["sw", "--foreground", "--host", "127.0.0.1"]);
        sw.args(["--port", "0", "--ctlsock", &socket]);
        let process = Process::start(sw);
        wait_until("control", || process.stderr.contains("listening, service: control"));
        process
    };
    let mut first = start();
    let top = command(
        &Site::here(),
        &["ctl", "--ctlurl", &format!("unix:{socket}"), "top", "--delay", "0.1"],
    );
    let top = Process::start(top);
    wait_until("a table", || top.stdout.contains("RX bit/s"));
    first.kill();
    wait_until("why there is none", || top.stderr.contains(&socket));
    let _second = start();
    let seen = top.stdout.text().matches("RX bit/s").count();
    wait_until("another table", || top.stdout.text().matches("RX bit/s").count() > seen + 1);
}

#[test]
fn a_typo_names_the_nearest_command() {
    for (args, meant) in [
        (&["ctl", "lisport"][..], "listport"),
        (&["ctl", "addfbd"], "addfdb"),
        (&["swtich"], "sw"),
        (&["ctl", "addport", "clinet"], "client"),
        (&["ctl", "--jsn", "listport"], "--json"),
    ] {
        let output = etherws(args).failed();
        assert_eq!(output.code, Some(2), "{args:?}");
        let tip = output.stderr.lines().find(|line| line.contains("tip: "));
        assert!(tip.is_some_and(|tip| tip.ends_with(&format!("exists: '{meant}'"))), "{output:?}");
    }
    let switch = Switch::start(&[]);
    let error = switch.rpc("lisPorts", &serde_json::json!({}));
    assert!(error.to_string().contains("did you mean listPort?"), "{error}");
}

#[test]
fn a_closed_standard_error_is_no_panic() {
    let switch = Switch::start(&[]);
    let script = "\"$@\" 2>&-; echo $?; { \"$@\"; } 2>&1 >/dev/null | :";
    let mut command = switch.site.command("sh");
    command.args(["-c", script, "sh", ETHERWS, "ctl", "--ctlurl", switch.control_url()]);
    command.args(["delport", "77"]);
    assert_eq!(run_with(command, b"").ok().stdout, "1\n");
}

//! Command lines of 1.3, of 0.3 and ours, and what becomes of them.

use std::time::Duration;

use etherws_actors::guard::storm::StormLimit;
use serde_json::{Value, json};

use super::*;
use crate::api::AddPort;

fn invoke(line: &str) -> Result<Invocation, String> {
    let args = line.split(' ').map(|arg| if arg == "''" { "" } else { arg }.into());
    let read = read(args.collect()).map_err(|err| err.to_string())?;
    read.map_err(|err| format!("{err:#}"))
}

fn sw(line: &str) -> Sw {
    match invoke(line) {
        Ok(Invocation::Sw(sw)) => *sw,
        other => panic!("{line}: {other:?}"),
    }
}

fn ctl(line: &str) -> CtlArgs {
    match invoke(line) {
        Ok(Invocation::Ctl(args)) => args,
        other => panic!("{line}: {other:?}"),
    }
}

/// What a command asks a switch.
fn params(args: CtlArgs) -> Value {
    let CtlMethod::Call(request) = args.method else { panic!("{args:?}") };
    request.params().cloned().unwrap_or_default()
}

fn add_port(args: CtlArgs) -> AddPort {
    let CtlMethod::Call(request) = args.method else { panic!("{args:?}") };
    request.typed().expect("addport")
}

fn shares(sw: &Sw) -> bool {
    let both = sw.control.as_ref().zip(sw.tunnel.as_ref());
    both.is_some_and(|(control, tunnel)| tunnel.shares_listener(control))
}

#[test]
fn definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn sw_has_the_defaults_of_1_3() {
    let sw = sw("etherws sw");
    assert_eq!(sw.aging_time, Duration::from_secs(300));
    assert!(!sw.logging.foreground && !sw.logging.debug && !shares(&sw));
    let (tunnel, control) = (sw.tunnel.expect("a tunnel"), sw.control.expect("by TCP"));
    assert_eq!((tunnel.host.as_str(), tunnel.port), ("", 80));
    assert_eq!((control.host.as_str(), control.port), ("127.0.0.1", 7867));
    assert_eq!((tunnel.path.as_str(), control.path.as_str()), ("/", "/ctl"));
    assert!(sw.control_socket.is_none() && !sw.control_open);
}

#[test]
fn a_control_socket_is_instead_of_tcp_unless_that_is_asked_for() {
    let alone = sw("etherws sw --ctlsock s");
    assert!(alone.control.is_none());
    assert!(alone.control_socket.is_some_and(|path| path.is_absolute()));
    assert!(sw("etherws sw --ctlsock s --ctlport 7867").control.is_some());
    assert!(sw("etherws sw --ctlsock s --ctlhost 127.0.0.1").control.is_some());
}

#[test]
fn tls_moves_the_tunnel_to_443_and_leaves_control() {
    let file = file!();
    let sw = sw(&format!(
        "etherws sw --sslkey {file} --sslcert {file} --ctlsslkey {file} --ctlsslcert {file}"
    ));
    let tunnel = sw.tunnel.expect("a tunnel");
    assert_eq!((tunnel.port, sw.control.map(|control| control.port)), (443, Some(7867)));
    assert!(tunnel.tls.is_some_and(|tls| tls.key.is_absolute()));
}

#[test]
fn prefixes_and_repeated_options_work_as_in_argparse() {
    let sw = sw("etherws sw --fore --age 5 --age 7 --ctlpo 1 --htp Cargo.toml");
    assert!(sw.logging.foreground && sw.tunnel.is_some_and(|tunnel| tunnel.htpasswd.is_some()));
    assert_eq!(
        (sw.aging_time, sw.control.map(|control| control.port)),
        (Duration::from_secs(7), Some(1))
    );
    let args = ctl("etherws ctl --ctlur http://[::1]/ addport client ws://h/ --us u --p secret");
    assert!(!format!("{args:?}").contains("\"secret\""));
    let options = add_port(args).options;
    assert_eq!(options["passwd"], "secret");
}

#[test]
fn prefixes_of_1_3_are_none_of_newer_options() {
    let file = file!();
    let sw = sw(&format!("etherws sw --sslk {file} --sslc {file}"));
    let tls = sw.tunnel.and_then(|tunnel| tunnel.tls);
    assert!(tls.is_some_and(|tls| tls.client_ca.is_none()));
    let args = ctl("etherws ctl addport client --c ca.pem wss://h/");
    assert_eq!(Value::from(add_port(args).options), json!({"cacerts": "ca.pem"}));
}

#[test]
fn json_stands_before_or_after_the_method() {
    for line in [
        "etherws ctl --json listport",
        "etherws ctl listport --json",
        "etherws ctl addport tap ewp%d --json",
        "etherws ctl addport --json tap ewp%d",
    ] {
        assert!(ctl(line).json, "{line}");
    }
    assert!(!ctl("etherws ctl listport").json);
}

#[test]
fn numbers_of_ports_may_be_negative_for_a_better_error() {
    let args = ctl("etherws ctl setport --shut 1 -3");
    assert_eq!(params(args), json!({"port": -3, "shut": true}));
}

#[test]
fn limits_are_those_of_all_ports_or_of_one() {
    let limits = "--maxmacs 9 --storm-broadcast 10 --storm-multicast off --storm-unicast 5/7";
    let all = sw(&format!("etherws sw --no-loopguard {limits}"));
    assert!(!all.port_defaults.loop_guard());
    let shown = |limit: Option<StormLimit>| limit.map(|limit| limit.to_string());
    assert_eq!(all.port_defaults.max_macs, Some(9));
    assert_eq!(shown(all.port_defaults.storm_broadcast).as_deref(), Some("10/40"));
    assert_eq!(shown(all.port_defaults.storm_multicast).as_deref(), Some("off"));
    assert_eq!(shown(all.port_defaults.storm_unicast).as_deref(), Some("5/7"));
    let one = ctl(&format!("etherws ctl setport 1 --loopguard off {limits}"));
    let expected = json!({"port": 1, "loop-guard": false, "max-macs": 9,
        "storm-broadcast": "10/40", "storm-multicast": "off", "storm-unicast": "5/7"});
    assert_eq!(params(one), expected);
    assert!(sw("etherws sw").port_defaults.loop_guard());
}

#[test]
fn options_of_0_3_stand_before_or_after_the_subcommand() {
    for line in [
        "etherws --device t0 --foreground --debug server --address ::1 --port 81",
        "etherws server --device t0 --foreground --debug --address ::1 --port 81",
        "etherws --device t1 --foreground --debug server --device t0 --address ::1 --port 81",
    ] {
        let server = sw(line);
        let tunnel = server.tunnel.expect("a tunnel");
        assert_eq!((server.ports[0].new.target(), tunnel.host.as_str()), ("t0", "::1"));
        assert!(server.logging.foreground && server.logging.debug, "{line}");
        assert!(tunnel.port == 81 && server.control.is_none() && !server.hosts, "{line}");
    }
    let client = sw("etherws client --uri ws://h/ --user u");
    let targets = client.ports.iter().map(|port| port.new.target()).collect::<Vec<_>>();
    assert_eq!(targets, ["ethws%d", "ws://h/"]);
    assert!(client.tunnel.is_none() && client.control.is_none() && client.legacy);
}

#[test]
fn debug_stands_before_or_after_sw() {
    assert!(sw("etherws --debug sw").logging.debug && sw("etherws sw --debug").logging.debug);
    assert!(!sw("etherws sw --debug=false").logging.debug);
}

#[test]
fn a_key_without_hyphens_is_taken_as_well() {
    let limits =
        sw("etherws sw --maxsessions 4 --maxsessionsperuser 2 --max-sessions-per-address 3");
    assert_eq!((limits.limits.all, limits.limits.user, limits.limits.address), (4, 2, 3));
}

#[test]
fn bad_command_lines_are_refused_by_name() {
    for (line, expected) in [
        ("etherws", "Usage"),
        ("etherws --device x sw", "--device"),
        ("etherws --debug ctl listport", "--debug"),
        ("etherws sw --device x", "--device"),
        ("etherws sw --ageout 0", "--ageout"),
        ("etherws sw --ageout -1", "--ageout"),
        ("etherws sw --port 65536", "65536"),
        ("etherws sw --path x", r#"--path "x": must begin with /"#),
        ("etherws sw --trusted-proxies x", r#"--trusted-proxies "x": give addresses"#),
        ("etherws sw --ctlpath ''", r#"--ctlpath """#),
        ("etherws sw --sslkey Cargo.toml", "without --sslcert"),
        ("etherws sw --ctlsslcert Cargo.toml", "without --ctlsslkey"),
        ("etherws sw --sslclientca Cargo.toml", "without --sslkey and --sslcert"),
        ("etherws client --uri wss://h/ --cert Cargo.toml", "--key <FILE>"),
        ("etherws ctl --ctlcert Cargo.toml listport", "--ctlkey"),
        ("etherws sw --logconf nowhere.ini", "/nowhere.ini: give a file"),
        ("etherws sw --htpasswd src", "--htpasswd /"),
        ("etherws sw --ctlhost '' --ctlport 80 --ctlpath /", "must not both be /"),
        (
            "etherws sw --port 7867 --host 127.0.0.1 --sslkey Cargo.toml --sslcert Cargo.toml",
            "the same key",
        ),
        ("etherws server --keyfile Cargo.toml", "without --certfile"),
        ("etherws client", "--uri"),
        ("etherws ctl", "Usage"),
        ("etherws ctl addport", "Usage"),
        ("etherws ctl setport --shut 2 1", "\"2\" is neither on nor off"),
        ("etherws ctl setport 1 --storm-broadcast x", r#""x" is not a storm limit"#),
        ("etherws ctl setport 1 --loopguard maybe", "neither on nor off"),
        ("etherws ctl xyzzy", "unrecognized subcommand 'xyzzy'"),
        ("etherws ctl delfdb 02:00", "\"02:00\" is not a MAC address"),
        ("etherws sw --maxmacs -1", "--max-macs"),
    ] {
        let error = invoke(line).expect_err(line);
        assert!(error.contains(expected), "{line}: {error}");
    }
}

#[test]
fn one_listener_serves_both_under_different_paths() {
    assert!(shares(&sw("etherws sw --ctlhost '' --ctlport 80")));
    // Each gets a free one.
    assert!(!shares(&sw("etherws sw --host 127.0.0.1 --port 0 --ctlport 0")));
}

#[test]
fn an_unknown_word_is_told_with_those_that_there_are() {
    for (line, expected) in [
        ("etherws ctl xyzzy", "there are listport, addport, "),
        ("etherws xyzzy", "there are sw, check, init, "),
        ("etherws ctl addport tunnel x", "there are tap, netdev, client"),
        ("etherws listport", "it is a command of ctl: etherws ctl listport"),
        ("etherws ctl listports", "'listport'"),
    ] {
        let error = definition().try_get_matches_from(line.split(' ')).expect_err(line);
        let shown = nearest(error).to_string();
        assert!(shown.contains(expected), "{line}: {shown}");
    }
}

#[test]
fn no_tip_has_an_unknown_option_passed_as_a_value() {
    for line in ["etherws ctl capture --port 9", "etherws ctl addport tap x --port 5"] {
        let error = definition().try_get_matches_from(line.split(' ')).expect_err(line);
        let shown = nearest(error).to_string();
        assert!(shown.contains("'--port'") && !shown.contains("as a value"), "{line}: {shown}");
    }
}

#[test]
fn what_is_no_number_is_told_what_to_give() {
    for (line, wanted) in [
        ("etherws ctl delmirror x", "invalid value 'x' for '<MIRROR>': give a whole number from 0"),
        (
            "etherws ctl listfdb --limit 99999999999999999999",
            "for '--limit <NUMBER>': it is too large",
        ),
        ("etherws sw --max-bindings 3", "for '--max-bindings <NUMBER>': give 16 to 4294967295"),
    ] {
        let error = definition().try_get_matches_from(line.split(' ')).expect_err(line);
        let shown = nearest(error).to_string();
        assert!(shown.contains(wanted), "{line}: {shown}");
    }
}

#[test]
fn options_of_spanning_tree_are_about_the_switch_or_about_all_ports() {
    let with =
        sw("etherws sw --stp rstp --stp-priority 4096 --stp-max-age 6 --stp-forward-delay 4 \
                   --stp-edge on --stp-root-guard on");
    let stp = with.stp.expect("a bridge");
    assert_eq!((stp.priority, stp.max_age.as_secs(), stp.forward_delay.as_secs()), (4096, 6, 4));
    assert_eq!(with.port_defaults.describe(), "stp-edge on, stp-root-guard on");
    assert_eq!(sw("etherws sw").stp, None);
    for (line, expected) in [
        ("etherws sw --stp on", "[possible values: off, rstp, stp]"),
        ("etherws sw --stp-priority 4096", "--stp-priority is given without --stp"),
        ("etherws sw --stp rstp --stp-max-age 41", "--stp-max-age: max age of 41 s: give 6 to 40"),
        ("etherws ctl setport 1 --stp-priority 8", "give a multiple of 16 from 0 to 240"),
        ("etherws ctl setport 1 --stp-cost 0", "give 1 to 200000000"),
        ("etherws ctl setport 1 --stp-edge maybe", "none of auto, on and off"),
    ] {
        let error = invoke(line).expect_err(line);
        assert!(error.contains(expected), "{line}: {error}");
    }
}

//! `etherws doctor`: each kind of fault is found, with a way out and status 1; what is
//! only worth a word leaves it at 0.

use serde_json::Value;

use crate::support::{
    TempDir,
    certs::{Authority, Certificates},
    lab::Namespace,
    need,
    process::{Site, run},
    switch::{Switch, command},
    wait_until,
};

/// Where no switch is.
const NOWHERE: &str = "http://127.0.0.4:1/ctl";

/// What doctor finds, and whether it is content.
fn doctor(site: &Site, args: &[&str]) -> (bool, Vec<Value>) {
    let mut command = command(site, &["doctor", "--json"]);
    if !args.contains(&"--ctlurl") {
        command.args(["--ctlurl", NOWHERE]);
    }
    command.args(args);
    let output = run(command);
    let Value::Array(findings) = output.json() else { panic!("{output:?}") };
    for finding in &findings {
        let advised = finding["advice"].is_string();
        assert!(advised == (finding["level"] != "ok"), "{finding}");
    }
    let failed = findings.iter().any(|finding| finding["level"] == "fail");
    assert_eq!(output.code, Some(i32::from(failed)), "{output:?}");
    (!failed, findings)
}

/// Level and text of the worst finding of a check.
fn found(findings: &[Value], check: &str) -> (String, String) {
    let of = |level: &str| {
        findings.iter().find(|finding| finding["check"] == check && finding["level"] == level)
    };
    let finding = of("fail").or_else(|| of("warn")).or_else(|| of("ok"));
    let finding = finding.unwrap_or_else(|| panic!("no {check} in {findings:#?}"));
    let text = |name: &str| finding[name].as_str().unwrap_or_default().to_owned();
    (text("level"), text("text") + " / " + &text("advice"))
}

#[test]
fn a_machine_without_tun_is_told_to_load_it() {
    let namespace = need!(Namespace::new());
    let hidden = "mount -t tmpfs none /dev/net && exec \"$@\"";
    let site = namespace.site.then(["unshare", "-m", "sh", "-c", hidden, "sh"]);
    let (content, findings) = doctor(&site, &[]);
    assert!(!content);
    let (level, text) = found(&findings, "tun");
    assert!(level == "fail" && text.contains("modprobe tun"), "{text}");
}

#[test]
fn a_netdev_in_a_bridge_is_a_fault_and_a_free_one_is_not() {
    let namespace = need!(Namespace::new());
    let other = namespace.sibling();
    for name in ["eth0", "eth1"] {
        namespace.cable(name, &other, name);
    }
    namespace.ip("link add br0 type bridge");
    namespace.ip("link set br0 up");
    namespace.ip("link set eth0 master br0");
    let (content, findings) = doctor(&namespace.site, &["--netdev", "eth0"]);
    let (level, text) = found(&findings, "membership");
    assert!(!content && level == "fail" && text.contains("bridge br0"), "{text}");
    assert_eq!(found(&findings, "stp").0, "ok");
    let (_, findings) = doctor(&namespace.site, &["--netdev", "eth1"]);
    let (level, text) = found(&findings, "interface");
    assert!(level == "ok" && text.contains("eth1 is up"), "{text}");
    let (content, findings) = doctor(&namespace.site, &["--netdev", "none0"]);
    assert!(!content && found(&findings, "interface").1.contains("none0"));
}

#[test]
fn a_good_server_is_gone_through_to_the_end() {
    let certs = need!(Certificates::new());
    let switch =
        Switch::start(&["--sslkey", &certs.key, "--sslcert", &certs.cert, "--host", "127.0.0.1"]);
    let args = ["--ctlurl", switch.control_url(), "--url", &switch.tls_url()];
    let (_, findings) = doctor(&switch.site, &[&args[..], &["--cacerts", &certs.ca]].concat());
    for check in ["control", "tcp", "tls", "certificate-name", "tunnel", "large-packets"] {
        let (level, text) = found(&findings, check);
        assert_eq!(level, "ok", "{check}: {text}");
    }
    wait_until("the end of its session", || switch.ports().is_empty());
    // Without the CA there is no tunnel, but the certificate is looked at all the same.
    let (content, findings) = doctor(&switch.site, &args);
    assert!(!content && found(&findings, "tunnel").1.contains("--cacerts"), "{findings:?}");
    assert_eq!(found(&findings, "certificate-name").0, "ok");
}

#[test]
fn an_expired_certificate_and_one_for_another_name_are_told() {
    let certs = need!(Certificates::new());
    let cert = certs.sign("old.pem", "DNS:other.example", "20200201000000Z");
    let switch = Switch::start(&["--sslkey", &certs.key, "--sslcert", &cert]);
    let args = ["--url", &switch.tls_url(), "--cacerts", &certs.ca];
    let (content, findings) = doctor(&switch.site, &args);
    assert!(!content);
    let (level, text) = found(&findings, "certificate-dates");
    assert!(level == "fail" && text.contains("expired on"), "{text}");
    let (level, text) = found(&findings, "certificate-name");
    assert!(level == "fail" && text.contains("other.example, not for localhost"), "{text}");
}

#[test]
fn a_refusal_is_explained() {
    let switch = Switch::start(&[]);
    let url = format!("ws://{}/ctl", switch.control);
    let (content, findings) = doctor(&switch.site, &["--url", &url]);
    let (level, text) = found(&findings, "tunnel");
    assert!(!content && level == "fail" && text.contains("refuses the tunnel"), "{text}");
}

#[test]
fn a_port_that_is_not_connected_is_told_with_its_reason() {
    let switch = Switch::start(&[]);
    let server = Switch::start(&[]);
    let number = switch.add(&["client", &server.url()]);
    let ctl = ["--ctlurl", switch.control_url()];
    let (_, findings) = doctor(&switch.site, &ctl);
    assert!(findings.iter().all(|finding| finding["check"] != "port-state"), "{findings:?}");
    drop(server);
    switch.wait_state(number, "backoff");
    let (content, findings) = doctor(&switch.site, &ctl);
    let (level, text) = found(&findings, "port-state");
    assert!(!content && level == "fail" && text.contains("not connected"), "{text}");
}

#[test]
fn a_health_check_is_a_line_and_a_status() {
    let health = |url: &str| run(command(&Site::here(), &["doctor", "--health", "--ctlurl", url]));
    let switch = Switch::start(&[]);
    let (url, server) = (switch.control_url(), Switch::start(&[]));
    let number = switch.add(&["client", &server.url()]);
    drop(server);
    switch.wait_state(number, "backoff");
    // A port that is down is nothing that another start would mend.
    let good = health(url).ok().stdout;
    assert_eq!(good, format!("ok    the switch at {url} serves: 1 ports, 0 up\n"));

    let bad = health(NOWHERE).failed().stdout;
    assert!(bad.starts_with("fail  ") && bad.contains(NOWHERE), "{bad}");
    assert_eq!(bad.lines().count(), 1, "{bad}");
    // Who takes connections and says nothing.
    let deaf = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let began = std::time::Instant::now();
    let bad = health(&format!("http://{}/ctl", deaf.local_addr().unwrap())).failed().stdout;
    assert!(bad.contains("has not answered within 2.5s"), "{bad}");
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_path_that_loses_large_packets_is_told_from_a_good_one() {
    let (left, right) = need!(Namespace::pair());
    // Each segment is a packet of its own, and longer than the other end takes.
    left.ip("link set eth0 gso_max_segs 1");
    let args = ["--host", "192.0.2.2", "--port", "0", "--ctlhost", "127.0.0.1"];
    let switch = Switch::start_at(&right.site, &args);
    let (_, findings) = doctor(&left.site, &["--url", &switch.url()]);
    assert_eq!(found(&findings, "large-packets").0, "ok");
    right.ip("link set eth0 mtu 1000");
    right.ip("route replace 192.0.2.0/24 dev eth0 src 192.0.2.2 advmss 1460");
    let (content, findings) = doctor(&left.site, &["--url", &switch.url()]);
    assert_eq!(found(&findings, "tunnel").0, "ok");
    let (level, text) = found(&findings, "large-packets");
    assert!(!content && level == "fail" && text.contains("tcp_mtu_probing"), "{text}");
}

#[test]
fn what_a_configuration_names_is_looked_at() {
    let dir = TempDir::new();
    let authority = Authority::new();
    let [one, other] = ["one", "other"].map(|name| authority.server(name));
    let users = dir.file("users", "alice:{SHA}6K8OGP9IBfTv2E9YsPpp43gPNaQ=\n");
    let config = |key: &str| {
        let text = format!(
            "[tunnel]\nport = 8443\nhtpasswd = {users:?}\n[tunnel.tls]\nkey = {key:?}\n\
             cert = {:?}\n[[port]]\ntype = \"netdev\"\ntarget = \"none0\"\n",
            one.cert
        );
        dir.file("etherws.toml", text)
    };
    let (content, findings) = doctor(&Site::here(), &["--config", &config(&one.key)]);
    assert!(!content && found(&findings, "interface").1.contains("none0"), "{findings:?}");
    assert_eq!(found(&findings, "htpasswd").0, "warn");
    assert_eq!(found(&findings, "tls-files").0, "ok");
    let (_, findings) = doctor(&Site::here(), &["--config", &config(&other.key)]);
    assert_eq!(found(&findings, "tls-files").0, "fail");
    let broken = dir.file("broken.toml", "[tunnel]\nprot = 80\n");
    let (content, findings) = doctor(&Site::here(), &["--config", &broken]);
    assert!(!content && found(&findings, "config").1.contains("prot"), "{findings:?}");
}

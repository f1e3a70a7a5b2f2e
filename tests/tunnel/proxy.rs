//! Client ports through Debian's tinyproxy, with and without a password. Each test has
//! a network of its own, where the proxy's port is free.

use crate::support::{
    TempDir, certs::Certificates, lab::Namespace, need, peers::tool, process::Process,
    switch::Switch, wait_until,
};

const PROXY: &str = "127.0.0.1:8888";

struct Proxy {
    process: Process,
    log: String,
    _dir: TempDir,
}

impl Proxy {
    fn start(namespace: &Namespace, more: &str) -> Result<Self, String> {
        tool("tinyproxy")?;
        let dir = TempDir::new();
        let log = dir.at("log");
        let conf = format!(
            "Port 8888\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nLogFile \"{log}\"\n\
             LogLevel Connect\nAllow 127.0.0.1\n{more}\n"
        );
        let conf = dir.file("tinyproxy.conf", conf);
        let process = namespace.start("tinyproxy", &["-d", "-c", &conf]);
        wait_until("tinyproxy", || namespace.run("ss", &["-Hltn"]).stdout.contains(PROXY));
        Ok(Self { process, log, _dir: dir })
    }

    /// Targets of CONNECT so far.
    fn asked(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let target = |line: &str| {
            let (_, rest) = line.split_once("): CONNECT ")?;
            Some(rest.split(' ').next()?.to_owned())
        };
        text.lines().filter_map(target).collect()
    }
}

#[test]
fn ws_and_wss_go_through_the_proxy_of_the_environment() {
    let namespace = need!(Namespace::new());
    let certs = need!(Certificates::new());
    let proxy = need!(Proxy::start(&namespace, ""));
    let plain = Switch::start_at(&namespace.site, &[]);
    let tls = ["--sslkey", &certs.key, "--sslcert", &certs.cert];
    let tls = Switch::start_at(&namespace.site, &tls);
    let by_proxy = format!("http://{PROXY}");
    let environment = [("http_proxy", by_proxy.as_str()), ("https_proxy", &by_proxy)];
    let switch = Switch::start_with(&namespace.site, &[], &environment);
    switch.add(&["client", &plain.url()]);
    wait_until("CONNECT for ws", || proxy.asked() == [plain.tunnel.to_string()]);
    switch.add(&["client", "--cacerts", &certs.ca, &tls.tls_url()]);
    wait_until("CONNECT for wss", || proxy.asked().len() == 2);
    assert_eq!(proxy.asked()[1], format!("localhost:{}", tls.tunnel.port()));
    assert_eq!(plain.ports().len(), 1);
    assert_eq!(tls.ports().len(), 1);
}

#[test]
fn each_link_of_a_port_goes_through_the_proxy() {
    let namespace = need!(Namespace::new());
    let proxy = need!(Proxy::start(&namespace, ""));
    let server = Switch::start_at(&namespace.site, &[]);
    let switch = Switch::start_at(&namespace.site, &[]);
    let by_proxy = format!("http://{PROXY}");
    let port = switch.add(&["client", "--links", "2", "--proxy", &by_proxy, &server.url()]);
    wait_until("both links", || {
        let links = switch.port(port)["links"].clone();
        (0..2).all(|link| links[link]["state"] == "up")
    });
    assert_eq!(proxy.asked(), [(); 2].map(|()| server.tunnel.to_string()));
    assert_eq!(server.ports().len(), 1);
}

#[test]
fn no_proxy_and_https_proxy_are_told_apart() {
    let namespace = need!(Namespace::new());
    let server = Switch::start_at(&namespace.site, &[]);
    // Nothing listens there: whoever asks it fails.
    let nobody = "http://127.0.0.1:9";
    for (environment, direct) in [
        (&[("http_proxy", nobody)][..], false),
        (&[("http_proxy", "127.0.0.1:9")], false),
        (&[("https_proxy", nobody)], true),
        (&[("http_proxy", nobody), ("no_proxy", "127.0.0.1")], true),
        (&[("http_proxy", nobody), ("no_proxy", "localhost,*.example,127.0.0.0/8")], true),
        (&[("http_proxy", nobody), ("no_proxy", "*")], true),
        (&[("http_proxy", nobody), ("no_proxy", "example.org")], false),
    ] {
        let switch = Switch::start_with(&namespace.site, &[], environment);
        let output = switch.ctl(&["addport", "client", &server.url()]);
        assert_eq!(output.code == Some(0), direct, "{environment:?}: {output:?}");
        if !direct {
            assert!(output.stderr.contains("127.0.0.1:9"), "{}", output.stderr);
        }
    }
}

#[test]
fn a_proxys_password_is_understood_and_not_shown() {
    let namespace = need!(Namespace::new());
    let proxy = need!(Proxy::start(&namespace, "BasicAuth user s3cret"));
    let server = Switch::start_at(&namespace.site, &[]);
    let switch = Switch::start_at(&namespace.site, &[]);
    let url = server.url();
    for (bare, part) in [
        (format!("http://{PROXY}"), "no user and password were given"),
        (format!("http://user:n0t1t@{PROXY}"), "the user or the password is wrong"),
    ] {
        let output = switch.ctl(&["addport", "client", "--proxy", &bare, &url]).failed();
        assert!(output.stderr.contains(part), "{}", output.stderr);
        assert!(output.stderr.contains(PROXY), "{}", output.stderr);
        assert!(!output.stderr.contains("n0t1t"), "{}", output.stderr);
        assert!(switch.ports().is_empty());
    }
    // Percent-encoded, as `@` and `:` in a password must be.
    let with = format!("http://user:s3%63ret@{PROXY}");
    switch.add(&["client", "--proxy", &with, &url]);
    assert_eq!(server.ports().len(), 1);
    let shown = switch.ctl(&["--json", "listport"]).ok().stdout;
    for text in [&shown, &switch.process.stderr.text()] {
        assert!(!text.contains("s3cret"), "{text}");
    }
    drop(proxy);
}

#[test]
fn a_tunnel_comes_back_when_its_proxy_does() {
    let namespace = need!(Namespace::new());
    let mut proxy = need!(Proxy::start(&namespace, ""));
    let server = Switch::start_at(&namespace.site, &[]);
    let switch = Switch::start_at(&namespace.site, &[]);
    let by = format!("http://{PROXY}");
    let number = switch.add(&["client", "--proxy", &by, &server.url()]);
    proxy.process.kill();
    wait_until("the loss", || switch.port(number)["state"] != "up");
    let _proxy = need!(Proxy::start(&namespace, ""));
    switch.wait_state(number, "up");
    wait_until("the port there", || server.ports().len() == 1);
}

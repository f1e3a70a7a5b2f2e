//! Certificates by ACME, from pebble: a CA for tests, which rejects a part of all good requests on
//! purpose.

use std::{fs, net::SocketAddr};

use serde_json::json;

use crate::support::{
    LIMIT, TempDir,
    certs::Certificates,
    free_address, need,
    peers::tool,
    process::{Process, Site, run},
    switch::{command, etherws},
    wait_until, wait_within,
};

/// A CA, its names, and the switch's listener, at which it looks.
pub(super) struct Ca {
    pub(super) dir: TempDir,
    pub(super) certs: Certificates,
    pebble: Process,
    _dns: Process,
    /// Of its directory.
    pub(super) address: SocketAddr,
    management: SocketAddr,
    listener: SocketAddr,
    http: SocketAddr,
}

/// Ports that are free at this moment, all of one address.
fn addresses<const N: usize>() -> [SocketAddr; N] {
    let mut kept = Vec::new();
    let all = [(); N].map(|()| {
        let address = free_address();
        kept.push(std::net::TcpListener::bind(address).unwrap());
        address
    });
    drop(kept);
    all
}

impl Ca {
    /// Whose certificates last for so many seconds, and which finds all names at `names`.
    pub(super) fn start(seconds: u32, names: &str) -> Result<Self, String> {
        tool("pebble")?;
        tool("pebble-challtestsrv")?;
        let certs = Certificates::new()?;
        let [listener, http, address, management, dns, other] = addresses();
        let dir = TempDir::new();
        let config = json!({"pebble": {
            "listenAddress": address.to_string(),
            "managementListenAddress": management.to_string(),
            "certificate": certs.sign("pebble.pem", &format!("IP:{}", address.ip()), "20491231235959Z"),
            "privateKey": certs.key,
            "httpPort": http.port(),
            "tlsPort": listener.port(),
            "certificateValidityPeriod": seconds,
        }});
        let file = dir.file("pebble.json", config.to_string());
        let mut server = Site::here().command("pebble-challtestsrv");
        let names = names.replace("HERE", &listener.ip().to_string());
        server.args(["-defaultIPv6", "", "-defaultIPv4", &names, "-http01", "", "-https01", ""]);
        server.args(["-tlsalpn01", "", "-dns01", &dns.to_string(), "-management"]);
        let dns_server = Process::start({
            server.arg(other.to_string());
            server
        });
        let pebble = Self::pebble(&file, dns);
        wait_until("pebble", || pebble.stdout.contains("Listening on"));
        Ok(Self { dir, certs, pebble, _dns: dns_server, address, management, listener, http })
    }

    fn pebble(file: &str, dns: SocketAddr) -> Process {
        let mut pebble = Site::here().command("pebble");
        pebble.args(["-config", file, "-dnsserver", &dns.to_string()]);
        pebble.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        Process::start(pebble)
    }

    /// A configuration with these names, and `more` in its table.
    pub(super) fn file(&self, names: &str, more: &str) -> String {
        let text = format!(
            "[tunnel]\nhost = \"{}\"\nport = {}\n[tunnel.acme]\nnames = [{names}]\n\
             directory = \"https://{}/dir\"\ncacerts = {:?}\nfolder = \"acme\"\n{more}\n\
             [control]\nsocket = {:?}\n",
            self.listener.ip(),
            self.listener.port(),
            self.address,
            self.certs.ca,
            self.dir.at("control.sock"),
        );
        self.dir.file("etherws.toml", text)
    }

    pub(super) fn pem(&self) -> String {
        fs::read_to_string(self.dir.at("acme/tls.pem")).unwrap_or_default()
    }

    /// The CA's own certificate, by which clients know those that it has issued.
    fn root(&self) -> String {
        let mut curl = Site::here().command("curl");
        curl.args(["-sSk", &format!("https://{}/roots/0", self.management)]);
        self.dir.file("root.pem", run(curl).ok().stdout)
    }
}

pub(super) fn start(file: &str) -> Process {
    Process::start(command(&Site::here(), &["sw", "--foreground", "--config", file]))
}

/// Waits until the switch has a certificate of the CA.
pub(super) fn issued(switch: &Process, times: usize) {
    wait_within(2 * LIMIT, "a certificate", || {
        let text = switch.stderr.text();
        (text.matches("certificate issued").count() >= times).then_some(())
    });
}

#[test]
fn a_certificate_is_issued_and_renewed_and_the_tunnel_goes_on() {
    need!(tool("curl"));
    let ca = need!(Ca::start(18, "HERE"));
    let address = ca.listener.ip().to_string();
    let names = format!("\"hub.example\", \"{address}\"");
    let file = ca.file(&names, "key-type = \"p384\"\ncontact = \"mailto:a@example.org\"");
    etherws(&["check", &file]).ok();
    let switch = start(&file);
    issued(&switch, 1);
    let first = ca.pem();
    wait_until("its use", || switch.stderr.contains("certificates read again"));
    // A client knows the CA, and the name and the address are in the certificate.
    let root = ca.root();
    let url = format!("wss://{}/", ca.listener);
    let client_file = ca.dir.file("client.toml", format!(
        "[control]\nsocket = {:?}\n[[port]]\ntype = \"client\"\ntarget = {url:?}\ncacerts = {root:?}\n",
        ca.dir.at("client.sock"),
    ));
    let client = start(&client_file);
    wait_until("the tunnel", || client.stderr.contains("port is up"));
    issued(&switch, 2);
    assert_ne!(ca.pem(), first);
    assert!(!client.stderr.contains("port is down"), "the tunnel goes on");
    let account = fs::read_to_string(ca.dir.at("acme/account.json")).unwrap();
    drop(switch);
    // After a restart account and certificate are those that there were.
    let second = ca.pem();
    let switch = start(&file);
    wait_until("the listener", || switch.stderr.contains("service: tunnel"));
    issued(&switch, 1);
    assert_ne!(ca.pem(), second, "in time");
    assert!(!switch.stderr.contains("account at a CA made"));
    assert_eq!(fs::read_to_string(ca.dir.at("acme/account.json")).unwrap(), account);
}

#[test]
fn a_name_is_proved_by_http_where_that_is_asked_for() {
    let ca = need!(Ca::start(3600, "HERE"));
    let file = ca.file("\"hub.example\"", &format!("http = \"{}\"", ca.http));
    let switch = start(&file);
    issued(&switch, 1);
    assert!(ca.pem().contains("BEGIN CERTIFICATE") && ca.pem().contains("PRIVATE KEY"));
}

#[test]
fn what_a_ca_refuses_is_told_and_the_old_certificate_stays() {
    // Names lead elsewhere, where nobody answers.
    let ca = need!(Ca::start(3600, "127.0.0.9"));
    let file = ca.file("\"hub.example\"", "");
    let switch = start(&file);
    let placeholder = || ca.pem();
    wait_until("the first certificate", || !placeholder().is_empty());
    let before = placeholder();
    wait_within(2 * LIMIT, "the reason", || {
        switch.stderr.contains("could not validate hub.example").then_some(())
    });
    assert_eq!(ca.pem(), before);
    let url = format!("unix:{}", ca.dir.at("control.sock"));
    let events = etherws(&["ctl", "--ctlurl", &url, "--json", "events", "--event", "acme"]);
    let events = events.ok().json();
    assert_eq!(events[0]["what"], "failed", "{events}");
    // It serves all the same.
    assert!(switch.stderr.contains("service: tunnel"));
}

#[test]
fn an_account_that_the_ca_does_not_know_any_more_is_made_again() {
    let mut ca = need!(Ca::start(3600, "HERE"));
    let file = ca.file("\"hub.example\"", "");
    let switch = start(&file);
    issued(&switch, 1);
    drop(switch);
    // The CA has forgotten everything.
    ca.pebble.kill();
    let again = need!(Ca::start(3600, "HERE"));
    let text = fs::read_to_string(&file).unwrap();
    let (old, new) = (ca.address.to_string(), again.address.to_string());
    let moved = |text: &str| text.replace(&old, &new).replace(&ca.certs.ca, &again.certs.ca);
    let port = |address: SocketAddr| format!("port = {}", address.port());
    fs::write(&file, moved(&text).replace(&port(ca.listener), &port(again.listener))).unwrap();
    let account = ca.dir.at("acme/account.json");
    fs::write(&account, moved(&fs::read_to_string(&account).unwrap())).unwrap();
    fs::remove_file(ca.dir.at("acme/tls.pem")).unwrap();
    let switch = start(&file);
    wait_within(3 * LIMIT, "the refusal", || {
        switch.stderr.contains("the CA refuses it").then_some(())
    });
    wait_within(3 * LIMIT, "another account", || {
        switch.stderr.contains("account at a CA made").then_some(())
    });
    issued(&switch, 1);
}

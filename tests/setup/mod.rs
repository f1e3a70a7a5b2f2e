//! `etherws init`, `invite`, `join`, `leave` and `users`: a LAN of people who were invited, and
//! what each kind of attacker meets there.

mod lan;
mod page;
mod threats;

use std::{fs, net::SocketAddr, path::Path};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::{
    TempDir, free_address,
    process::{Output, Process, Site, run},
    switch::{command, etherws},
    wait_until,
};

/// A hub that `etherws init` has made, without devices, on loopback.
pub(crate) struct Hub {
    dir: TempDir,
    address: SocketAddr,
    process: Process,
    /// The link that `init` has printed.
    first: String,
}

/// The link in what was printed.
fn link_in(text: &str) -> String {
    let rest = &text[text.find("https://").unwrap_or_else(|| panic!("no link: {text}"))..];
    rest[..rest.find('\'').expect("quotes around it")].to_owned()
}

/// A link for another place (`HOST:PORT/`), or with another secret: what somebody makes who has
/// seen one.
fn remade(link: &str, place: Option<&str>, secret: Option<[u8; 16]>) -> String {
    let (own, code) = link.split_once("#etherws1:").unwrap();
    let place = place.unwrap_or_else(|| own.strip_prefix("https://").unwrap());
    let mut octets = URL_SAFE_NO_PAD.decode(code).unwrap();
    octets.truncate(octets.len() - 4);
    if let Some(secret) = secret {
        octets[..16].copy_from_slice(&secret);
    }
    let sum = digest(&SHA256, &[place.as_bytes(), b"\n", &octets].concat());
    octets.extend(&sum.as_ref()[..4]);
    format!("https://{place}#etherws1:{}", URL_SAFE_NO_PAD.encode(octets))
}

impl Hub {
    pub(crate) fn new(options: &[&str], more: &str) -> Self {
        let (dir, address) = (TempDir::new(), free_address());
        let (file, listen) = (dir.at("etherws.toml"), address.to_string());
        let url = format!("wss://{address}/");
        let init = ["init", "--config", &file, "--name", "hub", "--no-tap", "--listen", &listen];
        let printed = etherws(&[&init[..], &["--url", &url], options].concat()).ok().stdout;
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("[users]", &format!("[users]\n{more}"))).unwrap();
        let process = start(&file);
        wait_until("the hub", || process.stderr.contains("service: tunnel"));
        Self { first: link_in(&printed), dir, address, process }
    }

    fn file(&self) -> String {
        self.dir.at("etherws.toml")
    }

    fn url(&self) -> String {
        format!("wss://{}/", self.address)
    }

    /// A command that is for the hub, run to its end.
    fn run(&self, words: &[&str]) -> Output {
        etherws(&[words, &["--config", &self.file()]].concat())
    }

    fn invite(&self, name: &str, options: &[&str]) -> String {
        let words = [&["invite", name, "--json"], options].concat();
        let made = self.run(&words).ok().json();
        made[0]["link"].as_str().expect("a link").to_owned()
    }

    fn user(&self, name: &str) -> Value {
        self.run(&["users", "show", name, "--json"]).ok().json()[0].take()
    }

    fn wait_sessions(&self, name: &str, count: u64) {
        wait_until(&format!("{count} sessions of {name}"), || self.user(name)["sessions"] == count);
    }
}

/// A machine that joins without a device.
pub(crate) struct Member {
    dir: TempDir,
    process: Option<Process>,
}

impl Member {
    fn new() -> Self {
        Self { dir: TempDir::new(), process: None }
    }

    fn file(&self) -> String {
        self.dir.at("etherws.toml")
    }

    fn join(&self, link: &str) -> Output {
        etherws(&["join", "--config", &self.file(), "--no-tap", link])
    }

    /// Joins, and opens the tunnel.
    fn joined(link: &str) -> Self {
        let mut member = Self::new();
        member.join(link).ok();
        member.process = Some(start(&member.file()));
        member
    }

    fn log(&self) -> &Process {
        self.process.as_ref().expect("it runs")
    }

    /// The folder with its key.
    fn folder(&self, hub: &Hub) -> String {
        self.dir.at(&format!("lan-{}", hub.address.to_string().replace(':', "_")))
    }
}

/// `etherws sw` by a file.
fn start(file: &str) -> Process {
    start_at(&Site::here(), file)
}

/// The same at a place.
fn start_at(site: &Site, file: &str) -> Process {
    Process::start(command(site, &["sw", "--foreground", "--config", file]))
}

/// The status that a request with a certificate gets.
fn status(hub: &Hub, cert: &str, key: &str) -> String {
    let mut curl = Site::here().command("curl");
    curl.args(["-sk", "-o", "/dev/null", "-w", "%{http_code}", "--cert", cert, "--key", key]);
    curl.arg(hub.url().replace("wss", "https"));
    run(curl).stdout
}

#[test]
fn an_invitation_is_good_once_and_for_its_time() {
    let hub = Hub::new(&[], "");
    let alice = Member::joined(&hub.invite("alice", &[]));
    hub.wait_sessions("alice", 1);
    assert!(alice.log().stderr.contains("port is up"));
    let link = hub.invite("bob", &["--ttl", "1s"]);
    wait_until("the end of the invitation", || hub.user("bob")["state"] == "expired");
    let late = Member::new().join(&link).failed().stderr;
    assert!(late.contains("expired on") && late.contains("clock says"), "{late}");
    let again = Member::new().join(&hub.first);
    again.ok();
    let replayed = Member::new().join(&hub.first).failed().stderr;
    assert!(replayed.contains("was used already; ask for a new link"), "{replayed}");
    let text = fs::read_to_string(hub.dir.at("hub/users.json")).unwrap();
    let secret = hub.first.split_once("etherws1:").unwrap().1;
    assert!(!text.contains(&secret[..16]), "secrets are kept as hashes");
}

#[test]
fn two_who_redeem_at_once_are_not_both_let_in() {
    let hub = Hub::new(&[], "");
    let members = [(); 6].map(|()| Member::new());
    let codes = std::thread::scope(|scope| {
        let link = &hub.first;
        let all = members.each_ref().map(|one| scope.spawn(move || one.join(link).code));
        all.map(|one| one.join().unwrap())
    });
    assert_eq!(codes.iter().filter(|code| **code == Some(0)).count(), 1, "{codes:?}");
}

#[test]
fn an_invitation_for_several_makes_users_of_all() {
    let hub = Hub::new(&[], "");
    let link = hub.invite("lab", &["--uses", "2"]);
    let said = [(); 3].map(|()| Member::new().join(&link));
    assert_eq!(said.each_ref().map(|output| output.code == Some(0)), [true, true, false]);
    assert!(said[0].stdout.contains("lab-1") && said[1].stdout.contains("lab-2"), "{said:#?}");
    assert_eq!(hub.user("lab-2")["state"], "active");
}

#[test]
fn what_an_invitation_gives_holds_for_the_session() {
    let hub = Hub::new(&["--address", "192.0.2.1/28"], "");
    let file = fs::read_to_string(hub.file()).unwrap();
    fs::write(hub.file(), format!("{file}\n[profile.guests]\nmax-macs = 3\n")).unwrap();
    hub.process.signal(Signal::SIGHUP);
    wait_until("the profile", || hub.process.stderr.contains("configuration read again"));
    let wrong = hub.run(&["invite", "x", "--profile", "none"]).failed().stderr;
    assert!(wrong.contains("known: guests"), "{wrong}");
    let options = ["--profile", "guests", "--vlan", "7", "--address", "192.0.2.9"];
    let member = Member::new();
    let said = member.join(&hub.invite("alice", &options)).ok().stdout;
    assert!(said.contains("192.0.2.9/28"), "{said}");
    let _switch = start(&member.file());
    hub.wait_sessions("alice", 1);
    let ports = etherws(&["ctl", "--ctlurl", &control(&hub.file()), "--json", "showport", "1"]);
    let port = ports.ok().json()[0].take();
    assert_eq!(
        (&port["profile"], &port["settings"]["tag"]["value"]),
        (&json!("guests"), &json!("7")),
        "{port:#}"
    );
}

/// URL of control by a file.
fn control(file: &str) -> String {
    format!("unix:{}/control.sock", Path::new(file).parent().unwrap().display())
}

#[test]
fn an_operator_approves_who_comes_with_an_invitation() {
    let hub = Hub::new(&["--approval"], "");
    let member = Member::new();
    let args = ["join", "--config", &member.file(), "--no-tap", &hub.invite("alice", &[])];
    let mut joining = Process::start(command(&Site::here(), &args));
    wait_until("the wait", || joining.stderr.contains("etherws users approve alice"));
    assert_eq!(hub.user("alice")["state"], "pending");
    let wrong = hub.run(&["users", "approve", "bob"]).failed().stderr;
    assert!(wrong.contains("no such user"), "{wrong}");
    hub.run(&["users", "approve", "alice"]).ok();
    assert!(joining.wait_exit().success());
    let _switch = start(&member.file());
    hub.wait_sessions("alice", 1);
}

#[test]
fn a_revoked_user_is_out_at_once_and_may_be_invited_again() {
    let hub = Hub::new(&[], "");
    let alice = Member::joined(&hub.first);
    hub.wait_sessions("member-1", 1);
    let said = hub.run(&["users", "revoke", "member-1"]).ok().stdout;
    assert!(said.contains("revoked"), "{said}");
    wait_until("the end", || alice.log().stderr.contains("1008"));
    wait_until("the refusal", || alice.log().stderr.contains("The user was revoked"));
    assert_eq!(hub.user("member-1")["sessions"], 0);
    // The same machine, by another invitation to the same name.
    alice.join(&hub.invite("member-1", &[])).ok();
    hub.wait_sessions("member-1", 1);
}

#[test]
fn a_renamed_user_comes_again_under_the_new_name() {
    let hub = Hub::new(&[], "");
    let _alice = Member::joined(&hub.first);
    hub.wait_sessions("member-1", 1);
    hub.run(&["users", "rename", "member-1", "laptop"]).ok();
    hub.wait_sessions("laptop", 1);
    hub.run(&["users", "show", "member-1"]).failed();
}

#[test]
fn one_word_revokes_whatever_a_user_comes_in_by() {
    let dir = TempDir::new();
    let password = "bob:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n";
    let users = dir.file("passwords", password);
    let hub = Hub::new(&[], "");
    let text = fs::read_to_string(hub.file()).unwrap();
    let with = format!("[tunnel]\nhtpasswd = {users:?}");
    fs::write(hub.file(), text.replace("[tunnel]", &with)).unwrap();
    hub.process.signal(Signal::SIGHUP);
    wait_until("passwords", || hub.user_or_none("bob").is_some());
    assert_eq!(hub.user("bob")["by"], json!(["password"]));
    let status = |login: &[&str], query: &str| {
        let mut curl = Site::here().command("curl");
        curl.args(["-sk", "-o", "/dev/null", "-w", "%{http_code}"]).args(login);
        curl.arg(format!("{}{query}", hub.url().replace("wss", "https")));
        run(curl).stdout
    };
    let login = ["-u", "bob:secret"];
    // What is let in is told that this is no WebSocket.
    assert_eq!([status(&login, ""), status(&["-u", "bob:no"], "")], ["400", "401"]);
    hub.run(&["users", "revoke", "bob"]).ok();
    assert_eq!(status(&login, ""), "403");
    assert_eq!(hub.user("bob")["state"], "revoked");
    let url = control(&hub.file());
    let token = etherws(&["ctl", "--ctlurl", &url, "--json", "createtoken", "--user", "bob"]);
    let token = token.ok().json()[0]["token"].as_str().unwrap().to_owned();
    let upgrade = [
        "--http1.1",
        "-H",
        "Connection: Upgrade",
        "-H",
        "Upgrade: websocket",
        "-H",
        "Sec-WebSocket-Version: 13",
        "-H",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ];
    assert_eq!(status(&upgrade, &format!("?token={token}")), "403");
}

impl Hub {
    fn user_or_none(&self, name: &str) -> Option<Value> {
        let shown = self.run(&["users", "show", name, "--json"]);
        (shown.code == Some(0)).then(|| shown.json()[0].take())
    }
}

#[test]
fn what_was_done_can_be_done_again() {
    let hub = Hub::new(&[], "");
    let before = fs::read_to_string(hub.file()).unwrap();
    let again = hub.run(&["init", "--no-tap"]).ok().stdout;
    assert!(again.contains("nothing was changed"), "{again}");
    assert_eq!(fs::read_to_string(hub.file()).unwrap(), before);
    let member = Member::new();
    let said = member.join(&hub.first).ok().stdout;
    assert!(said.trim_end().lines().last().unwrap().contains("etherws sw --config"), "{said}");
    let file = fs::read_to_string(member.file()).unwrap();
    let said = member.join(&hub.first).ok().stdout;
    assert!(said.contains("is member-1 on the LAN of hub already"), "{said}");
    assert_eq!(fs::read_to_string(member.file()).unwrap(), file);
    etherws(&["check", &member.file()]).ok();
    // One switch with two hubs would be one LAN.
    let other = Hub::new(&[], "");
    let error = member.join(&other.first).failed().stderr;
    assert!(error.contains("has joined hub already"), "{error}");
    assert_eq!(fs::read_to_string(member.file()).unwrap(), file);
}

#[test]
fn leave_undoes_what_join_has_done() {
    let hub = Hub::new(&[], "");
    let member = Member::new();
    fs::write(member.file(), "# mine\n[log]\ndebug = false\n").unwrap();
    member.join(&hub.first).ok();
    let leave = || etherws(&["leave", "--config", &member.file()]);
    let said = leave().ok().stdout;
    assert!(said.contains("hub has revoked member-1"), "{said}");
    let left = fs::read_to_string(member.file()).unwrap();
    assert!(left.starts_with("# mine\n[log]") && !left.contains("[[port]]"), "{left}");
    assert!(!Path::new(&member.folder(&hub)).exists());
    assert_eq!(hub.user("member-1")["state"], "revoked");
    let none = leave().failed().stderr;
    assert!(none.contains("no LAN was joined"), "{none}");
}

#[test]
fn init_leaves_alone_what_somebody_else_has_set_up() {
    let dir = TempDir::new();
    let file = dir.file("etherws.toml", "[tunnel]\nport = 8080\n");
    let error = etherws(&["init", "--config", &file, "--no-tap"]).failed().stderr;
    assert!(error.contains("has a tunnel listener already"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "[tunnel]\nport = 8080\n");
    assert!(!Path::new(&dir.at("hub")).exists());
    let new = dir.at("new.toml");
    let url = ["--url", "wss://hub.example/"];
    let print = [&["init", "--config", &new, "--no-tap", "--print"][..], &url].concat();
    let shown = etherws(&print).ok().stdout;
    assert!(shown.contains("urls = [\"wss://hub.example/\"]"), "{shown}");
    assert!(!Path::new(&new).exists() && !Path::new(&dir.at("hub")).exists());
    let plain = etherws(&["init", "--config", &new, "--no-tap", "--url", "ws://h/"]).failed();
    assert!(plain.stderr.contains("give a URL as wss://"), "{}", plain.stderr);
}

/// A certificate of 12 s is renewed after 8, and the tunnel does not notice.
#[test]
fn certificates_are_renewed_while_the_tunnel_goes_on() {
    let hub = Hub::new(&[], "lifetime = \"12s\"\n");
    let member = Member::joined(&hub.first);
    hub.wait_sessions("member-1", 1);
    let file = format!("{}/user.crt", member.folder(&hub));
    let before = fs::read(&file).unwrap();
    wait_until("another certificate", || fs::read(&file).unwrap() != before);
    wait_until("the log", || member.log().stderr.contains("certificate renewed"));
    assert!(!member.log().stderr.contains("port is down"));
    hub.wait_sessions("member-1", 1);
    let user = hub.user("member-1");
    assert!(user["expires"].as_str() > user["since"].as_str(), "{user}");
}

//! Profiles: in force before a session's first frame, changed while it goes on.

use serde_json::{Value, json};

use super::{LISTEN, Site, client};
use crate::support::{
    TempDir,
    certs::{Authority, Pair},
    frame, http,
    switch::Switch,
    wait_for, wait_until,
    ws::WebSocket,
};

/// Both with the password "password".
const USERS: &str =
    "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nbob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";

fn with_users(more: &str) -> String {
    format!("{}{more}", LISTEN.replacen("port = 0\n", "port = 0\nhtpasswd = \"users\"\n", 1))
}

/// A switch that lets in alice and bob, by a file with profiles.
fn start(profiles: &str) -> Site {
    let dir = TempDir::new();
    dir.file("users", USERS);
    let path = dir.file("etherws.toml", with_users(profiles));
    let switch = Switch::start(&["--config", &path]);
    Site { dir, path, switch }
}

fn login(site: &Site, user: &str) -> WebSocket {
    let login = http::basic(user, "password");
    WebSocket::open_with(site.switch.tunnel, "/", &[("Authorization", &login)]).expect("101")
}

/// A setting as it is in force, and where it is from.
fn shown(switch: &Switch, port: u64, name: &str) -> String {
    let report = switch.json(&["showport", &port.to_string()]);
    let setting = &report[0]["settings"][name];
    let part = |name: &str| setting[name].as_str().unwrap_or_default();
    [part("value"), part("origin"), part("profile")].join(" ").trim_end().to_owned()
}

/// An LLDP frame.
fn lldp() -> Vec<u8> {
    let mut frame = frame(2, 1, b"chassis");
    frame[..6].copy_from_slice(&[1, 0x80, 0xc2, 0, 0, 14]);
    frame
}

#[test]
fn a_session_has_its_users_profile_before_its_first_frame_and_reload_changes_it() {
    let profiles = "[profile.base]\nmax-macs = 5\n\
        [profile.guests]\nusers = [\"alice\"]\ninherits = \"base\"\nlink-local = \"none\"\n";
    let site = start(profiles);
    let (mut bob, mut alice) = (login(&site, "bob"), login(&site, "alice"));
    alice.send_frame(&lldp());
    let of = |user: &str| {
        let ports = site.switch.ports();
        ports.into_iter().find(|port| port["user"] == user)
    };
    let discards = || of("alice").is_some_and(|port| port["discards"]["link-local"] == 1);
    wait_until("its first frame to be discarded", discards);
    let alices = of("alice").unwrap();
    let (number, bobs) = (alices["port"].as_u64().unwrap(), of("bob").unwrap());
    assert_eq!((&alices["profile"], bobs.get("profile")), (&json!("guests"), None));
    let shown = |name| shown(&site.switch, number, name);
    assert_eq!(shown("link-local"), "none user-profile guests");
    assert_eq!(shown("max-macs"), "5 user-profile guests");
    let table = site.switch.ctl(&["showport", &number.to_string()]).ok().stdout;
    assert!(table.contains("none (user profile guests)"), "{table}");
    let table = site.switch.ctl(&["listport", "--long"]).ok().stdout;
    assert!(table.contains("Profile") && table.contains("guests"), "{table}");

    site.write(with_users(&profiles.replace("\"none\"", "[\"lldp\"]")));
    let changes = site.reload();
    let wanted = json!([{"action": "changed", "item": "profile"}]);
    assert_eq!(Value::from(changes), wanted);
    alice.send_frame(&lldp());
    bob.expect_frame(&lldp());
    // What is set on the port comes first, and the session goes on without any profile.
    site.switch.ctl(&["setport", "--max-macs", "7", &number.to_string()]).ok();
    assert_eq!(shown("max-macs"), "7 own");
    site.write(with_users(""));
    site.reload();
    assert_eq!(shown("link-local"), "all-but-pause default");
    assert_eq!(of("alice").unwrap()["port"], number);
    alice.send_frame(&lldp());
    bob.expect_frame(&lldp());
}

#[test]
fn a_user_is_known_by_his_certificate_or_token_too_and_others_are_meant_by_a_star() {
    let authority = Authority::new();
    let Pair { cert, key } = authority.server("server");
    let dir = TempDir::new();
    let profiles = "[profile.guests]\nusers = [\"alice\"]\nmax-macs = 3\n[profile.others]\nusers = [\"*\"]\n\
        max-macs = 4\n";
    let path = dir.file("etherws.toml", format!("{LISTEN}{profiles}"));
    let tls = ["--sslkey", &key, "--sslcert", &cert, "--sslclientca", &authority.ca];
    let server = Switch::start(&[&["--config", &path], &tls[..]].concat());
    let switch = Switch::start(&[]);
    for (name, max_macs) in [("alice", "3 user-profile guests"), ("carol", "4 user-profile others")]
    {
        let own = authority.client(name);
        let own = ["--cacerts", &authority.ca, "--cert", &own.cert, "--key", &own.key];
        let port = switch.add(&[&["client"], &own[..], &[&server.tls_url()]].concat());
        let number = wait_for("the session", || {
            let ports = server.ports();
            ports.iter().find(|port| port["user"] == name)?["port"].as_u64()
        });
        assert_eq!(shown(&server, number, "max-macs"), max_macs);
        switch.ctl(&["delport", &port.to_string()]).ok();
    }

    let site = start(profiles);
    let token = site.switch.json(&["createtoken", "--user", "alice"]);
    let path = format!("/?token={}", token[0]["token"].as_str().unwrap());
    let socket = WebSocket::open(site.switch.tunnel, &path);
    let number = site.switch.number_of(&socket);
    assert_eq!(shown(&site.switch, number, "max-macs"), "3 user-profile guests");
}

#[test]
fn a_port_names_its_profile_in_the_file_or_by_control() {
    let profiles = "[profile.office]\nmax-macs = 3\nsticky = true\n[profile.lab]\nmax-macs = 4\n";
    let port = client("ws://127.0.0.1:1/", "profile = \"office\"\nsticky = false");
    let site = Site::start(&format!("{profiles}{port}"));
    let shown = |port, name| shown(&site.switch, port, name);
    assert_eq!(shown(1, "max-macs"), "3 profile office");
    assert_eq!(shown(1, "sticky"), "off own");
    assert_eq!(shown(1, "bpdu-guard"), "off default");
    let ctl = |args: &[&str]| site.switch.ctl(args);
    let refused = ctl(&["setport", "--profile", "none", "1"]).failed();
    assert!(refused.stderr.contains("unknown profile none; known: lab, office"));
    ctl(&["setport", "--profile", "lab", "1"]).ok();
    assert_eq!(shown(1, "max-macs"), "4 profile lab");

    let far = Switch::start(&[]);
    let own = site.switch.add(&["client", &far.url(), "--profile", "lab"]);
    assert_eq!(shown(own, "max-macs"), "4 profile lab");
    // The file's port gets another one in time, and of control's it is told.
    let file = format!("{LISTEN}{profiles}{port}").replace("profile.lab", "profile.new");
    site.write(file.replace("profile = \"office\"", "profile = \"new\""));
    let changes = Value::from(site.reload());
    let gone = json!({"action": "changed", "item": format!("client {}", far.url()), "port": own,
        "note": "its profile lab is gone"});
    let of_file = json!({"action": "changed", "item": "client ws://127.0.0.1:1/", "port": 1,
        "note": "profile"});
    let profile = json!({"action": "changed", "item": "profile"});
    assert_eq!(changes, json!([profile, of_file, gone]));
    assert_eq!(shown(1, "max-macs"), "4 profile new");
    assert_eq!(shown(own, "max-macs"), "8192 default");
    ctl(&["setport", "--default", "profile", &own.to_string()]).ok();
}

#[test]
fn listprofile_shows_them_and_a_profile_limits_its_users_sessions() {
    let site = start(
        "[profile.base]\nmax-sessions = 1\n\
         [profile.guests]\ninherits = \"base\"\nusers = [\"alice\"]\ntrust = \"client\"\n",
    );
    let listed = Value::from(site.switch.json(&["listprofile"]));
    let base = json!({"name": "base", "users": [], "max-sessions": 1, "settings": {}});
    let guests = json!({"name": "guests", "inherits": "base", "users": ["alice"],
        "max-sessions": 1, "settings": {"trust": "client"}});
    assert_eq!(listed, json!([base, guests]));
    let table = site.switch.ctl(&["listprofile"]).ok().stdout;
    assert!(table.contains("alice") && table.contains("trust client"), "{table}");

    let alice = login(&site, "alice");
    let number = site.switch.number_of(&alice);
    assert_eq!(shown(&site.switch, number, "max-macs"), "8 trust");
    assert_eq!(shown(&site.switch, number, "bpdu-guard"), "on trust");
    let again = |user: &str| {
        let login = http::basic(user, "password");
        let opened = WebSocket::open_with(site.switch.tunnel, "/", &[("Authorization", &login)]);
        opened.map_err(|refused| (refused.status, refused.body))
    };
    let refused = again("alice").expect_err("a second one");
    assert_eq!(refused, (429, "Too many sessions of this user".to_owned()));
    let _bobs = [again("bob").expect("101"), again("bob").expect("101")];
    site.write(with_users("[profile.guests]\nmax-sessions = 2\nusers = [\"alice\"]\n"));
    site.reload();
    again("alice").expect("a second one may come now");
    assert_eq!(shown(&site.switch, number, "max-macs"), "8192 default");
}

#[test]
fn isolated_sessions_with_allowed_ips_reach_neither_each_other_nor_by_a_foreign_address() {
    let site = start(
        "[profile.guests]\nusers = [\"*\"]\nisolated = true\nallowed-ips = [\"192.0.2.0/24\"]\n\
         [profile.router]\nusers = [\"bob\"]\n",
    );
    let (mut router, mut one, mut two) =
        (login(&site, "bob"), login(&site, "alice"), login(&site, "alice"));
    let number = site.switch.number_of(&one);
    site.switch.number_of(&two);
    let arp = |from: u8, ip: [u8; 4]| {
        let mut frame = frame(255, from, &[0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, from]);
        frame[12..14].copy_from_slice(&[8, 6]);
        frame.extend(ip);
        frame.extend([0; 10]);
        frame
    };
    one.send_frame(&arp(1, [203, 0, 113, 1]));
    one.send_frame(&arp(1, [192, 0, 2, 1]));
    router.expect_frame(&arp(1, [192, 0, 2, 1]));
    two.send_frame(&arp(2, [192, 0, 2, 2]));
    router.expect_frame(&arp(2, [192, 0, 2, 2]));
    // The first that they get is the router's.
    router.send_frame(&arp(3, [203, 0, 113, 3]));
    one.expect_frame(&arp(3, [203, 0, 113, 3]));
    two.expect_frame(&arp(3, [203, 0, 113, 3]));
    assert_eq!(site.switch.port(number)["discards"]["foreign-ip"], 1);
    two.send_frame(&frame(1, 2, b"for a known address"));
    let isolated = || site.switch.port(number)["discards"]["isolated"] == 1;
    wait_until("its discard", isolated);
}

#[test]
fn a_rogue_dhcp_server_is_kept_out_and_named() {
    let site = start("[profile.guests]\nusers = [\"alice\"]\ntrust = \"client\"\n");
    let (mut alice, mut bob) = (login(&site, "alice"), login(&site, "bob"));
    let number = site.switch.number_of(&alice);
    site.switch.number_of(&bob);
    let offer = || {
        let udp = [0, 67, 0, 68, 0, 12, 0, 0, 2, 1, 6, 0];
        let mut ip = vec![0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 203, 0, 113, 9];
        ip.extend([255; 4]);
        ip.extend(udp);
        let mut frame = frame(255, 7, &ip);
        frame[12..14].copy_from_slice(&[8, 0]);
        frame
    };
    (0..3).for_each(|_| alice.send_frame(&offer()));
    alice.send_frame(&frame(255, 7, b"last"));
    bob.expect_frame(&frame(255, 7, b"last"));
    assert_eq!(site.switch.port(number)["discards"]["rogue-dhcp-server"], 3);
    let events = site.switch.json(&["events", "--event", "guard"]);
    let details = json!({"what": "rogue-dhcp-server", "mac": "02:00:00:00:00:07", "vlan": 0,
        "address": "203.0.113.9", "user": "alice"});
    assert_eq!((events.len(), &events[0]["port"]), (1, &json!(number)), "{events:?}");
    for (name, value) in details.as_object().expect("members") {
        assert_eq!(events[0][name], *value, "{events:?}");
    }
    let log = site.switch.process.stderr.text();
    assert_eq!(log.matches("rogue DHCP server: its frames are discarded").count(), 1, "{log}");
}

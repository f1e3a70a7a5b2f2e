//! The configuration file: checked, applied, applied again, and written back.

mod mirrors;
mod profiles;

use std::{fs, os::unix::fs::symlink, thread};

use serde_json::Value;

use crate::support::{
    LIMIT, TempDir, frame, free_address, http,
    lab::Namespace,
    need,
    process::Output,
    switch::{Switch, etherws, field},
    wait_for, wait_until, wait_within,
    ws::{PING, PONG, WebSocket},
};

/// Listeners of a test.
const LISTEN: &str = r#"# Kept.
[tunnel]
host = "127.0.0.1"
port = 0

[control]
host = "127.0.0.2"
port = 0
"#;

/// A file, and a switch that runs by it.
struct Site {
    dir: TempDir,
    path: String,
    switch: Switch,
}

impl Site {
    fn start(more: &str) -> Self {
        let dir = TempDir::new();
        let path = dir.file("etherws.toml", format!("{LISTEN}{more}"));
        let switch = Switch::start(&["--config", &path]);
        Self { dir, path, switch }
    }

    fn write(&self, text: impl AsRef<[u8]>) {
        fs::write(&self.path, text).unwrap();
    }

    /// What a reload has changed.
    fn reload(&self) -> Vec<Value> {
        self.switch.json(&["reload"])
    }

    fn check(&self) -> Output {
        etherws(&["check", &self.path])
    }
}

fn client(url: &str, more: &str) -> String {
    format!("\n[[port]]\ntype = \"client\"\ntarget = \"{url}\"\n{more}\n")
}

#[test]
fn check_tells_of_every_mistake_with_its_place() {
    let dir = TempDir::new();
    let path = dir.file(
        "bad.toml",
        "[switch]\nagout = 5\nthreads = 0\n\n[tunnel]\nport = \"http\"\n\n[[port]]\ntype = \
         \"tab\"\ntarget = \"ewp0\"\n\n[[port]]\ntype = \"client\"\ntarget = \"http://x/\"\nmtu = \
         1500\n[[port.fdb]]\nvlan = 1\n\n[[port]]\ntype = \"netdev\"\ntarget = \"eth0\"\nmac = \
         \"random\"\n",
    );
    let output = etherws(&["check", &path]).failed();
    for wanted in [
        ":2:1: unknown key agout; did you mean ageout?",
        ":3:11: threads = 0: give a whole number from 1 to 256",
        ":6:8: port = \"http\": give a whole number from 0 to 65535",
        ":9:8: unknown value tab; did you mean tap?",
        ":14:10: \"http://x/\" is not a WebSocket URL",
        ":15:7: mtu is for tap and netdev ports only",
        ":16:1: mac is missing",
        ":22:7: mac is only for tap ports, and this is a netdev port; delete it",
        "bad.toml: 8 errors",
    ] {
        assert!(output.stderr.contains(wanted), "{wanted}: {}", output.stderr);
    }
    assert_eq!(output.stdout, "");
    // What check refuses does not start either, and says the same.
    let started = etherws(&["sw", "--foreground", "--config", &path]).failed();
    assert!(started.stderr.contains(":2:1: unknown key agout"), "{}", started.stderr);
    let good = dir.file("good.toml", LISTEN);
    assert!(etherws(&["check", &good]).ok().stdout.contains("control: http://127.0.0.2:0/ctl"));
}

#[test]
fn check_looks_into_the_files_that_are_named() {
    let dir = TempDir::new();
    dir.file("users", "not an entry\n");
    dir.file("empty", "");
    let text = "[tunnel]\nhtpasswd = \"users\"\n[tunnel.tls]\nkey = \"empty\"\ncert = \"empty\"\n\n\
                [[port]]\ntype = \"client\"\ntarget = \"wss://h/\"\nuser = \"u\"\npassword-file = \
                \"nowhere\"\n";
    let path = dir.file("c.toml", text);
    let output = etherws(&["check", &path]).failed();
    // The one does not hide the others.
    for wanted in [":2:12: htpasswd file", ":11:17: password-file", "c.toml: 3 errors"] {
        assert!(output.stderr.contains(wanted), "{wanted}: {}", output.stderr);
    }
    dir.file("nowhere", "secret\n");
    let output = etherws(&["check", &path]).failed();
    for wanted in [":2:12: htpasswd file", "c.toml: 2 errors"] {
        assert!(output.stderr.contains(wanted), "{wanted}: {}", output.stderr);
    }
    assert!(!output.stderr.contains("secret"), "{}", output.stderr);
}

#[test]
fn check_refuses_what_would_let_nobody_in_and_warns_of_what_lets_in_everybody() {
    let dir = TempDir::new();
    dir.file("users", "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n");
    let check = |text: &str| etherws(&["check", &dir.file("c.toml", text)]);
    let roles = "[control.roles]\nadmin = [\"alice\", \"bob\"]\n";
    for (text, wanted) in [
        ("[switch]\nuser = \"no-such-user\"\n".to_owned(), ":2:8: no user no-such-user"),
        (format!("[control]\nhtpasswd = \"users\"\n{roles}"), ":4:19: bob is not in "),
        (roles.to_owned(), ":2:10: nobody can come in as alice, since control asks for no names"),
        ("[control.roles]\nviewer = [\"@wheel\"]\n".to_owned(), "@wheel is a group of accounts"),
        ("[control]\nhost = \"192.0.2.1\"\n".to_owned(), "could control the switch"),
    ] {
        let output = check(&text).failed();
        assert!(output.stderr.contains(wanted), "{wanted}: {}", output.stderr);
    }
    for (text, wanted) in [
        ("[control]\nhost = \"0.0.0.0\"\n", "WARNING: control lets in this machine only"),
        ("[control]\nhost = \"192.0.2.1\"\nopen = true\n", "WARNING: anyone who can reach control"),
        (
            "[[port]]\ntype = \"tap\"\ntarget = \"t\"\ncarrier-from = \"uplink\"\n",
            "WARNING: carrier-from uplink: the file has no port of this name",
        ),
    ] {
        let output = check(text).ok();
        assert!(output.stdout.contains(wanted), "{wanted}: {}", output.stdout);
    }
    let good = "[control]\nhtpasswd = \"users\"\n[control.roles]\nadmin = [\"alice\"]\n";
    assert!(!check(good).ok().stdout.contains("WARNING"));
}

#[test]
fn check_leaves_log_files_as_they_are() {
    let dir = TempDir::new();
    let (kept, none) = (dir.file("kept", "content"), dir.at("none"));
    let conf = format!(
        "[loggers]\nkeys=root\n[handlers]\nkeys=kept,none\n[formatters]\nkeys=\n\
         [logger_root]\nhandlers=kept,none\n\
         [handler_kept]\nclass=FileHandler\nargs=('{kept}', 'w')\n\
         [handler_none]\nclass=FileHandler\nargs=('{none}',)\n"
    );
    dir.file("log.ini", &conf);
    let path = dir.file("c.toml", format!("{LISTEN}[log]\nconf = \"log.ini\"\n"));
    etherws(&["check", &path]).ok();
    assert_eq!(fs::read_to_string(&kept).unwrap(), "content");
    assert!(!fs::exists(&none).unwrap(), "created");
    dir.file("log.ini", conf.replace("keys=root", "keys=root,other"));
    let output = etherws(&["check", &path]).failed();
    assert!(output.stderr.contains("no section [logger_other]"), "{}", output.stderr);
}

#[test]
fn options_win_over_the_file() {
    let dir = TempDir::new();
    let path = dir.file("c.toml", format!("{LISTEN}path = \"/c\"\n[switch]\nmaxmacs = 7\n"));
    let text = fs::read_to_string(&path).unwrap().replace("[control]", "path = \"/t\"\n[control]");
    fs::write(&path, text).unwrap();
    let switch = Switch::start(&["--config", &path, "--ctlpath", "/ctl", "--path", "/own"]);
    WebSocket::open(switch.tunnel, "/own");
    assert_eq!(WebSocket::open_with(switch.tunnel, "/t", &[]).unwrap_err().status, 404);
    let (_socket, number) = {
        let socket = WebSocket::open(switch.tunnel, "/own");
        let number = switch.number_of(&socket);
        (socket, number)
    };
    let report = switch.json(&["showport", &number.to_string()]);
    assert_eq!(report[0]["limits"]["macs"]["limit"], "7");
    // Those of the command line still win when the file is read again.
    assert_eq!(switch.json(&["reload"]), Vec::<Value>::new());
    let said = switch.ctl(&["reload"]).ok().stderr;
    assert!(said.contains("nothing has changed"), "{said}");
}

#[test]
fn a_reload_changes_what_differs_and_an_unchanged_tunnel_loses_no_frame() {
    let far = Switch::start(&[]);
    let other = Switch::start(&[]);
    let unchanged = client(&far.url(), "");
    let site = Site::start(&unchanged);
    site.switch.wait_state(1, "up");
    let (mut sender, _) = site.switch.open();
    let (mut receiver, _) = far.open();
    const FRAMES: u16 = 3000;
    let receiving = thread::spawn(move || {
        for number in 0..FRAMES {
            receiver.expect_frame(&frame(255, 1, &number.to_be_bytes()));
        }
        receiver
    });
    let sending = thread::spawn(move || {
        for number in 0..FRAMES {
            sender.send_frame(&frame(255, 1, &number.to_be_bytes()));
        }
        sender
    });
    let storm = "storm-broadcast = \"off\"";
    let limits = LISTEN.replace("port = 0\n\n[control]", "port = 0\nmaxsessions = 9\n\n[control]");
    site.write(format!("{limits}{unchanged}{}", client(&other.url(), storm)));
    let changes = site.reload();
    let actions: Vec<_> =
        changes.iter().map(|change| (&change["action"], &change["port"])).collect();
    assert_eq!(actions.len(), 2, "{changes:?}");
    let added = changes.iter().find(|change| change["action"] == "added").unwrap();
    assert_eq!(added["item"], format!("client {}", other.url()));
    let number = added["port"].as_u64().unwrap();
    let report = site.switch.json(&["showport", &number.to_string()]);
    assert_eq!(report[0]["limits"]["storm-broadcast"]["limit"], "off");
    site.write(format!("{LISTEN}{unchanged}{}", client(&other.url(), "shut = true")));
    let changes = site.reload();
    let changed = changes.iter().find(|change| change["port"] == number).unwrap();
    assert_eq!(changed["note"], "shut, storm-broadcast", "{changes:?}");
    site.write(format!("{LISTEN}{unchanged}"));
    let changes = site.reload();
    assert_eq!((&changes[0]["action"], &changes[0]["port"]), (&"deleted".into(), &number.into()));
    let _receiver = receiving.join().unwrap();
    let _sender = sending.join().unwrap();
    assert_eq!(site.switch.port(1)["state"], "up");
    assert_eq!(far.ports().len(), 2, "one session and the receiver");
    assert_eq!(site.reload(), Vec::<Value>::new());
}

#[test]
fn a_port_of_the_file_that_cannot_be_opened_yet_is_there_all_the_same() {
    let late = TempDir::new();
    let site = Site::start(&client("ws://127.0.0.1:1/", "shut = true"));
    site.switch.wait_state(1, "backoff");
    assert_eq!(site.switch.port(1)["shut"], true);
    // A port of control's stays, whatever the file says.
    let far = Switch::start(&[]);
    let own = site.switch.add(&["client", &far.url()]);
    site.write(LISTEN);
    assert_eq!(site.reload()[0]["action"], "deleted");
    assert_eq!(site.switch.port(own)["state"], "up");
    drop(late);
}

#[test]
fn a_broken_file_changes_nothing_and_says_where() {
    let far = Switch::start(&[]);
    let site = Site::start(&client(&far.url(), ""));
    site.switch.wait_state(1, "up");
    site.write(format!("{LISTEN}path = 7\n"));
    let output = site.switch.ctl(&["reload"]).failed();
    assert!(
        output.stderr.contains("etherws.toml:9:8: path = 7: a text needs quotes"),
        "{}",
        output.stderr
    );
    site.write(format!("{LISTEN}htpasswd = \"nowhere\"\n"));
    site.switch.ctl(&["reload"]).failed();
    assert!(site.switch.process.stderr.contains("configuration stays as it was"));
    assert_eq!(site.switch.port(1)["state"], "up");
}

#[test]
fn sighup_reads_the_file_again() {
    let site = Site::start("");
    site.write(format!("{LISTEN}{}", client("ws://127.0.0.1:1/", "")));
    site.switch.process.signal(nix::sys::signal::Signal::SIGHUP);
    wait_until("the port", || site.switch.ports().len() == 1);
}

#[test]
fn listeners_change_one_by_one_and_sessions_go_on() {
    let mut site = Site::start("");
    let (mut stranger, _) = site.switch.open();
    // The password is "password".
    let users = "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";
    site.dir.file("users", users);
    let with_users = LISTEN.replacen("port = 0\n", "port = 0\nhtpasswd = \"users\"\n", 1);
    site.write(&with_users);
    let changes = site.reload();
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!(changes[0]["item"], "tunnel on 127.0.0.1:0");
    // The same socket, other rules: who has come in without a password is put out.
    assert_eq!(WebSocket::open_with(site.switch.tunnel, "/", &[]).unwrap_err().status, 401);
    stranger.expect_close(1008);
    let login = http::basic("a", "password");
    let open = || WebSocket::open_with(site.switch.tunnel, "/", &[("Authorization", &login)]);
    let (mut one, mut two) = (open().unwrap(), open().unwrap());
    let number = site.switch.number_of(&one);
    site.switch.number_of(&two);
    // Control moves while it answers; who is in stays.
    site.write(with_users.replace("127.0.0.2", "127.0.0.3"));
    let changes = site.reload();
    let actions: Vec<_> = changes.iter().map(|change| change["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["added", "deleted"], "{changes:?}");
    let moved = wait_for("control's new place", || {
        site.switch.process.stderr.find(|line| {
            let address = field(line, "address")?;
            address.starts_with("127.0.0.3:").then(|| address.to_owned())
        })
    });
    site.switch.ctl(&["listport"]).failed();
    let url = format!("http://{moved}/ctl");
    let ports = etherws(&["ctl", "--ctlurl", &url, "--json", "listport"]).ok().json();
    assert_eq!(ports[0]["port"], number);
    one.send_frame(&frame(255, 1, b"still here"));
    two.expect_frame(&frame(255, 1, b"still here"));
    assert!(site.switch.process.exited().is_none());
}

#[test]
fn a_reload_that_fails_leaves_all_listeners_as_they_were() {
    let place = free_address();
    // One that the kernel gives nobody by itself: on all addresses somebody else might have it.
    let (host, port) = (place.ip(), 20_000 + place.port() % 10_000);
    let listen = format!("[tunnel]\nhost = \"{host}\"\nport = {port}\n");
    let control = "[control]\nhost = \"127.0.0.2\"\nport = 0\n";
    let dir = TempDir::new();
    let path = dir.file("etherws.toml", format!("{listen}{control}"));
    let switch = Switch::start(&["--config", &path]);
    let (mut socket, number) = switch.open();
    let listeners = switch.json(&["showserver"]).len();
    // The tunnel would be on all addresses, for which the former one has to go first, and control
    // on one that is not of this machine.
    let (all, nowhere) =
        (listen.replace(&host.to_string(), ""), "[control]\nhost = \"192.0.2.77\"");
    let open = format!("{nowhere}\nport = 7867\nopen = true\n");
    for text in [format!("{all}{open}"), format!("{listen}path = \"/lan\"\n{open}")] {
        fs::write(&path, text).unwrap();
        let refused = switch.ctl(&["reload"]).failed();
        assert!(refused.stderr.contains("192.0.2.77"), "{refused:?}");
        let (_other, _) = switch.open();
        assert_eq!(switch.json(&["showserver"]).len(), listeners);
    }
    assert_eq!(switch.ports()[0]["port"], number);
    socket.send(PING, b"");
    assert!(socket.receive().is_some_and(|message| message.opcode == PONG));
}

#[test]
fn save_keeps_a_symbolic_link_to_the_file() {
    let dir = TempDir::new();
    let real = dir.file("real.toml", LISTEN);
    let link = dir.at("etherws.toml");
    symlink("real.toml", &link).unwrap();
    let switch = Switch::start(&["--config", &link]);
    let far = Switch::start(&[]);
    switch.add(&["client", &far.url()]);
    switch.ctl(&["save"]).ok();
    assert_eq!(fs::read_link(&link).unwrap().to_str(), Some("real.toml"));
    assert!(fs::read_to_string(&real).unwrap().contains(&far.url()));
    assert_eq!(switch.json(&["reload"]), Vec::<Value>::new());
}

#[test]
fn what_was_saved_is_good_and_changes_nothing() {
    let far = Switch::start(&[]);
    let file = client(&far.url(), "shut = false # by night\nmaxmacs = 5");
    let gone = client("ws://127.0.0.1:1/", "");
    let site = Site::start(&format!("{file}{gone}# The end.\n"));
    site.switch.wait_state(1, "up");
    let other = Switch::start(&[]);
    let ctl = |args: &[&str]| site.switch.ctl(args).ok();
    ctl(&["delport", "2"]);
    ctl(&["setport", "--shut", "1", "1"]);
    ctl(&["addfdb", "--vlan", "7", "02:00:00:00:00:09", "1"]);
    let own = site.switch.add(&["client", &other.url(), "--insecure"]);
    ctl(&["setport", "--storm-unicast", "5/7", "--loopguard", "on", &own.to_string()]);
    let third = Switch::start(&[]);
    let secret = ["client", &third.url(), "--user", "u", "--passwd", "secret"];
    let secret = site.switch.add(&secret);
    let changes = site.switch.json(&["save"]);
    let of = |port: u64| changes.iter().find(|change| change["port"] == port).unwrap();
    assert_eq!(of(1)["note"], "shut, fdb");
    assert_eq!((&of(2)["action"], &of(own)["action"]), (&"deleted".into(), &"added".into()));
    assert_eq!(of(secret)["action"], "kept");
    let text = fs::read_to_string(&site.path).unwrap();
    for kept in ["# Kept.", "shut = true # by night", "maxmacs = 5", "storm-unicast = \"5/7\""] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    assert!(!text.contains("secret") && !text.contains("127.0.0.1:1/"), "{text}");
    site.check().ok();
    assert_eq!(site.reload(), Vec::<Value>::new());
    let again = site.switch.json(&["save"]);
    assert_eq!(again.len(), 1, "the port with the password: {again:?}");
    assert_eq!(fs::read_to_string(&site.path).unwrap(), text);
    // What somebody has edited meanwhile is not overwritten.
    site.write(format!("{text}# Edited.\n"));
    let output = site.switch.ctl(&["save"]).failed();
    assert!(output.stderr.contains("reload first"), "{}", output.stderr);
    // A switch that starts by it has the same ports.
    let again = Switch::start(&["--config", &site.path]);
    let report = again.json(&["showport", "2"]);
    assert_eq!(report[0]["limits"]["storm-unicast"]["limit"], "5/7");
    assert_eq!(again.port(1)["shut"], true);
    assert_eq!(again.json(&["listfdb"])[0]["mac"], "02:00:00:00:00:09");
}

#[test]
fn a_client_port_goes_elsewhere_and_keeps_its_number() {
    let (one, two, three) = (Switch::start(&[]), Switch::start(&[]), Switch::start(&[]));
    let named = |url: &str| client(url, "name = \"uplink\"");
    let site = Site::start(&named(&one.url()));
    site.switch.wait_state(1, "up");
    let is_at = |server: &Switch| {
        let port = site.switch.port(1);
        port["state"] == "up" && port["target"] == server.url() && !server.ports().is_empty()
    };
    // By control, which save writes; by the file; and from where nobody answers, at once.
    let answer = site.switch.json(&["setport", "1", "--url", &two.url()]).remove(0);
    assert_eq!((&answer["state"], &answer["target"]), (&"connecting".into(), &two.url().into()));
    wait_until("the second server", || is_at(&two));
    wait_until("the first to be left", || one.ports().is_empty());
    assert_eq!(site.switch.json(&["save"])[0]["note"], "options");
    assert!(fs::read_to_string(&site.path).unwrap().contains(&two.url()));
    site.write(format!("{LISTEN}{}", named(&three.url())));
    let changes = site.reload();
    assert_eq!((&changes[0]["action"], &changes[0]["port"]), (&"changed".into(), &1.into()));
    wait_until("the third server", || is_at(&three));
    site.switch.ctl(&["setport", "uplink", "--url", "ws://127.0.0.1:1/"]).ok();
    site.switch.wait_state(1, "backoff");
    site.switch.ctl(&["setport", "uplink", "--url", &one.url(), "--max-macs", "5"]).ok();
    wait_until("the first server again", || is_at(&one));
    // All options that addport has, each of which can be taken away again.
    let options = || site.switch.json(&["showport", "1"]).remove(0)["options"].clone();
    let set = |more: &[&str]| drop(site.switch.ctl(&[&["setport", "1"], more].concat()).ok());
    set(&["--header", "X-Key: secret", "--mss", "1200", "--host", "h", "--sni", "s", "--insecure"]);
    let wanted = serde_json::json!({"header": ["X-Key: (secret)"], "mss": 1200, "host": "h",
        "sni": "s", "insecure": true});
    assert_eq!(options(), wanted);
    let shown = site.switch.ctl(&["showport", "1"]).ok().stdout;
    assert!(shown.contains("X-Key: (secret)") && shown.contains("mss "), "{shown}");
    set(&["--header", "", "--mss", "0", "--host", "", "--sni", "", "--insecure=off"]);
    assert_eq!(options(), Value::Null);
    // What cannot be changes nothing.
    for (wrong, why) in [
        (&["--pin", "x"][..], "goes without TLS"),
        (&["--url", "http://h/"][..], "is not a WebSocket URL"),
        (&["--cacerts", "/nowhere"], "/nowhere"),
        (&["--passwd", "x"], "without a user"),
    ] {
        let refused = site.switch.ctl(&[&["setport", "1"], wrong].concat()).failed();
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
    assert!(is_at(&one));
    let (_socket, session) = site.switch.open();
    let refused = site.switch.ctl(&["setport", &session.to_string(), "--url", &one.url()]).failed();
    assert!(refused.stderr.contains("only client ports"), "{refused:?}");
}

#[test]
fn user_and_password_of_a_client_port_change_without_a_new_number() {
    let dir = TempDir::new();
    // "password" and "secret".
    let users = dir.file(
        "users",
        "a:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\nb:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n",
    );
    let server = Switch::start(&["--htpasswd", &users]);
    let site = Site::start("");
    site.dir.file("own", "wrong\n");
    let of_file = client(&server.url(), "user = \"a\"\npassword-file = \"own\"");
    site.write(format!("{LISTEN}{of_file}"));
    site.reload();
    site.switch.wait_state(1, "backoff");
    // The password's file has changed, and nothing else.
    site.dir.file("own", "password\n");
    assert_eq!(site.reload()[0]["port"], 1);
    site.switch.wait_state(1, "up");
    site.switch.ctl(&["setport", "1", "--user", "b", "--passwd", "secret"]).ok();
    wait_until("the other user", || server.ports().first().is_some_and(|port| port["user"] == "b"));
    assert_eq!(site.switch.port(1)["port"], 1);
    // A password of control's is not written.
    assert_eq!(site.switch.json(&["save"])[0]["action"], "kept");
}

#[test]
fn a_key_that_is_taken_out_has_the_default_of_the_same_edit_and_an_explicit_one_stays() {
    let port = |line: &str| client("ws://127.0.0.1:1/", line);
    let defaults = |n: u32| format!("[port-defaults]\nmax-macs = {n}\n");
    let site = Site::start(&format!("{}{}", defaults(100), port("max-macs = 7")));
    let shown = || {
        let report = site.switch.json(&["showport", "1"]);
        let setting = &report[0]["settings"]["max-macs"];
        (
            setting["value"].as_str().unwrap().to_owned(),
            setting["origin"].as_str().unwrap().to_owned(),
        )
    };
    let is = |value: &str, origin: &str| assert_eq!(shown(), (value.to_owned(), origin.to_owned()));
    is("7", "own");
    site.write(format!("{LISTEN}{}{}", defaults(200), port("")));
    site.reload();
    is("200", "port-defaults");
    // One that says what the default says is the port's own all the same.
    site.write(format!("{LISTEN}{}{}", defaults(200), port("max-macs = 200")));
    site.reload();
    is("200", "own");
    site.write(format!("{LISTEN}{}{}", defaults(300), port("max-macs = 200")));
    site.reload();
    is("200", "own");
}

#[test]
fn save_without_a_file_says_so() {
    let switch = Switch::start(&[]);
    let output = switch.ctl(&["save"]).failed();
    assert!(output.stderr.contains("without --config"), "{}", output.stderr);
    assert_eq!(switch.json(&["reload"]), Vec::<Value>::new());
}

#[test]
fn addresses_and_mtu_are_applied_live() {
    let namespace = need!(Namespace::new());
    need!(namespace.can_make_taps());
    let dir = TempDir::new();
    let tap =
        |more: &str| format!("{LISTEN}\n[[port]]\ntype = \"tap\"\ntarget = \"ewp%d\"\n{more}");
    let text = tap("addresses = [\"192.0.2.1/24\"]\nmtu = 1400\n");
    // Loopback of a namespace has all of 127.0.0.0/8.
    let path = dir.file("c.toml", text);
    let switch = Switch::start_at(&namespace.site, &["--config", &path]);
    let shown = || namespace.ip("-o addr show dev ewp0") + &namespace.ip("-o link show dev ewp0");
    // It listens before its ports are there.
    wait_until("the device", || namespace.has_link("ewp0"));
    wait_until("its first settings", || {
        let shown = shown();
        shown.contains("192.0.2.1/24") && shown.contains("mtu 1400")
    });
    let new = tap("addresses = [\"192.0.2.2/24\", \"2001:db8::2/64\"]\nmtu = 1300\nmaxmacs = 3\n");
    fs::write(&path, new).unwrap();
    let changes = switch.json(&["reload"]);
    assert_eq!(changes.len(), 1, "{changes:?}");
    assert_eq!((&changes[0]["action"], &changes[0]["port"]), (&"changed".into(), &1.into()));
    let now = shown();
    for wanted in ["192.0.2.2/24", "2001:db8::2/64", "mtu 1300"] {
        assert!(now.contains(wanted), "{wanted}: {now}");
    }
    assert!(!now.contains("192.0.2.1/"), "{now}");
    switch.ctl(&["setif", "--mtu", "1350", "1"]).ok();
    switch.ctl(&["save"]).ok();
    assert!(fs::read_to_string(&path).unwrap().contains("mtu = 1350"));
    assert_eq!(switch.json(&["reload"]), Vec::<Value>::new());
    fs::write(&path, tap("mtu = 1350\nmaxmacs = 3\n")).unwrap();
    switch.ctl(&["reload"]).ok();
    wait_within(LIMIT, "the address's end", || (!shown().contains("192.0.2.2")).then_some(()));
}

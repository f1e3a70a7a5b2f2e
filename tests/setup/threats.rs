//! What each of those can do who want to get in uninvited, and what limits it. The names stand in
//! docs/threat-model.md.

use std::{fs, net::TcpListener};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};

use super::{Hub, Member, remade, start, status};
use crate::support::{
    TempDir, need,
    peers::tool,
    process::{Site, run},
    switch::etherws,
    wait_until,
};

/// A stranger who guesses secrets of invitations.
#[test]
fn guessing_invitations_is_slowed_down() {
    need!(tool("curl"));
    let hub = Hub::new(&[], "");
    let member = Member::new();
    let guess = |n: u8| remade(&hub.first, None, Some([n; 16]));
    let said: Vec<_> = (0..8).map(|n| member.join(&guess(n)).failed().stderr).collect();
    assert!(said[0].contains("no such invitation"), "{said:#?}");
    assert!(said[7].contains("429"), "{said:#?}");
    let late = member.join(&hub.first).failed().stderr;
    assert!(late.contains("try again later"), "not even the right one from here: {late}");
}

/// Somebody on the way who answers in the hub's place.
#[test]
fn a_man_in_the_middle_gets_no_secret() {
    need!(tool("openssl"));
    let hub = Hub::new(&[], "");
    // Another hub at another address, to which the link is led.
    let other = Hub::new(&[], "");
    let led = remade(&hub.first, Some(&format!("{}/", other.address)), None);
    let error = Member::new().join(&led).failed().stderr;
    assert!(
        error.contains("its certificate is of another CA") && !error.contains("--pin"),
        "{error}"
    );
    let asked = other.process.stderr.text();
    assert!(!asked.contains("invitation"), "it was asked nothing: {asked}");
    Member::new().join(&hub.first).ok();
}

/// What a wrong clock sees is no attack, and is not called one.
#[test]
fn a_certificate_out_of_its_time_has_the_clock_looked_at() {
    let hub = Hub::new(&[], "");
    let read = |name: &str| fs::read_to_string(hub.dir.at(&format!("hub/{name}"))).unwrap();
    let ca = KeyPair::from_pem(&read("ca.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("ca.crt"), ca).unwrap();
    let key = KeyPair::from_pem(&read("tunnel.key")).unwrap();
    let mut params = CertificateParams::new([hub.address.ip().to_string()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let old = params.signed_by(&key, &issuer).unwrap();
    hub.dir.file("hub/tunnel.crt", old.pem() + &read("ca.crt"));
    wait_until("its use", || hub.process.stderr.contains("certificates read again"));
    let error = Member::new().join(&hub.first).failed().stderr;
    assert!(error.contains("until Jan  1") && error.contains("set the clock"), "{error}");
    assert!(!error.contains("--pin"), "{error}");
}

/// A thief of the hub's files: who has the CA's key can sign what he likes.
#[test]
fn a_certificate_that_a_thief_of_the_cas_key_has_made_is_of_no_user() {
    need!(tool("curl"));
    let hub = Hub::new(&[], "");
    let alice = Member::joined(&hub.first);
    hub.wait_sessions("member-1", 1);
    let read = |name: &str| fs::read_to_string(hub.dir.at(&format!("hub/{name}"))).unwrap();
    let ca = KeyPair::from_pem(&read("ca.key")).unwrap();
    let issuer = Issuer::from_ca_cert_pem(&read("ca.crt"), ca).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "member-1");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let forged = params.signed_by(&key, &issuer).unwrap();
    let dir = TempDir::new();
    let (cert, key) = (dir.file("cert", forged.pem()), dir.file("key", key.serialize_pem()));
    assert_eq!(status(&hub, &cert, &key), "403");
    // Nor by a CA of his own that he has had the hub's sign.
    let (between, leaf) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "other");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let other = params.signed_by(&between, &issuer).unwrap();
    let other_issuer = Issuer::from_params(&params, between);
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "member-1");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let forged = params.signed_by(&leaf, &other_issuer).unwrap();
    let chain = dir.file("chain", forged.pem() + &other.pem());
    assert_eq!(status(&hub, &chain, &dir.file("leaf", leaf.serialize_pem())), "403");
    // That of a user passes, and is told that this is no WebSocket.
    let own = alice.folder(&hub);
    assert_eq!(status(&hub, &format!("{own}/user.crt"), &format!("{own}/user.key")), "400");
}

/// A thief of a user's key.
#[test]
fn a_stolen_key_is_worth_nothing_once_its_user_is_revoked() {
    need!(tool("curl"));
    let hub = Hub::new(&[], "");
    let alice = Member::joined(&hub.first);
    hub.wait_sessions("member-1", 1);
    let (own, thief) = (alice.folder(&hub), TempDir::new());
    let [cert, key] = ["user.crt", "user.key"]
        .map(|name| thief.file(name, fs::read(format!("{own}/{name}")).unwrap()));
    hub.run(&["users", "revoke", "member-1"]).ok();
    assert_eq!(status(&hub, &cert, &key), "403");
    wait_until("the end of the session", || alice.log().stderr.contains("1008"));
    // Neither is it renewed.
    let mut curl = Site::here().command("curl");
    curl.args(["-sk", "--cert", &cert, "--key", &key, "-H", "Content-Type: application/json"]);
    curl.args(["--data", "{\"request\":\"x\"}", "-o", "/dev/null", "-w", "%{http_code}"]);
    curl.arg(format!("{}join", hub.url().replace("wss", "https")));
    let renewed = run(curl).stdout;
    assert!(["400", "403"].contains(&&*renewed), "{renewed}");
}

/// Somebody who finds a link that was leaked, after its user has joined.
#[test]
fn a_leaked_link_lets_nobody_in_twice_and_shows_who_was_first() {
    let hub = Hub::new(&[], "");
    // The thief was faster: the user sees it at once, and the operator revokes.
    let thief = Member::joined(&hub.first);
    hub.wait_sessions("member-1", 1);
    let error = Member::new().join(&hub.first).failed().stderr;
    assert!(error.contains("was used already"), "{error}");
    hub.run(&["users", "revoke", "member-1"]).ok();
    wait_until("the thief's end", || thief.log().stderr.contains("The user was revoked"));
    let error = Member::new().join(&hub.first).failed().stderr;
    assert!(error.contains("revoked"), "{error}");
}

/// Many who guess at once know of each other's failures.
#[test]
fn guesses_at_the_same_moment_count_one_after_the_other() {
    let hub = Hub::new(&[], "");
    let link = remade(&hub.first, None, Some([7; 16]));
    let members = [(); 16].map(|()| Member::new());
    let said = std::thread::scope(|scope| {
        let link = &link;
        let all = members.each_ref().map(|one| scope.spawn(move || one.join(link).stderr));
        all.map(|one| one.join().unwrap())
    });
    let guessed = said.iter().filter(|said| said.contains("no such invitation")).count();
    assert_eq!(guessed, 5, "{said:#?}");
}

/// A member who asks for certificate after certificate.
#[test]
fn a_certificate_is_not_renewed_again_and_again() {
    need!(tool("curl"));
    let hub = Hub::new(&[], "");
    let member = Member::new();
    member.join(&hub.first).ok();
    let own = member.folder(&hub);
    let request = {
        let key = KeyPair::from_pem(&fs::read_to_string(format!("{own}/user.key")).unwrap());
        let request = CertificateParams::default().serialize_request(&key.unwrap()).unwrap();
        serde_json::json!({ "request": request.pem().unwrap() }).to_string()
    };
    let mut curl = Site::here().command("curl");
    curl.args(["-sk", "--cert", &format!("{own}/user.crt"), "--key", &format!("{own}/user.key")]);
    curl.args(["-H", "Content-Type: application/json", "--data", &request]);
    curl.args(["-o", "/dev/null", "-w", "%{http_code}"]);
    curl.arg(format!("{}join", hub.url().replace("wss", "https")));
    assert_eq!(run(curl).stdout, "429");
}

/// A name that stands for more than its user.
#[test]
fn nobody_is_invited_under_a_name_that_is_somebody_elses() {
    let hub = Hub::new(&[], "");
    let text = fs::read_to_string(hub.file()).unwrap();
    let roles =
        "\n[control.roles]\nadmin = [\"root\"]\n[profile.p]\nusers = [\"carol\", \"crew-3\"]\n";
    fs::write(hub.file(), text + roles).unwrap();
    hub.process.signal(nix::sys::signal::Signal::SIGHUP);
    wait_until("the roles", || hub.process.stderr.contains("configuration read again"));
    for name in ["root", "carol"] {
        let error = hub.run(&["invite", name]).failed().stderr;
        assert!(error.contains("give another name"), "{error}");
    }
    hub.run(&["invite", "crew", "--uses", "9"]).failed();
    hub.invite("crew", &[]);
    let error = hub.run(&["users", "rename", "member-1", "carol"]).failed().stderr;
    assert!(error.contains("give another name"), "{error}");
}

/// Whoever sends anything to where invitations are redeemed.
#[test]
fn what_is_no_request_to_join_is_refused() {
    need!(tool("curl"));
    let hub = Hub::new(&[], "");
    let send = |options: &[&str]| {
        let mut curl = Site::here().command("curl");
        curl.args(["-sk", "-o", "/dev/null", "-w", "%{http_code}"]).args(options);
        curl.arg(format!("{}join", hub.url().replace("wss", "https")));
        run(curl).stdout
    };
    let json = ["-H", "Content-Type: application/json", "--data"];
    let long = format!("{{\"secret\":\"{}\"}}", "x".repeat(20_000));
    for (options, wanted) in [
        (&[][..], "405"),
        (&["--data", "x"], "415"),
        (&[&json[..], &["{"]].concat(), "400"),
        (&[&json[..], &["{\"secret\":\"AAAA\"}"]].concat(), "400"),
        (&[&json[..], &["{\"secret\":\"AAAA\",\"request\":\"x\"}"]].concat(), "400"),
        (&[&json[..], &["{}"]].concat(), "403"),
        (&[&json[..], &["{\"leave\":true}"]].concat(), "403"),
        (&[&json[..], &[&long]].concat(), "413"),
    ] {
        assert_eq!(send(options), wanted, "{:.60}", options.join(" "));
    }
}

/// A switch that is no hub has nothing there, and says so.
#[test]
fn a_switch_that_is_no_hub_invites_nobody() {
    let dir = TempDir::new();
    let file =
        dir.file("etherws.toml", format!("[control]\nsocket = {:?}\n", dir.at("control.sock")));
    let switch = start(&file);
    wait_until("control", || switch.stderr.contains("listening"));
    let error = etherws(&["invite", "alice", "--config", &file]).failed().stderr;
    assert!(error.contains("etherws init makes a hub"), "{error}");
    let none = etherws(&["users", "list", "--config", &file]).ok();
    assert!(none.stderr.contains("there are no users"), "{none:#?}");
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let error = Member::new().join("https://hub.example/").failed().stderr;
    assert!(error.contains("the link is damaged"), "{error}");
    drop(listener);
}

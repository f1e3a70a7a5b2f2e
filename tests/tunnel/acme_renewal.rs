//! What a CA says beyond its certificates: when to renew them, which profiles it has, and that an
//! order came to nothing. pebble says little of that; a proxy in front of it does.

use std::{
    fs::File,
    time::{Duration, UNIX_EPOCH},
};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::acme::{Ca, issued, start};
use crate::support::{
    free_address, need,
    peers::{script, tool},
    process::{Process, Site},
    switch::etherws,
    wait_for, wait_until,
};

/// A CA, and what stands in front of it.
struct Proxied {
    ca: Ca,
    proxy: Process,
    /// How often its plan was changed.
    changes: usize,
}

impl Proxied {
    /// Whose certificates last for an hour.
    fn start(plan: &Value) -> Result<Self, String> {
        tool("python3")?;
        let mut ca = Ca::start(3600, "HERE")?;
        let (upstream, address) = (ca.address, free_address());
        let names = format!("IP:{}", address.ip());
        let mut proxy = Site::here().command("python3");
        proxy.args(["-u", &script("acme_proxy.py"), &address.ip().to_string()]);
        proxy.args([address.port().to_string(), upstream.to_string()]);
        proxy.args([&ca.certs.sign("proxy.pem", &names, "20491231235959Z"), &ca.certs.key]);
        let proxy = Process::start({
            proxy.arg(plan.to_string());
            proxy
        });
        wait_until("the proxy", || proxy.stdout.contains("listening"));
        ca.address = address;
        Ok(Self { ca, proxy, changes: 0 })
    }

    fn plan(&mut self, plan: &Value) {
        self.changes += 1;
        self.proxy.tell(&plan.to_string());
        let changes = self.changes;
        let text = || self.proxy.stdout.text();
        wait_until("the plan", || text().matches("changed").count() == changes);
    }

    fn file(&self, more: &str) -> String {
        self.ca.file("\"hub.example\"", more)
    }

    /// What it was asked for since the plan was changed last: `order` or `asked`.
    fn said(&self, kind: &str) -> Vec<Value> {
        let text = self.proxy.stdout.text();
        let last = text.rsplit("changed").next().unwrap_or_default();
        let lines = last.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.map(|line| line[kind].clone()).filter(|value| !value.is_null()).collect()
    }

    fn ctl(&self, words: &[&str]) -> Value {
        let url = format!("unix:{}", self.ca.dir.at("control.sock"));
        etherws(&[&["ctl", "--ctlurl", &url, "--json"], words].concat()).ok().json()
    }

    /// When the certificate of this moment is renewed, and when it ends, in seconds of Unix.
    fn renewal(&self) -> (i64, i64) {
        let time = |value: &Value| Some(value.as_str()?.parse::<Timestamp>().ok()?.as_second());
        wait_for("a renewal", || {
            let entry = &self.ctl(&["listcertificate"])[0];
            // Until it is read again there is the first one, which nobody trusts.
            let ends = time(&entry["expires"]).filter(|&ends| ends <= now() + 3600)?;
            Some((time(&entry["renewal"])?, ends))
        })
    }

    /// Has the certificate have been issued an hour ago.
    fn age(&self) {
        let file = File::options().append(true).open(self.ca.dir.at("acme/tls.pem")).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs((now() - 3600).unsigned_abs())).unwrap();
    }

    /// Waits until the certificate, which ends at the second moment, is to be renewed at the first.
    fn wait_renewal(&self, is_it: impl Fn(i64, i64) -> bool) {
        let mut last = None;
        wait_until("the renewal", || {
            let (renewal, ends) = self.renewal();
            if last != Some(renewal) {
                println!("renewal {renewal}, end {ends}");
                last = Some(renewal);
            }
            is_it(renewal, ends)
        });
    }

    fn events(&self) -> Vec<Value> {
        let events = self.ctl(&["events", "--event", "acme"]);
        events.as_array().cloned().unwrap_or_default()
    }
}

fn now() -> i64 {
    Timestamp::now().as_second()
}

#[test]
fn a_certificate_is_renewed_when_its_ca_suggests_it_and_in_the_place_of_the_last() {
    let plan =
        json!({"window": [1200, 1500], "profiles": {"short": "-", "usual": "-"}, "retry": 5});
    let mut ca = need!(Proxied::start(&plan));
    let file = ca.file("profile = \"short\"");
    let begin = now();
    let switch = start(&file);
    issued(&switch, 1);
    assert_eq!(ca.said("order")[0]["profile"], "short");
    assert_eq!(ca.said("order")[0].get("replaces"), None, "there was none of the CA");
    wait_until("the window", || switch.stderr.contains("suggests when to renew"));
    assert!(switch.stderr.contains("asking again in 60 s"), "not after 5 s");
    ca.wait_renewal(|at, _| (begin + 1200..=now() + 1500).contains(&at));
    let told = ca.events();
    let told = told.iter().find(|event| event["what"] == "suggested").unwrap();
    assert_eq!(told["reason"], "https://ca.example/why");
    drop(switch);

    // The window is over: at once, but not again and again.
    let first = ca.ca.pem();
    let far = "+18446744073709551615";
    ca.plan(&json!({"window": [-7200, -3600], "profiles": {"short": "-"}, "retry": far}));
    ca.age();
    let begin = now();
    let switch = start(&file);
    issued(&switch, 1);
    assert_ne!(ca.ca.pem(), first);
    wait_until("another question", || ca.said("asked").len() == 2);
    assert!(switch.stderr.contains("asking again in 86400 s"), "not at the end of all times");
    // A tenth of its life.
    ca.wait_renewal(|at, _| (begin + 355..=now() + 360).contains(&at));
    let ([order], [old, new]) = (&ca.said("order")[..], &ca.said("asked")[..]) else {
        panic!("{}", ca.proxy.stdout.text())
    };
    assert_eq!(&order["replaces"], old);
    assert_ne!(new, old);
    drop(switch);
    // A restart is no reason to order again.
    let switch = start(&file);
    wait_until("the window", || switch.stderr.contains("suggests when to renew"));
    ca.wait_renewal(|at, _| (begin + 355..=now() + 360).contains(&at));
    assert_eq!(ca.said("order").len(), 1);
    assert!(!switch.stderr.contains("renew it"), "{}", switch.stderr.text());
    drop(switch);

    // The CA thinks that it has done so already.
    ca.plan(&json!({"window": [-7200, -3600], "profiles": {"short": "-"}, "replaced": true}));
    ca.age();
    let switch = start(&file);
    issued(&switch, 1);
    assert!(switch.stderr.contains("(alreadyReplaced): that certificate was replaced"));
    let orders = ca.said("order");
    assert!(orders[0].get("replaces").is_some() && orders[1].get("replaces").is_none());
}

#[test]
fn a_ca_that_makes_no_sense_of_when_to_renew_changes_nothing() {
    let mut ca = need!(Proxied::start(&json!({"window": [1500, 1200]})));
    let file = ca.file("");
    let mut switch = start(&file);
    issued(&switch, 1);
    let issued = ca.ca.pem();
    for (before, why, plan) in [
        (1200, "ends before it begins", None),
        (1200, "Retry-After", Some(json!({"window": [60, 90], "retry": "soon"}))),
        (1200, "no such certificate", Some(json!({"window": [60, 90], "status": 404}))),
        (900, "suggests when to renew", Some(json!({"window": [100_000_000, 200_000_000]}))),
    ] {
        if let Some(plan) = plan {
            drop(switch);
            ca.plan(&plan);
            switch = start(&file);
        }
        wait_until(why, || switch.stderr.contains(why));
        ca.wait_renewal(|at, ends| (ends - before - 2..=ends - before + 2).contains(&at));
        assert!(!switch.stderr.contains("renew it"), "nobody has to: {}", switch.stderr.text());
    }
    assert_eq!(ca.ca.pem(), issued);
}

#[test]
fn a_profile_that_the_ca_does_not_have_is_refused_before_any_order() {
    let mut ca = need!(Proxied::start(&json!({"profiles": {"usual": "-", "short": "-"}})));
    let file = ca.file("profile = \"shortlived\"");
    let word = "the CA does not offer profile \"shortlived\"; it offers";
    for known in ["short, usual", "none"] {
        let switch = start(&file);
        let word = format!("{word} {known}");
        wait_until("the refusal", || switch.stderr.contains(&word));
        assert_eq!(ca.said("order"), [Value::Null; 0]);
        drop(switch);
        ca.plan(&json!({}));
    }
}

/// An order of which a part has become something else; the next one, later, is as it should be.
fn turned(part: &str, status: &str, word: &str) -> Result<(), String> {
    let mut ca = Proxied::start(&json!({"window": [1200, 1500]}))?;
    let file = ca.file("");
    let switch = start(&file);
    issued(&switch, 1);
    wait_until("the window", || switch.stderr.contains("suggests when to renew"));
    drop(switch);
    let first = ca.ca.pem();
    ca.age();
    ca.plan(&json!({"window": [-7200, -3600], "turn": [part, status]}));
    let switch = start(&file);
    wait_until(word, || switch.stderr.contains(word));
    assert!(switch.stderr.contains("trying again in 10 s"));
    assert_eq!(ca.ca.pem(), first, "the old one stays");
    let events = ca.events();
    let what = events.iter().map(|event| event["what"].as_str().unwrap_or_default());
    assert_eq!(what.collect::<Vec<_>>(), ["suggested", "failed"]);
    issued(&switch, 1);
    assert_ne!(ca.ca.pem(), first);
    assert_eq!(ca.said("order").len(), 2);
    Ok(())
}

#[test]
fn after_an_order_whose_authorization_expires_comes_another_one() {
    need!(turned("authorization", "expired", "the CA's authorization of hub.example is expired"));
}

#[test]
fn after_an_order_that_turns_invalid_comes_another_one() {
    need!(turned("order", "invalid", "the CA's order is invalid"));
}

//! Mirrors of the file: there before their ports, changed by a reload, and saved.

use std::fs;

use serde_json::{Value, json};

use super::{LISTEN, Site};
use crate::support::{frame, wait_until};

const ONE: &str = "\n[[mirror]] # Kept.\nfrom = [\"in\"]\nto = \"probe\"\nfilter = \"ether proto \
    0x88b5\" # Ours.\n";

/// What is said of each change, without its note.
fn said(changes: &[Value]) -> Vec<String> {
    let text = |change: &Value, name: &str| change[name].as_str().unwrap_or_default().to_owned();
    changes.iter().map(|one| format!("{} {}", text(one, "item"), text(one, "action"))).collect()
}

#[test]
fn mirrors_of_the_file_wait_for_their_ports_and_are_reloaded_and_saved() {
    let site = Site::start(ONE);
    let mirrors = || site.switch.json(&["listmirror"]);
    let of_file = json!({"number": 1, "from": ["in"], "to": "probe",
        "filter": "ether proto 0x88b5", "ready": false, "copied": 0, "octets-copied": 0,
        "lost": 0});
    assert_eq!(mirrors(), [of_file]);
    let ((mut one, _), (mut two, _)) = (site.switch.open(), site.switch.open());
    site.switch.ctl(&["setport", "--name", "in", "1"]).ok();
    site.switch.ctl(&["setport", "--name", "probe", "2"]).ok();
    one.send_frame(&frame(2, 1, b"1"));
    two.expect_frame(&frame(2, 1, b"1"));
    wait_until("a copy", || mirrors()[0]["copied"] == 1);
    assert!(site.reload().is_empty());

    // In another way: it is another mirror.
    site.write(format!("{LISTEN}{ONE}to-vlan = 900\ndirection = \"both\"\n"));
    let item = "mirror in to probe";
    assert_eq!(said(&site.reload()), [format!("{item} deleted"), format!("{item} added")]);
    assert_eq!((&mirrors()[0]["number"], &mirrors()[0]["to-vlan"]), (&2.into(), &900.into()));

    site.switch.ctl(&["addmirror", "--from", "2", "--to", "in", "--vlan", "7"]).ok();
    assert_eq!(said(&site.switch.json(&["save"])).last().unwrap(), "mirror 2 to in added");
    let text = fs::read_to_string(&site.path).unwrap();
    assert!(text.contains(&format!("{ONE}to-vlan = 900\n")), "{text}");
    assert!(text.ends_with("[[mirror]]\nfrom = [\"2\"]\nto = \"in\"\nvlan = 7\n"), "{text}");
    assert!(site.reload().is_empty());
    site.switch.ctl(&["delmirror", "2"]).ok();
    assert_eq!(said(&site.switch.json(&["save"])).last().unwrap(), "mirror in to probe deleted");
    assert!(!fs::read_to_string(&site.path).unwrap().contains("900"));
    assert_eq!(mirrors().len(), 1);
}

#[test]
fn what_is_wrong_with_a_mirror_is_told_with_its_place() {
    let site = Site::start("");
    for (table, wanted) in [
        ("to = \"probe\"\nfilter = \"tcp prt 80\"", "Invalid filter: expected and, or"),
        ("to = \"probe\"\nto-vlan = 0", "to-vlan = 0: give a whole number from 1 to 4094"),
        ("to = \"probe\"\nvlan = 4095", "vlan = 4095: give a whole number from 0 to 4094"),
        ("to = \"probe\"\ndirection = \"up\"", "Invalid direction: up"),
        ("to = \"probe\"\nfilters = \"arp\"", "filters"),
        ("from = [\"in\"]", "to"),
    ] {
        site.write(format!("{LISTEN}\n[[mirror]]\n{table}\n"));
        let output = site.check().failed();
        assert!(output.stderr.contains(wanted), "{table}: {output:?}");
        assert!(output.stderr.contains("etherws.toml:1"), "{table}: {output:?}");
    }
}

//! What the page shows of a managed switch: VLANs, profiles, mirrors, neighbors.

use super::page::{Bench, sessions};
use crate::support::{TempDir, frame, need};

#[test]
fn vlans_stand_as_a_matrix_and_profiles_and_mirrors_as_tables() {
    let dir = TempDir::new();
    let text = "[tunnel]\nhost = \"127.0.0.1\"\nport = 0\n[control]\nhost = \"127.0.0.2\"\nport = 0\n\
        [vlan-names]\n10 = \"blue\"\n[profile.guest]\nusers = [\"*\"]\nmax-sessions = 3\n\
        max-macs = 9\n";
    let config = dir.file("etherws.toml", text);
    let bench = need!(Bench::start(&["--config", &config]));
    let Bench { switch, browser } = &bench;
    let table = |id: &str| {
        browser.eval(&format!(
            "[...document.querySelectorAll('#{id} tr')].map((row) =>
            [...row.children].map((cell) => cell.textContent).join('|')).join('\\n')"
        ))
    };
    browser.wait(
        "document.querySelector('#profiles td') && !document.getElementById('profiles').hidden",
    );
    assert_eq!(
        table("profiles"),
        "Profile|Inherits|Users|Sessions|Settings\nguest||*|3|max-macs 9"
    );
    let (mut sockets, [first, second]) = sessions(switch);
    for (port, mode) in [(first, "access"), (second, "native-tagged")] {
        let port = port.to_string();
        let set = ["setport", &port, "--vlan-mode", mode, "--tag", "10"];
        switch.ctl(&set).ok();
    }
    switch.ctl(&["setport", &first.to_string(), "--name", "desk"]).ok();
    sockets[0].send_frame(&frame(255, 1, b"I"));
    browser
        .wait("document.querySelector('#vlans tbody td:nth-last-child(2)')?.textContent === '1'");
    let wanted = format!("VLAN|Name|desk|{second}|RX frames|TX frames\n10|blue|U|T|1|1");
    assert_eq!(
        table("vlans").as_str().map(|text| text.lines().take(2).collect::<Vec<_>>().join("\n")),
        Some(wanted)
    );
    browser.click("#vlans .member button");
    browser.wait("document.querySelector('#ports-rows .pane')");
    assert_eq!(
        browser.eval("document.querySelector('#ports-rows .open').dataset.port"),
        first.to_string()
    );
    let (_third, third) = switch.open();
    let (from, to) = (first.to_string(), third.to_string());
    switch.ctl(&["addmirror", "--from", &from, "--to", &to, "--filter", "tcp port 80"]).ok();
    browser.wait("document.querySelector('#mirrors td')");
    let wanted = format!(
        "Mirror|From|Direction|VLAN|Filter|To|To VLAN|Copied|Lost\n1|{from}|both||tcp port 80|{to}||0|0"
    );
    assert_eq!(table("mirrors"), wanted);
    browser.assert_clean(&bench.url(), None);
}

/// A frame of LLDP with these TLVs.
fn lldpdu(tlvs: &[(u16, &[u8])]) -> Vec<u8> {
    let mut data = vec![1, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1, 0x88, 0xcc];
    for (kind, value) in tlvs {
        let len = u16::try_from(value.len()).expect("short");
        data.extend((kind << 9 | len).to_be_bytes());
        data.extend(*value);
    }
    data.resize(data.len().max(60), 0);
    data
}

#[test]
fn neighbors_stand_in_a_table_while_there_are_some() {
    let bench = need!(Bench::start(&[]));
    let Bench { switch, browser } = &bench;
    let (mut sockets, [first, _]) = sessions(switch);
    browser.wait("document.querySelector('#ports-rows tr')");
    assert_eq!(browser.eval("document.getElementById('neighbors').hidden"), true);
    let port = first.to_string();
    switch.ctl(&["setport", &port, "--name", "roof", "--lldp-status", "rx-only"]).ok();
    let head = [(1, &b"\x04\x02\0\0\0\0\x09"[..]), (2, b"\x05Gi0/1"), (3, b"\0\x78")];
    let more = [
        (5, &b"<b>switch</b>"[..]),
        (7, &[0, 0x14, 0, 0x04]),
        (8, &[5, 1, 192, 0, 2, 9, 2, 0, 0, 0, 1, 0]),
        (127, &[0, 0x80, 0xc2, 1, 0, 10]),
    ];
    sockets[0].send_frame(&lldpdu(&[&head[..], &more[..]].concat()));
    browser.wait("document.querySelector('#neighbors td')");
    let row = browser.eval(
        "[...document.querySelector('#neighbors tbody tr').children].slice(0, 7)
        .map((cell) => cell.textContent).join('|')",
    );
    assert_eq!(row, "roof|<b>switch</b>|02:00:00:00:00:09|Gi0/1|192.0.2.9|10|bridge");
    browser.assert_clean(&bench.url(), None);
    sockets[0].send_frame(&lldpdu(&[head[0], head[1], (3, &[0, 0])]));
    browser.wait("document.getElementById('neighbors').hidden");
}

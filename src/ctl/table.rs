//! The tables that `ctl` prints: in a pipe to the blank as etherws 1.3 does, since
//! scripts cut them; on a terminal with colour, and numbers to the right.

use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::UnicodeWidthStr as _;

use super::{
    output,
    style::{self, Look},
};
use crate::api::call::{Answer, Table};

/// What `ctl` prints of an answer.
pub(crate) fn table(answer: &Answer, look: Look) -> String {
    if answer.tables.is_empty() {
        return output::to_json(&answer.json);
    }
    let tables: Vec<_> = answer.tables.iter().map(|table| one(table, look)).collect();
    tables.join("\n")
}

fn one(Table { titles, rows, below, .. }: &Table, look: Look) -> String {
    if titles.is_empty() {
        let lines = rows.iter().flatten();
        return lines.map(|line| format!("{}\n", look.safe(line))).collect();
    }
    let titles = titles.iter().map(|&title| title.to_owned()).collect();
    let rows: Vec<_> = [titles].into_iter().chain(rows.iter().cloned()).collect();
    let rendered = render(&rows, look);
    let mut lines = rendered.lines();
    let mut text = String::new();
    // The titles have nothing below them.
    let below = std::iter::once(&None).chain(below).chain(std::iter::repeat(&None));
    for (line, below) in lines.by_ref().zip(below) {
        // Nothing can go wrong in memory.
        let _ = writeln!(text, "{line}");
        if let Some(below) = below {
            let _ = writeln!(text, "        {}", look.paint(style::WARNING, style::clean(below)));
        }
    }
    text
}

/// Two blanks, then columns as wide as their widest cell, two blanks between. The
/// last one is padded as well. The first row are the titles.
pub(crate) fn render(rows: &[Vec<String>], look: Look) -> String {
    let Some((titles, body)) = rows.split_first() else { return String::new() };
    let columns: Vec<_> = (0..titles.len())
        .map(|at| Column {
            width: rows.iter().map(|row| width(&row[at], look)).max().unwrap_or(0),
            right: look.terminal && !body.is_empty() && body.iter().all(|row| is_number(&row[at])),
        })
        .collect();
    let mut text = String::new();
    let mut line = String::new();
    for (cell, column) in titles.iter().zip(&columns) {
        column.write(&mut line, cell, Style::new(), look);
    }
    // Nothing can go wrong in memory.
    let _ = writeln!(text, "{}", look.paint(style::TITLE, line));
    for row in body {
        for ((cell, title), column) in row.iter().zip(titles).zip(&columns) {
            let style = match title.as_str() {
                "State" => style::state(cell),
                "Value" if row[0] == "state" => style::state(cell),
                _ => Style::new(),
            };
            column.write(&mut text, cell, style, look);
        }
        text.push('\n');
    }
    text
}

struct Column {
    width: usize,
    /// Whether cells are padded before.
    right: bool,
}

impl Column {
    fn write(&self, text: &mut String, cell: &str, style: Style, look: Look) {
        let padding = self.width.saturating_sub(width(cell, look));
        let (before, after) = if self.right { (padding, 0) } else { (0, padding) };
        let cell = look.paint(style, look.safe(cell));
        let _ = write!(text, "  {:before$}{cell}{:after$}", "", "");
    }
}

/// Columns on a terminal; letters in a pipe, as 1.3 counts.
fn width(cell: &str, look: Look) -> usize {
    if look.terminal { look.safe(cell).width() } else { cell.chars().count() }
}

/// Digits, with a fraction and a unit perhaps: `1.25k`; and a dash for one that is not
/// known.
fn is_number(cell: &str) -> bool {
    let number = cell.strip_suffix(['k', 'M', 'G', 'T']).unwrap_or(cell);
    cell == "-"
        || number.starts_with(|first: char| first.is_ascii_digit())
            && number.matches('.').count() < 2
            && number.bytes().all(|octet| octet.is_ascii_digit() || octet == b'.')
}

pub(super) fn titles<const N: usize>(titles: [&str; N]) -> Vec<String> {
    titles.map(str::to_owned).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::METHODS;

    fn table(answer: &Answer) -> String {
        super::table(answer, Look::PLAIN)
    }

    fn entries(method: &str, entries: serde_json::Value) -> Answer {
        let method = METHODS.iter().find(|m| m.name == method).expect("method");
        method.read(json!({"entries": entries})).expect("entries")
    }

    #[test]
    fn ports_of_1_3_print_as_1_3_prints_them() {
        let ports = entries(
            "listPort",
            json!([
                {"port": 1, "type": "tap", "target": "ewp0", "tx": 7, "rx": 12, "shut": false},
                {"port": 12, "type": "server", "target": "192.0.2.7:41234", "tx": 1, "rx": 1048576,
                    "shut": true}
            ]),
        );
        assert_eq!(
            table(&ports),
            "  Port  Type    State  RX       TX  Target         \n\
             \x20 1     tap     up     12       7   ewp0           \n\
             \x20 12    server  shut   1048576  1   192.0.2.7:41234\n"
        );
    }

    #[test]
    fn the_end_of_a_switch_is_a_sentence() {
        let ending = entries("stop", json!([{"pid": 7}]));
        assert_eq!(table(&ending), "etherws is stopping, process 7\n");
    }

    #[test]
    fn names_stand_behind_what_1_3_prints_and_only_where_there_are_some() {
        let port = |number, name: Option<&str>| {
            json!({"port": number, "type": "tap", "target": "ewp0", "tx": 0, "rx": 0,
                "shut": false, "name": name})
        };
        let ports = entries("listPort", json!([port(1, None), port(2, Some("uplink"))]));
        assert_eq!(
            table(&ports),
            "  Port  Type  State  RX  TX  Target  Name  \n\
             \x20 1     tap   up     0   0   ewp0          \n\
             \x20 2     tap   up     0   0   ewp0    uplink\n"
        );
    }

    #[test]
    fn state_is_ours_unless_the_port_is_shut() {
        let port = |shut| {
            json!({"port": 1, "type": "client", "target": "t", "tx": 0, "rx": 0, "shut": shut,
                "state": "backoff", "error": "x"})
        };
        let ports = entries("listPort", json!([port(false), port(true)]));
        let printed = table(&ports);
        assert!(printed.contains("client  backoff") && printed.contains("client  shut   "));
        let lines: Vec<_> = printed.lines().collect();
        assert_eq!((lines.len(), lines[2], lines[4]), (5, "        x", "        x"));
    }

    #[test]
    fn no_entries_print_the_titles_alone() {
        assert_eq!(
            table(&entries("listInterface", json!([]))),
            "  Port  Type  Address  Netmask  MTU  Target\n"
        );
        assert_eq!(table(&entries("listFdb", json!([]))), "  Port  VLAN  MAC  Age\n");
    }

    #[test]
    fn every_address_has_a_whole_line() {
        let interfaces = entries(
            "listInterface",
            json!([
                {"port": 1, "type": "tap", "target": "ewp0", "address": "", "netmask": "",
                    "mtu": 1500},
                {"port": 2, "type": "tap", "target": "ewp1", "address": "192.0.2.1",
                    "netmask": "255.255.255.0", "mtu": 1400,
                    "addresses": ["192.0.2.1/24", "192.0.2.9/25", "2001:db8::1/64"]},
                {"port": 3, "type": "netdev", "target": "eth0", "address": "", "netmask": "",
                    "mtu": 1500, "addresses": ["2001:db8::2/64"]}
            ]),
        );
        assert_eq!(
            table(&interfaces),
            "  Port  Type    Address      Netmask          MTU   Target\n\
             \x20 1     tap                                   1500  ewp0  \n\
             \x20 2     tap     192.0.2.1    255.255.255.0    1400  ewp1  \n\
             \x20 2     tap     192.0.2.9    255.255.255.128  1400  ewp1  \n\
             \x20 2     tap     2001:db8::1  64               1400  ewp1  \n\
             \x20 3     netdev  2001:db8::2  64               1500  eth0  \n"
        );
    }

    #[test]
    fn a_report_names_every_value_with_its_limit() {
        let reports = entries(
            "showPort",
            json!([{"port": 1, "type": "tap", "target": "ewp0", "tx": 7, "rx": 12, "shut": false,
                "state": "loop", "error": "why", "loopguard": true, "details": {"user": "alice"},
                "counters": {"frame-rx": 12}, "limits": {"macs": {"value": 3, "limit": "8192"}}}]),
        );
        assert_eq!(
            table(&reports),
            "  Name       Value  Limit\n\
             \x20 port       1           \n\
             \x20 type       tap         \n\
             \x20 target     ewp0        \n\
             \x20 state      loop        \n\
             \x20 reason     why         \n\
             \x20 loopguard  on          \n\
             \x20 user       alice       \n\
             \x20 macs       3      8192 \n\
             \x20 frame-rx   12          \n"
        );
    }

    #[test]
    fn a_host_is_one_row_with_all_of_its_addresses() {
        let hosts = entries(
            "listHosts",
            json!([
                {"port": 2, "vid": 0, "mac": "m1", "ipv4": ["192.0.2.7", "192.0.2.8"],
                    "ipv6": ["fe80::1"], "name": "pc", "vendor": "(local)", "user": "alice",
                    "age": 3, "known": 60},
                {"vid": 10, "mac": "m2", "ipv4": [], "ipv6": [], "age": 400, "known": 500}
            ]),
        );
        assert_eq!(
            table(&hosts),
            "  Port  VLAN  MAC  IPv4                 IPv6     Name  Vendor   User   Age\n\
             \x20 2     0     m1   192.0.2.7,192.0.2.8  fe80::1  pc    (local)  alice  3  \n\
             \x20 -     10    m2   -                    -        -     -        -      400\n"
        );
    }

    #[test]
    fn a_static_entry_has_no_age() {
        let line = json!({"vid": 0, "mac": "m", "port": 2, "age": 3, "static": true});
        let fdb = entries("listFdb", json!([line]));
        assert_eq!(table(&fdb), "  Port  VLAN  MAC  Age   \n  2     0     m    static\n");
    }

    #[test]
    fn fdb_prints_as_1_3_prints_it() {
        let fdb = entries(
            "listFdb",
            json!([{"vid": 10, "mac": "02:00:00:00:00:01", "port": 2, "age": 3}]),
        );
        assert_eq!(
            table(&fdb),
            "  Port  VLAN  MAC                Age\n  2     10    02:00:00:00:00:01  3  \n"
        );
    }

    #[test]
    fn a_terminal_gets_colour_and_numbers_to_the_right() {
        let ports = entries(
            "listPort",
            json!([
                {"port": 9, "type": "tap", "target": "日本", "tx": 7, "rx": 12, "shut": false},
                {"port": 10, "type": "client", "target": "ws://h/", "tx": 1, "rx": 1048576,
                    "shut": false, "state": "backoff", "error": "x"}
            ]),
        );
        let plain = super::table(&ports, Look { color: false, terminal: true });
        assert_eq!(
            plain,
            "  Port  Type    State         RX  TX  Target \n\
             \x20    9  tap     up            12   7  日本   \n\
             \x20   10  client  backoff  1048576   1  ws://h/\n\
             \x20       x\n"
        );
        let colored = super::table(&ports, Look { color: true, terminal: true });
        assert!(colored.contains("\u{1b}[32mup\u{1b}[0m     "), "{colored:?}");
        assert!(colored.contains("\u{1b}[33mbackoff\u{1b}[0m"), "{colored:?}");
        assert_eq!(anstream::adapter::strip_str(&colored).to_string(), plain);
    }
}

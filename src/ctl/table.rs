//! The tables that `ctl` prints: in a pipe to the blank as etherws 1.3 does, since
//! scripts cut them; on a terminal with colour, and numbers to the right.

use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::UnicodeWidthStr as _;

use super::{
    output,
    style::{self, Look},
};
use crate::{
    api::entry::{
        Entries, FdbLine, Host, Interface, Limit, Port, PortReport, Server, Stream, Token,
    },
    config::Change,
};

/// What `ctl` prints of `entries`.
pub(crate) fn table(entries: &Entries, look: Look) -> String {
    let rows = match entries {
        Entries::Ports(ports) => port_rows(ports),
        Entries::Reports(reports) => report_rows(reports),
        Entries::Interfaces(interfaces) => interface_rows(interfaces),
        Entries::Fdb(lines) => fdb_rows(lines),
        Entries::Hosts(hosts) => host_rows(hosts),
        Entries::Servers(servers) => server_rows(servers),
        Entries::Tokens(tokens) => token_rows(tokens),
        Entries::Streams(streams) => stream_rows(streams),
        Entries::Changes(changes) => change_rows(changes),
        Entries::Document(document) => return output::to_json(document),
    };
    render(&rows, look)
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

fn port_rows(ports: &[Port]) -> Vec<Vec<String>> {
    let mut rows = vec![titles(["Port", "Type", "State", "RX", "TX", "Target"])];
    rows.extend(ports.iter().map(|port| {
        vec![
            port.port.to_string(),
            port.kind.clone(),
            state(port).to_owned(),
            port.rx.to_string(),
            port.tx.to_string(),
            port.target.clone(),
        ]
    }));
    rows
}

/// A row for each thing that a reload or a save has changed, or could not change.
fn change_rows(changes: &[Change]) -> Vec<Vec<String>> {
    let mut rows = vec![titles(["Action", "Port", "Item", "Note"])];
    rows.extend(changes.iter().map(|change| {
        vec![
            change.action.name().to_owned(),
            change.port.map(|port| port.to_string()).unwrap_or_default(),
            change.item.clone(),
            change.note.clone().unwrap_or_default(),
        ]
    }));
    rows
}

/// `shut`, or what the switch says; a 1.3 switch has none that are not up.
pub(super) fn state(port: &Port) -> &str {
    if port.shut { "shut" } else { port.state.as_deref().unwrap_or("up") }
}

/// A row for each thing that has a name, of one port after the other.
fn report_rows(reports: &[PortReport]) -> Vec<Vec<String>> {
    let mut rows = vec![titles(["Name", "Value", "Limit"])];
    let mut row = |name: &str, value: &str, limit: &str| rows.push(titles([name, value, limit]));
    for PortReport { port, loopguard, details, counters, limits } in reports {
        row("port", &port.port.to_string(), "");
        row("type", &port.kind, "");
        row("target", &port.target, "");
        row("state", state(port), "");
        if let Some(error) = &port.error {
            row("reason", error, "");
        }
        row("loopguard", if *loopguard { "on" } else { "off" }, "");
        for (name, value) in details {
            row(name, value, "");
        }
        for (name, Limit { value, limit }) in limits {
            row(name, &value.to_string(), limit);
        }
        for (name, value) in counters {
            row(name, &value.to_string(), "");
        }
    }
    rows
}

/// A row for each address, all of them complete, so that each line can be read alone.
fn interface_rows(interfaces: &[Interface]) -> Vec<Vec<String>> {
    let mut rows = vec![titles(["Port", "Type", "Address", "Netmask", "MTU", "Target"])];
    for interface in interfaces {
        for (address, netmask) in addresses(interface) {
            rows.push(vec![
                interface.port.to_string(),
                interface.kind.clone(),
                address,
                netmask,
                interface.mtu.to_string(),
                interface.target.clone(),
            ]);
        }
    }
    rows
}

/// Addresses with their netmasks: the primary one first, dotted for IPv4; IPv6 has the
/// length of its prefix instead. At least one, which may be empty.
fn addresses(interface: &Interface) -> Vec<(String, String)> {
    let primary = (interface.address.clone(), interface.netmask.clone());
    let others = interface.addresses.iter().filter_map(|cidr| {
        let (address, length) = cidr.split_once('/')?;
        let v4 = address.contains('.') && !address.contains(':');
        let netmask = match length.parse() {
            Ok(length) if v4 => crate::api::entry::netmask(length).to_string(),
            _ => length.to_owned(),
        };
        Some((address.to_owned(), netmask))
    });
    let mut rows: Vec<_> = others.filter(|(address, _)| *address != primary.0).collect();
    if !primary.0.is_empty() || rows.is_empty() {
        rows.insert(0, primary);
    }
    rows
}

fn stream_rows(streams: &[Stream]) -> Vec<Vec<String>> {
    let rows = streams.iter().map(|stream| titles([&stream.path]));
    [titles(["Path"])].into_iter().chain(rows).collect()
}

fn token_rows(tokens: &[Token]) -> Vec<Vec<String>> {
    let mut rows = vec![titles(["Token", "User", "Expires"])];
    rows.extend(
        tokens
            .iter()
            .map(|token| vec![token.token.clone(), token.user.clone(), token.expires.clone()]),
    );
    rows
}

fn fdb_rows(lines: &[FdbLine]) -> Vec<Vec<String>> {
    let mut rows = vec![titles(["Port", "VLAN", "MAC", "Age"])];
    rows.extend(lines.iter().map(|line| {
        let age = if line.is_static { "static".to_owned() } else { line.age.to_string() };
        vec![line.port.to_string(), line.vid.to_string(), line.mac.clone(), age]
    }));
    rows
}

/// A row for each host with all of its addresses, so that a search for one of them shows
/// whose it is; a dash where nothing is known, so that each row has all its columns.
fn host_rows(hosts: &[Host]) -> Vec<Vec<String>> {
    let or_dash = |cell: String| if cell.is_empty() { "-".to_owned() } else { cell };
    let known = |cell: &Option<String>| or_dash(cell.clone().unwrap_or_default());
    let row = ["Port", "VLAN", "MAC", "IPv4", "IPv6", "Name", "Vendor", "User", "Age"];
    let mut rows = vec![titles(row)];
    rows.extend(hosts.iter().map(|host| {
        vec![
            known(&host.port.map(|port| port.to_string())),
            host.vid.to_string(),
            host.mac.clone(),
            or_dash(host.ipv4.join(",")),
            or_dash(host.ipv6.join(",")),
            known(&host.name),
            known(&host.vendor),
            known(&host.user),
            host.age.to_string(),
        ]
    }));
    rows
}

fn server_rows(servers: &[Server]) -> Vec<Vec<String>> {
    let mut rows = vec![titles(["Service", "Counter", "Value"])];
    rows.extend(servers.iter().flat_map(|server| {
        let row = |(name, value): (&String, &u64)| {
            vec![server.service.clone(), name.clone(), value.to_string()]
        };
        server.counters.iter().map(row)
    }));
    rows
}

pub(super) fn titles<const N: usize>(titles: [&str; N]) -> Vec<String> {
    titles.map(str::to_owned).into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::method::METHODS;

    fn table(entries: &Entries) -> String {
        super::table(entries, Look::PLAIN)
    }

    fn entries(method: &str, entries: serde_json::Value) -> Entries {
        let method = METHODS.iter().find(|m| m.name == method).expect("method");
        method.entries(json!({"entries": entries})).expect("entries")
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
    fn state_is_ours_unless_the_port_is_shut() {
        let port = |shut| {
            json!({"port": 1, "type": "client", "target": "t", "tx": 0, "rx": 0, "shut": shut,
                "state": "backoff", "error": "x"})
        };
        let ports = entries("listPort", json!([port(false), port(true)]));
        let printed = table(&ports);
        assert!(printed.contains("client  backoff") && printed.contains("client  shut   "));
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
             \x20   10  client  backoff  1048576   1  ws://h/\n"
        );
        let colored = super::table(&ports, Look { color: true, terminal: true });
        assert!(colored.contains("\u{1b}[32mup\u{1b}[0m     "), "{colored:?}");
        assert!(colored.contains("\u{1b}[33mbackoff\u{1b}[0m"), "{colored:?}");
        assert_eq!(anstream::adapter::strip_str(&colored).to_string(), plain);
    }
}

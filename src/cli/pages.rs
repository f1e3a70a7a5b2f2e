//! What help and man pages say of a command besides its options: a description, for the
//! man page, and examples, for both. A test takes each example as a command line.

/// Of one command.
pub(crate) struct Page {
    /// The subcommands that lead to it, between blanks; empty: the program itself.
    pub(crate) command: &'static str,
    /// What it does, in a paragraph; the man page has the line of the help without it.
    pub(crate) description: &'static str,
    /// Command lines without the program's name, each with what it does.
    pub(crate) examples: &'static [(&'static str, &'static str)],
}

/// The page of a command, if there is more to say than its options do.
pub(crate) fn page(command: &str) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.command == command)
}

const fn page_of(
    command: &'static str,
    description: &'static str,
    examples: &'static [(&'static str, &'static str)],
) -> Page {
    Page { command, description, examples }
}

/// All of them, in the order of the help.
const PAGES: &[Page] = &[
    page_of(
        "",
        "etherws is an Ethernet switch in user space. Its ports are TAP devices, network \
         interfaces and WebSockets, which it opens to other switches or accepts from clients. It \
         puts machines, virtual machines and containers on one LAN through anything that lets \
         HTTPS pass. etherws sw runs the switch, and etherws ctl controls it.",
        &[
            (
                "sw --foreground --sslcert cert.pem --sslkey key.pem --htpasswd users",
                "start a switch that lets in users over TLS",
            ),
            ("ctl addport tap ewp0", "give it a TAP device"),
            ("ctl addport client wss://hub.example.org/ --user site1", "join it to another one"),
            ("ctl listport", "list its ports"),
        ],
    ),
    page_of(
        "sw",
        "Starts a switch, in the background unless --foreground is given: the command returns \
         once the switch listens. Ports are added from the configuration file and by etherws \
         ctl; each client of the WebSocket service becomes a port, too. Without --htpasswd and \
         --sslclientca the switch accepts any client that can reach the WebSocket service. \
         Options override the configuration file, whose keys are in etherws.toml(5).",
        &[
            ("sw --config /etc/etherws/etherws.toml", "start a switch from a configuration file"),
            (
                "sw --sslcert cert.pem --sslkey key.pem --htpasswd users",
                "let in users, over TLS, on port 443",
            ),
            (
                "sw --host 127.0.0.1 --port 8080 --user etherws",
                "serve behind a reverse proxy, as a user without privileges",
            ),
        ],
    ),
    page_of(
        "check",
        "Reads a configuration file as a switch would, with the files that it names, and says \
         what is wrong, each with its line and column, or else what the switch would do. Opens \
         no socket and no device.",
        &[
            ("check /etc/etherws/etherws.toml", "check the service's configuration"),
            ("check --schema", "print the JSON schema of the file, for an editor"),
        ],
    ),
    page_of(
        "init",
        "Makes this machine a hub, which others join by invitation: writes a configuration with a \
         tunnel listener over TLS and a TAP device, and beside it the folder hub with a CA of its \
         own, keys and users. Starts the service where systemd runs it, and prints the command \
         that starts the switch elsewhere, and a first invitation. A configuration with a tunnel \
         listener is left alone; one that init has made is not changed.",
        &[
            ("init", "make a hub at the address that this machine has"),
            (
                "init --url wss://hub.example.org/ --approval",
                "one with a name, where an operator approves users",
            ),
            ("init --print", "show the configuration, and change nothing"),
        ],
    ),
    page_of(
        "invite",
        "Asks the running hub for an invitation, and prints its link and a QR code. Anyone \
         with the link can join, once and before it expires: keep it secret like a password.",
        &[
            ("invite laptop", "invite one machine, within 24 hours"),
            ("invite lab --uses 20 --ttl 2h --vlan 10", "invite twenty to VLAN 10"),
        ],
    ),
    page_of(
        "join",
        "Becomes a user of the hub that issued the link: makes a key, which stays here, has it \
         certified by the hub, adds a TAP device and a client port to the configuration, and starts \
         the service where systemd runs it. Elsewhere the last line is the command that starts the \
         switch. The certificate is renewed by the switch.",
        &[
            (
                "join -",
                "read the link from standard input, so that ps and the shell's history do not show it",
            ),
            ("join --no-tap -", "join without root, for other ports than a TAP device"),
        ],
    ),
    page_of(
        "leave",
        "Undoes what join has done: tells the hub, removes the ports that were added, and removes \
         key and certificate.",
        &[("leave", "leave the only LAN that was joined")],
    ),
    page_of(
        "users",
        "Asks the running hub for its users: of certificates, passwords and tokens.",
        &[("users list", "list them"), ("users show alice --json", "show one, as JSON")],
    ),
    page_of("users list", "", &[("users list", "list the users, with their sessions")]),
    page_of("users show", "", &[("users show alice", "show one user")]),
    page_of("users approve", "", &[("users approve alice", "approve a waiting user")]),
    page_of(
        "users revoke",
        "An invitation to that name ends as well. Whoever was revoked can be invited again.",
        &[("users revoke alice", "end the sessions of alice, and let in no other")],
    ),
    page_of("users rename", "", &[("users rename member-1 laptop", "give a user another name")]),
    page_of(
        "ctl",
        "Sends a request to the control service of a running switch, prints the answer as a table \
         or as JSON, and exits with status 1 if the request was refused. Without --ctlurl and \
         ETHERWS_CTLURL it asks the packaged service, if its socket is there, or else the switch \
         that listens on loopback.",
        &[
            ("ctl listport", "list the ports"),
            (
                "ctl --ctlurl https://hub.example.org:7867/ctl --ctluser admin listport --json",
                "those of another machine, as JSON; the password is prompted for",
            ),
        ],
    ),
    page_of("ctl addport", "", &[("ctl addport tap ewp0", "add a TAP device")]),
    page_of(
        "ctl addport netdev",
        "The interface is set to promiscuous mode, and its frames pass the switch as well as \
         the host.",
        &[("ctl addport netdev eth1", "join the network behind eth1")],
    ),
    page_of(
        "ctl addport tap",
        "The device is gone when the port is deleted or the switch ends.",
        &[("ctl addport tap ewp%d", "add a device of the first free number")],
    ),
    page_of(
        "ctl addport client",
        "The command answers once the tunnel is open. It is opened again whenever it breaks, \
         after a wait of up to 30 seconds; of several URLs, the next one is tried then.",
        &[
            (
                "ctl addport client wss://hub.example.org/ --user site1",
                "join another switch; the password is prompted for",
            ),
            (
                "ctl addport client wss://a.example.org/ wss://b.example.org/",
                "use the second server if the first cannot be reached",
            ),
        ],
    ),
    page_of(
        "ctl setport",
        "",
        &[
            ("ctl setport 1 --shut 1", "drop all frames from and to port 1"),
            ("ctl setport uplink --url wss://b.example.org/", "let a client port go elsewhere"),
            (
                "ctl setport 2 --storm-broadcast 200/800 --max-macs 64",
                "limit what is behind port 2",
            ),
        ],
    ),
    page_of("ctl showport", "", &[("ctl showport 1", "show port 1")]),
    page_of(
        "ctl listprofile",
        "",
        &[("ctl listprofile", "list profiles with their users and settings")],
    ),
    page_of("ctl listuser", "", &[("ctl listuser", "list the users of a hub")]),
    page_of(
        "ctl createinvitation",
        "",
        &[("ctl createinvitation laptop --ttl 1h", "invite one machine, as etherws invite does")],
    ),
    page_of("ctl approveuser", "", &[("ctl approveuser alice", "approve a waiting user")]),
    page_of("ctl revokeuser", "", &[("ctl revokeuser alice", "end the sessions of alice")]),
    page_of(
        "ctl renameuser",
        "",
        &[("ctl renameuser member-1 laptop", "give a user another name")],
    ),
    page_of("ctl doctor", "", &[("ctl doctor uplink", "look for what keeps a port from working")]),
    page_of("ctl delport", "", &[("ctl delport 1", "delete port 1")]),
    page_of(
        "ctl listport",
        "",
        &[
            ("ctl listport --long", "with names, users, times and octets"),
            ("ctl listport --state backoff", "ports that are not connected"),
            ("ctl listport --json", "for a script"),
        ],
    ),
    page_of(
        "ctl top",
        "On a terminal, keys change the order. In a pipe, each update is a table, or a line of \
         JSON with --json.",
        &[(
            "ctl top --delay 5 --count 3 --json",
            "print three updates, five seconds apart, for a script",
        )],
    ),
    page_of(
        "ctl setif",
        "",
        &[
            ("ctl setif 1 --address 192.0.2.1/24", "give the TAP device of port 1 an address"),
            ("ctl setif 1 --address 2001:db8::1/64 --mtu 1400", "and an IPv6 address and an MTU"),
        ],
    ),
    page_of("ctl listif", "", &[("ctl listif", "list addresses and MTUs")]),
    page_of("ctl listfdb", "", &[("ctl listfdb", "list addresses with their ports")]),
    page_of(
        "ctl listbinding",
        "",
        &[("ctl listbinding --port 3", "list the IP addresses that stations behind port 3 have")],
    ),
    page_of(
        "ctl listmdb",
        "",
        &[
            ("ctl listmdb", "list which ports get which multicast groups, and who asks hosts"),
            ("ctl listmdb --group 239.1.1.1", "list who has joined a group"),
        ],
    ),
    page_of("ctl listhosts", "", &[("ctl listhosts", "list hosts with addresses and names")]),
    page_of(
        "ctl listneighbor",
        "",
        &[("ctl listneighbor --port uplink", "list what is at the other end of a cable")],
    ),
    page_of("ctl listvlan", "", &[("ctl listvlan", "list VLANs with their ports and traffic")]),
    page_of("ctl showstp", "", &[("ctl showstp", "show the root, and the role of each port")]),
    page_of(
        "ctl addfdb",
        "",
        &[("ctl addfdb 02:00:00:00:00:01 2 --vlan 10", "tie an address of VLAN 10 to port 2")],
    ),
    page_of("ctl delfdb", "", &[("ctl delfdb 02:00:00:00:00:01", "delete an address")]),
    page_of(
        "ctl flushfdb",
        "",
        &[
            ("ctl flushfdb 2", "forget what was learned behind port 2"),
            ("ctl flushfdb --vlan 10", "and in VLAN 10"),
        ],
    ),
    page_of("ctl status", "", &[("ctl status", "show the switch on one screen")]),
    page_of(
        "ctl events",
        "",
        &[
            ("ctl events --since 1h", "what happened in the last hour"),
            ("ctl events --event port-down --limit 5", "the last five ports that went down"),
        ],
    ),
    page_of(
        "ctl ping",
        "",
        &[
            ("ctl ping 2", "how far away the peer of port 2 is"),
            ("ctl ping 192.0.2.7", "whether a host answers, and behind which port"),
        ],
    ),
    page_of("ctl stop", "", &[("ctl stop", "end the switch")]),
    page_of("ctl reload", "", &[("ctl reload", "apply what has changed in the file")]),
    page_of(
        "ctl save",
        "Comments and all else in the file stay as they are. Passwords are not written.",
        &[("ctl save", "keep the ports for the next start")],
    ),
    page_of(
        "ctl listcertificate",
        "",
        &[("ctl listcertificate", "show when the switch's certificates expire")],
    ),
    page_of("ctl showserver", "", &[("ctl showserver", "show accepted and refused connections")]),
    page_of("ctl monitor", "", &[("ctl monitor --json", "print events, a line of JSON each")]),
    page_of(
        "ctl capture",
        "",
        &[
            ("ctl capture 1 2 --ethertype arp", "show ARP on ports 1 and 2, a line for each frame"),
            (
                "ctl capture uplink tcp port 443 and host 192.0.2.7",
                "show HTTPS of one host, as tcpdump does",
            ),
            (
                "ctl capture --write lan.pcapng --duration 60",
                "a minute of all ports, for Wireshark",
            ),
        ],
    ),
    page_of(
        "ctl addmirror",
        "",
        &[
            ("ctl addmirror --from uplink --to probe", "copy all that passes a port to another"),
            (
                "ctl addmirror --from 3 --to uplink --to-vlan 900 --filter arp",
                "to another switch, in a VLAN",
            ),
        ],
    ),
    page_of("ctl listmirror", "", &[("ctl listmirror", "show mirrors, and what they lost")]),
    page_of("ctl delmirror", "", &[("ctl delmirror 1", "end the first mirror")]),
    page_of("ctl createtoken", "", &[("ctl createtoken --user alice", "a token for one minute")]),
    page_of("ctl discover", "", &[("ctl discover", "print the API document")]),
    page_of(
        "passwd",
        "The file is replaced as a whole, so that a running switch never reads half of it; the \
         switch takes it within a second.",
        &[
            ("passwd /etc/etherws/users alice", "set a password"),
            ("passwd -D /etc/etherws/users alice", "delete a user, whose sessions end"),
        ],
    ),
    page_of(
        "doctor",
        "Looks at this machine, at the running switch and at what the options name, and says \
         for each thing whether it is well and what to do if not. Ends with status 1 if \
         something keeps a switch from working.",
        &[
            ("doctor", "look at this machine and its switch"),
            ("doctor --url wss://hub.example.org/ --user site1", "test the path to a server"),
            ("doctor --health", "for a container's health check"),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;
    use crate::cli;

    /// The commands that a page may be of.
    fn commands(command: &Command, words: &str, found: &mut Vec<String>) {
        found.push(words.to_owned());
        for one in command.get_subcommands().filter(|one| !one.is_hide_set()) {
            commands(one, format!("{words} {}", one.get_name()).trim_start(), found);
        }
    }

    #[test]
    fn every_page_is_of_a_command_and_its_examples_are_taken() {
        let mut all = Vec::new();
        commands(&cli::definition(), "", &mut all);
        for Page { command, examples, .. } in PAGES {
            assert!(all.iter().any(|one| one == command), "{command}");
            for (line, _) in *examples {
                assert!(line.starts_with(command), "{command}: {line}");
                let words = ["etherws"].into_iter().chain(line.split(' '));
                let taken = cli::definition().try_get_matches_from(words);
                assert!(taken.is_ok(), "{line}: {}", taken.unwrap_err());
            }
        }
        // 0.3's, and what others run or explain themselves.
        all.retain(|one| page(one).is_none());
        assert_eq!(all, ["extcap", "completions", "server", "client"]);
    }
}

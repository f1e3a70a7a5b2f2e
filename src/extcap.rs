//! `etherws extcap`: what makes the ports of a switch appear in Wireshark's list. Wireshark
//! runs it with options of its own (extcap(4)) and reads what it prints, line by line; a
//! capture goes into a FIFO. It never prompts: Wireshark has no terminal.

use std::{
    env,
    fmt::Write as _,
    fs::File,
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

use actix_rt::time::timeout;
use anyhow::{Context as _, Result, anyhow, bail};
use futures_util::future::join_all;

use crate::{
    api::{ListPort, Port},
    cli::{CTLURL, ControlArgs, ExtcapArgs, default_ctlurl},
    ctl::{
        capture::{Sink, stream},
        endpoint,
        output::error_text,
    },
    refusal::Refusal,
};

/// What all ports of a switch are called.
const ALL: &str = "all";

/// Variable with the URLs of further switches, between blanks.
const URLS: &str = "ETHERWS_EXTCAP_URLS";

/// Time for a switch to list its ports: Wireshark's start waits for it.
const LIST_LIMIT: Duration = Duration::from_secs(2);

/// Options of a capture in Wireshark's dialog, after the URL.
const CONFIG: &str = "\
arg {number=1}{call=--ctluser}{display=User}{type=string}{tooltip=User name for the control service}{group=Switch}
arg {number=2}{call=--ctlpasswd}{display=Password}{type=password}{tooltip=Password of that user}{group=Switch}
arg {number=3}{call=--ctlsslcert}{display=CA certificates}{type=fileselect}{mustexist=true}{tooltip=PEM; the system's by default}{group=Switch}
arg {number=4}{call=--ctlinsecure}{display=Do not verify the certificate}{type=boolflag}{default=false}{group=Switch}
arg {number=5}{call=--vlan}{display=VLAN}{type=string}{validation=^([0-9]{0,4})$}{tooltip=VLAN ID; 0 for untagged frames}{group=Filter}
arg {number=6}{call=--mac}{display=MAC address}{type=string}{tooltip=Source or destination, such as 02:00:00:00:00:01}{group=Filter}
arg {number=7}{call=--ethertype}{display=EtherType}{type=string}{tooltip=arp, ip, ipv6 or a number such as 0x0806}{group=Filter}
arg {number=8}{call=--snaplen}{display=Octets of each frame}{type=unsigned}{default=262144}{range=20,262144}{group=Filter}
";

/// Runs `etherws extcap`.
///
/// # Errors
/// What Wireshark asks for cannot be done; it shows the text.
pub(crate) fn run(mut args: ExtcapArgs) -> Result<ExitCode> {
    if args.extcap_interfaces {
        return print(&interfaces());
    }
    let name = args.extcap_interface.as_deref();
    let name = name.context("--extcap-interface is missing; --extcap-interfaces lists them")?;
    let interface = Interface::find(name)?;
    if args.extcap_dlts {
        return print("dlt {number=1}{name=EN10MB}{display=Ethernet}\n");
    }
    if args.extcap_config {
        let url = "arg {number=0}{call=--ctlurl}{display=Control URL}{type=string}";
        return print(&format!(
            "{url}{{default={}}}{{tooltip=URL of the switch's control service}}{{group=Switch}}\n\
             {CONFIG}",
            interface.url
        ));
    }
    args.filter.filter = args.extcap_capture_filter.take();
    if !args.capture && args.filter.filter.is_some() {
        // Wireshark checks it, and shows what is printed: nothing where it is right.
        let wrong = args.filter.capture().err();
        return print(&wrong.map(|wrong| format!("{}\n", wrong.text())).unwrap_or_default());
    }
    if !args.capture {
        bail!("no action is given; this command is for Wireshark, see extcap(4)");
    }
    capture(interface, args)
}

/// A switch in Wireshark's list.
struct Switch {
    /// What the names of its interfaces begin with.
    prefix: String,
    /// For people.
    title: String,
    url: String,
}

/// All switches: the one of this machine, and those that the environment names.
fn switches() -> Vec<Switch> {
    // As `ctl` finds it.
    let url = env::var(CTLURL).unwrap_or_else(|_| default_ctlurl());
    let local = Switch { prefix: "etherws".into(), title: "etherws".into(), url };
    let urls = env::var(URLS).unwrap_or_default();
    let others = urls.split_whitespace().map(|url| {
        let host = url.split_once("://").map_or(url, |(_, rest)| rest);
        let host = host.split('/').find(|part| !part.is_empty()).unwrap_or(host);
        let name: String =
            host.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        Switch {
            prefix: format!("etherws-{name}"),
            title: format!("etherws {host}"),
            url: url.into(),
        }
    });
    [local].into_iter().chain(others).collect()
}

/// What can be captured: a port of a switch, or all of them.
struct Interface {
    /// Its number or name.
    port: Option<String>,
    url: String,
}

impl Interface {
    fn find(name: &str) -> Result<Self> {
        // Names of ports have hyphens, too.
        let of = |switch: Switch| {
            let port = name.strip_prefix(&switch.prefix)?.strip_prefix('-')?;
            let port = (port != ALL).then(|| port.to_owned());
            Some((switch.prefix.len(), Self { port, url: switch.url }))
        };
        let found = switches().into_iter().filter_map(of).max_by_key(|(prefix, _)| *prefix);
        let none = || anyhow!("no interface {name}; --extcap-interfaces lists them");
        found.map(|(_, interface)| interface).ok_or_else(none)
    }
}

/// The lines that list all interfaces. A switch that does not answer, or wants a password
/// first, has one for all of its ports.
fn interfaces() -> String {
    let mut lines =
        format!("extcap {{version={}}}{{display=etherws}}\n", env!("CARGO_PKG_VERSION"),);
    let switches = switches();
    let lists = actix_rt::System::new().block_on(join_all(switches.iter().map(ports)));
    for (switch, ports) in switches.iter().zip(lists) {
        let all = [(ALL.to_owned(), "all ports".to_owned())].into_iter();
        let each = ports.into_iter().map(|port| {
            let user = port.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
            let name = port.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
            let text = format!("{name}{} {} {user}{}", port.port, port.kind, port.target);
            (id_of(&port), text)
        });
        for (id, text) in all.chain(each) {
            // Braces are the format's own.
            let text: String =
                text.chars().filter(|c| !c.is_control() && !"{}".contains(*c)).collect();
            let (prefix, title) = (&switch.prefix, &switch.title);
            // Writing to a String does not fail.
            let _ = writeln!(lines, "interface {{value={prefix}-{id}}}{{display={title}: {text}}}");
        }
    }
    lines
}

/// What a port is called behind its switch's prefix: a name outlasts a restart, as the
/// options that Wireshark keeps for an interface do, but may hold what it does not take.
fn id_of(port: &Port) -> String {
    let is_plain = |name: &&String| {
        *name != ALL && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
    };
    port.name.as_ref().filter(is_plain).cloned().unwrap_or_else(|| port.port.to_string())
}

async fn ports(switch: &Switch) -> Vec<Port> {
    let Ok(endpoint) = endpoint(ControlArgs::of(&switch.url)) else { return Vec::new() };
    match timeout(LIST_LIMIT, endpoint.ask(&ListPort::default())).await {
        Ok(Ok(ports)) => ports,
        _ => Vec::new(),
    }
}

fn capture(interface: Interface, args: ExtcapArgs) -> Result<ExitCode> {
    let fifo = args
        .fifo
        .context("--fifo is missing; give the pipe from which Wireshark reads the capture")?;
    if args.ctluser.is_some() && args.ctlpasswd.is_none() {
        bail!("--ctluser is given without a password; set it in the options of the interface");
    }
    let mut capture = args.filter.capture()?;
    if let Some(port) = &interface.port {
        capture.set("ports", port)?;
    }
    let endpoint = endpoint(ControlArgs {
        ctluser: args.ctluser,
        ctlpasswd: args.ctlpasswd,
        ctlsslcert: args.ctlsslcert,
        ctlinsecure: args.ctlinsecure,
        ..ControlArgs::of(args.ctlurl.as_deref().unwrap_or(&interface.url))
    })?;
    let open = || {
        let file = File::options().write(true).open(&fifo);
        file.map(|file| Sink::File(Box::new(file)))
            .map_err(|error| Refusal::os(format!("cannot open {}: {error}", fifo.display())))
    };
    let streamed = actix_rt::System::new().block_on(stream(&endpoint, &capture, open));
    streamed.and_then(|(_, result)| result).map_err(|error| anyhow!("{}", error_text(&error)))
}

fn print(text: &str) -> Result<ExitCode> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

//! The options and subcommands of `ctl` as clap reads them, with their help; and those
//! that `ctl` shares with others: which switch to ask, which frames to capture, a port's
//! limits. They have nothing to resolve.
#![allow(rustdoc::broken_intra_doc_links, reason = "what stands in brackets is help text")]

use std::path::PathBuf;

use clap::{
    Args, ColorChoice, Command, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use nix::unistd::{AccessFlags, access};

use crate::options::{GuardArgs, Secret};

/// Variable with the URL of the control service, where --ctlurl is not given.
pub(crate) const CTLURL: &str = "ETHERWS_CTLURL";

/// Least seconds between two looks of `ctl top`: nobody reads faster.
const MIN_DELAY: f64 = 0.1;

/// Most of them: an hour is no live rate, but may be what a script wants.
const MAX_DELAY: f64 = 3600.0;

/// `etherws ctl`: which switch to ask, and what.
#[derive(Debug, Args)]
pub(crate) struct CtlArgs {
    #[command(flatten)]
    pub(crate) control: ControlArgs,
    /// Print JSON instead of a table
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Colour: on a terminal alone (auto), always or never
    #[arg(long, global = true, value_name = "WHEN", default_value_t, hide_possible_values = true)]
    pub(crate) color: ColorChoice,
    #[command(subcommand)]
    pub(crate) method: CtlMethod,
}

/// A running switch, and how to be let in to its control service.
#[derive(Debug, Args)]
pub(crate) struct ControlArgs {
    /// URL of the switch's control service; unix:PATH for a Unix socket
    /// [default: that of the service, unix:/run/etherws/control.sock, where it is there
    /// for us; else http://127.0.0.1:7867/ctl]
    #[arg(long, value_name = "URL", env = CTLURL)]
    #[arg(default_value_t = default_ctlurl(), hide_default_value = true, hide_env_values = true)]
    pub(crate) ctlurl: String,
    /// Name for the control service; its password is prompted for
    #[arg(long, value_name = "NAME")]
    pub(crate) ctluser: Option<String>,
    /// Password; other users of the machine can see it here: the prompt is safer
    #[arg(long, value_name = "PASSWORD")]
    pub(crate) ctlpasswd: Option<Secret>,
    /// CA certificates for the control service, PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) ctlsslcert: Option<PathBuf>,
    /// Do not verify the control service's certificate
    #[arg(long)]
    pub(crate) ctlinsecure: bool,
    /// Our own certificate chain, for a control service that wants one, PEM
    #[arg(long, value_name = "FILE", requires = "ctlkey")]
    pub(crate) ctlcert: Option<PathBuf>,
    /// Private key of --ctlcert, PEM
    #[arg(long, value_name = "FILE", requires = "ctlcert")]
    pub(crate) ctlkey: Option<PathBuf>,
}

impl ControlArgs {
    /// The service at `url`, without further ado.
    pub(crate) fn of(url: &str) -> Self {
        Self {
            ctlurl: url.to_owned(),
            ctluser: None,
            ctlpasswd: None,
            ctlsslcert: None,
            ctlinsecure: false,
            ctlcert: None,
            ctlkey: None,
        }
    }
}

/// What `ctl` asks of a switch.
#[derive(Debug, Subcommand)]
pub(crate) enum CtlMethod {
    /// Add a port
    Addport {
        #[command(subcommand)]
        kind: PortKind,
    },
    /// Set up a port
    Setport(SetportArgs),
    /// Show all there is to know of a port: counters, limits, guards
    Showport {
        /// Number of the port
        #[arg(allow_negative_numbers = true)]
        port: i64,
    },
    /// Delete a port
    Delport {
        /// Number of the port
        #[arg(allow_negative_numbers = true)]
        port: i64,
    },
    /// List the ports
    Listport,
    /// Show what passes the ports now: live rates, until q is pressed
    Top(TopArgs),
    /// Set up the network interface of a tap or netdev port
    Setif {
        /// Number of the port
        #[arg(allow_negative_numbers = true)]
        port: i64,
        /// IPv4 or IPv6 address, with /PREFIX if wanted; empty: none
        #[arg(long)]
        address: Option<String>,
        /// IPv4 netmask, or length of the prefix
        #[arg(long)]
        netmask: Option<String>,
        /// Largest packet in octets: 576 or more, 1280 or more for IPv6
        #[arg(long, allow_negative_numbers = true)]
        mtu: Option<i64>,
    },
    /// List the network interfaces of tap and netdev ports
    Listif,
    /// List the forwarding database
    Listfdb,
    /// List the hosts that are known: their addresses, names and ports
    Listhosts,
    /// Put a MAC address behind a port until it is deleted, or the port is
    Addfdb {
        /// Address, as 02:00:00:00:00:01
        mac: String,
        /// Number of the port
        #[arg(allow_negative_numbers = true)]
        port: i64,
        /// VLAN of the address; 0: none
        #[arg(long, value_name = "VID", default_value_t = 0, allow_negative_numbers = true)]
        vlan: i64,
    },
    /// Delete a MAC address from the forwarding database
    Delfdb {
        /// Address, as 02:00:00:00:00:01
        mac: String,
        /// VLAN of the address; 0: none
        #[arg(long, value_name = "VID", default_value_t = 0, allow_negative_numbers = true)]
        vlan: i64,
    },
    /// Forget the addresses that were learned
    Flushfdb {
        /// Number of the port that they are behind [default: all ports]
        #[arg(allow_negative_numbers = true)]
        port: Option<i64>,
        /// Static entries as well
        #[arg(long)]
        all: bool,
    },
    /// Read the configuration file again, and apply what has changed
    Reload,
    /// Write the ports as they are into the configuration file
    Save,
    /// Show what the listeners have counted: sessions, and whom they turned away
    Showserver,
    /// Print what happens, as it happens: ports, addresses, loops, storms, logins
    Monitor,
    /// Capture frames: to look at them, or for Wireshark
    Capture(CaptureArgs),
    /// Make a token that opens one tunnel: ?token=TOKEN in its URL
    Createtoken {
        /// Whom it lets in
        #[arg(long, value_name = "NAME")]
        user: String,
        /// Seconds that it lives, up to 3600 [default: 60]
        #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
        ttl: Option<i64>,
    },
    /// Print the document of the control API, OpenRPC: all methods, params and results
    Discover,
}

/// What to capture, and where it goes.
#[derive(Debug, Args)]
pub(crate) struct CaptureArgs {
    /// Numbers of the ports [default: all ports]
    #[arg(value_name = "PORT", allow_negative_numbers = true)]
    pub(crate) ports: Vec<String>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// End after so many frames
    #[arg(short, long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub(crate) count: Option<String>,
    /// End after so many seconds
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) duration: Option<String>,
    /// Write pcapng to a file, or to standard output: - [default: a line for each frame]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
}

/// Which frames to capture, and how much of them.
#[derive(Debug, Default, Args)]
pub(crate) struct FilterArgs {
    /// Frames that come in, or that go out [default: both]
    #[arg(long, value_name = "rx|tx")]
    pub(crate) direction: Option<String>,
    /// Frames of this VLAN; 0: without tag
    #[arg(long, value_name = "VID", allow_negative_numbers = true)]
    pub(crate) vlan: Option<String>,
    /// Frames from or to this address, as 02:00:00:00:00:01
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) mac: Option<String>,
    /// Frames of this EtherType: arp, ip, ipv6 ..., or a number as 0x0806
    #[arg(long, value_name = "TYPE")]
    pub(crate) ethertype: Option<String>,
    /// Octets of each frame at most
    #[arg(short, long, value_name = "OCTETS", allow_negative_numbers = true)]
    pub(crate) snaplen: Option<String>,
}

/// What may be set on a port.
#[derive(Debug, Args)]
pub(crate) struct SetportArgs {
    /// Number of the port
    #[arg(allow_negative_numbers = true)]
    pub(crate) port: i64,
    /// 1: drop all frames from and to the port; 0: let them pass
    // 1.3 took --s for it.
    #[arg(long, value_name = "0|1", value_parser = truth(), alias = "s")]
    pub(crate) shut: Option<bool>,
    /// Whether to look for loops through the port, and to block it then
    #[arg(long, value_name = "on|off", value_parser = on_off())]
    pub(crate) loopguard: Option<bool>,
    #[command(flatten)]
    pub(crate) guards: GuardArgs,
}

/// How `ctl top` shows rates.
#[derive(Debug, Args)]
pub(crate) struct TopArgs {
    /// Seconds between two looks
    #[arg(short, long, value_name = "SECONDS", default_value_t = 1.0, value_parser = delay)]
    pub(crate) delay: f64,
    /// Looks after which it ends [default: none]
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub(crate) count: Option<u64>,
    /// What stands first
    #[arg(short, long, value_name = "ORDER", default_value = "rate")]
    pub(crate) sort: Order,
}

/// Which port stands first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// The busiest, in both directions
    Rate,
    /// That which receives most
    Rx,
    /// That to which most is sent
    Tx,
    /// The lowest number
    Port,
}

/// The port to add.
#[derive(Debug, Subcommand)]
pub(crate) enum PortKind {
    /// An existing network interface
    Netdev {
        /// Name of the interface
        target: String,
    },
    /// A new TAP device
    Tap {
        /// Name of the device; %d becomes a number
        target: String,
    },
    /// A WebSocket that the switch opens
    Client {
        /// ws://HOST[:PORT]/PATH or wss://...
        #[arg(value_name = "URL")]
        target: String,
        /// Further URLs of the same segment, tried in turn when one cannot be reached
        #[arg(value_name = "URL")]
        more_urls: Vec<String>,
        /// Name for the WebSocket server; its password is prompted for
        #[arg(long, value_name = "NAME")]
        user: Option<String>,
        /// Password; other users of the machine can see it here: the prompt is safer
        // 1.3 took --p for --passwd: --proxy must not make it ambiguous.
        #[arg(long, value_name = "PASSWORD", alias = "p")]
        passwd: Option<Secret>,
        /// CA certificates, PEM; the switch opens the file [default: the system's]
        // As --p: --cert must not make --c ambiguous.
        #[arg(long, value_name = "FILE", alias = "c")]
        cacerts: Option<String>,
        /// Do not verify the server's certificate
        #[arg(long)]
        insecure: bool,
        /// Our own certificate chain, for a server that wants one, PEM; the switch opens it
        #[arg(long, value_name = "FILE")]
        cert: Option<String>,
        /// Private key of --cert, PEM; the switch opens it
        #[arg(long, value_name = "FILE")]
        key: Option<String>,
        /// HTTP proxy, http://[USER:PASSWORD@]HOST:PORT [default: http_proxy,
        /// https_proxy and no_proxy of the switch's environment]
        #[arg(long, value_name = "URL")]
        proxy: Option<Secret>,
    },
}

/// `ctl`'s subcommands by what they are for; what stands in no group comes last.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Ports", &["addport", "setport", "showport", "delport", "listport", "setif", "listif"]),
    ("Addresses and hosts", &["listfdb", "addfdb", "delfdb", "flushfdb", "listhosts"]),
    ("Traffic and events", &["top", "capture", "monitor"]),
    ("The switch itself", &[]),
];

/// `ctl` with its subcommands in groups, which clap has for options only.
pub(super) fn with_groups(ctl: Command) -> Command {
    let header = *ctl.get_styles().get_header();
    let literal = *ctl.get_styles().get_literal();
    let group_of = |name: &str| {
        GROUPS.iter().position(|(_, names)| names.contains(&name)).unwrap_or(GROUPS.len() - 1)
    };
    let mut groups = String::new();
    for (at, (title, _)) in GROUPS.iter().enumerate() {
        groups += &format!("{header}{title}:{header:#}\n");
        for one in ctl.get_subcommands().filter(|one| group_of(one.get_name()) == at) {
            let about = one.get_about().map(ToString::to_string).unwrap_or_default();
            groups += &format!("  {literal}{:13}{literal:#}{about}\n", one.get_name());
        }
        groups.push('\n');
    }
    ctl.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}\
         {header}Options:{header:#}\n{{options}}{{after-help}}"
    ))
}

/// Seconds between two requests: a switch has other things to do as well.
fn delay(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (MIN_DELAY..=MAX_DELAY).contains(seconds));
    seconds.ok_or_else(|| format!("give {MIN_DELAY} to {MAX_DELAY} seconds"))
}

/// Where the packaged service has control, if it runs and we may ask it; otherwise where
/// `etherws sw` has it.
pub(crate) fn default_ctlurl() -> String {
    const OF_SERVICE: &str = "/run/etherws/control.sock";
    match access(OF_SERVICE, AccessFlags::W_OK) {
        Ok(()) => format!("unix:{OF_SERVICE}"),
        Err(_) => "http://127.0.0.1:7867/ctl".to_owned(),
    }
}

fn on_off() -> impl TypedValueParser<Value = bool> {
    PossibleValuesParser::new(["on", "off"]).map(|value| value == "on")
}

fn truth() -> impl TypedValueParser<Value = bool> {
    PossibleValuesParser::new(["0", "1"]).map(|value| value == "1")
}

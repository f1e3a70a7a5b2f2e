//! The options and subcommands as clap reads them, with their help; those of `ctl` are in
//! `super::ctl`. They are not checked against each other here.
#![allow(rustdoc::broken_intra_doc_links, reason = "what stands in brackets is help text")]

use std::{env, path::PathBuf};

use clap::{Args, ColorChoice, Parser, Subcommand};
use clap_complete::Shell;
use nix::unistd::geteuid;

use super::ctl::{ControlArgs, CtlArgs};
use crate::{
    api::{ApproveUser, CreateInvitation, Filter, ListUser, RenameUser, RevokeUser, call::Request},
    config::{Config, absolute},
    options::Secret,
};

/// An Ethernet switch in user space whose cables may be WebSockets
#[derive(Debug, Parser)]
// argparse took unambiguous prefixes and repeated options: scripts rely on both.
#[command(name = "etherws", version, infer_long_args = true, args_override_self = true)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What 0.3 wants before `server` and `client`; it is taken after them as well.
#[derive(Debug, Default, Args)]
pub(super) struct Common {
    /// TAP device of server and client; %d becomes a number [default: ethws%d]
    #[arg(long, value_name = "NAME")]
    pub(super) device: Option<String>,
    /// Stay in the foreground instead of becoming a daemon
    #[arg(long)]
    pub(super) foreground: bool,
    /// Log each frame
    #[arg(long)]
    pub(super) debug: bool,
}

impl Common {
    pub(super) fn merge(&mut self, before: Self) {
        self.device = self.device.take().or(before.device);
        self.foreground |= before.foreground;
        self.debug |= before.debug;
    }

    /// One of the options that are there, if there is any.
    pub(super) fn given(&self) -> Option<&'static str> {
        let options = [
            ("--device", self.device.is_some()),
            ("--foreground", self.foreground),
            ("--debug", self.debug),
        ];
        options.iter().find_map(|&(option, given)| given.then_some(option))
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start a switch
    Sw(Box<SwArgs>),
    /// Check a configuration file, and say what a switch would do with it
    Check(CheckArgs),
    /// Make this machine a hub: write its configuration, start it, print an invitation
    Init(InitArgs),
    /// Invite somebody to the LAN of a hub
    Invite(InviteArgs),
    /// Join the LAN that an invitation leads to
    Join(JoinArgs),
    /// Leave a LAN that was joined: undo what join has done
    Leave(LeaveArgs),
    /// List, approve, revoke and rename the users of a hub
    Users(UsersArgs),
    /// Control a running switch
    Ctl(CtlArgs),
    /// Write an entry of an htpasswd file
    Passwd(PasswdArgs),
    /// Look for what keeps a switch from working, and say what to do
    Doctor(DoctorArgs),
    /// List and capture a switch's ports for Wireshark, which runs this itself
    Extcap(ExtcapArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Write man pages and completions, for the package
    #[command(hide = true)]
    Manual(ManualArgs),
    /// Connect a TAP device to all WebSocket clients, as etherws 0.3 did
    Server(ServerArgs),
    /// Connect a TAP device to a WebSocket server, as etherws 0.3 did
    Client(ClientArgs),
}

/// Where the packaged service has its configuration.
pub(crate) const CONFIG: &str = "/etc/etherws/etherws.toml";

/// The configuration file of who asks: the service's for root, else one of his own. `None` without
/// a home.
pub(crate) fn usual_file() -> Option<PathBuf> {
    if geteuid().is_root() {
        return Some(CONFIG.into());
    }
    let home = || Some(PathBuf::from(env::var_os("HOME")?).join(".config"));
    let folder = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home)?;
    Some(folder.join("etherws/etherws.toml"))
}

/// `etherws init`: the hub to make.
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Configuration file to write; keys and users are stored in the folder hub beside it
    /// [default: /etc/etherws/etherws.toml, or that in ~/.config for other users than root]
    #[arg(long, value_name = "FILE", value_parser = absolute())]
    pub(crate) config: Option<PathBuf>,
    /// Name of the hub, as its users see it [default: the machine's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// TCP port to listen on, or HOST:PORT [default: 443 as root, else 8443]
    #[arg(long, value_name = "[HOST:]PORT")]
    pub(crate) listen: Option<String>,
    /// URL by which others reach the hub, wss://HOST[:PORT]/; may be repeated [default: this
    /// machine's address]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Vec<String>,
    /// Address of the hub on the LAN; users get addresses of the same network [default: the first
    /// of 10.99.0.1/24, 10.99.1.1/24, .. that is free here]
    #[arg(long, value_name = "ADDRESS/LENGTH")]
    pub(crate) address: Option<String>,
    /// TAP device of the hub [default: ethws0]
    #[arg(long, value_name = "NAME", conflicts_with = "no_tap")]
    pub(crate) tap: Option<String>,
    /// Make a hub without a TAP device, which is not on the LAN itself
    #[arg(long)]
    pub(crate) no_tap: bool,
    /// Tell users that the LAN has a DHCP server, and give them no addresses
    #[arg(long)]
    pub(crate) dhcp: bool,
    /// Let an operator approve whoever comes with an invitation
    #[arg(long)]
    pub(crate) approval: bool,
    /// Have the hub's certificate issued by a public CA, by ACME, for the names in --url
    #[arg(long, requires = "url")]
    pub(crate) acme: bool,
    /// Print what would be written, and change nothing
    #[arg(long)]
    pub(crate) print: bool,
}

/// `etherws invite`: whom.
#[derive(Debug, Args)]
pub(super) struct InviteArgs {
    #[command(flatten)]
    pub(super) hub: HubArgs,
    #[command(flatten)]
    pub(super) call: CreateInvitation,
}

/// The hub to ask, and how to show what it says.
#[derive(Debug, Args)]
pub(super) struct HubArgs {
    #[command(flatten)]
    pub(super) control: ControlArgs,
    /// Configuration file of the hub, which says where its control is
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// When to use colour: auto (on a terminal), always or never
    #[arg(long, global = true, value_name = "WHEN", default_value_t, hide_possible_values = true)]
    pub(super) color: ColorChoice,
}

/// `etherws users`: what to do with them.
#[derive(Debug, Args)]
pub(super) struct UsersArgs {
    #[command(flatten)]
    pub(super) hub: HubArgs,
    #[command(subcommand)]
    pub(super) command: UsersCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum UsersCommand {
    /// List the users, with state and authentication
    List(ListUser),
    /// Show one user
    Show {
        /// Name of the user
        name: String,
    },
    /// Approve a waiting user
    Approve(ApproveUser),
    /// Revoke a user: sessions end at once, and none begins
    Revoke(RevokeUser),
    /// Give a user who was invited another name
    Rename(RenameUser),
}

impl UsersCommand {
    pub(super) fn request(self) -> Request {
        match self {
            Self::List(call) => Request::from(&call),
            Self::Show { name } => Request::from(&ListUser { name: Some(name) }),
            Self::Approve(call) => Request::from(&call),
            Self::Revoke(call) => Request::from(&call),
            Self::Rename(call) => Request::from(&call),
        }
    }
}

/// `etherws join`: which LAN, and how.
#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// Link of the invitation, in quotes; - reads it as a line of standard input
    pub(crate) link: String,
    /// Configuration file to write; key and certificate are stored in a folder beside it
    /// [default: /etc/etherws/etherws.toml, or that in ~/.config for other users than root]
    #[arg(long, value_name = "FILE", value_parser = absolute())]
    pub(crate) config: Option<PathBuf>,
    /// TAP device that connects this machine to the LAN [default: ethws0]
    #[arg(long, value_name = "NAME", conflicts_with = "no_tap")]
    pub(crate) tap: Option<String>,
    /// Make no TAP device: for users without root, or with other ports
    #[arg(long)]
    pub(crate) no_tap: bool,
    /// Proxy to go through, http://[USER:PASSWORD@]HOST:PORT, https://.. or socks5://.. [default:
    /// that of the environment]
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<Secret>,
}

/// `etherws leave`: which LAN.
#[derive(Debug, Args)]
pub(crate) struct LeaveArgs {
    /// Name of the hub, as join has shown it [default: the only one]
    pub(crate) hub: Option<String>,
    /// Configuration file that join has written
    /// [default: /etc/etherws/etherws.toml, or that in ~/.config for other users than root]
    #[arg(long, value_name = "FILE", value_parser = absolute())]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct SwArgs {
    /// Configuration file; other options override it
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Stay in the foreground instead of becoming a daemon
    // 1.3 took these for it: --forwarded-header must not make them ambiguous.
    #[arg(long, aliases = ["f", "fo", "for"])]
    pub(super) foreground: bool,
    /// Its keys.
    #[command(flatten)]
    pub(super) given: Config,
}

/// `etherws check`: which file.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Configuration file
    #[arg(required_unless_present = "schema")]
    pub(crate) file: Option<PathBuf>,
    /// Print the file's JSON schema, for editors
    #[arg(long)]
    pub(crate) schema: bool,
}

/// `etherws passwd`: whose password to set, and where.
#[derive(Debug, Args)]
pub(crate) struct PasswdArgs {
    /// File to write, as --htpasswd reads it; made if it is not there
    pub(crate) file: PathBuf,
    /// Name; the password is prompted for, or is a line of standard input
    pub(crate) user: String,
    /// Delete the user instead
    #[arg(short = 'D', long)]
    pub(crate) delete: bool,
}

/// `etherws doctor`: what to look at, besides this machine and the running switch.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) control: ControlArgs,
    /// Only ask the switch whether it serves: one line, and the exit status, within 3 seconds
    #[arg(long, conflicts_with_all = ["netdev", "url", "server"])]
    pub(crate) health: bool,
    /// Configuration file to check, with its files, interfaces and tunnels
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Interface that is to be a netdev port
    #[arg(long, value_name = "NAME")]
    pub(crate) netdev: Vec<String>,
    /// Server to open a tunnel to, for a moment: ws://HOST[:PORT]/PATH or wss://...
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The same, without --url
    #[arg(value_name = "URL", conflicts_with = "url")]
    pub(crate) server: Option<String>,
    /// Name for that server; its password is prompted for
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Password; other users of the machine can see it here: the prompt is safer
    #[arg(long, value_name = "PASSWORD")]
    pub(crate) passwd: Option<Secret>,
    /// CA certificates for that server, PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) cacerts: Option<PathBuf>,
    /// Do not verify that server's certificate
    #[arg(long)]
    pub(crate) insecure: bool,
    /// Key that its certificate, or that of its CA, must have: sha256: and its hash
    #[arg(long, value_name = "PIN")]
    pub(crate) pin: Vec<String>,
    /// Client certificate chain to present to the server, PEM
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// Private key of --cert, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Proxy, http://[USER:PASSWORD@]HOST:PORT, https://.. or socks5://.., or direct for none
    /// [default: http_proxy, https_proxy, all_proxy and no_proxy of the environment]
    #[arg(long, value_name = "URL")]
    pub(crate) proxy: Option<Secret>,
    /// Name that the server is asked for, HOST[:PORT] [default: the URL's]
    #[arg(long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// Name for TLS, which its certificate must be for [default: the URL's]
    #[arg(long, value_name = "NAME")]
    pub(crate) sni: Option<String>,
    /// Further header of the request, NAME: VALUE; may be repeated
    #[arg(long, value_name = "HEADER")]
    pub(crate) header: Vec<Secret>,
    /// Octets of data in a TCP segment at most
    #[arg(long, value_name = "OCTETS")]
    pub(crate) mss: Option<u16>,
    /// Print JSON instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// When to use colour: auto (on a terminal), always or never
    #[arg(long, value_name = "WHEN", default_value_t, hide_possible_values = true)]
    pub(crate) color: ColorChoice,
}

/// `etherws completions`: for which shell.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: Shell,
}

/// `etherws manual`: where to write what is made from this definition.
#[derive(Debug, Args)]
pub(crate) struct ManualArgs {
    /// Folder; made if it is not there
    pub(crate) folder: PathBuf,
}

/// `etherws extcap`: the options that Wireshark gives.
#[derive(Debug, Args)]
pub(crate) struct ExtcapArgs {
    /// List the interfaces: the ports of this machine's switch, and of those whose URLs
    /// stand in ETHERWS_EXTCAP_URLS
    #[arg(long)]
    pub(crate) extcap_interfaces: bool,
    /// Print the link type of an interface
    #[arg(long)]
    pub(crate) extcap_dlts: bool,
    /// Print the options of an interface
    #[arg(long)]
    pub(crate) extcap_config: bool,
    /// Version of Wireshark
    #[arg(long, value_name = "VERSION")]
    pub(crate) extcap_version: Option<String>,
    /// The interface, as listed
    #[arg(long, value_name = "NAME")]
    pub(crate) extcap_interface: Option<String>,
    /// Capture filter of Wireshark, in the common part of tcpdump's syntax
    #[arg(long, value_name = "FILTER")]
    pub(crate) extcap_capture_filter: Option<String>,
    /// Capture
    #[arg(long)]
    pub(crate) capture: bool,
    /// Where to write what is captured
    #[arg(long, value_name = "FILE")]
    pub(crate) fifo: Option<PathBuf>,
    /// URL of the switch's control service [default: the interface's]
    #[arg(long, value_name = "URL")]
    pub(crate) ctlurl: Option<String>,
    /// Name for the control service
    #[arg(long, value_name = "NAME")]
    pub(crate) ctluser: Option<String>,
    /// Its password
    #[arg(long, value_name = "PASSWORD")]
    pub(crate) ctlpasswd: Option<Secret>,
    /// CA certificates for the control service, PEM [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub(crate) ctlsslcert: Option<PathBuf>,
    /// Do not verify the control service's certificate
    #[arg(long)]
    pub(crate) ctlinsecure: bool,
    #[command(flatten)]
    pub(crate) filter: Filter,
}

/// `etherws server`, of 0.3. The ids of its options are keys of the configuration.
#[derive(Debug, Args)]
pub(super) struct ServerArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// Address to serve WebSockets on [default: all addresses]
    #[arg(id = "tunnel.host", long = "address", value_name = "ADDRESS")]
    pub(super) address: Option<String>,
    /// TCP port to serve WebSockets on [default: 80, or 443 with TLS]
    #[arg(id = "tunnel.port", long = "port", value_name = "PORT")]
    pub(super) port: Option<u16>,
    /// HTTP path of the WebSocket service [default: /]
    #[arg(id = "tunnel.path", long = "path", value_name = "PATH")]
    pub(super) path: Option<String>,
    /// Passwords of WebSocket clients, as written by Apache's htpasswd
    #[arg(id = "tunnel.htpasswd", long = "htpasswd", value_name = "FILE")]
    #[arg(value_parser = absolute())]
    pub(super) htpasswd: Option<PathBuf>,
    /// Origin from which a browser may come besides the switch's own; * is any
    #[arg(id = "tunnel.allow-origin", long = "allow-origin", value_name = "URL")]
    pub(super) allow_origin: Option<Vec<String>>,
    /// Private key of the WebSocket service, PEM
    #[arg(id = "tunnel.tls.key", long = "keyfile", value_name = "FILE")]
    #[arg(value_parser = absolute())]
    pub(super) keyfile: Option<PathBuf>,
    /// Certificate chain of the WebSocket service, PEM
    #[arg(id = "tunnel.tls.cert", long = "certfile", value_name = "FILE")]
    #[arg(value_parser = absolute())]
    pub(super) certfile: Option<PathBuf>,
}

/// `etherws client`, of 0.3.
#[derive(Debug, Args)]
pub(super) struct ClientArgs {
    #[command(flatten)]
    pub(super) common: Common,
    /// ws://HOST[:PORT]/PATH or wss://...
    #[arg(long, value_name = "URL")]
    pub(super) uri: String,
    /// Name for the WebSocket server; its password is prompted for
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// CA certificates, PEM [default: the system's]
    #[arg(long, value_name = "FILE", value_parser = absolute())]
    pub(super) cacerts: Option<PathBuf>,
    /// Do not verify the server's certificate
    #[arg(long)]
    pub(super) insecure: bool,
    /// Client certificate chain to present to the server, PEM
    #[arg(long, value_name = "FILE", requires = "key", value_parser = absolute())]
    pub(super) cert: Option<PathBuf>,
    /// Private key of --cert, PEM
    #[arg(long, value_name = "FILE", requires = "cert", value_parser = absolute())]
    pub(super) key: Option<PathBuf>,
    /// HTTP proxy, http://[USER:PASSWORD@]HOST:PORT [default: http_proxy,
    /// https_proxy and no_proxy of the environment]
    #[arg(long, value_name = "URL")]
    pub(super) proxy: Option<Secret>,
}

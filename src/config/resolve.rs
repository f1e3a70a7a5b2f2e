//! From what is written to what is run: fills in the defaults and checks settings against
//! each other, all of them before it gives up. Reads the files with passwords of client
//! ports, and opens other files only to see that they can be read.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use etherws_actors::{
    bindings::DEFAULT_BINDINGS,
    error::one_line,
    fdb::DEFAULT_AGING_TIME,
    frame::{MacAddr, Vid},
    kinds::PortSpec,
    links::MAX_LINKS,
    multicast::SnoopingOptions,
    settings::{DeviceMac, Label, PortName, PortSettings, Profiles, Role, ValueError, VlanId},
    stp::BridgeSettings,
    tunnel::Wire,
};
use ipnet::IpNet;

use super::{
    CommandLine, Config, ControlRoles,
    read::{Fault, Faults, File, Source},
};
use crate::{
    acme::AcmeOptions,
    capture::mirror::Mirror,
    logging,
    options::{
        DEFAULT_EVENTS, DEFAULT_MAX_SESSIONS, DEFAULT_MAX_SESSIONS_EACH, ForwardedHeader, Limits,
        MAX_EVENTS, MAX_THREADS, MIN_BINDINGS, MIN_QUEUE_MEMORY, Proxies, Roles, Service, TlsFiles,
        default_queue_memory,
    },
    users::UsersOptions,
};

/// A switch to run.
#[derive(Debug, Clone)]
pub(crate) struct Sw {
    /// How to log.
    pub(crate) logging: logging::Options,
    /// Whom to run as, once listening.
    pub(crate) user: Option<String>,
    /// After which an address that was not seen again is forgotten.
    pub(crate) aging_time: Duration,
    /// Octets that all queues may take together.
    pub(crate) queue_memory: usize,
    pub(crate) max_bindings: usize,
    /// As a bridge of the spanning tree, if it takes part in it.
    pub(crate) stp: Option<BridgeSettings>,
    /// Whether multicast goes only where it is wanted.
    pub(crate) snooping: SnoopingOptions,
    /// Where the process's number is written; absolute.
    pub(crate) pid_file: Option<PathBuf>,
    /// Folder of the state that is kept; absolute. By default the usual one.
    pub(crate) state: Option<PathBuf>,
    /// Whether to keep a list of hosts.
    pub(crate) hosts: bool,
    /// How many recent events to keep.
    pub(crate) events: usize,
    /// Whether TAP devices and network interfaces take part in LLDP.
    pub(crate) lldp: bool,
    /// MAC address of the switch in protocols, if it was given.
    pub(crate) mac: Option<DeviceMac>,
    /// Settings of ports that have none of their own.
    pub(crate) port_defaults: PortSettings,
    /// Settings under a name.
    pub(crate) profiles: Arc<Profiles>,
    pub(crate) vlan_names: BTreeMap<Vid, String>,
    /// Arbiters, each a thread, that ports are spread over; at least 1.
    pub(crate) threads: usize,
    /// Where WebSocket clients come in, if any may.
    pub(crate) tunnel: Option<Service>,
    /// Octets of data in its TCP segments at most.
    pub(crate) tunnel_mss: Option<u16>,
    /// What passes through tunnels at most.
    pub(crate) tunnel_wire: Wire,
    /// Links that a client's port may have at most.
    pub(crate) max_links: u8,
    /// Whose pages may open one from a browser, besides the switch's own; `*`: all.
    pub(crate) allowed_origins: Vec<String>,
    /// How many sessions there may be.
    pub(crate) limits: Limits,
    /// Where control requests come in by TCP.
    pub(crate) control: Option<Service>,
    /// The Unix socket that they come in by; absolute.
    pub(crate) control_socket: Option<PathBuf>,
    /// Names by which control may be asked for.
    pub(crate) control_names: Vec<String>,
    /// Who may do what by control.
    pub(crate) roles: Roles,
    /// Whether control is for anybody on any machine.
    pub(crate) control_open: bool,
    /// Reverse proxies before its Unix socket.
    pub(crate) control_proxies: Proxies,
    /// Ports of the configuration.
    pub(crate) ports: Vec<Port>,
    /// From whom the tunnel has key and certificate, if not from its files.
    pub(crate) acme: Option<AcmeOptions>,
    /// Who may be invited, if anybody may.
    pub(crate) users: Option<UsersOptions>,
    /// Mirrors that copy to ports.
    pub(crate) mirrors: Vec<Mirror>,
    /// Whether it starts as 0.3 does: not without one of its ports, and after it has asked
    /// for a password.
    pub(crate) legacy: bool,
    /// The file, if there is one.
    pub(crate) source: Option<Source>,
}

/// A port of the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Port {
    /// What it is: by its type and target it is told from others.
    pub(crate) new: PortSpec,
    /// What is set of these is to be so.
    pub(crate) settings: PortSettings,
    /// What its interface is to have, each with its prefix length.
    pub(crate) addresses: Option<Vec<(IpAddr, u8)>>,
    /// In octets.
    pub(crate) mtu: Option<u32>,
    /// Static entries of the forwarding database.
    pub(crate) fdb: Vec<(Vid, MacAddr)>,
}

impl Port {
    /// Whether this is its name, or that of its device.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        let own = self.settings.name.as_ref().map(PortName::as_str);
        own == Some(name) || self.new.interface() == Some(name)
    }
}

impl From<PortSpec> for Port {
    /// With nothing set.
    fn from(new: PortSpec) -> Self {
        let settings = PortSettings::default();
        Self { new, settings, addresses: None, mtu: None, fdb: Vec::new() }
    }
}

/// What `config` asks for; it is from `file`, with `line` over it.
///
/// # Errors
/// Everything that cannot be so.
pub(crate) fn resolve(
    config: &Config,
    file: Option<&File>,
    line: &CommandLine,
    known: Vec<Fault>,
) -> Result<Sw, Faults> {
    let (sw, faults) = survey(config, file, line, known);
    if faults.is_empty() {
        return Ok(sw);
    }
    Err(match file {
        Some(file) => file.faults(&faults),
        None => Faults::of_options(&faults),
    })
}

/// The same, whatever is wrong: with something else in its place.
pub(crate) fn survey(
    config: &Config,
    file: Option<&File>,
    line: &CommandLine,
    known: Vec<Fault>,
) -> (Sw, Vec<Fault>) {
    let mut checker = Checker { has_file: file.is_some(), line, faults: known };
    // Without a file it listens, as 1.3 does.
    let file_asks = file.is_none_or(|file| file.has_tunnel);
    let sw = checker.sw(config, file_asks);
    (sw, checker.faults)
}

/// Notes what is wrong and goes on with something else.
pub(super) struct Checker<'a> {
    has_file: bool,
    line: &'a CommandLine,
    pub(super) faults: Vec<Fault>,
}

impl<'a> Checker<'a> {
    pub(super) fn name<'k>(&self, key: &'k str) -> Cow<'k, str>
    where
        'a: 'k,
    {
        self.line.name(key, self.has_file)
    }

    pub(super) fn fault(&mut self, key: &str, text: impl Into<String>) {
        // What an option says has no place in the file.
        let key = if self.line.gives(key) { "" } else { key };
        self.faults.push(Fault::new(key, text));
    }

    fn sw(&mut self, config: &Config, file_asks: bool) -> Sw {
        let Config {
            switch,
            tunnel,
            control,
            log,
            port_defaults,
            profile,
            users,
            pool,
            vlan_names,
            port,
            mirror,
            legacy,
        } = config;
        let profiles = self.profiles(profile);
        let acme = self.acme(&tunnel.acme, switch.state.as_deref());
        let tls = match &acme {
            Some(acme) => self.tls_by_acme(acme, &tunnel.tls),
            None => self.tls("tunnel.tls", tunnel.tls.files()),
        };
        let control_tls = self.tls("control.tls", control.tls.files());
        if switch.ageout == Some(0) {
            let text = format!("{} 0: give 1 or more seconds", self.name("switch.ageout"));
            self.fault("switch.ageout", text);
        }
        let threads = switch.threads.unwrap_or(1);
        if !(1..=MAX_THREADS).contains(&i64::from(threads)) {
            let name = self.name("switch.threads");
            let text = format!("{name} {threads}: give 1 to {MAX_THREADS}");
            self.fault("switch.threads", text);
        }
        let by_tcp = control.socket.is_none() || control.host.is_some() || control.port.is_some();
        let by_tcp = by_tcp && !legacy;
        let proxies = self.proxies(
            "tunnel",
            tunnel.trusted_proxies.as_ref(),
            tunnel.forwarded_header.as_ref(),
            tunnel.proxy_protocol,
        );
        let mut control_proxies = self.proxies(
            "control",
            control.trusted_proxies.as_ref(),
            control.forwarded_header.as_ref(),
            control.proxy_protocol,
        );
        if control.trusted_proxies.is_none() {
            control_proxies.trusted.clone_from(&proxies.trusted);
            control_proxies.unix = proxies.unix;
        }
        if control.forwarded_header.is_none() {
            control_proxies.header = proxies.header.clone();
        }
        let mut service = Service {
            host: control.host.clone().unwrap_or_else(|| "127.0.0.1".to_owned()),
            port: control.port.unwrap_or(7867),
            path: self.path("control.path", control.path.as_deref().unwrap_or("/ctl")),
            htpasswd: self.readable("control.htpasswd", control.htpasswd.as_deref()),
            tls: control_tls,
            proxies: control_proxies,
        };
        let tunnel_service = Service {
            host: tunnel.host.clone().unwrap_or_default(),
            port: tunnel.port.unwrap_or_else(|| default_port(tls.as_ref())),
            path: self.path("tunnel.path", tunnel.path.as_deref().unwrap_or("/")),
            htpasswd: self.readable("tunnel.htpasswd", tunnel.htpasswd.as_deref()),
            tls,
            proxies,
        };
        let tunnel_service = self.asks_for_tunnel(file_asks).then_some(tunnel_service);
        if let Some(tunnel) = tunnel_service.as_ref().filter(|_| by_tcp) {
            if tunnel.shares_listener(&service) && control.proxy_protocol.is_none() {
                service.proxies.protocol = tunnel.proxies.protocol;
            }
            self.check_shared(tunnel, &service);
        }
        let service_proxies = service.proxies.clone();
        let ports = self.ports(port, profiles.as_ref(), &port_defaults.settings.0);
        let users = self.users(users, pool, tunnel_service.as_ref(), &ports, acme.is_some());
        let limits = Limits {
            all: tunnel.max_sessions.unwrap_or(DEFAULT_MAX_SESSIONS),
            user: tunnel.max_sessions_per_user.unwrap_or(DEFAULT_MAX_SESSIONS_EACH),
            address: tunnel.max_sessions_per_address.unwrap_or(DEFAULT_MAX_SESSIONS_EACH),
        };
        let queue_memory = switch.queue_memory.map_or_else(default_queue_memory, |octets| octets.0);
        if queue_memory < MIN_QUEUE_MEMORY {
            let name = self.name("switch.queue-memory").into_owned();
            let text = format!("{name} {queue_memory} is too small; give 4M or more");
            self.fault("switch.queue-memory", text);
        }
        let aging_time = switch.ageout.map(|seconds| Duration::from_secs(seconds.into()));
        Sw {
            logging: logging::Options {
                debug: log.debug.unwrap_or(false),
                foreground: false,
                conf: self.readable("log.conf", log.conf.as_deref()),
            },
            user: switch.user.clone(),
            aging_time: aging_time.unwrap_or(DEFAULT_AGING_TIME),
            queue_memory,
            max_bindings: switch.max_bindings.map_or(DEFAULT_BINDINGS, |count| {
                if i64::from(count) < MIN_BINDINGS {
                    let name = self.name("switch.max-bindings");
                    let text = format!("{name} {count} is too small; give {MIN_BINDINGS} or more");
                    self.fault("switch.max-bindings", text);
                }
                count as usize
            }),
            stp: self.stp(switch),
            snooping: self.snooping(switch),
            state: switch.state.clone(),
            pid_file: switch.pid_file.clone(),
            hosts: switch.hosts.unwrap_or(!legacy),
            lldp: switch.lldp.unwrap_or(false),
            mac: switch.mac.as_ref().and_then(|mac| {
                let mac = mac.parse().map_err(|error: ValueError| {
                    let text = format!("{}: {error}", self.name("switch.mac"));
                    self.fault("switch.mac", text);
                });
                mac.ok()
            }),
            events: match switch.events {
                Some(events) if i64::from(events) > MAX_EVENTS => {
                    let name = self.name("switch.events");
                    let text = format!("{name} {events}: give 0 to {MAX_EVENTS}");
                    self.fault("switch.events", text);
                    DEFAULT_EVENTS
                }
                Some(events) => events.into(),
                None => {
                    if *legacy {
                        0
                    } else {
                        DEFAULT_EVENTS
                    }
                }
            },
            port_defaults: port_defaults.settings.0.clone(),
            ports,
            users,
            acme,
            mirrors: self.mirrors(mirror),
            profiles: Arc::new(profiles.unwrap_or_default()),
            vlan_names: self.vlan_names(vlan_names),
            threads: threads.into(),
            tunnel: tunnel_service,
            tunnel_mss: tunnel.mss,
            tunnel_wire: tunnel.wire.unwrap_or(Wire::SuperFrames),
            max_links: tunnel.max_links.unwrap_or(MAX_LINKS),
            allowed_origins: tunnel.allow_origin.clone().unwrap_or_default(),
            limits,
            control: by_tcp.then_some(service),
            control_socket: control.socket.clone(),
            control_names: control.name.clone().unwrap_or_default(),
            roles: self.roles(&control.roles),
            control_open: control.open.unwrap_or(false),
            control_proxies: service_proxies,
            legacy: *legacy,
            source: None,
        }
    }

    /// Whether there is a tunnel listener: with a file none that is not asked for there, or by
    /// a port on the command line. Further options of a listener that is not there would be
    /// taken for one.
    fn asks_for_tunnel(&mut self, file_asks: bool) -> bool {
        let asks = file_asks || self.line.gives("tunnel.port");
        const FURTHER: [&str; 7] =
            ["host", "path", "htpasswd", "proxy-protocol", "tls.key", "tls.cert", "tls.client-ca"];
        let further = FURTHER.iter().map(|key| format!("tunnel.{key}"));
        for key in further.filter(|key| !asks && self.line.gives(key)).collect::<Vec<_>>() {
            let text = format!(
                "{} is given without a tunnel listener; add --port, or [tunnel] to the file",
                self.name(&key)
            );
            self.fault(&key, text);
        }
        asks
    }

    /// The reverse proxies before the listener of `table`.
    fn proxies(
        &mut self,
        table: &str,
        trusted: Option<&Vec<String>>,
        header: Option<&String>,
        protocol: Option<bool>,
    ) -> Proxies {
        let header = header.map(|name| {
            // As a token has it (RFC 9110, 5.6.2).
            let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            if name.is_empty() || !name.chars().all(is_token) {
                let key = format!("{table}.forwarded-header");
                let text = format!("{} {name:?}: give a header's name", self.name(&key));
                self.fault(&key, text);
            }
            ForwardedHeader::named(name)
        });
        let header = header.unwrap_or_default();
        let protocol = protocol.unwrap_or(false);
        let mut proxies = Proxies { header, protocol, ..Proxies::default() };
        for text in trusted.into_iter().flatten() {
            let net = text.parse::<IpNet>().ok();
            let net = net.or_else(|| Some(text.parse::<IpAddr>().ok()?.to_canonical().into()));
            match net {
                _ if text == "unix" => proxies.unix = true,
                Some(net) => proxies.trusted.push(net),
                None => {
                    let key = format!("{table}.trusted-proxies");
                    let text = format!(
                        "{} {text:?}: give addresses, prefixes as 192.0.2.0/24, or unix",
                        self.name(&key)
                    );
                    self.fault(&key, text);
                }
            }
        }
        proxies
    }

    /// Key and certificate, both or neither; a client CA only with them.
    fn tls(&mut self, table: &str, given: [Option<&PathBuf>; 4]) -> Option<TlsFiles> {
        let names = ["key", "cert", "client-ca", "revoked"];
        let [key, cert, ca, revoked] = names.map(|name| format!("{table}.{name}"));
        let [name, other] = [&key, &cert].map(|key| self.name(key).into_owned());
        match given {
            [Some(file), None, ..] => self.fault(&key, lacking(&name, file, &other)),
            [None, Some(file), ..] => self.fault(&cert, lacking(&other, file, &name)),
            [None, None, Some(file), _] => {
                let text = format!(
                    "{} {} is given without {name} and {other}: certificates are shown over \
                     TLS alone",
                    self.name(&ca),
                    file.display()
                );
                self.fault(&ca, text);
            }
            [.., None, Some(file)] => {
                let (name, ca) = (self.name(&revoked).into_owned(), self.name(&ca).into_owned());
                let text = format!(
                    "{name} {} is given without {ca}: clients show no certificates",
                    file.display()
                );
                self.fault(&revoked, text);
            }
            _ => {}
        }
        let mut file = |name, at: usize| self.readable(name, given[at].map(PathBuf::as_path));
        let (key, cert, client_ca) = (file(&key, 0), file(&cert, 1), file(&ca, 2));
        let revoked = file(&revoked, 3);
        Some(TlsFiles { key: key?, cert: cert?, client_ca, revoked })
    }

    fn roles(&mut self, table: &ControlRoles) -> Roles {
        let lists = [
            ("admin", Role::Admin, &table.admin),
            ("operator", Role::Operate, &table.operator),
            ("viewer", Role::Read, &table.viewer),
        ];
        let mut roles = Roles::default();
        for (key, role, list) in lists {
            let Some(list) = list else { continue };
            let key = format!("control.roles.{key}");
            if let Some(name) = list.iter().find(|name| matches!(name.as_str(), "" | "@")) {
                let text = format!("{} {name:?}: give a user, @GROUP or *", self.name(&key));
                self.fault(&key, text);
            }
            roles.lists.push((role, list.clone()));
        }
        roles
    }

    fn check_shared(&mut self, tunnel: &Service, control: &Service) {
        if !tunnel.shares_listener(control) {
            return;
        }
        let name = |key| self.name(key).into_owned();
        let [port, control_port] = ["tunnel.port", "control.port"].map(name);
        let place = format!("{port} and {control_port} are both {} on one host", tunnel.port);
        if tunnel.path == control.path {
            let [path, control_path] = ["tunnel.path", "control.path"].map(name);
            let text =
                format!("{place}: {path} and {control_path} must not both be {}", tunnel.path);
            self.fault("control.path", text);
        }
        if tunnel.tls != control.tls {
            let text =
                format!("{place}: give both the same key and certificate (and client CA), or none");
            self.fault("control.tls", text);
        }
        if tunnel.proxies != control.proxies {
            let text = format!(
                "{place}: give both the same trusted-proxies, forwarded-header and \
                 proxy-protocol, or only the tunnel"
            );
            self.fault("control.trusted-proxies", text);
        }
    }

    fn path(&mut self, key: &str, path: &str) -> String {
        if !path.starts_with('/') {
            let text = format!("{} {path:?}: must begin with /", self.name(key));
            self.fault(key, text);
        }
        path.to_owned()
    }

    /// A file that can be read. Symbolic links stay: a renewed certificate may be behind
    /// the same link.
    pub(super) fn readable(&mut self, key: &str, file: Option<&Path>) -> Option<PathBuf> {
        let file = file?;
        let checked = fs::File::open(file).and_then(|open| {
            // A directory opens as well.
            if open.metadata()?.is_dir() {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            Ok(file.to_owned())
        });
        checked
            .map_err(|error| {
                let name = self.name(key);
                let text = format!(
                    "{name} {}: give a file that can be read: {}",
                    file.display(),
                    one_line(&error)
                );
                self.fault(key, text);
            })
            .ok()
    }

    fn vlan_names(&mut self, names: &BTreeMap<String, String>) -> BTreeMap<Vid, String> {
        let mut named = BTreeMap::new();
        for (vlan, name) in names {
            match (vlan.parse::<VlanId>(), name.parse::<Label>()) {
                (Ok(vlan), Ok(name)) => {
                    named.insert(vlan.vid(), name.to_string());
                }
                (Err(error), _) | (_, Err(error)) => {
                    self.fault(&format!("vlan-names.{vlan}"), error.to_string());
                }
            }
        }
        named
    }
}

fn lacking(given: &str, file: &Path, missing: &str) -> String {
    format!("{given} {} is given without {missing}: TLS needs both", file.display())
}

const fn default_port(tls: Option<&TlsFiles>) -> u16 {
    if tls.is_some() { 443 } else { 80 }
}

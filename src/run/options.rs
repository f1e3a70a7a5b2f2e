//! What a switch is to be, whichever command line asks for it: `sw`, or 0.3's `server`
//! and `client`, which are the same with one TAP and no control. Opens nothing.

use std::{path::PathBuf, time::Duration};

use etherws_actors::{
    fdb::DEFAULT_AGING_TIME,
    kinds::{Client, PortSpec, Tap, TapOptions},
    settings::PortSettings,
};

use crate::{
    cli,
    config::{self, Sw},
    logging,
    options::{Limits, Service},
};

/// A switch to run.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(super) logging: logging::Options,
    pub(super) aging_time: Duration,
    /// Folder of the state that is kept; by default the usual one.
    pub(super) state: Option<PathBuf>,
    /// Whether to keep a list of hosts.
    pub(super) hosts: bool,
    /// Settings of ports that have none of their own.
    pub(super) port_defaults: PortSettings,
    /// Arbiters, each a thread, that ports are spread over.
    pub(super) threads: usize,
    pub(super) tunnel: Option<Service>,
    pub(super) allowed_origins: Vec<String>,
    pub(super) limits: Limits,
    pub(super) control: Option<Service>,
    /// A Unix socket for control.
    pub(super) control_socket: Option<PathBuf>,
    /// Names by which control may be asked for.
    pub(super) control_names: Vec<String>,
    /// Whether control is for anybody on any machine.
    pub(super) control_open: bool,
    /// Ports of the configuration file.
    pub(super) configured: Vec<config::Port>,
    /// The file, if there is one.
    pub(super) source: Option<config::Source>,
    /// Ports that it begins with; without one of them it does not begin.
    pub(super) ports: Vec<PortSpec>,
    /// The account to run as.
    pub(super) account: Option<String>,
}

impl From<Sw> for Options {
    fn from(sw: Sw) -> Self {
        let Sw { debug, logconf: conf, foreground, .. } = sw;
        Self {
            logging: logging::Options { debug, foreground, conf },
            aging_time: sw.aging_time,
            state: sw.state,
            hosts: sw.hosts,
            port_defaults: sw.port_defaults,
            threads: sw.threads,
            tunnel: Some(sw.tunnel),
            allowed_origins: sw.allowed_origins,
            limits: sw.limits,
            control: sw.control,
            control_socket: sw.control_socket,
            control_names: sw.control_names,
            control_open: sw.control_open,
            ports: Vec::new(),
            configured: sw.ports,
            source: sw.source,
            account: sw.user,
        }
    }
}

impl Options {
    /// What 0.3 has no options for: no control, and so nothing that could only be seen there.
    fn legacy(debug: bool, foreground: bool, ports: Vec<PortSpec>) -> Self {
        Self {
            logging: logging::Options { debug, foreground, conf: None },
            aging_time: DEFAULT_AGING_TIME,
            state: None,
            hosts: false,
            port_defaults: PortSettings::default(),
            threads: 1,
            tunnel: None,
            allowed_origins: Vec::new(),
            limits: Limits::default(),
            control: None,
            control_socket: None,
            control_names: Vec::new(),
            control_open: false,
            configured: Vec::new(),
            source: None,
            ports,
            account: None,
        }
    }
}

fn tap(device: String) -> PortSpec {
    PortSpec::new::<Tap>(TapOptions::new(device))
}

impl From<cli::Server> for Options {
    fn from(server: cli::Server) -> Self {
        let ports = vec![tap(server.device)];
        Self {
            tunnel: Some(server.tunnel),
            allowed_origins: server.allowed_origins,
            ..Self::legacy(server.debug, server.foreground, ports)
        }
    }
}

impl From<cli::Client> for Options {
    fn from(client: cli::Client) -> Self {
        let ports = vec![tap(client.device), PortSpec::new::<Client>(client.options)];
        Self::legacy(client.debug, client.foreground, ports)
    }
}

//! What the options ask for: which TCP listeners, and what each is to serve, which `listeners`
//! compares with what is there, and what the Switch is told. Values alone; opens nothing.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Result, bail};
use etherws_actors::{message::SetDefaults, tunnel::Wire};
use slog::{Logger, warn};

use super::listeners::Sockets;
use crate::{
    api::status::ListenerInfo,
    config::Sw,
    options::{Proxies, Service, TlsFiles},
};

/// A TCP listener: where it listens, and what it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ListenerSpec {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<TlsFiles>,
    /// Octets of data in a segment at most.
    pub(super) mss: Option<u16>,
    pub(super) proxies: Proxies,
    pub(super) tunnel: Option<TunnelSpec>,
    pub(super) control: Option<ControlSpec>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TunnelSpec {
    pub(super) path: String,
    pub(super) htpasswd: Option<PathBuf>,
    pub(super) allowed_origins: Vec<String>,
    pub(super) wire: Wire,
    pub(super) max_links: u8,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ControlSpec {
    pub(super) path: String,
    pub(super) htpasswd: Option<PathBuf>,
    pub(super) names: Vec<String>,
    pub(super) open: bool,
}

/// The TCP listeners that `options` ask for: tunnel's, and control's unless that is the
/// same one.
pub(super) fn listener_specs(options: &Sw) -> Vec<ListenerSpec> {
    let at = |service: &Service| ListenerSpec {
        host: service.host.clone(),
        port: service.port,
        tls: service.tls.clone(),
        mss: None,
        proxies: service.proxies.clone(),
        tunnel: None,
        control: None,
    };
    let mut all = Vec::new();
    if let Some(service) = &options.tunnel {
        let (path, htpasswd) = (service.path.clone(), service.htpasswd.clone());
        let allowed_origins = options.allowed_origins.clone();
        let tunnel = Some(TunnelSpec {
            path,
            htpasswd,
            allowed_origins,
            wire: options.tunnel_wire,
            max_links: options.max_links,
        });
        all.push(ListenerSpec { tunnel, mss: options.tunnel_mss, ..at(service) });
    }
    if let Some(service) = &options.control {
        let (path, htpasswd) = (service.path.clone(), service.htpasswd.clone());
        let host = Some(&service.host).filter(|host| !host.is_empty());
        let names = options.control_names.iter().chain(host).cloned().collect();
        let control = Some(ControlSpec { path, htpasswd, names, open: options.control_open });
        match all.first_mut() {
            Some(tunnel) if options.tunnel.as_ref().is_some_and(|t| t.shares_listener(service)) => {
                tunnel.control = control;
            }
            _ => all.push(ListenerSpec { control, ..at(service) }),
        }
    }
    all
}

impl ListenerSpec {
    /// What it serves, as in the log.
    pub(super) fn service(&self) -> &'static str {
        match (&self.tunnel, &self.control) {
            (Some(_), Some(_)) => "tunnel+control",
            (None, _) => "control",
            (_, None) => "tunnel",
        }
    }

    /// As control shows it, with the sockets that it has.
    pub(super) fn info(&self, sockets: &Sockets) -> ListenerInfo {
        let certificate = self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let asks = |htpasswd: bool, otherwise: &str| match (certificate, htpasswd) {
            (true, true) => "certificate and password".to_owned(),
            (true, false) => "certificate".to_owned(),
            (false, true) => "password".to_owned(),
            (false, false) => otherwise.to_owned(),
        };
        let tunnel = self.tunnel.as_ref().map(|tunnel| asks(tunnel.htpasswd.is_some(), "none"));
        let control = self.control.as_ref().map(|control| {
            asks(control.htpasswd.is_some(), if control.open { "none" } else { "local" })
        });
        let mut auth: Vec<_> = [tunnel, control].into_iter().flatten().collect();
        auth.dedup();
        let addresses = sockets.iter().filter_map(|socket| socket.local_addr().ok());
        let addresses: Vec<_> = addresses.map(|address| address.to_string()).collect();
        ListenerInfo {
            service: self.service().to_owned(),
            address: addresses.join(", "),
            tls: self.tls.is_some(),
            auth: auth.join("; "),
        }
    }

    /// What it is called where changes are told.
    pub(super) fn item(&self) -> String {
        let host = if self.host.is_empty() { "*" } else { &self.host };
        format!("{} on {host}:{}", self.service(), self.port)
    }

    /// Whether both are one listener, whatever they serve.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        // 0 is another free port each time.
        let is_free = self.port == 0 && self.service() != other.service();
        (self.port, &self.host) == (other.port, &other.host) && !is_free
    }

    /// Whether anybody who can reach one of these sockets can join the LAN.
    pub(super) fn is_open(&self, sockets: &Sockets) -> bool {
        let Some(tunnel) = &self.tunnel else { return false };
        let asks = tunnel.htpasswd.is_some()
            || self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let mut addresses = sockets.iter().filter_map(|socket| socket.local_addr().ok());
        !asks && addresses.any(|address| !address.ip().is_loopback())
    }

    /// Whether control on these sockets is for this machine alone: on all addresses, as
    /// 1.3 takes it, without anything that its peers must show.
    ///
    /// # Errors
    /// So it would be on an address that nobody on this machine asks it by.
    pub(super) fn is_local_only(&self, sockets: &Sockets, log: &Logger) -> Result<bool> {
        let Some(control) = &self.control else { return Ok(false) };
        let asks = control.htpasswd.is_some()
            || self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
        let addresses = sockets.iter().filter_map(|socket| socket.local_addr().ok());
        let addresses: Vec<_> = addresses.map(|address| address.ip()).collect();
        if control.open || asks {
            return Ok(false);
        }
        if addresses.iter().all(|address| address.is_loopback()) {
            // Whoever comes through a proxy is not here, wherever the proxy is.
            if addresses.iter().any(|address| self.proxies.trusts(*address)) {
                warn!(
                    log,
                    "control accepts no local clients here, since they come from the \
                    address of a trusted proxy: use --ctlsock, give it passwords with \
                    --ctlhtpasswd, or name its own proxies with --ctl-trusted-proxies"
                );
            }
            return Ok(self.proxies.any());
        }
        const WAYS_OUT: &str = "give it passwords with --ctlhtpasswd, ask for certificates with \
                                --ctlsslclientca, or open it to anybody with --ctlopen";
        if addresses.iter().any(|address| address.is_unspecified()) {
            warn!(log, "control accepts local clients only: {WAYS_OUT}");
            return Ok(true);
        }
        bail!(
            "anyone who can reach {}:{} could control the switch: {WAYS_OUT}",
            self.host,
            self.port
        )
    }
}

/// What the Switch is told of the options.
pub(super) fn defaults(options: &Sw) -> SetDefaults {
    SetDefaults {
        aging_time: options.aging_time,
        queue_memory: options.queue_memory,
        max_bindings: options.max_bindings,
        stp: options.stp,
        snooping: options.snooping,
        ports: options.port_defaults.clone(),
        profiles: Arc::clone(&options.profiles),
        vlan_names: options.vlan_names.clone(),
        lldp: options.lldp,
    }
}

//! Control: one enum of commands, one of replies. JSON-RPC, `ctl` and programs
//! that embed the switch all come through here.

use std::{net::IpAddr, path::PathBuf};

use crate::{
    fdb::PortNumber,
    message::{FdbInfo, PortInfo},
};

/// What can be asked of a switch.
#[derive(Debug, Clone)]
pub enum Command {
    /// All ports, by number.
    ListPorts,
    /// Opens a port and adds it to the switch.
    AddPort(NewPort),
    /// Sets what the operator may set on a port; `None` leaves it.
    SetPort {
        /// Which port.
        port: PortNumber,
        /// Whether frames from and to it are dropped.
        shut: Option<bool>,
    },
    /// Deletes a port. The reply is the port as it was.
    DelPort {
        /// Which port.
        port: PortNumber,
    },
    /// The ports that are network interfaces.
    ListInterfaces,
    /// Applies all of `settings` to a port's interface, or nothing.
    SetInterface {
        /// Which port.
        port: PortNumber,
        /// What to set.
        settings: InterfaceSettings,
    },
    /// The forwarding database, by VLAN and then address.
    ListFdb,
}

/// A port to add.
#[derive(Debug, Clone)]
pub enum NewPort {
    /// A new TAP device.
    Tap {
        /// Its name; one `%d` becomes the lowest free number.
        name: String,
    },
    /// An existing network interface.
    Netdev {
        /// Its name.
        name: String,
    },
    /// A WebSocket that we open.
    Client(ClientOptions),
}

/// How to reach a WebSocket server.
#[derive(Clone, Default)]
pub struct ClientOptions {
    /// `ws://` or `wss://`.
    pub url: String,
    /// Name and password for HTTP Basic authentication.
    pub credentials: Option<Credentials>,
    /// PEM file of the CA certificates that the server's must verify against;
    /// the system's without it.
    pub cacerts: Option<PathBuf>,
    /// Take any certificate.
    pub insecure: bool,
    /// HTTP proxy to go through, `http://[user:password@]host:port`. Without it
    /// the environment's `http_proxy`, `https_proxy` and `no_proxy` count.
    pub proxy: Option<String>,
}

impl std::fmt::Debug for ClientOptions {
    /// Leaves the proxy out: its URL may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientOptions")
            .field("url", &self.url)
            .field("credentials", &self.credentials)
            .field("cacerts", &self.cacerts)
            .field("insecure", &self.insecure)
            .finish_non_exhaustive()
    }
}

/// A name and a password; the latter stays out of `Debug`.
#[derive(Clone)]
pub struct Credentials {
    /// Name; must not hold a colon (RFC 7617, 2).
    pub user: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// What to set on an interface; `None` leaves it as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InterfaceSettings {
    /// The address.
    pub address: Option<AddressSetting>,
    /// Prefix length of the address: with `address`, of that one; alone, of the
    /// IPv4 address that the interface has.
    pub prefix_len: Option<u8>,
    /// MTU in octets.
    pub mtu: Option<u32>,
}

/// An address to set on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressSetting {
    /// Replaces all IPv4 addresses of the interface, or all global IPv6 ones.
    Set(IpAddr),
    /// Removes all IPv4 addresses.
    Clear,
}

/// An interface as control shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceInfo {
    /// Number of its port.
    pub port: PortNumber,
    /// Kind of its port.
    pub kind: &'static str,
    /// Its name.
    pub target: String,
    /// Each address with its prefix length: IPv4 first, the primary one first;
    /// link-local IPv6 addresses are left out.
    pub addresses: Vec<(IpAddr, u8)>,
    /// MTU in octets; 0 while the interface does not exist.
    pub mtu: u32,
}

/// What a command gives.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Of the port commands: the ports concerned.
    Ports(Vec<PortInfo>),
    /// Of the interface commands: the interfaces concerned.
    Interfaces(Vec<InterfaceInfo>),
    /// Of `ListFdb`.
    Fdb(Vec<FdbInfo>),
}

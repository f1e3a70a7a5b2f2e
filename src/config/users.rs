//! The users of a hub as a configuration has them, checked.
#![allow(rustdoc::broken_intra_doc_links, reason = "what stands in brackets is help text")]

use std::path::PathBuf;

use clap::Args;
use etherws_actors::{
    connect::{Scheme, ServerUrl},
    error::one_line,
};
use nix::unistd::gethostname;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    absolute,
    resolve::{Checker, Port},
};
use crate::{
    options::{Service, Ttl},
    users::{DEFAULT_LIFETIME, Policy, UsersOptions, book},
};

/// `[users]`
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[command(next_help_heading = "Users")]
pub(crate) struct Users {
    /// Folder with the users and the CA that certifies them, as etherws init makes it [default:
    /// nobody is invited]
    #[arg(id = "users.folder", long = "users-folder", value_name = "DIR")]
    #[arg(value_parser = absolute())]
    pub(crate) folder: Option<PathBuf>,
    /// Name of this hub, as its users see it [default: the machine's name]
    #[arg(id = "users.name", long = "users-name", value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// URL by which users reach the tunnel listener, wss://HOST[:PORT]/PATH; may be repeated
    #[arg(id = "users.urls", long = "users-url", value_name = "URL")]
    pub(crate) urls: Option<Vec<String>>,
    /// Whether an operator has to approve whoever comes with an invitation [default: false]
    #[arg(id = "users.approval", long = "users-approval", num_args = 0..=1)]
    #[arg(require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    #[arg(hide_possible_values = true)]
    pub(crate) approval: Option<bool>,
    /// How long certificates of users are valid, with s, m, h or d for seconds to days; they are
    /// renewed when two thirds of it are over [default: 30d]
    #[arg(id = "users.lifetime", long = "users-lifetime", value_name = "TIME")]
    pub(crate) lifetime: Option<Ttl>,
}

/// `[pool]`
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
#[command(next_help_heading = "Users")]
pub(crate) struct Pool {
    /// Network of which each invited user is given an address, as 198.51.100.0/24; addresses of
    /// the switch's own interfaces are left out [default: no addresses are given]
    #[arg(id = "pool.network", long = "pool-network", value_name = "NETWORK")]
    pub(crate) network: Option<String>,
    /// Whether the LAN has a DHCP server, which users are then told to ask [default: false]
    #[arg(id = "pool.dhcp", long = "pool-dhcp", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_name = "BOOL", hide_possible_values = true)]
    pub(crate) dhcp: Option<bool>,
}

impl Checker<'_> {
    /// Who may be invited; `None`: nobody. `public`: the certificate is one of a public CA.
    pub(super) fn users(
        &mut self,
        users: &Users,
        pool: &Pool,
        tunnel: Option<&Service>,
        ports: &[Port],
        public: bool,
    ) -> Option<UsersOptions> {
        let Some(folder) = users.folder.clone() else {
            if *users != Users::default() || *pool != Pool::default() {
                let text = format!(
                    "{} is missing: without it nobody is invited",
                    self.name("users.folder")
                );
                self.fault("users", text);
            }
            return None;
        };
        let asks = tunnel.and_then(|tunnel| tunnel.tls.as_ref()?.client_ca.as_ref()).is_some();
        if !asks {
            let text = format!(
                "{} {}: users show certificates, so the tunnel listener needs {}, {} and {}, the \
                 file ca.crt of this folder",
                self.name("users.folder"),
                folder.display(),
                self.name("tunnel.tls.key"),
                self.name("tunnel.tls.cert"),
                self.name("tunnel.tls.client-ca"),
            );
            self.fault("users.folder", text);
        }
        let mut urls = Vec::new();
        for text in users.urls.iter().flatten() {
            match ServerUrl::parse(text, Scheme::WebSocket) {
                Ok(url) if url.tls() => urls.push(url),
                Ok(url) => {
                    let name = self.name("users.urls");
                    let text =
                        format!("{name} {text}: invitations need TLS; give {}", url.with_tls());
                    self.fault("users.urls", text);
                }
                Err(error) => {
                    let text = format!("{}: {}", self.name("users.urls"), one_line(&error));
                    self.fault("users.urls", text);
                }
            }
        }
        let network = pool.network.as_ref().and_then(|text| {
            let network = text.parse::<ipnet::IpNet>().map(|network| network.trunc());
            network
                .map_err(|_| {
                    let name = self.name("pool.network");
                    let text = format!("{name} {text:?}: give a network as 198.51.100.0/24");
                    self.fault("pool.network", text);
                })
                .ok()
        });
        let own = ports.iter().flat_map(|port| port.addresses.iter().flatten());
        let taken = own.map(|(address, _)| *address).collect();
        let machine = || gethostname().ok().map(|name| name.to_string_lossy().into_owned());
        let name = users.name.clone().or_else(machine).unwrap_or_default();
        let policy = Policy {
            name: if name.is_empty() { "hub".to_owned() } else { name },
            urls,
            public,
            approval: users.approval.unwrap_or(false),
            lifetime: users.lifetime.map_or(DEFAULT_LIFETIME, |ttl| ttl.0),
            pool: book::Pool { network, taken },
            dhcp: pool.dhcp.unwrap_or(false),
        };
        Some(UsersOptions { folder, policy })
    }
}

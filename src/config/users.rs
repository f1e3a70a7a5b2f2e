//! The users of a hub as a configuration has them, checked.

use etherws_actors::{
    connect::{Scheme, ServerUrl},
    error::one_line,
};
use nix::unistd::gethostname;

use super::{
    Pool, Users,
    resolve::{Checker, Port},
};
use crate::{
    options::Service,
    users::{DEFAULT_LIFETIME, Policy, UsersOptions, book},
};

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

//! ACME as a configuration has it, checked.
#![allow(rustdoc::broken_intra_doc_links, reason = "what stands in brackets is help text")]

use std::path::{Path, PathBuf};

use clap::Args;
use etherws_actors::{
    connect::{Scheme, ServerUrl},
    error::one_line,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{TunnelTls, absolute, resolve::Checker};
use crate::{
    acme::{AcmeOptions, DIRECTORY, FOLDER, KeyKind},
    options::TlsFiles,
    state,
};

/// `[tunnel.acme]`: key and certificate from a public CA, which are renewed in time, in the place of
/// those of `[tunnel.tls]`
#[derive(Debug, Clone, Default, PartialEq, Args, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(crate) struct Acme {
    /// DNS name or IP address that the certificate is for; may be repeated [default: no
    /// certificate is asked for]
    #[arg(id = "tunnel.acme.names", long = "acme-name", value_name = "NAME")]
    pub(crate) names: Option<Vec<String>>,
    /// URL of the CA's directory [default: that of Let's Encrypt]
    #[arg(id = "tunnel.acme.directory", long = "acme-directory", value_name = "URL")]
    pub(crate) directory: Option<String>,
    /// CA certificates to verify the CA's own server against, PEM [default: the system's]
    #[arg(id = "tunnel.acme.cacerts", long = "acme-cacerts", value_name = "FILE")]
    #[arg(value_parser = absolute())]
    pub(crate) cacerts: Option<PathBuf>,
    /// Address that the CA sends mail to, mailto:NAME@HOST [default: none]
    #[arg(id = "tunnel.acme.contact", long = "acme-contact", value_name = "URL")]
    pub(crate) contact: Option<String>,
    /// Kind of certificate by the CA's name for it, such as shortlived, which Let's Encrypt wants
    /// for IP addresses [default: the CA's usual one]
    #[arg(id = "tunnel.acme.profile", long = "acme-profile", value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Kind of key, p256 or p384 [default: p256]
    #[arg(id = "tunnel.acme.key-type", long = "acme-key-type", value_name = "KIND")]
    pub(crate) key_type: Option<String>,
    /// HOST:PORT to prove names on by HTTP-01, which CAs ask for on port 80 [default: TLS-ALPN-01
    /// on the tunnel listener, which CAs ask for on port 443]
    #[arg(id = "tunnel.acme.http", long = "acme-http", value_name = "HOST:PORT")]
    pub(crate) http: Option<String>,
    /// Folder for account, key and certificate [default: acme in the folder of the state]
    #[arg(id = "tunnel.acme.folder", long = "acme-folder", value_name = "DIR")]
    #[arg(value_parser = absolute())]
    pub(crate) folder: Option<PathBuf>,
}

impl Checker<'_> {
    /// What to ask a CA for; `None`: nothing.
    pub(super) fn acme(&mut self, acme: &Acme, state: Option<&Path>) -> Option<AcmeOptions> {
        let names = acme.names.clone().filter(|names| !names.is_empty());
        let Some(names) = names else {
            if *acme != Acme::default() {
                let text = format!(
                    "{} is missing: it says what the certificate is for",
                    self.name("tunnel.acme.names")
                );
                self.fault("tunnel.acme", text);
            }
            return None;
        };
        let is_name = |name: &String| {
            !name.is_empty() && name.is_ascii() && !name.contains(['/', ' ', '*', '['])
        };
        if let Some(wrong) = names.iter().find(|name| !is_name(name)) {
            let text = format!(
                "{} {wrong:?}: give a DNS name or an IP address; wildcards need a proof by DNS, \
                 which is not spoken",
                self.name("tunnel.acme.names")
            );
            self.fault("tunnel.acme.names", text);
        }
        let directory = acme.directory.clone().unwrap_or_else(|| DIRECTORY.to_owned());
        if let Err(error) = ServerUrl::parse(&directory, Scheme::Http) {
            let text = format!("{}: {}", self.name("tunnel.acme.directory"), one_line(&error));
            self.fault("tunnel.acme.directory", text);
        }
        let key = acme.key_type.as_deref().map(|text| {
            let found = KeyKind::ALL.into_iter().find(|kind| kind.name() == text);
            found.unwrap_or_else(|| {
                let name = self.name("tunnel.acme.key-type");
                let text = format!("{name} {text:?}: give p256 or p384");
                self.fault("tunnel.acme.key-type", text);
                KeyKind::P256
            })
        });
        if let Some(contact) = acme.contact.as_ref().filter(|text| !text.starts_with("mailto:")) {
            let text = format!(
                "{} {contact:?}: give a URL as mailto:admin@example.org",
                self.name("tunnel.acme.contact")
            );
            self.fault("tunnel.acme.contact", text);
        }
        let cacerts = self.readable("tunnel.acme.cacerts", acme.cacerts.as_deref());
        let folder = acme.folder.clone();
        let below = || state.map_or_else(|| state::FOLDER.into(), Path::to_owned).join(FOLDER);
        Some(AcmeOptions {
            names,
            directory,
            cacerts,
            contact: acme.contact.clone(),
            profile: acme.profile.clone(),
            key: key.unwrap_or(KeyKind::P256),
            http: acme.http.clone(),
            folder: folder.unwrap_or_else(below),
        })
    }

    /// The files of a listener whose key and certificate come from a CA.
    pub(super) fn tls_by_acme(&mut self, acme: &AcmeOptions, tls: &TunnelTls) -> Option<TlsFiles> {
        for (key, given) in [("tunnel.tls.key", &tls.key), ("tunnel.tls.cert", &tls.cert)] {
            if given.is_some() {
                let text = format!(
                    "{} is given beside {}, which gets key and certificate from a CA; remove one of both",
                    self.name(key),
                    self.name("tunnel.acme.names")
                );
                self.fault(key, text);
            }
        }
        Some(TlsFiles {
            key: acme.file(),
            cert: acme.file(),
            client_ca: self.readable("tunnel.tls.client-ca", tls.client_ca.as_deref()),
            revoked: self.readable("tunnel.tls.revoked", tls.revoked.as_deref()),
        })
    }
}

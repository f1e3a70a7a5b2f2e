//! Client certificates (RFC 5280): TLS asks for one and verifies what it is shown; here it is
//! required, and gives the client its name. A certificate without a name names nobody.

use std::{path::Path, sync::Arc};

use actix_http::StatusCode;
use anyhow::Result;
use rustls_pki_types::CertificateDer;
use slog::Logger;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _};

use super::{Authenticator, Deciding, Decision, Identity, Marks, Revoked};
use crate::{
    server::{
        peer::ClientCertificate,
        refusal::{Refusal, Refused},
        request::Request,
    },
    users::{Users, book::State},
};

/// The certificate that the client has shown in the TLS handshake.
#[derive(Debug, Default)]
pub(super) struct Certificate {
    revoked: Option<Revoked>,
    /// Whose certificates the hub itself has issued.
    users: Option<Arc<Users>>,
}

impl Certificate {
    /// Of those, some are revoked.
    ///
    /// # Errors
    /// The file that says which cannot be read.
    pub(super) fn revoking(path: &Path, log: &Logger) -> Result<Self> {
        Ok(Self { revoked: Some(Revoked::open(path, log)?), users: None })
    }

    /// The same; those that the hub has issued are for `users`.
    pub(super) fn of_users(self, users: Option<&Arc<Users>>) -> Self {
        Self { users: users.cloned(), ..self }
    }

    /// Whom a certificate is for, which is by its name for `name`. One that the hub has issued is
    /// for whoever has its key among the users: nobody else made one, whoever has stolen the CA's.
    fn user(&self, name: &Arc<str>, marks: &Marks) -> Result<Arc<str>, &'static str> {
        let Some(users) = &self.users else { return Ok(Arc::clone(name)) };
        match marks.key().and_then(|key| users.of_key(key)) {
            Some((user, State::Active)) if *user == **name => Ok(Arc::clone(name)),
            Some((user, State::Active)) => Ok(user.into()),
            Some((_, State::Revoked)) => {
                Err("The user was revoked; ask for an invitation, and join again")
            }
            Some(_) => Err("The user waits for an operator's approval"),
            None if marks.is_issued_by(users.ca_name()) => {
                Err("The client certificate is of no user; join again with an invitation")
            }
            None => Ok(Arc::clone(name)),
        }
    }
}

impl Authenticator for Certificate {
    fn name(&self) -> &'static str {
        "certificate"
    }

    fn authenticate<'a>(&'a self, request: &'a Request<'a>) -> Deciding<'a> {
        let decision = match &request.peer.certificate {
            ClientCertificate::None => Decision::NotTried,
            ClientCertificate::Named(name, marks)
                if self.revoked.as_ref().is_some_and(|list| list.has(name, marks)) =>
            {
                Decision::Refuse(
                    forbidden("The client certificate was revoked").of_user(Some(Arc::clone(name))),
                )
            }
            ClientCertificate::Named(name, marks) => match self.user(name, marks) {
                Ok(name) => Decision::Pass(Identity::new(self.name(), name).marked(marks.clone())),
                Err(why) => Decision::Refuse(forbidden(why).of_user(Some(Arc::clone(name)))),
            },
            ClientCertificate::Nameless => Decision::Refuse(forbidden(
                "The client certificate has no common name and no alternative name",
            )),
        };
        Box::pin(async { decision })
    }

    fn reload(&self) {
        self.revoked.iter().for_each(Revoked::reload);
    }

    fn revoked(&self) -> Vec<Box<str>> {
        self.revoked.as_ref().map(Revoked::list).unwrap_or_default()
    }

    fn missing(&self) -> Refusal {
        forbidden(if self.users.is_some() {
            "A client certificate is required: join with an invitation"
        } else {
            "A client certificate is required: connect with one that this server's CA signed"
        })
    }
}

/// HTTP has no challenge for certificates, and so no 401.
fn forbidden(text: &'static str) -> Refusal {
    Refusal::new(Refused::Authentication, text).status(StatusCode::FORBIDDEN)
}

/// Longest name, in octets: as much as a common name may hold in letters (RFC 5280,
/// A.1) and UTF-8 may need for them. It goes into logs and tables.
const MAX_NAME: usize = 256;

/// The subject's first common name, or else the first DNS name, e-mail address or URI
/// among its alternative names. `None` where there is none, and where it is empty,
/// longer than 256 octets, or holds control characters.
pub(in crate::server) fn name(certificate: &CertificateDer<'_>) -> Option<Arc<str>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let usable = |name: &str| {
        !name.is_empty() && name.len() <= MAX_NAME && !name.chars().any(char::is_control)
    };
    if let Some(common_name) = certificate.subject().iter_common_name().next() {
        // One that cannot be used is no reason to look for another.
        return common_name.as_str().ok().filter(|name| usable(name)).map(Arc::from);
    }
    let alternatives = certificate.subject_alternative_name().ok()??;
    let name = alternatives.value.general_names.iter().find_map(|name| match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) | GeneralName::URI(name) => {
            Some(*name)
        }
        _ => None,
    });
    name.filter(|name| usable(name)).map(Arc::from)
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, DistinguishedName, DnType, KeyPair, SanType, string::Ia5String,
    };

    use super::*;

    fn name_of(common_name: Option<&str>, alternatives: Vec<SanType>) -> Option<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "nobody's name");
        if let Some(name) = common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.subject_alt_names = alternatives;
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        name(certificate.der()).map(|name| name.to_string())
    }

    fn text(text: &str) -> Ia5String {
        text.try_into().unwrap()
    }

    #[test]
    fn the_common_name_goes_before_alternative_names() {
        let dns = || vec![SanType::DnsName(text("host.example"))];
        assert_eq!(name_of(Some("jörg"), dns()).as_deref(), Some("jörg"));
        assert_eq!(name_of(None, dns()).as_deref(), Some("host.example"));
        let address = SanType::IpAddress([192, 0, 2, 1].into());
        let mail = SanType::Rfc822Name(text("a@example.org"));
        assert_eq!(name_of(None, vec![address, mail]).as_deref(), Some("a@example.org"));
    }

    #[test]
    fn a_name_that_cannot_be_used_is_none() {
        let long = "x".repeat(MAX_NAME + 1);
        for name in ["", "a\nb", "a\0", &long] {
            assert_eq!(name_of(Some(name), vec![SanType::DnsName(text("h"))]), None, "{name:?}");
        }
        assert_eq!(name_of(None, vec![]), None);
        assert_eq!(name(&CertificateDer::from(b"no certificate".as_slice())), None);
    }
}

//! Who judges a server's certificate: its CAs, pins, both or nobody; and why one is refused,
//! by name.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::CryptoProvider,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{
    certificate::{Facts, shown, verify_signature},
    pin::Pin,
};

/// Why a certificate was refused, and the way out.
pub(super) type Why = Arc<Mutex<Option<String>>>;

/// Judges certificates, and is fair to all of them: only who has the key may show one.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) provider: Arc<CryptoProvider>,
    /// `None`: it does not matter who has issued it.
    pub(super) by_ca: Option<Arc<dyn ServerCertVerifier>>,
    /// Empty: any key.
    pub(super) pins: Vec<Pin>,
    /// Certificates of `file`.
    pub(super) given: Vec<CertificateDer<'static>>,
    /// That of --cacerts.
    pub(super) file: Option<PathBuf>,
    pub(super) why: Why,
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(by_ca) = &self.by_ca {
            by_ca.verify_server_cert(own, others, name, ocsp, now).inspect_err(|error| {
                let why = self.explain(error, own, others, now);
                *self.why.lock().unwrap_or_else(PoisonError::into_inner) = why;
            })?;
        }
        if self.pins.is_empty() {
            return Ok(ServerCertVerified::assertion());
        }
        let why = match self.pinned(own, others, name, now) {
            Ok(()) => return Ok(ServerCertVerified::assertion()),
            Err(Some(error)) if is_about_time(&error) => {
                let facts = Facts::of(own);
                let (from, until) = facts.map(|it| (it.begins, it.ends)).unwrap_or_default();
                format!(
                    "the certificate is valid from {from} until {until}, and this machine's clock \
                     says {}: set the clock, or have the certificate renewed",
                    shown(now)
                )
            }
            Err(_) => {
                let key = Pin::of(own).map(|pin| pin.to_string()).unwrap_or_default();
                format!(
                    "the server's key is not one of the pinned keys; if this is the right server, pin \
                     its key with --pin {key}"
                )
            }
        };
        *self.why.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match &self.by_ca {
            Some(by_ca) => by_ca.verify_tls12_signature(message, certificate, signature),
            None => {
                let algorithms = &self.provider.signature_verification_algorithms;
                verify_signature(message, certificate, signature, algorithms)
            }
        }
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        match &self.by_ca {
            Some(by_ca) => by_ca.verify_tls13_signature(message, certificate, signature),
            None => {
                let algorithms = &self.provider.signature_verification_algorithms;
                verify_signature(message, certificate, signature, algorithms)
            }
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a certificate is not valid yet, or any more.
fn is_about_time(error: &Error) -> bool {
    use CertificateError as Certificate;
    let Error::InvalidCertificate(error) = error else { return false };
    matches!(
        error,
        Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. }
    )
}

impl Judge {
    /// Whether the server's own key is pinned, or that of a CA which has issued its
    /// certificate, by the rules: whoever is no such CA may show its certificate as well.
    ///
    /// # Errors
    /// It is not; with what such a CA's certificate says against it, if there is one.
    fn pinned(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Option<Error>> {
        let is_pinned = |certificate: &CertificateDer<'_>| {
            Pin::of(certificate).is_some_and(|pin| self.pins.contains(&pin))
        };
        if is_pinned(own) {
            return Ok(());
        }
        let mut roots = RootCertStore::empty();
        let cas = others.iter().map(|other| other.clone().into_owned());
        for ca in cas.chain(self.given.iter().cloned()).filter(is_pinned) {
            // What cannot be a CA has issued nothing.
            let _ = roots.add(ca);
        }
        let provider = Arc::clone(&self.provider);
        let verifier = WebPkiServerVerifier::builder_with_provider(roots.into(), provider).build();
        let verifier = verifier.map_err(|_| None)?;
        verifier.verify_server_cert(own, others, name, &[], now).map(drop).map_err(Some)
    }

    /// What of the chain is the reason; `None` where the error says all there is.
    fn explain(
        &self,
        error: &Error,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Option<String> {
        use CertificateError as Certificate;
        let Error::InvalidCertificate(error) = error else { return None };
        let facts = Facts::of(own)?;
        if facts.is_v1 {
            return Some(format!(
                "the certificate for {:?} is of X.509 version 1, which holds no names to check; \
                 reissue it as version 3, or pin its key (--pin {})",
                facts.subject,
                Pin::of(own)?
            ));
        }
        let now = i64::try_from(now.as_secs()).ok()?;
        let chain: Vec<_> = others.iter().chain(&self.given).filter_map(Facts::of).collect();
        match error {
            Certificate::Expired | Certificate::ExpiredContext { .. } => {
                let old = [&facts].into_iter().chain(&chain).find(|one| one.until < now)?;
                let whose = if *old == facts { "the certificate" } else { "the CA certificate" };
                Some(format!("{whose} for {:?} has expired on {}; renew it", old.subject, old.ends))
            }
            // So it is for another CA of the same name.
            Certificate::UnknownIssuer | Certificate::BadSignature => {
                let sent: Vec<_> = others.iter().filter_map(Facts::of).collect();
                Some(self.unknown(&facts, &sent))
            }
            _ => None,
        }
    }

    /// An intermediate certificate that is not sent is told from a CA that is not known.
    fn unknown(&self, own: &Facts, sent: &[Facts]) -> String {
        let mut last = own;
        for _ in sent {
            let next = sent.iter().find(|one| one.subject == last.issuer && !last.self_issued);
            last = next.unwrap_or(last);
        }
        let known = match &self.file {
            Some(file) => format!("not in {}", file.display()),
            None => "not known to this system".to_owned(),
        };
        let add = match &self.file {
            Some(_) => "add the CA's certificate there".to_owned(),
            None => "name the CA's certificate with --cacerts FILE".to_owned(),
        };
        let (subject, issuer) = (&last.subject, &last.issuer);
        let given: Vec<_> = self.given.iter().filter_map(Facts::of).collect();
        if last.self_issued && last == own {
            let add = add.replace("the CA's certificate", "it");
            format!("the certificate for {subject:?} is self-signed and {known}; {add}")
        } else if given.iter().any(|ca| ca.subject == *issuer) {
            format!(
                "the certificate for {subject:?} was issued by another CA called {issuer:?} than the \
                 one in the file of --cacerts; {add}"
            )
        } else if last.self_issued {
            format!("the certificate was issued by the CA {issuer:?}, which is {known}; {add}")
        } else if last.names_issuer && sent.is_empty() {
            format!(
                "the server does not send the intermediate certificate of {issuer:?}, which issued its \
                 own certificate; add it to the server's certificate file, after the server's own"
            )
        } else {
            format!(
                "the certificate for {subject:?} was issued by {issuer:?}, which is {known} and not \
                 sent by the server; if {issuer:?} is an intermediate CA, add its certificate to \
                 the server's certificate file, otherwise {add}"
            )
        }
    }
}

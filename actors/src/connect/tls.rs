//! TLS for connections that we open: whom to trust, and what to say when we don't.
//!
//! Stands between the proxy and the handshake of HTTP. The provider of the
//! cryptography is named, never taken from the process: two in one program would
//! panic.

use std::{io, path::PathBuf, sync::Arc};

use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, OtherError,
    RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, aws_lc_rs},
    server::ParsedCertificate,
    sign::SingleCertAndKey,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::Verifier;

use super::{
    files::{self, FileError, PairError, read_certificates, read_key},
    judge::{Judge, Why},
    pin::Pin,
};
use crate::core::error::{
    one_line,
    tls::{self as words, CA_AS_END_ENTITY},
};

/// Whom to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM file of the CA certificates that count; the system's without it.
    pub cacerts: Option<PathBuf>,
    /// Take any certificate.
    pub insecure: bool,
    /// What to show a server that asks who we are.
    pub certificate: Option<ClientCertificate>,
    /// The name that is asked for (SNI) and that the certificate must be for; by default the
    /// URL's.
    pub name: Option<String>,
    /// Keys of which the server's certificate, or that of its CA, must have one. Without
    /// `cacerts` that is all that is asked of them.
    pub pins: Vec<Pin>,
    /// Trust the system's certificates as well as those in `cacerts`: proxies are other
    /// people's.
    pub system_too: bool,
}

impl TlsOptions {
    /// The same for a proxy that is reached by TLS, which is not told who we are.
    pub(super) fn for_proxy(&self) -> Self {
        Self { certificate: None, name: None, pins: Vec::new(), system_too: true, ..self.clone() }
    }
}

/// A certificate of our own, for servers that want one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM file of the chain, our own certificate first.
    pub cert: PathBuf,
    /// PEM file of its private key, not encrypted.
    pub key: PathBuf,
}

/// TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or holds something else.
    #[error(transparent)]
    File(#[from] FileError),
    /// Our own certificate cannot be used with its key.
    #[error("certificate {} with key {}", .certificate.cert.display(), .certificate.key.display())]
    Pair {
        /// Both files.
        certificate: ClientCertificate,
        /// Why.
        source: PairError,
    },
    /// A certificate in the file is damaged, or the system has none.
    #[error("the CA certificates of {origin} cannot be used; name others with --cacerts FILE")]
    Unusable {
        /// The file, or the system.
        origin: String,
        /// Why.
        source: rustls::Error,
    },
}

/// The configuration for one connection, and where it is told why a certificate was refused.
/// Certificates are read anew: a file may have been renewed since the last.
pub(super) fn client_config(options: &TlsOptions) -> Result<(Arc<ClientConfig>, Why), TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let judge = judge(options, &provider)?;
    let why = Arc::clone(&judge.why);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Unusable { origin: "the system".to_owned(), source })?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(judge));
    let mut config = match &options.certificate {
        None => builder.with_no_client_auth(),
        Some(certificate) => builder.with_client_cert_resolver(Arc::new(certificate.read()?)),
    };
    // Nothing else carries an upgrade to WebSocket.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((Arc::new(config), why))
}

impl ClientCertificate {
    /// Reads both files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn read(&self) -> Result<SingleCertAndKey, TlsError> {
        let (chain, key) = (read_certificates(&self.cert)?, read_key(&self.key)?);
        let pair = files::pair(chain, &key);
        let pair = pair.map_err(|source| TlsError::Pair { certificate: self.clone(), source })?;
        Ok(SingleCertAndKey::from(pair))
    }
}

fn judge(options: &TlsOptions, provider: &Arc<CryptoProvider>) -> Result<Judge, TlsError> {
    let system = || {
        Verifier::new(Arc::clone(provider))
            .map_err(|source| TlsError::Unusable { origin: "the system".to_owned(), source })
    };
    let given = options.cacerts.as_deref().map(read_certificates).transpose()?.unwrap_or_default();
    let mut judge = Judge {
        provider: Arc::clone(provider),
        by_ca: None,
        pins: options.pins.clone(),
        given,
        file: options.cacerts.clone(),
        why: Why::default(),
    };
    if options.insecure {
        return Ok(judge);
    }
    let Some(path) = &options.cacerts else {
        // A key that is pinned needs no CA.
        if judge.pins.is_empty() {
            judge.by_ca = Some(Arc::new(system()?));
        }
        return Ok(judge);
    };
    let unusable = |source| TlsError::Unusable { origin: path.display().to_string(), source };
    let mut roots = RootCertStore::empty();
    for certificate in &judge.given {
        roots.add(certificate.clone()).map_err(unusable)?;
    }
    let chain = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider))
        .build()
        .map_err(|error| unusable(rustls::Error::General(error.to_string())))?;
    let or = options.system_too.then(system).transpose()?;
    let certificates = judge.given.clone();
    judge.by_ca = Some(Arc::new(CertificateFile { chain, certificates, or }));
    Ok(judge)
}

/// Trusts the CAs of a file, and the very certificates in it: `openssl req -x509`
/// makes a server's own certificate one of a CA, which must not be a server's by
/// the rules (RFC 5280, 4.2.1.9), but everybody does it and OpenSSL takes it.
#[derive(Debug)]
struct CertificateFile {
    chain: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
    /// Who is asked about the others.
    or: Option<Verifier>,
}

impl ServerCertVerifier for CertificateFile {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let result = self.chain.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        );
        // Found only after the dates were checked.
        let own = matches!(&result, Err(error) if is_ca_as_end_entity(error))
            && self.certificates.contains(end_entity);
        if own {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            return Ok(ServerCertVerified::assertion());
        }
        match &self.or {
            Some(or) if result.is_err() => or
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
                .or(result),
            _ => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chain.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

fn is_ca_as_end_entity(error: &rustls::Error) -> bool {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(error))) => {
            error.to_string() == CA_AS_END_ENTITY
        }
        _ => false,
    }
}

/// Whether the server has refused our certificate, or the lack of one. In TLS 1.3 it
/// says so only when we have taken the handshake for done.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    matches!(cause(error), Some(rustls::Error::AlertReceived(alert)) if concerns_certificate(*alert))
}

/// Whether the other end has ended the handshake in TLS's own words.
pub(super) fn is_alert(error: &io::Error) -> bool {
    matches!(cause(error), Some(rustls::Error::AlertReceived(_)))
}

fn cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref().and_then(|error| error.downcast_ref())
}

/// RFC 8446, 6.2. `DecryptError` is a signature that does not verify.
const fn concerns_certificate(alert: AlertDescription) -> bool {
    use AlertDescription as Alert;
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
            | Alert::DecryptError
    )
}

/// What to do about a failed handshake that was begun with these options; it follows the
/// server's URL in the error.
pub(super) fn advice(error: &io::Error, options: &TlsOptions) -> String {
    let advice = match cause(error) {
        Some(error) if is_ca_as_end_entity(error) => {
            let other = match &options.cacerts {
                None => "; name its own PEM file with --cacerts FILE",
                Some(_) => ", and not the one in the file of --cacerts; name its own PEM file",
            };
            format!("the server's certificate is that of a CA itself, or self-signed{other}")
        }
        Some(rustls::Error::InvalidCertificate(error)) => of_certificate(error, options),
        Some(rustls::Error::AlertReceived(alert)) => {
            return of_alert(*alert, options).map_or_else(|| general(error), str::to_owned);
        }
        Some(rustls::Error::InvalidMessage(_)) => {
            return "this port does not speak TLS; write ws:// or http:// in place of wss:// or \
                    https://, or give the port that does"
                .to_owned();
        }
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            return "it ended the connection in the middle of the handshake; check that this port \
                    speaks TLS, and see the server's log"
                .to_owned();
        }
        _ => return general(error),
    };
    format!("{advice}, or take any certificate with --insecure")
}

/// For what has no way out of its own.
fn general(error: &io::Error) -> String {
    let why = one_line(error);
    format!("the TLS handshake failed: {why}; check the port, and see the server's log")
}

fn of_certificate(error: &CertificateError, options: &TlsOptions) -> String {
    use CertificateError as Certificate;
    let advice = match error {
        Certificate::UnknownIssuer if options.cacerts.is_none() => {
            "its CA is not known; name it with --cacerts FILE"
        }
        // So it is for another CA of the same name.
        Certificate::UnknownIssuer | Certificate::BadSignature => {
            "its certificate was not issued by a CA in the file of --cacerts; add its CA there"
        }
        Certificate::NotValidForName => {
            "the certificate is for another name; use that name, in the URL or with --sni"
        }
        Certificate::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "the certificate has no subjectAltName, and a common name alone does not count; \
             renew it with one"
        }
        Certificate::NotValidForNameContext { .. } => {
            "the certificate is for another name; use that name, in the URL or with --sni"
        }
        Certificate::Expired | Certificate::ExpiredContext { .. } => {
            "the certificate has expired; renew it"
        }
        Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
            "the certificate is not valid yet; check the clocks"
        }
        other => return format!("{}; issue it anew", words::certificate(other)),
    };
    advice.to_owned()
}

/// `None`: there is none but what the alert says.
const fn of_alert(alert: AlertDescription, options: &TlsOptions) -> Option<&'static str> {
    use AlertDescription as Alert;
    Some(match alert {
        Alert::NoApplicationProtocol => {
            "it does not speak HTTP/1.1 on this port, which WebSockets need; add http/1.1 to the \
             protocols (ALPN) that it offers besides h2"
        }
        Alert::UnrecognisedName => {
            "it has no certificate for this name; give one that it has, in the URL or with --sni"
        }
        Alert::ProtocolVersion => "its TLS is older than 1.2; allow 1.2 or 1.3 there",
        alert if !concerns_certificate(alert) => return None,
        _ if options.certificate.is_some() => {
            "it does not accept our client certificate; give one of a CA that it knows, and that \
             has not expired, with --cert FILE and --key FILE"
        }
        _ => "it requires a client certificate; give one with --cert FILE and --key FILE",
    })
}

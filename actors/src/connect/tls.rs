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
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem, pem::PemObject};
use rustls_platform_verifier::Verifier;

/// Whom to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM file of the CA certificates that count; the system's without it.
    pub cacerts: Option<PathBuf>,
    /// Take any certificate.
    pub insecure: bool,
    /// What to show a server that asks who we are.
    pub certificate: Option<ClientCertificate>,
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
    /// The file cannot be read, or is damaged.
    #[error("cannot read certificates from {}; give the full path of a PEM file", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// The file holds something else.
    #[error("{} holds no certificate; it should be a PEM file with BEGIN CERTIFICATE", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The private key cannot be read, is damaged or is encrypted.
    #[error("cannot read a private key from {}; give the full path of an unencrypted PEM file", .path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// Our own certificate cannot be used with its key.
    #[error("certificate {} and key {} do not match; give the key that the certificate was issued for", .certificate.cert.display(), .certificate.key.display())]
    Pair {
        /// Both files.
        certificate: ClientCertificate,
        /// Why.
        source: rustls::Error,
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

/// The configuration for one connection. Certificates are read anew: a file may
/// have been renewed since the last.
pub(super) fn client_config(options: &TlsOptions) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = verifier(options, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Unusable { origin: "the system".to_owned(), source })?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match &options.certificate {
        None => builder.with_no_client_auth(),
        Some(certificate) => {
            let (chain, key) = certificate.read()?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|source| TlsError::Pair { certificate: certificate.clone(), source })?
        }
    };
    // Nothing else carries an upgrade to WebSocket.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

impl ClientCertificate {
    /// Reads both files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|source| TlsError::Key { path: self.key.clone(), source })?;
        Ok((read_certificates(&self.cert)?, key))
    }
}

fn verifier(
    options: &TlsOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    if options.insecure {
        return Ok(Arc::new(AnyCertificate(Arc::clone(provider))));
    }
    let Some(path) = &options.cacerts else {
        return Verifier::new(Arc::clone(provider))
            .map(|verifier| Arc::new(verifier) as _)
            .map_err(|source| TlsError::Unusable { origin: "the system".to_owned(), source });
    };
    let certificates = read_certificates(path)?;
    let unusable = |source| TlsError::Unusable { origin: path.display().to_string(), source };
    let mut roots = RootCertStore::empty();
    for certificate in &certificates {
        roots.add(certificate.clone()).map_err(unusable)?;
    }
    let chain = WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(provider))
        .build()
        .map_err(|error| unusable(rustls::Error::General(error.to_string())))?;
    Ok(Arc::new(CertificateFile { chain, certificates }))
}

/// Reads the certificates of a PEM file.
///
/// # Errors
/// See [`TlsError`].
pub fn read_certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| TlsError::Read { path: path.clone(), source })?;
    if certificates.is_empty() {
        return Err(TlsError::Empty { path: path.clone() });
    }
    Ok(certificates)
}

/// Trusts the CAs of a file, and the very certificates in it: `openssl req -x509`
/// makes a server's own certificate one of a CA, which must not be a server's by
/// the rules (RFC 5280, 4.2.1.9), but everybody does it and OpenSSL takes it.
#[derive(Debug)]
struct CertificateFile {
    chain: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
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
        result
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
            error.to_string() == "CaUsedAsEndEntity"
        }
        _ => false,
    }
}

/// Takes any certificate, but only from whom has its key.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether the server has refused our certificate, or the lack of one. In TLS 1.3 it
/// says so only when we have taken the handshake for done.
pub(super) fn is_refusal(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    matches!(error, Some(rustls::Error::AlertReceived(alert)) if concerns_certificate(*alert))
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

/// What to do about a failed handshake; it follows the server's URL in the error.
pub(super) fn advice(error: &io::Error) -> &'static str {
    use CertificateError as Certificate;
    let error = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match error {
        Some(error) if is_ca_as_end_entity(error) => {
            "the certificate is self-signed; name its own PEM file with --cacerts FILE, or take \
             any certificate with --insecure"
        }
        Some(rustls::Error::InvalidCertificate(error)) => match error {
            Certificate::UnknownIssuer => {
                "its CA is not known; name it with --cacerts FILE, or take any certificate with \
                 --insecure"
            }
            Certificate::NotValidForName => {
                "the certificate is for another name; use that name, or take any certificate \
                 with --insecure"
            }
            Certificate::NotValidForNameContext { presented, .. } if presented.is_empty() => {
                "the certificate has no subjectAltName, and a common name alone does not count; \
                 renew it with one, or take any certificate with --insecure"
            }
            Certificate::NotValidForNameContext { .. } => {
                "the certificate is for another name; use that name, or take any certificate \
                 with --insecure"
            }
            Certificate::Expired | Certificate::ExpiredContext { .. } => {
                "the certificate has expired; renew it, or take any certificate with --insecure"
            }
            Certificate::NotValidYet | Certificate::NotValidYetContext { .. } => {
                "the certificate is not valid yet; check the clocks, or take any certificate \
                 with --insecure"
            }
            _ => {
                "the certificate is refused; name its CA with --cacerts FILE, or take any \
                 certificate with --insecure"
            }
        },
        Some(rustls::Error::AlertReceived(alert)) if concerns_certificate(*alert) => {
            if *alert == AlertDescription::CertificateRequired {
                "it wants a client certificate; give one with --cert FILE and --key FILE"
            } else {
                "it does not take our certificate; give one of its CA that has not expired, with \
                 --cert FILE and --key FILE"
            }
        }
        Some(rustls::Error::InvalidMessage(_)) => "the server may not speak TLS; try it without",
        _ => "the TLS handshake failed; check the server's TLS versions and the port",
    }
}

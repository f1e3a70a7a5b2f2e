//! The server's side of TLS: certificate chain, private key and the CA of clients'
//! certificates, from PEM files that may be renewed while the switch runs. With a CA clients
//! are asked for a certificate; whether one is required is their gate's to say (`auth`).
//!
//! Stands before the first octet of HTTP. New files count for new connections, and
//! only if all of them can be used together: sessions go on, and broken files never
//! replace good ones.

use std::{
    io,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use actix_rt::net::TcpStream;
use anyhow::{Context, Result, anyhow, bail};
use etherws_actors::{
    connect::files::{certificates, key, pair},
    error::{one_line, tls},
    turns::in_turns,
};
use rustls::{
    AlertDescription, RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    server::{Acceptor, NoServerSessionStorage, WebPkiClientVerifier},
    sign::SingleCertAndKey,
};
use slog::{Logger, error, info};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    time::timeout,
};
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor, server::TlsStream};

use crate::{acme::challenges::Challenges, files, options::TlsFiles};

/// Time that a client may take for its part of a handshake, as actix's default: three round trips
/// to the other side of the Earth take one second. Ours is bounded by how many there are before it.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(3);

/// Time for a client to hear why it was refused: a round trip to the other side of the
/// Earth, and one more.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// Octets that a refused client may have sent in the meantime: a request's head.
const FAREWELL_OCTETS: usize = 4096;

/// TLS of one listener, by the files as they were when they could last be used.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
    /// What a CA is shown that asks whether a name leads here.
    challenges: Arc<Challenges>,
    log: Logger,
}

/// What the files hold.
struct Pem {
    key: Vec<u8>,
    cert: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Tls {
    /// Reads `files`, which are kept and read again by [`Self::reload`].
    ///
    /// # Errors
    /// A file cannot be read, holds no PEM of its kind, or they do not match.
    pub(crate) fn open(files: TlsFiles, log: &Logger) -> Result<Self> {
        let config = RwLock::new(Arc::new(Pem::read(&files)?.server_config(&files)?));
        Ok(Self { files, config, challenges: Arc::default(), log: log.clone() })
    }

    /// The same; answers CAs that ask for a proof.
    pub(crate) fn with_challenges(self, challenges: &Arc<Challenges>) -> Self {
        Self { challenges: Arc::clone(challenges), ..self }
    }

    /// Takes the files as they are now for the connections to come. Keeps the old
    /// ones, and logs why, if they cannot be used.
    pub(crate) fn reload(&self) {
        let cert = self.files.cert.display();
        match Pem::read(&self.files).and_then(|pem| pem.server_config(&self.files)) {
            Ok(config) => {
                *self.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                info!(self.log, "certificates read again"; "cert" => %cert);
            }
            Err(error) => {
                let error = one_line(&*error);
                error!(self.log, "certificates are invalid; keeping the previous ones: {error}");
            }
        }
    }

    /// TLS on an accepted connection; `None`: it was a CA that has seen a proof.
    ///
    /// # Errors
    /// The handshake fails or takes too long.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Result<Option<TlsStream<TcpStream>>> {
        let ready = stream.ready(Interest::READABLE).await;
        if ready.is_ok_and(|ready| ready.is_read_closed()) {
            bail!("the client has gone before its turn");
        }
        let config = Arc::clone(&self.config.read().unwrap_or_else(PoisonError::into_inner));
        if self.challenges.any() {
            let limit = HANDSHAKE_LIMIT * 2;
            return timeout(limit, self.accept_or_prove(config, stream))
                .await
                .with_context(|| format!("no TLS handshake within {} s", limit.as_secs()))?;
        }
        let handshake = TlsAcceptor::from(config).accept(stream).into_fallible();
        let done = in_turns(handshake, HANDSHAKE_LIMIT).await;
        match done
            .with_context(|| format!("no TLS handshake within {} s", HANDSHAKE_LIMIT.as_secs()))?
        {
            Ok(stream) => Ok(Some(stream)),
            Err((error, stream)) => {
                say_why(stream).await;
                Err(error).context("the TLS handshake failed")
            }
        }
    }

    /// The same while a proof is due: the client's first words say who asks.
    async fn accept_or_prove(
        &self,
        config: Arc<ServerConfig>,
        stream: TcpStream,
    ) -> Result<Option<TlsStream<TcpStream>>> {
        let begun = LazyConfigAcceptor::new(Acceptor::default(), stream);
        let begun = begun.await.context("the TLS handshake failed")?;
        if !Challenges::is_asked(&begun.client_hello()) {
            let done = begun.into_stream(config).await;
            return done.map(Some).context("the TLS handshake failed");
        }
        let proof = begun.into_stream(self.challenges.server_config()?).await;
        let mut stream = proof.context("the proof for a CA was not taken")?;
        // It says nothing more (RFC 8737, 3).
        let _ = stream.shutdown().await;
        Ok(None)
    }
}

/// Why a handshake has failed, in words that name who refuses whom.
pub(super) fn reason(error: &anyhow::Error) -> String {
    use AlertDescription as Alert;
    let cause = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let text = match cause.and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::AlertReceived(Alert::UnknownCA)) => {
            "the client does not know the CA of the server's certificate"
        }
        Some(rustls::Error::AlertReceived(
            Alert::BadCertificate
            | Alert::CertificateUnknown
            | Alert::AccessDenied
            | Alert::DecryptError,
        )) => {
            "the client rejected the server's certificate, which may be for another name or self-signed"
        }
        Some(rustls::Error::AlertReceived(Alert::CertificateExpired)) => {
            "the client says that the server's certificate has expired"
        }
        Some(rustls::Error::InvalidMessage(_)) => "the client does not speak TLS",
        Some(rustls::Error::InvalidCertificate(error)) => {
            return format!("the client's certificate was refused: {}", tls::certificate(error));
        }
        _ => return one_line(&**error),
    };
    text.to_owned()
}

/// Lets a client whose certificate was refused hear why: in TLS 1.3 it has sent its
/// request already, and to close over that would reset the connection.
async fn say_why(mut stream: TcpStream) {
    let mut rest = [0; FAREWELL_OCTETS];
    let farewell = async {
        stream.shutdown().await?;
        stream.read_exact(&mut rest).await
    };
    // It has heard, or has gone, or has been given its time.
    let _ = timeout(FAREWELL_LIMIT, farewell).await;
}

impl Pem {
    fn read(files: &TlsFiles) -> Result<Self> {
        let read = |path: &Path| {
            files::read(path).with_context(|| format!("{}: cannot be read", path.display()))
        };
        let TlsFiles { key, cert, client_ca, .. } = files;
        let client_ca = client_ca.as_deref().map(read).transpose()?;
        Ok(Self { key: read(key)?, cert: read(cert)?, client_ca })
    }

    /// TLS 1.2 and 1.3 with what the files, which `names` are those of, hold.
    fn server_config(&self, names: &TlsFiles) -> Result<ServerConfig> {
        let chain = certificates(&self.cert, &names.cert)?;
        let private = key(&self.key, &names.key)?;
        let pair = pair(chain, &private)
            .with_context(|| format!("{} with {}", names.cert.display(), names.key.display()))?;
        // Not by rustls' own way, which refuses certificates of X.509 version 1.
        let own = Arc::new(SingleCertAndKey::from(pair));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .context("TLS provider without TLS 1.2 and 1.3")?;
        let (Some(pem), Some(path)) = (&self.client_ca, &names.client_ca) else {
            return Ok(builder.with_no_client_auth().with_cert_resolver(own));
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(pem, path)? {
            roots.add(certificate).map_err(|error| {
                let why = one_line(&error);
                anyhow!("{}: a certificate in it cannot be used: {why}", path.display())
            })?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
            // Some paths are for everybody: the gates of the others require it.
            .allow_unauthenticated()
            .build()
            .with_context(|| format!("{}: cannot be used as a CA", path.display()))?;
        let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(own);
        // A resumed session would be let in by a certificate that has since expired.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

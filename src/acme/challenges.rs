//! The proof that a name leads here: by a certificate that only the account's holder can make
//! (TLS-ALPN-01, RFC 8737, and RFC 8738 for addresses), on the tunnel's listener; or by a line of
//! text on port 80 (HTTP-01, RFC 8555, 8.3). Either is there only while a CA is to look.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result};
use etherws_actors::connect::files::{key, pair};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use slog::{Logger, info};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::timeout,
};

/// The protocol by which a CA asks (RFC 8737, 6.2).
const PROTOCOL: &[u8] = b"acme-tls/1";

/// Where HTTP-01 is answered.
const WELL_KNOWN: &str = "/.well-known/acme-challenge/";

/// Octets of a request that are read.
const MAX_REQUEST: usize = 4096;

/// Connections that are served at once: a CA looks from a few places.
const MAX_SERVED: usize = 64;

/// Time for a whole exchange.
const HTTP_LIMIT: Duration = Duration::from_secs(5);

/// Names that wait for a proof by TLS, and the certificate of each.
#[derive(Default)]
pub(crate) struct Challenges(Mutex<HashMap<String, Arc<CertifiedKey>>>);

/// A proof that is given for as long as this is kept.
pub(super) enum Answered {
    Tls(Arc<Challenges>, String),
    Http(JoinHandle<()>),
}

impl Drop for Answered {
    fn drop(&mut self) {
        match self {
            Self::Tls(challenges, name) => drop(challenges.all().remove(name)),
            Self::Http(serving) => serving.abort(),
        }
    }
}

impl Challenges {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether any name waits for a proof by TLS.
    pub(crate) fn any(&self) -> bool {
        !self.all().is_empty()
    }

    /// Whether a CA asks for a proof.
    pub(crate) fn is_asked(hello: &ClientHello<'_>) -> bool {
        hello.alpn().is_some_and(|mut offered| offered.any(|protocol| protocol == PROTOCOL))
    }

    /// TLS by which the proofs are given.
    ///
    /// # Errors
    /// Never in practice: the provider knows TLS 1.2 and 1.3.
    pub(crate) fn server_config(self: &Arc<Self>) -> Result<Arc<ServerConfig>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as _);
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Arc::new(config))
    }

    /// Gives the proof of `name` by TLS.
    pub(super) fn answer_tls(self: &Arc<Self>, name: &str, digest: &[u8]) -> Result<Answered> {
        let pair = KeyPair::generate().context("no key can be made")?;
        let mut params = CertificateParams::new([name.to_owned()])
            .with_context(|| format!("{name:?} cannot be a name of a certificate"))?;
        params.distinguished_name = DistinguishedName::new();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
        let certificate = params.self_signed(&pair).context("no certificate can be made")?;
        let private = key(pair.serialize_pem().as_bytes(), "challenge".as_ref())?;
        let certified = self::pair(vec![certificate.der().clone()], &private)?;
        let name = server_name(name);
        self.all().insert(name.clone(), certified);
        Ok(Answered::Tls(Arc::clone(self), name))
    }

    /// Gives the proof by HTTP, on a listener at `address`.
    pub(super) async fn answer_http(
        &self,
        address: &str,
        token: &str,
        proof: &str,
        log: &Logger,
    ) -> Result<Answered> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("http in [tunnel.acme]: cannot listen on {address}"))?;
        let (path, proof) = (format!("{WELL_KNOWN}{token}"), proof.to_owned());
        info!(log, "answering HTTP-01"; "address" => address);
        Ok(Answered::Http(tokio::spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                // Each has a few seconds.
                while served.len() >= MAX_SERVED && served.join_next().await.is_some() {}
                let (path, proof) = (path.clone(), proof.clone());
                served.spawn(async move {
                    let _ = timeout(HTTP_LIMIT, serve(stream, &path, &proof)).await;
                });
                while served.try_join_next().is_some() {}
            }
        })))
    }
}

/// Answers one request.
async fn serve(mut stream: TcpStream, path: &str, proof: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") && head.len() < MAX_REQUEST {
        if stream.read_buf(&mut head).await? == 0 {
            break;
        }
    }
    let asked = format!("GET {path} HTTP/1.");
    let (status, body) =
        if head.starts_with(asked.as_bytes()) { ("200 OK", proof) } else { ("404 Not Found", "") };
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

impl ResolvesServerCert for Challenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.all().get(&hello.server_name()?.to_ascii_lowercase()).cloned()
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Challenges").field("names", &self.all().len()).finish()
    }
}

/// The name by which a CA asks for a name or an address (RFC 8738, 6).
fn server_name(name: &str) -> String {
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Ok(IpAddr::V6(address)) => {
            let digits = address.octets().into_iter().rev().flat_map(|o| [o & 0xf, o >> 4]);
            digits.map(|digit| format!("{digit:x}.")).collect::<String>() + "ip6.arpa"
        }
        Err(_) => name.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_asked_for_by_their_reverse_names() {
        assert_eq!(server_name("Hub.Example"), "hub.example");
        assert_eq!(server_name("192.0.2.1"), "1.2.0.192.in-addr.arpa");
        let v6 = server_name("2001:db8::1");
        assert!(v6.starts_with("1.0.0.0.") && v6.ends_with("8.b.d.0.1.0.0.2.ip6.arpa"), "{v6}");
    }

    #[test]
    fn a_proof_is_there_as_long_as_it_is_kept() {
        let challenges = Arc::new(Challenges::default());
        assert!(!challenges.any());
        let first = challenges.answer_tls("hub.example", &[7; 32]).unwrap();
        let second = challenges.answer_tls("192.0.2.1", &[8; 32]).unwrap();
        drop(first);
        assert!(challenges.any() && !challenges.all().contains_key("hub.example"));
        drop(second);
        assert!(!challenges.any());
    }
}

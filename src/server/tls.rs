//! The server's side of TLS: certificate chain and private key from PEM files.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use crate::cli::TlsFiles;

/// TLS 1.2 and 1.3 with the certificate and the key in `files`.
///
/// # Errors
/// A file cannot be read, holds no PEM of its kind, or the two do not match.
pub(crate) fn server_config(files: &TlsFiles) -> Result<ServerConfig> {
    let TlsFiles { cert, key } = files;
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| anyhow!("{}: cannot read a certificate: {error}", cert.display()))?;
    if chain.is_empty() {
        bail!("{}: no certificate in it; expected PEM, «BEGIN CERTIFICATE»", cert.display());
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| {
        anyhow!("{}: cannot read an unencrypted private key in PEM: {error}", key.display())
    })?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .context("TLS provider without TLS 1.2 and 1.3")?
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| {
            anyhow!("{} and {} are no pair: {error}", key.display(), cert.display())
        })?;
    Ok(config)
}

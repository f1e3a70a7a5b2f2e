//! Keys and certificates in files: reading them, and saying exactly what is wrong with one.
//! The server's and the client's are read alike.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{crypto::aws_lc_rs::sign::any_supported_type, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};

use super::certificate::Facts;

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there, or not for us.
    #[error("cannot read certificates or keys from {}; give the full path of a PEM file", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What it holds is not what is wanted.
    #[error("{}: {fault}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it is, and the way out.
        fault: String,
    },
}

/// What a file is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Certificates,
    Key,
}

/// Reads the certificates of a PEM file: at least one.
///
/// # Errors
/// See [`FileError`].
pub fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    certificates(&read(path)?, path)
}

/// The certificates in what was read of a file.
///
/// # Errors
/// It holds none, or something else.
pub fn certificates(text: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let found = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        other => Err(content(text, path, Wanted::Certificates, other.err())),
    }
}

/// Reads the private key of a PEM file.
///
/// # Errors
/// See [`FileError`].
pub fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    key(&read(path)?, path)
}

/// The private key in what was read of a file.
///
/// # Errors
/// It holds none, an encrypted one, or something else.
pub fn key(text: &[u8], path: &Path) -> Result<PrivateKeyDer<'static>, FileError> {
    PrivateKeyDer::from_pem_slice(text)
        .map_err(|error| content(text, path, Wanted::Key, Some(error)))
}

fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    fs::read(path).map_err(|source| FileError::Open { path: path.to_owned(), source })
}

fn content(text: &[u8], path: &Path, wanted: Wanted, error: Option<pem::Error>) -> FileError {
    let fault = fault(text, wanted).map_or_else(
        || match (wanted, error) {
            (Wanted::Certificates, None | Some(pem::Error::NoItemsFound)) => {
                "holds no certificate; it should be a PEM file with BEGIN CERTIFICATE".to_owned()
            }
            (Wanted::Certificates, Some(error)) => {
                format!("a certificate in it is damaged: {}; copy it again", damage(&error))
            }
            (Wanted::Key, Some(error)) => {
                let why = damage(&error);
                format!("holds no unencrypted private key in PEM that can be read: {why}")
            }
            (Wanted::Key, None) => "holds no private key".to_owned(),
        },
        str::to_owned,
    );
    FileError::Content { path: path.to_owned(), fault }
}

/// What is wrong with what should be PEM (RFC 7468).
#[must_use]
pub const fn damage(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a line with END is missing",
        pem::Error::IllegalSectionStart { .. } => "a line with BEGIN has no -----",
        pem::Error::Base64Decode(_) => "what stands between BEGIN and END is not base64",
        pem::Error::NoItemsFound => "there is none",
        pem::Error::Io(_) => "it cannot be read to its end",
        _ => "it is not valid PEM",
    }
}

/// What a file is that is not what it should be, as far as that shows.
fn fault(text: &[u8], wanted: Wanted) -> Option<&'static str> {
    let has = |part: &str| text.windows(part.len()).any(|at| at == part.as_bytes());
    let fault = match text {
        [] => "is empty",
        [0xef, 0xbb, 0xbf, ..] => {
            "begins with a byte order mark (BOM); save it as plain text without one"
        }
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "is UTF-16; save it as plain text, in ASCII",
        [0x30, 0x80..=0xff, ..] => match wanted {
            Wanted::Certificates => {
                "is DER or PKCS #12; make PEM of it: openssl x509 -inform der, or openssl pkcs12"
            }
            Wanted::Key => {
                "is DER or PKCS #12; make PEM of it: openssl pkey -inform der, or openssl pkcs12"
            }
        },
        _ if wanted == Wanted::Key => {
            if has("ENCRYPTED") {
                "holds an encrypted key; write it without its passphrase: openssl pkey -in FILE \
                 -out NEW"
            } else if has("PRIVATE KEY-----") {
                return None;
            } else if has("BEGIN CERTIFICATE-----") {
                "holds a certificate and no private key; have key and certificate changed places?"
            } else if has("BEGIN PUBLIC KEY") {
                "holds a public key; the private one is wanted"
            } else {
                return None;
            }
        }
        _ if has("BEGIN CERTIFICATE-----") => return None,
        _ if has("BEGIN TRUSTED CERTIFICATE") => {
            "holds OpenSSL's own TRUSTED CERTIFICATE; write it anew: openssl x509 -in FILE -out NEW"
        }
        _ if has("CERTIFICATE REQUEST") => {
            "holds a request for a certificate; what the CA has made of it is wanted"
        }
        _ if has("BEGIN PKCS7") => {
            "holds PKCS #7; write its certificates: openssl pkcs7 -print_certs -in FILE -out NEW"
        }
        _ if has("PRIVATE KEY-----") => {
            "holds a private key and no certificate; have key and certificate changed places?"
        }
        _ => return None,
    };
    Some(fault)
}

/// A certificate cannot be used with a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PairError {
    /// Of the key.
    #[error(
        "the key is of a kind or a size that is not supported; use ECDSA with P-256, P-384 or P-521, Ed25519, or RSA with 2048 to 8192 bits"
    )]
    Unsupported,
    /// A server shows its own first (RFC 8446, 4.4.2).
    #[error(
        "the certificates are in the wrong order: that of the key, for {subject:?}, is number {number}, and must be the first"
    )]
    Order {
        /// Whom it is for.
        subject: String,
        /// Its place, from 1.
        number: usize,
    },
    /// None of the certificates is for the key.
    #[error("certificate and key do not match; give the key that the certificate was issued for")]
    Mismatch,
    /// The first certificate cannot be read.
    #[error("the first certificate is damaged; copy it again")]
    Damaged,
}

/// Both together, of any version of X.509.
///
/// # Errors
/// See [`PairError`].
pub fn pair(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'_>,
) -> Result<Arc<CertifiedKey>, PairError> {
    let signing = any_supported_type(key).map_err(|_| PairError::Unsupported)?;
    let facts: Vec<_> = chain.iter().map(Facts::of).collect();
    let own = signing.public_key().ok_or(PairError::Unsupported)?;
    let of_key = |facts: &Option<Facts>| facts.as_ref().is_some_and(|facts| facts.key == *own);
    match facts.iter().position(of_key) {
        Some(0) => Ok(Arc::new(CertifiedKey::new(chain, signing))),
        Some(at) => {
            let subject = facts[at].as_ref().map(|facts| facts.subject.clone());
            Err(PairError::Order { subject: subject.unwrap_or_default(), number: at + 1 })
        }
        None if facts.first().is_none_or(Option::is_none) => Err(PairError::Damaged),
        None => Err(PairError::Mismatch),
    }
}

//! Pins: the keys that a server's certificate, or that of a CA which has issued it, may have.

use std::{fmt, str::FromStr};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rustls_pki_types::CertificateDer;

use super::certificate::Facts;

/// The SHA-256 of a key, as SubjectPublicKeyInfo in DER (RFC 7469, 2.4).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pin([u8; 32]);

/// A text that is not a pin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a pin; write sha256: and the hash of the key, as 44 characters of base64 or 64 hexadecimal digits; etherws doctor --url shows it"
)]
pub struct PinError(String);

impl Pin {
    /// Of a certificate's key.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let facts = Facts::of(certificate)?;
        digest(&SHA256, &facts.key).as_ref().try_into().ok().map(Self)
    }

    /// The hash itself.
    #[must_use]
    pub const fn octets(&self) -> [u8; 32] {
        self.0
    }
}

impl From<[u8; 32]> for Pin {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let hash = || {
            // curl writes two slashes.
            let hash = text.strip_prefix("sha256:").or_else(|| text.strip_prefix("sha256//"))?;
            let digits: String = hash.chars().filter(|c| *c != ':').collect();
            if digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                let octet = |at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok();
                return (0..64).step_by(2).map(octet).collect::<Option<Vec<_>>>();
            }
            BASE64_STANDARD.decode(format!("{}=", hash.trim_end_matches('='))).ok()
        };
        let hash = hash().and_then(|hash| hash.try_into().ok());
        hash.map(Self).ok_or_else(|| PinError(text.to_owned()))
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", BASE64_STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_is_written_in_base64_or_in_digits() {
        let pin = Pin([0xa5; 32]);
        let digits = "a5".repeat(32);
        let colons = ["A5"; 32].join(":");
        let text = pin.to_string();
        let bare = text.trim_end_matches('=');
        let curls = text.replace(':', "//");
        for text in [&text, bare, &curls, &format!("sha256:{digits}"), &format!("sha256:{colons}")]
        {
            assert_eq!(text.parse(), Ok(pin), "{text}");
        }
        for text in ["", "sha256:", "sha1:aaaa", &digits, "sha256:aaaa", "sha256:é"] {
            assert!(text.parse::<Pin>().is_err(), "{text}");
        }
    }
}

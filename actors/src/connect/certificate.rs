//! What certificates say of themselves, and signatures by their keys. Reads those of version
//! 1 as well, which the verifier of rustls does not.

use std::net::IpAddr;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, client::danger::HandshakeSignatureValid,
    crypto::WebPkiSupportedAlgorithms,
};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _, time::ASN1Time,
    x509::X509Version,
};

use crate::core::error::clean;

/// What is told of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whom it is for: its common name, or all of its subject.
    pub subject: String,
    /// Who has issued it, in the same form.
    pub issuer: String,
    /// Subject and issuer are the same.
    pub self_issued: bool,
    /// From when it is valid, in seconds of Unix.
    pub from: i64,
    /// Until when.
    pub until: i64,
    /// The same as a text.
    pub ends: String,
    /// From when it is valid, as a text.
    pub begins: String,
    /// Whether it is of version 1, which has no names but its subject.
    pub is_v1: bool,
    /// Whether it says where the certificate of its issuer is.
    pub names_issuer: bool,
    /// The DNS names and IP addresses that it is for.
    pub names: Vec<String>,
    /// The key that it is for, SubjectPublicKeyInfo in DER.
    pub key: Vec<u8>,
}

impl Facts {
    /// Of a certificate in DER.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        use x509_parser::extensions::ParsedExtension::AuthorityInfoAccess;
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        let name = |name: &x509_parser::x509::X509Name<'_>| {
            let common = name.iter_common_name().find_map(|name| name.as_str().ok());
            clean(common.filter(|name| !name.is_empty()).unwrap_or(&name.to_string()))
        };
        let validity = parsed.validity();
        let extensions = parsed.extensions().iter();
        Some(Self {
            subject: name(parsed.subject()),
            issuer: name(parsed.issuer()),
            self_issued: parsed.subject().as_raw() == parsed.issuer().as_raw(),
            from: validity.not_before.timestamp(),
            until: validity.not_after.timestamp(),
            ends: validity.not_after.to_string(),
            begins: validity.not_before.to_string(),
            is_v1: parsed.version() == X509Version::V1,
            names_issuer: extensions
                .map(|extension| extension.parsed_extension())
                .any(|parsed| matches!(parsed, AuthorityInfoAccess(_))),
            names: names(&parsed),
            key: parsed.tbs_certificate.subject_pki.raw.to_vec(),
        })
    }
}

/// A time as those of certificates are shown.
pub(super) fn shown(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    ASN1Time::from_timestamp(seconds).map(|time| time.to_string()).unwrap_or_default()
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let name = |name: &GeneralName<'_>| match *name {
        GeneralName::DNSName(name) => Some(clean(name)),
        GeneralName::IPAddress(octets) => {
            let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    };
    let names = certificate.subject_alternative_name().ok().flatten();
    names.iter().flat_map(|names| &names.value.general_names).filter_map(name).collect()
}

/// Verifies a signature of a handshake by the key of any certificate.
pub(super) fn verify_signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    supported: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, Error> {
    let refused = |error| Err(Error::InvalidCertificate(error));
    let key = Facts::of(certificate).map(|facts| facts.key);
    let Some((algorithm, key)) = key.as_deref().and_then(algorithm_and_key) else {
        return refused(CertificateError::BadEncoding);
    };
    let schemes = supported.mapping.iter().filter(|(scheme, _)| *scheme == signature.scheme);
    let mut ways = schemes.flat_map(|(_, ways)| ways.iter());
    match ways.find(|way| way.public_key_alg_id().as_ref() == algorithm) {
        None => refused(CertificateError::ApplicationVerificationFailure),
        Some(way) => match way.verify_signature(key, message, signature.signature()) {
            Ok(()) => Ok(HandshakeSignatureValid::assertion()),
            Err(_) => refused(CertificateError::BadSignature),
        },
    }
}

/// RFC 5280, 4.1: the content of the AlgorithmIdentifier, and the key.
fn algorithm_and_key(info: &[u8]) -> Option<(&[u8], &[u8])> {
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 0x03;
    let (info, _) = element(SEQUENCE, info)?;
    let (algorithm, rest) = element(SEQUENCE, info)?;
    let (key, _) = element(BIT_STRING, rest)?;
    // The first octet counts unused bits: a key has none.
    Some((algorithm, key.strip_prefix(&[0])?))
}

/// The content of the element in DER at the start of `octets`, and what follows it.
fn element(tag: u8, octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = octets.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..0x80 => (usize::from(length), rest),
        _ => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let digits = digits.iter().try_fold(0_usize, |number, &digit| {
                number.checked_mul(256)?.checked_add(digit.into())
            })?;
            (digits, rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    (first == tag).then_some((content, rest))
}

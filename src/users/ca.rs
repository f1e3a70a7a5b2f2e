//! The hub's own certificate authority: a key, a certificate, and what they sign. Reads and
//! writes no files; keys leave it only as PEM for the files of their owner.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use etherws_actors::connect::{Pin, certificate::Facts};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _,
    date_time_ymd,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, pem::PemObject as _};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer as _};

/// The organization in the names of hubs' authorities: who shows a certificate of one renews it.
pub(crate) const ORGANIZATION: &str = "etherws hub";

/// Seconds before now from which on a certificate counts: clocks differ.
pub(crate) const BACKDATED: i64 = 300;

/// Seconds for which the authority itself lasts: 20 years. It cannot be replaced without all
/// users joining again.
const CA_LIFETIME: i64 = 20 * 365 * 24 * 60 * 60;

/// Seconds for which the hub's own certificate lasts: browsers take no more than 398 days.
pub(crate) const SERVER_LIFETIME: i64 = 90 * 24 * 60 * 60;

/// Longest request for a certificate that is read, in octets: one with RSA of 4,096 bits has
/// 1,700.
const MAX_REQUEST: usize = 8 * 1024;

/// A new key, and a request to certify it, both in PEM.
pub(crate) struct Request {
    pub(crate) key: String,
    pub(crate) request: String,
}

impl Request {
    /// With a new key (ECDSA with P-256), or with the one that is there.
    ///
    /// # Errors
    /// The key cannot be read, or the system gives no random numbers.
    pub(crate) fn new(key: Option<&str>) -> Result<Self> {
        let pair = match key {
            Some(key) => KeyPair::from_pem(key).context("the key cannot be used")?,
            None => KeyPair::generate().context("no key can be made")?,
        };
        let mut params = CertificateParams::default();
        // The name is the hub's to give.
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&pair).context("no request can be made")?;
        Ok(Self { key: pair.serialize_pem(), request: request.pem()? })
    }
}

/// A public key that somebody has shown to have.
pub(crate) struct Requested(CertificateSigningRequestParams);

impl Requested {
    /// Reads a request in PEM. What it asks for besides is not looked at.
    ///
    /// # Errors
    /// It is none, or its signature is not by its key.
    pub(crate) fn read(pem: &str) -> Result<Self> {
        const WANTED: &str = "it is not a request (PKCS #10) for a certificate in PEM, signed by its \
                              own key";
        ensure!(pem.len() <= MAX_REQUEST, "the request is longer than {MAX_REQUEST} octets");
        let read = CertificateSigningRequestParams::from_pem(pem).map(Self).context(WANTED)?;
        // rcgen tells the kind of key by the signature: a curve with another's hash would become a
        // certificate for no key.
        let der =
            CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).ok().context(WANTED)?;
        let (_, raw) = X509CertificationRequest::from_der(&der).ok().context(WANTED)?;
        let key = raw.certification_request_info.subject_pki.raw;
        ensure!(key == read.key(), "the request's key and signature are of different kinds");
        Ok(read)
    }

    /// The key, SubjectPublicKeyInfo in DER.
    pub(crate) fn key(&self) -> Vec<u8> {
        self.0.public_key.subject_public_key_info()
    }
}

/// The authority.
pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate, in PEM.
    certificate: String,
    pin: Pin,
    /// Its name, as certificates have their issuer's.
    name: String,
}

/// A certificate that was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issued {
    /// It, and behind it that of the authority, in PEM.
    pub(crate) chain: String,
    /// When it ends, in seconds of Unix.
    pub(crate) until: i64,
}

impl Ca {
    /// A new one for the hub `name`. Gives its certificate and its key in PEM.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub(crate) fn create(name: &str, now: i64) -> Result<(String, String)> {
        let key = KeyPair::generate().context("no key can be made")?;
        let mut params = valid(now, CA_LIFETIME);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name = distinguished(name);
        params.distinguished_name.push(DnType::OrganizationName, ORGANIZATION);
        let certificate = params.self_signed(&key).context("no certificate can be made")?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    /// From certificate and key in PEM.
    ///
    /// # Errors
    /// They cannot be read, or do not match.
    pub(crate) fn open(certificate: String, key: &str) -> Result<Self> {
        let pair = KeyPair::from_pem(key).context("the CA's key cannot be used")?;
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .ok()
            .context("the CA's certificate is not PEM")?;
        let facts = Facts::of(&der).context("the CA's certificate is damaged")?;
        let own = pair.subject_public_key_info();
        ensure!(facts.key == own, "the CA's certificate is not for the CA's key");
        let pin = Pin::of(&der).context("the CA's certificate is damaged")?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&der)
            .ok()
            .context("the CA's certificate is damaged")?;
        let name = parsed.subject().to_string();
        let issuer = Issuer::from_ca_cert_pem(&certificate, pair)
            .context("the CA's certificate cannot be used")?;
        Ok(Self { issuer, certificate, pin, name })
    }

    /// By which others know it.
    pub(crate) const fn pin(&self) -> Pin {
        self.pin
    }

    /// Its name, as certificates that it has issued have it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A certificate for a user.
    ///
    /// # Errors
    /// It cannot be signed.
    pub(crate) fn certify(
        &self,
        user: &str,
        requested: &Requested,
        now: i64,
        lifetime: i64,
    ) -> Result<Issued> {
        let mut params = valid(now, lifetime);
        params.distinguished_name = distinguished(user);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(&requested.0.public_key, &self.issuer);
        let signed = signed.context("the certificate cannot be signed")?;
        Ok(Issued { chain: signed.pem() + &self.certificate, until: now + lifetime })
    }

    /// A certificate for the hub itself, under these names and addresses, for a key in PEM.
    ///
    /// # Errors
    /// A name cannot be one of a certificate.
    pub(crate) fn certify_server(&self, names: &[String], key: &str, now: i64) -> Result<Issued> {
        let pair = KeyPair::from_pem(key).context("the hub's key cannot be used")?;
        let named = CertificateParams::new(names.to_vec())
            .with_context(|| format!("{names:?} are not valid names for a certificate"))?;
        let mut params = valid(now, SERVER_LIFETIME);
        params.subject_alt_names = named.subject_alt_names;
        params.distinguished_name = distinguished(names.first().map_or("etherws", |name| name));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(&pair, &self.issuer);
        let signed = signed.context("the certificate cannot be signed")?;
        Ok(Issued { chain: signed.pem() + &self.certificate, until: now + SERVER_LIFETIME })
    }
}

impl std::fmt::Debug for Ca {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ca").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A new key in PEM.
///
/// # Errors
/// The system gives no random numbers.
pub(crate) fn new_key() -> Result<String> {
    Ok(KeyPair::generate().context("no key can be made")?.serialize_pem())
}

fn distinguished(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

/// Valid from a little before `now`, for `lifetime` seconds.
fn valid(now: i64, lifetime: i64) -> CertificateParams {
    let at = |time: i64| {
        date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(time).unwrap_or_default())
    };
    let mut params = CertificateParams::default();
    params.not_before = at(now - BACKDATED);
    params.not_after = at(now + lifetime);
    params
}

/// From when on a certificate is to be renewed that is valid in this time: when two thirds of its
/// life are over.
pub(crate) const fn renewal(from: i64, until: i64) -> i64 {
    until - (until - from - BACKDATED) / 3
}

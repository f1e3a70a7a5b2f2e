//! Client certificates that are not accepted any more, by a file that is read again when it
//! changes: CRLs (RFC 5280, 5) as a CA gives them, or a list of names and serial numbers. The
//! file is its owner's, as the CA's is: a CRL's own signature and dates are not looked at.

use std::{
    collections::HashSet,
    hash::{Hash, Hasher},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use anyhow::{Context as _, Result, anyhow, bail};
use etherws_actors::{connect::files::damage, error::one_line};
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer, pem::PemObject as _};
use slog::{Logger, error, info};
use x509_parser::{
    certificate::X509Certificate, prelude::FromDer as _, revocation_list::CertificateRevocationList,
};

use crate::{files, users};

/// What a line of a list begins with that has a serial number.
const SERIAL: &str = "serial:";

/// What the mark of another certificate of the chain begins with.
const ISSUER: &str = "chain";

/// What the mark of a key begins with.
const KEY: &str = "key:";

/// What else than its name a certificate is known by: its serial number, alone and with who has
/// issued it, and the hash of its key. They tell nobody from another: all are alike.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks(Option<Arc<[Box<str>]>>);

impl PartialEq for Marks {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Marks {}

impl Hash for Marks {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl Marks {
    /// Of somebody who has shown no certificate.
    pub(super) const NONE: Self = Self(None);

    /// Those of the first certificate of a chain, with who has issued the others: whoever has
    /// signed any of them may be behind the first.
    pub(in crate::server) fn of_chain(chain: &[CertificateDer<'_>]) -> Self {
        let Some((own, others)) = chain.split_first() else { return Self::NONE };
        let Self(Some(marks)) = Self::of(own) else { return Self::NONE };
        let issuer = |certificate: &CertificateDer<'_>| {
            let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
            Some(format!("{ISSUER} of {}", parsed.issuer()).into())
        };
        Self(Some(marks.iter().cloned().chain(others.iter().filter_map(issuer)).collect()))
    }

    /// Those of a certificate.
    pub(in crate::server) fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok((_, certificate)) = X509Certificate::from_der(certificate) else {
            return Self::NONE;
        };
        let serial = serial(certificate.raw_serial());
        let issued = issued(&serial, &certificate.issuer().to_string());
        let key = users::hash(certificate.tbs_certificate.subject_pki.raw);
        Self(Some([serial, issued, format!("{KEY}{key}").into()].into()))
    }

    /// Hash of the certificate's key.
    pub(in crate::server) fn key(&self) -> Option<&str> {
        self.iter().find_map(|mark| mark.strip_prefix(KEY))
    }

    /// Whether any certificate of the chain was issued by whoever is called `name`.
    pub(super) fn is_issued_by(&self, name: &str) -> bool {
        let issuers = self.iter().filter_map(|mark| mark.split_once(" of "));
        issuers.map(|(_, own)| own).any(|own| own == name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Box<str>> {
        self.0.iter().flat_map(|marks| marks.iter())
    }
}

/// A serial number as a list has it: hexadecimal, without zeros before it.
fn serial(octets: &[u8]) -> Box<str> {
    let digits: String = octets.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("{SERIAL}{}", digits.trim_start_matches('0')).into()
}

fn issued(serial: &str, issuer: &str) -> Box<str> {
    format!("{serial} of {issuer}").into()
}

/// The revoked certificates by a file as it was when it could last be read.
#[derive(Debug)]
pub(crate) struct Revoked {
    path: PathBuf,
    list: RwLock<HashSet<Box<str>>>,
    log: Logger,
}

impl Revoked {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// It cannot be read, or holds what is neither of both.
    pub(crate) fn open(path: &Path, log: &Logger) -> Result<Self> {
        Ok(Self { path: path.to_owned(), list: RwLock::new(read(path)?), log: log.clone() })
    }

    /// Reads it again; keeps what it said, and logs why, if it cannot be used.
    pub(super) fn reload(&self) {
        match read(&self.path) {
            Ok(list) => {
                info!(self.log, "revoked certificates read again"; "file" => %self.path.display(),
                    "entries" => list.len());
                *self.list.write().unwrap_or_else(PoisonError::into_inner) = list;
            }
            Err(error) => {
                error!(
                    self.log,
                    "list of revoked certificates is invalid; keeping the previous \
                    one: {}",
                    one_line(&*error)
                );
            }
        }
    }

    /// Whether a certificate is revoked.
    pub(super) fn has(&self, name: &str, marks: &Marks) -> bool {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.contains(name) || marks.iter().any(|mark| list.contains(mark))
    }

    /// All that is revoked.
    pub(super) fn list(&self) -> Vec<Box<str>> {
        self.list.read().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

fn read(path: &Path) -> Result<HashSet<Box<str>>> {
    let shown = path.display();
    let octets = files::read(path).with_context(|| format!("{shown}: cannot be read"))?;
    let text = String::from_utf8(octets).with_context(|| format!("{shown} is not valid UTF-8"))?;
    if text.contains("-----BEGIN") {
        return of_crls(text.as_bytes())
            .with_context(|| format!("{shown}: cannot be read as CRLs"));
    }
    let mut list = HashSet::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        match line.strip_prefix(SERIAL) {
            _ if line.is_empty() || line.starts_with('#') => {}
            // As openssl prints it: with colons or without.
            Some(digits) => {
                let digits = digits.trim().replace(':', "").to_lowercase();
                if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    bail!(
                        "{shown}:{}: {line:?} is not a serial number; write serial:0A1B2C",
                        at + 1
                    );
                }
                list.insert(format!("{SERIAL}{}", digits.trim_start_matches('0')).into());
            }
            None => drop(list.insert(line.into())),
        }
    }
    Ok(list)
}

fn of_crls(pem: &[u8]) -> Result<HashSet<Box<str>>> {
    let mut list = HashSet::new();
    let mut count = 0;
    for crl in CertificateRevocationListDer::pem_slice_iter(pem) {
        let crl = crl.map_err(|error| anyhow!("a CRL in it is damaged: {}", damage(&error)))?;
        let (_, crl) = CertificateRevocationList::from_der(&crl)
            .map_err(|_| anyhow!("CRL number {} in it is damaged; copy it again", count + 1))?;
        let issuer = crl.issuer().to_string();
        let entries = crl.iter_revoked_certificates();
        list.extend(entries.map(|entry| issued(&serial(entry.raw_serial()), &issuer)));
        count += 1;
    }
    if count == 0 {
        bail!("it contains no CRL; expected PEM with BEGIN X509 CRL");
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
        KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
    };

    use super::*;

    #[test]
    fn a_list_has_names_and_serial_numbers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("revoked");
        std::fs::write(&path, "# Stolen.\nalice\nserial:00:0A:1b\n\n").unwrap();
        let list = read(&path).unwrap();
        let [name, serial] = ["alice", "serial:a1b"];
        assert!(list.contains(name) && list.contains(serial) && list.len() == 2, "{list:?}");
        std::fs::write(&path, "serial:xyz\n").unwrap();
        let error = format!("{:#}", read(&path).unwrap_err());
        assert!(error.contains(":1:") && error.contains("serial:0A1B2C"), "{error}");
    }

    #[test]
    fn a_crl_revokes_what_its_own_ca_has_issued() {
        let key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::CrlSign, KeyUsagePurpose::KeyCertSign];
        let issuer = Issuer::from_params(&ca, &key);
        let crl = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2036, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(4711),
                revocation_time: date_time_ymd(2026, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let pem = crl.signed_by(&issuer).unwrap().pem().unwrap();
        let list = of_crls(pem.as_bytes()).unwrap();
        let is_revoked = |serial: u64| {
            let mut params = CertificateParams::default();
            params.serial_number = Some(SerialNumber::from(serial));
            params.distinguished_name.push(DnType::CommonName, "alice");
            let certificate = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
            Marks::of(certificate.der()).iter().any(|mark| list.contains(mark))
        };
        assert!(is_revoked(4711));
        assert!(!is_revoked(4712));
        assert!(of_crls(b"-----BEGIN CERTIFICATE-----").is_err());
    }
}

//! Checks of files that listeners use: certificates with their keys, passwords.

use std::path::{Path, PathBuf};

use etherws_actors::{connect::files::read_certificates, error::one_line};
use jiff::Timestamp;
use nix::unistd::User;
use rustls_pki_types::CertificateDer;
use slog::{Discard, Logger, o};
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _, time::ASN1Time,
};

use super::{Finding, Subject};
use crate::{
    options::TlsFiles,
    privileges::barrier,
    server::{auth, tls::Tls},
};

/// Days before the end in which a certificate should have been renewed: ACME clients do
/// it 30 days before.
const RENEW_DAYS: i64 = 21;

/// Days before the end in which somebody must act.
const HURRY_DAYS: i64 = 7;

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

pub(super) fn look(subject: &Subject) -> Vec<Finding> {
    let tls = subject.tls.iter().flat_map(tls_files);
    let passwords = subject.htpasswd.iter().map(|path| passwords(path));
    let service = subject.service.iter().flat_map(|(user, files)| access(user, files));
    tls.chain(passwords).chain(service).collect()
}

/// Whether the switch's own user can read what root can.
fn access(user: &User, files: &[PathBuf]) -> Vec<Finding> {
    let (check, name) = ("file-access", &user.name);
    let closed: Vec<_> = files
        .iter()
        .filter_map(|file| Some((file, barrier(user, file)?)))
        .map(|(file, barrier)| {
            let (file, at) = (file.display(), barrier.display());
            let text = format!("the switch's user {name} cannot read {file}: {at} is closed to it");
            let mode = if barrier.is_dir() { "g+x" } else { "g+r" };
            let group = format!("chgrp {name} {at}; chmod {mode} {at}");
            Finding::fail(check, text, group)
        })
        .collect();
    if closed.is_empty() {
        let text = format!("the switch's user {name} can read all {} files", files.len());
        return vec![Finding::ok(check, text)];
    }
    closed
}

/// Whether they can be used together, and for how long.
fn tls_files(files: &TlsFiles) -> Vec<Finding> {
    let check = "tls-files";
    if let Err(error) = Tls::open(files.clone(), &Logger::root(Discard, o!())) {
        let advice = "give a PEM certificate chain and its unencrypted private key";
        return vec![Finding::fail(check, one_line(&*error), advice)];
    }
    let name = files.cert.display().to_string();
    let mut findings = vec![Finding::ok(check, format!("{name} matches its key"))];
    let chains = [Some(&files.cert), files.client_ca.as_ref()];
    for path in chains.into_iter().flatten() {
        if let Ok(chain) = read_certificates(path) {
            findings.extend(dates(&path.display().to_string(), &chain, now()));
        }
    }
    findings
}

/// Now, in seconds of Unix.
pub(super) fn now() -> i64 {
    Timestamp::now().as_second()
}

/// When a chain is valid: the certificate that expires first counts.
pub(super) fn dates(name: &str, chain: &[CertificateDer<'_>], now: i64) -> Option<Finding> {
    let check = "certificate-dates";
    let validity = |der: &CertificateDer<'_>| {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        Some((certificate.validity().not_before, certificate.validity().not_after))
    };
    let dates: Vec<_> = chain.iter().filter_map(validity).collect();
    let from = dates.iter().map(|(from, _)| *from).max_by_key(ASN1Time::timestamp)?;
    let until = dates.iter().map(|(_, until)| *until).min_by_key(ASN1Time::timestamp)?;
    let days = (until.timestamp() - now).div_euclid(SECONDS_A_DAY);
    Some(if from.timestamp() > now {
        Finding::fail(
            check,
            format!("{name} is not valid before {from}"),
            "check this machine's clock; if it is right, wait, or have the certificate reissued",
        )
    } else if days < 0 {
        Finding::fail(check, format!("{name} expired on {until}"), "renew it")
    } else if days < HURRY_DAYS {
        let text = format!("{name} expires in {days} days, on {until}");
        Finding::warn(check, text, "renew it now: nobody can connect once it has expired")
    } else if days < RENEW_DAYS {
        let text = format!("{name} expires in {days} days, on {until}");
        Finding::warn(check, text, "renew it, and find out why it was not renewed automatically")
    } else {
        Finding::ok(check, format!("{name} is valid until {until}, for {days} days"))
    })
}

/// The DNS names and addresses of a certificate.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(octets) => match octets.len() {
            4 => <[u8; 4]>::try_from(*octets).ok().map(|it| std::net::IpAddr::from(it).to_string()),
            _ => {
                <[u8; 16]>::try_from(*octets).ok().map(|it| std::net::IpAddr::from(it).to_string())
            }
        },
        _ => None,
    };
    alternatives.value.general_names.iter().filter_map(name).collect()
}

/// Whether a password file is valid, and how hard its hashes are to crack.
fn passwords(path: &Path) -> Finding {
    let check = "htpasswd";
    let name = path.display();
    match auth::survey(path) {
        Err(error) => {
            let advice = "write its entries with etherws passwd";
            Finding::fail(check, one_line(&*error), advice)
        }
        Ok(auth::Survey { users: 0, .. }) => Finding::warn(
            check,
            format!("{name} has no users: every login is refused"),
            format!("add a user: etherws passwd {name} NAME"),
        ),
        Ok(auth::Survey { users, quick: 0 }) => {
            Finding::ok(check, format!("{name} has {users} users"))
        }
        Ok(auth::Survey { users, quick }) => Finding::warn(
            check,
            format!("{name} has {users} users, {quick} of them with {{SHA}} or $apr1$ hashes"),
            format!(
                "these hashes are quick to crack; set the passwords again: etherws passwd {name} NAME"
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::{super::Level, *};

    /// Valid only in 2026, for h.example and 192.0.2.1; with its key.
    fn certificate() -> (rcgen::Certificate, KeyPair) {
        let names = ["h.example", "192.0.2.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2027, 1, 1);
        let key = KeyPair::generate().unwrap();
        (params.self_signed(&key).unwrap(), key)
    }

    /// 2027-01-01T00:00:00Z.
    const END: i64 = 1_798_761_600;

    #[test]
    fn dates_are_judged_by_days() {
        let (certificate, _) = certificate();
        let chain = [certificate.der().clone()];
        let level = |days: i64| dates("c", &chain, END - days * SECONDS_A_DAY).unwrap().level;
        assert_eq!(level(100), Level::Ok);
        assert_eq!((level(20), level(3)), (Level::Warn, Level::Warn));
        assert_eq!(level(-1), Level::Fail);
        let early = dates("c", &chain, END - 400 * SECONDS_A_DAY).unwrap();
        assert_eq!(early.level, Level::Fail);
        assert!(early.advice.unwrap().contains("clock"));
        assert_eq!(names(&chain[0]), ["h.example", "192.0.2.1"]);
    }

    #[test]
    fn a_key_of_another_certificate_is_a_fault() {
        let dir = tempfile::tempdir().unwrap();
        let [cert, key] = ["cert.pem", "key.pem"].map(|name| dir.path().join(name));
        let (certificate, own) = certificate();
        fs::write(&cert, certificate.pem()).unwrap();
        fs::write(&key, own.serialize_pem()).unwrap();
        let files = TlsFiles { key: key.clone(), cert, client_ca: None, revoked: None };
        assert_eq!(tls_files(&files)[0].level, Level::Ok);
        fs::write(&key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
        let findings = tls_files(&files);
        assert_eq!((findings.len(), findings[0].level), (1, Level::Fail));
        assert!(findings[0].text.contains("do not match"), "{findings:?}");
    }

    #[test]
    fn passwords_that_are_quick_to_crack_are_reported() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("users");
        let level = |content: &str| {
            fs::write(&file, content).unwrap();
            passwords(&file).level
        };
        assert_eq!(level("a:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"), Level::Warn);
        assert_eq!(level("# nobody\n"), Level::Warn);
        assert_eq!(level("a:hunter2\n"), Level::Fail);
        let bcrypt = bcrypt::hash("x", 4).unwrap();
        assert_eq!(level(&format!("a:{bcrypt}\n")), Level::Ok);
    }
}

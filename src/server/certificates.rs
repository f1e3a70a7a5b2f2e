//! When the certificates end that the program has: its listeners' own, the CAs of clients, and
//! what the ports of the file name. Told at the start, once a day from [`EARLY_DAYS`] on, by
//! `check`, by a metric and by control.
//!
//! Reads the files again each hour, and when the configuration has changed; whoever asks is
//! told what was read last.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use etherws_actors::{
    connect::{certificate::Facts, files::read_certificates},
    kinds::Client,
};
use jiff::Timestamp;
use slog::{Logger, error, warn};
use tokio::{sync::Notify, task::spawn_blocking, time::timeout};

use crate::config::Sw;

/// Days before the end from which on it is told: ACME clients renew 30 days before.
const EARLY_DAYS: i64 = 30;

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

/// How old what is told may be.
const LOOK_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How often the log tells the same.
const TELL_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// Most of a file that are looked at: of a bundle of all public CAs, none is ours to renew.
const MAX_OF_FILE: usize = 16;

/// A certificate in one of the program's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) file: PathBuf,
    /// Whom it is for.
    pub(crate) subject: String,
    /// From when it is valid, in seconds of Unix.
    pub(crate) from: i64,
    /// When it ends.
    pub(crate) until: i64,
}

impl Certificate {
    /// The same as a time.
    pub(crate) fn ends(&self) -> Timestamp {
        Timestamp::from_second(self.until).unwrap_or(Timestamp::MAX)
    }

    /// Days that are left at `now`, in seconds of Unix; none if it has ended.
    fn days(&self, now: i64) -> Option<i64> {
        (self.until > now).then(|| (self.until - now) / SECONDS_A_DAY)
    }

    /// Days before its end from which on it is told: of one that lasts for less than four months, a
    /// quarter of its life, since what renews those by itself does so at a third. One of a day or
    /// three was made by hand.
    fn early(&self) -> i64 {
        match (self.until - self.from) / SECONDS_A_DAY {
            ..=3 => EARLY_DAYS,
            days => EARLY_DAYS.min(days / 4),
        }
    }

    /// What there is to say of it at `now`, if it must be renewed.
    pub(crate) fn warning(&self, now: i64) -> Option<String> {
        let Self { file, subject, .. } = self;
        let which = format!("the certificate for {subject:?} in {}", file.display());
        let ends = self.ends().strftime("%Y-%m-%d");
        match self.days(now) {
            None => Some(format!("{which} has expired on {ends}; renew it")),
            Some(days) if days < self.early() => {
                Some(format!("{which} expires in {days} days, on {ends}; renew it"))
            }
            Some(_) => None,
        }
    }
}

/// Files with certificates that `sw` names, each once.
pub(crate) fn files(sw: &Sw) -> Vec<PathBuf> {
    let services = [sw.tunnel.as_ref(), sw.control.as_ref()].into_iter().flatten();
    let tls = services.filter_map(|service| service.tls.as_ref());
    let of_listeners = tls.flat_map(|tls| [Some(&tls.cert), tls.client_ca.as_ref()]);
    let clients = sw.ports.iter().filter_map(|port| port.new.get::<Client>());
    let of_ports = clients.flat_map(|client| [client.cacerts.as_ref(), client.cert.as_ref()]);
    let mut files: Vec<_> = of_listeners.chain(of_ports).flatten().cloned().collect();
    files.sort();
    files.dedup();
    files
}

/// The certificates in `files`, that which ends first first. One that cannot be read is left
/// out: whoever uses it says so.
pub(crate) fn read(files: &[PathBuf]) -> Vec<Certificate> {
    let of_file = |file: &PathBuf| {
        let chain = read_certificates(file).unwrap_or_default();
        let facts = chain.iter().take(MAX_OF_FILE).filter_map(Facts::of);
        let of = |Facts { subject, from, until, .. }| Certificate {
            file: file.clone(),
            subject,
            from,
            until,
        };
        facts.map(of).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = files.iter().flat_map(of_file).collect();
    all.sort_by_key(|one| one.until);
    all
}

/// What was read last.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<PathBuf>,
    known: Vec<Certificate>,
    /// The file that is renewed by ACME, and when, in seconds of Unix.
    renewed: Option<(PathBuf, i64)>,
}

impl Certificates {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These are the files from now on, or they were read again.
    pub(crate) fn set(&self, files: Vec<PathBuf>) {
        self.state().files = files;
        self.changed.notify_one();
    }

    /// All that are known, that which ends first first.
    pub(crate) fn list(&self) -> Vec<Certificate> {
        self.state().known.clone()
    }

    /// The certificates in `file` are renewed at `at`, in seconds of Unix. If that is news, they may
    /// be others than before.
    pub(crate) fn renew(&self, file: PathBuf, at: i64) {
        let renewed = Some((file, at));
        let mut state = self.state();
        if state.renewed != renewed {
            state.renewed = renewed;
            self.changed.notify_one();
        }
    }

    /// When those in `file` are renewed; `None` if that is nobody's work.
    pub(crate) fn renewal(&self, file: &Path) -> Option<Timestamp> {
        let state = self.state();
        let (_, at) = state.renewed.as_ref().filter(|(renewed, _)| renewed == file)?;
        Timestamp::from_second(*at).ok()
    }

    /// Looks into the files for as long as the program runs.
    pub(crate) async fn watch(self: Arc<Self>, log: Logger) {
        let mut told: Option<Instant> = None;
        loop {
            // Whether or not it was in time.
            let changed = timeout(LOOK_INTERVAL, self.changed.notified()).await.is_ok();
            let files = self.state().files.clone();
            let Ok(known) = spawn_blocking(move || read(&files)).await else { continue };
            if changed || told.is_none_or(|told| told.elapsed() >= TELL_INTERVAL) {
                told = Some(Instant::now());
                let now = Timestamp::now().as_second();
                // Nobody has to do what is to happen by itself.
                let by_itself = |one: &&Certificate| {
                    self.renewal(&one.file).is_some_and(|at| at.as_second() > now)
                };
                let known = known.iter().filter(|one| !by_itself(one));
                for (one, text) in known.filter_map(|one| Some((one, one.warning(now)?))) {
                    if one.until <= now {
                        error!(log, "{text}");
                    } else {
                        warn!(log, "{text}");
                    }
                }
            }
            self.state().known = known;
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn certificates_are_told_of_from_thirty_days_on() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cert.pem");
        let mut params = CertificateParams::new(vec!["h.example".to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "h.example");
        params.not_after = date_time_ymd(2027, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        std::fs::write(&file, certificate.pem()).unwrap();
        let [one] = read(&[file, "/no/such/file".into()]).try_into().unwrap();
        assert_eq!(one.ends().to_string(), "2027-01-01T00:00:00Z");
        let at = |days: i64| one.warning(one.until - days * SECONDS_A_DAY + 1);
        assert_eq!(at(31), None);
        let text = at(30).unwrap();
        assert!(
            text.contains("\"h.example\"") && text.contains("in 29 days, on 2027-01-01"),
            "{text}"
        );
        assert!(at(0).unwrap().contains("has expired on 2027-01-01"));
    }
}

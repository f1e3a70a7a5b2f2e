//! When a certificate is renewed: within the window that its CA suggests, where it does (ACME
//! Renewal Information, RFC 9773), and otherwise when two thirds of its life are over. The CA is
//! asked as often as it wants, within bounds; what it says is never trusted beyond the
//! certificate's own end.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aws_lc_rs::rand;
use etherws_actors::{
    connect::certificate::Facts,
    error::{clean, one_line},
    monitor::{Event, Kind, Monitor},
};
use instant_acme::{CertificateIdentifier, Error, RenewalInfo};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use slog::{Logger, debug, info};

use super::{AcmeOptions, LAST_RETRY, account, told};

/// How soon and how late a CA is asked again, whatever it says (RFC 9773, 4.3.2).
const SOONEST: Duration = Duration::from_secs(60);
const LATEST: Duration = Duration::from_secs(24 * 60 * 60);

/// After a certificate was issued it is not renewed early for so long, in seconds, or for a tenth
/// of its life: else a CA whose windows are always over would have one order follow the other.
const SETTLED: i64 = 60 * 60;

/// The time, in seconds of Unix.
pub(super) fn now() -> i64 {
    Timestamp::now().as_second()
}

/// What a CA suggests for a certificate, in seconds of Unix; it ends after it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    start: i64,
    end: i64,
}

impl Window {
    /// One that ends before it begins is as good as none (RFC 9773, 4.2).
    fn of(info: &RenewalInfo) -> Option<Self> {
        let window = &info.suggested_window;
        let (start, end) = (window.start.unix_timestamp(), window.end.unix_timestamp());
        (start < end).then_some(Self { start, end })
    }

    /// At `share` of it, in 65,536ths.
    fn at(self, share: u16) -> i64 {
        self.start + (self.end - self.start) * i64::from(share) / (1 << 16)
    }
}

/// When to renew a certificate, in seconds of Unix, at the moment that its CA `suggests`: but not so
/// soon after it was `issued` here, and while a quarter of its life is left, so that an order may
/// fail, and the log does not warn yet.
fn moment(valid: &Range<i64>, suggests: Option<i64>, issued: i64) -> i64 {
    let life = valid.end.saturating_sub(valid.start).max(0);
    match suggests {
        Some(at) => at.max(issued + SETTLED.min(life / 10)).min(valid.end - life / 4),
        None => valid.end - life / 3,
    }
}

/// What is known of one certificate's renewal.
pub(super) struct Renewal {
    /// The certificate as its CA knows it; `None` if it cannot be asked for it.
    pub(super) id: Option<CertificateIdentifier<'static>>,
    window: Option<Window>,
    /// Where in a window, drawn once for each certificate: the same window is the same moment.
    share: u16,
    /// When its CA is asked next; at once if it never was.
    next: Option<Instant>,
    /// After a failure, twice as long each time.
    retry: Duration,
}

impl Renewal {
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Self {
        let id = CertificateIdentifier::try_from(certificate).ok();
        let mut share = [0; 2];
        // Without random numbers no key is made either.
        let _ = rand::fill(&mut share);
        let share = u16::from_be_bytes(share);
        Self { id, window: None, share, next: None, retry: SOONEST }
    }

    /// When it is due, if it was `issued` then.
    pub(super) fn due(&self, facts: &Facts, issued: i64) -> i64 {
        moment(&(facts.from..facts.until), self.window.map(|window| window.at(self.share)), issued)
    }

    /// Until its CA is to be asked.
    pub(super) fn wait(&self) -> Duration {
        self.next.map_or(Duration::ZERO, |next| next.saturating_duration_since(Instant::now()))
    }

    /// Asks its CA. What it has said before counts until it says something else.
    pub(super) async fn ask(&mut self, options: &AcmeOptions, monitor: &Monitor, log: &Logger) {
        let wait = match self.answer(options, log).await {
            Ok(Some((info, window, wait))) => {
                let wait = wait.clamp(SOONEST, LATEST);
                if self.window.replace(window) != Some(window) {
                    tell(&info, window, wait, options, monitor, log);
                }
                self.retry = SOONEST;
                wait
            }
            Ok(None) => LATEST,
            Err(why) => {
                let wait = self.retry;
                self.retry = (wait * 2).min(LAST_RETRY);
                info!(log, "cannot learn from the CA when to renew: {}; asking again in {} s",
                    clean(&one_line(&*why)), wait.as_secs(); "by" => &options.directory);
                wait
            }
        };
        self.next = Instant::now().checked_add(wait);
    }

    /// What it says, and for how long; `None` if it says nothing of any certificate.
    async fn answer(
        &self,
        options: &AcmeOptions,
        log: &Logger,
    ) -> Result<Option<(RenewalInfo, Window, Duration)>> {
        let Some(id) = &self.id else { return Ok(None) };
        match account(options, log).await?.renewal_info(id).await {
            Ok((info, wait)) => {
                let window = Window::of(&info).context("its window ends before it begins")?;
                Ok(Some((info, window, wait)))
            }
            Err(Error::Unsupported(_)) => {
                debug!(log, "the CA has no renewal information"; "by" => &options.directory);
                Ok(None)
            }
            Err(error) => Err(told(options, error)),
        }
    }
}

fn tell(
    info: &RenewalInfo,
    window: Window,
    wait: Duration,
    options: &AcmeOptions,
    monitor: &Monitor,
    log: &Logger,
) {
    let names = options.names.join(", ");
    let why = clean(info.explanation_url.as_deref().unwrap_or("-"));
    // Some moments of years that are written with four digits are beyond what can be shown.
    let [first, last] = [Timestamp::MIN, Timestamp::MAX].map(Timestamp::as_second);
    let shown = |at: i64| Timestamp::from_second(at.clamp(first, last)).unwrap_or_default();
    let [start, end] = [window.start, window.end].map(|at| shown(at).to_string());
    info!(log, "the CA suggests when to renew the certificate; asking again in {} s",
        wait.as_secs(); "names" => &names, "start" => &start, "end" => &end, "why" => &why);
    monitor.tell(|| {
        let event = Event::new(Kind::Acme).text("names", names).text("what", "suggested");
        event.text("reason", why).text("start", start).text("end", end)
    });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAY: i64 = 24 * 60 * 60;

    fn info(start: i64, end: i64) -> Option<Window> {
        let shown = |at| Timestamp::from_second(at).unwrap().to_string();
        let text =
            serde_json::json!({"suggestedWindow": {"start": shown(start), "end": shown(end)}});
        Window::of(&serde_json::from_value(text).unwrap())
    }

    #[test]
    fn a_certificate_is_renewed_within_its_cas_window_but_never_too_late() {
        let valid = 0..90 * DAY;
        let half = |window: Window| window.at(1 << 15);
        let due = |start, end| moment(&valid, info(start, end).map(half), 0);
        for (start, end, expected, why) in [
            (50 * DAY, 52 * DAY, 51 * DAY, "in the middle"),
            (DAY, 3 * DAY, 2 * DAY, "soon"),
            (-9 * DAY, -7 * DAY, SETTLED, "at once, but not again and again"),
            (52 * DAY, 50 * DAY, 60 * DAY, "it ends before it begins: two thirds"),
            (52 * DAY, 52 * DAY, 60 * DAY, "it is nothing: two thirds"),
            (80 * DAY, 82 * DAY, 90 * DAY - 90 * DAY / 4, "it is late: a quarter is left"),
            (-62_167_219_200, 253_402_207_200, 90 * DAY - 90 * DAY / 4, "all of time"),
        ] {
            assert_eq!(due(start, end), expected, "{why}");
        }
    }

    proptest! {
        #[test]
        fn the_moment_is_in_the_window_and_before_the_certificates_end(
            from in -DAY..DAY,
            life in -DAY..400 * DAY,
            start in -500 * DAY..500 * DAY,
            length in 1..100 * DAY,
            share: u16,
            issued in 0..2 * DAY,
        ) {
            let valid = from..from + life;
            let window = Window { start, end: start + length };
            let due = moment(&valid, Some(window.at(share)), issued);
            let last = valid.end - life.max(0) / 4;
            prop_assert!(due <= last && moment(&valid, None, issued) <= last);
            let settled = issued + SETTLED.min(life.max(0) / 10);
            prop_assert!(due == last || due >= settled);
            let within = (window.start..window.end).contains(&due);
            prop_assert!(within || due == last || due == settled);
        }
    }
}

//! What the log says of those who are turned away: a line a source and minute, with how many
//! they were, so that whoever comes in masses fills no disk. The first of a source that was
//! quiet is told at once. Counts nothing else, and decides nothing.

use std::{
    cmp::Reverse,
    collections::HashMap,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_http::StatusCode;
use slog::{Logger, info};

use super::{peer::Peer, source::Source};

/// After which what has gathered is written.
const PERIOD: Duration = Duration::from_secs(60);

/// Sources that have a line of their own each time, the busiest: a day of such lines and of
/// those that are written at once is 10 MB at most.
const LINES: usize = 20;

/// Sources that are told of at once in between.
const AT_ONCE: usize = 5;

/// Sources that are kept apart, in 1 MB; those beyond are counted together.
const SOURCES: usize = 4096;

/// Letters of a user's name that are written.
const NAME: usize = 64;

/// Who was turned away since it was written last.
#[derive(Debug)]
pub(crate) struct Journal {
    log: Logger,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    sources: HashMap<Source, Entry>,
    at_once: usize,
    /// Of sources for which there was no place.
    others: u64,
}

/// What is known of a source, by the last who was turned away.
#[derive(Debug)]
struct Entry {
    count: u64,
    peer: Peer,
    user: Option<Box<str>>,
    status: StatusCode,
    reason: Box<str>,
}

impl Journal {
    pub(crate) fn new(log: Logger) -> Arc<Self> {
        Arc::new(Self { log, table: Mutex::default() })
    }

    /// Notes that somebody was turned away who claims to be `user`.
    pub(super) fn note(
        &self,
        peer: &Peer,
        user: Option<&Arc<str>>,
        status: StatusCode,
        reason: &str,
    ) {
        let mut table = self.table();
        let Table { sources, at_once, others } = &mut *table;
        let is_full = sources.len() >= SOURCES;
        let source = peer.source();
        let known = sources.get_mut(&source);
        if known.is_none() && is_full {
            *others += 1;
            return;
        }
        let is_quiet = known.is_none();
        let entry = Entry {
            count: known.map_or(0, |known| known.count) + 1,
            peer: peer.clone(),
            user: user.map(|user| user.escape_debug().take(NAME).collect()),
            status,
            reason: reason.into(),
        };
        if is_quiet && *at_once < AT_ONCE {
            *at_once += 1;
            self.write(&entry);
            sources.insert(source, Entry { count: 0, ..entry });
        } else {
            sources.insert(source, entry);
        }
    }

    /// Writes what has gathered, each minute.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            actix_rt::time::sleep(PERIOD).await;
            self.tell();
        }
    }

    fn tell(&self) {
        let mut table = self.table();
        let Table { sources, others, .. } = mem::take(&mut *table);
        let mut all: Vec<_> = sources.into_iter().filter(|(_, entry)| entry.count > 0).collect();
        all.sort_unstable_by_key(|(_, entry)| Reverse(entry.count));
        let rest = all.split_off(all.len().min(LINES));
        for (_, entry) in &all {
            self.write(entry);
        }
        let count = rest.iter().map(|(_, entry)| entry.count).sum::<u64>() + others;
        if count > 0 {
            let more = if others > 0 { "more than " } else { "" };
            info!(self.log, "requests of other sources refused";
                "sources" => format!("{more}{}", rest.len()), "count" => count);
        }
        // Those that go on are not quiet: their next line is that of the next minute.
        let known = all.into_iter().chain(rest);
        table.sources =
            known.map(|(source, entry)| (source, Entry { count: 0, ..entry })).collect();
    }

    fn write(&self, entry: &Entry) {
        let Entry { count, peer, user, status, reason } = entry;
        info!(self.log, "request refused"; "peer" => %peer, "user" => user.as_deref().unwrap_or("-"),
            "status" => status.as_u16(), "reason" => &**reason, "count" => count);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{io, net::SocketAddr};

    use slog::{Drain as _, o};
    use slog_term::{FullFormat, PlainSyncDecorator};

    use super::*;
    use crate::server::peer::Ends;

    /// Where lines are written to.
    #[derive(Debug, Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(octets);
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn take(&self) -> Vec<String> {
            let text = String::from_utf8(mem::take(&mut *self.0.lock().unwrap())).unwrap();
            text.lines().map(str::to_owned).collect()
        }
    }

    fn journal() -> (Arc<Journal>, Lines) {
        let lines = Lines::default();
        let format = FullFormat::new(PlainSyncDecorator::new(lines.clone())).use_original_order();
        (Journal::new(Logger::root(format.build().fuse(), o!())), lines)
    }

    fn from(n: u32) -> Peer {
        let local: SocketAddr = "192.0.2.1:80".parse().unwrap();
        let address = if n.is_multiple_of(2) {
            n.to_be_bytes().into()
        } else {
            [0x2001, 0xdb8, 0xaaaa, 0xbbbb ^ u16::try_from(n).unwrap(), 0xcccc, 0xdddd, 0xeeee, 1]
                .into()
        };
        Peer::at(Ends::Tcp { local, peer: SocketAddr::new(address, 65_535) })
    }

    fn note(journal: &Journal, n: u32, user: &str) {
        let text = "Too many failed logins from this address; try again later";
        journal.note(&from(n), Some(&user.into()), StatusCode::TOO_MANY_REQUESTS, text);
    }

    #[test]
    fn a_source_has_a_line_at_once_and_one_a_minute() {
        let (journal, lines) = journal();
        (0..100).for_each(|_| note(&journal, 2, "a\u{1b}[2J\nb"));
        let first = lines.take();
        assert_eq!(first.len(), 1);
        for part in ["peer: 0.0.0.2:65535", r"user: a\u{1b}[2J\nb", "status: 429", "count: 1"] {
            assert!(first[0].contains(part), "{part}: {first:?}");
        }
        journal.tell();
        let second = lines.take();
        assert!(second.len() == 1 && second[0].contains("count: 99"), "{second:?}");
        note(&journal, 2, "a");
        assert!(lines.take().is_empty(), "it was not quiet");
        journal.tell();
        assert!(lines.take()[0].contains("count: 1"));
        journal.tell();
        note(&journal, 2, "a");
        assert_eq!(lines.take().len(), 1, "quiet for a minute");
    }

    #[test]
    fn a_day_of_masses_is_ten_megabytes_at_most() {
        let (journal, lines) = journal();
        let mut octets = 0;
        for minute in 0..10 {
            for n in 0..6000 {
                (0..=n % 3).for_each(|_| note(&journal, n, &"\u{202e}".repeat(1000)));
            }
            journal.tell();
            let all = lines.take();
            assert!(all.len() <= LINES + AT_ONCE + 1, "{} lines", all.len());
            assert!(minute > 0 || all.len() == LINES + AT_ONCE + 1);
            assert!(all.last().unwrap().contains("sources: more than 40"), "{all:?}");
            octets += all.iter().map(|line| line.len() + 1).sum::<usize>();
        }
        // As many minutes as a day has.
        let day = octets * 144;
        println!("{day} octets a day");
        assert!(day < 10_000_000, "{day}");
    }
}

//! What the log says of those who may have lines written as often as they like: who is turned
//! away, and whose sessions come and go. A line a source and minute, with how many they were, so
//! that nobody fills the disk. The first lines of a source that was quiet are written at once.
//! Counts nothing else, and decides nothing.

use std::{
    cmp::Reverse,
    collections::{HashMap, hash_map::Entry as Place},
    mem,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use actix_http::StatusCode;
use etherws_actors::tick;
use slog::{Drain, Level, Logger, Never, OwnedKVList, Record, info, o};

use super::{peer::Peer, source::Source};

/// After which what has gathered is written.
const PERIOD: Duration = Duration::from_secs(60);

/// Sources that have a line of their own each time, the busiest: a day of such lines and of
/// those that are written at once is 10 MB at most.
const LINES: usize = 20;

/// Sources that are kept apart, in 1 MB; those beyond are counted together.
const SOURCES: usize = 4096;

/// Letters of a user's name, and of why he was turned away, that are written.
const NAME: usize = 64;
const REASON: usize = 128;

/// How many lines are written at once.
#[derive(Debug, Clone, Copy)]
struct Rate {
    /// Of a source that was quiet.
    each: usize,
    /// Of all sources, in a period, and when few were written for long.
    refill: usize,
    burst: usize,
}

/// What somebody has done of whom a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum What {
    /// Sent a request that was refused.
    Request,
    /// Connected, and was refused before any request.
    Connection,
    /// Not come to terms over TLS.
    Handshake,
    /// Called by control what his role does not allow.
    Call,
    /// Had sessions that came and went.
    Session,
}

impl What {
    const fn text(self) -> &'static str {
        match self {
            Self::Request => "request refused",
            Self::Connection => "connection refused",
            Self::Handshake => "TLS handshake failed",
            Self::Call => "control refused a call",
            Self::Session => "lines about sessions left out",
        }
    }

    /// Which of [`RATES`].
    const fn rate(self) -> usize {
        matches!(self, Self::Session) as usize
    }
}

/// Of who was turned away; and of sessions, whose lines are wanted: all of those of a large
/// switch that was restarted, some of each office.
const RATES: [Rate; 2] =
    [Rate { each: 1, refill: 4, burst: 4 }, Rate { each: 300, refill: 1, burst: 3000 }];

/// What was noted since it was written last.
#[derive(Debug)]
pub(crate) struct Journal {
    log: Logger,
    table: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    sources: HashMap<(What, Source), Entry>,
    /// Lines that may still be written at once.
    left: [usize; 2],
    /// Of sources for which there was no place.
    others: u64,
}

/// What is known of a source.
#[derive(Debug)]
struct Entry {
    /// Lines of it that may still be written at once.
    left: usize,
    /// Those that were not written.
    count: u64,
    /// The last one.
    line: Line,
}

#[derive(Debug, Clone)]
struct Line {
    peer: Box<str>,
    user: Box<str>,
    status: Option<StatusCode>,
    reason: Box<str>,
}

impl Line {
    fn new(peer: String, user: Option<&str>, status: Option<StatusCode>, reason: &str) -> Self {
        let user = user.map_or_else(|| "-".into(), |user| user.escape_debug().take(NAME).collect());
        Self { peer: peer.into(), user, status, reason: reason.chars().take(REASON).collect() }
    }
}

impl Journal {
    pub(crate) fn new(log: Logger) -> Arc<Self> {
        let left = RATES.map(|rate| rate.burst);
        let table = Table { sources: HashMap::new(), left, others: 0 };
        Arc::new(Self { log, table: Mutex::new(table) })
    }

    /// Notes that somebody was turned away who claims to be `user`, and has been told `status`
    /// if anything.
    pub(super) fn turned_away(
        &self,
        what: What,
        peer: &Peer,
        user: Option<&str>,
        status: Option<StatusCode>,
        reason: &str,
    ) {
        let line = Line::new(peer.to_string(), user, status, reason);
        self.note(what, peer.source(), line);
    }

    /// Notes that a caller of control, from an address or a process of this machine, may not do
    /// what he asks for.
    pub(super) fn denied(&self, from: &str, user: &str, why: &str) {
        let address = from.parse::<SocketAddr>();
        let source = address.map_or(Source::UNIX, |address| address.ip().into());
        self.note(What::Call, source, Line::new(from.to_owned(), Some(user), None, why));
    }

    fn note(&self, what: What, source: Source, line: Line) {
        if self.admit(what, source, &line) {
            self.write(what, &line, 1);
        }
    }

    /// Where lines about a session of `peer` go.
    pub(super) fn of_session(self: &Arc<Self>, peer: &Peer, user: Option<&str>) -> Logger {
        let line = Line::new(peer.to_string(), user, None, "they come and go too often");
        Logger::root(OfSession { journal: Arc::clone(self), source: peer.source(), line }, o!())
    }

    /// Whether a line is to be written now; it is counted otherwise.
    fn admit(&self, what: What, source: Source, line: &Line) -> bool {
        let mut table = self.table();
        let Table { sources, left, others } = &mut *table;
        let is_full = sources.len() >= SOURCES;
        let entry = match sources.entry((what, source)) {
            Place::Occupied(entry) => entry.into_mut(),
            Place::Vacant(_) if is_full => {
                *others += 1;
                return false;
            }
            Place::Vacant(place) => {
                let left = RATES[what.rate()].each;
                place.insert(Entry { left, count: 0, line: line.clone() })
            }
        };
        let left = &mut left[what.rate()];
        if entry.left > 0 && *left > 0 {
            entry.left -= 1;
            *left -= 1;
            return true;
        }
        *entry = Entry { left: 0, count: entry.count + 1, line: line.clone() };
        false
    }

    /// Writes what has gathered, each minute.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut ticks = tick::every(PERIOD);
        loop {
            ticks.tick().await;
            self.tell();
        }
    }

    fn tell(&self) {
        let mut table = self.table();
        let others = mem::take(&mut table.others);
        for (left, rate) in table.left.iter_mut().zip(RATES) {
            *left = (*left + rate.refill).min(rate.burst);
        }
        let sources = mem::take(&mut table.sources);
        let mut all: Vec<_> = sources.into_iter().filter(|(_, entry)| entry.count > 0).collect();
        all.sort_unstable_by_key(|(_, entry)| Reverse(entry.count));
        let (own, rest) = all.split_at(all.len().min(LINES));
        for ((what, _), entry) in own {
            self.write(*what, &entry.line, entry.count);
        }
        let count = rest.iter().map(|(_, entry)| entry.count).sum::<u64>() + others;
        if count > 0 {
            let more = if others > 0 { "more than " } else { "" };
            info!(self.log, "lines about other sources left out";
                "sources" => format!("{more}{}", rest.len()), "count" => count);
        }
        // Those that go on are not quiet: their next line is that of the next minute.
        let known = all.into_iter();
        table.sources = known.map(|(key, entry)| (key, Entry { count: 0, ..entry })).collect();
    }

    fn write(&self, what: What, line: &Line, count: u64) {
        let Line { peer, user, status, reason } = line;
        let (what, peer, user, reason) = (what.text(), &**peer, &**user, &**reason);
        match status {
            Some(status) => info!(self.log, "{what}"; "peer" => peer, "user" => user,
                "status" => status.as_u16(), "reason" => reason, "count" => count),
            None => info!(self.log, "{what}"; "peer" => peer, "user" => user,
                "reason" => reason, "count" => count),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lines about a session, which go to the journal's log.
struct OfSession {
    journal: Arc<Journal>,
    source: Source,
    line: Line,
}

impl Drain for OfSession {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        // What is a fault of this program is always told; what only who looks for one is told
        // of, he has asked for.
        let counts = matches!(record.level(), Level::Info | Level::Warning);
        if counts && !self.journal.admit(What::Session, self.source, &self.line) {
            return Ok(());
        }
        Drain::log(&self.journal.log, record, values)
    }
}

#[cfg(test)]
mod tests {
    use std::{io, net::SocketAddr};

    use slog::warn;
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

    /// Lines of a source about its sessions that are written at once.
    const EACH: usize = RATES[1].each;

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
        let status = Some(StatusCode::TOO_MANY_REQUESTS);
        journal.turned_away(What::Request, &from(n), Some(user), status, text);
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
        let mut first = 0;
        for minute in 0..10 {
            for n in 0..6000 {
                (0..=n % 3).for_each(|_| note(&journal, n, &"\u{202e}".repeat(1000)));
                sessions(&journal, n, 3);
            }
            journal.tell();
            let all = lines.take();
            let last = all.last().unwrap();
            assert!(last.contains("sources: more than"), "{last}");
            let written = all.iter().map(|line| line.len() + 1).sum::<usize>();
            if minute == 0 {
                // What it had saved.
                first = written;
            } else {
                let [turned_away, of_sessions] = RATES.map(|rate| rate.refill);
                assert!(all.len() <= LINES + 1 + turned_away + of_sessions, "{} lines", all.len());
                octets += written;
            }
        }
        // As many minutes as a day has.
        let day = first + octets * 160;
        println!("{day} octets a day");
        assert!(day < 10_000_000, "{day}");
    }

    /// What the log says of sessions that come and go.
    fn sessions(journal: &Arc<Journal>, n: u32, count: usize) {
        let log = journal.of_session(&from(n), Some("alice"));
        for _ in 0..count {
            info!(log, "session"; "port" => 12_345_678, "peer" => "2001:db8:aaaa:bbbb::1", "user" => "alice");
            info!(log, "port is up"; "port" => 12_345_678, "type" => "server", "target" => "x".repeat(40));
            warn!(log, "port has ended"; "port" => 12_345_678, "type" => "server",
                "target" => "x".repeat(40), "reason" => "the peer ended the connection without a close frame");
        }
    }

    #[test]
    fn a_member_who_comes_and_goes_has_a_line_a_minute() {
        let (journal, lines) = journal();
        let mut octets = 0;
        for minute in 0..60 {
            sessions(&journal, 2, 10_000);
            // Others are told of all the while.
            sessions(&journal, 4, 1);
            journal.tell();
            let all = lines.take();
            let of = |peer: &str| all.iter().filter(|line| line.contains(peer)).count();
            assert_eq!(all.len(), if minute == 0 { EACH + 3 + 1 } else { 3 + 1 }, "{all:?}");
            assert_eq!(of("left out, peer: 0.0.0.2:65535, user: alice"), 1, "{all:?}");
            octets += all.iter().map(|line| line.len() + 1).sum::<usize>();
        }
        assert!(octets * 24 < 10_000_000, "{octets}");
    }

    #[test]
    fn what_is_left_out_of_sessions_is_counted_and_no_fault_of_ours_is() {
        let (journal, lines) = journal();
        sessions(&journal, 2, 200);
        assert_eq!(lines.take().len(), EACH);
        let log = journal.of_session(&from(2), None).new(o!("port" => 7));
        slog::error!(log, "port panicked");
        let told = lines.take();
        assert!(told.len() == 1 && told[0].contains("port panicked, port: 7"), "{told:?}");
        journal.tell();
        let told = lines.take();
        assert!(told[0].ends_with("count: 300"), "{told:?}");
        // After a quiet minute as before.
        journal.tell();
        sessions(&journal, 2, 1);
        assert_eq!(lines.take().len(), 3);
    }

    #[test]
    fn each_thing_is_told_as_what_it_is() {
        let (journal, lines) = journal();
        journal.turned_away(What::Connection, &from(2), None, None, "no PROXY header");
        journal.turned_away(What::Handshake, &from(2), None, None, "no TLS");
        journal.denied("192.0.2.1:5", "bob", "delPort: for operators");
        journal.denied("unix, process 5", "carol", "delPort: for operators");
        let told = lines.take();
        for (line, wanted) in told.iter().zip([
            "connection refused, peer: 0.0.0.2:65535, user: -, reason: no PROXY header, count: 1",
            "TLS handshake failed, peer: 0.0.0.2:65535, user: -, reason: no TLS, count: 1",
            "control refused a call, peer: 192.0.2.1:5, user: bob, reason: delPort: for",
            "control refused a call, peer: unix, process 5, user: carol",
        ]) {
            assert!(line.contains(wanted) && !line.contains("status"), "{line}");
        }
        assert_eq!(told.len(), 4);
    }
}

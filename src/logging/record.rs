//! A record's way: filtered where it is made, stamped with its time and thread,
//! queued, and written on the logging thread.
//!
//! The stamp travels among the logger's values, because slog's records carry
//! neither time nor thread, and those of the writer are not theirs.

use std::{
    borrow::Cow,
    cell::RefCell,
    fmt::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};

use jiff::Timestamp;
use nix::unistd::gettid;
use slog::{Drain, KV as _, Key, Never, OwnedKVList, Record, Serializer, b, o, record};
use slog_async::{AsyncCore, AsyncGuard};

use super::{
    REOPENED,
    format::{Escaped, Event},
    handler::Handler,
    level::Level,
    loggers::Loggers,
};

/// The logger that our own records belong to.
pub(super) const OURS: &str = "etherws";

/// Records that wait at most: about a megabyte, and more than a burst of errors
/// from all ports at once.
pub(super) const QUEUE_RECORDS: usize = 4096;

/// Keys of the stamp; no other key begins with an `@`.
const TIME: &str = "@time";
const THREAD: &str = "@thread";
const THREAD_NAME: &str = "@thread_name";

/// A record's logger: our own records have no tag, those of `log` their module.
fn name<'a>(record: &'a Record<'_>) -> Cow<'a, str> {
    match record.tag() {
        "" => OURS.into(),
        module if module.contains("::") => module.replace("::", ".").into(),
        name => name.into(),
    }
}

/// Lets through what some logger takes, so that the queue is not filled in vain.
#[derive(Debug)]
pub(super) struct Filter<D> {
    /// What is below is never written, whatever the loggers say.
    pub(super) least: Level,
    pub(super) loggers: Arc<Loggers>,
    pub(super) drain: D,
}

impl<D: Drain<Ok = (), Err = Never>> Drain for Filter<D> {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let level = Level::from(record.level());
        if level >= self.least && self.loggers.takes(&name(record), level) {
            self.drain.log(record, values)?;
        }
        Ok(())
    }

    fn is_enabled(&self, level: slog::Level) -> bool {
        let level = Level::from(level);
        level >= self.least && self.loggers.takes(OURS, level)
    }
}

/// Adds when and in which thread a record is made.
#[derive(Debug)]
pub(super) struct Stamp<D>(pub(super) D);

impl<D: Drain> Drain for Stamp<D> {
    type Ok = D::Ok;
    type Err = D::Err;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<D::Ok, D::Err> {
        let stamp = o!(
            values.clone(),
            TIME => Timestamp::now().as_microsecond(),
            THREAD => gettid().as_raw(),
            THREAD_NAME => thread::current().name().unwrap_or_default().to_owned(),
        );
        self.0.log(record, &stamp.into())
    }
}

/// Hands records over to the logging thread, or drops and counts them when too
/// many wait. In place of slog-async's own front, which counts some of them twice.
pub(super) struct Queue {
    core: AsyncCore,
    dropped: AtomicUsize,
}

impl Queue {
    /// `drain` runs on the logging thread, which ends when the guard is dropped.
    pub(super) fn new<D>(drain: D) -> (Self, AsyncGuard)
    where
        D: Drain<Ok = (), Err = Never> + Send + 'static,
    {
        let core = AsyncCore::custom(drain).chan_size(QUEUE_RECORDS).thread_name("log".into());
        let (core, guard) = core.build_with_guard();
        (Self { core, dropped: AtomicUsize::new(0) }, guard)
    }
}

impl Drain for Queue {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let dropped = self.dropped.swap(0, Relaxed);
        if dropped > 0 {
            let text = format_args!("log records were dropped: more came than could be written");
            let reported = self.core.log(
                &record!(slog::Level::Warning, "", &text, b!("count" => dropped)),
                &o!().into(),
            );
            if reported.is_err() {
                self.dropped.fetch_add(dropped, Relaxed);
            }
        }
        // Only fails when full.
        if self.core.log(record, values).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
        Ok(())
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("dropped", &self.dropped).finish_non_exhaustive()
    }
}

/// Turns records into lines for the handlers. Runs on the logging thread.
#[derive(Debug)]
pub(super) struct Writer {
    loggers: Arc<Loggers>,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    handlers: Vec<Handler>,
    line: String,
    /// [`REOPENED`] when the files were opened last.
    reopened: u32,
}

impl Writer {
    pub(super) fn new(loggers: Arc<Loggers>, handlers: Vec<Handler>) -> Self {
        Self {
            loggers,
            state: RefCell::new(State {
                handlers,
                line: String::new(),
                reopened: REOPENED.load(Relaxed),
            }),
        }
    }
}

impl Drain for Writer {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let mut seen = Values::default();
        // Neither fails: both only write into memory.
        let _ = record.kv().serialize(record, &mut seen);
        let _ = values.serialize(record, &mut seen);
        let name = name(record);
        let message = seen.message(record);
        let event = Event {
            created: seen.created(),
            thread: seen.thread,
            thread_name: &seen.thread_name,
            name: &name,
            level: record.level().into(),
            file: record.file(),
            line: record.line(),
            message: &message,
        };
        let State { handlers, line, reopened } = &mut *self.state.borrow_mut();
        let now = REOPENED.load(Relaxed);
        if std::mem::replace(reopened, now) != now {
            handlers.iter_mut().for_each(Handler::reopen);
        }
        self.loggers.each_handler(&name, |index| {
            if let Some(handler) = handlers.get_mut(index) {
                handler.handle(&event, line);
            }
        });
        Ok(())
    }
}

/// The values of a record and of its logger.
#[derive(Debug, Default)]
struct Values {
    time: Option<i64>,
    thread: i64,
    thread_name: String,
    /// `key: value`, the last first.
    pairs: Vec<String>,
}

impl Values {
    fn created(&self) -> Timestamp {
        let stamped = self.time.and_then(|time| Timestamp::from_microsecond(time).ok());
        stamped.unwrap_or_else(Timestamp::now)
    }

    /// The message and the pairs, on one line.
    fn message(&self, record: &Record<'_>) -> String {
        let mut text = String::new();
        let _ = write!(Escaped(&mut text), "{}", record.msg());
        for pair in self.pairs.iter().rev() {
            text.push_str(", ");
            text.push_str(pair);
        }
        text
    }
}

impl Serializer for Values {
    fn emit_i64(&mut self, key: Key, value: i64) -> slog::Result {
        if key == TIME {
            self.time = Some(value);
            return Ok(());
        }
        self.emit_arguments(key, &format_args!("{value}"))
    }

    fn emit_i32(&mut self, key: Key, value: i32) -> slog::Result {
        if key == THREAD {
            self.thread = value.into();
            return Ok(());
        }
        self.emit_arguments(key, &format_args!("{value}"))
    }

    fn emit_str(&mut self, key: Key, value: &str) -> slog::Result {
        if key == THREAD_NAME {
            value.clone_into(&mut self.thread_name);
            return Ok(());
        }
        self.emit_arguments(key, &format_args!("{value}"))
    }

    /// A value that is not there is left out.
    fn emit_none(&mut self, _key: Key) -> slog::Result {
        Ok(())
    }

    fn emit_arguments(&mut self, key: Key, value: &fmt::Arguments<'_>) -> slog::Result {
        let mut pair = format!("{key}: ");
        write!(Escaped(&mut pair), "{value}")?;
        self.pairs.push(pair);
        Ok(())
    }
}

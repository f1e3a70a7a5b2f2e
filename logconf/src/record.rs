//! A record's path: filtered where it is made, stamped with its time and thread,
//! queued, and written on the logging thread.
//!
//! The stamp travels among the logger's values, because slog's records carry
//! neither time nor thread, and those of the writer are not theirs.

use std::{
    borrow::Cow,
    cell::RefCell,
    fmt::{self, Write as _},
    sync::Arc,
    thread,
};

use jiff::Timestamp;
use nix::unistd::gettid;
use slog::{Drain, KV as _, Key, Never, OwnedKVList, Record, Serializer, o};

use crate::{
    Reopen,
    format::{Escaped, Event},
    handler::Handler,
    loggers::Loggers,
};

/// Keys of the stamp; no other key begins with an `@`.
const TIME: &str = "@time";
const THREAD: &str = "@thread";
const THREAD_NAME: &str = "@thread_name";

/// The name of a record's logger: `own` without a tag; records of the `log` crate have
/// their module as tag.
fn name<'a>(own: &'a str, record: &'a Record<'_>) -> Cow<'a, str> {
    match record.tag() {
        "" => own.into(),
        module if module.contains("::") => module.replace("::", ".").into(),
        name => name.into(),
    }
}

/// Lets through what some logger takes, so that the rest does not fill the queue.
#[derive(Debug)]
pub(crate) struct Filter<D> {
    /// What is below is never written, whatever the loggers say.
    pub(crate) least: slog::Level,
    /// The logger of records without a tag.
    pub(crate) own: String,
    pub(crate) loggers: Arc<Loggers>,
    pub(crate) drain: D,
}

impl<D: Drain<Ok = (), Err = Never>> Drain for Filter<D> {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let level = record.level();
        if level.is_at_least(self.least)
            && self.loggers.takes(&name(&self.own, record), level.into())
        {
            self.drain.log(record, values)?;
        }
        Ok(())
    }

    fn is_enabled(&self, level: slog::Level) -> bool {
        level.is_at_least(self.least) && self.loggers.takes(&self.own, level.into())
    }
}

/// Adds when and in which thread a record is made.
#[derive(Debug)]
pub(crate) struct Stamp<D>(pub(crate) D);

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

/// Turns records into lines for the handlers. Runs on the logging thread.
#[derive(Debug)]
pub(crate) struct Writer {
    /// The logger of records without a tag.
    pub(crate) own: String,
    pub(crate) loggers: Arc<Loggers>,
    pub(crate) handlers: RefCell<Vec<Handler>>,
    pub(crate) reopen: Reopen,
}

impl Drain for Writer {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let mut seen = Values::default();
        // Neither fails: both only write into memory.
        let _ = record.kv().serialize(record, &mut seen);
        let _ = values.serialize(record, &mut seen);
        let name = name(&self.own, record);
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
        let mut handlers = self.handlers.borrow_mut();
        if self.reopen.take() {
            handlers.iter_mut().for_each(Handler::reopen);
        }
        let mut line = String::new();
        self.loggers.each_handler(&name, |index| {
            if let Some(handler) = handlers.get_mut(index) {
                handler.handle(&event, &mut line);
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

    /// A missing value is left out.
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

#[cfg(test)]
mod tests {
    use std::fs;

    use slog::{debug, error, info};
    use tempfile::TempDir;

    use super::*;
    use crate::{Config, Opened};

    const CONF: &str = "[loggers]\nkeys=root,etherws\n[handlers]\nkeys=all,ours\n\
        [formatters]\nkeys=line\n\
        [logger_root]\nlevel=INFO\nhandlers=all\n\
        [logger_etherws]\nlevel=DEBUG\nhandlers=ours\nqualname=etherws\n\
        [handler_all]\nclass=FileHandler\nargs=('DIR/all',)\nformatter=line\n\
        [handler_ours]\nclass=FileHandler\nlevel=ERROR\nargs=('DIR/ours',)\n\
        [formatter_line]\nformat=%(levelname)s %(name)s %(threadName)s %(filename)s %(message)s\n";

    fn open(dir: &TempDir, least: slog::Level) -> Opened {
        let text = CONF.replace("DIR", dir.path().to_str().unwrap());
        text.parse::<Config>().unwrap().open("etherws", least).unwrap()
    }

    fn content(dir: &TempDir, name: &str) -> String {
        fs::read_to_string(dir.path().join(name)).unwrap()
    }

    #[test]
    fn records_reach_the_handlers_of_their_loggers() {
        let dir = tempfile::tempdir().unwrap();
        let Opened { log, guard, .. } = open(&dir, slog::Level::Info);
        let port = log.new(o!("port" => 3));
        let thread = thread::Builder::new().name("worker".into());
        let write = move || {
            info!(port, "connected"; "peer" => "a\nb", "user" => None::<String>, "tls" => true);
            error!(port, "lost");
            debug!(port, "frame");
        };
        thread.spawn(write).unwrap().join().unwrap();
        drop(guard);
        info!(log, "nobody reads this, and nobody minds");
        assert_eq!(
            content(&dir, "all"),
            "INFO etherws worker record.rs connected, port: 3, peer: a\\nb, tls: true\n\
             ERROR etherws worker record.rs lost, port: 3\n"
        );
        assert_eq!(content(&dir, "ours"), "lost, port: 3\n");
    }

    #[test]
    fn debug_records_need_debug() {
        let dir = tempfile::tempdir().unwrap();
        let Opened { log, guard, .. } = open(&dir, slog::Level::Debug);
        assert!(log.is_debug_enabled());
        debug!(log, "frame");
        drop(guard);
        assert!(content(&dir, "all").ends_with("record.rs frame\n"));
        let Opened { log, guard: _guard, .. } = open(&dir, slog::Level::Info);
        assert!(!log.is_debug_enabled() && log.is_info_enabled());
    }

    #[test]
    fn files_are_opened_again_when_it_is_requested() {
        let dir = tempfile::tempdir().unwrap();
        let Opened { log, reopen, guard } = open(&dir, slog::Level::Info);
        fs::rename(dir.path().join("ours"), dir.path().join("old")).unwrap();
        reopen.request();
        error!(log, "one");
        drop(guard);
        assert_eq!((content(&dir, "old").as_str(), content(&dir, "ours").as_str()), ("", "one\n"));
    }
}

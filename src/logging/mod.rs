//! Logging: slog's records to the terminal, or to where `--logconf` says.
//!
//! All writing happens on one thread behind a bounded queue: when a disk or a
//! terminal is slow, records are dropped and their number is logged, and the switch
//! never waits. Records of the `log` crate come in under their module's name, and
//! panics as critical records.

pub(crate) mod conf;
mod file;
mod format;
mod handler;
mod ini;
mod level;
mod literal;
mod loggers;
mod record;
mod syslog;

use std::{
    env,
    io::{self, IsTerminal as _},
    panic,
    path::PathBuf,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc,
    },
    thread,
    time::Duration,
};

use anyhow::Context as _;
use jiff::Zoned;
use slog::{Drain as _, Logger, crit, o};
use slog_async::AsyncGuard;
use slog_term::{FullFormat, TermDecorator};

use self::{
    conf::Conf,
    level::Level,
    loggers::{Logger as Node, Loggers},
    record::{Filter, Queue, Stamp, Writer},
};

/// How long the end of the program waits for a log that cannot be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// How to log.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Whether records below INFO are written at all.
    pub(crate) debug: bool,
    /// Whether there is a standard error to write to, without `conf`.
    pub(crate) foreground: bool,
    /// `--logconf`: what is written where.
    pub(crate) conf: Option<PathBuf>,
}

/// How often files were to be opened anew; each writer compares it with what it knows.
static REOPENED: AtomicU32 = AtomicU32::new(0);

/// Has log files opened by their names again before the next record: whoever rotates
/// them has renamed the old ones.
pub(crate) fn reopen() {
    REOPENED.fetch_add(1, Relaxed);
}

/// Dropped at the end of the program, it waits until everything is written.
#[must_use = "dropped, it ends logging"]
pub(crate) struct Guard(Option<AsyncGuard>);

/// Starts logging, once for the process.
///
/// # Errors
/// What is wrong with the configuration: its file, and the line, or the section
/// and the key.
pub(crate) fn init(options: &Options) -> anyhow::Result<(Logger, Guard)> {
    LazyLock::force(&format::STARTED);
    let least = if options.debug { Level::DEBUG } else { Level::INFO };
    let (log, guard, foreign) = match &options.conf {
        Some(path) => {
            let (log, guard) = configured(conf::load(path)?, least);
            (log, guard, least)
        }
        None if options.foreground => {
            let (queue, guard) = Queue::new(terminal().ignore_res());
            let loggers = Arc::new(of_terminal(least));
            (Logger::root(Filter { least, loggers, drain: queue }, o!()), guard, Level::WARNING)
        }
        None => return Ok((Logger::root(slog::Discard, o!()), Guard(None))),
    };

    // Never reset: what another thread still logs at the end must find a logger.
    slog_scope::set_global_logger(log.clone()).cancel_reset();
    slog_stdlog::init().context("logging is started twice")?;
    log::set_max_level(match foreign {
        Level::DEBUG => log::LevelFilter::Debug,
        Level::INFO => log::LevelFilter::Info,
        _ => log::LevelFilter::Warn,
    });
    log_panics(log.clone());
    Ok((log, Guard(Some(guard))))
}

/// Checks the configuration at `path`, without opening what it writes to.
///
/// # Errors
/// As [`init`].
pub(crate) fn check(path: &std::path::Path) -> anyhow::Result<()> {
    conf::load(path).map(drop)
}

/// Writes what `conf` says, and nothing below `least`.
fn configured(conf: Conf, least: Level) -> (Logger, AsyncGuard) {
    let loggers = Arc::new(conf.loggers);
    let (queue, guard) = Queue::new(Writer::new(Arc::clone(&loggers), conf.handlers));
    (Logger::root(Filter { least, loggers, drain: Stamp(queue) }, o!()), guard)
}

/// Our own records from `least`, those of libraries from WARNING: what Python does
/// with a root logger that nobody has configured.
fn of_terminal(least: Level) -> Loggers {
    let node = |level| Node { level, handlers: Vec::new(), propagate: true };
    Loggers::new(node(Level::WARNING), vec![(record::OURS.into(), node(least))])
}

fn terminal() -> FullFormat<TermDecorator> {
    let plain =
        !io::stderr().is_terminal() || env::var_os("NO_COLOR").is_some_and(|no| !no.is_empty());
    let decorator = TermDecorator::new().stderr();
    let decorator = if plain { decorator.force_plain() } else { decorator };
    FullFormat::new(decorator.build())
        .use_original_order()
        .use_custom_timestamp(|out| write!(out, "{}", Zoned::now().strftime("%b %d %H:%M:%S%.3f")))
        .build()
}

/// Writes panics to the log: a daemon's standard error leads nowhere.
fn log_panics(log: Logger) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let thread = thread::current();
        crit!(log, "panicked";
            "thread" => thread.name().unwrap_or("unnamed"),
            "location" => info.location().map(ToString::to_string),
            "message" => info.payload_as_str().unwrap_or("not a text"));
        // Asked for a backtrace, the standard hook is the one that writes it.
        if env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
            before(info);
        }
    }));
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(guard) = self.0.take() else { return };
        let (flushed, wait) = mpsc::channel();
        thread::spawn(move || {
            drop(guard);
            // The receiver may have gone: then nobody waits.
            let _ = flushed.send(());
        });
        let _ = wait.recv_timeout(FLUSH_TIMEOUT);
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use slog::{debug, error, info};
    use tempfile::TempDir;

    use super::*;

    const CONF: &str = "[loggers]\nkeys=root,etherws\n[handlers]\nkeys=all,ours\n\
        [formatters]\nkeys=line\n\
        [logger_root]\nlevel=INFO\nhandlers=all\n\
        [logger_etherws]\nlevel=DEBUG\nhandlers=ours\nqualname=etherws\n\
        [handler_all]\nclass=FileHandler\nargs=('DIR/all',)\nformatter=line\n\
        [handler_ours]\nclass=FileHandler\nlevel=ERROR\nargs=('DIR/ours',)\n\
        [formatter_line]\nformat=%(levelname)s %(name)s %(threadName)s %(filename)s %(message)s\n";

    fn conf(dir: &TempDir) -> PathBuf {
        let path = dir.path().join("conf");
        fs::write(&path, CONF.replace("DIR", dir.path().to_str().unwrap())).unwrap();
        path
    }

    fn content(dir: &TempDir, name: &str) -> String {
        fs::read_to_string(dir.path().join(name)).unwrap()
    }

    #[test]
    fn records_reach_the_handlers_of_their_loggers() {
        let dir = tempfile::tempdir().unwrap();
        let (log, guard) = configured(conf::load(&conf(&dir)).unwrap(), Level::INFO);
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
            "INFO etherws worker mod.rs connected, port: 3, peer: a\\nb, tls: true\n\
             ERROR etherws worker mod.rs lost, port: 3\n"
        );
        assert_eq!(content(&dir, "ours"), "lost, port: 3\n");
    }

    #[test]
    fn debug_records_need_debug() {
        let dir = tempfile::tempdir().unwrap();
        let (log, guard) = configured(conf::load(&conf(&dir)).unwrap(), Level::DEBUG);
        assert!(log.is_debug_enabled());
        debug!(log, "frame");
        drop(guard);
        assert!(content(&dir, "all").ends_with("mod.rs frame\n"));
        let (log, _guard) = configured(conf::load(&conf(&dir)).unwrap(), Level::INFO);
        assert!(!log.is_debug_enabled() && log.is_info_enabled());
    }

    /// A terminal that nobody reads.
    struct Stalled(mpsc::Receiver<()>, mpsc::Sender<String>);

    impl slog::Drain for Stalled {
        type Ok = ();
        type Err = slog::Never;

        fn log(
            &self,
            record: &slog::Record<'_>,
            values: &slog::OwnedKVList,
        ) -> Result<(), slog::Never> {
            let _ = self.0.recv();
            let mut all = format!("{:?}", record.msg());
            let mut add =
                |key: &str, value: &dyn ToString| all += &format!(" {key}={}", value.to_string());
            let mut pairs = Pairs(&mut add);
            slog::KV::serialize(values, record, &mut pairs).unwrap();
            slog::KV::serialize(&record.kv(), record, &mut pairs).unwrap();
            let _ = self.1.send(all);
            Ok(())
        }
    }

    struct Pairs<'a>(&'a mut dyn FnMut(&str, &dyn ToString));

    impl slog::Serializer for Pairs<'_> {
        fn emit_arguments(
            &mut self,
            key: slog::Key,
            value: &std::fmt::Arguments<'_>,
        ) -> slog::Result {
            (self.0)(key, value);
            Ok(())
        }
    }

    #[test]
    fn stalled_log_drops_and_counts_instead_of_waiting() {
        let (go, wait) = mpsc::channel();
        let (written, lines) = mpsc::channel();
        let (queue, guard) = Queue::new(Stalled(wait, written));
        let log = Logger::root(queue, o!());
        for number in 0..record::QUEUE_RECORDS + 100 {
            info!(log, "{number}");
        }
        // Nothing is waited for from here on.
        drop(go);
        assert_eq!(lines.recv().unwrap(), "0");
        while lines.recv().unwrap() != (record::QUEUE_RECORDS - 1).to_string() {}
        info!(log, "after");
        drop(guard);
        let rest: Vec<_> = lines.try_iter().collect();
        let report = rest.iter().find(|line| line.contains("dropped")).unwrap();
        let count: usize = report.rsplit('=').next().unwrap().parse().unwrap();
        // One record may be on its way to the terminal.
        assert!((99..=100).contains(&count), "{report}");
        assert_eq!(rest.last().unwrap(), "after");
    }

    #[test]
    fn libraries_and_panics_are_logged() {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { debug: false, foreground: false, conf: Some(conf(&dir)) };
        let (log, guard) = init(&options).unwrap();
        log::info!(target: "actix_server::worker", "starting");
        log::debug!("not written");
        let thread = thread::Builder::new().name("arbiter".into());
        thread.spawn(|| panic!("no\nway")).unwrap().join().unwrap_err();
        drop(panic::take_hook());
        drop((log, guard));
        let all = content(&dir, "all");
        let lines: Vec<_> = all.lines().collect();
        assert_eq!(lines.len(), 2, "{all}");
        assert!(lines[0].starts_with("INFO actix_server.worker "), "{all}");
        assert!(lines[0].ends_with("mod.rs starting"), "{all}");
        assert!(lines[1].starts_with("CRITICAL etherws arbiter mod.rs panicked, thread: arbiter, location: src/logging/mod.rs:"), "{all}");
        assert!(lines[1].ends_with(r", message: no\nway"), "{all}");
        assert!(init(&options).is_err(), "once for the process");
    }
}

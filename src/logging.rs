//! Logging: slog's records to the terminal, or to where `--logconf` says
//! (`etherws_logconf`, which says how a record gets there).
//!
//! All writing happens on one thread behind a bounded queue: the switch never waits for a
//! disk or a terminal. Records of the `log` crate come in under their module's name, and
//! panics as critical records.

use std::{
    env,
    io::{self, IsTerminal as _},
    panic,
    path::{Path, PathBuf},
    sync::OnceLock,
    thread,
};

use anyhow::Context as _;
use etherws_logconf::{Config, Guard, Opened, Queue, Reopen};
use jiff::Zoned;
use nix::sys::stat::fstat;
use slog::{Drain as _, Level, LevelFilter, Logger, crit, o};
use slog_term::{FullFormat, PlainDecorator, TermDecorator};

/// Packages whose records are of what is told by us, in our words: strangers' requests, which
/// are counted, and certificates that are refused, which the port gives as its reason.
const OTHERS_TELL: [&str; 2] = ["actix_http", "rustls_platform_verifier"];

/// How to log.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Whether records below INFO are written at all.
    pub(crate) debug: bool,
    /// Whether there is a standard error to write to, without `conf`; otherwise the system's log
    /// is.
    pub(crate) foreground: bool,
    /// `--logconf`: what is written where.
    pub(crate) conf: Option<PathBuf>,
}

/// Where journald or a syslog server listens. Where neither does, as in most containers, a
/// daemon logs nowhere.
const SYSTEM_LOG: &str = "/dev/log";

/// Where a daemon logs unless told otherwise: the system's log, be it journald's or a syslog
/// server's.
const SYSLOG: &str = "
[loggers]
keys=root
[handlers]
keys=system
[formatters]
keys=line
[logger_root]
level=INFO
handlers=system
[handler_system]
class=handlers.SysLogHandler
args=('/dev/log', handlers.SysLogHandler.LOG_DAEMON)
formatter=line
[formatter_line]
format=etherws[%(process)d]: %(message)s
";

/// Set once logging is configured by a file.
static REOPEN: OnceLock<Reopen> = OnceLock::new();

/// Has log files opened by their names again before the next record: whoever rotates
/// them has renamed the old ones.
pub(crate) fn reopen() {
    if let Some(reopen) = REOPEN.get() {
        reopen.request();
    }
}

/// Starts logging, once for the process. The guard, dropped at its end, waits until
/// everything is written.
///
/// # Errors
/// What is wrong with the configuration: its file, and the line, or the section
/// and the key. A log file that cannot be opened.
pub(crate) fn init(options: &Options) -> anyhow::Result<(Logger, Option<Guard>)> {
    let least = if options.debug { Level::Debug } else { Level::Info };
    let is_ours = |record: &slog::Record<'_>| {
        !OTHERS_TELL.iter().any(|module| record.tag().starts_with(module))
    };
    let (log, guard, of_libraries) = match &options.conf {
        Some(path) => {
            let Opened { log, reopen, guard } = Config::read(path)?.open("etherws", least)?;
            // Fails the second time, as the next step does.
            let _ = REOPEN.set(reopen);
            (Logger::root(log.filter(is_ours).ignore_res(), o!()), Some(guard), least)
        }
        None if options.foreground => {
            let (queue, guard) = if to_journal() {
                Queue::new(journal().ignore_res())
            } else {
                Queue::new(terminal().ignore_res())
            };
            // What Python does with a root logger that nobody has configured.
            let of_libraries = Level::Warning;
            let taken = move |record: &slog::Record<'_>| {
                let is_loud = record.level().is_at_least(of_libraries) && is_ours(record);
                record.tag().is_empty() || is_loud
            };
            let drain = LevelFilter::new(queue.filter(taken), least).ignore_res();
            (Logger::root(drain, o!()), Some(guard), of_libraries)
        }
        // Nobody sees a daemon's standard error, and while it starts it would be cut short.
        None if !Path::new(SYSTEM_LOG).exists() => {
            (Logger::root(slog::Discard, o!()), None, Level::Warning)
        }
        None => {
            let Opened { log, guard, .. } = SYSLOG.parse::<Config>()?.open("etherws", least)?;
            (log, Some(guard), Level::Warning)
        }
    };

    // Never reset: what another thread still logs at the end must find a logger.
    slog_scope::set_global_logger(log.clone()).cancel_reset();
    slog_stdlog::init().context("logging is started twice")?;
    log::set_max_level(match of_libraries {
        Level::Debug => log::LevelFilter::Debug,
        Level::Info => log::LevelFilter::Info,
        _ => log::LevelFilter::Warn,
    });
    log_panics(log.clone());
    Ok((log, guard))
}

/// Checks the configuration at `path`. Opens nothing that it names.
///
/// # Errors
/// What is wrong with it, as [`init`].
pub(crate) fn check(path: &Path) -> anyhow::Result<()> {
    Config::read(path)?;
    Ok(())
}

/// Whether standard error leads to journald, by device and inode as systemd tells them
/// (systemd.exec(5)).
fn to_journal() -> bool {
    let stream = env::var("JOURNAL_STREAM").ok();
    let own = fstat(io::stderr()).map(|stat| format!("{}:{}", stat.st_dev, stat.st_ino));
    stream.is_some_and(|stream| own.is_ok_and(|own| own == stream))
}

/// For journald, which has the time itself, and takes the priority from the line's beginning
/// (sd-daemon(3)).
fn journal() -> FullFormat<PlainDecorator<io::Stderr>> {
    let priority = |level| match level {
        Level::Critical => 2,
        Level::Error => 3,
        Level::Warning => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    };
    FullFormat::new(PlainDecorator::new(io::stderr()))
        .use_original_order()
        .use_custom_header_print(move |_, out, record, _| {
            write!(out, "<{}>{}", priority(record.level()), record.msg())?;
            Ok(true)
        })
        .build()
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const CONF: &str = "[loggers]\nkeys=root\n[handlers]\nkeys=all\n[formatters]\nkeys=line\n\
        [logger_root]\nlevel=INFO\nhandlers=all\n\
        [handler_all]\nclass=FileHandler\nargs=('DIR/all',)\nformatter=line\n\
        [formatter_line]\nformat=%(levelname)s %(name)s %(threadName)s %(filename)s %(message)s\n";

    #[test]
    fn libraries_and_panics_are_logged() {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("conf");
        fs::write(&conf, CONF.replace("DIR", dir.path().to_str().unwrap())).unwrap();
        let options = Options { debug: false, foreground: false, conf: Some(conf) };
        let (log, guard) = init(&options).unwrap();
        log::info!(target: "actix_server::worker", "starting");
        log::debug!("not written");
        log::error!(target: "actix_http::h1::dispatcher", "stream error: a stranger's");
        let thread = thread::Builder::new().name("arbiter".into());
        thread.spawn(|| panic!("no\nway")).unwrap().join().unwrap_err();
        drop(panic::take_hook());
        drop((log, guard));
        let all = fs::read_to_string(dir.path().join("all")).unwrap();
        let lines: Vec<_> = all.lines().collect();
        assert_eq!(lines.len(), 2, "{all}");
        assert!(lines[0].starts_with("INFO actix_server.worker "), "{all}");
        assert!(lines[0].ends_with("logging.rs starting"), "{all}");
        assert!(lines[1].starts_with("CRITICAL etherws arbiter logging.rs panicked, thread: arbiter, location: src/logging.rs:"), "{all}");
        assert!(lines[1].ends_with(r", message: no\nway"), "{all}");
        assert!(init(&options).is_err(), "once for the process");
    }
}

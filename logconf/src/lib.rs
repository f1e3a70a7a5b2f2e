//! Python's `logging.config.fileConfig` for [`slog`]: an INI file says which loggers,
//! handlers and formatters there are, and records go there.
//!
//! ```
//! use etherws_logconf::{Config, Opened};
//!
//! let text = "
//! [loggers]
//! keys=root
//! [handlers]
//! keys=console
//! [formatters]
//! keys=line
//! [logger_root]
//! level=INFO
//! handlers=console
//! [handler_console]
//! class=StreamHandler
//! args=(sys.stderr,)
//! formatter=line
//! [formatter_line]
//! format=%(asctime)s %(levelname)-8s %(name)s %(message)s
//! ";
//! // Or Config::read(path). Nothing is opened yet, so this is also how to check a file.
//! let config: Config = text.parse()?;
//! let Opened { log, reopen, guard } = config.open("app", slog::Level::Info)?;
//! slog::info!(log, "connected"; "peer" => "192.0.2.7");
//! reopen.request(); // After somebody has rotated the files.
//! drop(guard); // Writes what is still queued.
//! # Ok::<(), etherws_logconf::Error>(())
//! ```
//!
//! # A record's path
//!
//! 1. `record::Filter` drops what no logger takes, on the thread that logs.
//! 2. `record::Stamp` adds time and thread; [`Queue`] hands it to the logging thread. The
//!    queue is bounded: when a disk is slow, records are dropped and counted, and nobody
//!    waits.
//! 3. `record::Writer` finds the handlers (`loggers`), makes a line (`format`), and writes
//!    it (`handler`, with `file` and `syslog`).
//!
//! # What is understood
//!
//! Handlers: `StreamHandler`, `FileHandler`, `NullHandler`, and of `logging.handlers`
//! `WatchedFileHandler`, `RotatingFileHandler`, `TimedRotatingFileHandler` and
//! `SysLogHandler`. Formatters: style `%`. Of Python's expressions in `args` and `kwargs`
//! only literals, products of integers, and names such as `sys.stderr`: nothing is
//! evaluated. Anything else is an error that names the section and the key.
#![warn(missing_docs)]

mod config;
mod file;
mod format;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod handler;
mod ini;
mod level;
mod literal;
mod loggers;
mod queue;
mod record;
mod syslog;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

pub use self::{
    config::Config,
    queue::{Guard, Queue},
};

/// What [`Config::open`] gives.
#[derive(Debug)]
pub struct Opened {
    /// Its records go to the handlers. It and its clones may outlive `guard`; what is
    /// logged after that is dropped.
    pub log: slog::Logger,
    /// Has the log files opened again.
    pub reopen: Reopen,
    /// Keeps the logging thread. Dropped, it waits until everything is written.
    pub guard: Guard,
}

/// Has log files opened by their names again, after a program such as logrotate has
/// renamed them.
#[derive(Debug, Clone, Default)]
pub struct Reopen(Arc<AtomicBool>);

impl Reopen {
    /// The files are opened again before the next record is written.
    pub fn request(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether it was requested since the last call.
    fn take(&self) -> bool {
        self.0.swap(false, Relaxed)
    }
}

/// Why a configuration cannot be read or opened: one line that names the file, the section
/// and the key, or the line.
#[derive(Debug)]
pub struct Error(anyhow::Error);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        fmt::write(&mut format::Escaped(&mut line), format_args!("{:#}", self.0))?;
        f.write_str(&line)
    }
}

/// The text has all causes, so there is no `source`.
impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_is_one_line_with_its_causes() {
        let error = Error(anyhow::anyhow!("no\nsuch").context("file a"));
        assert_eq!(error.to_string(), r"file a: no\nsuch");
    }
}

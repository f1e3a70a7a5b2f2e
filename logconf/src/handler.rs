//! Handlers: where lines go. Each has its level, its format and its target.
//!
//! They run only on the logging thread. The first of several failed writes is reported on
//! standard error; logging goes on.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    vec,
};

use anyhow::{Context as _, bail};

use crate::{
    file::{LogFile, Policy, Schedule, When},
    format::{Event, Format},
    level::Level,
    literal::Literal,
    syslog::{Address, FACILITIES, Syslog},
};

/// An open handler.
#[derive(Debug)]
pub(crate) struct Handler {
    /// How reports of its failures begin: the program, and the handler's name.
    pub(crate) label: String,
    pub(crate) level: Level,
    pub(crate) format: Format,
    pub(crate) output: Output,
    /// Whether the last write failed, so that only the first failure is reported.
    pub(crate) failing: bool,
}

/// What a handler writes to, as configured: nothing is open yet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Null,
    Stream(Stream),
    File { path: PathBuf, truncate: bool, policy: Policy },
    Syslog { address: Address, facility: u8 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stderr,
    Stdout,
}

/// What a handler writes to.
#[derive(Debug)]
pub(crate) enum Output {
    Null,
    Stream(Stream),
    File(LogFile),
    Syslog(Syslog),
}

impl Handler {
    /// Opens a file by its name again; writing goes on in the old one if that fails.
    pub(crate) fn reopen(&mut self) {
        if let Output::File(file) = &mut self.output
            && let Err(error) = file.reopen()
        {
            let _ = writeln!(io::stderr(), "{} cannot reopen its file: {error}", self.label);
        }
    }

    /// Writes the event, if its level is high enough. `line` is scratch space.
    pub(crate) fn handle(&mut self, event: &Event<'_>, line: &mut String) {
        if event.level < self.level {
            return;
        }
        line.clear();
        self.format.write(event, line);
        let result = match &mut self.output {
            Output::Null => Ok(()),
            Output::Syslog(syslog) => syslog.write(event.level, line),
            Output::Stream(stream) => {
                line.push('\n');
                match stream {
                    Stream::Stderr => io::stderr().write_all(line.as_bytes()),
                    Stream::Stdout => {
                        let mut stdout = io::stdout().lock();
                        stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush())
                    }
                }
            }
            Output::File(file) => {
                line.push('\n');
                file.write(line.as_bytes(), event.created)
            }
        };
        if let Err(error) = &result
            && !self.failing
        {
            // Where this cannot be written either, there is no way left to report it.
            let _ = writeln!(io::stderr(), "{} cannot write: {error}", self.label);
        }
        self.failing = result.is_err();
    }
}

impl Target {
    /// The target of a handler of this class with these arguments.
    ///
    /// # Errors
    /// A class or an argument that is not supported, by name.
    pub(crate) fn parse(class: &str, mut args: Args) -> anyhow::Result<Self> {
        let short = class.strip_prefix("logging.").unwrap_or(class);
        let short = short.strip_prefix("handlers.").unwrap_or(short);
        let target = match short {
            "NullHandler" => Self::Null,
            "StreamHandler" => Self::Stream(args.stream()?),
            "FileHandler" | "WatchedFileHandler" => {
                let (path, truncate) = (args.path()?, args.truncate()?);
                let policy = if short == "FileHandler" { Policy::Keep } else { Policy::Watch };
                args.skip_file_options()?;
                Self::File { path, truncate, policy }
            }
            "RotatingFileHandler" => {
                let (path, truncate) = (args.path()?, args.truncate()?);
                let octets = args.number("maxBytes", 0)?;
                let backups = args.number("backupCount", 0)?;
                args.skip_file_options()?;
                // What is emptied at each start would never be rotated.
                let truncate = truncate && octets == 0;
                Self::File { path, truncate, policy: Policy::Size { octets, backups } }
            }
            "TimedRotatingFileHandler" => {
                let path = args.path()?;
                let when = args.string("when", "h")?;
                let when = When::parse(&when).with_context(|| {
                    format!("when {when:?} is not valid; use S, M, H, D, midnight or W0 to W6")
                })?;
                let interval = args.number("interval", 1)?;
                if interval == 0 {
                    bail!("interval 0 is out of range; the minimum is 1");
                }
                let backups = args.number("backupCount", 0)?;
                args.encoding()?;
                args.next("delay")?;
                let utc = args.flag("utc")?;
                if args.next("atTime")?.is_some() {
                    bail!("atTime is not supported; leave it out for midnight");
                }
                args.next("errors")?;
                let schedule = Schedule { when, interval, utc };
                Self::File { path, truncate: false, policy: Policy::Time { schedule, backups } }
            }
            "SysLogHandler" => {
                let address = args.next("address")?;
                let facility = args.facility()?;
                let tcp = args.tcp()?;
                Self::Syslog { address: syslog_address(address, tcp)?, facility }
            }
            _ => bail!(
                "class {class} is not supported; use StreamHandler, FileHandler, \
                 NullHandler, or handlers.WatchedFileHandler, RotatingFileHandler, \
                 TimedRotatingFileHandler or SysLogHandler"
            ),
        };
        args.finish()?;
        Ok(target)
    }

    /// Opens it.
    ///
    /// # Errors
    /// The file cannot be opened, or the syslog server's host has no address.
    pub(crate) fn open(self) -> anyhow::Result<Output> {
        Ok(match self {
            Self::Null => Output::Null,
            Self::Stream(stream) => Output::Stream(stream),
            Self::File { path, truncate, policy } => Output::File(
                LogFile::open(&path, truncate, policy)
                    .with_context(|| format!("cannot open log file {}", path.display()))?,
            ),
            Self::Syslog { address, facility } => {
                let text = format!("cannot resolve syslog server {address:?}");
                Output::Syslog(Syslog::open(address, facility).context(text)?)
            }
        })
    }
}

fn syslog_address(address: Option<Literal>, tcp: bool) -> anyhow::Result<Address> {
    let remote = if tcp { Address::Tcp } else { Address::Udp };
    match address {
        None => Ok(remote("localhost".into(), 514)),
        Some(Literal::Str(path)) => Ok(Address::Unix(path.into())),
        Some(Literal::Tuple(pair)) => {
            let (host, port) = match <[Literal; 2]>::try_from(pair) {
                Ok([Literal::Str(host), Literal::Int(port)]) => (host, u16::try_from(port).ok()),
                Ok([Literal::Str(host), Literal::Name(name)]) => {
                    let name = name.trim_start_matches("logging.").trim_start_matches("handlers.");
                    let standard = matches!(name, "SYSLOG_UDP_PORT" | "SYSLOG_TCP_PORT");
                    (host, standard.then_some(514))
                }
                _ => bail!("address is not a ('host', port) tuple"),
            };
            Ok(remote(host, port.context("the port of address is not between 0 and 65535")?))
        }
        Some(other) => bail!("address {other} is not valid; write ('host', port) or '/dev/log'"),
    }
}

/// The arguments of a handler's class, taken in the order of its parameters.
#[derive(Debug, Default)]
pub(crate) struct Args {
    positional: vec::IntoIter<Literal>,
    keyword: Vec<(String, Literal)>,
}

impl Args {
    /// # Errors
    /// `args` is not a tuple, or `kwargs` not a dict.
    pub(crate) fn new(args: Literal, kwargs: Literal) -> anyhow::Result<Self> {
        let Literal::Tuple(positional) = args else {
            bail!("args {args} is not a tuple; write ({args},)");
        };
        let Literal::Dict(keyword) = kwargs else { bail!("kwargs {kwargs} is not a dict") };
        Ok(Self { positional: positional.into_iter(), keyword })
    }

    /// The argument for the next parameter, if it is given and not `None`.
    fn next(&mut self, name: &str) -> anyhow::Result<Option<Literal>> {
        let keyword = self.keyword.iter().position(|(key, _)| key == name);
        let keyword = keyword.map(|index| self.keyword.remove(index).1);
        let value = match (self.positional.next(), keyword) {
            (Some(_), Some(_)) => bail!("{name} is in both args and kwargs"),
            (positional, keyword) => positional.or(keyword),
        };
        Ok(value.filter(|value| *value != Literal::None))
    }

    fn finish(mut self) -> anyhow::Result<()> {
        if let Some(value) = self.positional.next() {
            bail!("unexpected argument {value}");
        }
        if let Some((name, _)) = self.keyword.first() {
            bail!("unknown argument {name}");
        }
        Ok(())
    }

    fn string(&mut self, name: &str, default: &str) -> anyhow::Result<String> {
        match self.next(name)? {
            None => Ok(default.into()),
            Some(Literal::Str(value)) => Ok(value),
            Some(other) => bail!("{name} {other} is not a string"),
        }
    }

    fn number<N: TryFrom<i64>>(&mut self, name: &str, default: i64) -> anyhow::Result<N> {
        let value = match self.next(name)? {
            None => default,
            Some(Literal::Int(value)) => value,
            Some(other) => bail!("{name} {other} is not a number"),
        };
        N::try_from(value).ok().with_context(|| format!("{name} {value} is out of range"))
    }

    fn flag(&mut self, name: &str) -> anyhow::Result<bool> {
        match self.next(name)? {
            None => Ok(false),
            Some(Literal::Bool(value)) => Ok(value),
            Some(Literal::Int(value)) => Ok(value != 0),
            Some(other) => bail!("{name} {other} is not a boolean; write True or False"),
        }
    }

    fn stream(&mut self) -> anyhow::Result<Stream> {
        match self.next("stream")? {
            None => Ok(Stream::Stderr),
            Some(Literal::Name(name)) if name == "sys.stderr" => Ok(Stream::Stderr),
            Some(Literal::Name(name)) if name == "sys.stdout" => Ok(Stream::Stdout),
            Some(other) => bail!("stream {other} is not supported; write sys.stderr or sys.stdout"),
        }
    }

    fn path(&mut self) -> anyhow::Result<PathBuf> {
        let path = self.string("filename", "")?;
        if path.is_empty() {
            bail!("filename is missing");
        }
        Ok(Path::new(&path).to_owned())
    }

    fn truncate(&mut self) -> anyhow::Result<bool> {
        match self.string("mode", "a")?.as_str() {
            "a" => Ok(false),
            "w" => Ok(true),
            other => {
                bail!("mode {other:?} is not supported; write 'a' to append or 'w' to truncate")
            }
        }
    }

    fn encoding(&mut self) -> anyhow::Result<()> {
        let encoding = self.string("encoding", "utf-8")?;
        if !matches!(encoding.to_lowercase().as_str(), "utf-8" | "utf8" | "utf_8") {
            bail!("encoding {encoding:?} is not supported; use utf-8");
        }
        Ok(())
    }

    /// A file is always opened at once, so that a mistake shows at the start.
    fn skip_file_options(&mut self) -> anyhow::Result<()> {
        self.encoding()?;
        self.next("delay")?;
        self.next("errors")?;
        Ok(())
    }

    fn facility(&mut self) -> anyhow::Result<u8> {
        let value = match self.next("facility")? {
            None => return Ok(1),
            Some(Literal::Int(number @ 0..=23)) => return Ok(u8::try_from(number)?),
            Some(value) => value,
        };
        let name = match &value {
            Literal::Str(name) => Some(name.clone()),
            // As in handlers.SysLogHandler.LOG_DAEMON.
            Literal::Name(name) => {
                name.rsplit_once("SysLogHandler.LOG_").map(|(_, name)| name.to_lowercase())
            }
            _ => None,
        };
        let known = FACILITIES.iter().find(|(known, _)| Some(*known) == name.as_deref());
        known.map(|(_, number)| *number).with_context(|| {
            let known = FACILITIES.map(|(known, _)| known).join(", ");
            format!("facility {value} is not valid; use 0 to 23 or one of {known}")
        })
    }

    fn tcp(&mut self) -> anyhow::Result<bool> {
        match self.next("socktype")? {
            None => Ok(false),
            Some(Literal::Name(name)) if name.ends_with("SOCK_DGRAM") => Ok(false),
            Some(Literal::Name(name)) if name.ends_with("SOCK_STREAM") => Ok(true),
            Some(other) => {
                bail!("socktype {other} is not valid; write socket.SOCK_DGRAM or SOCK_STREAM")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(class: &str, args: &str, kwargs: &str) -> anyhow::Result<Target> {
        Target::parse(class, Args::new(Literal::parse(args)?, Literal::parse(kwargs)?)?)
    }

    fn file(policy: Policy) -> Target {
        Target::File { path: "a.log".into(), truncate: false, policy }
    }

    #[test]
    fn classes_take_their_arguments_as_in_python() {
        let hourly = Schedule { when: When::Hour, interval: 1, utc: false };
        let weekly = Schedule { when: When::Weekday(6), interval: 2, utc: true };
        for (class, args, kwargs, expected) in [
            ("logging.NullHandler", "()", "{}", Target::Null),
            ("StreamHandler", "()", "{}", Target::Stream(Stream::Stderr)),
            ("StreamHandler", "(sys.stdout,)", "{}", Target::Stream(Stream::Stdout)),
            ("StreamHandler", "()", "{'stream': sys.stdout}", Target::Stream(Stream::Stdout)),
            ("FileHandler", "('a.log',)", "{}", file(Policy::Keep)),
            ("logging.FileHandler", "('a.log', 'a', None, True)", "{}", file(Policy::Keep)),
            ("handlers.WatchedFileHandler", "('a.log', 'a', 'UTF-8')", "{}", file(Policy::Watch)),
            (
                "logging.handlers.RotatingFileHandler",
                "('a.log', 'w', 10*1024, 5)",
                "{}",
                file(Policy::Size { octets: 10240, backups: 5 }),
            ),
            (
                "handlers.RotatingFileHandler",
                "('a.log',)",
                "{'backupCount': 2, 'maxBytes': 9}",
                file(Policy::Size { octets: 9, backups: 2 }),
            ),
            (
                "handlers.TimedRotatingFileHandler",
                "('a.log',)",
                "{}",
                file(Policy::Time { schedule: hourly, backups: 0 }),
            ),
            (
                "handlers.TimedRotatingFileHandler",
                "('a.log', 'w6', 2, 7, None, False, True)",
                "{}",
                file(Policy::Time { schedule: weekly, backups: 7 }),
            ),
            ("handlers.SysLogHandler", "()", "{}", {
                Target::Syslog { address: Address::Udp("localhost".into(), 514), facility: 1 }
            }),
            ("handlers.SysLogHandler", "('/dev/log', handlers.SysLogHandler.LOG_DAEMON)", "{}", {
                Target::Syslog { address: Address::Unix("/dev/log".into()), facility: 3 }
            }),
            (
                "handlers.SysLogHandler",
                "(('h', handlers.SYSLOG_UDP_PORT), 'local7', handlers.socket.SOCK_STREAM)",
                "{}",
                Target::Syslog { address: Address::Tcp("h".into(), 514), facility: 23 },
            ),
        ] {
            assert_eq!(target(class, args, kwargs).unwrap(), expected, "{class}{args}");
        }
    }

    #[test]
    fn unsupported_arguments_are_named() {
        for (class, args, kwargs, named) in [
            ("handlers.SMTPHandler", "()", "{}", "class handlers.SMTPHandler"),
            ("FileHandler", "()", "{}", "filename is missing"),
            ("FileHandler", "('a.log')", "{}", "args 'a.log' is not a tuple; write ('a.log',)"),
            ("FileHandler", "('a', 'r')", "{}", "mode \"r\" is not supported"),
            ("FileHandler", "('a',)", "{'filename': 'a'}", "filename is in both"),
            ("FileHandler", "('a',)", "{'maxBytes': 1}", "unknown argument maxBytes"),
            ("FileHandler", "('a', 'a', 'latin-1')", "{}", "encoding \"latin-1\" is not supported"),
            ("FileHandler", "('a', 'a', None, 0, None, 7)", "{}", "unexpected argument 7"),
            ("StreamHandler", "('ext',)", "{}", "stream 'ext' is not supported"),
            ("RotatingFileHandler", "('a', 'a', -1)", "{}", "maxBytes -1 is out of range"),
            ("RotatingFileHandler", "('a', 'a', '1M')", "{}", "maxBytes '1M' is not a number"),
            ("TimedRotatingFileHandler", "('a', 'year')", "{}", "when \"year\" is not valid"),
            ("TimedRotatingFileHandler", "('a', 'h', 0)", "{}", "interval 0 is out of range"),
            (
                "SysLogHandler",
                "(('h', 70000),)",
                "{}",
                "port of address is not between 0 and 65535",
            ),
            (
                "SysLogHandler",
                "('/dev/log', 'local8')",
                "{}",
                "facility 'local8' is not valid; use",
            ),
        ] {
            let error = format!("{:#}", target(class, args, kwargs).unwrap_err());
            assert!(error.contains(named), "{class}{args}: {error}");
        }
    }

    #[test]
    fn unopenable_file_is_named() {
        let path = "/nonexistent/a.log";
        let target = Target::File { path: path.into(), truncate: false, policy: Policy::Keep };
        let error = format!("{:#}", target.open().unwrap_err());
        assert!(error.contains(path) && error.contains("No such file"), "{error}");
    }

    #[test]
    fn full_disk_ends_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let handler = |path: &Path| {
            let target =
                Target::File { path: path.to_owned(), truncate: false, policy: Policy::Keep };
            let (label, level, format) = ("file".into(), Level::INFO, Format::default());
            Handler { label, level, format, output: target.open().unwrap(), failing: false }
        };
        let (mut full, mut good) = (handler(Path::new("/dev/full")), handler(&path));
        let mut event = Event {
            created: jiff::Timestamp::now(),
            thread: 1,
            thread_name: "main",
            name: "etherws",
            level: Level::INFO,
            file: "src/sw.rs",
            line: 1,
            message: "text",
        };
        let mut line = String::new();
        for _ in 0..2 {
            full.handle(&event, &mut line);
            assert!(full.failing);
            good.handle(&event, &mut line);
            assert!(!good.failing);
        }
        event.level = Level::DEBUG;
        good.handle(&event, &mut line);
        assert_eq!(std::fs::read_to_string(path).unwrap(), "text\ntext\n");
    }
}

//! A configuration, from the sections of its file to loggers and handlers.
//!
//! Reading and opening are apart: everything is understood before anything is opened, and
//! reading opens nothing but the file itself. Unknown keys and
//! arguments are errors; sections that no `keys=` names are not read.

use std::{cell::RefCell, fs, path::Path, str::FromStr, sync::Arc};

use anyhow::{Context as _, bail};
use slog::o;

use crate::{
    Error, Opened, Queue, Reopen, format,
    format::Format,
    handler::{Args, Handler, Target},
    ini::{Ini, Section},
    level::Level,
    literal::Literal,
    loggers::{Logger, Loggers},
    record::{Filter, Stamp, Writer},
};

/// Python's documentation shows more keys than its code reads: those are allowed.
const LOGGER_KEYS: [&str; 6] = ["level", "handlers", "qualname", "propagate", "channel", "parent"];
const HANDLER_KEYS: [&str; 7] =
    ["class", "level", "formatter", "args", "kwargs", "filename", "mode"];
const FORMATTER_KEYS: [&str; 6] = ["format", "datefmt", "style", "class", "validate", "defaults"];

/// A configuration that was read and found valid. Nothing it names is open.
#[derive(Debug)]
pub struct Config {
    /// How errors begin: the file, if it was read from one.
    origin: Option<String>,
    loggers: Loggers,
    /// Name, level, format and target of each.
    handlers: Vec<(String, Level, Format, Target)>,
}

impl Config {
    /// Reads the file at `path`. Neither creates, opens nor looks at anything that it
    /// names.
    ///
    /// # Errors
    /// The file cannot be read, or is not valid.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let origin = format!("logging configuration {}", path.display());
        let text = fs::read_to_string(path).map_err(anyhow::Error::from);
        let config = text.and_then(|text| parse(&text)).with_context(|| origin.clone());
        Ok(Self { origin: Some(origin), ..config.map_err(Error)? })
    }

    /// Opens the handlers, each log file in its handler's mode, and starts the logging
    /// thread.
    ///
    /// Records without a tag belong to the logger `own`, those of the `log` crate to that
    /// of their module. Records below `least` are dropped, whatever the loggers say.
    ///
    /// # Errors
    /// A log file cannot be opened, or a syslog server's name has no address.
    pub fn open(self, own: &str, least: slog::Level) -> Result<Opened, Error> {
        format::start();
        let open = |(name, level, format, target): (String, Level, Format, Target)| {
            let output = target.open().with_context(|| format!("[handler_{name}] args"))?;
            let label = format!("{own}: log handler {name}");
            Ok(Handler { label, level, format, output, failing: false })
        };
        let handlers: anyhow::Result<Vec<_>> = self.handlers.into_iter().map(open).collect();
        let handlers = match self.origin {
            Some(origin) => handlers.context(origin),
            None => handlers,
        };
        let handlers = RefCell::new(handlers.map_err(Error)?);

        let (loggers, reopen) = (Arc::new(self.loggers), Reopen::default());
        let (writer, own) = (Arc::clone(&loggers), own.to_owned());
        let writer = Writer { own: own.clone(), loggers: writer, handlers, reopen: reopen.clone() };
        let (queue, guard) = Queue::new(writer);
        let filter = Filter { least, own, loggers, drain: Stamp(queue) };
        Ok(Opened { log: slog::Logger::root(filter, o!()), reopen, guard })
    }
}

impl FromStr for Config {
    type Err = Error;

    /// As [`Config::read`], from the text of a file.
    fn from_str(text: &str) -> Result<Self, Error> {
        parse(text).map_err(Error)
    }
}

fn parse(text: &str) -> anyhow::Result<Config> {
    let ini = Ini::parse(text)?;
    let keys = |section| {
        let section = ini.section(section)?;
        section.required("keys")?;
        section.list("keys")
    };

    let mut formatters = Vec::new();
    for name in keys("formatters")? {
        let section = ini.section(&format!("formatter_{name}"))?;
        formatter(&section)?;
        formatters.push(name);
    }

    let mut handlers = Vec::new();
    for name in keys("handlers")? {
        let section = ini.section(&format!("handler_{name}"))?;
        section.only(&HANDLER_KEYS)?;
        let format = match section.word("formatter")?.filter(|name| !name.is_empty()) {
            None => Format::default(),
            Some(name) => {
                one_of(&formatters, &name, "formatters")
                    .with_context(|| section.of("formatter"))?;
                formatter(&ini.section(&format!("formatter_{name}"))?)?
            }
        };
        let level = level(&section)?.unwrap_or(Level::NOTSET);
        handlers.push((name, level, format, target(&section)?));
    }

    let names: Vec<_> = handlers.iter().map(|(name, ..)| name.clone()).collect();
    let (mut root, mut named) = (None, Vec::new());
    for name in keys("loggers")? {
        let section = ini.section(&format!("logger_{name}"))?;
        let logger = logger(&section, &names)?;
        if name == "root" {
            root = Some(Logger { level: level(&section)?.unwrap_or(Level::WARNING), ..logger });
        } else {
            named.push((section.required("qualname")?, logger));
        }
    }
    let root = root.context("[loggers] keys must include root")?;
    Ok(Config { origin: None, loggers: Loggers::new(root, named), handlers })
}

fn formatter(section: &Section<'_>) -> anyhow::Result<Format> {
    section.only(&FORMATTER_KEYS)?;
    let class = section.word("class")?.unwrap_or_default();
    if !matches!(class.as_str(), "" | "logging.Formatter" | "Formatter") {
        bail!("{}: {class} is not supported; leave it out", section.of("class"));
    }
    let style = section.raw("style").unwrap_or_default();
    if !matches!(style, "" | "%") {
        bail!("{}: {style} is not supported; write the format with %", section.of("style"));
    }
    if section.raw("defaults").is_some() {
        bail!("{} is not supported; leave it out", section.of("defaults"));
    }
    let format = match section.raw("format").filter(|format| !format.is_empty()) {
        None => Format::default(),
        Some(format) => Format::parse(format).with_context(|| section.of("format"))?,
    };
    match section.raw("datefmt").filter(|datefmt| !datefmt.is_empty()) {
        None => Ok(format),
        Some(datefmt) => format.with_datefmt(datefmt).with_context(|| section.of("datefmt")),
    }
}

fn target(section: &Section<'_>) -> anyhow::Result<Target> {
    let class = section.required("class")?;
    let literal = |key, default| {
        let text = section.get(key)?;
        let text = text.as_deref().filter(|text| !text.is_empty()).unwrap_or(default);
        Literal::parse(text).with_context(|| section.of(key))
    };
    let (args, kwargs) = (literal("args", "()")?, literal("kwargs", "{}")?);
    Args::new(args, kwargs)
        .and_then(|args| Target::parse(&class, args))
        .with_context(|| format!("[{}] class and args", section.name))
}

fn logger(section: &Section<'_>, handlers: &[String]) -> anyhow::Result<Logger> {
    section.only(&LOGGER_KEYS)?;
    let of_logger = section.list("handlers")?;
    let handlers = of_logger.iter().map(|name| one_of(handlers, name, "handlers"));
    let handlers = handlers.collect::<Result<_, _>>().with_context(|| section.of("handlers"))?;
    let propagate = match section.word("propagate")? {
        None => true,
        Some(text) => {
            let number: i64 = text.parse().with_context(|| {
                format!("{}: {text:?} is not a number; write 1 or 0", section.of("propagate"))
            })?;
            number != 0
        }
    };
    Ok(Logger { level: level(section)?.unwrap_or(Level::NOTSET), handlers, propagate })
}

fn level(section: &Section<'_>) -> anyhow::Result<Option<Level>> {
    let text = section.word("level")?.filter(|text| !text.is_empty());
    text.map(|text| Level::parse(&text).with_context(|| section.of("level"))).transpose()
}

fn one_of(known: &[String], name: &str, section: &str) -> anyhow::Result<usize> {
    let index = known.iter().position(|known| known == name);
    index.with_context(|| {
        format!("{name} is not one of the keys of [{section}]: {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "[loggers]\nkeys=root,etherws,access\n\
        [handlers]\nkeys=console,file\n\
        [formatters]\nkeys=simple\n\
        [logger_root]\nlevel=WARNING\nhandlers=console\n\
        [logger_etherws]\nlevel=DEBUG\nhandlers=file\nqualname=etherws\npropagate=0\n\
        [logger_access]\nhandlers=\nqualname=tornado.access\n\
        [handler_console]\nclass=StreamHandler\nlevel=ERROR ; loud\nformatter=simple\nargs=(sys.stderr,)\n\
        [handler_file]\nclass=handlers.WatchedFileHandler\nargs=('/nonexistent/dir/etherws.log',)\n\
        [formatter_simple]\nformat=%(asctime)s %(levelname)-8s %(message)s\ndatefmt=%H:%M:%S\n";

    fn error_of(from: &str, to: &str) -> String {
        assert!(FILE.contains(from), "{from}");
        FILE.replacen(from, to, 1).parse::<Config>().unwrap_err().to_string()
    }

    #[test]
    fn file_of_a_user_is_understood() {
        let config: Config = FILE.parse().unwrap();
        assert_eq!(config.handlers[0].1, Level::ERROR);
        assert_eq!(config.handlers[1].1, Level::NOTSET);
        assert_eq!(config.loggers.handlers_of("etherws.port"), [1]);
        assert_eq!(config.loggers.handlers_of("actix"), [0]);
    }

    #[test]
    fn reading_opens_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (log, path) = (dir.path().join("a.log"), dir.path().join("conf"));
        let args = format!("('{}', 'w')", log.display());
        fs::write(&path, FILE.replace("('/nonexistent/dir/etherws.log',)", &args)).unwrap();
        let config = Config::read(&path).unwrap();
        assert!(!log.exists(), "created");
        fs::write(&log, "kept").unwrap();
        drop(Config::read(&path).unwrap());
        assert_eq!(fs::read_to_string(&log).unwrap(), "kept");
        drop(config.open("app", slog::Level::Info).unwrap());
        assert_eq!(fs::read_to_string(&log).unwrap(), "");
    }

    #[test]
    fn errors_begin_with_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("conf");
        let begin = format!("logging configuration {}: ", path.display());
        let error = Config::read(&path).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{begin}No such file")), "{error}");
        fs::write(&path, FILE.replace("root,", "root,nobody,")).unwrap();
        let error = Config::read(&path).unwrap_err().to_string();
        assert_eq!(error, format!("{begin}there is no section [logger_nobody]"));
        fs::write(&path, FILE).unwrap();
        let error = Config::read(&path).unwrap().open("app", slog::Level::Info).unwrap_err();
        let begin = format!("{begin}[handler_file] args: cannot open log file /nonexistent/");
        assert!(error.to_string().starts_with(&begin), "{error}");
    }

    #[test]
    fn section_and_key_of_a_mistake_are_named() {
        for (from, to, named) in [
            ("[formatters]", "[formats]", "no section [formatters]"),
            ("keys=root,", "keys=", "[loggers] keys must include root"),
            (
                "keys=console,file",
                "keys=console",
                "[logger_etherws] handlers: file is not one of the keys of [handlers]: console",
            ),
            ("level=DEBUG", "level=ALL", "[logger_etherws] level: \"ALL\" is not a valid level"),
            ("qualname=etherws", "", "[logger_etherws] key qualname is missing"),
            ("propagate=0", "propagate=no", "[logger_etherws] propagate: \"no\""),
            ("propagate", "propagates", "[logger_etherws] propagates is not a valid key"),
            ("formatter=simple", "formatter=other", "[handler_console] formatter: other is not"),
            (
                "(sys.stderr,)",
                "(sys.stderr)",
                "[handler_console] class and args: args sys.stderr is not a tuple",
            ),
            ("(sys.stderr,)", "(open(1),)", "[handler_console] args: "),
            ("class=StreamHandler\n", "", "[handler_console] key class is missing"),
            ("StreamHandler", "HTTPHandler", "[handler_console] class and args: class HTTPHandler"),
            ("%(message)s", "%(msg)s", "[formatter_simple] format: unknown field %(msg)"),
            ("datefmt=%H", "datefmt=%E", "[formatter_simple] datefmt: \"%E:%M:%S\""),
            ("datefmt", "style={\ndatefmt", "[formatter_simple] style: { is not supported"),
        ] {
            let error = error_of(from, to);
            assert!(error.contains(named), "{from} -> {to}: {error}");
        }
    }
}

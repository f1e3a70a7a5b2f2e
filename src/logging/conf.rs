//! `--logconf`: the files of Python's `logging.config.fileConfig`, from their
//! sections to loggers and open handlers.
//!
//! Everything is understood before anything is opened. Keys and arguments that
//! are not understood are errors; sections that no `keys=` names are not looked at.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};

use super::{
    format::Format,
    handler::{Args, Handler, Target},
    ini::{Ini, Section},
    level::Level,
    literal::Literal,
    loggers::{Logger, Loggers},
};

/// Python's documentation shows more keys than its code reads: those are allowed.
const LOGGER_KEYS: [&str; 6] = ["level", "handlers", "qualname", "propagate", "channel", "parent"];
const HANDLER_KEYS: [&str; 7] =
    ["class", "level", "formatter", "args", "kwargs", "filename", "mode"];
const FORMATTER_KEYS: [&str; 6] = ["format", "datefmt", "style", "class", "validate", "defaults"];

/// What the file says, with all handlers open.
#[derive(Debug)]
pub(super) struct Conf {
    pub(super) loggers: Loggers,
    pub(super) handlers: Vec<Handler>,
}

/// Reads the file and opens its handlers.
///
/// # Errors
/// What is wrong, with the file and the line, or the section and the key.
pub(super) fn load(path: &Path) -> anyhow::Result<Conf> {
    let what = || format!("logging configuration {}", path.display());
    let text = fs::read_to_string(path).with_context(what)?;
    parse(&text).and_then(Plan::open).with_context(what)
}

/// What the file says.
#[derive(Debug)]
pub(crate) struct Plan {
    loggers: Loggers,
    handlers: Vec<(String, Level, Format, Target)>,
}

impl Plan {
    fn open(self) -> anyhow::Result<Conf> {
        let open = |(name, level, format, target): (String, Level, Format, Target)| {
            let output = target.open().with_context(|| format!("[handler_{name}] args"))?;
            Ok(Handler { name, level, format, output, failing: false })
        };
        let handlers = self.handlers.into_iter().map(open).collect::<anyhow::Result<_>>()?;
        Ok(Conf { loggers: self.loggers, handlers })
    }
}

/// Understands the file; opens nothing.
pub(crate) fn parse(text: &str) -> anyhow::Result<Plan> {
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
    let root = root.context("[loggers] keys does not have root, which it needs")?;
    Ok(Plan { loggers: Loggers::new(root, named), handlers })
}

fn formatter(section: &Section<'_>) -> anyhow::Result<Format> {
    section.only(&FORMATTER_KEYS)?;
    let class = section.word("class")?.unwrap_or_default();
    if !matches!(class.as_str(), "" | "logging.Formatter" | "Formatter") {
        bail!("{}: {class} is not understood; leave it out", section.of("class"));
    }
    let style = section.raw("style").unwrap_or_default();
    if !matches!(style, "" | "%") {
        bail!("{}: {style} is not understood; write the format with %", section.of("style"));
    }
    if section.raw("defaults").is_some() {
        bail!("{} is not understood; leave it out", section.of("defaults"));
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
                format!("{}: {text:?} is not understood; write 1 or 0", section.of("propagate"))
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
        format!("{name} is not among the keys of [{section}], which are {}", known.join(", "))
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
        format!("{:#}", parse(&FILE.replacen(from, to, 1)).unwrap_err())
    }

    #[test]
    fn file_of_a_user_is_understood() {
        let plan = parse(FILE).unwrap();
        assert_eq!(plan.handlers[0].1, Level::ERROR);
        assert_eq!(plan.handlers[1].1, Level::NOTSET);
        assert_eq!(plan.loggers.handlers_of("etherws.port"), [1]);
        assert_eq!(plan.loggers.handlers_of("actix"), [0]);
    }

    #[test]
    fn nothing_is_opened_before_everything_is_understood() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("a.log");
        let text = FILE.replace("/nonexistent/dir/etherws.log", log.to_str().unwrap());
        let path = dir.path().join("conf");
        fs::write(&path, text.replace("root,", "root,nobody,")).unwrap();
        let error = format!("{:#}", load(&path).unwrap_err());
        assert!(error.contains("conf: there is no section [logger_nobody]"), "{error}");
        assert!(!log.exists());
        fs::write(&path, text).unwrap();
        assert_eq!(load(&path).unwrap().handlers.len(), 2);
        assert!(log.exists());
    }

    #[test]
    fn section_and_key_of_a_mistake_are_named() {
        for (from, to, named) in [
            ("[formatters]", "[formats]", "no section [formatters]"),
            ("keys=root,", "keys=", "[loggers] keys does not have root"),
            ("keys=console,file", "keys=console", "[logger_etherws] handlers: file is not among"),
            ("level=DEBUG", "level=ALL", "[logger_etherws] level: \"ALL\" is no level"),
            ("qualname=etherws", "", "[logger_etherws] has no key qualname"),
            ("propagate=0", "propagate=no", "[logger_etherws] propagate: \"no\""),
            ("propagate", "propagates", "[logger_etherws] propagates is not understood"),
            ("formatter=simple", "formatter=other", "[handler_console] formatter: other is not"),
            (
                "(sys.stderr,)",
                "(sys.stderr)",
                "[handler_console] class and args: args is sys.stderr",
            ),
            ("(sys.stderr,)", "(open(1),)", "[handler_console] args: "),
            ("class=StreamHandler\n", "", "[handler_console] has no key class"),
            ("StreamHandler", "HTTPHandler", "[handler_console] class and args: class HTTPHandler"),
            ("%(message)s", "%(msg)s", "[formatter_simple] format: there is no field %(msg)"),
            ("datefmt=%H", "datefmt=%E", "[formatter_simple] datefmt: \"%E:%M:%S\""),
            ("datefmt", "style={\ndatefmt", "[formatter_simple] style: { is not understood"),
        ] {
            let error = error_of(from, to);
            assert!(error.contains(named), "{from} -> {to}: {error}");
        }
        let error = format!("{:#}", parse(FILE).and_then(Plan::open).unwrap_err());
        assert!(error.starts_with("[handler_file] args: cannot open log file"), "{error}");
    }
}

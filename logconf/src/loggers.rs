//! The tree of loggers: which of them a record belongs to by its name, whether it
//! takes the record, and which handlers get it.

use crate::level::Level;

/// One logger.
#[derive(Debug)]
pub(crate) struct Logger {
    /// `NOTSET`: that of the logger above.
    pub(crate) level: Level,
    /// By index.
    pub(crate) handlers: Vec<usize>,
    /// Whether the handlers of the loggers above get its records too.
    pub(crate) propagate: bool,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Loggers {
    root: Logger,
    /// The deepest first.
    named: Vec<(String, Logger)>,
}

impl Loggers {
    pub(crate) fn new(root: Logger, mut named: Vec<(String, Logger)>) -> Self {
        named.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        Self { root, named }
    }

    /// The logger of a name and those above it, up to the root.
    fn chain(&self, name: &str) -> impl Iterator<Item = &Logger> {
        let above = self.named.iter().filter(move |(above, _)| {
            name.strip_prefix(above.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        above.map(|(_, logger)| logger).chain([&self.root])
    }

    /// Whether a record of this name and level is written at all.
    pub(crate) fn takes(&self, name: &str, level: Level) -> bool {
        let set = self.chain(name).map(|logger| logger.level).find(|set| *set != Level::NOTSET);
        level >= set.unwrap_or(Level::NOTSET)
    }

    /// Calls `each` with the index of every handler that gets it: as often as it is in the
    /// chain, as in Python.
    pub(crate) fn each_handler(&self, name: &str, mut each: impl FnMut(usize)) {
        for logger in self.chain(name) {
            logger.handlers.iter().for_each(|&handler| each(handler));
            if !logger.propagate {
                break;
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn handlers_of(&self, name: &str) -> Vec<usize> {
        let mut handlers = Vec::new();
        self.each_handler(name, |handler| handlers.push(handler));
        handlers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logger(level: Level, handlers: &[usize], propagate: bool) -> Logger {
        Logger { level, handlers: handlers.to_vec(), propagate }
    }

    #[test]
    fn records_go_up_the_tree_as_in_python() {
        let loggers = Loggers::new(
            logger(Level::WARNING, &[0], true),
            vec![
                ("etherws".into(), logger(Level::DEBUG, &[1], true)),
                ("etherws.port".into(), logger(Level::NOTSET, &[2], true)),
                ("quiet".into(), logger(Level::ERROR, &[3], false)),
            ],
        );
        assert_eq!(loggers.handlers_of("etherws"), [1, 0]);
        assert_eq!(loggers.handlers_of("etherws.port.tap"), [2, 1, 0]);
        assert_eq!(loggers.handlers_of("etherwsx"), [0]);
        assert_eq!(loggers.handlers_of("quiet.one"), [3]);

        assert!(loggers.takes("etherws.port", Level::DEBUG), "level of the logger above");
        assert!(!loggers.takes("other", Level::INFO));
        assert!(loggers.takes("other", Level::WARNING));
        assert!(!loggers.takes("quiet", Level::WARNING));
    }
}

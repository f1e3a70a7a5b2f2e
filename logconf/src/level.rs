//! Levels, numbered as in Python.

/// How much a record matters; a logger or handler takes what is not below its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Level(pub(crate) u32);

impl Level {
    pub(crate) const CRITICAL: Self = Self(50);
    pub(crate) const ERROR: Self = Self(40);
    pub(crate) const WARNING: Self = Self(30);
    pub(crate) const INFO: Self = Self(20);
    pub(crate) const DEBUG: Self = Self(10);
    /// Of a handler: takes everything. Of a logger: asks the one above it.
    pub(crate) const NOTSET: Self = Self(0);

    /// All names; the first of a level is the one that is written.
    const NAMES: [(&str, Self); 8] = [
        ("CRITICAL", Self::CRITICAL),
        ("FATAL", Self::CRITICAL),
        ("ERROR", Self::ERROR),
        ("WARNING", Self::WARNING),
        ("WARN", Self::WARNING),
        ("INFO", Self::INFO),
        ("DEBUG", Self::DEBUG),
        ("NOTSET", Self::NOTSET),
    ];

    /// A level of a record: those of Python that have a name.
    pub(crate) fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(_, level)| *level == self).map_or("NOTSET", |(name, _)| name)
    }

    /// # Errors
    /// Neither a name nor a number.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let named = Self::NAMES.iter().find(|(name, _)| *name == text).map(|(_, level)| *level);
        named.or_else(|| text.parse().ok().map(Self)).ok_or_else(|| {
            let names = Self::NAMES.map(|(name, _)| name).join(", ");
            anyhow::anyhow!("{text:?} is not a valid level; give a number or one of {names}")
        })
    }
}

impl From<slog::Level> for Level {
    fn from(level: slog::Level) -> Self {
        match level {
            slog::Level::Critical => Self::CRITICAL,
            slog::Level::Error => Self::ERROR,
            slog::Level::Warning => Self::WARNING,
            slog::Level::Info => Self::INFO,
            slog::Level::Debug | slog::Level::Trace => Self::DEBUG,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_python() {
        assert_eq!(Level::parse("WARN").unwrap(), Level::WARNING);
        assert_eq!(Level::parse("25").unwrap(), Level(25));
        assert_eq!(Level::from(slog::Level::Critical).name(), "CRITICAL");
        let error = Level::parse("info").unwrap_err().to_string();
        assert!(error.contains("\"info\"") && error.contains("INFO"), "{error}");
    }
}

//! How `ctl` and `doctor` look: colour and alignment are for people at a terminal. What
//! goes into a pipe or a file never changes: scripts read it.

use std::{borrow::Cow, fmt, io};

use anstream::{AutoStream, stream::RawStream};
use anstyle::{AnsiColor, Style};
use clap::ColorChoice;

/// Column titles.
pub(crate) const TITLE: Style = Style::new().bold();

/// What is as it should be.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();

/// What passes, or wants a look.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default();

/// What is broken.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// What matters less.
pub(crate) const DIM: Style = Style::new().dimmed();

/// How one output stream is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Whether to use colour.
    pub(crate) color: bool,
    /// Whether somebody reads it on a terminal.
    pub(crate) terminal: bool,
}

impl Look {
    /// As programs want it.
    #[cfg(test)]
    pub(crate) const PLAIN: Self = Self { color: false, terminal: false };

    /// Of standard output. `auto` is colour on a terminal, unless `NO_COLOR` or
    /// `TERM=dumb` say otherwise.
    pub(crate) fn stdout(choice: ColorChoice) -> Self {
        Self::of(&io::stdout(), choice)
    }

    /// Of standard error.
    pub(crate) fn stderr(choice: ColorChoice) -> Self {
        Self::of(&io::stderr(), choice)
    }

    fn of(stream: &impl RawStream, choice: ColorChoice) -> Self {
        let color = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => AutoStream::choice(stream) != anstream::ColorChoice::Never,
        };
        Self { color, terminal: stream.is_terminal() }
    }

    /// `text` in `style`, if there is colour.
    pub(crate) fn paint<T: fmt::Display>(self, style: Style, text: T) -> Painted<T> {
        Painted { style: if self.color { style } else { Style::new() }, text }
    }

    /// `text` as it may be shown: a terminal obeys control characters, and names come
    /// from elsewhere.
    pub(crate) fn safe(self, text: &str) -> Cow<'_, str> {
        if self.terminal { clean(text) } else { text.into() }
    }
}

/// `text` without what steers a terminal, or the direction of what is around it.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    if text.contains(steers) { text.replace(steers, "\u{fffd}").into() } else { text.into() }
}

/// A text with its style.
#[derive(Debug)]
pub(crate) struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { style, text } = self;
        write!(f, "{style}{text}{style:#}")
    }
}

/// The style of a port's state.
pub(crate) fn state(state: &str) -> Style {
    match state {
        "up" => GOOD,
        "connecting" | "backoff" => WARNING,
        "loop" | "bpdu-guard" | "down" | "failed" => BAD,
        "shut" => DIM,
        _ => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colour_nothing_is_added() {
        assert_eq!(Look::PLAIN.paint(BAD, "x").to_string(), "x");
        let look = Look { color: true, terminal: false };
        assert_eq!(look.paint(GOOD, "x").to_string(), "\u{1b}[32mx\u{1b}[0m");
    }

    #[test]
    fn a_terminal_gets_no_control_characters_of_others() {
        let terminal = Look { color: false, terminal: true };
        assert_eq!(terminal.safe("a\u{1b}[2Jb"), "a\u{fffd}[2Jb");
        assert_eq!(terminal.safe("jörg"), "jörg");
        assert_eq!(Look::PLAIN.safe("a\tb"), "a\tb");
    }

    #[test]
    fn colour_can_be_wanted_or_not_whatever_the_stream_is() {
        assert!(Look::stdout(ColorChoice::Always).color);
        assert!(!Look::stdout(ColorChoice::Never).color);
    }
}

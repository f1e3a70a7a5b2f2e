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

/// Back to the line's beginning, and the line is empty (ECMA-48, 8.3.41).
pub(super) const CLEAR: &str = "\r\u{1b}[K";

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

/// Whether a terminal obeys a character, or hides it and turns around what is beside it: of
/// Unicode's categories Cc, Cf, Zl and Zp.
pub(super) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0001}'
            | '\u{e0020}'..='\u{e007f}')
}

/// `text` without what steers a terminal, or the direction of what is around it.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if text.contains(steers) { text.replace(steers, "\u{fffd}").into() } else { text.into() }
}

/// The same with its lines, of which those behind the first are set in.
pub(crate) fn clean_lines(text: &str) -> String {
    text.split('\n').map(clean).collect::<Vec<_>>().join("\n  ")
}

/// What goes to a terminal as a whole: lines, with the styles that we have given them, and
/// nothing else that steers it. The last door, behind which nobody has to think of it.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| c != '\n' && steers(c)) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let cleared = rest.starts_with(CLEAR) && out.is_empty();
        let style = if cleared { Some(CLEAR) } else { own_style(rest) };
        let length = style.map_or_else(|| c.len_utf8(), str::len);
        match (c, style) {
            (_, Some(style)) => out.push_str(style),
            ('\n', _) => out.push(c),
            (c, _) if steers(c) => out.push('\u{fffd}'),
            (c, _) => out.push(c),
        }
        rest = &rest[length..];
    }
    out.into()
}

/// The sequence at the beginning of `text` if it is a style.
fn own_style(text: &str) -> Option<&str> {
    let behind = text.strip_prefix("\u{1b}[")?;
    let end = behind.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    behind[end..].starts_with('m').then(|| &text[..text.len() - behind.len() + end + 1])
}

/// JSON as it was, with what steers a terminal written as its number.
pub(super) fn escape(json: &str) -> Cow<'_, str> {
    let steers = |c| c != '\n' && steers(c);
    if !json.contains(steers) {
        return json.into();
    }
    // All of these stand in strings.
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if steers(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out += &format!("\\u{unit:04x}"));
        } else {
            out.push(c);
        }
    }
    out.into()
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
        for c in ['\u{202e}', '\u{ad}', '\u{2066}', '\u{9b}', '\u{2029}', '\u{e0041}', '\u{7f}'] {
            assert_eq!(terminal.safe(&format!("a{c}b")), "a\u{fffd}b", "{c:?}");
        }
        assert_eq!(Look::PLAIN.safe("a\tb"), "a\tb");
    }

    #[test]
    fn what_is_printed_as_a_whole_keeps_our_styles_and_nothing_else() {
        for (text, shown) in [
            ("a\nb", "a\nb"),
            ("\u{1b}[1mT\u{1b}[0m\n", "\u{1b}[1mT\u{1b}[0m\n"),
            ("\r\u{1b}[Kx\r\u{1b}[K", "\r\u{1b}[Kx\u{fffd}\u{fffd}[K"),
            ("\u{1b}[2J\u{1b}]0;x\u{7}", "\u{fffd}[2J\u{fffd}]0;x\u{fffd}"),
            ("a\u{202e}b\rc\u{1b}", "a\u{fffd}b\u{fffd}c\u{fffd}"),
            ("\u{1b}[31", "\u{fffd}[31"),
        ] {
            assert_eq!(harmless(text), shown);
        }
    }

    #[test]
    fn json_stays_what_it_was() {
        let value = serde_json::json!({"a\u{202e}": "\u{1b}[2J\u{9b}\u{e0041}\n\u{7f}ö"});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let escaped = escape(&text);
        assert!(
            !escaped.contains(|c| c != '\n' && steers(c)) && escaped.contains("\\udb40\\udc41")
        );
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
    }

    #[test]
    fn colour_can_be_wanted_or_not_whatever_the_stream_is() {
        assert!(Look::stdout(ColorChoice::Always).color);
        assert!(!Look::stdout(ColorChoice::Never).color);
    }
}

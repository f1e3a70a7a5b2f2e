//! Errors on one line.

#[cfg(feature = "tunnel")]
pub mod tls;

use std::error::Error;

/// The error and its sources, joined by colons. Every error of this crate names
/// itself without repeating its source, so nothing stands twice.
#[must_use]
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut text = said(error);
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&said(error));
        source = error.source();
    }
    text
}

/// What one error says, without its sources.
fn said(error: &(dyn Error + 'static)) -> String {
    #[cfg(feature = "tunnel")]
    if let Some(words) = tls::said(error) {
        return words;
    }
    plain(error.to_string())
}

/// What rustls says of a connection that ends without its farewell, with the address of its
/// manual.
const NO_FAREWELL: &str = "peer closed connection without sending TLS close_notify: \
     https://docs.rs/rustls/latest/rustls/manual/_03_howto/index.html#unexpected-eof";

/// The text without the numbers that Rust writes behind the system's errors, which name
/// nothing that their words do not: `Connection refused (os error 111)`.
#[must_use]
pub fn plain(text: String) -> String {
    const START: &str = " (os error ";
    let mut text = text.replace(NO_FAREWELL, "the other end has gone without ending TLS");
    while let Some(at) = text.find(START) {
        let number = &text[at + START.len()..];
        let digits = number.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || !number[digits..].starts_with(')') {
            break;
        }
        text.replace_range(at..at + START.len() + digits + 1, "");
    }
    text
}

/// Longest text of a stranger that is taken over, in characters: a line of a log.
pub const MAX_WORDS: usize = 160;

/// Whether a character steers a terminal or a log, or turns its text around.
#[must_use]
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// What a stranger says, on one line: without control characters, and without those that turn
/// a terminal's text around.
#[must_use]
pub fn clean(text: &str) -> String {
    let text: String = text.chars().map(|c| if is_harmful(c) { ' ' } else { c }).collect();
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((at, _)) = line.char_indices().nth(MAX_WORDS) {
        line.truncate(at);
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_errors_have_no_number() {
        let refused = std::io::Error::from_raw_os_error(111);
        assert_eq!(one_line(&refused), "Connection refused");
        assert_eq!(
            plain(format!("a: {refused}; b: {refused}.")),
            "a: Connection refused; b: Connection refused."
        );
        assert_eq!(
            plain(format!("x: {NO_FAREWELL}")),
            "x: the other end has gone without ending TLS"
        );
        for text in ["", " (os error )", "x (os error 1", "(os error 1)"] {
            assert_eq!(plain(text.to_owned()), text);
        }
    }
}

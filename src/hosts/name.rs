//! Names that hosts give themselves, sanitized for display.

/// Longest name that is kept, in octets: what a host may be called on Linux
/// (HOST_NAME_MAX). The rest is cut.
const MAX_NAME: usize = 64;

/// A name in plain text. NULs at its end are some clients' habit.
pub(super) fn from_text(text: &[u8]) -> Option<Box<str>> {
    let end = text.iter().rposition(|&octet| octet != 0)?;
    shown(&text[..=end])
}

/// A name in DNS's form: labels, each behind its length, which an empty one ends
/// (RFC 1035, 3.1). Pointers are for messages of DNS; here they end the name.
pub(super) fn from_labels(mut labels: &[u8]) -> Option<Box<str>> {
    const MAX_LABEL: u8 = 63;
    let mut name = Vec::with_capacity(MAX_NAME);
    while let [length @ 1..=MAX_LABEL, rest @ ..] = labels
        && let Some((label, rest)) = rest.split_at_checked(usize::from(*length))
        && name.len() <= MAX_NAME
    {
        if !name.is_empty() {
            name.push(b'.');
        }
        name.extend_from_slice(label);
        labels = rest;
    }
    shown(&name)
}

/// `name` with `?` for whatever is not a letter, digit, hyphen, underscore or dot:
/// control characters and blanks could attack a terminal or a script.
fn shown(name: &[u8]) -> Option<Box<str>> {
    let fits = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    let text = String::from_utf8_lossy(&name[..name.len().min(MAX_NAME)]);
    let shown: String =
        text.chars().map(|character| if fits(character) { character } else { '?' }).collect();
    let shown = shown.trim_end_matches('.');
    shown.contains(|character: char| character.is_ascii_alphanumeric()).then(|| shown.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(name: &[u8]) -> Option<String> {
        from_text(name).map(String::from)
    }

    fn labels(name: &[u8]) -> Option<String> {
        from_labels(name).map(String::from)
    }

    #[test]
    fn a_name_is_shown_as_it_is() {
        assert_eq!(text(b"laptop-7"), Some("laptop-7".to_owned()));
        assert_eq!(text(b"laptop.example.\0\0"), Some("laptop.example".to_owned()));
        assert_eq!(labels(b"\x06laptop\x07example\0"), Some("laptop.example".to_owned()));
        // Without the end: not yet qualified (RFC 4702, 3.1).
        assert_eq!(labels(b"\x06laptop"), Some("laptop".to_owned()));
    }

    #[test]
    fn what_is_not_a_name_is_not_shown() {
        assert_eq!(text(b"\x1b[2Jroot\n"), Some("??2Jroot?".to_owned()));
        assert_eq!(text("bürö".as_bytes()), Some("b?r?".to_owned()));
        for nothing in [&b""[..], b"\0\0", b"...", b"\n", b"--"] {
            assert_eq!(text(nothing), None, "{nothing:?}");
        }
        assert_eq!(text(&[b'a'; 300]), Some("a".repeat(64)));
        assert_eq!(labels(b"\x03abc\xc0\x0c"), Some("abc".to_owned()), "no pointers");
        assert_eq!(labels(b"\x09abc"), None, "cut");
        assert_eq!(labels(&[1, b'x'].repeat(500)).map(|name| name.len() <= 64), Some(true));
    }

    proptest! {
        #[test]
        fn every_name_can_be_shown(octets: Vec<u8>) {
            for name in [from_text(&octets), from_labels(&octets)].into_iter().flatten() {
                let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.?".contains(&octet);
                prop_assert!(!name.is_empty() && name.len() <= MAX_NAME);
                prop_assert!(name.bytes().all(fits), "{name:?}");
            }
        }
    }
}

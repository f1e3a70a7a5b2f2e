//! Filters: any text is one, or an error that shows its place; what is one can be asked of any
//! frame, and its negation says the opposite.

use bytes::Bytes;

use super::Input;
use crate::core::{filter::Expression, frame::Frame};

/// The length of a text in two octets, the text, and the frame.
pub fn filter(data: &[u8]) {
    let mut input = Input(data);
    let len = input.u16();
    let text = String::from_utf8_lossy(input.take(len.into()));
    let frame = Frame::new(Bytes::copy_from_slice(input.0));
    match text.parse::<Expression>() {
        Ok(filter) => {
            let is = filter.matches(&frame);
            let again: Expression = filter.to_string().parse().expect("its own text");
            assert_eq!(again, filter);
            let not: Expression = match format!("not ({text})").parse() {
                Ok(not) => not,
                // Longer, or deeper, than may be.
                Err(_) => return,
            };
            assert_ne!(not.matches(&frame), is, "{text}");
        }
        Err(error) => {
            let shown = error.to_string();
            let lines: Vec<_> = shown.split('\n').collect();
            assert!(lines.len() == 1 || lines.len() == 3, "{shown}");
            if let [_, text, carets] = lines[..] {
                assert!(carets.trim_start().chars().all(|c| c == '^'), "{shown}");
                assert!(
                    carets.ends_with('^') && carets.len() <= text.chars().count() + 1,
                    "{shown}"
                );
            }
        }
    }
}

//! The content of an htpasswd file: one `name:hash` a line. Pure: bytes to users. No
//! line of the file is ever part of an error.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
};

use anyhow::{Context as _, Result};

use super::hash::Hash;

/// The users of a file.
pub(super) struct Users {
    index: HashMap<Box<str>, usize>,
    hashes: Vec<Hash>,
    /// Chooses stand-ins for users who do not exist.
    stand_ins: RandomState,
}

/// Where a password is to be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    at: usize,
    /// Whether the user exists.
    pub(super) known: bool,
}

impl Users {
    /// Reads the file's content. Empty lines and those that begin with `#` are left
    /// out; of several lines with one name the last counts.
    ///
    /// # Errors
    /// The number of the first line that is no `name:hash` of a known kind.
    pub(super) fn parse(content: &[u8]) -> Result<Self> {
        let mut users =
            Self { index: HashMap::new(), hashes: Vec::new(), stand_ins: RandomState::new() };
        for (number, line) in (1..).zip(content.split(|&octet| octet == b'\n')) {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            let (name, hash) = parse_line(line).with_context(|| format!("line {number}"))?;
            match users.index.get(name) {
                Some(&at) => users.hashes[at] = hash,
                None => {
                    users.index.insert(name.into(), users.hashes.len());
                    users.hashes.push(hash);
                }
            }
        }
        // With nobody in it there is nobody whose absence could be measured.
        if users.hashes.is_empty() {
            users.hashes.push(Hash::Sha1([0; 20]));
        }
        Ok(users)
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.index.keys().map(|name| &**name)
    }

    /// Where to check the password of `name`. A name that is unknown gets the hash of
    /// somebody else, the same each time: so it costs what a known one does, whatever
    /// kinds of hash the file holds.
    pub(super) fn find(&self, name: &str) -> Found {
        match self.index.get(name) {
            Some(&at) => Found { at, known: true },
            None => {
                let number = self.stand_ins.hash_one(name) % self.hashes.len() as u64;
                Found { at: usize::try_from(number).unwrap_or_default(), known: false }
            }
        }
    }

    pub(super) fn hash(&self, found: Found) -> &Hash {
        &self.hashes[found.at]
    }
}

fn parse_line(line: &[u8]) -> Result<(&str, Hash)> {
    let line = std::str::from_utf8(line).context("it is not valid UTF-8")?;
    let (name, hash) = line.split_once(':').context("it is not name:hash")?;
    Ok((name, Hash::parse(hash)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_comments_and_line_ends_are_understood() {
        let users = Users::parse(
            b"# comment\n\nalice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\r\n\
              j\xc3\xb6rg:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\n\
              alice:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
        )
        .unwrap();
        assert_eq!(users.len(), 2);
        let alice = users.find("alice");
        assert!(alice.known && users.hash(alice).verify(b""), "the last line counts");
        assert!(users.contains("jörg") && !users.contains("ALICE"));
    }

    #[test]
    fn a_bad_line_is_named_by_number_without_its_content() {
        for (line, reason) in [
            ("bob:hunter2", "unknown kind of hash"),
            ("bob:hsDyoIreOJ1cU", "unknown kind of hash"),
            ("hunter2", "it is not name:hash"),
            ("bob:$2y$31$u6SsYfusOhIVIFRoLLM3meGLtkNnSfdbdnvFDRy2s8dze3oyYCH7u", "cost 31"),
        ] {
            let content = format!("alice:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\n{line}\n");
            let Err(error) = Users::parse(content.as_bytes()) else { panic!("{line} is taken") };
            let text = format!("{error:#}");
            assert!(text.starts_with("line 2: ") && text.contains(reason), "{text}");
            assert!(!text.contains("hunter2") && !text.contains("u6SsY"), "{text}");
        }
        let Err(error) = Users::parse(b"\xff:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=") else {
            panic!("taken")
        };
        assert!(format!("{error:#}").starts_with("line 1: it is not valid UTF-8"));
    }

    #[test]
    fn an_unknown_name_stands_in_for_the_same_user_each_time() {
        let line = |n| format!("u{n}:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\n");
        let users = Users::parse((0..50).map(line).collect::<String>().as_bytes()).unwrap();
        let mut seen: Vec<_> =
            (0..100).map(|n| users.find(&format!("unknown{n}"))).map(|found| found.at).collect();
        assert_eq!(users.find("unknown7").at, seen[7]);
        assert!(!users.find("unknown7").known);
        seen.sort_unstable();
        seen.dedup();
        assert!(seen.len() > 10, "they are spread over the users");
        assert!(!Users::parse(b"").unwrap().find("x").known);
    }
}

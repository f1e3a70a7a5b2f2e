//! The INI files of Python's `configparser`, as far as `logging.config` reads them.
//!
//! Own code, because the crates for INI lack this dialect: sections that inherit from
//! `[DEFAULT]`, continuation by indentation, `%(name)s`. Every error
//! names the line, or the section and the key.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};

/// Every section inherits its keys.
const DEFAULT: &str = "DEFAULT";

/// As many nested `%(name)s` as Python resolves; it ends circular references.
const MAX_DEPTH: usize = 10;

type Values = BTreeMap<String, String>;

/// A whole file.
#[derive(Debug, Default)]
pub(crate) struct Ini {
    default: Values,
    sections: BTreeMap<String, Values>,
}

/// One section of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Section<'a> {
    pub(crate) name: &'a str,
    own: &'a Values,
    default: &'a Values,
}

impl Ini {
    /// # Errors
    /// A line that Python does not accept, or a duplicate section or key.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut ini = Self::default();
        let mut section: Option<String> = None;
        // The key that a line with deeper indentation continues, and its own indentation.
        let mut open: Option<(String, usize)> = None;

        for (number, line) in (1..).zip(text.trim_start_matches('\u{feff}').lines()) {
            let content = line.trim();
            if content.starts_with(['#', ';']) {
                continue;
            }
            let indent = line.len() - line.trim_start().len();
            if let (Some(section), Some((key, depth))) = (&section, &open)
                && (content.is_empty() || indent > *depth)
            {
                if let Some(value) = ini.values(section).get_mut(key) {
                    value.push('\n');
                    value.push_str(content);
                }
                continue;
            }
            if content.is_empty() {
                continue;
            }
            open = None;
            if let Some(header) = content.strip_prefix('[') {
                let Some((name, _)) = header.split_once(']') else {
                    bail!("line {number}: {content:?} has no ] after the section's name");
                };
                if name != DEFAULT && ini.sections.contains_key(name) {
                    bail!("line {number}: duplicate section [{name}]; merge the two");
                }
                ini.values(name);
                section = Some(name.to_owned());
                continue;
            }
            let Some(name) = &section else {
                bail!("line {number}: {content:?} comes before the first [section]");
            };
            let Some((key, value)) = content.split_once(['=', ':']) else {
                bail!(
                    "line {number}: {content:?} is neither key=value, a [section], nor a # comment"
                );
            };
            let key = key.trim_end().to_lowercase();
            if key.is_empty() {
                bail!("line {number}: {content:?} has no key before its value");
            }
            if ini.values(name).insert(key.clone(), value.trim_start().to_owned()).is_some() {
                bail!("line {number}: duplicate key {key} in [{name}]");
            }
            open = Some((key, indent));
        }

        let all = ini.sections.values_mut().flat_map(BTreeMap::values_mut);
        for value in all.chain(ini.default.values_mut()) {
            value.truncate(value.trim_end().len());
        }
        Ok(ini)
    }

    fn values(&mut self, section: &str) -> &mut Values {
        if section == DEFAULT {
            return &mut self.default;
        }
        self.sections.entry(section.to_owned()).or_default()
    }

    /// # Errors
    /// There is no such section.
    pub(crate) fn section(&self, name: &str) -> anyhow::Result<Section<'_>> {
        let (name, own) = self
            .sections
            .get_key_value(name)
            .with_context(|| format!("there is no section [{name}]"))?;
        Ok(Section { name, own, default: &self.default })
    }
}

impl<'a> Section<'a> {
    /// The value as written in the file.
    pub(crate) fn raw(&self, key: &str) -> Option<&'a str> {
        self.own.get(key).or_else(|| self.default.get(key)).map(String::as_str)
    }

    /// The value with `%(name)s` filled in and `%%` as `%`. A `%` before anything
    /// else stays, as with Python 2.
    pub(crate) fn get(&self, key: &str) -> anyhow::Result<Option<String>> {
        let Some(raw) = self.raw(key) else { return Ok(None) };
        let value = self.fill_in(raw, MAX_DEPTH);
        value.map(Some).with_context(|| self.of(key))
    }

    /// A value of one or more words. As in Python 2, ` ;` begins a comment.
    pub(crate) fn word(&self, key: &str) -> anyhow::Result<Option<String>> {
        Ok(self.get(key)?.map(|value| {
            let comment = value.find(" ;").or_else(|| value.find("\t;"));
            value[..comment.unwrap_or(value.len())].trim_end().to_owned()
        }))
    }

    /// # Errors
    /// There is no such key.
    pub(crate) fn required(&self, key: &str) -> anyhow::Result<String> {
        self.word(key)?.with_context(|| format!("[{}] key {key} is missing", self.name))
    }

    /// The parts of a comma-separated list; empty without the key.
    pub(crate) fn list(&self, key: &str) -> anyhow::Result<Vec<String>> {
        let value = self.word(key)?.unwrap_or_default();
        let parts = value.split(',').map(str::trim).filter(|part| !part.is_empty());
        Ok(parts.map(str::to_owned).collect())
    }

    /// # Errors
    /// The section has another key: most likely one of these, mistyped.
    pub(crate) fn only(&self, keys: &[&str]) -> anyhow::Result<()> {
        match self.own.keys().find(|key| !keys.contains(&key.as_str())) {
            Some(key) => {
                let known = keys.join(", ");
                bail!("{} is not a valid key; valid keys: {known}", self.of(key))
            }
            None => Ok(()),
        }
    }

    /// How errors name a key.
    pub(crate) fn of(&self, key: &str) -> String {
        format!("[{}] {key}", self.name)
    }

    fn fill_in(&self, raw: &str, depth: usize) -> anyhow::Result<String> {
        let mut value = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some((before, after)) = rest.split_once('%') {
            value.push_str(before);
            rest = if let Some(after) = after.strip_prefix('%') {
                value.push('%');
                after
            } else if let Some((name, after)) =
                after.strip_prefix('(').and_then(|after| after.split_once(")s"))
            {
                let inner = self.raw(&name.to_lowercase()).with_context(|| {
                    format!("%({name})s is not a key of this section or of [{DEFAULT}]")
                })?;
                let Some(depth) = depth.checked_sub(1) else {
                    bail!("%({name})s refers to itself");
                };
                value.push_str(&self.fill_in(inner, depth)?);
                after
            } else {
                value.push('%');
                after
            };
        }
        value.push_str(rest);
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error_of(text: &str) -> String {
        format!("{:#}", Ini::parse(text).unwrap_err())
    }

    #[test]
    fn dialect_of_configparser_is_read() {
        let ini = Ini::parse(
            "\u{feff}# comment\n; comment\n[DEFAULT]\ndir = /var/log\n\n[one] trailing\n\
             Key=value\nother : a=b:c  \nempty=\nlong = first\n   # inside\n   second\n\n\
             \x20  third\n\n\n[two]\nlist = a, b ,,c ; comment\n",
        )
        .unwrap();
        let one = ini.section("one").unwrap();
        assert_eq!(one.raw("key"), Some("value"));
        assert_eq!(one.raw("other"), Some("a=b:c"));
        assert_eq!(one.raw("empty"), Some(""));
        assert_eq!(one.raw("long"), Some("first\nsecond\n\nthird"));
        assert_eq!(one.raw("dir"), Some("/var/log"));
        assert_eq!(one.raw("Key"), None);
        assert_eq!(ini.section("two").unwrap().list("list").unwrap(), ["a", "b", "c"]);
        assert!(ini.section("three").is_err());
    }

    #[test]
    fn values_are_filled_in_unless_raw() {
        let ini = Ini::parse(
            "[DEFAULT]\ndir=/var\nloop=%(LOOP)s\n[s]\nfile=%(Dir)s/%%(x)s 5%\nnone=%(nil)s",
        )
        .unwrap();
        let section = ini.section("s").unwrap();
        assert_eq!(section.get("file").unwrap().unwrap(), "/var/%(x)s 5%");
        assert_eq!(section.raw("file"), Some("%(Dir)s/%%(x)s 5%"));
        let error = format!("{:#}", section.get("none").unwrap_err());
        assert!(error.starts_with("[s] none: %(nil)s is not a key"), "{error}");
        assert!(format!("{:#}", section.get("loop").unwrap_err()).contains("refers to itself"));
    }

    #[test]
    fn wrong_lines_are_named() {
        assert!(error_of("key=value").starts_with("line 1: "));
        assert!(error_of("[a]\n\n[a]").starts_with("line 3: duplicate section [a]"));
        assert!(error_of("[a]\nk=1\nK=2").starts_with("line 3: duplicate key k in [a]"));
        assert!(error_of("[a]\nword").starts_with("line 2: \"word\" is neither"));
        assert!(error_of("[a]\n=1").contains("no key"));
        assert!(error_of("[a").contains("no ]"));
    }

    #[test]
    fn mistyped_key_is_named_with_the_valid_ones() {
        let ini = Ini::parse("[DEFAULT]\nx=1\n[a]\nlevle=INFO").unwrap();
        let error = ini.section("a").unwrap().only(&["level", "args"]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("[a] levle is not a valid key") && text.contains("level, args"),
            "{text}"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "([\\[\\]=:;#% \n\ta-c()s]|\\PC)*") {
            if let Ok(ini) = Ini::parse(&text) {
                for name in ini.sections.keys() {
                    let section = ini.section(name).unwrap();
                    for key in section.own.keys() {
                        let _ = section.word(key);
                    }
                }
            }
        }
    }
}

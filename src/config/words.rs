//! What is wrong with a file before its keys mean anything, in our words: what is not TOML,
//! and values of another type than their key has. Each names key, value and the form that is
//! wanted; what a key wants is in the file's schema.

use std::{ops::Range, sync::LazyLock};

use serde_json::Value;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Config, read::Fault};

/// Characters of a value that are quoted: more are no help.
const MAX_QUOTED: usize = 60;

/// Rounds in which lines are taken out: one that is wrong may hide another.
const MAX_ROUNDS: usize = 8;

static SCHEMA: LazyLock<Value> = LazyLock::new(|| schemars::schema_for!(Config).to_value());

/// The text without the lines that are not TOML, and what is wrong with these; every other
/// octet has its place. `false`: what is left would be misunderstood.
pub(super) fn without_broken_lines(text: &str) -> (String, Vec<Fault>, bool) {
    let mut rest = text.to_owned();
    let mut faults: Vec<Fault> = Vec::new();
    for _ in 0..MAX_ROUNDS {
        let (_, errors) = DeTable::parse_recoverable(&rest);
        if errors.is_empty() {
            return (rest, faults, true);
        }
        let mut lines: Vec<Range<usize>> = Vec::new();
        for error in &errors {
            let span = error.span().unwrap_or(0..0);
            let line = line_at(&rest, span.start);
            if lines.contains(&line) {
                continue;
            }
            let said = &rest[line.clone()];
            faults.push(Fault {
                key: String::new(),
                span: Some(span),
                text: syntax(said, error.message()),
            });
            lines.push(line);
        }
        for line in lines {
            let Some(mended) = mended(&rest[line.clone()]) else { return (rest, faults, false) };
            rest.replace_range(line, &mended);
        }
    }
    (rest, faults, false)
}

/// The line in which `at` is, without its end.
fn line_at(text: &str, at: usize) -> Range<usize> {
    let at = text.floor_char_boundary(at.min(text.len()));
    let from = text[..at].rfind('\n').map_or(0, |at| at + 1);
    let to = text[at..].find('\n').map_or(text.len(), |end| at + end);
    from..to
}

/// Key and value of a line that has both; the value may be anything.
fn parts(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '"');
    let key = key.trim();
    (!key.is_empty() && key.chars().all(is_plain)).then_some((key, value.trim()))
}

/// The line as a comment of the same length, or with a number as its value: that is taken out
/// again, and shows which key it was.
fn mended(line: &str) -> Option<String> {
    let (_, value) = parts(line)?;
    // A value of several lines goes on behind this one.
    if value.starts_with(['[', '{']) || value.starts_with("\"\"\"") || value.starts_with("'''") {
        return None;
    }
    let at = line.find('=')? + 1;
    Some(match line.len() - at {
        0 => format!("#{}", " ".repeat(line.len() - 1)),
        more => format!("{}0{}", &line[..at], " ".repeat(more - 1)),
    })
}

/// What is wrong with a line that is not TOML.
fn syntax(line: &str, message: &str) -> String {
    let shown = quoted(line.trim());
    if message.starts_with("duplicate key") {
        let key = parts(line).map_or(shown.as_str(), |(key, _)| key);
        return format!("{key} is given twice; delete one of the two");
    }
    if line.trim_start().starts_with('[') && !line.trim_end().ends_with(']') {
        return format!("{shown} is not closed; write [table], or [[port]] for each port");
    }
    let Some((key, value)) = parts(line) else {
        let word = line.split_whitespace().next().unwrap_or_default().trim_end_matches([':', '=']);
        let is_key = word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        return if is_key && !word.is_empty() && !line.contains('=') {
            let value = line.trim().trim_start_matches(word).trim_start_matches([' ', ':']);
            let value = if value.is_empty() { "VALUE" } else { value };
            format!("{shown} has no =; write {word} = {value}")
        } else {
            format!("{shown} is not valid TOML: {message}")
        };
    };
    let bare = value.split('#').next().unwrap_or_default().trim();
    match bare {
        "" => format!("{key} has no value; write {key} = VALUE"),
        _ if bare.eq_ignore_ascii_case("true") || bare.eq_ignore_ascii_case("false") => {
            format!("{key} = {bare} is not valid; write {key} = {}", bare.to_ascii_lowercase())
        }
        _ if bare.starts_with(['"', '\'']) => {
            let why = if message.contains("escape") {
                "has an unknown \\ in it; write \\\\ for each"
            } else {
                "must end with the quote that it begins with, and nothing behind it"
            };
            format!("{key} = {}: the value {why}", quoted(bare))
        }
        _ if bare.starts_with(['[', '{']) => {
            format!("{key} = {} is not valid TOML: {message}", quoted(bare))
        }
        _ => format!("{key} = {bare}: a text needs quotes; write {key} = \"{bare}\""),
    }
}

/// What stands in one line, shortened.
fn quoted(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut short: String = line.chars().take(MAX_QUOTED).collect();
    if short.len() < text.trim_end().len() {
        short.push('…');
    }
    short
}

/// Takes the values out that are of another type than their keys have, and says so. `text` is
/// what they stand in.
pub(super) fn check_types(root: &mut DeTable<'_>, text: &str, faults: &mut Vec<Fault>) {
    check_table(root, "", &SCHEMA, text, faults);
}

fn check_table(
    table: &mut DeTable<'_>,
    above: &str,
    schema: &'static Value,
    text: &str,
    faults: &mut Vec<Fault>,
) {
    let mut wrong = Vec::new();
    for (key, value) in table.iter_mut() {
        // What is not known is told elsewhere, with what it is like.
        let Some(wanted) = property(schema, key.get_ref()) else { continue };
        let whole = format!("{above}{}", key.get_ref());
        if !check_value(value, &whole, wanted, text, faults) {
            wrong.push(key.clone());
        }
    }
    for key in wrong {
        table.remove(&key);
    }
}

/// Whether the value is of its type; what is within is taken out by itself.
fn check_value(
    value: &mut Spanned<DeValue<'_>>,
    key: &str,
    wanted: &'static Value,
    text: &str,
    faults: &mut Vec<Fault>,
) -> bool {
    let wanted = resolved(wanted);
    let span = value.span();
    let is_table = wanted["properties"].is_object();
    match value.get_mut() {
        // Tables under names that the file gives.
        DeValue::Table(table) if wanted["additionalProperties"].is_object() => {
            for (name, one) in table.iter_mut() {
                let key = format!("{key}.{}", name.get_ref());
                check_value(one, &key, &wanted["additionalProperties"], text, faults);
            }
            return true;
        }
        DeValue::Table(table) if is_table => {
            check_table(table, &format!("{key}."), wanted, text, faults);
            return true;
        }
        DeValue::Array(list) if is(wanted, "array") => {
            let mut is_right = true;
            for (at, one) in list.iter_mut().enumerate() {
                let key = format!("{key}.{at}");
                is_right &= check_value(one, &key, &wanted["items"], text, faults);
            }
            return is_right;
        }
        other if !is_table && fits(other, wanted) => return true,
        _ => {}
    }
    let written = text.get(span.clone()).map(quoted).unwrap_or_default();
    let text = wrong_type(key, value.get_ref(), &written, wanted);
    faults.push(Fault { key: key.to_owned(), span: Some(span), text });
    false
}

/// The schema of a key, also by a former name without hyphens.
fn property<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let known = schema["properties"].as_object()?;
    let is_it = |own: &&String| own.replace('-', "") == name;
    known.get(name).or_else(|| known.keys().find(is_it).and_then(|own| known.get(own)))
}

/// What a schema refers to, without the `null` of a key that may be missing.
fn resolved(mut schema: &'static Value) -> &'static Value {
    loop {
        let one_of = schema["anyOf"].as_array().and_then(|parts| parts.first());
        let all_of = schema["allOf"].as_array().and_then(|parts| parts.first());
        let reference = schema["$ref"].as_str().map(|it| it.trim_start_matches('#'));
        match reference.and_then(|it| SCHEMA.pointer(it)).or(one_of).or(all_of) {
            Some(next) => schema = next,
            None => return schema,
        }
    }
}

fn is(schema: &Value, name: &str) -> bool {
    match &schema["type"] {
        Value::Array(types) => types.iter().any(|one| one == name),
        one => one == name,
    }
}

fn fits(value: &DeValue<'_>, wanted: &Value) -> bool {
    match value {
        DeValue::String(_) => is(wanted, "string"),
        DeValue::Boolean(_) => is(wanted, "boolean"),
        DeValue::Integer(number) => {
            let number = i64::from_str_radix(number.as_str(), number.radix());
            is(wanted, "integer") && number.is_ok_and(|number| within(number, wanted))
        }
        DeValue::Float(_) => is(wanted, "number"),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => false,
    }
}

/// Bounds of a number: those that are declared, or those of its type.
fn bounds(wanted: &Value) -> (i64, Option<i64>) {
    let of_type = match wanted["format"].as_str() {
        Some("uint16") => Some(u16::MAX.into()),
        Some("uint32") => Some(u32::MAX.into()),
        _ => None,
    };
    let least = wanted["minimum"].as_i64().unwrap_or(0);
    (least, wanted["maximum"].as_i64().or(of_type))
}

fn within(number: i64, wanted: &Value) -> bool {
    let (least, most) = bounds(wanted);
    number >= least && most.is_none_or(|most| number <= most)
}

/// What a key of another type should have been.
fn wrong_type(key: &str, value: &DeValue<'_>, written: &str, wanted: &Value) -> String {
    let is_index = |step: &&str| !step.bytes().all(|octet| octet.is_ascii_digit());
    let path = key.split('.').filter(is_index).collect::<Vec<_>>().join(".");
    let name = path.rsplit('.').next().unwrap_or_default();
    let is_list = is(wanted, "array");
    match value {
        DeValue::Table(_) if is_list && resolved_items(wanted)["properties"].is_object() => {
            return format!(
                "[{path}] is one table; write [[{path}]], in double brackets, for each"
            );
        }
        DeValue::Table(_) => {
            return format!("{name} is a table; write it as {name} = {}", form(wanted));
        }
        DeValue::Array(list) if wanted["properties"].is_object() && !list.is_empty() => {
            return format!("[[{path}]] is a list; write [{path}], in single brackets, once");
        }
        _ if wanted["properties"].is_object() => {
            return format!(
                "{name} = {written}: it is a table; write [{path}], and its keys below"
            );
        }
        _ => {}
    }
    let is_bare = !written.starts_with(['[', '{', '"', '\'']);
    let way_out = match value {
        _ if is_list && !matches!(value, DeValue::Array(_)) => {
            let item = if is_bare { format!("\"{written}\"") } else { written.to_owned() };
            format!("write a list, {name} = [{item}]")
        }
        DeValue::String(text) if is(wanted, "integer") || is(wanted, "boolean") => {
            let text = text.to_ascii_lowercase();
            let number = text.parse().is_ok_and(|number| within(number, wanted));
            let truth = is(wanted, "boolean") && ["true", "false"].contains(&&*text);
            if number && is(wanted, "integer") || truth {
                format!("write {name} = {text}, without quotes")
            } else {
                format!("give {}", form(wanted))
            }
        }
        _ if !choices(wanted).is_empty() => format!("give {}", form(wanted)),
        _ if is(wanted, "string") && is_bare => {
            format!("a text needs quotes; write {name} = \"{written}\"")
        }
        _ => format!("give {}", form(wanted)),
    };
    format!("{name} = {written}: {way_out}")
}

fn resolved_items(schema: &Value) -> &Value {
    let items = &schema["items"];
    items["$ref"]
        .as_str()
        .and_then(|it| SCHEMA.pointer(it.trim_start_matches('#')))
        .unwrap_or(items)
}

/// The words that a value may be, if it is one of some.
fn choices(wanted: &Value) -> Vec<&Value> {
    let all = wanted["enum"].as_array().map(|words| words.iter().collect::<Vec<_>>());
    let each = || Some(wanted["oneOf"].as_array()?.iter().map(|one| &one["const"]).collect());
    let words = all.or_else(each).unwrap_or_default();
    if words.iter().all(|word| word.is_string()) { words } else { Vec::new() }
}

/// The form of a value.
fn form(wanted: &Value) -> String {
    let words = choices(wanted);
    if !words.is_empty() {
        let words: Vec<_> = words.into_iter().map(ToString::to_string).collect();
        format!("one of {}", words.join(", "))
    } else if is(wanted, "integer") {
        match bounds(wanted) {
            (least, Some(most)) => format!("a whole number from {least} to {most}"),
            (least, None) => format!("a whole number from {least}"),
        }
    } else if is(wanted, "boolean") {
        "true or false".to_owned()
    } else if is(wanted, "array") {
        "a list of texts, as [\"one\", \"other\"]".to_owned()
    } else {
        "a text in quotes".to_owned()
    }
}

//! Reads a configuration file, and says what is wrong with it: all of it, each with its
//! line and column. What serde refuses is taken out of the document, which is then read
//! again, so that one mistake does not hide the next.

use std::{
    borrow::Cow,
    env, error,
    fmt::{self, Write as _},
    ops::Range,
    path::{self, Path, PathBuf},
};

use anyhow::{Context as _, Result};
use etherws_actors::{
    error::plain,
    kinds::KindInfo,
    settings::{PortSettings, SETTINGS, Scope, Setting},
};
use serde::Deserialize as _;
use toml::{
    Spanned,
    de::{DeString, DeTable, DeValue, Deserializer},
};

use super::{
    CommandLine, Config, Sw, path_keys, resolve,
    words::{check_types, without_broken_lines},
};
use crate::{files, parse::hint};

/// Most mistakes that are told of one file: more are no help.
const MAX_FAULTS: usize = 32;

/// A configuration file.
#[derive(Debug, Clone)]
pub(crate) struct File {
    /// Absolute.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// What it says; its relative paths are absolute.
    pub(crate) config: Config,
    /// Whether it has the table `[tunnel]`, be it empty: that asks for a listener.
    pub(crate) has_tunnel: bool,
}

/// Where a running switch has its configuration from, for when it is read again.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// As it is in force.
    pub(crate) file: File,
    /// What wins over it.
    pub(crate) line: CommandLine,
}

impl Source {
    /// The file as it is now, and what it asks for together with the command line.
    ///
    /// # Errors
    /// It cannot be read, or something in it is wrong.
    pub(crate) fn read_again(&self) -> Result<(Self, Sw)> {
        let (file, faults) = File::read(&self.file.path)?;
        let config = self.line.over(file.config.clone())?;
        let sw = resolve(&config, Some(&file), &self.line, faults)?;
        Ok((Self { file, line: self.line.clone() }, sw))
    }
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Key that it is about, with indices: `port.0.mtu`.
    pub(crate) key: String,
    /// Where in the file, if not where the key is.
    pub(super) span: Option<Range<usize>>,
    /// In one line: the thing, the value and the way out.
    pub(crate) text: String,
}

impl Fault {
    pub(crate) fn new(key: impl Into<String>, text: impl Into<String>) -> Self {
        Self { key: key.into(), span: None, text: plain(text.into()) }
    }
}

/// All that is wrong with a file, or with a command line.
#[derive(Debug)]
pub(crate) struct Faults {
    lines: Vec<String>,
    pub(crate) count: usize,
    /// Whether a file has them, and not only a command line.
    pub(crate) is_of_file: bool,
    /// In full, with the lines that are meant.
    pub(crate) report: String,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.lines.first().map_or("nothing", String::as_str))?;
        match self.count {
            0 | 1 => Ok(()),
            count => write!(f, " (and {} more: etherws check shows them)", count - 1),
        }
    }
}

impl error::Error for Faults {}

impl Faults {
    /// Faults of a command line without a file.
    pub(super) fn of_options(faults: &[Fault]) -> Self {
        let lines: Vec<_> = faults.iter().map(|fault| fault.text.clone()).collect();
        Self { report: lines.join("\n"), count: lines.len(), is_of_file: false, lines }
    }
}

impl File {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// It cannot be read. What is wrong in it is in the second part of what is given.
    pub(crate) fn read(path: &Path) -> Result<(Self, Vec<Fault>)> {
        let shown = path.display();
        let octets =
            files::read(path).with_context(|| format!("{shown}: give a file that can be read"))?;
        let text =
            String::from_utf8(octets).with_context(|| format!("{shown} is not valid UTF-8"))?;
        let path = path::absolute(path)
            .with_context(|| format!("{shown}: the full path cannot be found"))?;
        let (config, faults) = parse(&text, path.parent().unwrap_or(&path));
        let (root, _) = DeTable::parse_recoverable(&text);
        let has_tunnel = root.get_ref().contains_key("tunnel");
        Ok((Self { path, text, config, has_tunnel }, faults))
    }

    /// URL of control of the switch that runs by this file, as `ctl` takes it.
    pub(crate) fn control_url(&self) -> String {
        let control = &self.config.control;
        if let Some(socket) = &control.socket {
            return format!("unix:{}", socket.display());
        }
        let scheme = if control.tls.key.is_some() { "https" } else { "http" };
        let host = control.host.as_deref().filter(|host| !host.is_empty());
        let (host, port) = (host.unwrap_or("127.0.0.1"), control.port.unwrap_or(7867));
        format!("{scheme}://{host}:{port}{}", control.path.as_deref().unwrap_or("/ctl"))
    }

    /// `faults` with their places in this file.
    pub(crate) fn faults(&self, faults: &[Fault]) -> Faults {
        let (root, _) = DeTable::parse_recoverable(&self.text);
        let mut placed: Vec<_> = faults
            .iter()
            .map(|fault| {
                let found = || find(root.get_ref(), &fault.key);
                (fault.span.clone().or_else(found), fault.text.as_str())
            })
            .collect();
        placed.sort_by_key(|(span, _)| span.as_ref().map_or(0, |span| span.start));
        placed.dedup();
        let mut lines = Vec::new();
        let mut report = String::new();
        for (span, text) in &placed {
            let at = span.as_ref().map(|span| Place::of(&self.text, span));
            let place =
                at.as_ref().map_or_else(String::new, |at| format!("{}:{}:", at.line, at.column));
            let line = format!("{}:{place} {text}", self.path.display());
            let _ = writeln!(report, "{line}");
            if let Some(at) = at {
                let _ = write!(report, "{}", at.snippet());
            }
            lines.push(line);
        }
        Faults { count: lines.len(), lines, is_of_file: true, report: report.trim_end().to_owned() }
    }
}

/// A place in the file.
struct Place<'a> {
    /// From 1.
    line: usize,
    /// In characters, from 1.
    column: usize,
    content: &'a str,
    /// Characters that are meant; at least one.
    width: usize,
}

impl<'a> Place<'a> {
    fn of(text: &'a str, span: &Range<usize>) -> Self {
        let start = text.floor_char_boundary(span.start.min(text.len()));
        let from = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let to = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = text.floor_char_boundary(span.end.clamp(start, to));
        Self {
            line: text[..start].matches('\n').count() + 1,
            column: text[from..start].chars().count() + 1,
            content: text[from..to].trim_end_matches('\r'),
            width: text[start..end].chars().count().max(1),
        }
    }

    /// The line, and what is meant in it.
    fn snippet(&self) -> String {
        let Self { line, column, content, width } = self;
        let margin = " ".repeat(line.to_string().len());
        // As wide as it is shown.
        let before: String =
            content.chars().take(column - 1).map(|c| if c == '\t' { c } else { ' ' }).collect();
        format!("{margin} |\n{line} | {content}\n{margin} | {before}{}\n", "^".repeat(*width))
    }
}

/// What `text` says, and what is wrong with it. Its relative paths begin in `folder`.
fn parse(text: &str, folder: &Path) -> (Config, Vec<Fault>) {
    let (text, mut faults, is_whole) = without_broken_lines(text);
    if !is_whole {
        // What is left of it would be misunderstood.
        return (Config::default(), faults);
    }
    let (mut root, _) = DeTable::parse_recoverable(&text);
    for fault in &mut faults {
        // What stands in the place of a broken value.
        let value = fault.span.as_ref().and_then(|span| value_at(&text, span));
        fault.key = value.and_then(|span| remove(root.get_mut(), &span)).unwrap_or_default();
    }
    gather_settings(root.get_mut());
    check_settings(root.get_mut(), &mut faults);
    check_types(root.get_mut(), &text, &mut faults);
    make_absolute(root.get_mut(), folder);
    while faults.len() < MAX_FAULTS {
        match Config::deserialize(Deserializer::from(root.clone())) {
            Ok(config) => return (config, faults),
            Err(error) => {
                let removed = error.span().and_then(|span| remove(root.get_mut(), &span));
                let (stays, key) = (removed.is_none(), removed.unwrap_or_default());
                let text = with_hint(error.message());
                faults.push(Fault { key, span: error.span(), text });
                if stays {
                    break;
                }
            }
        }
    }
    (Config::default(), faults)
}

/// The value of the line that `span` begins in.
fn value_at(text: &str, span: &Range<usize>) -> Option<Range<usize>> {
    let start = text.floor_char_boundary(span.start.min(text.len()));
    let from = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let to = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let at = from + text[from..to].find("=0")? + 1;
    Some(at..at + 1)
}

/// Takes the settings out that have no such value, of a port or for all ports.
fn check_settings(root: &mut DeTable<'_>, faults: &mut Vec<Fault>) {
    let mut check = |above: &str, table: &mut DeTable<'_>| {
        let Some(DeValue::Table(settings)) = table.get_mut(GATHERED).map(Spanned::get_mut) else {
            return;
        };
        let mut wrong = Vec::new();
        for (key, value) in settings.iter() {
            let mut one = DeTable::new();
            one.insert(key.clone(), value.clone());
            let one = Deserializer::from(Spanned::new(0..0, one));
            if let Err(error) = PortSettings::deserialize(one) {
                let text = format!("{}: {}", key.get_ref(), with_hint(error.message()));
                let span = Some(value.span());
                faults.push(Fault { key: format!("{above}.{}", key.get_ref()), span, text });
                wrong.push(key.clone());
            }
        }
        for key in wrong {
            settings.remove(&key);
        }
    };
    if let Some(defaults) = table(root, "port-defaults") {
        check("port-defaults", defaults);
    }
    for (name, one) in table(root, "profile").into_iter().flatten() {
        if let DeValue::Table(profile) = one.get_mut() {
            check(&format!("profile.{}", name.get_ref()), profile);
        }
    }
    if let Some(DeValue::Array(ports)) = root.get_mut("port").map(Spanned::get_mut) {
        for (at, port) in ports.iter_mut().enumerate() {
            if let DeValue::Table(port) = port.get_mut() {
                check(&format!("port.{at}"), port);
            }
        }
    }
}

/// The table that the settings of a port are gathered in, since a struct with a flattened
/// part would take unknown keys. Nobody writes a key like this.
const GATHERED: &str = "(settings)";

/// Gathers the settings of each port and profile, and those for all ports, in tables of
/// their own.
/// `[switch]` has had some of the latter: they are still taken there.
fn gather_settings(root: &mut DeTable<'_>) {
    let for_all = |setting: &Setting| setting.scope == Scope::Anywhere;
    let of_ports = |setting: &Setting| for_all(setting) && !setting.is_of_switch();
    let former = table(root, "switch").map(|table| take_settings(table, of_ports));
    let own = table(root, "port-defaults").map(|table| take_settings(table, for_all));
    let mut gathered = former.unwrap_or_default();
    gathered.extend(own.unwrap_or_default());
    if !gathered.is_empty() {
        if table(root, "port-defaults").is_none() {
            root.insert(
                unplaced("port-defaults"),
                Spanned::new(0..0, DeValue::Table(DeTable::new())),
            );
        }
        if let Some(table) = table(root, "port-defaults") {
            insert_settings(table, gathered);
        }
    }
    let profiles = table(root, "profile").map(|all| all.iter_mut().map(|(_, one)| one.get_mut()));
    profiles.into_iter().flatten().for_each(gather_own);
    if let Some(DeValue::Array(ports)) = root.get_mut("port").map(Spanned::get_mut) {
        ports.iter_mut().map(Spanned::get_mut).for_each(gather_own);
    }
}

/// Gathers all settings of a port or profile.
fn gather_own(table: &mut DeValue<'_>) {
    if let DeValue::Table(table) = table {
        let gathered = take_settings(table, |_| true);
        insert_settings(table, gathered);
    }
}

fn table<'a, 'i>(root: &'a mut DeTable<'i>, name: &str) -> Option<&'a mut DeTable<'i>> {
    match root.get_mut(name)?.get_mut() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// A key that stands nowhere.
fn unplaced(key: &'static str) -> Spanned<DeString<'static>> {
    Spanned::new(0..0, key.into())
}

/// Takes the settings that are wanted out of a table.
fn take_settings<'i>(table: &mut DeTable<'i>, wanted: impl Fn(&Setting) -> bool) -> DeTable<'i> {
    let is_wanted = |key: &str| Setting::find(key).is_some_and(&wanted);
    let keys: Vec<_> = table.keys().filter(|key| is_wanted(key.get_ref())).cloned().collect();
    keys.into_iter().filter_map(|key| table.remove_entry(&key)).collect()
}

fn insert_settings<'i>(table: &mut DeTable<'i>, settings: DeTable<'i>) {
    if !settings.is_empty() {
        table.insert(unplaced(GATHERED), Spanned::new(0..0, DeValue::Table(settings)));
    }
}

/// A message of serde's in our words; if a name is unknown, with the one that may be meant.
fn with_hint(message: &str) -> String {
    let mut names = message.split('`').skip(1).step_by(2);
    let kind = if message.starts_with("unknown field") {
        "key"
    } else if message.starts_with("unknown variant") {
        "value"
    } else {
        return message.replace('\n', ", ");
    };
    let Some(unknown) = names.next() else { return message.to_owned() };
    let mut known: Vec<_> = names.collect();
    if known.contains(&GATHERED) {
        known.retain(|name| *name != GATHERED);
        known.extend(SETTINGS.iter().map(|setting| setting.name));
    }
    hint(kind, unknown, &known)
}

/// Takes the innermost entry out that `span` is about, and gives its key.
fn remove(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<String> {
    let covers = |own: Range<usize>| own.start <= span.start && span.end <= own.end;
    for (key, value) in table.iter_mut() {
        if let Some(inner) = remove_within(value, span) {
            return Some(format!("{}.{inner}", key.get_ref()));
        }
    }
    let entry = table.iter().find(|(key, value)| covers(key.span()) || covers(value.span()));
    let key = entry.map(|(key, _)| key.clone())?;
    table.remove(&key);
    Some(key.into_inner().into_owned())
}

fn remove_within(value: &mut Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<String> {
    match value.get_mut() {
        DeValue::Table(inner) => remove(inner, span),
        DeValue::Array(inner) => inner.iter_mut().enumerate().find_map(|(at, element)| {
            remove_within(element, span).map(|inner| format!("{at}.{inner}"))
        }),
        _ => None,
    }
}

/// Where a key's value stands; for a key that is missing, the table that it would be in.
fn find(root: &DeTable<'_>, key: &str) -> Option<Range<usize>> {
    let mut table = Some(root);
    let mut array: Option<&toml::de::DeArray<'_>> = None;
    let mut found = None;
    for step in key.split('.') {
        let value = match (table, array) {
            (_, Some(elements)) => elements.get(step.parse::<usize>().ok()?),
            (Some(table), None) => {
                table.iter().find(|(name, _)| name.get_ref() == step).map(|(_, value)| value)
            }
            (None, None) => None,
        };
        let Some(value) = value else { return found };
        (table, array) = (value.get_ref().as_table(), value.get_ref().as_array());
        found = Some(value.span());
    }
    found
}

/// Makes relative paths absolute. A bare name is that of a credential, if the service
/// manager has given one of that name (systemd's `LoadCredential=`).
fn make_absolute(root: &mut DeTable<'_>, folder: &Path) {
    let credentials = env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    let absolute = |path: &mut Cow<'_, str>| {
        let own = Path::new(&**path);
        let bare = own.components().count() == 1 && own.is_relative();
        let credential = credentials.as_ref().filter(|_| bare).map(|folder| folder.join(own));
        let whole = credential.filter(|path| path.exists()).unwrap_or_else(|| folder.join(own));
        *path = whole.to_string_lossy().into_owned().into();
    };
    for key in path_keys() {
        text_at(root, &key).map(absolute);
    }
    let Some(DeValue::Array(ports)) = root.get_mut("port").map(Spanned::get_mut) else { return };
    for port in ports.iter_mut() {
        let DeValue::Table(port) = port.get_mut() else { continue };
        let kind = text_at(port, "type").and_then(|kind| KindInfo::find(kind));
        for file in kind.iter().flat_map(|kind| kind.files) {
            text_at(port, file).map(absolute);
        }
    }
}

/// The text that a key has, by the key's whole name.
fn text_at<'a, 'i>(table: &'a mut DeTable<'i>, key: &str) -> Option<&'a mut Cow<'i, str>> {
    let (name, rest) = key.split_once('.').map_or((key, None), |(name, rest)| (name, Some(rest)));
    match (table.get_mut(name)?.get_mut(), rest) {
        (DeValue::Table(inner), Some(rest)) => text_at(inner, rest),
        (DeValue::String(text), None) => Some(text),
        _ => None,
    }
}

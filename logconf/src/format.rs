//! How a record becomes a line: Python's `%` formats, such as
//! `%(asctime)s %(levelname)-8s %(name)s %(message)s`, with `strftime` for times.
//!
//! A format is checked once, when the program starts; writing a line cannot fail.

use std::{fmt, iter::repeat_n, path::Path, process, sync::LazyLock};

use anyhow::{Context as _, bail};
use jiff::{
    Timestamp, Zoned,
    fmt::strtime::{BrokenDownTime, Config, PosixCustom},
    tz::TimeZone,
};

use crate::level::Level;

/// Wider fields than any screen are mistakes.
const MAX_WIDTH: usize = 1000;

/// Python's default, to which it adds the milliseconds.
const ASCTIME: &str = "%Y-%m-%d %H:%M:%S";

/// `relativeCreated` counts from here.
static STARTED: LazyLock<Timestamp> = LazyLock::new(Timestamp::now);

/// Notes when logging starts, unless it has.
pub(crate) fn start() {
    LazyLock::force(&STARTED);
}

/// A record, and what was true when it was made.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    pub(crate) created: Timestamp,
    pub(crate) thread: i64,
    pub(crate) thread_name: &'a str,
    /// Of the logger.
    pub(crate) name: &'a str,
    pub(crate) level: Level,
    pub(crate) file: &'a str,
    pub(crate) line: u32,
    pub(crate) message: &'a str,
}

/// A formatter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Format {
    pieces: Vec<Piece>,
    datefmt: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Field(Field, Spec),
}

macro_rules! fields {
    ($($field:ident $name:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Field { $($field,)* }

        impl Field {
            const ALL: &[(&str, Self)] = &[$(($name, Self::$field),)*];
        }
    };
}

fields! {
    AscTime "asctime",
    Created "created",
    FileName "filename",
    FuncName "funcName",
    LevelName "levelname",
    LevelNo "levelno",
    LineNo "lineno",
    Message "message",
    Module "module",
    Msecs "msecs",
    Name "name",
    PathName "pathname",
    Process "process",
    ProcessName "processName",
    RelativeCreated "relativeCreated",
    TaskName "taskName",
    Thread "thread",
    ThreadName "threadName",
}

/// The rest of a `%` conversion, as C's printf has it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Spec {
    left: bool,
    zeros: bool,
    /// `+` or a blank before a number that is not negative.
    sign: Option<char>,
    width: usize,
    precision: Option<usize>,
    kind: char,
}

/// What a field holds.
enum Value<'a> {
    Text(&'a str),
    Int(i64),
    Float(f64),
}

impl Default for Format {
    fn default() -> Self {
        Self { pieces: vec![Piece::Field(Field::Message, Spec::text())], datefmt: None }
    }
}

impl Format {
    /// # Errors
    /// An unknown conversion or field, by name.
    pub(crate) fn parse(format: &str) -> anyhow::Result<Self> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = format;
        while let Some((before, after)) = rest.split_once('%') {
            text.push_str(before);
            if let Some(after) = after.strip_prefix('%') {
                text.push('%');
                rest = after;
                continue;
            }
            let Some((name, after)) =
                after.strip_prefix('(').and_then(|after| after.split_once(')'))
            else {
                bail!("% must be followed by (field) or another %: %{after}");
            };
            let field = Field::parse(name)?;
            let (spec, after) = Spec::parse(after)
                .and_then(|(spec, after)| spec.fits(field).map(|()| (spec, after)))
                .with_context(|| format!("%({name}) has an invalid conversion"))?;
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Field(field, spec));
            rest = after;
        }
        text.push_str(rest);
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Ok(Self { pieces, datefmt: None })
    }

    /// The same with another format for `asctime`, in `strftime`'s terms.
    ///
    /// # Errors
    /// An unknown conversion in `datefmt`.
    pub(crate) fn with_datefmt(self, datefmt: &str) -> anyhow::Result<Self> {
        let now = Timestamp::now().to_zoned(TimeZone::UTC);
        if strftime(datefmt, &now).is_none() {
            bail!("{datefmt:?} has an unknown % conversion; see man 3 strftime");
        }
        Ok(Self { datefmt: Some(datefmt.to_owned()), ..self })
    }

    /// Appends the line for `event` to `line`, without an end of line.
    pub(crate) fn write(&self, event: &Event<'_>, line: &mut String) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => line.push_str(text),
                Piece::Field(Field::AscTime, spec) => {
                    spec.write(&Value::Text(&self.asctime(event.created)), line);
                }
                Piece::Field(field, spec) => spec.write(&field.of(event), line),
            }
        }
    }

    fn asctime(&self, created: Timestamp) -> String {
        let local = created.to_zoned(TimeZone::system());
        match &self.datefmt {
            Some(datefmt) => strftime(datefmt, &local).unwrap_or_default(),
            None => {
                let seconds = strftime(ASCTIME, &local).unwrap_or_default();
                format!("{seconds},{:03}", local.millisecond())
            }
        }
    }
}

/// As with Python, in the POSIX locale. `None` for a conversion that is not known.
pub(crate) fn strftime(format: &str, time: &Zoned) -> Option<String> {
    let config = Config::new().custom(PosixCustom::new());
    let mut text = String::new();
    let time = BrokenDownTime::from(time);
    time.format_with_config(&config, format, &mut text).ok()?;
    Some(text)
}

impl Field {
    fn parse(name: &str) -> anyhow::Result<Self> {
        if let Some((_, field)) = Self::ALL.iter().find(|(known, _)| *known == name) {
            return Ok(*field);
        }
        let known: Vec<_> = Self::ALL.iter().map(|(known, _)| *known).collect();
        bail!("unknown field %({name}); valid fields: {}", known.join(", "));
    }

    fn is_text(self) -> bool {
        use Field::{Created, LevelNo, LineNo, Msecs, Process, RelativeCreated, Thread};
        !matches!(self, Created | LevelNo | LineNo | Msecs | Process | RelativeCreated | Thread)
    }

    fn of<'a>(self, event: &Event<'a>) -> Value<'a> {
        let path = Path::new(event.file);
        match self {
            // Only the format knows it.
            Self::AscTime => Value::Text(""),
            Self::Created => Value::Float(float(event.created.as_microsecond()) / 1e6),
            Self::FileName => Value::Text(text(path.file_name())),
            // As Python writes it when it does not know.
            Self::FuncName => Value::Text("(unknown function)"),
            Self::LevelName => Value::Text(event.level.name()),
            Self::LevelNo => Value::Int(event.level.0.into()),
            Self::LineNo => Value::Int(event.line.into()),
            Self::Message => Value::Text(event.message),
            Self::Module => Value::Text(text(path.file_stem())),
            Self::Msecs => Value::Float(float(event.created.as_millisecond().rem_euclid(1000))),
            Self::Name => Value::Text(event.name),
            Self::PathName => Value::Text(event.file),
            Self::Process => Value::Int(process::id().into()),
            Self::ProcessName => Value::Text("MainProcess"),
            Self::RelativeCreated => {
                let since = event.created.as_microsecond() - STARTED.as_microsecond();
                Value::Float(float(since) / 1e3)
            }
            Self::TaskName => Value::Text("None"),
            Self::Thread => Value::Int(event.thread),
            Self::ThreadName => Value::Text(event.thread_name),
        }
    }
}

fn text(part: Option<&std::ffi::OsStr>) -> &str {
    part.and_then(|part| part.to_str()).unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "53 bits hold microseconds until the year 2255")]
fn float(int: i64) -> f64 {
    int as f64
}

impl Spec {
    fn text() -> Self {
        Self { kind: 's', ..Self::default() }
    }

    /// What is between the field and its conversion type, and what follows.
    fn parse(text: &str) -> anyhow::Result<(Self, &str)> {
        let mut spec = Self::default();
        let mut rest = text;
        while let Some(flag) = rest.chars().next() {
            match flag {
                '-' => spec.left = true,
                '0' => spec.zeros = true,
                '+' => spec.sign = Some('+'),
                ' ' => spec.sign = spec.sign.or(Some(' ')),
                // Changes nothing in the kinds below.
                '#' => (),
                _ => break,
            }
            rest = &rest[1..];
        }
        (spec.width, rest) = number(rest)?;
        if let Some(after) = rest.strip_prefix('.') {
            let (precision, after) = number(after)?;
            (spec.precision, rest) = (Some(precision), after);
        }
        spec.kind = rest.chars().next().unwrap_or(' ');
        rest = rest.get(spec.kind.len_utf8()..).unwrap_or_default();
        Ok((spec, rest))
    }

    fn fits(&self, field: Field) -> anyhow::Result<()> {
        match self.kind {
            's' => Ok(()),
            'd' | 'i' | 'u' | 'f' | 'F' if !field.is_text() => Ok(()),
            'd' | 'i' | 'u' | 'f' | 'F' => bail!("the field is text; write s"),
            ' ' => bail!("the conversion type is missing; write s"),
            other => bail!("conversion type {other} is not supported; write s, d or f"),
        }
    }

    fn write(&self, value: &Value<'_>, line: &mut String) {
        let number = match (value, self.kind) {
            (Value::Text(text), _) => return self.pad("", cut(text, self.precision), line),
            (Value::Int(int), 'f' | 'F') => format!("{:.*}", self.decimals(), float(*int)),
            (Value::Int(int), _) => int.to_string(),
            (Value::Float(float), 'f' | 'F') => format!("{float:.*}", self.decimals()),
            (Value::Float(float), 's') => {
                return self.pad("", cut(&format!("{float:?}"), self.precision), line);
            }
            (Value::Float(float), _) => format!("{:.0}", float.trunc()),
        };
        let (sign, digits) = match number.strip_prefix('-') {
            Some(digits) => ("-", digits),
            None if self.kind == 's' => ("", number.as_str()),
            None => (self.sign.map_or("", |sign| if sign == '+' { "+" } else { " " }), &*number),
        };
        self.pad(sign, digits, line);
    }

    /// Digits behind the point; C's default is 6.
    fn decimals(&self) -> usize {
        self.precision.unwrap_or(6)
    }

    fn pad(&self, sign: &str, text: &str, line: &mut String) {
        let missing = self.width.saturating_sub(sign.len() + text.chars().count());
        // Zeros stand before numbers only.
        let (blanks, zeros) = match (self.left, self.zeros && self.kind != 's') {
            (true, _) => (0, 0),
            (false, true) => (0, missing),
            (false, false) => (missing, 0),
        };
        line.extend(repeat_n(' ', blanks));
        line.push_str(sign);
        line.extend(repeat_n('0', zeros));
        line.push_str(text);
        line.extend(repeat_n(' ', missing - blanks - zeros));
    }
}

/// A number, 0 if there is none, and what follows.
fn number(text: &str) -> anyhow::Result<(usize, &str)> {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    if digits.is_empty() {
        return Ok((0, rest));
    }
    match digits.parse() {
        Ok(number) if number <= MAX_WIDTH => Ok((number, rest)),
        _ => bail!("width {digits} is larger than {MAX_WIDTH}"),
    }
}

/// At most so many characters of `text`.
fn cut(text: &str, precision: Option<usize>) -> &str {
    let end = precision.and_then(|precision| text.char_indices().nth(precision));
    &text[..end.map_or(text.len(), |(index, _)| index)]
}

/// Writes text with its control characters escaped, so that text from a peer can neither
/// forge a record nor control a terminal.
pub(crate) struct Escaped<'a>(pub(crate) &'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for char in text.chars() {
            if char.is_control() {
                self.0.extend(char.escape_default());
            } else {
                self.0.push(char);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn event() -> Event<'static> {
        Event {
            created: Timestamp::from_microsecond(1_700_000_000_012_345).unwrap(),
            thread: 4711,
            thread_name: "main",
            name: "etherws",
            level: Level::WARNING,
            file: "src/sw.rs",
            line: 42,
            message: "connected",
        }
    }

    fn written(format: &str) -> String {
        let mut line = String::new();
        Format::parse(format).unwrap().write(&event(), &mut line);
        line
    }

    #[test]
    fn fields_are_written_as_python_writes_them() {
        for (format, expected) in [
            ("%(levelname)s:%(name)s:%(message)s", "WARNING:etherws:connected"),
            ("[%(levelname)-8s] %(levelname)8s|", "[WARNING ]  WARNING|"),
            ("%(levelname).1s %(levelname)-3.1s|", "W W  |"),
            ("%(msecs)03d %(msecs)d %(msecs)s", "012 12 12.0"),
            (
                "%(created)f %(created).3f %(created)d",
                "1700000000.012345 1700000000.012 1700000000",
            ),
            ("%(created)s", "1700000000.012345"),
            ("%(levelno)s %(levelno)5d %(levelno)-5d|", "30    30 30   |"),
            ("%(levelno)+d|%(levelno) d|%(lineno)05d|%(lineno)05s", "+30| 30|00042|   42"),
            ("%(lineno).1f", "42.0"),
            ("%(filename)s %(module)s %(pathname)s", "sw.rs sw src/sw.rs"),
            ("%(thread)d %(threadName)s %(processName)s", "4711 main MainProcess"),
            ("100%% %(funcName)s", "100% (unknown function)"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(written(format), expected, "{format}");
        }
        assert_eq!(written("%(process)d"), process::id().to_string());
    }

    #[test]
    fn time_is_that_of_the_record() {
        let local = event().created.to_zoned(TimeZone::system());
        assert_eq!(written("%(asctime)s"), local.strftime("%Y-%m-%d %H:%M:%S,012").to_string());
        let format = Format::parse("%(asctime)s").unwrap().with_datefmt("%b %d %T|%c").unwrap();
        let mut line = String::new();
        format.write(&event(), &mut line);
        assert!(line.starts_with(&local.strftime("%b %d %H:%M:%S|").to_string()), "{line}");
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (format, named) in [
            ("%(mesage)s", "unknown field %(mesage); valid fields: asctime, created"),
            ("%message", "%message"),
            ("%(message)", "type is missing"),
            ("%(message)d", "text; write s"),
            ("%(levelno)r", "type r"),
            ("%(levelno)\u{e9}", "type \u{e9}"),
            ("%(message)99999999999999999999s", "larger than 1000"),
            ("%(message", "%(message"),
        ] {
            let error = format!("{:#}", Format::parse(format).unwrap_err());
            assert!(error.contains(named), "{format}: {error}");
        }
        assert!(Format::default().with_datefmt("%E9").is_err());
    }

    #[test]
    fn control_characters_forge_nothing() {
        let mut line = String::new();
        write!(Escaped(&mut line), "a\nb\t\x1b[31m é").unwrap();
        assert_eq!(line, r"a\nb\t\u{1b}[31m é");
    }

    proptest! {
        #[test]
        fn any_format_is_survived(
            format in "(%\\((message|levelno|msecs|asctime)\\)[-+ #0]{0,2}[0-9]{0,3}(\\.[0-9]{0,2})?[sdfx]|\\PC)*",
            datefmt: String,
        ) {
            if let Ok(format) = Format::parse(&format) {
                let format = format.with_datefmt(&datefmt).unwrap_or_default();
                format.write(&event(), &mut String::new());
            }
        }
    }
}

//! Log files: plain, watched, and rotated by size or by time, as Python's
//! `FileHandler`, `WatchedFileHandler`, `RotatingFileHandler` and
//! `TimedRotatingFileHandler` write them.
//!
//! A rotation that fails loses no record: writing goes on in the old file.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use jiff::{SignedDuration, Timestamp, ToSpan as _, Zoned, tz::TimeZone};

use crate::format::strftime;

/// An open log file.
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    /// `None` after a reopening failed: tried again with the next record.
    file: Option<File>,
    policy: Policy,
    /// When the file is rotated next, with [`Policy::Time`].
    rollover: Timestamp,
}

/// When writing moves on to a new file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Never.
    Keep,
    /// When another program has renamed or removed it.
    Watch,
    /// Before it would exceed `octets`; `backups` older ones are kept. With 0 of them it is
    /// never rotated, as in Python.
    Size { octets: u64, backups: u32 },
    /// At the times of `schedule`; `backups` older ones are kept, all of them if 0.
    Time { schedule: Schedule, backups: u32 },
}

/// The times of a rotation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) when: When,
    /// Every so many units.
    pub(crate) interval: u32,
    pub(crate) utc: bool,
}

/// The unit of a [`Schedule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Second,
    Minute,
    Hour,
    /// 24 hours after the last.
    Day,
    Midnight,
    /// Midnight after this day of the week, 0 for Monday.
    Weekday(i8),
}

impl LogFile {
    /// Opens the file, emptied first if `truncate`.
    pub(crate) fn open(path: &Path, truncate: bool, policy: Policy) -> io::Result<Self> {
        // Absolute, because a daemon changes its directory later.
        let path = std::path::absolute(path)?;
        // The time of the last record decides when an existing file is rotated.
        let last = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
        let last = last.and_then(|last| Timestamp::try_from(last).ok());
        if truncate {
            File::create(&path)?;
        }
        let mut log = Self { path, file: None, policy, rollover: Timestamp::MAX };
        log.reopen()?;
        if let Policy::Time { schedule, .. } = &log.policy {
            log.rollover = schedule.next(last.unwrap_or_else(Timestamp::now));
        }
        Ok(log)
    }

    /// Appends a line that was made at `now`.
    pub(crate) fn write(&mut self, line: &[u8], now: Timestamp) -> io::Result<()> {
        let rotated = self.rotate(line.len() as u64, now);
        if self.file.is_none() {
            self.reopen()?;
        }
        if let Some(file) = &mut self.file {
            file.write_all(line)?;
        }
        rotated
    }

    /// Opens the file by its name again; the old one stays in use if that fails.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        self.file = Some(OpenOptions::new().append(true).create(true).open(&self.path)?);
        Ok(())
    }

    /// Starts a new file if it is time to.
    fn rotate(&mut self, octets: u64, now: Timestamp) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        match &self.policy {
            Policy::Keep => (),
            Policy::Watch => {
                let open = file.metadata()?;
                let same = fs::metadata(&self.path)
                    .is_ok_and(|there| (there.dev(), there.ino()) == (open.dev(), open.ino()));
                if !same {
                    self.file = None;
                }
            }
            Policy::Size { octets: limit, backups } => {
                let metadata = file.metadata()?;
                if *limit > 0
                    && *backups > 0
                    && metadata.is_file()
                    && metadata.len() > 0
                    && metadata.len() + octets >= *limit
                {
                    shift(&self.path, *backups)?;
                    self.file = None;
                }
            }
            Policy::Time { schedule, backups } => {
                if now >= self.rollover {
                    let name = schedule.name(&self.path, self.rollover);
                    self.rollover = schedule.next(now);
                    fs::rename(&self.path, name)?;
                    self.file = None;
                    prune(&self.path, *backups, schedule.when.suffix())?;
                }
            }
        }
        Ok(())
    }
}

/// `path` with more at its end.
fn extended(path: &Path, extension: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(extension);
    name.into()
}

/// Renames each backup to the next number, dropping the last, and `path` to the first.
fn shift(path: &Path, backups: u32) -> io::Result<()> {
    for number in (1..backups).rev() {
        let from = extended(path, &format!(".{number}"));
        match fs::rename(from, extended(path, &format!(".{}", number + 1))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => (),
        }
    }
    fs::rename(path, extended(path, ".1"))
}

/// Removes the oldest backups by time until `backups` are left; none if 0.
fn prune(path: &Path, backups: u32, suffix: &str) -> io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return Ok(());
    };
    if backups == 0 {
        return Ok(());
    }
    let mut old: Vec<String> = fs::read_dir(dir)?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|file| {
            let time = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
            time.is_some_and(|time| looks_like(time, suffix))
        })
        .collect();
    // Their names sort by time.
    old.sort_unstable();
    let surplus = old.len().saturating_sub(backups as usize);
    old[..surplus].iter().try_for_each(|file| fs::remove_file(dir.join(file)))
}

/// Whether `text` is a time that `format` could have written.
fn looks_like(text: &str, format: &str) -> bool {
    let shape = format.replace("%Y", "0000").replace("%m", "00").replace("%d", "00");
    let shape = shape.replace("%H", "00").replace("%M", "00").replace("%S", "00");
    text.len() == shape.len()
        && text.bytes().zip(shape.bytes()).all(|(there, shape)| {
            if shape == b'0' { there.is_ascii_digit() } else { there == shape }
        })
}

impl Schedule {
    fn zone(&self) -> TimeZone {
        if self.utc { TimeZone::UTC } else { TimeZone::system() }
    }

    /// The first rotation after `last`.
    fn next(&self, last: Timestamp) -> Timestamp {
        let interval = i64::from(self.interval);
        let next = match self.when {
            When::Second => last.checked_add(SignedDuration::from_secs(interval)),
            When::Minute => last.checked_add(SignedDuration::from_mins(interval)),
            When::Hour => last.checked_add(SignedDuration::from_hours(interval)),
            When::Day => last.checked_add(SignedDuration::from_hours(24 * interval)),
            When::Midnight => self.midnight_after(last, interval),
            When::Weekday(day) => {
                let today = last.to_zoned(self.zone()).weekday().to_monday_zero_offset();
                let days = i64::from((day - today).rem_euclid(7)) + 1;
                self.midnight_after(last, days + 7 * (interval - 1))
            }
        };
        // Centuries ahead: never.
        next.unwrap_or(Timestamp::MAX)
    }

    /// The midnight that ends the day so many days after that of `last`, 1 for its own.
    fn midnight_after(&self, last: Timestamp, days: i64) -> Result<Timestamp, jiff::Error> {
        let day = last.to_zoned(self.zone()).start_of_day()?;
        let day = day.checked_add(days.days())?;
        Ok(day.start_of_day()?.timestamp())
    }

    /// The name of the file that ends at `rollover`: by the time when it began.
    fn name(&self, path: &Path, rollover: Timestamp) -> PathBuf {
        let end = rollover.to_zoned(self.zone());
        let interval = i64::from(self.interval);
        let begin = match self.when {
            When::Second => end.checked_sub(interval.seconds()),
            When::Minute => end.checked_sub(interval.minutes()),
            When::Hour => end.checked_sub(interval.hours()),
            When::Day => end.checked_sub((24 * interval).hours()),
            When::Midnight => end.checked_sub(interval.days()),
            When::Weekday(_) => end.checked_sub((7 * interval).days()),
        };
        let begin: Zoned = begin.unwrap_or(end);
        let time = strftime(self.when.suffix(), &begin).unwrap_or_default();
        extended(path, &format!(".{time}"))
    }
}

impl When {
    /// `S`, `M`, `H`, `D`, `midnight` or `W0` to `W6`, in any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text.to_ascii_uppercase().as_str() {
            "S" => Self::Second,
            "M" => Self::Minute,
            "H" => Self::Hour,
            "D" => Self::Day,
            "MIDNIGHT" => Self::Midnight,
            week => match week.strip_prefix('W')?.parse() {
                Ok(day @ 0..=6) => Self::Weekday(day),
                _ => return None,
            },
        })
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Second => "%Y-%m-%d_%H-%M-%S",
            Self::Minute => "%Y-%m-%d_%H-%M",
            Self::Hour => "%Y-%m-%d_%H",
            Self::Day | Self::Midnight | Self::Weekday(_) => "%Y-%m-%d",
        }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn open(dir: &TempDir, policy: Policy) -> LogFile {
        LogFile::open(&dir.path().join("log"), false, policy).unwrap()
    }

    fn content(dir: &TempDir, name: &str) -> String {
        fs::read_to_string(dir.path().join(name)).unwrap()
    }

    fn names(dir: &TempDir) -> Vec<String> {
        let entries = fs::read_dir(dir.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn file_is_appended_to_unless_it_is_to_be_emptied() {
        let dir = tempfile::tempdir().unwrap();
        for line in ["a\n", "b\n"] {
            open(&dir, Policy::Keep).write(line.as_bytes(), Timestamp::now()).unwrap();
        }
        assert_eq!(content(&dir, "log"), "a\nb\n");
        let path = dir.path().join("log");
        LogFile::open(&path, true, Policy::Keep).unwrap().write(b"c\n", Timestamp::now()).unwrap();
        assert_eq!(content(&dir, "log"), "c\n");
    }

    #[test]
    fn watched_file_is_opened_again_after_it_was_moved_away() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(&dir, Policy::Watch);
        log.write(b"a\n", Timestamp::now()).unwrap();
        fs::rename(dir.path().join("log"), dir.path().join("old")).unwrap();
        log.write(b"b\n", Timestamp::now()).unwrap();
        fs::remove_file(dir.path().join("log")).unwrap();
        log.write(b"c\n", Timestamp::now()).unwrap();
        assert_eq!((content(&dir, "old"), content(&dir, "log")), ("a\n".into(), "c\n".into()));
    }

    #[test]
    fn file_never_grows_beyond_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(&dir, Policy::Size { octets: 10, backups: 2 });
        for line in ["one\n", "two\n", "three\n", "four\n", "five\n", "six\n", "seven\n"] {
            log.write(line.as_bytes(), Timestamp::now()).unwrap();
        }
        assert_eq!(names(&dir), ["log", "log.1", "log.2"]);
        assert_eq!(content(&dir, "log"), "seven\n");
        assert_eq!(content(&dir, "log.1"), "five\nsix\n");
        assert_eq!(content(&dir, "log.2"), "four\n");
    }

    #[test]
    fn failed_rotation_loses_no_record() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(&dir, Policy::Size { octets: 4, backups: 1 });
        log.write(b"one\n", Timestamp::now()).unwrap();
        fs::create_dir_all(dir.path().join("log.1/full")).unwrap();
        assert!(log.write(b"two\n", Timestamp::now()).is_err());
        assert!(content(&dir, "log").ends_with("two\n"));
    }

    #[test]
    fn file_is_named_by_the_time_when_it_began() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("log.2020-01-01_00-00-00"), "").unwrap();
        fs::write(dir.path().join("log.other"), "").unwrap();
        let schedule = Schedule { when: When::Second, interval: 60, utc: true };
        let mut log = open(&dir, Policy::Time { schedule, backups: 2 });
        log.rollover = at("2024-02-29T12:00:00Z");
        log.write(b"a\n", at("2024-02-29T11:59:59Z")).unwrap();
        log.write(b"b\n", at("2024-02-29T12:00:00Z")).unwrap();
        log.write(b"c\n", at("2024-02-29T12:00:59Z")).unwrap();
        assert_eq!(content(&dir, "log.2024-02-29_11-59-00"), "a\n");
        log.write(b"d\n", at("2024-02-29T12:01:00Z")).unwrap();
        let backups = ["log.2024-02-29_11-59-00", "log.2024-02-29_12-00-00"];
        assert_eq!(names(&dir), ["log", backups[0], backups[1], "log.other"]);
        assert_eq!(
            (content(&dir, backups[1]), content(&dir, "log")),
            ("b\nc\n".into(), "d\n".into())
        );
    }

    #[test]
    fn rotations_are_due_when_python_has_them() {
        // A Thursday.
        let last = at("2024-02-29T12:34:56Z");
        for (when, interval, next, name) in [
            ("s", 30, "2024-02-29T12:35:26Z", "log.2024-02-29_12-34-56"),
            ("M", 5, "2024-02-29T12:39:56Z", "log.2024-02-29_12-34"),
            ("h", 1, "2024-02-29T13:34:56Z", "log.2024-02-29_12"),
            ("D", 1, "2024-03-01T12:34:56Z", "log.2024-02-29"),
            ("midnight", 1, "2024-03-01T00:00:00Z", "log.2024-02-29"),
            ("W3", 1, "2024-03-01T00:00:00Z", "log.2024-02-23"),
            ("W0", 1, "2024-03-05T00:00:00Z", "log.2024-02-27"),
        ] {
            let schedule = Schedule { when: When::parse(when).unwrap(), interval, utc: true };
            assert_eq!(schedule.next(last), at(next), "{when}");
            assert_eq!(schedule.name(Path::new("log"), at(next)), Path::new(name), "{when}");
        }
        assert_eq!(When::parse("W7"), None);
        assert_eq!(When::parse(""), None);
    }
}

//! Passwords: HTTP Basic authentication (RFC 7617) against an htpasswd file.
//!
//! Stands before everything else that a request can reach. The file is looked at
//! on each request and read again when it has changed, so that a withdrawn
//! password stops working at once. Whatever goes wrong is a refusal, and no
//! password, hash or line of the file is ever logged.

use std::{
    collections::HashMap,
    fmt,
    fs::{File, Metadata, OpenOptions},
    io::Read as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, bail};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use nix::fcntl::OFlag;
use sha1::{Digest as _, Sha1};
use slog::{Logger, error, info, warn};
use subtle::ConstantTimeEq as _;

/// A larger file is refused: a hundred thousand users take about 5 MB, and a
/// mistyped path must not fill the memory.
const MAX_OCTETS: u64 = 16 * 1024 * 1024;

/// Some clients leave the padding out, and all decoders of Python's time took both.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Users and their passwords, as the file has them now.
pub(crate) struct Htpasswd {
    path: PathBuf,
    log: Logger,
    cache: Mutex<Cache>,
}

/// What was read last, and from which state of the file.
struct Cache {
    version: Version,
    users: Arc<Users>,
}

type Users = HashMap<Box<[u8]>, Hash>;

/// Why nobody was let in. All of them are the same 401 to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The request has no `Authorization` header.
    NoCredentials,
    /// The header is not `Basic` with base64 of `user:password`.
    Malformed,
    /// No such user, or not this password: which of them is nobody's business.
    Wrong,
    /// The file cannot be read; the reason is in the log.
    Unreadable,
}

impl Htpasswd {
    /// Reads the file at `path`, which is kept and read again when it changes.
    ///
    /// # Errors
    /// The file cannot be read, is not a regular file or is larger than 16 MiB.
    pub(crate) fn open(path: &Path, log: &Logger) -> anyhow::Result<Self> {
        let log = log.new(slog::o!("htpasswd" => path.display().to_string()));
        let (mut file, version) = open(path)?;
        let users = load(&mut file, path, &log)?;
        let cache = Mutex::new(Cache { version, users: Arc::new(users) });
        Ok(Self { path: path.to_owned(), log, cache })
    }

    /// Who sent the request with this value of its `Authorization` header.
    ///
    /// # Errors
    /// See [`Refused`]; the answer is a 401 in each case.
    pub(crate) fn verify(&self, authorization: Option<&[u8]>) -> Result<Arc<str>, Refused> {
        let credentials = authorization.ok_or(Refused::NoCredentials)?;
        let credentials = basic(credentials).ok_or(Refused::Malformed)?;
        let (name, password) = split(&credentials).ok_or(Refused::Malformed)?;
        let users = self.users().map_err(|error| {
            error!(self.log, "nobody is let in: {error:#}");
            Refused::Unreadable
        })?;

        // An unknown user costs as much as a wrong password, or the time would
        // tell which names exist.
        let (hash, known) = users.get(name).map_or((&DECOY, false), |hash| (hash, true));
        if hash.verify(password) & known {
            Ok(String::from_utf8_lossy(name).into())
        } else {
            Err(Refused::Wrong)
        }
    }

    /// The users of now, read again if the file has changed.
    fn users(&self) -> anyhow::Result<Arc<Users>> {
        let (mut file, version) = open(&self.path)?;
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.version != version {
            let users = load(&mut file, &self.path, &self.log)?;
            info!(self.log, "htpasswd file read again"; "users" => users.len());
            *cache = Cache { version, users: Arc::new(users) };
        }
        Ok(Arc::clone(&cache.users))
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Htpasswd").field("path", &self.path).finish_non_exhaustive()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCredentials => "no user name and password were sent",
            Self::Malformed => "the Authorization header is not that of Basic authentication",
            Self::Wrong => "unknown user or wrong password",
            Self::Unreadable => "the htpasswd file cannot be read",
        })
    }
}

impl std::error::Error for Refused {}

/// `user:password` of an `Authorization` header's value.
fn basic(value: &[u8]) -> Option<Vec<u8>> {
    // The scheme's name has no case (RFC 7617, 2; RFC 9110, 11.1).
    let (scheme, token) = value.split_at_checked(b"basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    BASE64.decode(token.trim_ascii()).ok()
}

/// User and password: the first colon ends the name, the password may hold more.
fn split(credentials: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = credentials.iter().position(|&octet| octet == b':')?;
    Some((&credentials[..colon], &credentials[colon + 1..]))
}

/// A state of the file. The time of the last status change beside the original's
/// inode, device and modification time also shows a file that was replaced with
/// its old times kept.
#[derive(PartialEq, Eq)]
struct Version {
    device: u64,
    inode: u64,
    octets: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Version {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            octets: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

/// Opens the file and says which state of it this is. Opened even when nothing
/// has changed, so that a file made unreadable lets nobody in.
fn open(path: &Path) -> anyhow::Result<(File, Version)> {
    let what = || format!("cannot read htpasswd file {}", path.display());
    // Not blocking: to open a pipe would wait for its other end.
    let nonblocking = OFlag::O_NONBLOCK.bits();
    let file =
        OpenOptions::new().read(true).custom_flags(nonblocking).open(path).with_context(what)?;
    let metadata = file.metadata().with_context(what)?;
    if !metadata.is_file() {
        bail!("htpasswd file {} is not a regular file", path.display());
    }
    Ok((file, Version::from(&metadata)))
}

/// Reads and parses the file.
fn load(file: &mut File, path: &Path, log: &Logger) -> anyhow::Result<Users> {
    let mut content = Vec::new();
    file.take(MAX_OCTETS + 1)
        .read_to_end(&mut content)
        .with_context(|| format!("cannot read htpasswd file {}", path.display()))?;
    if content.len() as u64 > MAX_OCTETS {
        bail!("htpasswd file {} is larger than {MAX_OCTETS} octets", path.display());
    }
    Ok(parse(&content, |number| {
        warn!(log, "line of htpasswd file ignored: not name:{{SHA}}..., as htpasswd -s writes it";
            "line" => number);
    }))
}

/// The users of the file. `ignored` is told the number of each line that is
/// neither a user, empty, nor a comment; the last line of a name counts.
fn parse(content: &[u8], mut ignored: impl FnMut(usize)) -> Users {
    let mut users = Users::new();
    for (number, line) in (1..).zip(content.split(|&octet| octet == b'\n')) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        match split(line).and_then(|(name, hash)| Some((name, Hash::parse(hash)?))) {
            Some((name, hash)) => drop(users.insert(name.into(), hash)),
            None => ignored(number),
        }
    }
    users
}

/// What a password is checked against.
enum Hash {
    /// `{SHA}`: base64 of the password's SHA-1, without salt.
    Sha1([u8; 20]),
}

/// Compared with the password of a user who does not exist.
const DECOY: Hash = Hash::Sha1([0; 20]);

impl Hash {
    /// `None` for a form that is not known.
    fn parse(text: &[u8]) -> Option<Self> {
        let digest = BASE64.decode(text.strip_prefix(b"{SHA}")?).ok()?;
        Some(Self::Sha1(digest.try_into().ok()?))
    }

    /// Whether this is the password, in a time that does not tell how nearly.
    fn verify(&self, password: &[u8]) -> bool {
        match self {
            Self::Sha1(digest) => Sha1::digest(password).as_slice().ct_eq(digest).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use proptest::prelude::*;
    use slog::{Discard, o};
    use tempfile::TempDir;

    use super::*;

    /// Written by `htpasswd -nbs` of Apache 2.4; `other` by its `-B` and `-m`.
    const FILE: &[u8] = b"# comment\n\n\
        alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\r\n\
        bob:{SHA}cLzgnoJ6mP5qz3w+mwvPE2vDgu0=\n\
        empty:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\n\
        j\xc3\xb6rg:{SHA}1iY22MrsE/BOKEQqCm+hr+sCS7s=\n\
        other:$2y$05$Z1PmJrgRHu5BK0fzSRUpwOdINGrRW.ZMC5ezvmqIQhzv3xdjeBRum\n\
        other2:$apr1$bKI8mA1t$3sKbKjRY7ym.s1mQrWyJz0\n\
        short:{SHA}AAAA\n\
        plain:plain\n\
        nocolon";

    fn htpasswd(content: &[u8]) -> (TempDir, Htpasswd) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("htpasswd");
        fs::write(&path, content).unwrap();
        let htpasswd = Htpasswd::open(&path, &Logger::root(Discard, o!())).unwrap();
        (dir, htpasswd)
    }

    fn login(htpasswd: &Htpasswd, credentials: &[u8]) -> Result<String, Refused> {
        let value = format!("Basic {}", BASE64.encode(credentials));
        htpasswd.verify(Some(value.as_bytes())).map(|user| user.to_string())
    }

    #[test]
    fn passwords_of_apache_are_accepted() {
        let (_dir, htpasswd) = htpasswd(FILE);
        assert_eq!(login(&htpasswd, b"alice:secret"), Ok("alice".into()));
        assert_eq!(login(&htpasswd, b"bob:a:b:c"), Ok("bob".into()));
        assert_eq!(login(&htpasswd, b"empty:"), Ok("empty".into()));
        assert_eq!(login(&htpasswd, b"j\xc3\xb6rg:\xff\xfe"), Ok("jörg".into()));
    }

    #[test]
    fn everybody_else_is_refused() {
        let (_dir, htpasswd) = htpasswd(FILE);
        for wrong in [
            b"alice:secre".as_slice(),
            b"alice:",
            b"ALICE:secret",
            b"nobody:secret",
            b":",
            b"other:y",
            b"plain:plain",
            b"short:",
            b"# comment:",
        ] {
            assert_eq!(login(&htpasswd, wrong), Err(Refused::Wrong), "{}", wrong.escape_ascii());
        }
        assert_eq!(login(&htpasswd, b"alice"), Err(Refused::Malformed));
    }

    #[test]
    fn header_is_read_as_rfc_7617_says() {
        let (_dir, htpasswd) = htpasswd(FILE);
        let verify = |value: &str| htpasswd.verify(Some(value.as_bytes())).map(drop);
        assert_eq!(verify("Basic YWxpY2U6c2VjcmV0"), Ok(()));
        assert_eq!(verify("bASIC  YWxpY2U6c2VjcmV0 "), Ok(()));
        assert_eq!(verify("Basic ZW1wdHk6"), Ok(()));
        assert_eq!(verify("Basic Ym9iOmE6Yjpj"), Ok(()));
        assert_eq!(verify("Basic am9iOng="), Err(Refused::Wrong));
        assert_eq!(verify("Basic am9iOng"), Err(Refused::Wrong), "padding may be left out");
        for malformed in
            ["", "Basic", "BasicYWxpY2U6c2VjcmV0", "Digest YWxpY2U6c2VjcmV0", "Basic *"]
        {
            assert_eq!(verify(malformed), Err(Refused::Malformed), "{malformed}");
        }
        assert_eq!(htpasswd.verify(None), Err(Refused::NoCredentials));
    }

    #[test]
    fn ignored_lines_are_reported_by_number() {
        let mut ignored = Vec::new();
        let users = parse(FILE, |number| ignored.push(number));
        assert_eq!(users.len(), 4);
        assert_eq!(ignored, [7, 8, 9, 10, 11]);
    }

    #[test]
    fn changed_file_is_read_again() {
        let (dir, htpasswd) = htpasswd(b"alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n");
        assert!(login(&htpasswd, b"alice:secret").is_ok());

        // Of the same length, and renamed over the old one as editors do.
        let path = dir.path().join("htpasswd");
        fs::write(dir.path().join("new"), b"alice:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=\n").unwrap();
        fs::rename(dir.path().join("new"), &path).unwrap();
        assert_eq!(login(&htpasswd, b"alice:secret"), Err(Refused::Wrong));
        assert!(login(&htpasswd, b"alice:").is_ok());

        // Written in place.
        fs::write(&path, FILE).unwrap();
        assert!(login(&htpasswd, b"bob:a:b:c").is_ok());
    }

    #[test]
    fn unreadable_file_lets_nobody_in() {
        let (dir, htpasswd) = htpasswd(FILE);
        let path = dir.path().join("htpasswd");
        let aside = dir.path().join("aside");
        fs::rename(&path, &aside).unwrap();
        assert_eq!(login(&htpasswd, b"alice:secret"), Err(Refused::Unreadable));
        fs::create_dir(&path).unwrap();
        assert_eq!(login(&htpasswd, b"alice:secret"), Err(Refused::Unreadable));
        fs::remove_dir(&path).unwrap();
        fs::rename(&aside, &path).unwrap();
        assert!(login(&htpasswd, b"alice:secret").is_ok());

        // Root reads it all the same.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        let expected = if nix::unistd::geteuid().is_root() {
            Ok("alice".into())
        } else {
            Err(Refused::Unreadable)
        };
        assert_eq!(login(&htpasswd, b"alice:secret"), expected);
    }

    #[test]
    fn missing_file_is_refused_at_the_start_by_its_name() {
        let log = Logger::root(Discard, o!());
        let error = Htpasswd::open(Path::new("/nonexistent/htpasswd"), &log).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("/nonexistent/htpasswd") && text.contains("No such file"), "{text}");
        let error = Htpasswd::open(Path::new("/dev/null"), &log).unwrap_err();
        assert!(format!("{error:#}").contains("not a regular file"));
    }

    proptest! {
        #[test]
        fn any_file_and_header_are_survived(file: Vec<u8>, header: Vec<u8>) {
            let users = parse(&file, |_| ());
            prop_assert!(users.len() <= file.len());
            if let Some(credentials) = basic(&header) {
                let _ = split(&credentials);
            }
        }

        #[test]
        fn every_name_and_password_come_through(
            name in "[^:]*", password: Vec<u8>, padded: bool
        ) {
            let credentials = [name.as_bytes(), b":", &password].concat();
            let token = BASE64.encode(&credentials);
            let token = if padded { token.as_str() } else { token.trim_end_matches('=') };
            let credentials = basic(format!("Basic {token}").as_bytes()).unwrap();
            prop_assert_eq!(split(&credentials), Some((name.as_bytes(), password.as_slice())));
        }
    }
}

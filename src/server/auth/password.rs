//! Passwords: HTTP Basic authentication (RFC 7617) against an htpasswd file.
//!
//! Hashes are verified on threads of their own, a few at a time; what was right
//! before is found in a cache, and guessing is slowed down. The file is read again
//! when it changes. Whatever goes wrong is a refusal, and no password, hash or line of
//! the file is ever logged.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use base64::Engine as _;
use etherws_actors::{
    error::one_line,
    holder::{INSTANCE_HEADER, Instance},
};
use slog::{Logger, debug, error, info, o};

use super::{
    Authenticator, Deciding, Decision, Identity,
    attempts::Attempts,
    cache::{self, Cache},
    hash,
    turns::Turns,
    users::{Found, Users},
};
use crate::{
    files,
    server::{
        refusal::{BASIC, Refusal, Refused as Reason},
        request::Request,
        source::Source,
    },
};

/// Logins that may wait for a thread to verify their password, or have one; a costly hash takes
/// a quarter of a second, and clients do not wait for longer than these take.
const QUEUE: usize = 64;

/// Longest password that is verified: SHA-crypt takes time with its square.
const MAX_PASSWORD: usize = 1024;

/// Users and their passwords, as the file has them now.
pub(crate) struct Htpasswd {
    path: PathBuf,
    log: Logger,
    file: Mutex<State>,
    cache: Mutex<Cache>,
    attempts: Mutex<Attempts>,
    /// For logins that are neither known nor refused.
    turns: Arc<Turns>,
}

/// What the file held when it could be read last.
struct State {
    users: Arc<Users>,
    /// Whether it can be read now.
    readable: bool,
}

/// What a file of passwords holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Survey {
    pub(crate) users: usize,
    /// Those with a hash that was made for speed.
    pub(crate) quick: usize,
}

/// Looks into the file at `path`.
///
/// # Errors
/// As of [`Htpasswd::open`].
pub(crate) fn survey(path: &Path) -> Result<Survey> {
    let users = parse(&read(path)?, path)?;
    let quick = users.names().filter(|name| users.hash(users.find(name)).is_quick());
    Ok(Survey { users: users.len(), quick: quick.count() })
}

/// The users that the file at `path` has.
///
/// # Errors
/// As of [`Htpasswd::open`].
pub(crate) fn users_of(path: &Path) -> Result<Vec<String>> {
    Ok(parse(&read(path)?, path)?.names().map(str::to_owned).collect())
}

/// Why somebody was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// The header is not `Basic` with base64 of `user:password`.
    Malformed,
    /// No such user, or not this password: which of them is nobody's business.
    Wrong,
    /// The file cannot be read; the reason is in the log.
    Unreadable,
    /// Too many failures; another attempt may be made after this time.
    TooMany(Duration),
    /// Too many logins at once.
    Busy,
}

impl Htpasswd {
    /// Reads the file at `path`; [`Self::reload`] is to be called when it has changed.
    ///
    /// # Errors
    /// The file cannot be read, is not a regular file, is larger than 16 MiB or has a
    /// line that is not understood.
    pub(crate) fn open(path: &Path, log: &Logger) -> Result<Self> {
        let log = log.new(o!("htpasswd" => path.display().to_string()));
        let users = parse(&read(path)?, path)?;
        // The frames' thread, and those of other programs, keep half of the machine.
        let threads = thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2));
        Ok(Self {
            path: path.to_owned(),
            log,
            file: Mutex::new(State { users: Arc::new(users), readable: true }),
            cache: Mutex::new(Cache::new()?),
            attempts: Mutex::default(),
            turns: Turns::new(threads, QUEUE),
        })
    }

    /// Whether the file has a user of this name, as it was last understood.
    fn knows(&self, name: &str) -> bool {
        lock(&self.file).users.contains(name)
    }

    /// Reads the file again. One that is not understood changes nothing; one that cannot be
    /// read lets nobody in.
    fn reload(&self) {
        let content = read(&self.path);
        let mut file = lock(&self.file);
        let content = match content {
            Ok(content) => content,
            Err(error) => {
                error!(
                    self.log,
                    "logins are refused until the file can be read: {}",
                    one_line(&*error)
                );
                file.readable = false;
                return;
            }
        };
        match parse(&content, &self.path) {
            Ok(users) => *file = State { users: Arc::new(users), readable: true },
            Err(error) => {
                let text = "htpasswd file is invalid; keeping the previous version";
                error!(self.log, "{text}: {}", one_line(&*error));
                return;
            }
        }
        info!(self.log, "htpasswd file read again"; "users" => file.users.len());
    }

    /// Whose login this is.
    ///
    /// # Errors
    /// See [`Refused`].
    async fn verify(self: &Arc<Self>, login: Option<Login>) -> Result<Arc<str>, Refused> {
        let login = login.ok_or(Refused::Malformed)?;
        if self.is_known(&login)? {
            return Ok(login.name);
        }
        let turn = self.turns.wait(login.source).await.ok_or(Refused::Busy)?;
        // Meanwhile the same login, or the last of too many, may have come to an end.
        if self.is_known(&login)? {
            return Ok(login.name);
        }
        let this = Arc::clone(self);
        // Goes on, and is counted, even if the client has gone.
        let verified = tokio::task::spawn_blocking(move || {
            let _held = turn;
            this.hash(&login).then_some(login.name)
        });
        verified.await.ok().flatten().ok_or(Refused::Wrong)
    }

    /// Whether this login was right before, and still is.
    ///
    /// # Errors
    /// Too many logins have failed: of this user from here, which one passes that was right
    /// for the same client port; or from here, which all pass that were right.
    fn is_known(&self, login: &Login) -> Result<bool, Refused> {
        let users = self.users()?;
        let found = users.find(&login.name);
        let (by_port, known) = {
            let cache = lock(&self.cache);
            // Looked for in any case: a name that is unknown takes as long.
            let knows = |proof| cache.contains(&proof) & found.known;
            (
                login.proof_of_port(&cache, &users, found).is_some_and(knows),
                knows(login.proof(&cache, &users, found)),
            )
        };
        if by_port || login.source == Source::UNIX {
            return Ok(by_port | known);
        }
        let now = Instant::now();
        let mut attempts = lock(&self.attempts);
        attempts.check_user(login.source, &login.name, now).map_err(Refused::TooMany)?;
        if known {
            return Ok(true);
        }
        attempts.check(login.source, now).map_err(|wait| {
            // A guess at what was right: not to be repeated as often as one likes.
            if found.known {
                attempts.fail_user(login.source, &login.name, now);
            }
            Refused::TooMany(wait)
        })?;
        Ok(false)
    }

    /// Verifies a password, which takes its time, and notes what came of it.
    fn hash(&self, login: &Login) -> bool {
        let Ok(users) = self.users() else { return false };
        let found = users.find(&login.name);
        // Both are always looked at: what a name that is unknown stands in for costs
        // as much as one that is known.
        let right = users.hash(found).verify(&login.password) & found.known;
        if right {
            let mut cache = lock(&self.cache);
            let proofs = [
                Some(login.proof(&cache, &users, found)),
                login.proof_of_port(&cache, &users, found),
            ];
            proofs.into_iter().flatten().for_each(|proof| cache.insert(proof));
        } else if login.source != Source::UNIX {
            lock(&self.attempts).fail(login.source, &login.name, Instant::now());
        }
        right
    }

    fn users(&self) -> Result<Arc<Users>, Refused> {
        let file = lock(&self.file);
        if file.readable { Ok(Arc::clone(&file.users)) } else { Err(Refused::Unreadable) }
    }
}

impl fmt::Debug for Htpasswd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Htpasswd").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The users of a file, by HTTP Basic authentication.
#[derive(Debug)]
pub(super) struct Password(Arc<Htpasswd>);

impl Password {
    /// # Errors
    /// As of [`Htpasswd::open`].
    pub(super) fn open(path: &Path, log: &Logger) -> Result<Self> {
        Htpasswd::open(path, log).map(Arc::new).map(Self)
    }
}

impl Authenticator for Password {
    fn name(&self) -> &'static str {
        "password"
    }

    fn authenticate<'a>(&'a self, request: &'a Request<'a>) -> Deciding<'a> {
        Box::pin(async {
            let Some(authorization) = request.headers.get("authorization") else {
                return Decision::NotTried;
            };
            let login = Login::basic(authorization).map(|login| Login {
                source: request.peer.source(),
                port: request.headers.text(INSTANCE_HEADER).and_then(Instance::parse),
                ..login
            });
            let claimed = login.as_ref().map(|login| Arc::clone(&login.name));
            match self.0.verify(login).await {
                Ok(name) => Decision::Pass(Identity::new(self.name(), name)),
                Err(refused) => {
                    debug!(self.0.log, "login refused"; "peer" => %request.peer,
                        "reason" => %refused);
                    Decision::Refuse(Refusal::from(refused).of_user(claimed))
                }
            }
        })
    }

    /// RFC 7617, 2.
    fn challenge(&self) -> Option<&'static str> {
        Some(BASIC)
    }

    fn reload(&self) {
        self.0.reload();
    }

    fn knows(&self, name: &str) -> Option<bool> {
        Some(self.0.knows(name))
    }

    fn users(&self) -> Vec<Box<str>> {
        lock(&self.0.file).users.names().map(Into::into).collect()
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Malformed | Refused::Wrong | Refused::Unreadable => Self::unauthorized(),
            Refused::TooMany(wait) => Self::later(
                Reason::RateLimited,
                "Too many failed logins from this address; try again later",
                wait,
            ),
            Refused::Busy => Self::later(
                Reason::Busy,
                "Too many logins at once; try again in a moment",
                Duration::from_secs(1),
            ),
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the Authorization header is not valid Basic authentication",
            Self::Wrong => "unknown user or wrong password",
            Self::Unreadable => "the htpasswd file cannot be read",
            Self::TooMany(_) => "too many failed logins from this address",
            Self::Busy => "too many logins at once",
        })
    }
}

/// A panic in there leaves nothing half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    files::read(path).with_context(|| format!("cannot read htpasswd file {}", path.display()))
}

fn parse(content: &[u8], path: &Path) -> Result<Users> {
    Users::parse(content).with_context(|| {
        format!("htpasswd file {}: write entries by etherws passwd or htpasswd -B", path.display())
    })
}

/// Body of the fuzz target `htpasswd`: a file, and behind a zero octet the value of an
/// `Authorization` header. Hashes that cost much are not verified.
#[cfg(any(test, fuzzing))]
pub(crate) fn fuzz(data: &[u8]) {
    let (file, header) = data.split_at(data.iter().position(|&o| o == 0).unwrap_or(data.len()));
    // Rounds are paid for as they are asked for: thousands of them find nothing more.
    let is_costly = file.windows(7).any(|text| text == b"rounds=");
    let Some(users) = (!is_costly).then(|| Users::parse(file).ok()).flatten() else { return };
    assert!(users.len() <= file.len());
    let login = Login::basic(header.get(1..).unwrap_or_default());
    let password = login.as_ref().map_or(&b""[..], |login| &login.password);
    let name = login.as_ref().map_or("", |login| &login.name);
    for name in users.names().chain([name]) {
        let found = users.find(name);
        assert_eq!(found.known, users.contains(name));
        if let hash @ (hash::Hash::Sha1(_) | hash::Hash::Apr1 { .. }) = users.hash(found) {
            hash.verify(password);
        }
    }
}

/// A name and a password as they were sent.
#[derive(Clone)]
struct Login {
    name: Arc<str>,
    password: Box<[u8]>,
    source: Source,
    /// The client port that has sent them, if it is one: nobody else knows its number.
    port: Option<Instance>,
}

impl Login {
    /// Those in the value of an `Authorization` header.
    fn basic(value: &[u8]) -> Option<Self> {
        // The scheme's name has no case (RFC 7617, 2; RFC 9110, 11.1).
        let (scheme, token) = value.split_at_checked(b"basic ".len())?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        let text = hash::BASE64.decode(token.trim_ascii()).ok()?;
        // The first colon ends the name, the password may hold more.
        let colon = text.iter().position(|&octet| octet == b':')?;
        let (name, password) = (&text[..colon], &text[colon + 1..]);
        if password.len() > MAX_PASSWORD {
            return None;
        }
        // Names in the file are UTF-8: another one is nobody's.
        let name = String::from_utf8_lossy(name).into();
        Some(Self { name, password: password.into(), source: Source::UNIX, port: None })
    }

    fn proof(&self, cache: &Cache, users: &Users, found: Found) -> cache::Proof {
        cache.proof(&self.name, &self.password, &users.hash(found).text(), b"")
    }

    /// The same, and that it was this client port which has shown it.
    fn proof_of_port(&self, cache: &Cache, users: &Users, found: Found) -> Option<cache::Proof> {
        let port = self.port?.to_string();
        let hash = users.hash(found).text();
        Some(cache.proof(&self.name, &self.password, &hash, port.as_bytes()))
    }
}

#[cfg(test)]
mod tests;

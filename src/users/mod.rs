//! Who may come in by an invitation, and the hub's own authority that certifies them: one folder,
//! which nobody but the hub writes. What this says of a user holds whatever way of authentication
//! has found that user: who is revoked here is let in by none.

pub(crate) mod book;
pub(crate) mod ca;
pub(crate) mod link;

use std::{
    fmt,
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use anyhow::{Context as _, Result, bail};
use aws_lc_rs::{
    digest::{SHA256, digest},
    rand,
};
use etherws_actors::{
    connect::{Pin, ServerUrl, certificate::Facts, files::read_certificates},
    settings::PortSettings,
};

use self::{
    book::{Book, BookError, NoEntry, Pool, State, Terms, User},
    ca::{Ca, Issued, Requested, renewal},
    link::{Link, SECRET_OCTETS},
};
use crate::files;

/// Files of the folder.
pub(crate) const FILES: [&str; 5] = [BOOK, CA_CERT, CA_KEY, CERT, KEY];
const BOOK: &str = "users.json";
const CA_CERT: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const CERT: &str = "tunnel.crt";
const KEY: &str = "tunnel.key";

/// Seconds between two certificates of a user at least.
const RENEWAL_INTERVAL: i64 = 60;

/// Seconds for which a user's certificate lasts unless told otherwise: 30 days.
pub(crate) const DEFAULT_LIFETIME: i64 = 30 * 24 * 60 * 60;

/// What invitations say and give: the configuration's tables `[users]` and `[pool]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    /// What the hub is called.
    pub(crate) name: String,
    /// Where it is reached, over TLS.
    pub(crate) urls: Vec<ServerUrl>,
    /// Whether its certificate is one of a public CA.
    pub(crate) public: bool,
    /// Whether an operator has to approve who comes with an invitation.
    pub(crate) approval: bool,
    /// Seconds for which a user's certificate lasts.
    pub(crate) lifetime: i64,
    pub(crate) pool: Pool,
    /// Whether the LAN has a DHCP server of its own.
    pub(crate) dhcp: bool,
}

/// Where the users are, and what is given to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UsersOptions {
    /// Absolute.
    pub(crate) folder: PathBuf,
    pub(crate) policy: Policy,
}

/// The users of a running hub.
pub(crate) struct Users {
    folder: PathBuf,
    ca: Ca,
    policy: RwLock<Arc<Policy>>,
    /// As it is in the file. Readers, who may carry frames, wait for no disk.
    book: RwLock<Arc<Book>>,
    /// Who changes it, one after the other.
    changing: Mutex<()>,
    _lock: File,
}

/// An invitation that was made: the one value that holds its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invited {
    pub(crate) link: Link,
    pub(crate) uses: u32,
    pub(crate) address: Option<String>,
}

/// What somebody is who has shown an invitation, or a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Joined {
    pub(crate) name: String,
    pub(crate) address: Option<String>,
    /// Whether its sessions are in a VLAN of their own.
    pub(crate) has_vlan: bool,
    /// `None`: an operator has to approve it first.
    pub(crate) issued: Option<Issued>,
    /// Whether it has shown the same before.
    pub(crate) again: bool,
}

/// Something could not be changed.
#[derive(Debug)]
pub(crate) enum ChangeError<E> {
    /// By the rules.
    Refused(E),
    /// The system does not let it.
    System(anyhow::Error),
}

impl<E: fmt::Display> fmt::Display for ChangeError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::System(error) => write!(f, "{error:#}"),
        }
    }
}

/// The hash of a secret or of a key, as the book has it.
pub(crate) fn hash(octets: &[u8]) -> book::Hash {
    digest(&SHA256, octets).as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A text of the folder.
fn read_text(folder: &Path, name: &str) -> Result<String> {
    let path = folder.join(name);
    let octets = files::read(&path)
        .with_context(|| format!("{}: cannot be read; etherws init makes it", path.display()))?;
    String::from_utf8(octets).with_context(|| format!("{} is not valid UTF-8", path.display()))
}

/// Writes a file of the folder, which is its owner's alone, whatever was there.
fn write(folder: &Path, name: &str, content: &str) -> Result<()> {
    let path = folder.join(name);
    files::replace(&path, None, content.as_bytes())
        .with_context(|| format!("{}: cannot be written", path.display()))
}

/// Makes the folder of a new hub: its authority, and a key of its own. What is there stays.
///
/// # Errors
/// A file cannot be written.
pub(crate) fn create(folder: &Path, name: &str, now: i64) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .and_then(|()| fs::set_permissions(folder, fs::Permissions::from_mode(0o700)))
        .with_context(|| format!("{}: cannot be made", folder.display()))?;
    if !folder.join(CA_CERT).exists() {
        let (certificate, key) = Ca::create(name, now)?;
        write(folder, CA_KEY, &key)?;
        write(folder, CA_CERT, &certificate)?;
    }
    if !folder.join(KEY).exists() {
        write(folder, KEY, &ca::new_key()?)?;
    }
    Ok(())
}

impl Users {
    /// Opens the folder, and certifies the hub itself anew where that is due.
    ///
    /// # Errors
    /// A file cannot be used, or another hub uses it.
    pub(crate) fn open(options: &UsersOptions, now: i64) -> Result<Self> {
        let folder = &options.folder;
        let lock = File::open(folder)
            .with_context(|| format!("{}: etherws init makes it", folder.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "{}: a running switch has these users; stop it, or give another folder",
                    folder.display()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("{}", folder.display()));
            }
        }
        let ca = Ca::open(read_text(folder, CA_CERT)?, &read_text(folder, CA_KEY)?)
            .with_context(|| format!("{}", folder.display()))?;
        let path = folder.join(BOOK);
        let book = match files::read(&path) {
            Ok(octets) => Book::parse(&octets)
                .map_err(anyhow::Error::msg)
                .with_context(|| format!("{} cannot be used", path.display()))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Book::default(),
            Err(error) => return Err(error).with_context(|| format!("{}", path.display())),
        };
        let users = Self {
            folder: folder.clone(),
            ca,
            policy: RwLock::new(Arc::new(options.policy.clone())),
            book: RwLock::new(Arc::new(book)),
            changing: Mutex::default(),
            _lock: lock,
        };
        users.certify_hub(now)?;
        Ok(users)
    }

    /// What they are given now.
    pub(crate) fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives them something else from now on.
    pub(crate) fn set_policy(&self, policy: Policy) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }

    fn book(&self) -> Arc<Book> {
        Arc::clone(&self.book.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set_book(&self, book: Book) {
        *self.book.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(book);
    }

    /// Changes the book and the file, or neither. Writes to a disk: not for a thread that carries
    /// frames.
    fn change<T, E>(
        &self,
        change: impl FnOnce(&mut Book) -> Result<T, E>,
    ) -> Result<T, ChangeError<E>> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.book();
        let mut book = Book::clone(&before);
        let done = change(&mut book).map_err(ChangeError::Refused)?;
        if book != *before {
            write(&self.folder, BOOK, &book.to_text()).map_err(ChangeError::System)?;
            self.set_book(book);
        }
        Ok(done)
    }

    /// Certifies the hub itself anew, if its certificate is for other names than its URLs have, or
    /// two thirds of its life are over. Gives whether it did.
    ///
    /// # Errors
    /// It cannot be signed or written.
    pub(crate) fn certify_hub(&self, now: i64) -> Result<bool> {
        let policy = self.policy();
        let mut names: Vec<_> = policy.urls.iter().map(ServerUrl::host).collect();
        names.dedup();
        let (path, key) = (self.folder.join(CERT), self.folder.join(KEY));
        if names.is_empty() || policy.public || !key.exists() {
            return Ok(false);
        }
        let chain = read_certificates(&path).unwrap_or_default();
        let facts = chain.first().and_then(Facts::of);
        // One from the future was made by a clock that was wrong.
        let is_fresh = |facts: Facts| {
            facts.names == names && facts.from <= now && now < renewal(facts.from, facts.until)
        };
        if facts.is_some_and(is_fresh) {
            return Ok(false);
        }
        let issued = self.ca.certify_server(&names, &read_text(&self.folder, KEY)?, now)?;
        write(&self.folder, CERT, &issued.chain)?;
        Ok(true)
    }

    /// By which invitations have the hub known.
    fn pin(&self, policy: &Policy) -> Option<Pin> {
        (!policy.public).then(|| self.ca.pin())
    }

    /// Invites `name`.
    ///
    /// # Errors
    /// See [`BookError`]; or the hub does not know where it is reached.
    pub(crate) fn invite(
        &self,
        name: &str,
        terms: &Terms,
        now: i64,
    ) -> Result<Invited, ChangeError<BookError>> {
        let policy = self.policy();
        if policy.urls.is_empty() {
            let text = "urls in [users] is missing: invitations say by it where the hub is reached";
            return Err(ChangeError::System(anyhow::Error::msg(text)));
        }
        let mut secret = [0; SECRET_OCTETS];
        rand::fill(&mut secret).map_err(|_| {
            ChangeError::System(anyhow::Error::msg("the system gives no random numbers; try again"))
        })?;
        let (address, uses) = self.change(|book| {
            book.invite(name, hash(&secret), terms, &policy.pool, now)?;
            let address = book.user(name).and_then(|user| user.address);
            Ok((address.map(|address| address.to_string()), terms.uses))
        })?;
        let link =
            Link { urls: policy.urls.clone(), pin: self.pin(&policy), secret, until: terms.until };
        Ok(Invited { link, uses, address })
    }

    /// Lets somebody in by the secret of an invitation.
    ///
    /// # Errors
    /// See [`NoEntry`].
    pub(crate) fn join(
        &self,
        secret: &[u8],
        requested: &Requested,
        now: i64,
    ) -> Result<Joined, ChangeError<NoEntry>> {
        let policy = self.policy();
        let (secret, key) = (hash(secret), hash(&requested.key()));
        let book = self.book();
        let again = book.of_key(&key).is_some();
        // A guess is answered before anything is copied.
        if !again && !book.knows(&secret) {
            return Err(ChangeError::Refused(NoEntry::Unknown));
        }
        let name =
            self.change(|book| book.redeem(&secret, &key, policy.approval, &policy.pool, now))?;
        let joined = self.certify(name, requested, now).map_err(ChangeError::System)?;
        Ok(Joined { again, ..joined })
    }

    /// Certifies the key of a user again, who has shown a certificate for it.
    ///
    /// # Errors
    /// It is another key, or no user's.
    pub(crate) fn renew(
        &self,
        name: &str,
        requested: &Requested,
        now: i64,
    ) -> Result<Joined, ChangeError<NoEntry>> {
        let own = self.of_key(&hash(&requested.key()));
        if own.is_none_or(|(of, state)| of != name || state != State::Active) {
            return Err(ChangeError::Refused(NoEntry::Unknown));
        }
        // An answer may be lost, and whoever asks again and again has the others wait.
        let lifetime = self.policy().lifetime;
        let until = self.book().user(name).and_then(User::certificate_until).unwrap_or_default();
        if until - lifetime + RENEWAL_INTERVAL.min(lifetime / 10) > now {
            return Err(ChangeError::Refused(NoEntry::TooSoon));
        }
        self.certify(name.to_owned(), requested, now).map_err(ChangeError::System)
    }

    fn certify(&self, name: String, requested: &Requested, now: i64) -> Result<Joined> {
        let policy = self.policy();
        let user = self.book().user(&name).cloned();
        let user = user.with_context(|| format!("{name} was renamed or forgotten meanwhile"))?;
        let address = user.address.map(|address| address.to_string());
        let has_vlan = user.vlan.is_some();
        if user.state(now) != State::Active {
            return Ok(Joined { name, address, has_vlan, issued: None, again: false });
        }
        let issued = self.ca.certify(&name, requested, now, policy.lifetime)?;
        let noted = self.change(|book| {
            book.certified(&name, issued.until);
            Ok::<_, BookError>(())
        });
        match noted {
            Err(ChangeError::System(error)) => Err(error),
            _ => Ok(Joined { name, address, has_vlan, issued: Some(issued), again: false }),
        }
    }

    /// Approves who waits.
    ///
    /// # Errors
    /// See [`BookError`].
    pub(crate) fn approve(&self, name: &str, now: i64) -> Result<(), ChangeError<BookError>> {
        self.change(|book| book.approve(name, now))
    }

    /// Lets nobody of this name in from now on, whether or not that can be written.
    ///
    /// # Errors
    /// See [`BookError`]; or it cannot be written, and holds as long as the program runs.
    pub(crate) fn revoke(&self, name: &str, now: i64) -> Result<(), ChangeError<BookError>> {
        let _turn = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut book = Book::clone(&self.book());
        book.revoke(name, now).map_err(ChangeError::Refused)?;
        let text = book.to_text();
        self.set_book(book);
        let written = write(&self.folder, BOOK, &text);
        let written = written.context("revoked until the switch ends, and not written");
        written.map_err(ChangeError::System)
    }

    /// Gives a user another name.
    ///
    /// # Errors
    /// See [`BookError`].
    pub(crate) fn rename(
        &self,
        from: &str,
        to: &str,
        now: i64,
    ) -> Result<(), ChangeError<BookError>> {
        self.change(|book| book.rename(from, to, now))
    }

    /// All of them, by name.
    pub(crate) fn list(&self) -> Vec<(String, User)> {
        self.book().users().map(|(name, user)| (name.clone(), user.clone())).collect()
    }

    /// Whether nobody of this name is to be let in.
    pub(crate) fn is_revoked(&self, name: &str) -> bool {
        self.book().is_revoked(name)
    }

    /// Whose key this is, and what that user may do.
    pub(crate) fn of_key(&self, key: &str) -> Option<(String, State)> {
        let now = jiff::Timestamp::now().as_second();
        self.book().of_key(key).map(|(name, user)| (name.to_owned(), user.state(now)))
    }

    /// Name of the hub's authority, as certificates that it has issued have it.
    pub(crate) fn ca_name(&self) -> &str {
        self.ca.name()
    }

    /// Settings of the sessions of a user.
    pub(crate) fn settings(&self, name: &str) -> PortSettings {
        let book = self.book();
        let Some(user) = book.user(name) else { return PortSettings::default() };
        PortSettings {
            profile: user.profile.as_ref().and_then(|name| name.parse().ok()),
            tag: user.vlan.and_then(|vlan| vlan.to_string().parse().ok()),
            ..PortSettings::default()
        }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Users").field("folder", &self.folder).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

//! Options that several parts of the program share: who listens where, its TLS files, how
//! many sessions and what limits there are. Plain values; whoever makes them has checked them.

use std::path::PathBuf;

pub(crate) use etherws_actors::secret::Secret;

/// Most threads: more than any machine's cores that one Switch could feed.
pub(crate) const MAX_THREADS: i64 = 256;

/// Something that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    /// Name or address; empty: all addresses of the machine.
    pub(crate) host: String,
    /// TCP port; 0: any free one.
    pub(crate) port: u16,
    /// Path of the HTTP resource; begins with `/`.
    pub(crate) path: String,
    /// Who may come in; everybody without it. Absolute.
    pub(crate) htpasswd: Option<PathBuf>,
    /// TLS is spoken if it is there.
    pub(crate) tls: Option<TlsFiles>,
}

impl Service {
    /// Whether a client must show anything to come in.
    pub(crate) fn asks(&self) -> bool {
        self.htpasswd.is_some() || self.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some())
    }

    /// Whether both stand behind one listener: then their paths differ and their TLS
    /// files do not.
    pub(crate) fn shares_listener(&self, other: &Self) -> bool {
        self.port == other.port && self.host == other.host
    }
}

/// PEM files of a TLS server; absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// Private key.
    pub(crate) key: PathBuf,
    /// Certificate chain, the server's own first.
    pub(crate) cert: PathBuf,
    /// CAs one of which must have signed a client's certificate; without it none is required.
    pub(crate) client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// All of them, the certificate first.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let Self { key, cert, client_ca } = self;
        [cert, key].into_iter().chain(client_ca).cloned().collect()
    }
}

/// Sessions in all, unless told otherwise: a large site, and 6 GiB if each of them
/// stopped reading at once.
pub(crate) const DEFAULT_MAX_SESSIONS: usize = 4096;

/// Sessions of one user or from one address, unless told otherwise: half of all, so
/// that no one of them keeps all others out. A user may be a whole company, an address
/// a proxy before this server.
pub(crate) const DEFAULT_MAX_SESSIONS_EACH: usize = DEFAULT_MAX_SESSIONS / 2;

/// How many sessions there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// In all.
    pub(crate) all: usize,
    /// Of one user; those who have no name are not limited by it.
    pub(crate) user: usize,
    /// From one IPv4 address or IPv6 network of 64 bits.
    pub(crate) address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            all: DEFAULT_MAX_SESSIONS,
            user: DEFAULT_MAX_SESSIONS_EACH,
            address: DEFAULT_MAX_SESSIONS_EACH,
        }
    }
}

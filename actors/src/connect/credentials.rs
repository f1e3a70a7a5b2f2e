//! Name and password for HTTP Basic authentication.

/// A name and a password; the latter stays out of `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Name; must not hold a colon (RFC 7617, 2).
    pub user: String,
    /// Password.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

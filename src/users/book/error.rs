//! What cannot be done with a user, and why nobody is let in.

use std::{fmt, net::IpAddr};

use ipnet::IpNet;

use super::{MAX_NAME, MAX_USERS, MAX_USES, State};

/// Something cannot be done with a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BookError {
    /// No name of a user.
    Name(String),
    /// There is one already.
    Exists(String, State),
    /// There is none.
    Unknown(String),
    /// It has no key that waits.
    NotPending(String, State),
    /// Too many.
    Full,
    /// The pool has no free address.
    PoolFull(IpNet),
    /// There is no pool, so no address to be fixed.
    NoPool,
    /// It is not in the pool, or not free.
    Address(IpAddr, String),
    /// How often an invitation is to be used.
    Uses(u32),
    /// One address for several.
    OneAddress,
}

impl fmt::Display for BookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(
                f,
                "{name:?} is not a valid user name; give letters, digits, '.', '-', '_' and '@', \
                 {MAX_NAME} at most, the first a letter or a digit"
            ),
            Self::Exists(name, State::Active) => {
                write!(f, "{name} is a user already; give another name, or revoke {name} first")
            }
            Self::Exists(name, state) => write!(
                f,
                "{name} exists already, and is {}; give another name, or revoke {name} first",
                state.name()
            ),
            Self::Unknown(name) => {
                write!(f, "{name}: no such user; etherws users list shows them")
            }
            Self::NotPending(name, state) => {
                write!(f, "{name} is {}: there is nothing to approve", state.name())
            }
            Self::Full => {
                write!(
                    f,
                    "there are {MAX_USERS} users, as many as there may be; revoke users who are no longer \
                     there"
                )
            }
            Self::PoolFull(network) => write!(
                f,
                "the pool {network} has no free address; give a larger one in [pool], or revoke \
                 users who are no longer there"
            ),
            Self::NoPool => {
                f.write_str(
                "an address is given, but the hub has no [pool] to take it from; add one, or give no \
                 address",
            )
            }
            Self::Address(address, why) => write!(f, "{address}: {why}; give another address"),
            Self::Uses(uses) => write!(f, "uses {uses}: give 1 to {MAX_USES}"),
            Self::OneAddress => f.write_str("an address is for one user; give uses 1"),
        }
    }
}

impl std::error::Error for BookError {}

/// Nobody is let in by an invitation, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoEntry {
    /// There is no such invitation.
    Unknown,
    /// It ended.
    Expired,
    /// It was used, by another key.
    Used,
    /// The user was revoked.
    Revoked,
    /// Another user has this key.
    KeyTaken,
    /// There are as many users as there may be.
    Full,
    /// There is no address left.
    NoAddress,
    /// The last certificate was issued a moment ago.
    TooSoon,
}

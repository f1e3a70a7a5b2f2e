//! `etherws passwd`: writes htpasswd files, so that nobody needs Apache for it. Changes one
//! entry and no other octet; the file is replaced atomically, and passwords are never
//! shown.

use std::{
    fs,
    io::{self, IsTerminal as _},
};

use anyhow::{Context as _, Result, bail, ensure};
use bcrypt::Version;

use crate::{cli::PasswdArgs, files, prompt};

/// Cost of bcrypt: a quarter of a second for each login, and for each guess.
const COST: u32 = 12;

/// Longest password: bcrypt ignores what is beyond.
const MAX_OCTETS: usize = 72;

/// Runs `etherws passwd`.
///
/// # Errors
/// The name or the password cannot be used, or the file cannot be read or written;
/// it is then as it was.
pub(crate) fn run(args: &PasswdArgs) -> Result<()> {
    let PasswdArgs { file, user, delete } = args;
    ensure!(
        !user.is_empty()
            && !user.starts_with('#')
            && user.trim() == user
            && !user.contains(|c: char| c == ':' || c.is_control()),
        "user name {user:?} is not valid: give one without colons, control characters, a # at \
         the start, or blanks around it"
    );
    // Through a symbolic link: it stays one.
    let (path, old) = match fs::canonicalize(file) {
        Ok(path) => {
            let content =
                files::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            (path, Some(content))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && !delete => (file.clone(), None),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", file.display()));
        }
    };
    let content = old.as_deref().unwrap_or_default();
    let new = if *delete {
        let new = without(content, user);
        ensure!(new.len() < content.len(), "{}: user {user} does not exist", file.display());
        new
    } else {
        with(content, user, &hash(&ask(user)?)?)
    };
    let old = old.map(|_| fs::metadata(&path)).transpose();
    old.and_then(|old| files::replace(&path, old.as_ref(), &new))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The password: twice from a terminal, or one line of standard input.
fn ask(user: &str) -> Result<String> {
    let password = prompt::password(&format!("Password for {user}: "))?;
    if io::stdin().is_terminal()
        && prompt::password(&format!("Repeat password for {user}: "))? != password
    {
        bail!("the passwords do not match; nothing was changed");
    }
    Ok(password)
}

fn hash(password: &str) -> Result<String> {
    ensure!(!password.is_empty(), "the password is empty; give another");
    ensure!(
        password.len() <= MAX_OCTETS && !password.contains('\0'),
        "the password is too long, or contains a NUL; give at most {MAX_OCTETS} octets, as bcrypt \
         ignores the rest"
    );
    let parts = bcrypt::hash_with_result(password, COST).context("bcrypt failed")?;
    // The version that every server understands.
    Ok(parts.format_for_version(Version::TwoY))
}

/// The content with an entry of `user`, in the place of the one there is.
fn with(content: &[u8], user: &str, hash: &str) -> Vec<u8> {
    let entry = format!("{user}:{hash}\n").into_bytes();
    let mut new = Vec::with_capacity(content.len() + entry.len() + 1);
    let mut written = false;
    for line in content.split_inclusive(|&octet| octet == b'\n') {
        if !is_entry_of(line, user) {
            new.extend_from_slice(line);
        } else if !written {
            new.extend_from_slice(&entry);
            written = true;
        }
    }
    if !written {
        if !new.is_empty() && !new.ends_with(b"\n") {
            new.push(b'\n');
        }
        new.extend_from_slice(&entry);
    }
    new
}

/// The content without entries of `user`.
fn without(content: &[u8], user: &str) -> Vec<u8> {
    let lines = content.split_inclusive(|&octet| octet == b'\n');
    lines.filter(|line| !is_entry_of(line, user)).collect::<Vec<_>>().concat()
}

fn is_entry_of(line: &[u8], user: &str) -> bool {
    let rest = line.trim_ascii_start().strip_prefix(user.as_bytes());
    rest.is_some_and(|rest| rest.starts_with(b":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"# who\nalice:1\n\n  bob:2\nalicex:3\nalice:4";

    #[test]
    fn one_entry_is_replaced_and_all_else_stays() {
        assert_eq!(with(FILE, "alice", "new"), b"# who\nalice:new\n\n  bob:2\nalicex:3\n");
        assert_eq!(with(FILE, "bob", "new"), b"# who\nalice:1\n\nbob:new\nalicex:3\nalice:4");
        assert_eq!(
            with(FILE, "carol", "new"),
            b"# who\nalice:1\n\n  bob:2\nalicex:3\nalice:4\ncarol:new\n"
        );
        assert_eq!(with(b"", "carol", "new"), b"carol:new\n");
    }

    #[test]
    fn all_entries_of_a_deleted_user_go() {
        assert_eq!(without(FILE, "alice"), b"# who\n\n  bob:2\nalicex:3\n");
        assert_eq!(without(FILE, "carol"), FILE);
    }

    #[test]
    fn a_password_that_bcrypt_would_cut_is_refused() {
        assert!(hash("").is_err() && hash("a\0b").is_err());
        assert!(hash(&"x".repeat(73)).is_err());
    }
}

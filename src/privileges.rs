//! Least privilege: what the process may still do once its listening sockets are open.
//!
//! Runs in `sw` before everything that starts a thread, as a thread begins with the
//! capabilities of the one that starts it. Whatever is opened later, files among them,
//! is opened as it will be opened again when it changes: what cannot be read then is an
//! error now.

use std::{
    collections::HashSet,
    path::{self, Path},
};

use anyhow::{Context as _, Result, anyhow};
use caps::{CapSet, Capability};
use nix::{
    sys::prctl,
    unistd::{User, geteuid, initgroups, setresgid, setresuid},
};

/// What ports need: TAP devices, addresses and MTU; packet sockets.
const KEPT: [Capability; 2] = [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW];

/// The account called `name`, or of that number.
///
/// # Errors
/// There is none.
pub(crate) fn find_user(name: &str) -> Result<User> {
    let found = match name.parse::<u32>() {
        Ok(number) => User::from_uid(number.into()),
        Err(_) => User::from_name(name),
    };
    found
        .with_context(|| format!("--user {name}: cannot look up the user"))?
        .ok_or_else(|| anyhow!("--user {name}: no such user; create it with useradd --system"))
}

/// The folder of the packaged service, and its user.
const SERVICE: (&str, &str) = ("/etc/etherws", "etherws");

/// Becomes the packaged service's user, if this is root and `file` is that service's: what it may
/// not read is a fault, whatever root may. Gives its name.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn become_service(file: &Path) -> Result<Option<String>> {
    let (folder, name) = SERVICE;
    let is_its = path::absolute(file).is_ok_and(|file| file.starts_with(folder));
    if !is_its || !geteuid().is_root() {
        return Ok(None);
    }
    let Some(user) = User::from_name(name).ok().flatten() else { return Ok(None) };
    become_user(&user).with_context(|| format!("cannot change to the user {name}"))?;
    Ok(Some(user.name))
}

/// Becomes `user`, if there is one, and gives up every capability but [`KEPT`], for
/// good: no program that it executes regains one. `listens_later` keeps what
/// another listener on a port below 1024 needs as well.
///
/// # Errors
/// The process may not become that user, or the kernel refuses.
pub(crate) fn limit(user: Option<&User>, listens_later: bool) -> Result<()> {
    let held = caps::read(None, CapSet::Permitted).context("cannot read capabilities")?;
    let wanted = KEPT.into_iter().chain(listens_later.then_some(Capability::CAP_NET_BIND_SERVICE));
    let kept: HashSet<_> = wanted.filter(|capability| held.contains(capability)).collect();
    prctl::set_no_new_privs().context("cannot set no_new_privs")?;
    if held.contains(&Capability::CAP_SETPCAP) {
        for capability in caps::runtime::thread_all_supported() {
            caps::drop(None, CapSet::Bounding, capability)
                .with_context(|| format!("cannot drop {capability} from the bounding set"))?;
        }
    }
    if let Some(user) = user.filter(|user| user.uid != geteuid()) {
        become_user(user).with_context(|| {
            let name = &user.name;
            format!("--user {name}: cannot change to that user; start the switch as root")
        })?;
    }
    let none = HashSet::new();
    let cannot = |set| move || format!("cannot drop capabilities from the set {set:?}");
    caps::set(None, CapSet::Ambient, &none).with_context(cannot(CapSet::Ambient))?;
    // A service manager that gave no more than this may have forbidden capset. What is
    // inheritable, and not ambient, gives nothing to a program: no_new_privs is set.
    if held == kept {
        return Ok(());
    }
    // In this order: what is effective must be permitted.
    let steps =
        [(CapSet::Inheritable, &none), (CapSet::Effective, &kept), (CapSet::Permitted, &kept)];
    for (set, capabilities) in steps {
        caps::set(None, set, capabilities).with_context(cannot(set))?;
    }
    Ok(())
}

/// Changes user, group and supplementary groups; what is permitted stays so.
fn become_user(user: &User) -> Result<()> {
    prctl::set_keepcaps(true)?;
    let name = std::ffi::CString::new(user.name.as_str())?;
    initgroups(&name, user.gid)?;
    setresgid(user.gid, user.gid, user.gid)?;
    setresuid(user.uid, user.uid, user.uid)?;
    prctl::set_keepcaps(false)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        assert!(find_user("root").is_ok_and(|user| user.uid.is_root()));
        assert!(find_user("0").is_ok_and(|user| user.name == "root"));
        let error = find_user("no-such-user").expect_err("nobody").to_string();
        assert!(error.contains("--user no-such-user"), "{error}");
    }
}

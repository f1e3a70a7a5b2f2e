//! Least privilege: what the process may still do once its listening sockets are open.
//!
//! Runs in `sw` before everything that starts a thread, as a thread begins with the
//! capabilities of the one that starts it. Whatever is opened later, files among them,
//! is opened as it will be opened again when it changes: what cannot be read then is an
//! error now.

use std::{
    collections::HashSet,
    ffi::CString,
    fs,
    os::unix::fs::MetadataExt as _,
    path::{self, Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow};
use caps::{CapSet, Capability};
use nix::{
    errno::Errno,
    sys::prctl,
    unistd::{User, geteuid, getgrouplist, initgroups, setresgid, setresuid},
};

/// What ports need: TAP devices, addresses and MTU; packet sockets.
const KEPT: [Capability; 2] = [Capability::CAP_NET_ADMIN, Capability::CAP_NET_RAW];

/// The account called `name`, or of that number: where the program is all there is, no file names
/// it.
///
/// # Errors
/// There is none.
pub(crate) fn find_user(name: &str) -> Result<User> {
    // The highest number would leave the process the user that it is.
    let number = name.parse::<u32>().ok().filter(|number| *number != u32::MAX);
    let found = match number {
        Some(number) => User::from_uid(number.into()),
        None => User::from_name(name),
    };
    let found = match found {
        Err(Errno::ENOENT) => None,
        found => found.with_context(|| format!("cannot look up the user {name}"))?,
    };
    found.or_else(|| number.map(nameless)).ok_or_else(|| {
        anyhow!("no user {name}; create it with useradd --system {name}, or name another")
    })
}

/// A user, and its group, that have a number only.
fn nameless(number: u32) -> User {
    User {
        name: number.to_string(),
        passwd: CString::default(),
        uid: number.into(),
        gid: number.into(),
        gecos: CString::default(),
        dir: "/".into(),
        shell: PathBuf::new(),
    }
}

/// The folder of the packaged service, and its user.
const SERVICE: (&str, &str) = ("/etc/etherws", "etherws");

/// Becomes the packaged service's user, if this is root and `file` is that service's: what it may
/// not read is a fault, whatever root may. Gives its name.
///
/// # Errors
/// The kernel refuses.
pub(crate) fn become_service(file: &Path) -> Result<Option<String>> {
    let Some(user) = service_of(file).filter(|_| geteuid().is_root()) else { return Ok(None) };
    become_user(&user).with_context(|| format!("cannot change to the user {}", user.name))?;
    Ok(Some(user.name))
}

/// The packaged service's user, if `file` is that service's.
pub(crate) fn service_of(file: &Path) -> Option<User> {
    let (folder, name) = SERVICE;
    let is_its = path::absolute(file).is_ok_and(|file| file.starts_with(folder));
    is_its.then(|| User::from_name(name).ok().flatten())?
}

/// What keeps `user` from reading `file`, by owner and mode: the file itself, or a folder above
/// it. `None`: nothing, or it is not there.
pub(crate) fn barrier(user: &User, file: &Path) -> Option<PathBuf> {
    if user.uid.is_root() {
        return None;
    }
    let name = CString::new(user.name.as_str()).ok()?;
    let groups = getgrouplist(&name, user.gid).unwrap_or_else(|_| vec![user.gid]);
    let may = |path: &Path, bit: u32| {
        let Ok(found) = fs::metadata(path) else { return true };
        let shift = if found.uid() == user.uid.as_raw() {
            6
        } else if groups.iter().any(|group| group.as_raw() == found.gid()) {
            3
        } else {
            0
        };
        found.mode() >> shift & bit != 0
    };
    let mut folders: Vec<_> =
        file.ancestors().skip(1).filter(|it| !it.as_os_str().is_empty()).collect();
    folders.reverse();
    let closed = folders.into_iter().find(|folder| !may(folder, 1));
    closed.or_else(|| (!may(file, 4)).then_some(file)).map(Path::to_owned)
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
    let name = CString::new(user.name.as_str())?;
    initgroups(&name, user.gid)?;
    setresgid(user.gid, user.gid, user.gid)?;
    setresuid(user.uid, user.uid, user.uid)?;
    prctl::set_keepcaps(false)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_keeps_a_user_from_a_file_is_found_by_owner_and_mode() {
        let dir = tempfile::tempdir().expect("a folder");
        let (folder, file) = (dir.path().join("in"), dir.path().join("in/file"));
        fs::create_dir(&folder).expect("a folder");
        fs::write(&file, "").expect("a file");
        let set = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its mode");
        };
        set(dir.path(), 0o755);
        let root = find_user("root").expect("root");
        // Nobody has this number.
        let stranger = User { uid: 4_000_000.into(), gid: 4_000_000.into(), ..root.clone() };
        for (of_folder, of_file, barrier_is) in
            [(0o755, 0o644, None), (0o755, 0o640, Some(&file)), (0o750, 0o644, Some(&folder))]
        {
            set(&folder, of_folder);
            set(&file, of_file);
            assert_eq!(barrier(&stranger, &file).as_ref(), barrier_is, "{of_folder:o} {of_file:o}");
            assert_eq!(barrier(&root, &file), None);
        }
    }

    #[test]
    fn a_user_is_found_by_name_and_by_number() {
        assert!(find_user("root").is_ok_and(|user| user.uid.is_root()));
        assert!(find_user("0").is_ok_and(|user| user.name == "root"));
        let nameless = find_user("4000000").expect("a number is enough");
        assert_eq!((nameless.uid.as_raw(), nameless.gid.as_raw()), (4_000_000, 4_000_000));
        // -1 is nobody's: setresuid(2) would change nothing.
        for name in ["no-such-user", "4294967295", "-1"] {
            let error = find_user(name).expect_err("nobody").to_string();
            assert!(error.contains(&format!("no user {name}")), "{error}");
        }
    }
}

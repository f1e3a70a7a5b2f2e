//! Word that something may have changed behind the names of files: the kernel's (inotify), or,
//! where it gives none, each tick's. It may come for nothing, and never says what has changed.

use std::{
    collections::BTreeSet,
    fs, io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Component, Path, PathBuf, absolute},
    time::Duration,
};

use etherws_actors::{
    sys,
    tick::{self, TICK},
};
use nix::{
    errno::Errno,
    sys::{
        inotify::{AddWatchFlags, InitFlags, Inotify},
        statfs::{
            BTRFS_SUPER_MAGIC, EXT4_SUPER_MAGIC, F2FS_SUPER_MAGIC, FsType, OVERLAYFS_SUPER_MAGIC,
            TMPFS_MAGIC, statfs,
        },
    },
};
use tokio::io::unix::AsyncFd;

/// File systems of which the kernel hears of every change: not those of other machines.
const LOCAL: [FsType; 6] = [
    BTRFS_SUPER_MAGIC,
    EXT4_SUPER_MAGIC,
    F2FS_SUPER_MAGIC,
    OVERLAYFS_SUPER_MAGIC,
    TMPFS_MAGIC,
    // XFS, which not every C library names.
    FsType(0x5846_5342),
];

/// What may have a name stand for another content: of a folder, and of the file itself, which may
/// have another name elsewhere.
const CHANGES: AddWatchFlags = AddWatchFlags::IN_ATTRIB
    .union(AddWatchFlags::IN_CLOSE_WRITE)
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MODIFY)
    .union(AddWatchFlags::IN_MOVE)
    .union(AddWatchFlags::IN_MOVE_SELF);

/// After which word comes in any case: the kernel does not tell of what is mounted over a folder.
const AT_LAST: Duration = Duration::from_secs(60);

/// Symbolic links that are followed, as by the kernel.
const LINKS: usize = 40;

#[derive(Debug)]
pub(super) enum Notice {
    /// The kernel gives word: once, and then there must be another one.
    Kernel(AsyncFd<OwnedFd>),
    /// It does not.
    Ticks,
}

impl Notice {
    /// Of changes from now on. To be called where there is a runtime.
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        Self::of_kernel(paths).map_or(Self::Ticks, Self::Kernel)
    }

    fn of_kernel(paths: &[PathBuf]) -> io::Result<AsyncFd<OwnedFd>> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        for path in paths.iter().flat_map(|path| on_the_way(path)) {
            // Before it is there, what it will stand in tells.
            match inotify.add_watch(&path, CHANGES) {
                Ok(_) if LOCAL.contains(&statfs(&path)?.filesystem_type()) => {}
                Ok(_) => return Err(io::ErrorKind::Unsupported.into()),
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        sys::watch(inotify.as_fd())
    }

    /// Waits for word. It comes at ticks: while a file is written there may be much of it.
    pub(super) async fn wait(&self) {
        if let Self::Kernel(events) = self {
            let mut at_last = tick::every(AT_LAST);
            tokio::select! {
                // Refused only where there is no runtime any more.
                _ = events.readable() => {}
                _ = at_last.tick() => {}
            }
        }
        tick::every(TICK).tick().await;
    }
}

/// The folders in which the kernel looks for a name when it opens the file, and the file.
fn on_the_way(path: &Path) -> BTreeSet<PathBuf> {
    let (mut found, mut at, mut links) = (BTreeSet::new(), PathBuf::new(), 0);
    let steps = |path: &Path| {
        let steps: Vec<_> = path.components().map(|step| step.as_os_str().to_owned()).collect();
        steps.into_iter().rev()
    };
    // What is no path is no file either.
    let mut rest: Vec<_> = absolute(path).iter().flat_map(|path| steps(path)).collect();
    while let Some(step) = rest.pop() {
        if Path::new(&step).components().next() == Some(Component::ParentDir) {
            at.pop();
            continue;
        }
        found.insert(at.clone());
        at.push(step);
        if links < LINKS
            && let Ok(target) = fs::read_link(&at)
        {
            links += 1;
            at.pop();
            rest.extend(steps(&target));
        }
    }
    found.remove(Path::new(""));
    found.insert(at);
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn all_folders_on_the_way_are_watched_behind_links_too() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        let at = |name: &str| root.join(name);
        fs::create_dir_all(at("real/inner")).unwrap();
        symlink("../real/inner", at("real/up")).unwrap();
        symlink(at("real/up"), at("live")).unwrap();
        fs::write(at("real/inner/file"), "").unwrap();
        let found = on_the_way(&at("live/file"));
        let below: Vec<_> = found.iter().filter(|path| path.starts_with(&root)).collect();
        let [inner, file] = [at("real/inner"), at("real/inner/file")];
        assert_eq!(below, [&root, &at("real"), &inner, &file]);
        assert!(root.ancestors().all(|above| found.contains(above)), "{found:?}");
        symlink("loop", at("loop")).unwrap();
        assert!(on_the_way(&at("loop")).contains(&root), "a loop has an end");
        assert!(on_the_way(&at("not/there")).contains(&root));
    }
}

//! Files that are read again: calls back when the content behind their names has
//! changed, or when a reload is asked for (SIGHUP). Knows nothing of what is in them.
//!
//! The content is compared, at the tick after the kernel has given word of a change, or at each
//! tick where it gives none (`notice`).

mod notice;

use std::{
    fs::{File, Metadata, OpenOptions, Permissions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest::{self, SHA256};
use nix::fcntl::OFlag;
use tempfile::NamedTempFile;
use tokio::sync::watch;

use self::notice::Notice;

/// A larger file is refused: a hundred thousand users take about 5 MB, and a
/// mistyped path must not fill the memory.
pub(crate) const MAX_OCTETS: u64 = 16 * 1024 * 1024;

/// Asks all that watch files to load them again.
#[derive(Debug, Clone)]
pub(crate) struct Reload(watch::Sender<()>);

impl Reload {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    /// Asks; whoever has begun to watch before is called.
    pub(crate) fn request(&self) {
        self.0.send_replace(());
    }

    /// Hears of each request from now on; several in a row may be heard once.
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}

/// Why a watcher calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The content of a file is another, or it has become unreadable or readable.
    Changed,
    /// Somebody has asked.
    Asked,
}

/// Files, and what they held when they were last looked at.
#[derive(Debug)]
pub(crate) struct Watch {
    paths: Vec<PathBuf>,
    notice: Notice,
    states: Vec<State>,
}

impl Watch {
    /// Looks at the files. To be done before they are loaded for the first time, so
    /// that no change falls between the two.
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let notice = Notice::of(&paths);
        let states = paths.iter().map(|path| State::of(path)).collect();
        Self { paths, notice, states }
    }

    /// Calls `load` whenever the content of one of the files changes, and whenever it
    /// is `asked` for, for as long as there is somebody who may ask. It is called on a
    /// thread where it may block.
    pub(crate) async fn run(
        mut self,
        mut asked: watch::Receiver<()>,
        mut load: impl FnMut(Why) + Send + 'static,
    ) {
        loop {
            let why = tokio::select! {
                () = self.notice.wait() => Why::Changed,
                heard = asked.changed() => match heard {
                    Ok(()) => Why::Asked,
                    Err(_) => return,
                },
            };
            let look = move || {
                let now = Self::new(self.paths);
                if why == Why::Asked || now.states != self.states {
                    load(why);
                }
                (now, load)
            };
            match tokio::task::spawn_blocking(look).await {
                Ok(looked) => (self, load) = looked,
                // `load` has panicked, and with it what it knew; the log has it.
                Err(_) => return,
            }
        }
    }
}

/// What a file holds, as far as it matters whether it changes.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Content([u8; 32]),
    Unreadable(io::ErrorKind),
}

impl State {
    fn of(path: &Path) -> Self {
        match read(path) {
            Ok(content) => {
                let mut sum = [0; 32];
                sum.copy_from_slice(digest::digest(&SHA256, &content).as_ref());
                Self::Content(sum)
            }
            Err(error) => Self::Unreadable(error.kind()),
        }
    }
}

/// Reads a file that was named in an option.
///
/// # Errors
/// It cannot be read, is no regular file or is larger than [`MAX_OCTETS`].
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    // Not blocking: to open a pipe would wait for its other end.
    let nonblocking = OFlag::O_NONBLOCK.bits();
    let file = OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut content = Vec::new();
    file.take(MAX_OCTETS + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_OCTETS {
        let text = format!("it is larger than {MAX_OCTETS} octets");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(content)
}

/// Replaces the file by `content`: who reads meanwhile sees the old or the new.
pub(crate) fn replace(path: &Path, old: Option<&Metadata>, content: &[u8]) -> io::Result<()> {
    // A name without a folder is in this one.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // Private to its owner from the start.
    let mut file = NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))?;
    if let Some(old) = old {
        keep_owner(file.as_file(), old)?;
        file.as_file().set_permissions(Permissions::from_mode(old.mode() & 0o7777))?;
    }
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // That it has another name now is to outlast a power cut as well.
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// The switch, which may run as another user, must be able to read it still.
fn keep_owner(file: &File, old: &Metadata) -> io::Result<()> {
    let new = file.metadata()?;
    if (new.uid(), new.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    match fchown(file, Some(old.uid()), Some(old.gid())) {
        // Who is not root cannot give it away; its group may still be one of ours.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            fchown(file, None, Some(old.gid()))
        }
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink, time::Duration};

    use tokio::{sync::mpsc, time};

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(async { time::timeout(Duration::from_secs(20), test).await.unwrap() });
    }

    fn start(path: PathBuf, reload: &Reload) -> mpsc::UnboundedReceiver<(Why, Option<String>)> {
        let (sender, calls) = mpsc::unbounded_channel();
        let watch = Watch::new(vec![path.clone()]);
        tokio::spawn(watch.run(reload.subscribe(), move |why| {
            let content = read(&path).ok().map(|octets| String::from_utf8(octets).unwrap());
            let _ = sender.send((why, content));
        }));
        calls
    }

    #[test]
    fn a_swapped_link_a_lost_file_and_a_request_are_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for version in ["1", "2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("file"), version).unwrap();
        }
        symlink("1", at("live")).unwrap();
        run(async {
            let reload = Reload::new();
            let mut calls = start(at("live/file"), &reload);
            symlink("2", at("new")).unwrap();
            fs::rename(at("new"), at("live")).unwrap();
            assert_eq!(calls.recv().await, Some((Why::Changed, Some("2".to_owned()))));
            fs::rename(at("2"), at("gone")).unwrap();
            assert_eq!(calls.recv().await, Some((Why::Changed, None)));
            fs::rename(at("gone"), at("2")).unwrap();
            assert_eq!(calls.recv().await, Some((Why::Changed, Some("2".to_owned()))));
            fs::hard_link(at("2/file"), at("same")).unwrap();
            fs::write(at("same"), "3").unwrap();
            assert_eq!(calls.recv().await, Some((Why::Changed, Some("3".to_owned()))));
            fs::remove_file(at("2/file")).unwrap();
            assert_eq!(calls.recv().await, Some((Why::Changed, None)));
            reload.request();
            assert_eq!(calls.recv().await, Some((Why::Asked, None)));
        });
    }

    #[test]
    fn what_is_no_file_is_refused() {
        assert!(read(Path::new("/dev/null")).is_err());
        assert!(read(Path::new("/")).is_err());
        let error = read(Path::new("/nonexistent/file")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn mode_and_link_survive_and_a_new_file_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users");
        let mode = || fs::metadata(&path).unwrap().mode() & 0o777;
        replace(&path, None, b"one").unwrap();
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        replace(&path, Some(&fs::metadata(&path).unwrap()), b"two").unwrap();
        assert_eq!((mode(), fs::read(&path).unwrap()), (0o640, b"two".to_vec()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left behind");
    }
}

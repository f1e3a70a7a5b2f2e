//! What is neither configuration nor log and outlasts a restart: values by section and key,
//! in one file of JSON. The program works without it, so nothing that goes wrong with it
//! may be an error of the program: it is said in one line of the log.

use std::{
    collections::BTreeMap,
    env, fmt,
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use etherws_actors::{error::one_line, kinds::Store};
use nix::unistd::{AccessFlags, access};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use slog::{Logger, info, warn};
use tempfile::NamedTempFile;

use crate::files;

/// Where it is if nobody says otherwise.
pub(crate) const FOLDER: &str = "/var/lib/etherws";

const FILE: &str = "state.json";

/// The form of the file. One of a later version is left alone.
const VERSION: u64 = 1;

/// Most keys of a section: no use of it comes near, and a file must not grow for ever.
const MAX_KEYS: usize = 4096;

/// The store. Its folder is locked: each of two switches would undo what the other has kept.
pub(crate) struct State {
    folder: PathBuf,
    content: Mutex<Content>,
    _lock: File,
    log: Logger,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Content {
    version: u64,
    #[serde(flatten)]
    sections: BTreeMap<String, BTreeMap<String, Value>>,
}

impl State {
    /// The state in the folder `given`, or in the usual one; `None` if there is none that
    /// can be used, which the log tells.
    pub(crate) fn open(given: Option<&Path>, log: &Logger) -> Option<Self> {
        let folder = match given {
            Some(folder) => folder.to_owned(),
            None => match usual() {
                Some(folder) => folder,
                None => {
                    info!(
                        log,
                        "no state is kept across restarts: {FOLDER} does not exist or cannot be \
                         written; make it, or give --state DIR"
                    );
                    return None;
                }
            },
        };
        match Self::load(&folder, log) {
            Ok(state) => {
                info!(log, "state is kept"; "folder" => %folder.display());
                Some(state)
            }
            Err(why) => {
                warn!(log, "no state is kept across restarts: {}: {why}", folder.display());
                None
            }
        }
    }

    fn load(folder: &Path, log: &Logger) -> Result<Self, String> {
        let lock = File::open(folder).map_err(|error| one_line(&error))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => "another switch uses it; give --state DIR".to_owned(),
            TryLockError::Error(error) => format!("cannot be locked: {}", one_line(&error)),
        })?;
        access(folder, AccessFlags::W_OK | AccessFlags::X_OK)
            .map_err(|error| format!("cannot be written: {}", one_line(&error)))?;
        let path = folder.join(FILE);
        let empty = Content { version: VERSION, sections: BTreeMap::new() };
        let content = match files::read(&path) {
            Ok(octets) => read(&octets)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(empty.clone()),
            Err(error) => return Err(format!("{FILE} cannot be read: {}", one_line(&error))),
        };
        let content = if let Some(content) = content {
            content
        } else {
            let aside = folder.join(format!("{FILE}.damaged"));
            fs::rename(&path, &aside).map_err(|error| {
                let why = one_line(&error);
                format!("{FILE} is damaged, and cannot be renamed: {why}")
            })?;
            warn!(log, "the state is lost: its file is damaged"; "kept" => %aside.display());
            empty
        };
        let folder = folder.to_owned();
        Ok(Self { folder, content: Mutex::new(content), _lock: lock, log: log.clone() })
    }

    /// Who reads meanwhile, or after a crash, sees the old or the new.
    fn write(&self, content: &Content) -> io::Result<()> {
        let mut file = NamedTempFile::new_in(&self.folder)?;
        serde_json::to_writer_pretty(&mut file, content)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(self.folder.join(FILE))?;
        File::open(&self.folder)?.sync_all()
    }
}

/// What the file says; `None` if it is damaged.
fn read(octets: &[u8]) -> Result<Option<Content>, String> {
    let Ok(value) = serde_json::from_slice::<Value>(octets) else { return Ok(None) };
    match value["version"].as_u64() {
        Some(version) if version > VERSION => {
            Err(format!("{FILE} is of version {version}, and this program knows {VERSION}"))
        }
        Some(_) => Ok(serde_json::from_value(value).ok()),
        None => Ok(None),
    }
}

/// The service manager's folder, or the usual one if it may be written.
fn usual() -> Option<PathBuf> {
    // systemd puts a colon between several.
    let given = env::var("STATE_DIRECTORY").ok();
    let given = given.iter().flat_map(|folders| folders.split(':')).find(|name| !name.is_empty());
    let writable = |folder: &&str| access(*folder, AccessFlags::W_OK | AccessFlags::X_OK).is_ok();
    given.or_else(|| Some(FOLDER).filter(writable)).map(PathBuf::from)
}

impl Store for State {
    fn get(&self, section: &str, key: &str) -> Option<Value> {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        content.sections.get(section)?.get(key).cloned()
    }

    fn set(&self, section: &str, key: &str, value: Value) {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = content.sections.entry(section.to_owned()).or_default();
        if keys.get(key) == Some(&value) {
            return;
        }
        if keys.len() >= MAX_KEYS && !keys.contains_key(key) {
            warn!(self.log, "the state is full: {section} has {MAX_KEYS} keys"; "key" => key);
            return;
        }
        keys.insert(key.to_owned(), value);
        if let Err(error) = self.write(&content) {
            warn!(self.log, "the state cannot be written"; "key" => key, "error" => one_line(&error));
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("folder", &self.folder).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use slog::{Discard, o};

    use super::*;

    fn open(folder: &Path) -> Option<State> {
        State::open(Some(folder), &Logger::root(Discard, o!()))
    }

    #[test]
    fn what_is_set_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let state = open(folder.path()).unwrap();
        assert_eq!(state.get("mac", "tap:ewp0"), None);
        state.set("mac", "tap:ewp0", "02:00:00:00:00:01".into());
        state.set("mac", "tap:ewp1", 7.into());
        assert!(open(folder.path()).is_none(), "one switch at a time");
        drop(state);
        let state = open(folder.path()).unwrap();
        assert_eq!(state.get("mac", "tap:ewp0"), Some("02:00:00:00:00:01".into()));
        assert_eq!(state.get("mac", "tap:ewp1"), Some(7.into()));
        assert_eq!(state.get("user", "tap:ewp1"), None);
        let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert!(text.starts_with("{\n  \"version\": 1,\n  \"mac\": {"), "{text}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn a_damaged_file_is_kept_aside() {
        for damaged in ["", "{\"version\": 1, \"mac\":", "[]", "{\"version\": 1, \"mac\": 3}", "{}"]
        {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join(FILE);
            fs::write(&path, damaged).unwrap();
            let state = open(folder.path()).unwrap();
            state.set("mac", "tap:ewp0", 1.into());
            assert_eq!(state.get("mac", "tap:ewp0"), Some(1.into()));
            let aside = fs::read_to_string(folder.path().join("state.json.damaged"));
            assert_eq!(aside.unwrap(), damaged);
        }
    }

    #[test]
    fn a_file_of_a_later_version_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, "{\"version\": 2, \"all\": []}").unwrap();
        assert!(open(folder.path()).is_none());
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"version\": 2, \"all\": []}");
    }

    #[test]
    fn without_a_folder_there_is_no_state() {
        let folder = tempfile::tempdir().unwrap();
        assert!(open(&folder.path().join("none")).is_none());
    }
}

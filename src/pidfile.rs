//! The file with the number of the process, for whoever starts daemons by scripts. It is locked
//! for as long as the process lives, so that a second one with the same file does not start.

use std::{
    fs::{self, File, TryLockError},
    io::Write as _,
    path::{Path, PathBuf},
    process,
};

use anyhow::{Context as _, Result, bail};

/// The file, which goes with the process.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Writes the file, which may need a privilege that is not kept.
    ///
    /// # Errors
    /// It cannot be written, or a process that lives has it.
    pub(crate) fn write(path: &Path) -> Result<Self> {
        let shown = path.display();
        let failed = || format!("--pid-file {shown}: cannot be written; choose another file");
        let mut file = File::options()
            .create(true)
            .write(true)
            .truncate(false)
            .open(path)
            .with_context(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "--pid-file {shown}: a switch runs with it; stop that one, or choose another file"
                )
            }
            Err(TryLockError::Error(error)) => return Err(error).with_context(failed),
        }
        file.set_len(0).with_context(failed)?;
        writeln!(file, "{}", process::id()).with_context(failed)?;
        Ok(Self { path: path.to_owned(), file })
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Who has given up the right to remove it leaves it empty.
        if fs::remove_file(&self.path).is_err() {
            let _ = self.file.set_len(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_does_not_start_with_it_and_it_goes_with_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        fs::write(&path, "12345678 of one that was killed\n").unwrap();
        let first = PidFile::write(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", process::id()));
        let error = PidFile::write(&path).unwrap_err().to_string();
        assert!(error.contains("a switch runs with it"), "{error}");
        drop(first);
        assert!(!path.exists());
        assert!(PidFile::write(Path::new("/nowhere/pid")).is_err());
    }
}

//! One file descriptor that the program keeps back, so that whoever comes to see what is
//! wrong can still reach control when there is no other: all listeners share it.
//!
//! Nobody but control may have it. A listener without control accepts only while the
//! reserve is there, or it would take what control's connection has just given back.
//! It is handed over within one call, on the one thread that accepts, so that nobody
//! can come between.

use std::{
    io,
    os::unix::net::UnixDatagram,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use super::endpoint::Endpoint;

/// The descriptor, while control does not need it: a socket, which needs no file that is there.
#[derive(Debug, Default)]
pub(crate) struct Reserve(Mutex<Option<UnixDatagram>>);

impl Reserve {
    /// Accepts a connection to `endpoint` by `accept`, with the reserve if it may.
    ///
    /// # Errors
    /// Those of `accept`; that there is no descriptor to keep back.
    pub(super) fn accept<T>(
        &self,
        endpoint: &Endpoint,
        mut accept: impl FnMut() -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let kept = self.keep();
        if endpoint.control.is_none() {
            kept?;
            return accept();
        }
        match accept() {
            Poll::Ready(Err(error)) if is_out_of_descriptors(&error) && self.release() => accept(),
            accepted => accepted,
        }
    }

    /// Gives it up, if it is there.
    fn release(&self) -> bool {
        self.file().take().is_some()
    }

    /// Takes a descriptor back, if there is none and one is free: to be called when a
    /// connection has ended, before anybody else takes what it had.
    ///
    /// # Errors
    /// None is free.
    pub(super) fn keep(&self) -> io::Result<()> {
        let mut file = self.file();
        if file.is_none() {
            *file = Some(UnixDatagram::unbound()?);
        }
        Ok(())
    }

    fn file(&self) -> MutexGuard<'_, Option<UnixDatagram>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    use nix::libc::{EMFILE, ENFILE};
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

//! Control on a Unix socket: its file's mode, 0600, is the door, and there is no other.
//!
//! A file that a killed switch left behind is replaced; one that somebody listens on,
//! or that is no socket, never.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net::{UnixListener as StdListener, UnixStream as StdStream},
    },
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use actix_rt::net::UnixStream;
use anyhow::{Context as _, Result, bail};
use nix::unistd::{User, chown, geteuid};
use slog::debug;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

use super::{
    answer,
    counters::Count,
    endpoint::Endpoint,
    http::{self, InUse},
    listen,
    peer::{Account, Client, Ends, Peer},
    source::Source,
};

/// Path of control behind the socket, whatever it is behind TCP: there is nothing else
/// that it could be told from.
pub(crate) const CONTROL_PATH: &str = "/ctl";

/// Connections that wait to be accepted: more than one user's scripts open at once.
const BACKLOG: i32 = 128;

/// A listening Unix socket; its file goes with it, unless it was inherited.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: StdListener,
    path: PathBuf,
    file: Option<SocketFile>,
}

/// The file of a socket, by what tells it from another of the same name.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Whoever has replaced it keeps theirs.
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Listens at `path`, for this process's user alone.
///
/// # Errors
/// The file exists and is in use or is no socket, or cannot be made.
pub(crate) fn bind(path: &Path) -> Result<Listener> {
    bind_for(path, None)
}

/// The same for `account`, which this process will run as.
///
/// # Errors
/// As [`bind`].
pub(crate) fn bind_for(path: &Path, account: Option<&User>) -> Result<Listener> {
    remove_stale(path)?;
    make_runtime_folder(path);
    let failed = || format!("cannot listen on {}; choose another --ctlsock", path.display());
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).with_context(failed)?;
    socket.bind(&SockAddr::unix(path).with_context(failed)?).with_context(failed)?;
    let file = SocketFile { path: path.to_owned(), identity: identity(path).with_context(failed)? };
    // Nobody can connect before it listens, and then the mode is this one.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).with_context(failed)?;
    if let Some(account) = account.filter(|account| account.uid != geteuid()) {
        chown(path, Some(account.uid), Some(account.gid)).with_context(failed)?;
    }
    socket.listen(BACKLOG).with_context(failed)?;
    socket.set_nonblocking(true).with_context(failed)?;
    Ok(Listener { socket: socket.into(), path: path.to_owned(), file: Some(file) })
}

/// Takes a socket that the service manager opened: who may connect is its to say, and
/// its file stays.
///
/// # Errors
/// The socket has no address.
pub(crate) fn adopt(socket: StdListener) -> Result<Listener> {
    let address = socket.local_addr().context("an inherited Unix socket has no address")?;
    let path = address.as_pathname().unwrap_or_else(|| Path::new("(abstract)")).to_owned();
    Ok(Listener { socket, path, file: None })
}

/// Makes the program's own folder in `/run`, which is empty after each start of the machine, where
/// no service manager has made it. If it cannot, there is nowhere to listen, which is told.
fn make_runtime_folder(path: &Path) {
    if let Some(folder) = path.parent().filter(|it| it.parent() == Some(Path::new("/run"))) {
        let _ = fs::create_dir(folder);
    }
}

fn remove_stale(path: &Path) -> Result<()> {
    let shown = path.display();
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot look at {shown}")),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            bail!("{shown} exists and is not a socket; choose another --ctlsock")
        }
        Ok(_) => {}
    }
    match StdStream::connect(path) {
        Ok(_) => bail!("another program listens on {shown}; stop it, or choose another --ctlsock"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).with_context(|| format!("cannot replace {shown}"))
        }
        Err(error) => Err(error).with_context(|| format!("cannot tell who listens on {shown}")),
    }
}

impl Listener {
    /// Where it listens.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the service manager opened it.
    pub(crate) fn is_inherited(&self) -> bool {
        self.file.is_none()
    }

    /// Serves `endpoint` for as long as what it gives runs; the file goes with that.
    ///
    /// # Errors
    /// The socket cannot be registered with the runtime; the HTTP service cannot start.
    pub(crate) fn serve(self, endpoint: Arc<Endpoint>) -> Result<impl Future<Output = Result<()>>> {
        let listener = UnixListener::from_std(self.socket)?;
        Ok(serve(listener, self.file, endpoint))
    }
}

async fn serve(
    listener: UnixListener,
    _file: Option<SocketFile>,
    endpoint: Arc<Endpoint>,
) -> Result<()> {
    let (log, counters) = (endpoint.log.clone(), Arc::clone(&endpoint.counters));
    let of = Arc::clone(&endpoint);
    let http = Rc::new(InUse::new(move || http::service::<UnixStream>(Arc::clone(&of))));
    loop {
        let (stream, _) = listen::next(&endpoint, &log, |cx| listener.poll_accept(cx)).await;
        counters.add(Count::Accepted);
        let connection = endpoint.pending.enter(Source::UNIX);
        let (http, endpoint) = (Rc::clone(&http), Arc::clone(&endpoint));
        let account = stream.peer_cred().ok().map(|own| Account {
            uid: own.uid(),
            gid: own.gid(),
            pid: own.pid(),
        });
        let peer = Peer::at(Ends::Unix(account));
        let client = Client { stream, peer, place: connection.place() };
        actix_rt::spawn(connection.serve(async move {
            match http.service().await {
                Ok(service) => answer(&endpoint, &*service, client).await,
                Err(error) => debug!(endpoint.log, "connection failed"; "error" => %error),
            }
            let _ = endpoint.reserve.keep();
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_its_users_alone_and_goes_with_the_listener() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn only_a_socket_that_nobody_listens_on_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let first = bind(&path).unwrap();
        let error = bind(&path).unwrap_err().to_string();
        assert!(
            error.contains("another program listens") && error.contains("--ctlsock"),
            "{error}"
        );
        // As a killed switch leaves it.
        std::mem::forget(first.file);
        drop(first.socket);
        drop(bind(&path).unwrap());
        fs::write(&path, "mine").unwrap();
        assert!(bind(&path).unwrap_err().to_string().contains("not a socket"));
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn a_file_of_another_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let other = bind(&path).unwrap();
        drop(listener);
        assert!(path.exists());
        drop(other);
    }
}

//! A relay between two ends of TCP that does what networks do: it forgets connections
//! that say nothing, resets them, and loses one end without telling the other. Its
//! threads end with the test's process.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use socket2::SockRef;

/// Pause between two looks at what is to become of a connection.
const LOOK: Duration = Duration::from_millis(20);

/// One connection through the relay.
#[derive(Debug)]
struct Link {
    /// From the client.
    near: Arc<TcpStream>,
    /// To the server.
    far: Arc<TcpStream>,
    cut: Arc<AtomicBool>,
}

/// A relay that listens on loopback.
#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    links: Arc<Mutex<Vec<Link>>>,
    /// Ends whose other end is gone.
    lost: Mutex<Vec<Arc<TcpStream>>>,
}

impl Relay {
    /// A relay to `target`, which ends a connection when nothing has come from one of
    /// its ends for `idle`.
    pub(crate) fn start(target: SocketAddr, idle: Option<Duration>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let links = Arc::default();
        let kept: Arc<Mutex<Vec<Link>>> = Arc::clone(&links);
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let Ok(far) = TcpStream::connect(target) else { continue };
                let link = Link { near: Arc::new(near), far: Arc::new(far), cut: Arc::default() };
                for (from, to) in [(&link.near, &link.far), (&link.far, &link.near)] {
                    from.set_nodelay(true).unwrap();
                    from.set_read_timeout(Some(LOOK)).unwrap();
                    let (from, to, cut) = (Arc::clone(from), Arc::clone(to), Arc::clone(&link.cut));
                    thread::spawn(move || copy(&from, &to, &cut, idle));
                }
                kept.lock().unwrap().push(link);
            }
        });
        Self { address, links, lost: Mutex::default() }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }

    /// How many connections there have been since the last cut.
    pub(crate) fn count(&self) -> usize {
        self.links.lock().unwrap().len()
    }

    /// Resets both ends of all connections.
    pub(crate) fn reset(&self) {
        for link in self.links.lock().unwrap().drain(..) {
            link.end(&[&link.near, &link.far]);
        }
    }

    /// Resets the clients' ends; the servers hear nothing any more.
    pub(crate) fn lose_clients(&self) {
        for link in self.links.lock().unwrap().drain(..) {
            link.end(&[&link.near]);
            self.lost.lock().unwrap().push(link.far);
        }
    }
}

impl Link {
    /// Stops copying; `reset` are reset when their last user is gone.
    fn end(&self, reset: &[&Arc<TcpStream>]) {
        for stream in reset {
            SockRef::from(&***stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        self.cut.store(true, Relaxed);
    }
}

fn copy(mut from: &TcpStream, mut to: &TcpStream, cut: &AtomicBool, idle: Option<Duration>) {
    let mut buffer = vec![0; 64 * 1024];
    let mut heard = Instant::now();
    loop {
        let read = from.read(&mut buffer);
        if cut.load(Relaxed) {
            return;
        }
        match read {
            Ok(octets @ 1..) if to.write_all(&buffer[..octets]).is_ok() => heard = Instant::now(),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if idle.is_some_and(|idle| heard.elapsed() > idle) {
                    break;
                }
            }
            _ => break,
        }
    }
    for stream in [from, to] {
        // Gone already, if it is not connected.
        let _ = stream.shutdown(Shutdown::Both);
    }
}

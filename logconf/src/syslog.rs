//! Records to a syslog server, as Python's `SysLogHandler` sends them: priority
//! and text, without time, ended by a NUL.
//!
//! Connected with the first record and again after a failure, because a syslog
//! server may start later than we do.

use std::{
    io::{self, Write as _},
    net::{SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket},
    os::unix::net::{UnixDatagram, UnixStream},
    path::PathBuf,
    time::Duration,
};

use crate::level::Level;

/// After this long without progress a record is dropped: other handlers, and the end of
/// the program, wait behind it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A socket of this machine, such as `/dev/log`.
    Unix(PathBuf),
    Udp(String, u16),
    Tcp(String, u16),
}

/// Python's names of facilities: as a string, or in capitals after `LOG_`.
pub(crate) const FACILITIES: [(&str, u8); 25] = [
    ("kern", 0),
    ("user", 1),
    ("mail", 2),
    ("daemon", 3),
    ("auth", 4),
    ("syslog", 5),
    ("lpr", 6),
    ("news", 7),
    ("uucp", 8),
    ("cron", 9),
    ("authpriv", 10),
    ("ftp", 11),
    ("ntp", 12),
    ("security", 13),
    ("console", 14),
    ("solcron", 15),
    ("solaris-cron", 15),
    ("local0", 16),
    ("local1", 17),
    ("local2", 18),
    ("local3", 19),
    ("local4", 20),
    ("local5", 21),
    ("local6", 22),
    ("local7", 23),
];

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Syslog {
    address: Address,
    facility: u8,
    link: Option<Link>,
}

#[derive(Debug)]
enum Link {
    Datagram(UnixDatagram),
    Stream(UnixStream),
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Syslog {
    /// # Errors
    /// The host has no address.
    pub(crate) fn open(address: Address, facility: u8) -> io::Result<Self> {
        if let Address::Udp(host, port) | Address::Tcp(host, port) = &address {
            resolve(host, *port)?;
        }
        Ok(Self { address, facility, link: None })
    }

    /// Sends a record's text.
    pub(crate) fn write(&mut self, level: Level, text: &str) -> io::Result<()> {
        let priority = self.facility << 3 | severity(level);
        let packet = format!("<{priority}>{text}\0");
        let kept = self.link.is_some();
        match self.send(packet.as_bytes()) {
            // The server may have been started again since.
            Err(_) if kept => self.send(packet.as_bytes()),
            sent => sent,
        }
    }

    fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        let mut link = match self.link.take() {
            Some(link) => link,
            None => Link::connect(&self.address)?,
        };
        match &mut link {
            Link::Datagram(socket) => socket.send(packet).map(drop),
            Link::Stream(socket) => socket.write_all(packet),
            Link::Udp(socket) => socket.send(packet).map(drop),
            Link::Tcp(socket) => socket.write_all(packet),
        }?;
        self.link = Some(link);
        Ok(())
    }
}

impl Link {
    fn connect(address: &Address) -> io::Result<Self> {
        Ok(match address {
            Address::Unix(path) => {
                let datagram = UnixDatagram::unbound()?;
                if datagram.connect(path).is_ok() {
                    datagram.set_write_timeout(Some(TIMEOUT))?;
                    Self::Datagram(datagram)
                } else {
                    let stream = UnixStream::connect(path)?;
                    stream.set_write_timeout(Some(TIMEOUT))?;
                    Self::Stream(stream)
                }
            }
            Address::Udp(host, port) => {
                let server = resolve(host, *port)?;
                let own = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(own)?;
                socket.connect(server)?;
                Self::Udp(socket)
            }
            Address::Tcp(host, port) => {
                let stream = TcpStream::connect_timeout(&resolve(host, *port)?, TIMEOUT)?;
                stream.set_write_timeout(Some(TIMEOUT))?;
                Self::Tcp(stream)
            }
        })
    }
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    let mut addresses = (host, port).to_socket_addrs()?;
    addresses.next().ok_or_else(|| io::Error::other(format!("{host} has no address")))
}

/// RFC 5424, 6.2.1.
fn severity(level: Level) -> u8 {
    match level {
        level if level >= Level::CRITICAL => 2,
        level if level >= Level::ERROR => 3,
        level if level >= Level::WARNING => 4,
        level if level >= Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut packet = [0; 100];
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        let length = socket.recv(&mut packet).unwrap();
        String::from_utf8(packet[..length].to_vec()).unwrap()
    }

    #[test]
    fn records_reach_a_socket_even_after_it_was_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut syslog = Syslog::open(Address::Unix(path.clone()), 3).unwrap();
        assert!(syslog.write(Level::INFO, "too early").is_err());

        let server = UnixDatagram::bind(&path).unwrap();
        syslog.write(Level::INFO, "one").unwrap();
        assert_eq!(received(&server), "<30>one\0");

        drop(server);
        fs::remove_file(&path).unwrap();
        let server = UnixDatagram::bind(&path).unwrap();
        syslog.write(Level::CRITICAL, "two").unwrap();
        assert_eq!(received(&server), "<26>two\0");
    }

    #[test]
    fn records_go_by_udp() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(TIMEOUT)).unwrap();
        let port = server.local_addr().unwrap().port();
        let mut syslog = Syslog::open(Address::Udp("127.0.0.1".into(), port), 23).unwrap();
        syslog.write(Level::DEBUG, "text").unwrap();
        let mut packet = [0; 100];
        let length = server.recv(&mut packet).unwrap();
        assert_eq!(&packet[..length], b"<191>text\0");
    }
}

//! What a tunnel asks of TCP, in both roles.

use std::{io, os::fd::AsFd, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// An idle tunnel is probed after this time, and then each [`PROBE_INTERVAL`]. Octets
/// that go out just before put the probes off and have [`DEAD_AFTER`] of their own:
/// together a dead peer is found within ten seconds.
const PROBE_AFTER: Duration = Duration::from_secs(2);

/// See [`PROBE_AFTER`].
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// How long a peer may leave octets or probes without an acknowledgement. Long
/// enough for a route to change, short enough that a person waits for it.
const DEAD_AFTER: Duration = Duration::from_secs(8);

/// Unsent octets that the kernel takes of us. More only wait there, where nothing
/// can pass by them: 128 KiB are 5 ms at 200 Mbit/s, and no faster than this at any
/// speed.
const NOT_SENT: u32 = 32 * 1024;

/// Sets a tunnel's options on its connection: each write goes out at once, a dead
/// peer is found within some ten seconds (WebSocket pings cannot do that: the
/// original's client stands still at one), and the kernel queues little.
///
/// # Errors
/// The kernel refuses an option.
pub fn set_options(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let probes = (DEAD_AFTER - PROBE_AFTER).as_secs() / PROBE_INTERVAL.as_secs();
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(PROBE_AFTER)
            .with_interval(PROBE_INTERVAL)
            .with_retries(u32::try_from(probes).unwrap_or(1)),
    )?;
    socket.set_tcp_user_timeout(Some(DEAD_AFTER))?;
    socket.set_tcp_notsent_lowat(NOT_SENT)
}

/// Least and most that the kernel takes for [`set_mss`].
pub const MSS: std::ops::RangeInclusive<u16> = 88..=32_767;

/// Has both ends send at most so many octets of data in a segment: for ways that lose longer
/// packets without a word. Before the connection, or on what listens for it.
///
/// # Errors
/// The kernel refuses the number.
pub fn set_mss(socket: &impl AsFd, mss: u16) -> io::Result<()> {
    SockRef::from(socket).set_tcp_mss(mss.into())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[actix::test]
    async fn a_dead_peer_is_found_in_ten_seconds_idle_or_busy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound");
        let stream = TcpStream::connect(address).await.expect("a connection");
        set_options(&stream).expect("Linux has them");
        let socket = SockRef::from(&stream);
        let idle = socket.tcp_keepalive_time().expect("set")
            + socket.tcp_keepalive_interval().expect("set")
                * socket.tcp_keepalive_retries().expect("set");
        assert!(socket.keepalive().expect("set"));
        assert_eq!(idle, DEAD_AFTER);
        assert_eq!(PROBE_AFTER + DEAD_AFTER, Duration::from_secs(10));
        assert_eq!(socket.tcp_user_timeout().expect("set"), Some(DEAD_AFTER));
        assert!(socket.tcp_nodelay().expect("set"));
        assert_eq!(socket.tcp_notsent_lowat().expect("set"), NOT_SENT);
    }
}

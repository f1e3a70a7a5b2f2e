//! What a tunnel asks of TCP, in both roles.

use std::{io, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// An idle tunnel is probed after this time, and then each [`PROBE_INTERVAL`]: a
/// dead peer is found within [`DEAD_AFTER`].
const PROBE_AFTER: Duration = Duration::from_secs(4);

/// See [`PROBE_AFTER`].
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// How long a peer may leave octets or probes without an acknowledgement. Long
/// enough for a route to change, short enough that a person waits for it.
const DEAD_AFTER: Duration = Duration::from_secs(10);

/// Unsent octets that the kernel takes of us. More only wait there, where nothing
/// can pass by them.
const NOT_SENT: u32 = 128 * 1024;

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

//! An open tunnel of a client port: notices one that opens and stands still, again and again.

use std::{cell::Cell, io, rc::Rc, time::Duration};

use tokio::time::Instant;

use super::links::Entered;
use crate::{
    connect::{Route, ServerUrl, Stream},
    port::{Link, PortError, PortIo},
    tunnel::{WebSocket, link::TunnelError},
};

/// An open tunnel, of which is noted how it ends.
#[derive(Debug)]
pub struct ClientLink {
    pub(super) tunnel: WebSocket<Stream>,
    pub(super) choked: Rc<Cell<u32>>,
    pub(super) hint: String,
    pub(super) since: Instant,
    /// While it is one of several that are up.
    pub(super) entered: Option<Entered>,
}

/// A tunnel that opens and soon stands still, again and again: what opens it is short, and
/// what is sent then is not.
#[derive(Debug, thiserror::Error)]
#[error(
    "the tunnel has stalled within a minute of opening {times} times in a row, so the path may drop long packets; {hint}"
)]
pub(super) struct Choked {
    times: u32,
    hint: String,
    source: PortError,
}

impl Choked {
    /// How soon it stands still where nothing long passes: the first bulk of frames is soon
    /// there, and is given up after ten seconds.
    const SOON: Duration = Duration::from_secs(60);

    /// Once may be anything.
    const TIMES: u32 = 2;

    pub(super) fn hint(server: &ServerUrl, route: &Route) -> String {
        let tried = route.mss.map(|mss| format!(" lower than {mss}")).unwrap_or_default();
        format!(
            "see etherws doctor --url {server}, and set mss{tried}, for example to {}",
            route.mss.map_or(1200, |mss| mss / 2)
        )
    }
}

impl Link for ClientLink {
    async fn run(self, io: PortIo) -> Result<(), PortError> {
        let Self { tunnel, choked, hint, since, entered: _entered } = self;
        let result = tunnel.run(io).await;
        let Err(source) = result else {
            choked.set(0);
            return Ok(());
        };
        Err(Choked::judge(&choked, hint, since.elapsed(), source))
    }
}

impl Choked {
    /// What a tunnel has ended with that was up for so long, with what else that says.
    fn judge(choked: &Cell<u32>, hint: String, lasted: Duration, source: PortError) -> PortError {
        let stood_still = match source.downcast_ref() {
            Some(TunnelError::Silent) => true,
            Some(TunnelError::Lost(error)) => error.kind() == io::ErrorKind::TimedOut,
            _ => false,
        };
        let times = if stood_still && lasted < Self::SOON { choked.get() + 1 } else { 0 };
        choked.set(times);
        if times < Self::TIMES { source } else { Self { times, hint, source }.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::error::one_line;

    #[test]
    fn a_tunnel_that_stands_still_again_and_again_is_told_of_long_packets() {
        let choked = Cell::default();
        let end = |error: TunnelError, seconds: u64| {
            let lasted = Duration::from_secs(seconds);
            one_line(&*Choked::judge(&choked, "HINT".to_owned(), lasted, error.into()))
        };
        let timed_out = || TunnelError::Lost(io::ErrorKind::TimedOut.into());
        assert!(!end(timed_out(), 9).contains("HINT"), "once may be anything");
        let again = end(timed_out(), 9);
        assert!(again.contains("2 times") && again.contains("HINT"), "{again}");
        assert!(end(TunnelError::Silent, 20).contains("3 times"));
        assert!(!end(timed_out(), 90).contains("HINT"), "it has carried for long");
        assert!(!end(timed_out(), 9).contains("HINT"));
        assert!(!end(TunnelError::NoCloseFrame, 9).contains("HINT"));
        assert!(!end(timed_out(), 9).contains("HINT"));
    }
}

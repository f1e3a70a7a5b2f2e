//! From a name to a TCP connection: its addresses, tried side by side (RFC 8305), so that
//! one that does not answer costs a quarter of a second and not the whole attempt.
//!
//! Stands below proxies and TLS. What was reached is not remembered: the address that was
//! dead may be the one that is back.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    time::{Instant, sleep, timeout_at},
};

use super::{
    stream::{ConnectError, Route},
    tcp,
};

/// How long an address may take before the next one is tried beside it (RFC 8305, 8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The addresses of a name: at least one. An IPv6 address may have a zone, `fe80::1%eth0`.
pub(super) async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, ConnectError> {
    let unresolved = |source| match host.split_once('%') {
        Some((_, zone)) => ConnectError::Zone { zone: zone.to_owned(), host: host.to_owned() },
        None => ConnectError::Resolve { host: host.to_owned(), source },
    };
    let addresses: Vec<_> = lookup_host((host, port)).await.map_err(unresolved)?.collect();
    if addresses.is_empty() {
        return Err(unresolved(io::Error::other("the name has no address")));
    }
    Ok(addresses)
}

/// Connects to the first of `addresses` that accepts.
pub(super) async fn connect_any(
    host: &str,
    addresses: &[SocketAddr],
    route: &Route,
    deadline: Instant,
) -> Result<TcpStream, ConnectError> {
    let mut ordered = alternating(addresses);
    // The links of a port begin with one each.
    ordered.rotate_left(route.nth % addresses.len().max(1));
    first(ordered, async |address| {
        let connect = connect(address, route);
        let connected = timeout_at(deadline, connect).await;
        connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
    .map_err(|failed| match failed {
        Some((address, source)) => ConnectError::Tcp { to: named(host, address), source },
        None => {
            let source = io::ErrorKind::AddrNotAvailable.into();
            ConnectError::Tcp { to: host.to_owned(), source }
        }
    })
}

async fn connect(address: SocketAddr, route: &Route) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(via) = &route.via {
        let unusable = |error: io::Error| {
            io::Error::new(error.kind(), format!("interface {via} (via) cannot be used: {error}"))
        };
        socket.bind_device(Some(via.as_bytes())).map_err(unusable)?;
    }
    if let Some(mss) = route.mss {
        tcp::set_mss(&socket, mss)?;
    }
    let stream = socket.connect(address).await?;
    tcp::set_options(&stream)?;
    Ok(stream)
}

/// What `connect` first gives, which is begun for one address after the other: when the one
/// before has failed, or has taken [`ATTEMPT_DELAY`]. Otherwise the last failure.
async fn first<T, F: Future<Output = io::Result<T>>>(
    addresses: Vec<SocketAddr>,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, Option<(SocketAddr, io::Error)>> {
    let mut waiting = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failed = None;
    loop {
        if let Some(address) = waiting.next() {
            let attempt = connect(address);
            attempts.push(async move { (address, attempt.await) });
        }
        tokio::select! {
            ended = attempts.next() => match ended {
                Some((_, Ok(connected))) => return Ok(connected),
                Some((address, Err(error))) => failed = Some((address, error)),
                None => return Err(failed),
            },
            () = sleep(ATTEMPT_DELAY), if waiting.len() > 0 => {}
        }
    }
}

/// The addresses with both families in turn, beginning with that which the resolver
/// prefers (RFC 8305, 4).
fn alternating(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let preferred = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut these, mut others) = (Vec::new(), Vec::new());
    for address in addresses {
        if address.is_ipv6() == preferred { &mut these } else { &mut others }.push(*address);
    }
    let (mut these, mut others) = (these.into_iter(), others.into_iter());
    let mut ordered = Vec::with_capacity(addresses.len());
    while ordered.len() < addresses.len() {
        ordered.extend(these.next());
        ordered.extend(others.next());
    }
    ordered
}

fn named(host: &str, address: SocketAddr) -> String {
    if host.parse() == Ok(address.ip()) || host.contains('%') {
        address.to_string()
    } else {
        format!("{host} ({address})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect(text)).collect()
    }

    #[test]
    fn families_take_turns_and_the_resolvers_first_comes_first() {
        let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        let wanted = addresses(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1", "[::3]:1"]);
        assert_eq!(alternating(&given), wanted);
        assert_eq!(alternating(&given[3..]), given[3..]);
        assert_eq!(alternating(&[]), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_address_costs_a_quarter_of_a_second_and_a_closed_one_nothing() {
        let given = addresses(&["[::1]:1", "1.1.1.1:1", "2.2.2.2:1"]);
        for (outcomes, wanted, after) in [
            (["ok", "ok", "ok"], Some(0), 0),
            (["silent", "ok", "ok"], Some(1), 250),
            (["refused", "ok", "ok"], Some(1), 0),
            (["refused", "silent", "ok"], Some(2), 250),
            (["silent", "silent", "ok"], Some(2), 500),
            (["late", "refused", "silent"], Some(0), 1000),
            (["refused", "refused", "refused"], None, 0),
        ] {
            let started = Instant::now();
            let result = first(given.clone(), |address| {
                let at = given.iter().position(|one| *one == address).expect("one of them");
                async move {
                    match outcomes[at] {
                        "ok" => Ok(at),
                        "refused" => Err(io::ErrorKind::ConnectionRefused.into()),
                        "late" => {
                            sleep(Duration::from_secs(1)).await;
                            Ok(at)
                        }
                        _ => std::future::pending().await,
                    }
                }
            });
            assert_eq!(result.await.ok(), wanted, "{outcomes:?}");
            assert_eq!(started.elapsed().as_millis(), after, "{outcomes:?}");
        }
    }

    #[tokio::test]
    async fn the_links_of_a_port_begin_with_an_address_each_and_take_another_if_it_is_closed() {
        let listen = async || tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let listeners = [listen().await, listen().await];
        let given = listeners.each_ref().map(|one| one.local_addr().expect("an address"));
        let log = slog::Logger::root(slog::Discard, slog::o!());
        let reached = async |nth| {
            let route = Route { nth, ..Route::new(log.clone()) };
            let deadline = Instant::now() + Duration::from_secs(10);
            let stream = connect_any("localhost", &given, &route, deadline).await;
            stream.expect("somebody listens").peer_addr().expect("an address")
        };
        assert_eq!(
            [reached(0).await, reached(1).await, reached(2).await],
            [0, 1, 0].map(|at| given[at])
        );
        let [first, second] = listeners;
        drop(second);
        assert_eq!(reached(1).await, given[0]);
        drop(first);
    }

    #[tokio::test]
    async fn an_address_may_have_a_zone() {
        let found = resolve("fe80::1%lo", 80).await.expect("loopback is an interface");
        assert_eq!(found[0].to_string(), "[fe80::1%1]:80");
        let error = resolve("fe80::1%nosuch", 80).await.expect_err("no interface");
        assert!(error.to_string().contains("nosuch"), "{error}");
    }
}

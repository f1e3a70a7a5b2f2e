//! Strangers in masses: what they do costs those who come from where they come from, and
//! everybody else gets in.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io::Write as _,
    iter,
    net::{IpAddr, SocketAddr, TcpStream},
    os::fd::AsRawFd as _,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    libc::linger,
    sys::resource::{Resource, getrlimit, setrlimit},
    sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrStorage, sockopt},
};

use crate::support::{
    TempDir,
    http::{self, Response},
    lab::Namespace,
    need,
    peers::tool,
    switch::Switch,
    wait_until,
    ws::upgrade_with,
};

/// Logins that are tried during an attack, and how many must get in.
const TRIES: usize = 10;
const NEEDED: usize = 9;

/// Time for one of them, and between its connection and its request.
const LOGIN_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(150);

/// A file in which `known` and `user0` to `user9` have the password "top-secret", at a cost as
/// `etherws passwd` has it but for this build, which is slow.
fn users() -> String {
    let hash = "$2y$10$W6m5Dj2OQ9oB5nHhQK4Cq.dwfHaNEf80f/llyP.QPFyfxsX66b.ha";
    let names = (0..TRIES).map(|n| format!("user{n}")).chain(["known".to_owned()]);
    names.map(|name| format!("{name}:{hash}\n")).collect()
}

/// A stranger's own time.
#[expect(clippy::disallowed_methods, reason = "no Arbiter runs on this thread")]
fn pace(time: Duration) {
    thread::sleep(time);
}

/// An attack, until it is dropped.
struct Attack {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Attack {
    /// Does `one` so many times a second, on several threads.
    fn start(threads: u64, each_second: u64, one: impl Fn(u64) + Clone + Send + 'static) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads: Vec<_> = (0..threads)
            .map(|number| {
                let (stop, done, one) = (Arc::clone(&stop), Arc::clone(&done), one.clone());
                thread::spawn(move || {
                    let start = Instant::now();
                    for turn in 0.. {
                        let due =
                            start + Duration::from_millis(turn * 1000 * threads / each_second);
                        // At the pace that was asked for.
                        pace(due.saturating_duration_since(Instant::now()));
                        if stop.load(Relaxed) {
                            return;
                        }
                        one(turn * threads + number);
                        done.fetch_add(1, Relaxed);
                    }
                })
            })
            .collect();
        Self { stop, done, threads }
    }

    /// How often it was done so far.
    fn count(&self) -> u64 {
        self.done.load(Relaxed)
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

/// A connection from any address of this machine: all of 127.0.0.0/8, and those of IPv6 that
/// are local to it. `None` where it does not come about.
fn connect(from: IpAddr, to: SocketAddr) -> Option<TcpStream> {
    let family = if from.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket::socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).ok()?;
    socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::from((from, 0)))).ok()?;
    let stream = TcpStream::from(fd);
    stream.set_write_timeout(Some(LOGIN_LIMIT)).ok()?;
    stream.set_read_timeout(Some(LOGIN_LIMIT)).ok()?;
    socket::connect(stream.as_raw_fd(), &SockaddrStorage::from(to)).ok()?;
    Some(stream)
}

/// Asks for a tunnel, with a pause before the request: the status that comes back.
fn login(from: IpAddr, to: SocketAddr, pause: Duration, more: &[(&str, &str)]) -> Option<u16> {
    let mut stream = connect(from, to)?;
    pace(pause);
    stream.write_all(&http::request("GET", "/", &upgrade_with(more), "")).ok()?;
    Response::read_head(&mut stream).map(|response| response.status)
}

/// How many of ten get in, each in its time.
fn successes(login: impl Fn(usize) -> Option<u16>) -> usize {
    (0..TRIES)
        .filter(|&n| {
            let start = Instant::now();
            let status = login(n);
            let took = start.elapsed();
            println!("{n}: {status:?} after {took:?}");
            status == Some(101) && took < LOGIN_LIMIT
        })
        .count()
}

fn v4(last: u8) -> IpAddr {
    [127, 0, 0, last].into()
}

/// A login of one of ten users whom nobody has verified yet, or of one who was.
fn right(from: IpAddr, to: SocketAddr, user: &str) -> Option<u16> {
    login(from, to, PAUSE, &[("Authorization", &http::basic(user, "top-secret"))])
}

fn nth(from: IpAddr, to: SocketAddr) -> impl Fn(usize) -> Option<u16> {
    move |n| right(from, to, &format!("user{n}"))
}

#[test]
fn silent_connections_in_masses_keep_nobody_out() {
    let dir = TempDir::new();
    let switch = Switch::start(&["--htpasswd", &dir.file("users", users())]);
    let (to, bad) = (switch.tunnel, v4(66));
    assert_eq!(right(v4(7), to, "known"), Some(101));
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("all that there are");
    let attack = Attack::start(2, 10_000, move |_| hold(begin(bad, to)));
    wait_until("a full table", || attack.count() > 10_000);
    let (before, start) = (attack.count(), Instant::now());
    let new = successes(nth(v4(7), to));
    println!("{} connects in {:?}", attack.count() - before, start.elapsed());
    let known = successes(|_| right(v4(7), to, "known"));
    // From the very address that they come from, which has its part of the places: with
    // another try, as clients do.
    let same = successes(|_| {
        let end = Instant::now() + LOGIN_LIMIT;
        let mut tries = iter::repeat_with(|| right(bad, to, "known"));
        tries.find(|status| *status == Some(101) || Instant::now() > end).flatten()
    });
    let least = new.min(known).min(same);
    assert!(least >= NEEDED, "{new}, {known} and {same} of {TRIES}");
}

#[test]
fn control_answers_while_the_tunnel_is_flooded_with_silent_connections() {
    let switch = Switch::start(&[]);
    let (to, bad) = (switch.tunnel, v4(66));
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most, most).expect("all that there are");
    let attack = Attack::start(2, 10_000, move |_| hold(begin(bad, to)));
    wait_until("a full table", || attack.count() > 10_000);
    let list = r#"{"jsonrpc": "2.0", "id": 0, "method": "etherws.control.listPort"}"#;
    let answered = successes(|_| {
        let answer = http::ask(switch.control, "POST", "/ctl", &[], list);
        (answer.status == 200).then_some(101)
    });
    assert!(answered >= NEEDED, "{answered} of {TRIES}");
    let servers = switch.json(&["showserver"]);
    let tunnel = servers.iter().find(|server| server["service"] == "tunnel").expect("it");
    assert!(tunnel["counters"]["refused-connections"].as_u64() > Some(0), "{tunnel}");
}

/// Wrong logins from ever new networks of 64 bits in 2001:db8::/48, eight at a time: port,
/// and how many a second.
const SITE: &str = r#"
import itertools, random, socket, sys, threading, time
port, pause = int(sys.argv[1]), 8 / float(sys.argv[2])
head = "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic dXNlcjA6Z3Vlc3M=\r\n\r\n".encode()
def attack():
    while True:
        one = socket.socket(socket.AF_INET6)
        one.settimeout(5)
        one.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # IPV6_FREEBIND
        try:
            one.bind(("2001:db8:0:%x::1" % random.randrange(65536), 0))
            one.connect(("2001:db8:1::1", port))
            one.send(head)
            print(one.recv(12).decode(), flush=True)
        except OSError as error:
            print("failed:", error, flush=True)
        one.close()
        time.sleep(pause)
for _ in range(8):
    threading.Thread(target=attack).start()
"#;

#[test]
fn wrong_logins_from_all_networks_of_a_site_keep_nobody_else_out() {
    need!(tool("python3").and_then(|()| tool("curl")));
    let namespace = need!(Namespace::new());
    namespace.ip("route add local 2001:db8::/48 dev lo");
    for address in ["2001:db8:1::1", "2001:db8:2::7", "2001:db8:0:7::7"] {
        namespace.ip(&format!("addr add {address}/128 dev lo nodad"));
    }
    let dir = TempDir::new();
    let users = dir.file("users", users());
    let switch = Switch::start_at(
        &namespace.site,
        &["--host", "2001:db8:1::1", "--port", "0", "--htpasswd", &users],
    );
    let port = switch.tunnel.port().to_string();
    // A plain GET of somebody who was let in is told to upgrade.
    let login = |from: &str, user: &str| {
        let url = format!("http://[2001:db8:1::1]:{port}/");
        let login = format!("{user}:top-secret");
        let curl = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5"];
        let more = ["--interface", from, "-u", &login, &url];
        let status = namespace.run("curl", &[&curl[..], &more].concat()).stdout;
        if status.trim() == "400" { Some(101) } else { status.trim().parse().ok() }
    };
    assert_eq!(login("2001:db8:0:7::7", "known"), Some(101));
    let attack = namespace.start("python3", &["-c", SITE, &port, "20"]);
    wait_until("some of it", || attack.stdout.text().lines().count() > 20);
    let new = successes(|n| login("2001:db8:2::7", &format!("user{n}")));
    // From the very site that it comes from.
    let known = successes(|_| login("2001:db8:0:7::7", "known"));
    println!("{} wrong logins", attack.stdout.text().lines().count());
    assert!(new >= NEEDED && known >= NEEDED, "{new} and {known} of {TRIES}");
    // That they have to wait is their own fault; they must have been there.
    assert!(!attack.stdout.contains("Errno"), "{}", attack.stdout.text());
}

#[test]
fn a_member_who_comes_and_goes_fills_neither_log_nor_history() {
    let switch = Switch::start(&[]);
    switch.ctl(&["createtoken", "--user", "page"]).ok();
    for turn in 0..300 {
        let mut stream = connect(v4(66), switch.tunnel).expect("a connection");
        stream.write_all(&http::request("GET", "/", &upgrade_with(&[]), "")).expect("it reads");
        let status = Response::read_head(&mut stream).map(|response| response.status);
        assert_eq!(status, Some(101), "{turn}");
    }
    wait_until("the end of all", || switch.ports().is_empty());
    let of_member = |text: &str| text.lines().filter(|line| line.contains("127.0.0.66:")).count();
    let log = switch.process.stderr.text();
    assert!((150..=300).contains(&of_member(&log)), "{log}");
    // Of others everything is told.
    let (_socket, _) = switch.open();
    wait_until("its line", || switch.process.stderr.contains("session, port: 301"));
    let kept = switch.json(&["events"]);
    assert_eq!(kept.len(), 1000);
    let control = kept.iter().filter(|event| event["event"] == "control").count();
    assert_eq!(control, 1, "what was done by control stays");
}

#[test]
fn wrong_logins_of_one_address_keep_nobody_else_out() {
    let dir = TempDir::new();
    let switch = Switch::start(&["--htpasswd", &dir.file("users", users())]);
    let (to, bad) = (switch.tunnel, v4(66));
    assert_eq!(right(bad, to, "known"), Some(101));
    let attack = Attack::start(8, 20, move |n| {
        let wrong = http::basic(&format!("user{}", n % 20), "guess");
        let _ = login(bad, to, Duration::ZERO, &[("Authorization", &wrong)]);
    });
    wait_until("its limit", || attack.count() > 25);
    let new = successes(nth(v4(7), to));
    // From the very address that it comes from.
    let known = successes(|_| right(bad, to, "known"));
    assert!(new >= NEEDED && known >= NEEDED, "{new} and {known} of {TRIES}");
}

/// A login of somebody whom a proxy on loopback has seen at `from`.
fn forwarded(from: &str, to: SocketAddr, pause: Duration, login: &str) -> Option<u16> {
    let headers = [("Authorization", login), ("X-Forwarded-For", from)];
    self::login(v4(1), to, pause, &headers)
}

/// An attack by logins through a trusted proxy, from what `from` gives.
fn attack_through_a_proxy(each_second: u64, from: fn(u64) -> String, own: &str) {
    let dir = TempDir::new();
    let users = dir.file("users", users());
    let switch = Switch::start(&["--htpasswd", &users, "--trusted-proxies", "127.0.0.1"]);
    let to = switch.tunnel;
    let known = http::basic("known", "top-secret");
    assert_eq!(forwarded(own, to, PAUSE, &known), Some(101));
    let attack = Attack::start(8, each_second, move |n| {
        let wrong = http::basic(&format!("user{}", n % 20), "guess");
        let _ = forwarded(&from(n), to, Duration::ZERO, &wrong);
    });
    wait_until("some of it", || attack.count() > 2 * each_second);
    let new = successes(|n| {
        let login = http::basic(&format!("user{n}"), "top-secret");
        forwarded("198.51.100.7", to, PAUSE, &login)
    });
    let known = successes(|_| forwarded(own, to, PAUSE, &known));
    assert!(new >= NEEDED && known >= NEEDED, "{new} and {known} of {TRIES}");
}

#[test]
fn wrong_logins_of_a_site_keep_nobody_else_out() {
    let from = |n| format!("2001:db8:0:{:x}::1", n * 7 % 65_536);
    attack_through_a_proxy(5, from, "2001:db8:0:7::1");
}

#[test]
fn wrong_logins_behind_a_proxy_keep_nobody_else_out() {
    attack_through_a_proxy(20, |_| "203.0.113.66".to_owned(), "203.0.113.66");
}

/// Begins to connect, and waits for nothing.
fn begin(from: IpAddr, to: SocketAddr) -> Option<TcpStream> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None).ok()?;
    // Reset when it is closed, so that its port is free at once.
    let reset = linger { l_onoff: 1, l_linger: 0 };
    socket::setsockopt(&fd, sockopt::Linger, &reset).ok()?;
    socket::bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::from((from, 0)))).ok()?;
    match socket::connect(fd.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Some(fd.into()),
        Err(_) => None,
    }
}

/// Keeps a connection open while thousands of others are made, more than have a place.
fn hold(stream: Option<TcpStream>) {
    thread_local!(static HELD: RefCell<VecDeque<TcpStream>> = RefCell::default());
    HELD.with_borrow_mut(|held| {
        held.extend(stream);
        if held.len() > 4000 {
            held.pop_front();
        }
    });
}

//! The link against a peer on the other end of a pipe, on a virtual clock.

mod typed;

use std::{
    pin::Pin,
    rc::Rc,
    task::{self, Poll},
};

use actix::{Actor, Context, Handler};
use slog::{Discard as NoLog, Logger, o};
use tokio::{
    io::{AsyncReadExt, DuplexStream, ReadBuf, duplex},
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};

use crate::{
    core::{
        batch::{BATCH_FRAMES, Source},
        counters::Discard,
        fdb::PortNumber,
        frame::{Gso, Offload},
        gauge::Gauge,
        line::Line,
        memory::QueueMemory,
        offload::{finish::Finisher, segment::tests::Shape},
    },
    message::Ingress,
    port::{StopSignal, queue},
    tunnel::{
        codec::{Decoder, Header, MAX_MESSAGE_LEN, mask_copy, tests::binary},
        link::*,
    },
    turns::tests::count_passes,
};

/// Stands for the Switch: frames go on, credits return.
struct Frames(mpsc::UnboundedSender<Frame>);

impl Actor for Frames {
    type Context = Context<Self>;
}

impl Handler<Ingress> for Frames {
    type Result = ();

    fn handle(&mut self, ingress: Ingress, _: &mut Context<Self>) {
        assert!(ingress.frames.len() <= BATCH_FRAMES);
        for frame in ingress.frames {
            let _ = self.0.send(frame);
        }
    }
}

/// A link, its port, and its peer on the other end of a pipe.
struct Test {
    role: Role,
    peer: DuplexStream,
    decoder: Decoder,
    read: BytesMut,
    frames: mpsc::UnboundedReceiver<Frame>,
    queue: queue::Sender,
    stop: Option<oneshot::Sender<Stop>>,
    counters: Arc<Counters>,
    link: JoinHandle<Result<(), String>>,
}

impl Test {
    /// `pipe` octets fit between link and peer; `read` came with the handshake.
    fn start(role: Role, pipe: usize, read: &[u8]) -> Self {
        let (near, peer) = duplex(pipe);
        Self::on(WebSocket::new(near, role, BytesMut::from(read)), peer)
    }

    fn on<S>(socket: WebSocket<S>, peer: DuplexStream) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let role = socket.role;
        let (to_test, frames) = mpsc::unbounded_channel();
        let counters = Arc::new(Counters::default());
        let (queue, egress) = queue::channel(
            Gauge::alone(usize::MAX),
            Finisher::new(Arc::default(), false, Arc::clone(&counters)),
            Line::plain(),
        );
        let (stop, stopped) = oneshot::channel();
        let switch = Frames(to_test).start().recipient();
        let io = PortIo {
            ingress: IngressSender::new(switch, PortNumber::FIRST, Finisher::default()),
            egress,
            memory: QueueMemory::new(usize::MAX),
            stop: StopSignal::new(stopped),
            counters: Arc::clone(&counters),
            pings: Arc::default(),
            settings: Arc::default(),
            log: Logger::root(NoLog, o!()),
        };
        let run = socket.run(io);
        let link = actix_rt::spawn(async { run.await.map_err(|e| e.to_string()) });
        let theirs = if role == Role::Server { Role::Client } else { Role::Server };
        let decoder = Decoder::new(theirs, MAX_MESSAGE_LEN);
        let (read, stop) = (BytesMut::new(), Some(stop));
        Self { role, peer, decoder, read, frames, queue, stop, counters, link }
    }

    /// Has the peer send a frame that begins with `first`.
    async fn send(&mut self, first: u8, payload: &[u8]) {
        let octets = wire(self.role, first, payload);
        self.peer.write_all(&octets).await.expect("the link reads");
    }

    /// What the peer gets next; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.decoder.next(&mut self.read).expect("valid framing") {
                return Some(event);
            }
            let read = self.peer.read_buf(&mut self.read);
            let octets = timeout(Duration::from_secs(60), read).await.expect("in time");
            if octets.expect("a pipe does not fail") == 0 {
                assert!(self.read.is_empty(), "the end is not inside a message");
                return None;
            }
        }
    }

    fn queue(&mut self, lens: &[usize]) {
        self.queue.push(Source::OWN, lens.iter().map(|len| frame(*len)).collect());
    }

    fn stop(&mut self, stop: Stop) {
        let sender = self.stop.take().expect("stopped once");
        sender.send(stop).expect("the link runs");
    }

    async fn end(self) -> Result<(), String> {
        let end = timeout(Duration::from_secs(60), self.link).await;
        end.expect("in time").expect("no panic")
    }
}

fn wire(role: Role, first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = (role == Role::Server).then_some([1, 2, 3, 4]);
    let mut octets = Header::new(Opcode::Binary, payload.len(), mask).as_slice().to_vec();
    octets[0] = first;
    let at = octets.len();
    octets.resize(at + payload.len(), 0);
    mask_copy(&mut octets[at..], payload, mask.unwrap_or_default());
    octets
}

fn frame(len: usize) -> Frame {
    Frame::new((0..=250).cycle().take(len).collect())
}

fn close(code: u16) -> Option<Event> {
    Some(Event::Close(CloseCode::new(code), "".into()))
}

#[actix::test]
async fn frames_pass_both_ways_however_small_the_pipe() {
    tokio::time::pause();
    let lens = [14, 0, 60, 125, 126, 1514, 65_535, MAX_MESSAGE_LEN, 3];
    let octets: usize = lens.iter().sum();
    for role in [Role::Client, Role::Server] {
        for pipe in [3, 1000, 1 << 20] {
            let mut test = Test::start(role, pipe, &wire(role, 0x82, b"early"));
            assert_eq!(test.frames.recv().await.expect("a frame").data(), b"early");
            test.queue(&lens);
            for len in lens {
                let expected = binary(frame(len).into_data());
                assert_eq!(test.next().await, Some(expected), "{len} octets");
                test.send(0x82, frame(len).data()).await;
                assert_eq!(test.frames.recv().await, Some(frame(len)));
            }
            test.send(0x88, &[]).await;
            assert_eq!(test.next().await, Some(Event::Close(None, "".into())));
            assert_eq!(test.counters.tx_frames(), lens.len() as u64);
            assert_eq!(test.counters.tx_octets(), octets as u64);
            assert_eq!(test.end().await, Ok(()));
        }
    }
}

#[actix::test]
async fn more_than_a_batch_is_in_order() {
    tokio::time::pause();
    let mut test = Test::start(Role::Server, 1 << 20, &[]);
    let lens: Vec<_> = (0..5 * BATCH_FRAMES).collect();
    for len in &lens {
        test.send(0x82, frame(*len).data()).await;
    }
    test.queue(&lens);
    for len in lens {
        assert_eq!(test.frames.recv().await, Some(frame(len)));
        assert_eq!(test.next().await, Some(binary(frame(len).into_data())));
    }
}

#[actix::test]
async fn a_ping_is_answered_and_of_many_at_least_the_last() {
    tokio::time::pause();
    let mut test = Test::start(Role::Server, 1 << 16, &[]);
    let pings: Vec<u8> = (1..=100).flat_map(|i| wire(Role::Server, 0x89, &[i; 125])).collect();
    test.peer.write_all(&pings).await.expect("room");
    let mut pongs = 0;
    let mut pong = [0; 127];
    while pong[126] != 100 {
        let read = timeout(Duration::from_secs(60), test.peer.read_exact(&mut pong));
        read.await.expect("in time").expect("a pong");
        assert_eq!(pong[..3], [0x8a, 125, pong[126]]);
        pongs += 1;
    }
    assert!(pongs < 100, "those that are late anyway are left out");
    let mut test = Test::start(Role::Client, 1000, &[]);
    test.send(0x89, b"").await;
    assert_eq!(test.next().await, Some(Event::Pong(Bytes::new())));
}

#[actix::test]
async fn what_is_no_frame_never_holds_the_thread_and_too_much_of_it_is_the_end() {
    tokio::time::pause();
    for (first, payload) in [(0x00, 0), (0x89, 0), (0x8a, 0), (0x81, 0), (0x81, 1000), (0x02, 3)] {
        let mut test = Test::start(Role::Server, 1 << 23, &[]);
        let begun = if first == 0 { wire(Role::Server, 0x02, b"") } else { Vec::new() };
        let message = wire(Role::Server, first, &vec![7; payload]);
        let fragment = wire(Role::Server, 0x80, b"");
        let message = if first == 2 { [message, fragment].concat() } else { message };
        let (passes, others) = count_passes();
        let flood = [begun, message.repeat(6000)].concat();
        test.peer.write_all(&flood).await.expect("room");
        let before = passes.get();
        let payload = loop {
            let mut octets = [0; 2];
            test.peer.read_exact(&mut octets).await.expect("a message");
            let mut payload = vec![0; octets[1].into()];
            test.peer.read_exact(&mut payload).await.expect("all of it");
            if octets[0] == 0x88 {
                break payload;
            }
        };
        assert_eq!(
            (&payload[..2], &payload[2..]),
            (&1008_u16.to_be_bytes()[..], CHATTER.as_bytes())
        );
        assert!(passes.get() - before > 1, "{first}: {} passes", passes.get() - before);
        others.abort();
        drop(test.peer);
        let error = test.link.await.expect("no panic").expect_err("it is closed");
        assert_eq!(error, format!("closed with code 1008: {CHATTER}"));
    }
}

/// A stream that notes the length of each write.
struct Noting(DuplexStream, Rc<RefCell<Vec<usize>>>);

impl AsyncRead for Noting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Noting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.0).poll_write(cx, buf);
        if let Poll::Ready(Ok(octets)) = result {
            self.1.borrow_mut().push(octets);
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[actix::test]
async fn the_originals_client_gets_each_message_in_a_write_of_its_own() {
    tokio::time::pause();
    for single in [false, true] {
        let writes = Rc::<RefCell<Vec<usize>>>::default();
        let (near, peer) = duplex(1 << 16);
        let noting = Noting(near, Rc::clone(&writes));
        let mut socket = WebSocket::new(noting, Role::Server, BytesMut::new());
        if single {
            socket = socket.single_messages();
        }
        let mut test = Test::on(socket, peer);
        test.queue(&[60, 100, 1514]);
        for len in [60, 100, 1514] {
            assert_eq!(test.next().await, Some(binary(frame(len).into_data())));
        }
        let expected = if single { vec![62, 102, 1518] } else { vec![62 + 102 + 1518] };
        assert_eq!(*writes.borrow(), expected);
    }
}

#[actix::test]
async fn text_is_counted_and_ignored() {
    tokio::time::pause();
    let mut test = Test::start(Role::Server, 1000, &[]);
    test.send(0x81, b"no frame").await;
    test.send(0x82, b"a frame").await;
    assert_eq!(test.frames.recv().await.expect("a frame").data(), b"a frame");
    assert_eq!(test.counters.text_messages(), 1);
}

#[actix::test]
async fn what_many_have_queued_leaves_in_few_time_slices_and_others_have_theirs() {
    tokio::time::pause();
    let mut test = Test::start(Role::Server, 1 << 23, &[]);
    let (passes, others) = count_passes();
    test.queue(&vec![60; 1000 * BATCH_FRAMES]);
    let before = passes.get();
    while test.counters.tx_frames() < 1000 * BATCH_FRAMES as u64 {
        yield_now().await;
    }
    let taken = passes.get() - before;
    others.abort();
    assert!((3..20).contains(&taken), "{taken} passes");
}

#[actix::test]
async fn an_unfinished_frame_is_finished_and_a_false_one_is_counted() {
    tokio::time::pause();
    let mut test = Test::start(Role::Client, 1000, &[]);
    let false_one = Offload { gso: Gso::Tcp4, gso_size: 1448, ..Offload::NONE };
    let unfinished = Offload { csum: Some((14, 2)), ..Offload::NONE };
    test.queue.push(
        Source::OWN,
        vec![
            Frame::with_offload(vec![0; 60].into(), false_one),
            Frame::with_offload(vec![0; 18].into(), unfinished),
            frame(20),
        ],
    );
    let finished = [&[0; 16][..], &[0xff, 0xff]].concat();
    assert_eq!(test.next().await, Some(binary(finished)));
    assert_eq!(test.next().await, Some(binary(frame(20).into_data())));
    assert_eq!(test.counters.discards(Discard::UnknownOffload), 1);
}

#[actix::test]
async fn a_silent_peer_is_pinged_before_what_is_queued_and_then_given_up() {
    tokio::time::pause();
    let (near, peer) = duplex(1 << 20);
    let mut test = Test::on(WebSocket::new(near, Role::Client, BytesMut::new()).with_pings(), peer);
    test.queue(&[100; 200]);
    assert!(matches!(test.next().await, Some(Event::Ping(_))));
    let start = Instant::now();
    let mut pings = 0;
    while let Some(event) = test.next().await {
        pings += usize::from(matches!(event, Event::Ping(_)));
    }
    let end = test.end().await.expect_err("it is dead");
    assert!(end.contains("not even a pong"), "{end}");
    assert!(pings >= 1 && start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

#[actix::test]
async fn a_peer_that_takes_nothing_but_speaks_is_alive() {
    tokio::time::pause();
    let (near, peer) = duplex(1000);
    let mut test = Test::on(WebSocket::new(near, Role::Server, BytesMut::new()).with_pings(), peer);
    test.queue(&[1400; 100]);
    for _ in 0..60 {
        test.send(0x82, b"alive").await;
        assert_eq!(test.frames.recv().await.expect("a frame").data(), b"alive");
        tokio::time::advance(Duration::from_secs(2)).await;
    }
    assert!(!test.link.is_finished());
}

#[actix::test]
async fn a_close_frame_is_answered_with_its_code() {
    tokio::time::pause();
    for role in [Role::Client, Role::Server] {
        let mut test = Test::start(role, 1000, &[]);
        test.send(0x82, b"last frame").await;
        test.send(0x88, b"\x0b\xb8because").await;
        assert_eq!(test.next().await, close(3000));
        assert_eq!(test.next().await, None, "TCP is closed");
        assert_eq!(test.frames.recv().await.expect("a frame").data(), b"last frame");
        let end = "closed by the peer with code 3000: because".to_owned();
        assert_eq!(test.end().await, Err(end));
    }
}

#[actix::test]
async fn what_breaks_the_protocol_is_told_before_the_end() {
    tokio::time::pause();
    for (octets, code) in [
        (&[0xc2, 0x80, 0, 0, 0, 0][..], 1002),
        (&[0x82, 0x00], 1002),
        (&[0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 31, 0, 0, 0, 0], 1009),
        (&[0x82, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 0], 1009),
    ] {
        let mut test = Test::start(Role::Server, 1000, &wire(Role::Server, 0x82, b"good"));
        test.peer.write_all(octets).await.expect("room");
        test.peer.write_all(&[0; 500]).await.expect("it goes on reading");
        assert_eq!(test.next().await, close(code));
        assert_eq!(test.next().await, None);
        test.peer.write_all(&[0; 5000]).await.expect("it goes on reading");
        assert_eq!(test.frames.recv().await.expect("a frame").data(), b"good");
        drop(test.peer);
        let end = test.link.await.expect("no panic").expect_err("the peer broke it");
        assert!(end.contains(&code.to_string()), "{end}");
    }
}

#[actix::test]
async fn a_peer_that_breaks_the_protocol_cannot_keep_us() {
    tokio::time::pause();
    let mut test = Test::start(Role::Server, 10, &[]);
    test.queue(&[1000]);
    let start = Instant::now();
    test.peer.write_all(&[0xff; 10]).await.expect("room");
    // It neither reads nor closes.
    let end = (&mut test.link).await.expect("no panic");
    assert!(end.is_err());
    assert!(start.elapsed() <= CLOSE_LIMIT + Duration::from_millis(10));
}

#[actix::test]
async fn a_peer_that_does_not_hear_the_farewell_is_not_read_for_long() {
    tokio::time::pause();
    for breaks in [true, false] {
        let mut test = Test::start(Role::Server, 65_536, &[]);
        if breaks {
            test.peer.write_all(&[0xff; 10]).await.expect("room");
        } else {
            test.stop(Stop::Unauthorized);
        }
        let message = wire(Role::Server, 0x82, &[0; 60_000]);
        let (start, mut taken) = (Instant::now(), 0);
        while test.peer.write_all(&message).await.is_ok() {
            taken += message.len();
        }
        assert!((FAREWELL_OCTETS / 2..2 * FAREWELL_OCTETS).contains(&taken), "{taken}");
        assert!(start.elapsed() < CLOSE_LIMIT);
    }
}

#[actix::test]
async fn an_end_without_a_close_frame_is_an_error() {
    tokio::time::pause();
    let mut test = Test::start(Role::Server, 1000, &[]);
    test.peer.shutdown().await.expect("a pipe");
    let end = test.end().await.expect_err("no close frame");
    assert!(end.contains("without a close frame"), "{end}");
}

#[actix::test]
async fn of_many_tunnels_that_are_lost_at_once_each_ends_in_a_turn() {
    let test = Test::start(Role::Server, 1000, b"");
    let others = turn().await;
    drop(test.peer);
    for _ in 0..10 {
        yield_now().await;
    }
    assert!(!test.link.is_finished());
    drop(others);
    assert!(test.link.await.expect("it does not panic").is_err());
}

#[actix::test]
async fn a_deleted_port_sends_its_queue_and_then_waits_for_the_peer() {
    tokio::time::pause();
    for role in [Role::Client, Role::Server] {
        let mut test = Test::start(role, 5000, &[]);
        test.queue(&[1000; 100]);
        test.stop(Stop::Deleted);
        for _ in 0..100 {
            assert_eq!(test.next().await, Some(binary(frame(1000).into_data())));
        }
        assert_eq!(test.next().await, close(1000));
        test.send(0x82, b"too late").await;
        test.send(0x89, b"too late").await;
        let start = Instant::now();
        test.send(0x88, b"\x03\xe8").await;
        assert_eq!(test.next().await, None);
        assert!(test.frames.try_recv().is_err(), "input is discarded");
        assert_eq!(test.end().await, Ok(()));
        assert!(start.elapsed() < Duration::from_millis(10), "it ends with the answer");
    }
}

#[actix::test]
async fn a_silent_peer_delays_the_end_for_a_bounded_time() {
    tokio::time::pause();
    for (stop, code, limit) in [
        (Stop::Deleted, 1000, CLOSE_LIMIT),
        (Stop::Shutdown, 1001, SHUTDOWN_LIMIT),
        (Stop::Unauthorized, 1008, CLOSE_LIMIT),
    ] {
        let mut test = Test::start(Role::Server, 1000, &[]);
        let start = Instant::now();
        test.stop(stop);
        assert_eq!(test.next().await, close(code));
        assert_eq!(test.next().await, None);
        let waited = start.elapsed();
        assert_eq!(test.end().await, Ok(()));
        let slack = Duration::from_millis(10);
        assert!(waited >= limit && waited <= limit + slack, "{stop:?}: {waited:?}");
    }
}

#[actix::test]
async fn a_peer_that_does_not_read_delays_the_end_for_a_bounded_time() {
    tokio::time::pause();
    for (stop, limit) in [(Stop::Deleted, 4), (Stop::Shutdown, 1)] {
        let mut test = Test::start(Role::Client, 10, &[]);
        test.queue(&[1000; 10]);
        let start = Instant::now();
        test.stop(stop);
        let end = (&mut test.link).await.expect("no panic");
        assert_eq!(end, Ok(()));
        assert!(start.elapsed() <= Duration::from_millis(limit * 1000 + 10), "{stop:?}");
    }
}

#[actix::test]
async fn a_close_frame_does_not_land_inside_a_message() {
    tokio::time::pause();
    for role in [Role::Client, Role::Server] {
        let mut test = Test::start(role, 10, &[]);
        test.queue(&[1000; 3]);
        // The link is stuck inside a message when it is told to stop, and when
        // the time for its queue is over.
        test.peer.read_exact(&mut [0; 0]).await.expect("a pipe");
        tokio::time::sleep(Duration::from_millis(1)).await;
        test.stop(Stop::Deleted);
        tokio::time::sleep(FLUSH_LIMIT + Duration::from_millis(1)).await;
        for _ in 0..3 {
            assert_eq!(test.next().await, Some(binary(frame(1000).into_data())));
        }
        assert_eq!(test.next().await, close(1000));
    }
}

#[actix::test]
async fn a_peer_that_does_not_read_is_read_all_the_same() {
    tokio::time::pause();
    for role in [Role::Client, Role::Server] {
        let mut test = Test::start(role, 100, &[]);
        test.queue(&[1000; 50]);
        for _ in 0..50 {
            test.send(0x89, b"ping").await;
            test.send(0x82, frame(60).data()).await;
            assert_eq!(test.frames.recv().await, Some(frame(60)));
        }
    }
}

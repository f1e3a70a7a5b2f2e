//! Messages that begin with their type: super-frames, and what links say.

use super::*;

#[actix::test]
async fn a_super_frame_passes_whole_both_ways_and_what_does_not_fit_is_counted() {
    tokio::time::pause();
    for role in [Role::Client, Role::Server] {
        let (near, peer) = duplex(1 << 20);
        let socket = WebSocket::new(near, role, BytesMut::new()).with_wire(Wire::SuperFrames);
        let mut test = Test::on(socket, peer);
        let whole = Shape::tcp4(9 * 1448, 1448).frame();
        test.queue.push(Source::OWN, vec![whole.clone(), frame(60)]);
        let Some(Event::Fragmented(message)) = test.next().await else { panic!("a message") };
        assert_eq!((message[0], &message[8..]), (1, whole.data()));
        assert_eq!(test.next().await, Some(binary([&[0], frame(60).data()].concat())));
        assert_eq!((test.counters.tx_frames(), test.counters.text_messages()), (10, 0));
        // A type that is not known is skipped, and fields that are cut off are counted.
        for message in [&[7, 7][..], &[1, 2, 3], &message] {
            test.send(0x82, message).await;
        }
        assert_eq!(test.frames.recv().await, Some(whole));
        assert_eq!(test.counters.discards(Discard::UnknownOffload), 1);
    }
}

#[actix::test]
async fn what_a_link_says_stands_between_its_frames_and_what_is_none_of_it_ends_the_tunnel() {
    let grant = LinkGrant { of: 2, switch: 1 };
    for grant in [Some(grant), None] {
        let (near, peer) = duplex(1 << 20);
        let socket = WebSocket::new(near, Role::Server, BytesMut::new());
        let socket = socket.with_wire(Wire::SuperFrames).with_grant(grant);
        let mut test = Test::on(socket, peer);
        test.queue(&[60]);
        assert!(test.queue.say(LinkMessage::Marker(7)));
        test.queue(&[61]);
        let mut types = Vec::new();
        for _ in 0..2 + usize::from(grant.is_some()) {
            let Some(Event::Fragmented(message)) = test.next().await else { panic!("a message") };
            types.push((message[0], message.len()));
        }
        let said = [(0, 61), (2, 1 + LinkMessage::LEN), (0, 62)];
        let heard: Vec<_> =
            said.into_iter().filter(|(first, _)| grant.is_some() || *first == 0).collect();
        assert_eq!(types, heard, "whoever was granted nothing hears nothing of it");
        test.send(0x82, &[2, 0, 0]).await;
        let Some(Event::Close(code, _)) = test.next().await else { panic!("a close frame") };
        assert_eq!(code.map(CloseCode::get), Some(1002));
    }
}

//! What waits in an egress queue: lanes of frames, and what a link of several is to say
//! between them.
//!
//! Inside `queue`, above the lanes. A message may have to leave behind all frames that were
//! queued before it, and before all that are queued after it, whatever order the lanes give
//! them: each such place begins lanes of its own. Where no link has anything to say, this is
//! the lanes and one branch.

use std::collections::VecDeque;

use super::{
    batch::Source,
    frame::Frame,
    lanes::Lanes,
    links::{LinkMessage, MAX_LINKS},
};

/// Places behind frames at most: as many changes of a port's links as come within some seconds.
/// Each has lanes of its own.
const PLACES: usize = 16;

/// Messages at most: in each place a marker, and what follows those of seven other links.
const MESSAGES: usize = PLACES * MAX_LINKS as usize;

/// Frames and messages in the order in which they leave.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    lanes: Lanes,
    /// What leaves before all frames.
    first: VecDeque<LinkMessage>,
    /// What leaves behind the frames before it, with the frames behind it.
    places: VecDeque<(VecDeque<LinkMessage>, Lanes)>,
    /// Messages in all of these.
    messages: usize,
}

impl Outgoing {
    #[inline]
    pub(crate) fn push(&mut self, source: Source, frame: Frame) {
        match self.places.back_mut() {
            None => self.lanes.push(source, frame),
            Some((_, lanes)) => lanes.push(source, frame),
        }
    }

    /// Queues a message: behind all frames, but one that says that a link is gone before them.
    /// `false`: there is no room. Without it later frames could be taken out of order, so the
    /// link must not send any.
    #[must_use]
    pub(crate) fn say(&mut self, message: LinkMessage) -> bool {
        let passes = matches!(message, LinkMessage::Gone(_));
        let last = self.places.back().filter(|(_, lanes)| lanes.is_empty());
        let begins_place = !passes && last.is_none();
        if self.messages == MESSAGES || (begins_place && self.places.len() == PLACES) {
            return false;
        }
        self.messages += 1;
        if begins_place {
            self.places.push_back((VecDeque::new(), Lanes::default()));
        }
        let last = self.places.back_mut().map(|(messages, _)| messages);
        last.filter(|_| !passes).unwrap_or(&mut self.first).push_back(message);
        true
    }

    /// Whether the next to leave is a message: in any case, and whether frames have to be
    /// over for it.
    pub(crate) fn has_message(&self) -> Option<bool> {
        if !self.first.is_empty() {
            Some(false)
        } else if !self.places.is_empty() && self.lanes.is_empty() {
            Some(true)
        } else {
            None
        }
    }

    /// Takes that message.
    pub(crate) fn message(&mut self) -> Option<LinkMessage> {
        self.has_message()?;
        self.messages -= 1;
        if let Some(message) = self.first.pop_front() {
            return Some(message);
        }
        let (messages, lanes) = self.places.front_mut()?;
        let message = messages.pop_front();
        if messages.is_empty() {
            self.lanes = std::mem::take(lanes);
            self.places.pop_front();
        }
        message
    }

    /// Whether flooded frames wait that are not urgent, and that others may pass by.
    #[inline]
    pub(crate) fn has_flooded(&self) -> bool {
        // What waits behind them must not wait for longer.
        self.places.is_empty() && self.lanes.has_flooded()
    }

    /// See [`Lanes::front`].
    #[inline]
    pub(crate) fn front(&self, flooded: bool) -> Option<&Frame> {
        self.lanes.front(flooded)
    }

    /// See [`Lanes::pop`].
    #[inline]
    pub(crate) fn pop(&mut self, flooded: bool) -> Option<(Source, Frame)> {
        self.lanes.pop(flooded)
    }

    /// Gives back, when there is no frame, the memory that a burst took.
    #[inline]
    pub(crate) fn shrink(&mut self) {
        self.lanes.shrink();
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::core::links::LinkId;

    /// What leaves: frames by their length, messages by name.
    fn all(outgoing: &mut Outgoing) -> Vec<String> {
        let mut left = Vec::new();
        loop {
            if let Some(message) = outgoing.message() {
                left.push(format!("{message:?}"));
            } else if let Some((_, frame)) = outgoing.pop(true) {
                left.push(frame.len().to_string());
            } else {
                return left;
            }
        }
    }

    fn known(len: usize) -> (Source, Frame) {
        (Source::OWN, Frame::new(Bytes::from(vec![7; len])))
    }

    /// ARP, which is urgent.
    fn urgent(len: usize) -> (Source, Frame) {
        let mut data = vec![7; len];
        data[12..14].copy_from_slice(&[0x08, 0x06]);
        (Source::OWN, Frame::new(Bytes::from(data)))
    }

    #[test]
    fn a_marker_leaves_behind_all_frames_before_it_and_before_all_after_it() {
        let mut outgoing = Outgoing::default();
        let put = |outgoing: &mut Outgoing, (source, frame)| outgoing.push(source, frame);
        put(&mut outgoing, known(1000));
        let flooded = Source { flooded: true, ..Source::OWN };
        outgoing.push(flooded, known(1001).1);
        assert!(outgoing.say(LinkMessage::Marker(1)));
        assert!(outgoing.say(LinkMessage::After(LinkId(2), 1)));
        put(&mut outgoing, known(1002));
        put(&mut outgoing, urgent(60));
        assert!(outgoing.say(LinkMessage::Marker(2)));
        put(&mut outgoing, urgent(61));
        assert!(!outgoing.has_flooded(), "a marker does not wait for a turn of floods");
        assert!(outgoing.say(LinkMessage::Gone(LinkId(3))));
        let left = all(&mut outgoing);
        assert_eq!(
            left,
            [
                "Gone(LinkId(3))",
                "1000",
                "1001",
                "Marker(1)",
                "After(LinkId(2), 1)",
                "60",
                "1002",
                "Marker(2)",
                "61",
            ]
        );
        put(&mut outgoing, known(1003));
        assert_eq!((outgoing.has_message(), all(&mut outgoing).len()), (None, 1));
    }

    #[test]
    fn what_a_stuck_link_is_to_say_is_bounded_and_what_has_room_keeps_its_place() {
        let mut outgoing = Outgoing::default();
        let (mut wanted, mut refused) = (Vec::new(), 0);
        for n in 1..100 {
            let (source, frame) = known(usize::try_from(n + 100).expect("few"));
            wanted.push(frame.len().to_string());
            outgoing.push(source, frame);
            let marker = LinkMessage::Marker(n);
            if outgoing.say(marker) {
                wanted.push(format!("{marker:?}"));
            } else {
                refused += 1;
            }
        }
        assert_eq!((outgoing.places.len(), refused), (PLACES, 99 - PLACES));
        assert_eq!(all(&mut outgoing), wanted);
        for (messages, place) in [
            (LinkMessage::Gone as fn(LinkId) -> LinkMessage, 0),
            (|LinkId(n)| LinkMessage::Marker(n), 1),
        ] {
            let said = (1..1000).filter(|&n| outgoing.say(messages(LinkId(n)))).count();
            assert_eq!((said, outgoing.places.len()), (MESSAGES, place));
            assert_eq!(all(&mut outgoing).len(), MESSAGES);
        }
        assert!(outgoing.say(LinkMessage::Marker(1)), "there is room again");
    }
}

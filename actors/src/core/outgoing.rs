//! What waits in an egress queue: lanes of frames, and what a link of several is to say
//! between them.
//!
//! Inside `queue`, above the lanes. A message may have to leave behind all frames that were
//! queued before it, and before all that are queued after it, whatever order the lanes give
//! them: each such place begins lanes of its own. Where no link has anything to say, this is
//! the lanes and one branch.

use std::collections::VecDeque;

use super::{batch::Source, frame::Frame, lanes::Lanes, links::LinkMessage};

/// Messages that pass by all frames at most: more are there only if the link takes nothing, and
/// then the oldest are lost.
const FIRST: usize = 64;

/// Places behind frames at most. A link that takes nothing has what is more at the last of them.
const PLACES: usize = 16;

/// Frames and messages in the order in which they leave.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    lanes: Lanes,
    /// What leaves before all frames.
    first: VecDeque<LinkMessage>,
    /// What leaves behind the frames before it, with the frames behind it.
    places: VecDeque<(VecDeque<LinkMessage>, Lanes)>,
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
    pub(crate) fn say(&mut self, message: LinkMessage) {
        if let LinkMessage::Gone(_) = message {
            if self.first.len() == FIRST {
                self.first.pop_front();
            }
            return self.first.push_back(message);
        }
        let is_full = self.places.len() == PLACES;
        match self.places.back_mut().filter(|(_, lanes)| lanes.is_empty() || is_full) {
            Some((messages, _)) => messages.push_back(message),
            None => self.places.push_back(([message].into(), Lanes::default())),
        }
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
        outgoing.say(LinkMessage::Marker(1));
        outgoing.say(LinkMessage::After(LinkId(2), 1));
        put(&mut outgoing, known(1002));
        put(&mut outgoing, urgent(60));
        outgoing.say(LinkMessage::Marker(2));
        put(&mut outgoing, urgent(61));
        assert!(!outgoing.has_flooded(), "a marker does not wait for a turn of floods");
        outgoing.say(LinkMessage::Gone(LinkId(3)));
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
    fn what_a_stuck_link_is_to_say_is_bounded() {
        let mut outgoing = Outgoing::default();
        for n in 1..1000 {
            let (source, frame) = known(100);
            outgoing.push(source, frame);
            outgoing.say(LinkMessage::Gone(LinkId(n)));
            outgoing.say(LinkMessage::Marker(n));
        }
        assert_eq!((outgoing.first.len(), outgoing.places.len()), (FIRST, PLACES));
        let left = all(&mut outgoing);
        assert!(left.contains(&"Gone(LinkId(999))".to_owned()));
        assert!(left.contains(&"Marker(999)".to_owned()));
        assert_eq!(left.iter().filter(|&item| item == "100").count(), 999);
    }
}

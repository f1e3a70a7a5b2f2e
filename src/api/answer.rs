//! The body of an answer, in pieces: a list of a full table is never copied, and goes out bit
//! by bit, so that frames pass meanwhile. All bodies that wait to be read are bounded
//! together.

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    pin::Pin,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use actix_web::{
    body::{BodySize, MessageBody},
    web::Bytes,
};
use futures_util::future::LocalBoxFuture;
use serde::Serialize;
use tokio::task::yield_now;

use crate::refusal::Refusal;

/// Octets of all answers to one request: three lists of a full table.
pub(super) const MAX_OCTETS: usize = 16 * 1024 * 1024;

/// Octets of all answers that wait to be read.
const MAX_WAITING: usize = 4 * MAX_OCTETS;

/// Octets that go out at once: as many as actix-http gathers for a write.
const PIECE: usize = 32 * 1024;

/// Octets of answers that wait to be read.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// An answer, while it is made and until it has been read.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pieces: VecDeque<Bytes>,
    /// Octets still to go.
    octets: usize,
    /// Octets that [`WAITING`] knows of.
    counted: usize,
    /// Until others had their turn since the last piece.
    turn: Option<Turn>,
}

/// The turn of others. To wake at once would be the next turn before the runtime looks for
/// frames again.
struct Turn(LocalBoxFuture<'static, ()>);

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turn")
    }
}

impl Answer {
    /// A text, of any length.
    ///
    /// # Errors
    /// There is no room for it.
    pub(crate) fn of(text: String) -> Result<Self, Refusal> {
        let mut answer = Self::default();
        answer.wait(text.len())?;
        answer.push(text);
        Ok(answer)
    }

    /// Takes room for `octets`, which are to be added.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn reserve(&mut self, octets: usize) -> Result<(), Refusal> {
        if self.octets + octets > MAX_OCTETS {
            let text = "the answers to one request are limited to 16 MiB; ask for less at once";
            return Err(Refusal::runtime(text));
        }
        self.wait(octets)
    }

    /// Takes room among what waits to be read.
    fn wait(&mut self, octets: usize) -> Result<(), Refusal> {
        if WAITING.fetch_add(octets, Relaxed) + octets > MAX_WAITING {
            WAITING.fetch_sub(octets, Relaxed);
            let text = "64 MiB of answers wait to be read; try again later";
            return Err(Refusal::runtime(text));
        }
        self.counted += octets;
        Ok(())
    }

    pub(super) fn push(&mut self, piece: impl Into<Bytes>) {
        let piece = piece.into();
        self.octets += piece.len();
        self.pieces.push_back(piece);
    }

    /// Adds what there is in JSON. Always possible: nothing here cannot be said in it.
    pub(super) fn push_json(&mut self, value: &impl Serialize) {
        self.push(serde_json::to_vec(value).unwrap_or_default());
    }

    pub(super) const fn len(&self) -> usize {
        self.octets
    }

    /// All of it.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn to_vec(&self) -> Vec<u8> {
        self.pieces.iter().flatten().copied().collect()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        WAITING.fetch_sub(self.counted, Relaxed);
    }
}

impl MessageBody for Answer {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Sized(self.octets as u64)
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        if let Some(Turn(turn)) = &mut self.turn {
            ready!(turn.as_mut().poll(cx));
            self.turn = None;
        }
        let Some(first) = self.pieces.front_mut() else { return Poll::Ready(None) };
        let piece = first.split_to(first.len().min(PIECE));
        if first.is_empty() {
            self.pieces.pop_front();
        }
        self.octets -= piece.len();
        // What is short goes with what follows.
        self.turn = (piece.len() >= PIECE / 2).then(|| Turn(Box::pin(yield_now())));
        Poll::Ready(Some(Ok(piece)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_answer_goes_out_in_pieces_between_which_others_have_their_turn() {
        let mut answer = Answer::default();
        answer.reserve(100_000).expect("there is room");
        answer.push(&b"["[..]);
        answer.push(vec![b'1'; 100_000]);
        answer.push(&b"]"[..]);
        assert_eq!(answer.size(), BodySize::Sized(100_002));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let (mut octets, mut turns) = (0, 0);
        loop {
            let mut in_turn = 0;
            while let Poll::Ready(piece) = Pin::new(&mut answer).poll_next(&mut cx) {
                let Some(Ok(piece)) = piece else {
                    assert_eq!((octets, turns), (100_002, 3));
                    return;
                };
                in_turn += piece.len();
                octets += piece.len();
            }
            assert!(in_turn <= 2 * PIECE, "{in_turn}");
            turns += 1;
        }
    }

    #[test]
    fn answers_are_bounded_alone_and_together() {
        let mut all: Vec<Answer> = Vec::new();
        let refused = loop {
            let mut answer = Answer::default();
            answer.push(vec![0; 10]);
            assert!(answer.reserve(MAX_OCTETS).is_err());
            match answer.reserve(MAX_OCTETS - 10) {
                Ok(()) => all.push(answer),
                Err(refusal) => break refusal,
            }
        };
        assert!(refused.text().contains("64 MiB") && (3..=4).contains(&all.len()), "{refused}");
        all.pop();
        Answer::default().reserve(MAX_OCTETS - 10).expect("what is gone makes room");
    }
}

//! Rates of ports from two looks at their counters. Pure: time is an argument.

use std::{cmp::Ordering, collections::VecDeque, time::Duration};

use serde::Serialize;

use super::table::titles;
use crate::{api::Port, cli::Order};

/// Looks that a sparkline shows: it takes as many columns.
const HISTORY: usize = 16;

/// A sparkline's steps.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

impl Order {
    pub(super) const fn next(self) -> Self {
        match self {
            Self::Rate => Self::Rx,
            Self::Rx => Self::Tx,
            Self::Tx => Self::Port,
            Self::Port => Self::Rate,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Rx => "rx",
            Self::Tx => "tx",
            Self::Port => "port",
        }
    }
}

/// What passes a port in a second, as its medium sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Rate {
    #[serde(flatten)]
    pub(super) port: Port,
    /// Bits; a 1.3 switch does not tell.
    pub(super) bits_rx: Option<f64>,
    pub(super) bits_tx: Option<f64>,
    pub(super) frames_rx: f64,
    pub(super) frames_tx: f64,
    /// Frames, for whatever reason.
    pub(super) discards: f64,
    /// Share of the busiest moment, the oldest first; 0 to 1.
    #[serde(skip)]
    pub(super) history: VecDeque<f64>,
}

impl Rate {
    /// What the order `rate` looks at: bits, or frames where bits are not known.
    fn load(&self) -> f64 {
        match (self.bits_rx, self.bits_tx) {
            (Some(rx), Some(tx)) => rx + tx,
            _ => self.frames_rx + self.frames_tx,
        }
    }
}

/// The rates of all ports at `after`; `before` is the look before it, and tells what was
/// seen of each port earlier.
pub(super) fn rates(before: &[Rate], after: Vec<Port>, elapsed: Duration) -> Vec<Rate> {
    let seconds = elapsed.as_secs_f64();
    // A counter that is lower than before is that of a switch that was started again.
    let each = |from: Option<u64>, to: u64| match from {
        #[expect(clippy::cast_precision_loss, reason = "2^53 frames take centuries")]
        Some(from) if from <= to && seconds > 0.0 => (to - from) as f64 / seconds,
        _ => 0.0,
    };
    let of = |port: Port| {
        let same = |rate: &&Rate| rate.port.port == port.port && rate.port.kind == port.kind;
        let before = before.iter().find(same);
        let was = before.map(|rate| &rate.port);
        let bits = |from: Option<u64>, to: Option<u64>| to.map(|to| each(from, to) * 8.0);
        let lost = |port: &Port| port.discards.values().sum::<u64>();
        let mut rate = Rate {
            bits_rx: bits(was.and_then(|port| port.octets_rx), port.octets_rx),
            bits_tx: bits(was.and_then(|port| port.octets_tx), port.octets_tx),
            frames_rx: each(was.map(|port| port.rx), port.rx),
            frames_tx: each(was.map(|port| port.tx), port.tx),
            discards: each(was.map(lost), lost(&port)),
            history: before.map(|rate| rate.history.clone()).unwrap_or_default(),
            port,
        };
        if before.is_some() {
            if rate.history.len() == HISTORY {
                rate.history.pop_front();
            }
            rate.history.push_back(rate.load());
        }
        rate
    };
    after.into_iter().map(of).collect()
}

/// Puts them in order; ports of equal rates by number.
pub(super) fn sort(rates: &mut [Rate], order: Order) {
    let key = |rate: &Rate| match order {
        Order::Rate => rate.load(),
        Order::Rx => rate.bits_rx.unwrap_or(rate.frames_rx),
        Order::Tx => rate.bits_tx.unwrap_or(rate.frames_tx),
        Order::Port => 0.0,
    };
    rates.sort_by(|one, other| {
        let busier = key(other).partial_cmp(&key(one)).unwrap_or(Ordering::Equal);
        busier.then(one.port.port.cmp(&other.port.port))
    });
}

/// The rows of a table, its titles first.
pub(super) fn rows(rates: &[Rate], history: bool) -> Vec<Vec<String>> {
    let mut head =
        titles(["Port", "Type", "State", "RX bit/s", "TX bit/s", "RX frm/s", "TX frm/s", "Lost/s"]);
    head.extend(history.then(|| format!("{:HISTORY$}", "Last")));
    head.push("Target".to_owned());
    let row = |rate: &Rate| {
        let bits = |bits: Option<f64>| bits.map_or_else(|| "-".to_owned(), short);
        let mut row = vec![
            rate.port.port.to_string(),
            rate.port.kind.clone(),
            rate.port.state().to_owned(),
            bits(rate.bits_rx),
            bits(rate.bits_tx),
            short(rate.frames_rx),
            short(rate.frames_tx),
            short(rate.discards),
        ];
        row.extend(history.then(|| sparkline(&rate.history)));
        row.push(rate.port.target.clone());
        row
    };
    let mut rows = vec![head];
    rows.extend(rates.iter().map(row));
    rows
}

/// Three digits and a power of thousand: `1.25k`, `12.5M`, `125G`.
fn short(number: f64) -> String {
    let mut number = number;
    for unit in ["", "k", "M", "G", "T"] {
        // What would be rounded up to 1000 belongs to the next unit.
        if number < 999.5 || unit == "T" {
            let digits = match number {
                _ if unit.is_empty() => 0,
                ..9.995 => 2,
                ..99.95 => 1,
                _ => 0,
            };
            return format!("{number:.digits$}{unit}");
        }
        number /= 1000.0;
    }
    String::new()
}

/// Each port has its own scale: shape is what is looked for.
fn sparkline(history: &VecDeque<f64>) -> String {
    let most = history.iter().copied().fold(0.0, f64::max);
    let bar = |&load: &f64| {
        let step = BARS.iter().rev().enumerate().find(|(i, _)| {
            // The highest step that the load reaches.
            let share = f64::from(u8::try_from(BARS.len() - 1 - i).unwrap_or(0));
            load * 8.0 > share * most
        });
        if load > 0.0 { step.map_or(' ', |(_, bar)| *bar) } else { ' ' }
    };
    let line: String = history.iter().map(bar).collect();
    format!("{line:>HISTORY$}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn port(number: u32, octets: u64, frames: u64) -> Port {
        serde_json::from_value(json!({"port": number, "type": "tap", "target": "t", "tx": 0,
            "rx": frames, "octets-rx": octets, "octets-tx": 0, "shut": false, "state": "up"}))
        .unwrap()
    }

    #[test]
    fn a_rate_is_what_came_in_between() {
        let before = rates(&[], vec![port(1, 1000, 10)], Duration::ZERO);
        assert_eq!((before[0].bits_rx, before[0].frames_rx), (Some(0.0), 0.0));
        let after = rates(&before, vec![port(1, 3000, 30), port(2, 9, 9)], Duration::from_secs(2));
        assert_eq!((after[0].bits_rx, after[0].frames_rx), (Some(8000.0), 10.0));
        assert_eq!(after[1].bits_rx, Some(0.0), "a port that was not there before");
        let again = rates(&after, vec![port(1, 10, 1)], Duration::from_secs(2));
        assert_eq!(again[0].bits_rx, Some(0.0), "the switch was started again");
    }

    #[test]
    fn the_busiest_is_first_or_as_asked_for() {
        let before = rates(&[], vec![port(1, 0, 0), port(2, 0, 0), port(3, 0, 0)], Duration::ZERO);
        let now = vec![port(1, 10, 1), port(2, 90, 1), port(3, 10, 1)];
        let mut rates = rates(&before, now, Duration::from_secs(1));
        let mut sorted = |order| {
            sort(&mut rates, order);
            rates.iter().map(|rate| rate.port.port).collect::<Vec<_>>()
        };
        assert_eq!(sorted(Order::Rate), [2, 1, 3]);
        assert_eq!(sorted(Order::Port), [1, 2, 3]);
        assert_eq!(sorted(Order::Rx), [2, 1, 3]);
        assert_eq!(sorted(Order::Tx), [1, 2, 3]);
    }

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (0.0, "0"),
            (7.4, "7"),
            (999.4, "999"),
            (999.6, "1.00k"),
            (1250.0, "1.25k"),
            (12_500.0, "12.5k"),
            (999_600.0, "1.00M"),
            (5e9, "5.00G"),
            (5e15, "5000T"),
        ] {
            assert_eq!(short(number), text);
        }
    }

    #[test]
    fn a_sparkline_shows_the_shape() {
        let history = VecDeque::from([0.0, 1.0, 4.0, 8.0]);
        assert_eq!(sparkline(&history), format!("{:>16}", " ▁▄█"));
        assert_eq!(sparkline(&VecDeque::new()).chars().count(), HISTORY);
    }

    #[test]
    fn a_switch_that_tells_no_octets_has_frames_alone() {
        let old = || -> Port {
            serde_json::from_value(json!({"port": 1, "type": "tap", "target": "t", "tx": 0,
                "rx": 0, "shut": false}))
            .unwrap()
        };
        let before = rates(&[], vec![old()], Duration::ZERO);
        let now = rates(&before, vec![Port { rx: 5, ..old() }], Duration::from_secs(1));
        assert_eq!(rows(&now, false)[1][3..8], ["-", "-", "5", "0", "0"]);
    }
}

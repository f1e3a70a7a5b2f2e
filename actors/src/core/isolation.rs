//! Private VLANs (RFC 5517): which ports do not reach each other, by their settings
//! `isolated` and `isolation-group`.

use super::{
    ports::PortSet,
    settings::{Label, PortSettings},
};

/// Who is isolated, by place. Without any isolated port a question costs a comparison.
#[derive(Debug, Default)]
pub(crate) struct Isolation {
    isolated: PortSet,
    /// The group of each place, if it is in one.
    groups: Vec<Option<Label>>,
}

impl Isolation {
    /// Notes what is in force at a place; nothing, if its port is gone.
    pub(crate) fn set(&mut self, at: usize, settings: &PortSettings) {
        let is_isolated = settings.isolated();
        self.isolated.set(at, is_isolated);
        let group = settings.isolation_group.clone().filter(|_| is_isolated);
        if group.is_some() && self.groups.len() <= at {
            self.groups.resize(at + 1, None);
        }
        if let Some(own) = self.groups.get_mut(at) {
            *own = group;
        }
    }

    /// Whether what comes in at `from` may not leave at `to`: both are isolated, and not in one
    /// group. What comes from no port may leave anywhere.
    #[inline]
    pub(crate) fn separates(&self, from: usize, to: usize) -> bool {
        self.isolated.contains(from)
            && self.isolated.contains(to)
            && (self.group(from).is_none() || self.group(from) != self.group(to))
    }

    fn group(&self, at: usize) -> Option<&Label> {
        self.groups.get(at)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(isolated: bool, group: Option<&str>) -> PortSettings {
        PortSettings {
            isolated: Some(isolated),
            isolation_group: group.map(|group| group.parse().expect("a name")),
            ..PortSettings::default()
        }
    }

    #[test]
    fn isolated_ports_reach_those_that_are_not_and_their_own_group() {
        let mut isolation = Isolation::default();
        let all = [
            settings(false, None),
            settings(false, Some("a")),
            settings(true, None),
            settings(true, None),
            settings(true, Some("a")),
            settings(true, Some("a")),
            settings(true, Some("b")),
        ];
        all.iter().enumerate().for_each(|(at, one)| isolation.set(at, one));
        for from in 0..all.len() {
            let reached: Vec<_> =
                (0..all.len()).filter(|&to| from != to && !isolation.separates(from, to)).collect();
            let expected = match from {
                0 | 1 => (0..all.len()).filter(|&to| to != from).collect(),
                4 => vec![0, 1, 5],
                5 => vec![0, 1, 4],
                _ => vec![0, 1],
            };
            assert_eq!(reached, expected, "{from}");
        }
        assert!(!isolation.separates(usize::MAX, 2), "the switch's own frames");
        isolation.set(5, &PortSettings::default());
        assert!(!isolation.separates(2, 5));
        isolation.set(5, &settings(true, None));
        assert!(isolation.separates(4, 5), "its former group is forgotten");
    }
}

//! Mirror ports in the Switch: which ports are kept for copies, and how these leave. Copies join
//! no batch: they hold no credit of it, and no mirror is shown them.

use actix::prelude::*;
use slog::info;

use super::{Switch, entry::PortEntry};
use crate::{
    core::{counters::Discard, gauge::cost, settings::PortRef},
    message::{AddPortMirror, Credit, DelPortMirror, Egress, ListPortMirrors},
    mirror::{PortMirrorError, PortMirrorInfo},
};

impl Switch {
    /// Finds the ports of mirrors again, after anything that may have changed them, and keeps
    /// those for copies that are.
    pub(super) fn find_mirrored(&mut self) {
        if !self.mirrors.outputs().is_empty() {
            self.reserve();
        }
    }

    fn reserve(&mut self) {
        let mut outputs = self.mirrors.take_outputs();
        outputs.iter_mut().for_each(|output| output.find_ports(|port| self.referred(port)));
        self.mirrors.put_outputs(outputs);
        for at in self.ports.places() {
            let number = self.ports[at].number;
            let is_it = self.mirrors.outputs().iter().any(|one| one.reserved() == Some(number));
            if self.ports[at].is_reserved != is_it {
                self.ports[at].is_reserved = is_it;
                self.relay.flush_port(number);
                self.note_forwarding(at);
                self.note_open(at);
            }
        }
    }

    /// Gives copies to the queues of the ports that they leave by, as far as there is room.
    pub(super) fn deliver_copies(&mut self) {
        let mut outputs = self.mirrors.take_outputs();
        for output in outputs.iter_mut().filter(|output| !output.copies.is_empty()) {
            let source = output.source();
            let to = output.to().and_then(|number| self.ports.find(number));
            let port = to.map(|at| &self.ports[at]).filter(|port| port.is_open());
            let outlet = port.and_then(PortEntry::outlet);
            let (mut frames, mut octets) = (Vec::with_capacity(output.copies.len()), 0);
            for frame in output.copies.drain(..) {
                let (count, length) = frame.on_wire();
                let refused = match outlet {
                    None => Some(Discard::PortDown),
                    Some(outlet) => outlet.gauge.refuses(&frame, source, octets, octets),
                };
                let Some(reason) = refused else {
                    output.counts.frames += count;
                    output.counts.octets += length;
                    octets += cost(&frame);
                    frames.push(frame);
                    continue;
                };
                output.counts.lost += count;
                if let Some(at) = to {
                    self.ports[at].counters.discarded(reason, count);
                }
            }
            let Some(outlet) = outlet.filter(|_| !frames.is_empty()) else { continue };
            outlet.gauge.take(source, octets);
            let (frames, flooded) =
                if source.flooded { (Vec::new(), frames) } else { (frames, Vec::new()) };
            let credit = Credit::NONE;
            // Bounded by the gauge, so it may pass by the mailbox's own limit.
            let message = None;
            outlet.port.do_send(Egress { message, frames, flooded, source, credit, alone: false });
        }
        self.mirrors.put_outputs(outputs);
    }
}

impl Handler<AddPortMirror> for Switch {
    type Result = Result<PortMirrorInfo, PortMirrorError>;

    fn handle(&mut self, add: AddPortMirror, _: &mut Context<Self>) -> Self::Result {
        let AddPortMirror { what, waits } = add;
        let find =
            |port: &PortRef| self.referred(port).filter(|number| self.find(*number).is_some());
        let found = |port: &PortRef| match find(port) {
            None if !waits => Err(PortMirrorError::NoSuchPort(port.clone())),
            number => Ok(number),
        };
        let to = found(&what.to)?;
        for port in &what.from {
            if (found(port)? == to && to.is_some()) || *port == what.to {
                return Err(PortMirrorError::ToItself(port.clone()));
            }
        }
        let name = what.to.clone();
        let number = self.mirrors.add_output(what)?;
        info!(self.log, "mirror is added"; "mirror" => number, "to" => %name);
        self.find_mirrored();
        let info = self.mirrors.outputs().iter().find(|one| one.number() == number);
        info.map(|one| one.info()).ok_or(PortMirrorError::NoSuchMirror(number))
    }
}

impl Handler<ListPortMirrors> for Switch {
    type Result = MessageResult<ListPortMirrors>;

    fn handle(&mut self, _: ListPortMirrors, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.mirrors.outputs().iter().map(|output| output.info()).collect())
    }
}

impl Handler<DelPortMirror> for Switch {
    type Result = Result<PortMirrorInfo, PortMirrorError>;

    fn handle(&mut self, del: DelPortMirror, _: &mut Context<Self>) -> Self::Result {
        let gone = self.mirrors.remove_output(del.0).ok_or(PortMirrorError::NoSuchMirror(del.0))?;
        info!(self.log, "mirror is deleted"; "mirror" => del.0);
        self.reserve();
        Ok(gone)
    }
}

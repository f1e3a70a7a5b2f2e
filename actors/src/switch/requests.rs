//! What control asks of the Switch: ports and their settings, the forwarding database,
//! mirrors. Beside the frame's path; each answer is given at once, and so what may be long is asked
//! for in pages.

use std::sync::Arc;

use actix::prelude::*;
use slog::{debug, info};
use tokio::time::Instant;

use super::{PortEntry, Switch};
use crate::{
    core::{
        fdb::{FdbEntry, FdbError, FdbFilter, Status},
        ports::PAGE,
        state::PortState,
    },
    message::{
        AddFdb, AddMirror, ChangePort, CountPorts, Credit, DelFdb, DelPort, FdbInfo, FdbPage,
        FindPings, Flood, FlushFdb, KeepInterface, ListFdb, ListPorts, Pings, PortCounts, PortInfo,
        PortPage, PortReport, PortSurvey, SetPortError, ShowPort, Survey, TakeSurvey, Usage,
    },
    mirror::{MirrorReader, TooManyMirrors},
};

impl Switch {
    /// A port with what it is to the spanning tree.
    fn port_info(&self, port: &PortEntry) -> PortInfo {
        PortInfo { stp: self.tree_port(port.number), ..port.info() }
    }

    /// In no order.
    fn list_fdb(&self, page: usize, filter: FdbFilter) -> FdbPage {
        let now = Instant::now().into_std();
        let (entries, next) = self.relay.fdb().page(page, filter, now);
        let of = |(vid, mac, entry)| FdbInfo::new(vid, mac, entry, now);
        FdbPage { entries: entries.into_iter().map(of).collect(), next }
    }
}

impl Handler<ListPorts> for Switch {
    type Result = MessageResult<ListPorts>;

    fn handle(&mut self, list: ListPorts, _: &mut Context<Self>) -> Self::Result {
        let fdb = self.relay.fdb();
        let of = |port: &PortEntry| PortSurvey {
            info: self.port_info(port),
            queue: port.queue().map(Usage::from),
            macs: fdb.macs(port.number).into(),
        };
        let mut all = self.ports.by_number(list.after);
        let mut ports = Vec::with_capacity(PAGE);
        ports.extend(all.by_ref().take(PAGE).map(of));
        let last = ports.last().map(|port| port.info.port);
        MessageResult(PortPage { ports, next: all.next().and(last) })
    }
}

impl Handler<CountPorts> for Switch {
    type Result = PortCounts;

    fn handle(&mut self, _: CountPorts, _: &mut Context<Self>) -> PortCounts {
        let mut counts = PortCounts::default();
        for (_, port) in self.ports.iter() {
            counts.all += 1;
            counts.up += usize::from(port.state() == PortState::Up);
            counts.sessions += usize::from(port.kind == "server");
        }
        counts
    }
}

impl Handler<ShowPort> for Switch {
    type Result = Option<PortReport>;

    fn handle(&mut self, show: ShowPort, _: &mut Context<Self>) -> Self::Result {
        let at = self.find(show.port)?;
        let port = &self.ports[at];
        let macs = self.relay.fdb().macs(show.port);
        Some(PortReport {
            info: self.port_info(port),
            own: port.own.clone(),
            settings: self.in_force(at),
            limits: port.guards.limits(
                port.queue(),
                macs,
                &self.holders[port.held].flooded,
                Instant::now().into_std(),
            ),
        })
    }
}

impl Handler<ChangePort> for Switch {
    type Result = Result<PortInfo, SetPortError>;

    fn handle(&mut self, change: ChangePort, _: &mut Context<Self>) -> Self::Result {
        let number = change.set.port;
        self.set_port(change.set)?;
        let at = self.find(number).ok_or(SetPortError::NoSuchPort(number))?;
        let port = &mut self.ports[at];
        info!(self.log, "port is changed"; "port" => %number, "type" => port.kind,
            "target" => &change.target);
        port.target = change.target;
        for link in &port.links {
            link.reopen.send_modify(|opening| opening.options = Some(Arc::clone(&change.options)));
        }
        // As it is from now on: its supervisor is about to say the same.
        if !matches!(port.state, PortState::Failed { .. }) {
            let reason = Some("its settings have changed".to_owned());
            self.go_down(at, PortState::Connecting { reason });
        }
        Ok(self.ports[at].info())
    }
}

impl Handler<FindPings> for Switch {
    type Result = Option<Arc<Pings>>;

    fn handle(&mut self, find: FindPings, _: &mut Context<Self>) -> Self::Result {
        self.ports[self.find(find.port)?].pings().cloned()
    }
}

impl Handler<Flood> for Switch {
    type Result = ();

    fn handle(&mut self, flood: Flood, _: &mut Context<Self>) {
        // It has come in by no port.
        self.flood(usize::MAX, flood.frame, Instant::now().into_std());
        self.deliver(&Credit::NONE);
    }
}

impl Handler<TakeSurvey> for Switch {
    type Result = MessageResult<TakeSurvey>;

    fn handle(&mut self, _: TakeSurvey, _: &mut Context<Self>) -> Self::Result {
        let fdb = self.relay.fdb();
        MessageResult(Survey {
            learned: fdb.learned().into(),
            statics: fdb.statics().into(),
            bindings: self.bindings.count().into(),
            lldp_neighbors: self.lldp.agents.count().into(),
            neigh_entries: self.neighbors.all().count().into(),
            groups: self.multicast.as_ref().map_or((0, 0), |multicast| multicast.count()).into(),
            queues: self.memory.total().into(),
            tree: self.tree(),
            vlans: self.vlans.survey(),
        })
    }
}

impl Handler<KeepInterface> for Switch {
    type Result = ();

    fn handle(&mut self, keep: KeepInterface, _: &mut Context<Self>) {
        if let Some(at) = self.find(keep.port) {
            self.ports[at].kept = Some(keep.settings);
        }
    }
}

impl Handler<DelPort> for Switch {
    type Result = Option<PortInfo>;

    fn handle(&mut self, del: DelPort, _: &mut Context<Self>) -> Self::Result {
        let port = self.remove(del.port)?;
        port.stop(del.stop);
        self.tell_deleted(&port, del.stop.reason());
        info!(port.log, "port is deleted"; "port" => %del.port, "type" => port.kind, "target" => &port.target);
        Some(port.info())
    }
}

impl Handler<ListFdb> for Switch {
    type Result = MessageResult<ListFdb>;

    fn handle(&mut self, list: ListFdb, _: &mut Context<Self>) -> Self::Result {
        MessageResult(self.list_fdb(list.page, list.filter))
    }
}

impl Handler<AddFdb> for Switch {
    type Result = Result<FdbInfo, FdbError>;

    fn handle(&mut self, add: AddFdb, _: &mut Context<Self>) -> Self::Result {
        let AddFdb { vid, mac, port } = add;
        self.find(port).ok_or(FdbError::NoSuchPort(port))?;
        let now = Instant::now().into_std();
        let entry = self.relay.fdb_mut().add_static(vid, mac, port, now)?;
        info!(self.log, "address is set"; "mac" => %mac, "vlan" => vid.get(), "port" => %port);
        Ok(FdbInfo::new(vid, mac, entry, now))
    }
}

impl Handler<DelFdb> for Switch {
    type Result = Result<FdbInfo, FdbError>;

    fn handle(&mut self, del: DelFdb, _: &mut Context<Self>) -> Self::Result {
        let DelFdb { vid, mac } = del;
        if let Some(FdbEntry { port, status: Status::Permanent, .. }) =
            self.relay.fdb().get(vid, mac)
        {
            return Err(FdbError::Permanent { mac, port });
        }
        let entry = self.relay.fdb_mut().remove(vid, mac);
        let entry = entry.ok_or(FdbError::NoSuchEntry { vid, mac })?;
        info!(self.log, "address is deleted"; "mac" => %mac, "vlan" => vid.get());
        Ok(FdbInfo::new(vid, mac, entry, Instant::now().into_std()))
    }
}

impl Handler<FlushFdb> for Switch {
    type Result = Result<FdbPage, FdbError>;

    fn handle(&mut self, flush: FlushFdb, _: &mut Context<Self>) -> Self::Result {
        if let Some(port) = flush.filter.port {
            self.find(port).ok_or(FdbError::NoSuchPort(port))?;
        }
        let goes = |entry: FdbEntry| match entry.status {
            Status::Learned | Status::Sticky => true,
            Status::Static => flush.all,
            Status::Permanent => false,
        };
        let filter = FdbFilter { status: None, ..flush.filter };
        let mut flushed = self.list_fdb(flush.page, filter);
        flushed.entries.retain(|line| goes(line.entry));
        for line in &flushed.entries {
            self.relay.fdb_mut().remove(line.vid, line.mac);
        }
        Ok(flushed)
    }
}

impl Handler<AddMirror> for Switch {
    type Result = Result<MirrorReader, TooManyMirrors>;

    fn handle(&mut self, add: AddMirror, _: &mut Context<Self>) -> Self::Result {
        debug!(self.log, "frames are mirrored"; "filter" => %add.filter, "snaplen" => add.snaplen);
        self.mirrors.add(add.filter, add.snaplen, add.octets)
    }
}

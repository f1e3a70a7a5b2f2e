//! Spanning tree in the Switch.

use actix::prelude::*;

use super::Switch;
use crate::{
    core::{
        fdb::PortNumber,
        stp::{BridgeSettings, PortInfo, TreeInfo},
    },
    message::ShowStp,
};

impl Switch {
    /// What the port is to the tree, if it takes part in it.
    #[expect(clippy::unused_self, reason = "there is no tree yet")]
    pub(super) fn tree_port(&self, _: PortNumber) -> Option<PortInfo> {
        None
    }

    /// Takes part in the tree as such a bridge, or in none.
    #[expect(clippy::unused_self, reason = "there is no tree yet")]
    pub(super) fn set_stp(&mut self, _: Option<BridgeSettings>) {}
}

impl Handler<ShowStp> for Switch {
    type Result = Option<TreeInfo>;

    fn handle(&mut self, _: ShowStp, _: &mut Context<Self>) -> Self::Result {
        None
    }
}

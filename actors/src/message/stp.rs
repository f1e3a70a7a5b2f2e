//! What is asked and told of the spanning tree. What a port is to it stands in its
//! [`PortInfo`](super::PortInfo).

use actix::prelude::*;

use crate::core::stp::TreeInfo;

/// Asks for the spanning tree as the switch sees it; `None`: it takes part in none.
#[derive(Debug, Message)]
#[rtype(result = "Option<TreeInfo>")]
pub struct ShowStp;

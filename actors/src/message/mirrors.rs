//! What is asked of mirrors that copy to a port.

use actix::prelude::*;

use crate::mirror::{PortMirror, PortMirrorError, PortMirrorInfo};

/// Adds a mirror whose copies leave by a port.
#[derive(Debug, Message)]
#[rtype(result = "Result<PortMirrorInfo, PortMirrorError>")]
pub struct AddPortMirror {
    /// What is copied, and where to.
    pub what: PortMirror,
    /// Whether ports may still be missing.
    pub waits: bool,
}

/// Asks for these mirrors, by number.
#[derive(Debug, Message)]
#[rtype(result = "Vec<PortMirrorInfo>")]
pub struct ListPortMirrors;

/// Ends one of them, by its number.
#[derive(Debug, Message)]
#[rtype(result = "Result<PortMirrorInfo, PortMirrorError>")]
pub struct DelPortMirror(pub u32);

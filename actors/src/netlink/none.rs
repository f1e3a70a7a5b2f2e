//! In the place of `netlink` where the crate is built without it: interfaces are ports like
//! others, and nothing can be set on them.

use std::{convert::Infallible, future::pending};

use crate::core::interface::{Interface, InterfaceSettings, InterfaceStatus};

/// Nothing can be set.
#[derive(Debug, thiserror::Error)]
#[error("interface {0} cannot be set up: this program is built without netlink")]
pub struct LinkError(String);

pub(crate) async fn apply(name: &str, _: &InterfaceSettings) -> Result<(), LinkError> {
    Err(LinkError(name.to_owned()))
}

/// Nothing is known of it.
pub(crate) async fn interface(_: &str) -> Result<Option<Interface>, LinkError> {
    Ok(None)
}

/// Nothing is told of it.
pub(crate) struct Watch(Infallible);

impl Watch {
    pub(crate) fn open(name: &str) -> Result<Self, LinkError> {
        Err(LinkError(name.to_owned()))
    }

    pub(crate) async fn first(&mut self) -> Option<InterfaceStatus> {
        None
    }

    pub(crate) async fn changed(&mut self) -> InterfaceStatus {
        pending().await
    }

    pub(crate) fn was_moved(&mut self) -> bool {
        false
    }
}

//! Mirrors that copy to a port, as control asks for them.

use super::{Control, ControlError};
use crate::{
    message::{AddPortMirror, DelPortMirror, ListPortMirrors},
    mirror::{PortMirror, PortMirrorInfo},
};

impl Control {
    /// Has frames that pass ports copied to another port.
    ///
    /// # Errors
    /// A port is not there, or is on both sides; or there are as many mirrors as there may be.
    pub async fn add_mirror(&self, what: PortMirror) -> Result<PortMirrorInfo, ControlError> {
        Ok(self.switch.send(AddPortMirror { what, waits: false }).await??)
    }

    /// The same before its ports are there.
    ///
    /// # Errors
    /// A port is on both sides, or there are as many mirrors as there may be.
    pub async fn keep_mirror(&self, what: PortMirror) -> Result<PortMirrorInfo, ControlError> {
        Ok(self.switch.send(AddPortMirror { what, waits: true }).await??)
    }

    /// All mirrors that copy to a port, by number.
    ///
    /// # Errors
    /// The switch has ended.
    pub async fn list_mirrors(&self) -> Result<Vec<PortMirrorInfo>, ControlError> {
        Ok(self.switch.send(ListPortMirrors).await?)
    }

    /// Ends a mirror, and gives it as it was.
    ///
    /// # Errors
    /// There is no such mirror.
    pub async fn del_mirror(&self, number: u32) -> Result<PortMirrorInfo, ControlError> {
        Ok(self.switch.send(DelPortMirror(number)).await??)
    }
}

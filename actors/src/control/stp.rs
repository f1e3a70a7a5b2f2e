//! The spanning tree, as control asks for it.

use super::{Control, ControlError};
use crate::{core::stp::TreeInfo, message::ShowStp};

impl Control {
    /// The spanning tree as the switch sees it; `None`: it takes part in none. What each port is to
    /// it stands in the ports' [`PortInfo::stp`](crate::message::PortInfo::stp).
    ///
    /// # Errors
    /// The switch has ended.
    pub async fn show_stp(&self) -> Result<Option<TreeInfo>, ControlError> {
        Ok(self.switch.send(ShowStp).await?)
    }
}

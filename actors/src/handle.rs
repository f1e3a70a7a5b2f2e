//! A switch for programs that embed it, without its actors: start it, add ports, control it,
//! end it. Needs an actix System, as everything here.

use actix::{Actor as _, Addr};
use slog::Logger;

use crate::{
    control::Control,
    core::fdb::PortNumber,
    message::Shutdown,
    port::Medium,
    supervisor::{self, AddError},
    switch::{Switch, SwitchOptions},
};

/// A switch that runs. Clones are of the same switch; it ends with [`shutdown`](Self::shutdown)
/// or with the System.
#[derive(Debug, Clone)]
pub struct SwitchHandle {
    switch: Addr<Switch>,
    control: Control,
    log: Logger,
}

impl SwitchHandle {
    /// Starts a switch on this Arbiter. Its ports log where it logs.
    #[must_use]
    pub fn start(options: SwitchOptions) -> Self {
        let log = options.log.clone();
        let switch = Switch::new(options).start();
        Self { control: Control::new(switch.clone(), log.clone()), switch, log }
    }

    /// Opens `medium` and adds it as a port, which is opened again whenever it is lost.
    ///
    /// # Errors
    /// The medium does not open at the first attempt, or the switch refuses the port.
    pub async fn add(&self, medium: impl Medium) -> Result<PortNumber, AddError> {
        supervisor::add(&self.switch, medium, &self.log).await
    }

    /// What `etherws ctl` can ask, as functions.
    #[must_use]
    pub const fn control(&self) -> &Control {
        &self.control
    }

    /// The actor, for programs that send it messages of their own.
    #[must_use]
    pub const fn actor(&self) -> &Addr<Switch> {
        &self.switch
    }

    /// Ends all ports, each with its farewell, and waits for it.
    pub async fn shutdown(&self) {
        // A switch that has ended has no port any more.
        let _ = self.switch.send(Shutdown).await;
    }
}

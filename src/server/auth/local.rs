//! Clients on this machine: those that come over loopback or over a Unix socket, whose file's
//! mode says who may. Asks for no name.

use super::{Authenticator, Deciding, Decision, Identity};
use crate::server::{
    refusal::{Refusal, Refused},
    request::Request,
};

/// Lets in clients on this machine, and no others.
#[derive(Debug)]
pub(super) struct Local;

impl Authenticator for Local {
    fn name(&self) -> &'static str {
        "local"
    }

    fn authenticate<'a>(&'a self, request: &'a Request<'a>) -> Deciding<'a> {
        let local = request.peer.is_local();
        Box::pin(async move {
            if local { Decision::Pass(Identity::ANONYMOUS) } else { Decision::NotTried }
        })
    }

    fn missing(&self) -> Refusal {
        let text = "Control accepts local clients only, and none from the address of a trusted \
                    proxy: see --ctlhtpasswd, --ctlopen and --ctl-trusted-proxies of etherws sw";
        Refusal::new(Refused::Origin, text)
    }
}

//! The door of a service: who may pass. Stands before everything else that a request
//! can reach, for tunnel and control alike; what is refused here learns nothing of
//! what is behind.

use std::sync::Arc;

use actix_http::{
    RequestHead,
    header::{self, HeaderValue},
};
use slog::{Logger, info};

use super::{auth::Htpasswd, identity::Identity, refusal::Refusal};

/// Whom a service lets in.
#[derive(Debug)]
pub(crate) struct Door {
    /// Users and their passwords; nobody is asked for one without it.
    pub(crate) htpasswd: Option<Htpasswd>,
    pub(crate) log: Logger,
}

impl Door {
    /// Who sent this request, if they may pass. `certificate` is the name in the
    /// client's certificate, once TLS has verified it.
    ///
    /// # Errors
    /// They may not; the refusal is to be sent as it is.
    pub(crate) async fn admit(
        &self,
        head: &RequestHead,
        certificate: Option<&Arc<str>>,
    ) -> Result<Identity, Refusal> {
        // Nobody is asked for certificates yet.
        let _ = certificate;
        let Some(htpasswd) = &self.htpasswd else { return Ok(Identity::ANONYMOUS) };
        let authorization = head.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        match htpasswd.verify(authorization) {
            Ok(name) => Ok(Identity::password(name)),
            Err(refused) => {
                info!(self.log, "not let in";
                    "peer" => head.peer_addr.map(|peer| peer.to_string()), "reason" => %refused);
                Err(Refusal::unauthorized())
            }
        }
    }
}

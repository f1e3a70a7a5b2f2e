//! No proof at all: for services that are open to whoever reaches them. Always the last way
//! of its step.

use super::{Authenticator, Deciding, Decision, Identity};
use crate::server::request::Request;

/// Lets everybody in, without a name.
#[derive(Debug)]
pub(super) struct Anyone;

impl Authenticator for Anyone {
    fn name(&self) -> &'static str {
        "anyone"
    }

    fn authenticate<'a>(&'a self, _: &'a Request<'a>) -> Deciding<'a> {
        Box::pin(async { Decision::Pass(Identity::ANONYMOUS) })
    }
}

//! What control serves besides JSON-RPC, each at a path of its own and only by GET and HEAD:
//! its request has passed control's guard and gate before it comes here.

use std::{future::Future, pin::Pin};

use actix_web::{
    HttpResponse,
    http::header::{HeaderName, HeaderValue},
};

use etherws_actors::settings::Role;

use super::{
    capture,
    endpoint::ControlService,
    events, metrics, page,
    refusal::{Refusal, Refused},
    request::Request,
};
use crate::api::{
    audit::Audit,
    call::{Caller, Service as _},
};

/// What browsers are to do with whatever is served here, the page or not: take nothing from
/// elsewhere, send nothing there, run no script that is not a file of ours, and show it in
/// no frame.
const SHIELD: [(&str, &str); 5] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
         require-trusted-types-for 'script'",
    ),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
];

/// A resource's answer.
pub(super) type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, Refusal>> + 'a>>;

/// Something that control serves.
pub(super) struct Resource {
    /// Compared exactly; the query is the resource's own. Control's own path, and the
    /// tunnel's on a listener that both share, come first.
    path: &'static str,
    /// Who may have it.
    role: Role,
    /// Answers a GET.
    get: Get,
}

type Get = for<'a> fn(&'a ControlService, &'a Request<'a>) -> Answer<'a>;

impl Resource {
    pub(super) const fn new(path: &'static str, role: Role, get: Get) -> Self {
        Self { path, role, get }
    }

    /// The answer to a GET that was let in.
    pub(super) async fn get(
        &self,
        control: &ControlService,
        caller: &Caller,
        request: &Request<'_>,
    ) -> Result<HttpResponse, Refusal> {
        let allowed = caller.check(self.role, self.path);
        if self.role > Role::Read {
            let outcome = allowed.as_ref().map_or_else(|refusal| refusal.text(), |()| "ok");
            control.status.audit(&Audit {
                caller,
                method: self.path.trim_start_matches('/'),
                params: request.query.unwrap_or_default().to_owned(),
                before: String::new(),
                after: String::new(),
                outcome: outcome.to_owned(),
                denied: allowed.is_err(),
            });
        }
        allowed.map_err(|refusal| Refusal::new(Refused::Role, refusal.text().to_owned()))?;
        let mut response = (self.get)(control, request).await?;
        for (name, value) in SHIELD {
            let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
            response.headers_mut().insert(name, value);
        }
        Ok(response)
    }
}

/// All of them but the files of the page.
const RESOURCES: &[Resource] = &[
    Resource::new(metrics::PATH, Role::Read, metrics::get),
    Resource::new(events::PATH, Role::Read, events::get),
    Resource::new(capture::PATH, Role::Admin, capture::get),
];

/// The resource at `path`, or in the folder of control's own path: whoever knows only control's
/// URL finds it there, through a proxy that has the switch under a prefix as well.
pub(super) fn find(path: &str, control: &str) -> Option<&'static Resource> {
    let folder = control.rsplit_once('/').map_or("", |(folder, _)| folder);
    let at = |path: &str| RESOURCES.iter().find(|resource| resource.path == path);
    let found = at(path).or_else(|| at(path.strip_prefix(folder)?));
    found.or_else(|| page::serves(path).then_some(&page::RESOURCE))
}

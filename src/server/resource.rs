//! What control serves besides JSON-RPC, each at a path of its own and by GET alone: its
//! request has passed control's guard and door before it comes here.

use std::{future::Future, pin::Pin};

use actix_web::{HttpRequest, HttpResponse};

use super::{ControlService, capture, events, metrics, refusal::Refusal};

/// A resource's answer.
pub(super) type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, Refusal>> + 'a>>;

/// Something that control serves.
pub(super) struct Resource {
    /// Compared exactly; the query is the resource's own. Control's own path, and the
    /// tunnel's on a listener that both share, come first.
    path: &'static str,
    /// Answers a GET.
    pub(super) get: for<'a> fn(&'a ControlService, &'a HttpRequest) -> Answer<'a>,
}

/// All of them.
const RESOURCES: &[Resource] = &[
    Resource { path: metrics::PATH, get: metrics::get },
    Resource { path: events::PATH, get: events::get },
    Resource { path: capture::PATH, get: capture::get },
];

/// The resource at `path`.
pub(super) fn find(path: &str) -> Option<&'static Resource> {
    RESOURCES.iter().find(|resource| resource.path == path)
}

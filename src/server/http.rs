//! Requests that are no upgrade: control's JSON-RPC, and answers to those who come
//! to the tunnel without asking for a WebSocket.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    http::{ConnectionType, Method, StatusCode, header},
    web::{self, Bytes, Data, Payload, ServiceConfig},
};

use super::{
    Site, admit,
    guard::{check_content_type, check_fetch},
    identity::Identity,
    page,
    peer::Peer,
    refusal::Refusal,
    resource,
};
use crate::api;

/// What a plain GET of the tunnel is told; the original's words.
pub(super) const NOT_A_WEBSOCKET: &str = "Can \"Upgrade\" only to \"WebSocket\".";

/// Longest JSON-RPC request, in octets: a thousand times a usual one.
const MAX_REQUEST: usize = 1024 * 1024;

/// Time for a request's body to arrive: 1 MiB at 1 Mbit/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Registers the one handler: paths are compared exactly, as the original does,
/// and not as patterns.
pub(super) fn configure(site: Arc<Site>) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        config.app_data(Data::new(site)).default_service(web::to(answer));
    }
}

async fn answer(request: HttpRequest, site: Data<Arc<Site>>, body: Payload) -> HttpResponse {
    let mut response = respond(&site, &request, body).await.unwrap_or_else(|refusal| {
        site.refused(&refusal, request.peer_addr(), request.headers());
        refusal.into()
    });
    if site.retired.load(Relaxed) {
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    response
}

async fn respond(
    site: &Arc<Site>,
    request: &HttpRequest,
    body: Payload,
) -> Result<HttpResponse, Refusal> {
    let (path, headers) = (request.path(), request.headers());
    admit::check_size(request.head())?;
    let peer = request.conn_data().unwrap_or(&Peer::UNKNOWN);
    if let Some(control) = site.control.as_ref().filter(|control| control.path == path) {
        control.guard.check(peer, headers)?;
        control.door.admit(request.head(), peer.certificate()?).await?;
        if request.method() != Method::POST {
            return Err(Refusal::method("POST"));
        }
        check_content_type(headers)?;
        let body = read(body).await?;
        return Ok(match api::handle(control, &body).await {
            Some(reply) => {
                HttpResponse::Ok().content_type("application/json; charset=UTF-8").body(reply)
            }
            None => HttpResponse::NoContent().finish(),
        });
    }
    if let Some(tunnel) = site.tunnel.as_ref().filter(|tunnel| tunnel.path == path) {
        tunnel.door.admit(request.head(), peer.certificate()?).await?;
        if request.method() != Method::GET {
            return Err(Refusal::method("GET"));
        }
        let upgrades = headers.contains_key(header::UPGRADE);
        let text = if upgrades { "\"Connection\" must be \"Upgrade\"." } else { NOT_A_WEBSOCKET };
        return Err(Refusal::request(StatusCode::BAD_REQUEST, text));
    }
    if let (Some(control), Some(resource)) = (&site.control, resource::find(path)) {
        control.guard.check(peer, headers)?;
        check_fetch(headers, page::is_page(path))?;
        let identity = control.door.admit(request.head(), peer.certificate()?).await?;
        if request.method() != Method::GET {
            return Err(Refusal::method("GET"));
        }
        let response = resource.get(control, request).await?;
        return Ok(response.map_body(|_, body| Permitted::new(body, site, identity).boxed()));
    }
    Err(Refusal::request(StatusCode::NOT_FOUND, "Not Found"))
}

/// The body of an answer that may go on for long, for as long as its reader may read it:
/// while the user is known, and the listener serves as it did. Looked at before anything
/// is given, so that nothing goes to a user who was removed.
struct Permitted {
    body: BoxBody,
    site: Arc<Site>,
    identity: Identity,
}

impl Permitted {
    fn new(body: BoxBody, site: &Arc<Site>, identity: Identity) -> Self {
        Self { body, site: Arc::clone(site), identity }
    }

    fn may_go_on(&self) -> bool {
        let door = self.site.control.as_ref().map(|control| &control.door);
        !self.site.retired.load(Relaxed) && door.is_some_and(|door| door.knows(&self.identity))
    }
}

impl MessageBody for Permitted {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        if self.may_go_on() { self.body.as_pin_mut().poll_next(cx) } else { Poll::Ready(None) }
    }
}

/// The body of a request whose sender was let in: nobody else's is kept.
async fn read(body: Payload) -> Result<Bytes, Refusal> {
    match actix_rt::time::timeout(BODY_TIMEOUT, body.to_bytes_limited(MAX_REQUEST)).await {
        Ok(Ok(Ok(body))) => Ok(body),
        Ok(Ok(Err(_))) => {
            Err(Refusal::request(StatusCode::BAD_REQUEST, "The request's body is cut short"))
        }
        Ok(Err(_)) => {
            Err(Refusal::request(StatusCode::PAYLOAD_TOO_LARGE, "A request may have 1 MiB at most"))
        }
        Err(_) => {
            Err(Refusal::request(StatusCode::REQUEST_TIMEOUT, "The request's body is too slow"))
        }
    }
}

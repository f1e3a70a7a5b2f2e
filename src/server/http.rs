//! Requests that are no upgrade: control's JSON-RPC, and answers to those who come
//! to the tunnel without asking for a WebSocket.

use std::sync::Arc;

use actix_web::{
    HttpRequest, HttpResponse, HttpResponseBuilder,
    http::{Method, StatusCode, header},
    web::{self, Bytes, Data, PayloadConfig, ServiceConfig},
};

use super::{CHALLENGE, Site, authorize};
use crate::rpc;

/// What a plain GET of the tunnel is told; the original's words.
pub(super) const NOT_A_WEBSOCKET: &str = "Can \"Upgrade\" only to \"WebSocket\".";

/// Longest JSON-RPC request, in octets: a thousand times a usual one.
const MAX_REQUEST: usize = 1024 * 1024;

/// Registers the one handler: paths are compared exactly, as the original does,
/// and not as patterns.
pub(super) fn configure(site: Arc<Site>) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        config
            .app_data(Data::new(site))
            .app_data(PayloadConfig::new(MAX_REQUEST))
            .default_service(web::to(answer));
    }
}

async fn answer(request: HttpRequest, site: Data<Arc<Site>>, body: Bytes) -> HttpResponse {
    let (path, headers) = (request.path(), request.headers());
    if let Some(control) = site.control.as_ref().filter(|control| control.path == path) {
        if authorize(control.htpasswd.as_ref(), headers).is_err() {
            return unauthorized();
        }
        if request.method() != Method::POST {
            return not_allowed("POST");
        }
        return match rpc::handle(&control.control, &body).await {
            Some(reply) => {
                HttpResponse::Ok().content_type("application/json; charset=UTF-8").body(reply)
            }
            None => HttpResponse::NoContent().finish(),
        };
    }
    if let Some(tunnel) = site.tunnel.as_ref().filter(|tunnel| tunnel.path == path) {
        if authorize(tunnel.htpasswd.as_ref(), headers).is_err() {
            return unauthorized();
        }
        if request.method() != Method::GET {
            return not_allowed("GET");
        }
        let upgrades = headers.contains_key(header::UPGRADE);
        let text = if upgrades { "\"Connection\" must be \"Upgrade\"." } else { NOT_A_WEBSOCKET };
        return plain(StatusCode::BAD_REQUEST).body(text);
    }
    plain(StatusCode::NOT_FOUND).body("Not Found")
}

fn plain(status: StatusCode) -> HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response.content_type("text/plain; charset=utf-8");
    response
}

fn unauthorized() -> HttpResponse {
    plain(StatusCode::UNAUTHORIZED)
        .insert_header((header::WWW_AUTHENTICATE, CHALLENGE))
        .body("Authorization Required")
}

fn not_allowed(allow: &'static str) -> HttpResponse {
    plain(StatusCode::METHOD_NOT_ALLOWED)
        .insert_header((header::ALLOW, allow))
        .body("Method Not Allowed")
}

//! The requests of ACME by our own way to servers: proxies, CA files and time limits are those of
//! every other connection.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use awc::http::{Method, StatusCode, header};
use bytes::Bytes;
use etherws_actors::{
    connect::{Route, Scheme, ServerUrl, TlsOptions, http_client},
    error::one_line,
};
use http_body_util::BodyExt as _;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use slog::Logger;
use tokio::sync::oneshot;

use super::AcmeOptions;

/// For a whole request.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Octets of an answer: a chain has some thousand.
const MAX_ANSWER: usize = 256 * 1024;

/// The most of a `Retry-After`, in seconds: instant-acme adds it to the time, and beyond the end of
/// all times that fails.
const MAX_RETRY_AFTER: u64 = 1_000_000_000;

/// Asks over a connection of its own for each request.
pub(super) struct Http {
    route: Arc<Route>,
}

impl Http {
    pub(super) fn new(options: &AcmeOptions, log: &Logger) -> Self {
        let tls = TlsOptions { cacerts: options.cacerts.clone(), ..TlsOptions::default() };
        Self { route: Arc::new(Route { tls, ..Route::new(log.clone()) }) }
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>>;

impl HttpClient for Http {
    fn request(&self, request: http::Request<BodyWrapper<Bytes>>) -> Answer {
        let (answer, answered) = oneshot::channel();
        let route = Arc::clone(&self.route);
        // Connections are this thread's, and what instant-acme awaits may be any thread's.
        actix_rt::spawn(async move {
            // Whoever asked may have gone.
            let _ = answer.send(send(&route, request).await);
        });
        Box::pin(async move {
            let gone = || failed("the program is about to end");
            answered.await.unwrap_or_else(|_| Err(gone()))
        })
    }
}

fn failed(text: impl Into<String>) -> Error {
    Error::Other(text.into().into())
}

async fn send(
    route: &Route,
    request: http::Request<BodyWrapper<Bytes>>,
) -> Result<BytesResponse, Error> {
    let (head, body) = request.into_parts();
    let url = ServerUrl::parse(&head.uri.to_string(), Scheme::Http)
        .map_err(|error| failed(one_line(&error)))?;
    let body = body.collect().await.map_err(|_| failed("there is no request"))?.to_bytes();
    let (client, uri) = http_client(&url, route).await.map_err(|error| failed(one_line(&error)))?;
    let method = Method::from_bytes(head.method.as_str().as_bytes()).unwrap_or(Method::GET);
    let mut asked = client.request(method, uri).timeout(TIME_LIMIT);
    for (name, value) in &head.headers {
        if name.as_str() != header::USER_AGENT.as_str() {
            asked = asked.insert_header((name.as_str(), value.as_bytes()));
        }
    }
    let answer = asked.send_body(body).await;
    let mut answer = answer.map_err(|error| failed(format!("{url}: {error}")))?;
    let octets = answer.body().limit(MAX_ANSWER).await;
    let octets = octets.map_err(|error| failed(format!("{url}: {error}")))?;
    let status = answer.status();
    let mut response = http::Response::builder().status(status.as_u16());
    for (name, value) in answer.headers() {
        let seconds = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
        let is_far = name == header::RETRY_AFTER && seconds.is_some_and(|s| s > MAX_RETRY_AFTER);
        let value = if is_far { MAX_RETRY_AFTER.into() } else { value.clone() };
        response = response.header(name.as_str(), value.as_bytes());
    }
    if status == StatusCode::INTERNAL_SERVER_ERROR && octets.is_empty() {
        return Err(failed(format!("{url}: the CA's server has failed; it may be back later")));
    }
    let (parts, ()) = response.body(())?.into_parts();
    Ok(BytesResponse { parts, body: Box::new(octets) })
}

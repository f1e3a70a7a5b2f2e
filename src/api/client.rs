//! Asks a switch's control service, ours or etherws 1.3's: one JSON-RPC request over
//! HTTP or HTTPS, or a stream that the switch sends until one of both goes. Whatever
//! goes wrong comes back as a JSON-RPC error, so that there is one kind to show. No
//! error may hold a password.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use actix_rt::time::timeout;
use awc::{
    ClientRequest, ClientResponse,
    error::{PayloadError, SendRequestError},
    http::{Method as HttpMethod, StatusCode, Uri, header::CONTENT_TYPE},
};
use bytes::Bytes;
use etherws_actors::{
    connect::{
        Credentials, ProxyChoice, Route, Scheme, ServerUrl, TlsOptions, certificate_advice,
        http_client, unix_http_client,
    },
    error::{clean, one_line},
};
use futures_util::Stream;
use jsonrpsee_types::{ErrorObjectOwned, Id, Response, ResponsePayload};
use serde_json::{Value, value::to_raw_value};
use slog::{Discard, Logger, o};

use super::call::{Answer, Call, Request, entries};
use crate::refusal::Refusal;

/// For a whole request. `addPort` answers once the switch has reached the client
/// port's server or given up, and a 1.3 switch gives up when TCP does, after some
/// 130 s.
const TIME_LIMIT: Duration = Duration::from_secs(150);

/// Octets of an answer: an FDB of 65,536 addresses needs some 5 MB.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// Path of control behind every Unix socket.
const UNIX_PATH: &str = "/ctl";

/// A control service.
#[derive(Debug)]
pub(crate) struct Endpoint {
    address: Address,
    credentials: Option<Credentials>,
}

/// Where it is.
#[derive(Debug)]
enum Address {
    Url(ServerUrl, Box<Route>),
    /// File of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url, _) => url.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Endpoint {
    /// Its URL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl Endpoint {
    /// `url` is `http://`, `https://` or `unix:PATH`.
    pub(crate) fn new(
        url: &str,
        credentials: Option<Credentials>,
        tls: TlsOptions,
    ) -> Result<Self, Refusal> {
        if let Some(path) = url.strip_prefix("unix:") {
            // unix:///run/etherws as well.
            let path = path.strip_prefix("//").filter(|p| p.starts_with('/')).unwrap_or(path);
            if path.is_empty() {
                let text = "--ctlurl: unix: without a file; write unix:/run/etherws";
                return Err(Refusal::value(text));
            }
            return Ok(Self { address: Address::Unix(path.into()), credentials });
        }
        let url = ServerUrl::parse(url, Scheme::Http)
            .map_err(|err| Refusal::value(format!("--ctlurl: {}", one_line(&err))))?;
        // Who asks knows of --ctlinsecure: there is nobody else to warn.
        let log = Logger::root(Discard, o!());
        let route = Route { tls, proxy: proxy(&url), ..Route::new(log) };
        Ok(Self { address: Address::Url(url, Box::new(route)), credentials })
    }

    /// Whether the switch is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        match &self.address {
            Address::Url(url, _) => is_loopback(url),
            Address::Unix(_) => true,
        }
    }

    /// Calls a method, in its own types.
    pub(crate) async fn ask<C: Call>(&self, call: &C) -> Result<Vec<C::Entry>, ErrorObjectOwned> {
        let result = self.exchange(&call.into()).await?;
        entries(result).map_err(|error| self.foreign(&error))
    }

    /// Calls any method.
    pub(crate) async fn call(&self, request: &Request) -> Result<Answer, ErrorObjectOwned> {
        let result = self.exchange(request).await?;
        (request.method.read)(result, request.long).map_err(|error| self.foreign(&error))
    }

    fn foreign(&self, error: &serde_json::Error) -> ErrorObjectOwned {
        let text = format!("{} is not an etherws control service: {error}", self.address);
        Refusal::value(text).internal()
    }

    /// Gives the result.
    async fn exchange(&self, request: &Request) -> Result<Value, ErrorObjectOwned> {
        timeout(TIME_LIMIT, self.send(request)).await.unwrap_or_else(|_| {
            let text =
                format!("{} has not answered within {TIME_LIMIT:?}; is it stuck?", self.address);
            Err(Refusal::timeout(text).internal())
        })
    }

    async fn send(&self, request: &Request) -> Result<Value, ErrorObjectOwned> {
        let name = request.method.full_name();
        let params = request.params().map(to_raw_value).transpose();
        let params = params.map_err(|err| Refusal::value(err.to_string()).internal())?;
        // 1.3's ctl numbers every request 0: there is one to a connection.
        let request = jsonrpsee_types::Request::borrowed(&name, params.as_deref(), Id::Number(0));

        let request = self.request(HttpMethod::POST, None).await?.send_json(&request);
        let mut answer = request.await.map_err(|err| self.no_answer(&err))?;
        self.check_status(&mut answer).await?;
        let body = answer.body().limit(ANSWER_LIMIT).await.map_err(|err| {
            let text = format!("the answer from {} was cut short: {err}; try again", self.address);
            Refusal::url(text).internal()
        })?;

        let answer: Response<'_, Value> =
            serde_json::from_slice(&body).map_err(|error| self.foreign(&error))?;
        match answer.payload {
            ResponsePayload::Success(result) => Ok(result.into_owned()),
            ResponsePayload::Error(error) => Err(error.into_owned()),
        }
    }

    /// Opens a stream that the switch serves by GET at `target`, path and query, beside
    /// its control: the octets of its body as they come, for as long as it lasts. The
    /// method of that stream is to be called first: its errors say more.
    pub(crate) async fn open(
        &self,
        target: &str,
    ) -> Result<impl Stream<Item = Result<Bytes, PayloadError>> + use<>, ErrorObjectOwned> {
        let request = self.request(HttpMethod::GET, Some(target)).await?.send();
        let mut answer = request.await.map_err(|err| self.no_answer(&err))?;
        self.check_status(&mut answer).await?;
        Ok(answer)
    }

    /// A request for control itself, or for `target` beside it, over a connection of its
    /// own.
    async fn request(
        &self,
        method: HttpMethod,
        target: Option<&str>,
    ) -> Result<ClientRequest, ErrorObjectOwned> {
        let client = match &self.address {
            Address::Url(url, route) => http_client(url, route).await,
            Address::Unix(path) => unix_http_client(path, UNIX_PATH).await,
        };
        let (http, mut uri) =
            client.map_err(|err| self.unreachable(&self.advised(our_options(&one_line(&err)))))?;
        if let Some(target) = target {
            let mut parts = uri.into_parts();
            let foreign = |err: &dyn fmt::Display| {
                let text = format!("{} names no path: {target:?}: {err}", self.address);
                Refusal::value(text).internal()
            };
            // A reverse proxy may have the switch under a prefix.
            let own = match &self.address {
                Address::Url(url, _) => url.target().split('?').next().unwrap_or_default(),
                Address::Unix(_) => UNIX_PATH,
            };
            let folder = own.rsplit_once('/').map_or("", |(folder, _)| folder);
            let target = format!("{folder}{target}");
            parts.path_and_query = Some(target.parse().map_err(|err| foreign(&err))?);
            uri = Uri::from_parts(parts).map_err(|err| foreign(&err))?;
        }
        let request = http.request(method, uri).timeout(TIME_LIMIT);
        Ok(match &self.credentials {
            Some(Credentials { user, password }) => request.basic_auth(user, password),
            None => request,
        })
    }

    /// With the way out for whom the socket is not for.
    fn advised(&self, why: String) -> String {
        match &self.address {
            Address::Unix(_) if why.contains("ermission denied") => format!(
                "{why}; the socket is for its owner, its group and root: use sudo, join the \
                 group, or give another switch with --ctlurl"
            ),
            _ => why,
        }
    }

    fn no_answer(&self, err: &SendRequestError) -> ErrorObjectOwned {
        let tls = match &self.address {
            Address::Url(_, route) => route.tls.clone(),
            Address::Unix(_) => TlsOptions::default(),
        };
        match certificate_advice(err, &tls) {
            Some(advice) => self.unreachable(&our_options(&advice)),
            None => self.unreachable(&format!(
                "no answer: {err}; check that --ctlurl is a control service's"
            )),
        }
    }

    fn unreachable(&self, why: &str) -> ErrorObjectOwned {
        Refusal::url(format!("cannot ask the switch at {}: {why}", self.address)).internal()
    }

    async fn check_status<S>(&self, answer: &mut ClientResponse<S>) -> Result<(), ErrorObjectOwned>
    where
        S: Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static,
    {
        let status = answer.status();
        if status == StatusCode::OK {
            return Ok(());
        }
        let said = said(answer).await;
        let text = match (&said, self.way_out(status, said.as_deref().unwrap_or_default())) {
            (Some(said), "") => said.clone(),
            (Some(said), way_out) => format!("{said}; {way_out}"),
            (None, way_out) => way_out.to_owned(),
        };
        let text = format!("HTTP Error {}: {}: {text}", status.as_u16(), self.address);
        Err(Refusal::http(text).internal())
    }

    /// What to do about a refusal of which the switch has `said` why, if it has.
    fn way_out(&self, status: StatusCode, said: &str) -> &'static str {
        match status {
            StatusCode::UNAUTHORIZED if self.credentials.is_some() => {
                "it rejected this name and password; check --ctluser and the password"
            }
            StatusCode::UNAUTHORIZED => "it requires a name and password; give --ctluser",
            StatusCode::FORBIDDEN if said.contains("certificate") => {
                "give one with --ctlcert FILE and --ctlkey FILE"
            }
            StatusCode::TOO_MANY_REQUESTS if said.contains("login") => {
                "then check --ctluser and the password"
            }
            StatusCode::MISDIRECTED_REQUEST => {
                "it does not accept this host name; add it with --ctlname on the switch"
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                "this path is not that of control; give it with --ctlurl, as http://HOST:PORT/ctl"
            }
            StatusCode::NOT_FOUND => "the path is wrong; see --ctlpath of the switch",
            _ if !said.is_empty() => "",
            StatusCode::FORBIDDEN => {
                "it requires a client certificate (--ctlcert FILE and --ctlkey FILE), or accepts \
                 local clients only, and none from the address of a trusted proxy (see --ctlopen, \
                 --ctlsock and --ctl-trusted-proxies of the switch)"
            }
            StatusCode::TOO_MANY_REQUESTS => {
                "too many failed logins came from this address; wait a minute, then check \
                 --ctluser and the password"
            }
            _ => "is this the control service of etherws? See --ctlurl",
        }
    }
}

/// Octets of a refusal that are read.
const MAX_REFUSAL: usize = 4 * 1024;

/// What a switch says of why it refuses: a line of plain text. Pages are of others, and the
/// usual words for a status say nothing.
async fn said<S>(answer: &mut ClientResponse<S>) -> Option<String>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin + 'static,
{
    let kind = answer.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with("text/plain")) {
        return None;
    }
    let body = answer.body().limit(MAX_REFUSAL).await.ok()?;
    let usual = ["Authorization Required", answer.status().canonical_reason().unwrap_or_default()];
    let text = clean(&String::from_utf8_lossy(&body));
    (!text.is_empty() && !usual.contains(&&*text)).then_some(text)
}

/// A text of the connector, which is the client port's too and speaks of its options.
fn our_options(text: &str) -> String {
    // Its name is that of the URL.
    let text = text.replace(", in the URL or with --sni", "");
    let text = text.replace("--cacerts", "--ctlsslcert").replace("--insecure", "--ctlinsecure");
    text.replace("--cert", "--ctlcert").replace("--key", "--ctlkey")
}

/// Proxies are the environment's to choose, as in 1.3, but none can reach our own
/// loopback interface, where 1.3 asked it all the same.
fn proxy(url: &ServerUrl) -> ProxyChoice {
    if is_loopback(url) { ProxyChoice::Direct } else { ProxyChoice::Environment }
}

fn is_loopback(url: &ServerUrl) -> bool {
    let host = url.host();
    host.parse().map_or(host == "localhost", |address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use actix_rt::net::TcpListener;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;
    use crate::api::{ListPort, Port};

    const ERROR: &str = r#"{"jsonrpc": "2.0", "id": 0, "error": {"code": -32602,
        "message": "Invalid params", "data": "KeyError: 2"}}"#;

    /// Asks a server that has one canned answer. Gives what it was asked, and what the
    /// client makes of its answer.
    fn exchange(
        status: &str,
        body: &str,
        credentials: Option<Credentials>,
    ) -> (String, Result<Vec<Port>, ErrorObjectOwned>) {
        let kind = if body.starts_with('<') { "html" } else { "plain" };
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Type: text/{kind}\r\n\r\n{body}",
            body.len()
        );
        actix_rt::System::new().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("its address");
            let request = Rc::new(RefCell::new(Vec::new()));
            let seen = Rc::clone(&request);
            actix_rt::spawn(async move {
                let (mut stream, _) = listener.accept().await.expect("a client");
                let mut buffer = vec![0; 4096];
                while !seen.borrow().ends_with(b"}") {
                    let read = stream.read(&mut buffer).await.expect("a request");
                    seen.borrow_mut().extend_from_slice(&buffer[..read]);
                }
                stream.write_all(answer.as_bytes()).await.expect("the client reads");
            });
            let url = format!("http://{address}/ctl");
            let endpoint =
                Endpoint::new(&url, credentials, TlsOptions::default()).expect("a good URL");
            let result = endpoint.ask(&ListPort::default()).await;
            let request = String::from_utf8(request.borrow().clone()).expect("text");
            (request, result)
        })
    }

    fn data(error: &ErrorObjectOwned) -> String {
        error.data().map(|data| data.get().to_owned()).unwrap_or_default()
    }

    #[test]
    fn asks_as_1_3_does_and_reads_its_answer() {
        let credentials = Credentials { user: "u".to_owned(), password: "p:w".to_owned() };
        let (request, result) = exchange(
            "200 OK",
            r#"{"jsonrpc": "2.0", "id": 0, "result": {"entries": [{"port": 1, "type": "tap",
                "target": "ewp0", "tx": 0, "rx": 7, "shut": false}]}}"#,
            Some(credentials),
        );
        let request = request.to_lowercase();
        assert!(request.starts_with("post /ctl http/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: basic dtpwonc=\r\n"), "{request}");
        assert!(request.contains("host: 127.0.0.1:") && request.contains("user-agent: etherws/"));
        assert!(request.contains("content-type: application/json\r\n"), "{request}");
        assert!(
            request.ends_with(r#"{"jsonrpc":"2.0","id":0,"method":"etherws.control.listport"}"#),
            "{request}"
        );
        let ports = result.expect("ports");
        assert!(matches!(ports.as_slice(), [Port { port: 1, rx: 7, state: None, .. }]));
    }

    #[test]
    fn an_error_of_the_switch_is_passed_on() {
        let (_, result) = exchange("200 OK", ERROR, None);
        let error = result.expect_err("an error");
        assert_eq!((error.code(), error.message()), (-32602, "Invalid params"));
        assert_eq!(data(&error), r#""KeyError: 2""#);
    }

    #[test]
    fn every_other_answer_is_an_error_that_names_the_way_out() {
        let login = || Credentials { user: "u".to_owned(), password: "secret".to_owned() };
        for (status, body, credentials, expected) in [
            ("401 Unauthorized", "", None, "give --ctluser"),
            ("401 Unauthorized", "", Some(login()), "rejected this name and password"),
            ("404 Not Found", "<html>", None, "--ctlpath"),
            ("403 Forbidden", "<html>", None, "or accepts local clients only, and none"),
            ("403 Forbidden", "Not from there", None, "/ctl: Not from there\""),
            (
                "429 Too Many Requests",
                "Too many failed logins; wait 9 s",
                Some(login()),
                "failed logins; wait 9 s; then check --ctluser",
            ),
            ("302 Found", "", None, "HTTP Error 302"),
            ("500 Internal Server Error", "<html>", None, "HTTP Error 500"),
            ("200 OK", "<html>", None, "not an etherws control service"),
            ("200 OK", "{}", None, "not an etherws control service"),
            (
                "200 OK",
                r#"{"id": 0, "result": {"entries": 5}}"#,
                None,
                "not an etherws control service",
            ),
        ] {
            let (_, result) = exchange(status, body, credentials);
            let error = result.expect_err(status);
            assert_eq!(error.code(), -32603, "{status}");
            let data = data(&error);
            assert!(data.contains(expected) && !data.contains("secret"), "{status}: {data}");
        }
    }

    #[test]
    fn a_switch_that_does_not_run_is_named_with_its_url() {
        // A port that was free a moment ago.
        let listener = std::net::TcpListener::bind("[::1]:0").expect("a free port");
        let url = format!("http://{}/ctl", listener.local_addr().expect("its address"));
        drop(listener);
        let endpoint = Endpoint::new(&url, None, TlsOptions::default()).expect("a good URL");
        let error = actix_rt::System::new()
            .block_on(endpoint.ask(&ListPort::default()))
            .expect_err("refused");
        assert!(data(&error).contains(&url) && data(&error).contains("refused"), "{error:?}");
    }

    #[test]
    fn bad_urls_are_refused_without_their_passwords() {
        for url in
            ["", "127.0.0.1:7867", "ws://h/", "http://", "http://u:secret@h/", "http://secret@:x/"]
        {
            let error = Endpoint::new(url, None, TlsOptions::default()).expect_err(url).to_string();
            assert!(error.contains("--ctlurl") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_unix_socket_has_a_url_as_well() {
        let shown =
            |url| Endpoint::new(url, None, TlsOptions::default()).map(|it| it.address.to_string());
        for url in ["unix:/run/etherws", "unix:///run/etherws"] {
            assert_eq!(shown(url).as_deref(), Ok("unix:/run/etherws"));
        }
        assert_eq!(shown("unix:s").as_deref(), Ok("unix:s"));
        assert!(shown("unix:").unwrap_err().to_string().contains("--ctlurl"));
    }

    #[test]
    fn no_proxy_is_asked_for_loopback() {
        let direct = |url| {
            let url = ServerUrl::parse(url, Scheme::Http).expect("a good URL");
            matches!(proxy(&url), ProxyChoice::Direct)
        };
        for url in ["http://127.0.0.1:7867/ctl", "https://localhost/", "http://[::1]/ctl"] {
            assert!(direct(url), "{url}");
        }
        assert!(!direct("http://192.0.2.1/ctl") && !direct("http://localhost.example/"));
    }
}

//! The web page, `GET /` on control: files that are part of the program. What it shows and
//! does goes by JSON-RPC and by the other resources, with the same login. Knows no state
//! of the switch, and never asks another host for anything.

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use etherws_actors::settings::Role;

use super::{
    endpoint::ControlService,
    refusal::Refusal,
    request::Request,
    resource::{Answer, Resource},
};

/// Where the page is, and where it is as well: on a listener that the tunnel shares, the
/// first may be the tunnel's.
const PAGE: [&str; 2] = ["/", "/index.html"];

/// What stands in the page for control's own path.
const RPC: &str = "@RPC@";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// A file of the page.
struct File {
    path: &'static str,
    kind: &'static str,
    content: &'static str,
}

macro_rules! files {
    ($($name:literal: $kind:ident,)*) => {
        &[$(File {
            path: concat!("/", $name),
            kind: $kind,
            content: include_str!(concat!("../web/", $name)),
        },)*]
    };
}

/// All of them.
const FILES: &[File] = files! {
    "index.html": HTML,
    "page.css": CSS,
    "page.js": SCRIPT,
    "rpc.js": SCRIPT,
    "poll.js": SCRIPT,
    "dom.js": SCRIPT,
    "format.js": SCRIPT,
    "ports.js": SCRIPT,
    "port.js": SCRIPT,
    "rates.js": SCRIPT,
    "chart.js": SCRIPT,
    "addresses.js": SCRIPT,
    "events.js": SCRIPT,
    "managed.js": SCRIPT,
    "users.js": SCRIPT,
    "server.js": SCRIPT,
    "capture.js": SCRIPT,
    "dialogs.js": SCRIPT,
    // uPlot 1.6.32, as its authors publish it.
    "uplot.js": SCRIPT,
    "uplot.css": CSS,
    "uplot.license": TEXT,
};

/// Serves them.
pub(super) const RESOURCE: Resource = Resource::new("/", Role::Read, |control, request| {
    Box::pin(async move { get(control, request) }) as Answer<'_>
});

/// Whether `path` is the page itself, to which links from elsewhere may lead.
pub(super) fn is_page(path: &str) -> bool {
    PAGE.contains(&path)
}

/// Whether there is a file at `path`.
pub(super) fn serves(path: &str) -> bool {
    file(path).is_some()
}

fn file(path: &str) -> Option<&'static File> {
    let path = if is_page(path) { PAGE[1] } else { path };
    FILES.iter().find(|file| file.path == path)
}

fn get(control: &ControlService, request: &Request<'_>) -> Result<HttpResponse, Refusal> {
    let Some(file) = file(request.path) else {
        return Err(Refusal::not_found());
    };
    let content = if is_page(request.path) {
        // Relative, so that the page works behind a proxy that puts it into a folder.
        file.content.replacen(RPC, &escape(&format!(".{}", control.path)), 1)
    } else {
        file.content.to_owned()
    };
    let tag = digest(&SHA256, content.as_bytes());
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(tag));
    let known = request.headers.text("if-none-match").is_some_and(|all| all.contains(&tag));
    let status = if known { StatusCode::NOT_MODIFIED } else { StatusCode::OK };
    let mut response = HttpResponse::build(status);
    response
        .content_type(file.kind)
        .insert_header((header::ETAG, tag))
        // Asked for again each time, so that an upgraded switch shows its own page.
        .insert_header((header::CACHE_CONTROL, "no-cache"));
    Ok(if known { response.finish() } else { response.body(content) })
}

/// Text as the value of an attribute.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_file_that_is_served() {
        let page = file("/").unwrap().content;
        assert_eq!(page.matches(RPC).count(), 1);
        for File { path, .. } in FILES {
            let name = path.trim_start_matches('/');
            let asked = FILES.iter().any(|other| {
                other.content.contains(&format!("\"{name}\""))
                    || other.content.contains(&format!("\"./{name}\""))
            });
            assert!(asked || is_page(path), "{path} is unused");
        }
        // Files that are there and not in the table.
        for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/web")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(serves(&format!("/{name}")), "{name} is not served");
        }
        assert!(!serves("/../page.css") && !serves("/page") && !serves(""));
    }

    #[test]
    fn controls_path_cannot_leave_its_attribute() {
        assert_eq!(escape("/\"><script>&"), "/&quot;>&lt;script>&amp;");
    }
}

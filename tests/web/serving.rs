//! How the page is served: to whom, under which policy, and how often.

use std::io::Write;

use crate::support::{TempDir, http, switch::Switch};

#[test]
fn the_page_has_a_strict_policy_and_is_sent_once() {
    let switch = Switch::start(&["--ctlpath", "/\"><script>"]);
    let page = http::ask(switch.control, "GET", "/", &[], "");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").unwrap();
    for wanted in ["default-src 'none';", "script-src 'self';", "frame-ancestors 'none';"] {
        assert!(policy.contains(wanted), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert!(page.body.contains("content=\"./&quot;>&lt;script>\""), "{}", page.body);

    let tag = page.header("etag").unwrap();
    let again = http::ask(switch.control, "GET", "/", &[("If-None-Match", tag)], "");
    assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", Some(tag)));
    let script = http::ask(switch.control, "GET", "/page.js", &[("If-None-Match", tag)], "");
    assert_eq!(script.status, 200);
    assert_eq!(script.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(http::ask(switch.control, "GET", "/index.html", &[], "").body, page.body);
    assert_eq!(http::ask(switch.control, "POST", "/page.js", &[], "{}").status, 405);
    assert_eq!(http::ask(switch.control, "GET", "/page.rs", &[], "").status, 404);
    assert_eq!(http::ask(switch.tunnel, "GET", "/page.js", &[], "").status, 404);
}

/// The body of an answer to HEAD is left out, and that of a stream never begins.
#[test]
fn head_is_answered_as_get_without_a_body() {
    let switch = Switch::start(&[]);
    for path in ["/", "/page.js", "/metrics", "/events", "/capture", "/other"] {
        let mut stream = http::connect(switch.control);
        for method in ["HEAD", "HEAD", "GET"] {
            let host = switch.control.to_string();
            let request = http::request(method, path, &[("Host", &host)], "");
            stream.write_all(&request).unwrap();
            let head = http::Response::read_head(&mut stream).expect("a reply");
            assert_eq!(head.status, if path == "/other" { 404 } else { 200 }, "{method} {path}");
            assert_ne!(head.header("content-length"), Some("0"), "{method} {path}");
        }
    }
    let refused = http::ask(switch.control, "PUT", "/metrics", &[], "");
    assert_eq!((refused.status, refused.header("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn the_page_is_for_those_who_may_control_the_switch() {
    let dir = TempDir::new();
    // alice:secret
    let users = dir.file("users", "alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n");
    let switch = Switch::start(&["--ctlhtpasswd", &users]);
    for path in ["/", "/index.html", "/page.js", "/uplot.license"] {
        let ask = |headers: &[(&str, &str)]| http::ask(switch.control, "GET", path, headers, "");
        let stranger = ask(&[]);
        assert_eq!(stranger.status, 401, "{path}");
        assert!(stranger.header("www-authenticate").unwrap().starts_with("Basic "));
        let login = http::basic("alice", "secret");
        assert_eq!(ask(&[("Authorization", &login)]).status, 200, "{path}");
        let elsewhere = [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors")];
        assert_eq!(ask(&elsewhere).status, 403, "{path}");
        assert_eq!(ask(&[("Host", "evil.example")]).status, 421, "{path}");
    }
}

//! What stands between a client port and its server, by other people's programs: reverse
//! proxies, proxies of several kinds, TLS before the switch. Each test has a network of its
//! own, where their ports are free; each program is skipped where it is not installed.

use crate::support::{
    TempDir,
    certs::Certificates,
    lab::Namespace,
    need,
    peers::tool,
    process::{Process, Site as Place},
    switch::{Switch, command},
    wait_until,
};

/// Where reverse proxies listen, without TLS and with it.
const PLAIN: &str = "127.0.0.1:8001";
const TLS: &str = "127.0.0.1:8443";

/// A network with a server in it, certificates for it, and one more switch.
struct Site {
    namespace: Namespace,
    certs: Certificates,
    dir: TempDir,
    server: Switch,
    client: Switch,
}

impl Site {
    fn new(program: &str) -> Result<Self, String> {
        tool(program)?;
        let namespace = Namespace::new()?;
        let server = Switch::start_at(&namespace.site, &["--path", "/lan"]);
        let client = Switch::start_at(&namespace.site, &[]);
        Ok(Self { namespace, certs: Certificates::new()?, dir: TempDir::new(), server, client })
    }

    /// Starts a program of others and waits until it listens. It has no user but its own:
    /// who is root would become another one, which does not exist here.
    fn start(&self, program: &str, args: &[&str], listens: &[&str]) -> Process {
        let site = self.namespace.site.then(["unshare", "-U"]);
        self.start_in(&site, program, args, listens)
    }

    fn start_in(&self, at: &Place, program: &str, args: &[&str], listens: &[&str]) -> Process {
        let mut command = at.command(program);
        command.args(args).current_dir(self.dir.path());
        let mut process = Process::start(command);
        wait_until(program, || {
            let ended = process.exited();
            assert!(ended.is_none(), "{program} has ended: {}", process.stderr.text());
            let listening = self.namespace.run("ss", &["-Hltn"]).stdout;
            listens.iter().all(|address| listening.contains(address))
        });
        process
    }

    /// The switch itself.
    fn url(&self) -> String {
        format!("{}lan", self.server.url())
    }

    /// Adds a client port, sees the tunnel at the server, and deletes it.
    fn passes(&self, args: &[&str]) {
        let number = self.client.add(&[&["client"], args].concat());
        wait_until("the port there", || self.server.ports().len() == 1);
        self.client.ctl(&["delport", &number.to_string()]).ok();
        wait_until("its end", || self.server.ports().is_empty());
    }

    /// What a client port that cannot be added fails with.
    fn fails(&self, args: &[&str]) -> String {
        let add = [&["addport", "client"], args].concat();
        let error = self.client.ctl(&add).failed().stderr;
        println!("{args:?}: {error}");
        assert!(!error.contains("os error"), "{error}");
        error
    }

    /// A reverse proxy passes tunnels at /lan, names what is asked of the wrong port, and its
    /// certificate counts.
    fn is_reverse_proxy(&self) {
        let (plain, tls) = (format!("ws://{PLAIN}/lan"), format!("wss://{TLS}/lan"));
        self.passes(&[&plain]);
        self.passes(&["--cacerts", &self.certs.ca, &tls]);
        self.passes(&["--insecure", &tls]);
        let error = self.fails(&[&format!("ws://{TLS}/lan")]);
        assert!(error.contains("speaks TLS") && error.contains(&tls), "{error}");
        let error = self.fails(&["--insecure", &format!("wss://{PLAIN}/lan")]);
        assert!(error.contains("does not speak TLS"), "{error}");
    }
}

#[test]
fn nginx_before_the_switch() {
    let site = need!(Site::new("nginx"));
    let (cert, key) = (&site.certs.cert, &site.certs.key);
    let lan = format!(
        "location /lan {{ proxy_pass http://{}; proxy_http_version 1.1; proxy_set_header \
         Host $http_host; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \
         upgrade; }}",
        site.server.tunnel
    );
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path temp-{name}; "))
        .concat();
    let control = site.server.control;
    let conf = format!(
        "daemon off; master_process off; pid pid; error_log stderr; events {{}}\n\
         http {{ access_log off; {temporary}\n\
         server {{ listen {PLAIN}; {lan}\n\
         location /old {{ return 301 https://$host:8443/lan; }}\n\
         location /moved {{ return 308 /lan; }}\n\
         location /no {{ deny all; }}\n\
         location /busy {{ add_header Retry-After 7 always; return 429 'slow down, please'; }}\n\
         location /text {{ default_type text/plain; return 503 'closed for lunch'; }}\n\
         location /switch/ {{ proxy_pass http://{control}/; proxy_buffering off; }}\n\
         location /page {{ return 200 hello; }} }}\n\
         server {{ listen {TLS} ssl; ssl_certificate {cert}; ssl_certificate_key {key}; {lan} }}\n\
         server {{ listen {TLS} ssl; server_name other.example; ssl_certificate {cert}; \
         ssl_certificate_key {key}; return 421; }} }}\n"
    );
    let conf = site.dir.file("nginx.conf", conf);
    let prefix = site.dir.at("");
    let _nginx = site.start("nginx", &["-p", &prefix, "-c", &conf], &[PLAIN, TLS]);
    site.is_reverse_proxy();
    for (path, parts) in [
        ("old", &["it requires TLS; give wss://127.0.0.1:8443/lan"][..]),
        ("moved", &["it points to ws://127.0.0.1:8001/lan"]),
        ("no", &["403", "its log"]),
        ("busy", &["slow down, please", "wait 7 s"]),
        ("text", &["503", "closed for lunch"]),
        ("page", &["200", "hello", "not a tunnel's|answers with a page"]),
        ("elsewhere", &["404", "check the path"]),
    ] {
        let error = site.fails(&[&format!("ws://{PLAIN}/{path}")]);
        for part in parts {
            assert!(part.split('|').any(|part| error.contains(part)), "{part} in {error}");
        }
    }
    // Control under a prefix, with its streams.
    let url = format!("http://{PLAIN}/switch/ctl");
    let watch = command(&site.namespace.site, &["ctl", "--ctlurl", &url, "monitor"]);
    let events = Process::start(watch);
    wait_until("an event", || {
        site.passes(&[&format!("ws://{PLAIN}/lan")]);
        events.stdout.contains("port-added")
    });
    let error = site.fails(&["--insecure", "--host", "other.example", &format!("wss://{TLS}/lan")]);
    assert!(error.contains("421") && error.contains("--host"), "{error}");
}

#[test]
fn haproxy_before_the_switch_and_by_name() {
    let site = need!(Site::new("haproxy"));
    let pem =
        [&site.certs.cert, &site.certs.key].map(|file| std::fs::read_to_string(file).unwrap());
    let pem = site.dir.file("both.pem", pem.concat());
    let server = site.server.tunnel;
    // By the name in the ClientHello, as SNI routers do; the switch ends TLS itself.
    let args = ["--sslkey", &site.certs.key, "--sslcert", &site.certs.cert];
    let behind = Switch::start_at(&site.namespace.site, &args);
    let conf = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 9s\n timeout server 9s\n \
         timeout tunnel 1h\n\
         frontend plain\n bind {PLAIN}\n default_backend lan\n\
         frontend tls\n bind {TLS} ssl crt {pem} alpn http/1.1\n\
         http-request deny deny_status 401 if {{ hdr(x-token) -m found }} \
         !{{ hdr(x-token) -m str open }}\n \
         default_backend lan\n\
         backend lan\n server s {server}\n\
         frontend names\n mode tcp\n bind 127.0.0.1:8444\n tcp-request inspect-delay 5s\n \
         tcp-request content accept if {{ req_ssl_hello_type 1 }}\n \
         use_backend tls if {{ req_ssl_sni -i localhost }}\n\
         backend tls\n mode tcp\n server s {}\n",
        behind.tunnel
    );
    let conf = site.dir.file("haproxy.cfg", conf);
    let _haproxy = site.start("haproxy", &["-db", "-f", &conf], &[PLAIN, TLS, ":8444"]);
    site.is_reverse_proxy();
    let lan = format!("wss://{TLS}/lan");
    site.passes(&["--insecure", "--header", "X-Token: open", &lan]);
    assert!(site.fails(&["--insecure", "--header", "X-Token: shut", &lan]).contains("401"));
    // The certificate is that of `localhost`, whatever the address.
    let by_name = "wss://127.0.0.1:8444/";
    let error = site.fails(&["--cacerts", &site.certs.ca, by_name]);
    assert!(error.contains("ended the connection"), "{error}");
    site.client.add(&["client", "--cacerts", &site.certs.ca, "--sni", "localhost", by_name]);
    wait_until("the port there", || behind.ports().len() == 1);
}

#[test]
fn apache_before_the_switch() {
    let site = need!(Site::new("apache2"));
    let (cert, key) = (&site.certs.cert, &site.certs.key);
    let load: String = ["mpm_event", "authz_core", "proxy", "proxy_http", "proxy_wstunnel", "ssl"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .concat();
    let conf = format!(
        "ServerRoot {}\nServerName localhost\nPidFile pid\nErrorLog /dev/stderr\n\
         DefaultRuntimeDir .\n{load}\
         Listen {PLAIN}\nListen {TLS}\n\
         <VirtualHost {PLAIN}>\nProxyPass /lan ws://{}/lan\n\
         <Location /no>\nRequire all denied\n</Location>\n</VirtualHost>\n\
         <VirtualHost {TLS}>\nSSLEngine on\nSSLCertificateFile {cert}\n\
         SSLCertificateKeyFile {key}\nProxyPass /lan ws://{}/lan\n</VirtualHost>\n",
        site.dir.path().display(),
        site.server.tunnel,
        site.server.tunnel
    );
    let conf = site.dir.file("apache.conf", conf);
    let _apache = site.start("apache2", &["-X", "-f", &conf], &[PLAIN, TLS]);
    site.is_reverse_proxy();
    let error = site.fails(&[&format!("ws://{PLAIN}/no")]);
    assert!(error.contains("You don't have permission to access this resource."), "{error}");
}

#[test]
fn caddy_before_the_switch() {
    let site = need!(Site::new("caddy"));
    let (cert, key) = (&site.certs.cert, &site.certs.key);
    let conf = format!(
        "{{\n admin off\n auto_https off\n storage file_system {}\n}}\n\
         http://{PLAIN} {{\n bind 127.0.0.1\n reverse_proxy {}\n}}\n\
         https://{TLS} {{\n bind 127.0.0.1\n tls {cert} {key}\n reverse_proxy {}\n}}\n",
        site.dir.at("store"),
        site.server.tunnel,
        site.server.tunnel
    );
    let conf = site.dir.file("Caddyfile", conf);
    let args = ["run", "--config", &conf, "--adapter", "caddyfile"];
    let _caddy = site.start("caddy", &args, &[PLAIN, TLS]);
    site.is_reverse_proxy();
}

#[test]
fn a_port_for_http_2_only_is_named_as_that() {
    let site = need!(Site::new("openssl"));
    let (cert, key) = (&site.certs.cert, &site.certs.key);
    let args = ["s_server", "-accept", TLS, "-cert", cert, "-key", key, "-alpn", "h2", "-www"];
    let _server = site.start("openssl", &args, &[TLS]);
    let error = site.fails(&["--insecure", &format!("wss://{TLS}/")]);
    assert!(error.contains("does not speak HTTP/1.1"), "{error}");
}

#[test]
fn stunnel_before_the_switch_and_before_a_proxy() {
    let site = need!(Site::new("stunnel"));
    need!(tool("tinyproxy"));
    let conf = format!(
        "foreground = yes\npid =\ncert = {}\nkey = {}\n\
         [lan]\naccept = {TLS}\nconnect = {}\n\
         [proxy]\naccept = 127.0.0.1:3129\nconnect = 127.0.0.1:8888\n",
        site.certs.cert, site.certs.key, site.server.tunnel
    );
    let conf = site.dir.file("stunnel.conf", conf);
    let _stunnel = site.start("stunnel", &[&conf], &[TLS, ":3129"]);
    let conf = site.dir.file("tinyproxy.conf", "Port 8888\nListen 127.0.0.1\nAllow 127.0.0.1\n");
    let _proxy = site.start("tinyproxy", &["-d", "-c", &conf], &[":8888"]);
    let tls = format!("wss://{TLS}/lan");
    site.passes(&["--cacerts", &site.certs.ca, &tls]);
    assert!(site.fails(&[&format!("ws://{TLS}/lan")]).contains("speaks TLS"));
    // TLS with the proxy, and in it with the server.
    let (ca, server) = (&site.certs.ca, site.url());
    let by = ["--proxy", "https://localhost:3129", "--cacerts", ca];
    site.passes(&[&by[..], &[&server]].concat());
    site.passes(&[&by[..], &[&tls]].concat());
    let error = site.fails(&["--proxy", "https://localhost:3129", &server]);
    assert!(error.contains("was issued by \"authority\""), "{error}");
    let error = site.fails(&["--proxy", "http://localhost:3129", &server]);
    assert!(
        error.contains("lost before it had answered") || error.contains("speaks TLS"),
        "{error}"
    );
}

#[test]
fn squid_with_users() {
    let site = need!(Site::new("squid"));
    let hash = site.namespace.run("openssl", &["passwd", "-apr1", "p@ss"]).ok().stdout;
    site.dir.file("users", format!("alice:{hash}"));
    let digest = "alice:realm:0123456789abcdef0123456789abcdef\n";
    site.dir.file("digest", digest);
    let start = |auth: &str, port: u16| {
        let dir = site.dir.path().display();
        let conf = format!(
            "http_port 127.0.0.1:{port}\npid_filename none\naccess_log none\n\
             cache_log {dir}/cache-{port}.log\ncoredump_dir {dir}\ncache deny all\n\
             {auth}\nacl users proxy_auth REQUIRED\nhttp_access allow users\n\
             http_access deny all\nshutdown_lifetime 0 seconds\n"
        );
        let conf = site.dir.file(&format!("squid-{port}.conf"), conf);
        site.start("squid", &["-N", "-f", &conf], &[&format!(":{port}")])
    };
    let dir = site.dir.path().display();
    let _basic = start(
        &format!(
            "auth_param basic program /usr/lib/squid/basic_ncsa_auth {dir}/users\n\
             auth_param basic realm a proxy"
        ),
        3128,
    );
    let url = site.url();
    site.passes(&["--proxy", "http://alice:p%40ss@127.0.0.1:3128", &url]);
    let error = site.fails(&["--proxy", "127.0.0.1:3128", &url]);
    assert!(error.contains("it requires Basic, and no user and password were given"), "{error}");
    let error = site.fails(&["--proxy", "alice:wrong@127.0.0.1:3128", &url]);
    assert!(error.contains("the user or the password is wrong"), "{error}");
    let _digest = start(
        &format!(
            "auth_param digest program /usr/lib/squid/digest_file_auth -c {dir}/digest\n\
                  auth_param digest realm realm"
        ),
        3127,
    );
    let error = site.fails(&["--proxy", "alice:p%40ss@127.0.0.1:3127", &url]);
    assert!(error.contains("it requires Digest") && error.contains("was tried"), "{error}");
}

#[test]
fn dante_resolves_names() {
    let site = need!(Site::new("danted"));
    let conf = site.dir.file(
        "danted.conf",
        "user.privileged: root\nuser.unprivileged: root\nlogoutput: stderr\ninternal: 127.0.0.1 port = 1080\nexternal: lo\nclientmethod: none\n\
         socksmethod: none\nclient pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }\n\
         socks block { from: 0.0.0.0/0 to: 127.0.0.9/32 }\n\
         socks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }\n",
    );
    let _dante = site.start_in(&site.namespace.site, "danted", &["-f", &conf], &[":1080"]);
    let port = site.server.tunnel.port();
    site.passes(&["--proxy", "socks5://127.0.0.1", &format!("ws://127.0.0.1:{port}/lan")]);
    site.passes(&["--proxy", "socks5h://127.0.0.1:1080", &format!("ws://localhost:{port}/lan")]);
    let error = site.fails(&["--proxy", "socks5://127.0.0.1", "ws://127.0.0.1:9/"]);
    assert!(error.contains("does not accept the connection"), "{error}");
    let error = site.fails(&["--proxy", "socks5://127.0.0.1", "ws://127.0.0.9/"]);
    assert!(error.contains("rules do not allow it"), "{error}");
    let error = site.fails(&["--proxy", "http://127.0.0.1:1080", &site.server.url()]);
    assert!(error.contains("127.0.0.1:1080"), "{error}");
}

#[test]
fn a_port_shows_its_proxy_and_may_have_none_of_the_environments() {
    let namespace = need!(Namespace::new());
    let server = Switch::start_at(&namespace.site, &[]);
    let environment = [("all_proxy", "socks5://u:secret@127.0.0.1:9")];
    let client = Switch::start_with(&namespace.site, &[], &environment);
    let error = client.ctl(&["addport", "client", &server.url()]).failed().stderr;
    assert!(error.contains("127.0.0.1:9"), "{error}");
    let number = client.add(&["client", "--proxy", "direct", &server.url()]);
    let shown = client.ctl(&["showport", &number.to_string()]).ok().stdout;
    assert!(shown.contains("proxy ") && shown.contains(" direct "), "{shown}");
}

#[test]
fn a_program_of_the_file_is_the_connection() {
    need!(tool("nc"));
    let server = Switch::start(&[]);
    let dir = TempDir::new();
    let port = server.tunnel.port();
    let mut config = "[tunnel]\n".to_owned();
    for (host, command) in [
        ("127.0.0.1", r#"["nc", "%h", "%p"]"#),
        ("localhost", r#"["sh", "-c", "echo no way today >&2"]"#),
        ("127.0.0.2", r#"["/no/such/program"]"#),
    ] {
        config.push_str(&format!(
            "[[port]]\ntype = \"client\"\ntarget = \"ws://{host}:{port}/\"\n\
             proxy-command = {command}\n"
        ));
    }
    let config = dir.file("etherws.toml", config);
    let client = Switch::start(&["--config", &config]);
    wait_until("the port there", || server.ports().len() == 1);
    let shown = client.ctl(&["showport", "1"]).ok().stdout;
    assert!(shown.contains("nc .."), "{shown}");
    let reason = |number| client.port(number)["error"].as_str().unwrap_or_default().to_owned();
    wait_until("its words", || reason(2).contains("proxy-command says \"no way today\""));
    wait_until("its name", || reason(3).contains("/no/such/program"));
    let spec = serde_json::json!({"type": "client", "target": server.url(), "options":
        {"proxy-command": ["id"]}});
    let refused = client.rpc("addPort", &spec);
    assert!(refused.to_string().contains("proxy-command"), "{refused}");
}

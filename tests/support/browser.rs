//! Headless Chromium, driven by the Chrome DevTools Protocol over a pair of pipes: JSON
//! objects that end with a zero. It has a profile of its own, reaches loopback alone, and
//! ends with its test.

use std::{
    cell::Cell,
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{TempDir, peers, wait_for, wait_until, wait_within};

/// Longer than a browser takes on a machine that is building something else.
const LIMIT: Duration = Duration::from_secs(40);

/// How long it may take to end; it is killed then.
const PATIENCE: Duration = Duration::from_secs(5);

/// The browser reads from descriptor 3 and writes to 4.
const ON_PIPES: &str = "exec \"$@\" 3<&0 4>&1 0</dev/null 1>/dev/null 2>/dev/null";

const OPTIONS: [&str; 13] = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.*",
];

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    received: Arc<Mutex<Vec<Value>>>,
    last: Cell<u64>,
    session: String,
    dir: TempDir,
}

impl Browser {
    /// A browser that shows an empty page.
    pub(crate) fn start() -> Result<Self, String> {
        peers::tool("chromium")?;
        let dir = TempDir::new();
        let mut command = Command::new("sh");
        command.args(["-c", ON_PIPES, "sh", "chromium"]).args(OPTIONS);
        command.arg(format!("--user-data-dir={}", dir.at("profile")));
        // Whatever it caches belongs to the test as well.
        command.env("HOME", dir.path()).env("TMPDIR", dir.path());
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        let received = Arc::<Mutex<Vec<Value>>>::default();
        let (stdout, kept) = (child.stdout.take().unwrap(), Arc::clone(&received));
        thread::spawn(move || {
            for message in BufReader::new(stdout).split(0).map_while(Result::ok) {
                kept.lock().unwrap().push(serde_json::from_slice(&message).unwrap());
            }
        });
        let mut browser = Self { child, received, last: Cell::new(0), session: String::new(), dir };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let target = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", target);
        attached["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        let downloads =
            json!({"behavior": "allow", "downloadPath": browser.dir.at(""), "eventsEnabled": true});
        browser.call("Browser.setDownloadBehavior", downloads);
        browser.set_size(1280, 900);
        Ok(browser)
    }

    /// A command of the protocol, which must succeed.
    pub(crate) fn call(&self, method: &str, params: Value) -> Value {
        self.last.set(self.last.get() + 1);
        let id = self.last.get();
        let mut message = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() && !method.starts_with("Browser.") {
            message["sessionId"] = self.session.clone().into();
        }
        let mut octets = message.to_string().into_bytes();
        octets.push(0);
        self.child.stdin.as_ref().unwrap().write_all(&octets).unwrap();
        let answer = wait_within(LIMIT, method, || self.take(|one| one["id"] == id));
        assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
        answer["result"].clone()
    }

    /// The first message like this, which is then gone.
    fn take(&self, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        let mut received = self.received.lock().unwrap();
        let at = received.iter().position(wanted)?;
        Some(received.remove(at))
    }

    /// Opens a page and waits until it is loaded.
    pub(crate) fn open(&self, url: &str) {
        self.call("Page.navigate", json!({"url": url}));
        wait_within(LIMIT, url, || self.take(|one| one["method"] == "Page.loadEventFired"));
    }

    /// The value of an expression in the page.
    pub(crate) fn eval(&self, expression: &str) -> Value {
        let params = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let result = self.call("Runtime.evaluate", params);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result:#}");
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true, and gives its value.
    pub(crate) fn wait(&self, expression: &str) -> Value {
        wait_for(expression, || {
            let value = self.eval(expression);
            let none = value.is_null() || value == false || value == "" || value == 0;
            (!none).then_some(value)
        })
    }

    /// Clicks with the mouse in the middle of an element that can be seen. Again, if the page has
    /// moved it away meanwhile.
    pub(crate) fn click(&self, selector: &str) {
        let place = format!(
            "(() => {{ const element = document.querySelector({selector:?}); if (!element) return;
            window.missed = true;
            element.addEventListener('click', () => window.missed = false, {{capture: true}});
            element.scrollIntoView({{block: 'center'}}); const box = element.getBoundingClientRect();
            return box.width && [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        );
        wait_until(&format!("a click on {selector}"), || {
            let place = self.wait(&place);
            for kind in ["mousePressed", "mouseReleased"] {
                let params = json!({"type": kind, "x": place[0], "y": place[1], "button": "left",
                    "clickCount": 1});
                self.call("Input.dispatchMouseEvent", params);
            }
            self.eval("window.missed") != true
        });
    }

    /// Presses a key: `Tab`, `Enter`, `Escape`, ` ` …
    pub(crate) fn press(&self, key: &str) {
        let (code, text) = match key {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            " " => (32, " "),
            other => panic!("no key {other}"),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut params = json!({"type": kind, "key": key, "windowsVirtualKeyCode": code});
            if kind == "keyDown" && !text.is_empty() {
                params["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", params);
        }
    }

    /// Types into what has the focus.
    pub(crate) fn type_text(&self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    pub(crate) fn set_size(&self, width: u32, height: u32) {
        let params = json!({"width": width, "height": height, "deviceScaleFactor": 1,
            "mobile": width < 600});
        self.call("Emulation.setDeviceMetricsOverride", params);
    }

    pub(crate) fn set_dark(&self, dark: bool) {
        let value = if dark { "dark" } else { "light" };
        let features = json!([{"name": "prefers-color-scheme", "value": value}]);
        self.call("Emulation.setEmulatedMedia", json!({"features": features}));
    }

    /// What can be seen, as PNG.
    pub(crate) fn screenshot(&self) -> Vec<u8> {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let data = self.call("Page.captureScreenshot", json!({"format": "png"}));
        STANDARD.decode(data["data"].as_str().unwrap()).unwrap()
    }

    /// Content of the only file that was downloaded, when it is complete.
    pub(crate) fn download(&self, ending: &str) -> Vec<u8> {
        let path = wait_for("a download", || {
            let files = std::fs::read_dir(self.dir.path()).unwrap();
            files
                .map(|file| file.unwrap().path())
                .find(|path| path.extension().is_some_and(|extension| extension == ending))
        });
        wait_for("the download's end", || {
            let ended = |one: &Value| {
                one["method"] == "Browser.downloadProgress" && one["params"]["state"] == "completed"
            };
            self.take(ended)
        });
        std::fs::read(path).unwrap()
    }

    /// Fails if the page asked somebody else for anything, or if the console has an error or
    /// a warning: what the Content-Security-Policy has stopped is there too. `but` is in
    /// those that are expected.
    pub(crate) fn assert_clean(&self, own: &str, but: Option<&str>) {
        let received = self.received.lock().unwrap().clone();
        for message in received {
            let params = &message["params"];
            let trouble = match message["method"].as_str().unwrap_or_default() {
                "Network.requestWillBeSent" => {
                    let url = without_login(params["request"]["url"].as_str().unwrap());
                    !["about:", "data:", "blob:", own].iter().any(|good| url.starts_with(good))
                }
                "Runtime.exceptionThrown" => true,
                "Runtime.consoleAPICalled" => {
                    params["type"] == "error" || params["type"] == "warning"
                }
                "Log.entryAdded" => {
                    params["entry"]["level"] == "error" || params["entry"]["level"] == "warning"
                }
                _ => false,
            };
            let expected = but.is_some_and(|but| params.to_string().contains(but));
            assert!(!trouble || expected, "{message:#}");
        }
    }
}

/// A URL without the name and password that may stand in it.
fn without_login(url: &str) -> String {
    match (url.find("//"), url.find('@')) {
        (Some(start), Some(end)) if start < end => url[..start + 2].to_owned() + &url[end + 1..],
        _ => url.to_owned(),
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if thread::panicking() && !self.session.is_empty() {
            for message in self.received.lock().unwrap().iter() {
                if ["Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"]
                    .iter()
                    .any(|wanted| message["method"] == *wanted)
                {
                    eprintln!("{:#}", message["params"]);
                }
            }
        }
        // It ends with its pipe, and so do its own processes; then nobody writes to its folder.
        drop(self.child.stdin.take());
        let start = Instant::now();
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && start.elapsed() < PATIENCE
        {
            thread::yield_now();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

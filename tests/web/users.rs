//! The users of a hub on its page: invited, approved, renamed and revoked there.

use qrcode::{Color, EcLevel, QrCode};
use serde_json::{Value, json};

use super::page::{Bench, UNREADABLE};
use crate::support::{
    TempDir, free_address, need,
    process::{Process, Site},
    switch::{Switch, command, etherws},
};

/// The configuration of a hub that `etherws init` has made, with control for browsers.
fn hub(dir: &TempDir, options: &[&str]) -> String {
    let socket = dir.at("control.sock");
    let control = format!(
        "[control]\nhost = \"127.0.0.2\"\nport = 0\nsocket = {socket:?}\n\
        [profile.guests]\nmax-macs = 3\n"
    );
    let (file, address) = (dir.file("etherws.toml", control), free_address().to_string());
    let url = format!("wss://{address}/");
    let init = ["init", "--config", &file, "--no-tap", "--listen", &address, "--url", &url];
    etherws(&[&init, options].concat()).ok();
    file
}

/// What `etherws users show` says.
fn user(file: &str, name: &str) -> Value {
    etherws(&["users", "show", name, "--json", "--config", file]).ok().json()[0].take()
}

/// Texts of the first cells of a user's row, when there is one.
fn row(name: &str) -> String {
    format!(
        "[...document.querySelectorAll('#users tbody tr')].map((row) =>
        [...row.children].map((cell) => cell.textContent)).find(([name]) => name === {name:?})"
    )
}

/// The modules of the code, as they are drawn, with the light ones around it.
const DRAWN: &str = "(() => {
    const [svg] = document.getElementById('invitation-qr').children;
    const { x, y, width, height } = svg.viewBox.baseVal;
    const at = (row, column) => svg.firstElementChild.isPointInFill(new DOMPoint(x + column + .5, y + row + .5));
    return Array.from({ length: height }, (_, row) =>
        Array.from({ length: width }, (_, column) => (at(row, column) ? '#' : ' ')).join('')).join('\\n');
})()";

/// A text as a QR code with four light modules around it.
fn code(text: &str) -> String {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).unwrap();
    let width = code.width();
    let colors = code.to_colors();
    let dark = |x: usize, y: usize| {
        let inside = (4..width + 4).contains(&x) && (4..width + 4).contains(&y);
        inside && colors[(y - 4) * width + x - 4] == Color::Dark
    };
    let row = |y| (0..width + 8).map(|x| if dark(x, y) { '#' } else { ' ' }).collect::<String>();
    (0..width + 8).map(row).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_user_is_invited_approved_renamed_and_revoked() {
    let dir = TempDir::new();
    let file = hub(&dir, &["--approval"]);
    let bench = need!(Bench::start(&["--config", &file]));
    let browser = &bench.browser;
    browser.wait(&row("member-1"));
    browser.click("#invite");
    browser.wait("document.getElementById('invite-dialog').open");
    browser.type_text("<b>");
    browser.press("Enter");
    let refused = browser.wait("document.querySelector('#invite-dialog .error').textContent");
    assert!(refused.as_str().unwrap().contains("is not a valid user name"), "{refused}");
    browser.eval("document.querySelector('#invite-dialog [name=name]').select()");
    browser.type_text("alice");
    browser.eval("document.querySelector('#invite-dialog [name=profile]').value = 'guests'");
    browser.click("#invite-dialog [name=vlan]");
    browser.type_text("7");
    browser.press("Enter");
    browser.wait("document.getElementById('invitation-dialog').open");

    let text = |id: &str| {
        let text = browser.eval(&format!("document.getElementById({id:?}).textContent"));
        text.as_str().unwrap().to_owned()
    };
    let link = text("invitation-link");
    assert_eq!(text("invitation-command"), format!("etherws join '{link}'"));
    assert_eq!(browser.eval(DRAWN), code(&link));
    browser.set_size(390, 800);
    browser.set_dark(true);
    assert_eq!(browser.eval(UNREADABLE), json!([]));
    let colours = browser.eval(
        "[document.getElementById('invitation-qr')].map(getComputedStyle).map((style) =>
        [style.backgroundColor, style.fill]).flat()",
    );
    assert_eq!(colours, json!(["rgb(255, 255, 255)", "rgb(0, 0, 0)"]), "by night as well");
    browser.click("[data-copy=invitation-link]");
    browser.wait("document.getElementById('invitation-said').textContent === 'Copied.'");
    assert_eq!(browser.eval("String(getSelection())"), link);
    browser.press("Escape");
    browser.wait("document.getElementById('invitation-link').textContent === ''");
    assert_eq!(browser.eval("document.activeElement.id"), "invite", "the focus goes back");
    browser.set_size(1280, 900);

    let member = TempDir::new();
    let config = member.at("etherws.toml");
    let join = ["join", "--config", &config, "--no-tap", &link];
    let mut joining = Process::start(command(&Site::here(), &join));
    browser.click("#users [aria-label='Approve alice']");
    assert!(joining.wait_exit().success());
    let known = user(&file, "alice");
    let given = ["state", "profile", "vlan"].map(|name| &known[name]);
    assert_eq!(given, [&json!("active"), &json!("guests"), &json!(7)]);
    browser.wait(&format!("({})?.[1] === 'active'", row("alice")));
    assert_eq!(browser.eval("document.activeElement.id"), "users", "the focus stays near");

    browser.click("#users [aria-label='Rename alice']");
    browser.wait("document.getElementById('rename-dialog').open");
    browser.type_text("laptop");
    browser.press("Enter");
    let _member =
        Process::start(command(&Site::here(), &["sw", "--foreground", "--config", &config]));
    browser.wait(&format!("({})?.[3] === '1'", row("laptop")));
    assert_eq!(user(&file, "laptop")["sessions"], 1);

    browser.click("#users [aria-label='Revoke laptop']");
    browser.wait("document.getElementById('confirm').open");
    let ends = text("confirm-text");
    assert!(ends.starts_with("A session ends at once."), "{ends}");
    // Enter is what a hand does by itself.
    browser.press("Enter");
    browser.wait("!document.getElementById('confirm').open");
    assert_eq!(user(&file, "laptop")["state"], "active");
    browser.click("#users [aria-label='Revoke laptop']");
    browser.click("#confirm-yes");
    browser.wait(&format!("({})?.slice(1, 4).join() === 'revoked,certificate,0'", row("laptop")));
    let known = user(&file, "laptop");
    assert_eq!((&known["state"], &known["sessions"]), (&json!("revoked"), &json!(0)));
    browser.assert_clean(&bench.url(), None);
}

#[test]
fn users_with_passwords_are_listed_and_nobody_is_invited_by_a_switch_that_is_no_hub() {
    let dir = TempDir::new();
    let name = "<img src=x onerror=document.title=1>";
    let users = dir.file("users", format!("{name}:{{SHA}}5en6G6MezRroT3XKqkdPOmY/BfQ=\n"));
    let bench = need!(Bench::start(&["--htpasswd", &users]));
    let browser = &bench.browser;
    assert_eq!(browser.wait(&row(name)), json!([name, "active", "password", "0"]));
    let hidden = |id: &str| browser.eval(&format!("document.getElementById({id:?}).hidden"));
    assert_eq!((hidden("users"), hidden("invite")), (json!(false), json!(true)));
    browser.assert_clean(&bench.url(), None);

    let other = Switch::start(&[]);
    browser.open(&format!("http://{}/", other.control));
    browser.wait("document.querySelector('#server-rows [data-service=tunnel]')");
    assert_eq!(hidden("users"), true, "nobody has a name here");
}

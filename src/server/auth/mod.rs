//! Who may pass: a service has a [`Gate`], and the gate its ways of authentication, one file
//! each. Stands before everything else that a request can reach, for tunnel and control
//! alike; what is refused here learns nothing of what is behind.
//!
//! To add a way: its file, which implements [`Authenticator`], and its line in [`Access::steps`].

mod anyone;
pub(super) mod attempts;
mod cache;
mod certificate;
mod hash;
mod identity;
mod local;
mod password;
mod revoked;
mod role;
mod token;
mod turns;
mod users;

use std::{fmt::Debug, future::Future, path::PathBuf, pin::Pin, sync::Arc};

use actix_http::StatusCode;
use anyhow::Result;
use slog::Logger;

pub(super) use self::certificate::name as certificate_name;
#[cfg(any(test, fuzzing))]
pub(crate) use self::password::fuzz;
pub(crate) use self::revoked::{Marks, Revoked};
pub(super) use self::role::caller;
use self::{
    anyone::Anyone, certificate::Certificate, local::Local, password::Password, token::Token,
};
pub(crate) use self::{
    identity::Identity,
    password::{Survey, survey, users_of},
    token::Tokens,
};
use super::{
    refusal::{Refusal, Refused},
    request::Request,
    upgrade::Handshake,
};
use crate::users::Users;

/// A way for clients to say who they are.
pub(crate) trait Authenticator: Debug + Send + Sync {
    /// Its name, for logs.
    fn name(&self) -> &'static str;

    /// Who has sent this request.
    fn authenticate<'a>(&'a self, request: &'a Request<'a>) -> Deciding<'a>;

    /// What asks for it in an answer 401 (`WWW-Authenticate`; RFC 9110, 11.6.1).
    fn challenge(&self) -> Option<&'static str> {
        None
    }

    /// What a client is told that has shown nothing by which it could pass.
    fn missing(&self) -> Refusal {
        Refusal::unauthorized()
    }

    /// Reads its files again: called when they have changed, where it may block.
    fn reload(&self) {}

    /// Whether `name` is a user; `None` where it keeps no list of them.
    fn knows(&self, _name: &str) -> Option<bool> {
        None
    }

    /// Users and certificates that were revoked, by what they are revoked by.
    fn revoked(&self) -> Vec<Box<str>> {
        Vec::new()
    }

    /// All users whom it knows; none where it keeps no list of them.
    fn users(&self) -> Vec<Box<str>> {
        Vec::new()
    }
}

/// Has a way read its files again, and gives the users whom it no longer knows, and what else may
/// not stay.
pub(crate) fn reload(way: &dyn Authenticator) -> Vec<Box<str>> {
    let mut users = way.users();
    way.reload();
    users.retain(|user| way.knows(user) == Some(false));
    users.extend(way.revoked());
    users
}

/// What a way says of a request.
#[derive(Debug)]
pub(crate) enum Decision {
    /// It is from this user.
    Pass(Identity),
    /// What it shows is wrong: no other way is tried.
    Refuse(Refusal),
    /// It shows nothing for this way.
    NotTried,
}

/// A decision, which may take its time.
pub(crate) type Deciding<'a> = Pin<Box<dyn Future<Output = Decision> + 'a>>;

/// What a service asks of its clients, as it is configured.
#[derive(Debug)]
pub(crate) struct Access<'a> {
    /// A certificate of a CA that the listener's TLS knows.
    pub(crate) certificate: bool,
    /// Which of those are revoked.
    pub(crate) revoked: Option<&'a PathBuf>,
    /// A password of this file.
    pub(crate) htpasswd: Option<&'a PathBuf>,
    /// To be on this machine, where no password is asked for.
    pub(crate) local: bool,
    /// Tokens that stand in for a password, for handshakes by these rules.
    pub(crate) tokens: Option<(&'a Arc<Tokens>, &'a Arc<Handshake>)>,
    /// Those who were invited, and come in by a certificate or a password, whichever they have.
    pub(crate) users: Option<&'a Arc<Users>>,
}

/// A way that is asked for and not open yet.
pub(crate) struct Spec<'a> {
    /// What it reads, and is to be opened after a first look at them.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) open: Opening<'a>,
}

type Opening<'a> = Box<dyn FnOnce(&Logger) -> Result<Arc<dyn Authenticator>> + 'a>;

/// One way that reads no file.
fn plain<'a>(way: impl Authenticator + 'static) -> Spec<'a> {
    Spec { files: Vec::new(), open: Box::new(|_| Ok(Arc::new(way))) }
}

impl<'a> Access<'a> {
    /// The ways, in the order in which they are tried: a client must pass each step, by any
    /// of its ways.
    pub(crate) fn steps(&self) -> Vec<Vec<Spec<'a>>> {
        let users = self.users;
        let certificate = self.certificate.then(|| match self.revoked {
            None => plain(Certificate::default().of_users(users)),
            Some(path) => Spec {
                files: vec![path.clone()],
                open: Box::new(move |log| {
                    Ok(Arc::new(Certificate::revoking(path, log)?.of_users(users)))
                }),
            },
        });
        let token = self.tokens.map(|(tokens, handshake)| plain(Token::new(tokens, handshake)));
        let password = self.htpasswd.map(|path| Spec {
            files: vec![path.clone()],
            open: Box::new(|log| Ok(Arc::new(Password::open(path, log)?))),
        });
        let open = match (&password, self.local) {
            (Some(_), _) => None,
            (None, true) => Some(plain(Local)),
            (None, false) => Some(plain(Anyone)),
        };
        let steps = match users {
            // The last one says what is missing.
            Some(_) if password.is_some() => [vec![certificate, token, password], Vec::new()],
            Some(_) => [vec![token, certificate], Vec::new()],
            None => [vec![certificate], vec![token, password, open]],
        };
        let steps = steps.map(|ways| ways.into_iter().flatten().collect::<Vec<_>>());
        steps.into_iter().filter(|ways| !ways.is_empty()).collect()
    }
}

/// Whom a service lets in: those who pass each step, by any of its ways, and are one user by
/// all of them. Nobody, where there is no step.
#[derive(Debug)]
pub(crate) struct Gate {
    steps: Vec<Vec<Arc<dyn Authenticator>>>,
    /// The value of `WWW-Authenticate`.
    challenge: String,
    /// Who of them may not come in all the same.
    users: Option<Arc<Users>>,
}

impl Gate {
    pub(crate) fn new(steps: Vec<Vec<Arc<dyn Authenticator>>>) -> Self {
        let challenges = steps.iter().flatten().filter_map(|way| way.challenge());
        let challenge = challenges.collect::<Vec<_>>().join(", ");
        Self { steps, challenge, users: None }
    }

    /// The same; nobody passes who was revoked among `users`.
    pub(crate) fn with_users(self, users: Option<&Arc<Users>>) -> Self {
        Self { users: users.cloned(), ..self }
    }

    /// Whether somebody who was let in was revoked meanwhile.
    pub(super) fn is_revoked(&self, identity: &Identity) -> bool {
        let users = self.users.as_ref().zip(identity.name.as_ref());
        users.is_some_and(|(users, name)| users.is_revoked(name))
    }

    /// Lets in whoever is on this machine.
    pub(crate) fn local() -> Self {
        Self::new(vec![vec![Arc::new(Local)]])
    }

    /// Who has sent this request, if they may pass.
    ///
    /// # Errors
    /// They may not; the refusal is to be sent as it is.
    pub(crate) async fn admit(&self, request: &Request<'_>) -> Result<Identity, Refusal> {
        let mut client = None;
        for step in &self.steps {
            let shown = ask(step, request).await.map_err(|refusal| self.challenged(refusal))?;
            let first = client.unwrap_or(Identity::ANONYMOUS);
            let Some(both) = first.and(&shown) else {
                // Not told from a wrong password: that one is right is nobody's business.
                return Err(self.challenged(Refusal::unauthorized().of_user(shown.name)));
            };
            client = Some(both);
        }
        if let Some(revoked) = client.as_ref().filter(|client| self.is_revoked(client)) {
            let refusal = Refusal::new(Refused::Authentication, "The user was revoked");
            return Err(refusal.status(StatusCode::FORBIDDEN).of_user(revoked.name.clone()));
        }
        client.ok_or_else(|| Refusal::new(Refused::Authentication, "No client is accepted here"))
    }

    /// Whether somebody who was let in is still a user.
    pub(crate) fn knows(&self, identity: &Identity) -> bool {
        let Some(name) = &identity.name else { return true };
        if self.is_revoked(identity) {
            return false;
        }
        let mut lists = self.steps.iter().flatten().filter_map(|way| way.knows(name)).peekable();
        lists.peek().is_none() || lists.any(|known| known)
    }

    /// Whether somebody who was let in, perhaps by another gate, has shown all that this one asks
    /// for.
    pub(crate) fn is_passed_by(&self, identity: &Identity) -> bool {
        let passed = |way: &Arc<dyn Authenticator>| {
            way.name() == Anyone.name() || identity.has_passed(way.name())
        };
        self.steps.iter().all(|step| step.iter().any(passed))
    }

    /// All users whom it knows, by those of its ways that keep a list of them.
    pub(crate) fn users(&self) -> Vec<Box<str>> {
        self.steps.iter().flatten().flat_map(|way| way.users()).collect()
    }

    /// Those of `users` whom it does not know: they may not stay.
    pub(crate) fn strangers(&self, mut users: Vec<Box<str>>) -> Vec<Box<str>> {
        users.retain(|user| !self.knows(&Identity::new("", (&**user).into())));
        users
    }

    fn challenged(&self, refusal: Refusal) -> Refusal {
        if self.challenge.is_empty() { refusal } else { refusal.asking(&self.challenge) }
    }
}

/// Who passes a step by the first of its ways that decides.
async fn ask(step: &[Arc<dyn Authenticator>], request: &Request<'_>) -> Result<Identity, Refusal> {
    for way in step {
        match way.authenticate(request).await {
            Decision::Pass(identity) => return Ok(identity),
            Decision::Refuse(refusal) => return Err(refusal),
            Decision::NotTried => {}
        }
    }
    // The last is the most common one.
    Err(step.last().map_or_else(Refusal::unauthorized, |way| way.missing()))
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use slog::{Discard, o};

    use super::*;
    use crate::server::{
        peer::{ClientCertificate, Ends, Peer},
        request::{Headers, Method},
    };

    /// All that it takes to add a way: this, and its line in a list of ways.
    #[derive(Debug)]
    struct Greeting;

    impl Authenticator for Greeting {
        fn name(&self) -> &'static str {
            "greeting"
        }

        fn authenticate<'a>(&'a self, request: &'a Request<'a>) -> Deciding<'a> {
            Box::pin(ready(match request.headers.text("x-greeting") {
                Some("hello") => Decision::Pass(Identity::new(self.name(), "friend".into())),
                Some(_) => Decision::Refuse(Refusal::unauthorized()),
                None => Decision::NotTried,
            }))
        }

        fn challenge(&self) -> Option<&'static str> {
            Some("Greeting")
        }

        fn knows(&self, name: &str) -> Option<bool> {
            Some(name == "friend")
        }
    }

    fn gate(steps: Vec<Vec<Arc<dyn Authenticator>>>) -> Gate {
        Gate::new(steps)
    }

    /// Whom a client is let in as that shows a certificate for `shown`, if it has one, and
    /// greets; or the status that it gets, and what that asks for.
    fn admit(
        gate: &Gate,
        certificate: ClientCertificate,
        greeting: Option<&str>,
    ) -> Result<String, (StatusCode, Option<String>)> {
        let headers: Headers<'_> =
            greeting.iter().map(|greeting| ("x-greeting", greeting.as_bytes())).collect();
        let peer = Peer { certificate, ..Peer::at(Ends::Gone) };
        let request = Request { method: Method::Get, path: "/", query: None, headers, peer: &peer };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let admitted = runtime.block_on(gate.admit(&request));
        admitted.map(|identity| identity.to_string()).map_err(|refusal| refusal.answer())
    }

    fn asking(challenge: &str) -> Result<String, (StatusCode, Option<String>)> {
        Err((StatusCode::UNAUTHORIZED, Some(challenge.to_owned())))
    }

    fn client(name: &str) -> ClientCertificate {
        ClientCertificate::Named(name.into(), Marks::default())
    }

    #[test]
    fn a_new_way_is_one_type_and_one_place_in_a_list() {
        let gate = gate(vec![vec![Arc::new(Greeting)]]);
        assert_eq!(admit(&gate, ClientCertificate::None, Some("hello")), Ok("friend".to_owned()));
        assert_eq!(admit(&gate, ClientCertificate::None, Some("hi")), asking("Greeting"));
        assert_eq!(admit(&gate, ClientCertificate::None, None), asking("Greeting"));
        let stranger = Identity::new("", "stranger".into());
        assert!(!gate.knows(&stranger) && gate.knows(&Identity::ANONYMOUS));
        assert_eq!(gate.strangers(vec!["friend".into(), "stranger".into()]), ["stranger".into()]);
    }

    #[test]
    fn each_step_must_be_passed_and_by_one_user() {
        let gate = gate(vec![vec![Arc::new(Certificate::default())], vec![Arc::new(Greeting)]]);
        assert_eq!(admit(&gate, client("friend"), Some("hello")), Ok("friend".to_owned()));
        assert_eq!(admit(&gate, client("other"), Some("hello")), asking("Greeting"));
        assert_eq!(admit(&gate, client("friend"), None), asking("Greeting"));
        for none in [ClientCertificate::None, ClientCertificate::Nameless] {
            let forbidden = Err((StatusCode::FORBIDDEN, None));
            assert_eq!(admit(&gate, none, Some("hello")), forbidden);
        }
    }

    #[test]
    fn any_way_of_a_step_is_enough_and_a_name_stays_beside_none() {
        let either = gate(vec![vec![Arc::new(Certificate::default()), Arc::new(Greeting)]]);
        assert_eq!(admit(&either, client("alice"), None), Ok("alice".to_owned()));
        assert_eq!(admit(&either, ClientCertificate::None, Some("hello")), Ok("friend".to_owned()));
        let open = gate(vec![vec![Arc::new(Certificate::default())], vec![Arc::new(Anyone)]]);
        assert_eq!(admit(&open, client("alice"), None), Ok("alice".to_owned()));
        assert!(open.knows(&Identity::new("", "alice".into())), "it keeps no list");
    }

    #[test]
    fn who_was_let_in_by_less_has_not_passed() {
        let certificate = || Arc::new(Certificate::default()) as Arc<dyn Authenticator>;
        let greeting = || Arc::new(Greeting) as Arc<dyn Authenticator>;
        let (open, by_certificate) = (vec![greeting(), Arc::new(Anyone)], vec![certificate()]);
        let gates = [
            gate(vec![open]),
            gate(vec![vec![greeting()]]),
            gate(vec![by_certificate.clone()]),
            gate(vec![by_certificate, vec![greeting()]]),
        ];
        let friend = |way| Identity::new(way, "friend".into());
        let both = friend("certificate").and(&friend("greeting")).unwrap();
        for (identity, wanted) in [
            (Identity::ANONYMOUS, [true, false, false, false]),
            (friend("greeting"), [true, true, false, false]),
            (friend("certificate"), [true, false, true, false]),
            (both, [true; 4]),
        ] {
            assert_eq!(gates.each_ref().map(|gate| gate.is_passed_by(&identity)), wanted);
        }
    }

    #[test]
    fn a_gate_without_ways_lets_nobody_in() {
        assert!(admit(&gate(Vec::new()), client("alice"), Some("hello")).is_err());
    }

    #[test]
    fn what_is_configured_is_asked_for_and_nothing_else() {
        let (tokens, handshake) = (Arc::default(), Arc::default());
        let (file, dir) = ("alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", tempfile::tempdir().unwrap());
        let path = dir.path().join("users");
        std::fs::write(&path, file).unwrap();
        let names = |certificate, htpasswd, local, tokens| {
            let access =
                Access { certificate, revoked: None, htpasswd, local, tokens, users: None };
            let log = Logger::root(Discard, o!());
            let name = |way: Spec<'_>| (way.open)(&log).unwrap().name();
            let steps = access.steps().into_iter();
            steps.map(|ways| ways.into_iter().map(name).collect()).collect::<Vec<Vec<_>>>()
        };
        let tokens = Some((&tokens, &handshake));
        assert_eq!(names(false, None, false, None), [["anyone"]]);
        assert_eq!(names(false, None, true, None), [["local"]]);
        assert_eq!(names(false, None, false, tokens), [["token", "anyone"]]);
        let all = names(true, Some(&path), true, tokens);
        assert_eq!(all, [&["certificate"][..], &["token", "password"]]);
    }
}

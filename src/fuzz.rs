//! Bodies of the fuzz targets in `fuzz/` for what the program reads: each takes any
//! octets and panics where a promise does not hold. Built only for fuzzing and for
//! tests; the tests here feed them `fuzz/seeds`, where every input that ever failed is kept.

use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

use crate::{
    api::{self, Perform, call::Method},
    hosts,
    refusal::Refusal,
    server,
};

/// Takes every call, after a look at whether its params survive their way over the wire.
struct Mirror;

impl Perform for Mirror {
    async fn perform(
        &self,
        method: &'static Method,
        params: Option<&Value>,
    ) -> Result<Box<RawValue>, Refusal> {
        let params = method.reread(params)?;
        let again = method.reread(Some(&params)).expect("what we send is understood");
        assert_eq!(again, params, "{method:?}");
        Ok(to_raw_value(&params).expect("JSON"))
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

/// The body of a request to control: there is an answer in JSON, or none is due, and
/// commands mean the same after another trip.
pub fn rpc(data: &[u8]) {
    if let Some(answer) = runtime().block_on(api::handle(&Mirror, data.to_vec().into())) {
        serde_json::from_slice::<Value>(&answer.to_vec()).expect("an answer in JSON");
    }
}

/// An HTTP request that may become a tunnel.
pub fn upgrade(data: &[u8]) {
    // The codec of actix-http starts a task that keeps the date.
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime(), async { server::http::fuzz(data) });
}

/// A file of passwords and somebody who logs in.
pub fn htpasswd(data: &[u8]) {
    server::auth::fuzz(data);
}

/// What somebody sends who joins, the link of an invitation, and a file of users.
pub fn join(data: &[u8]) {
    server::join::fuzz(data);
}

/// Frames from strangers, each behind its length in two octets: what they claim can be
/// shown, and the table of hosts keeps its bounds.
pub fn hosts(data: &[u8]) {
    hosts::fuzz(data);
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Gives a target each of its seeds.
    fn replay(target: &str, body: fn(&[u8])) {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target);
        let mut count = 0;
        for seed in fs::read_dir(&seeds).expect("a folder of seeds") {
            let path = seed.expect("a seed").path();
            println!("{}", path.display());
            body(&fs::read(path).expect("a readable seed"));
            count += 1;
        }
        assert!(count > 0, "{} has no seeds", seeds.display());
    }

    #[test]
    fn rpc_keeps_its_promises_for_all_seeds() {
        replay("rpc", rpc);
    }

    #[test]
    fn upgrade_keeps_its_promises_for_all_seeds() {
        replay("upgrade", upgrade);
    }

    #[test]
    fn htpasswd_keeps_its_promises_for_all_seeds() {
        replay("htpasswd", htpasswd);
    }

    #[test]
    fn join_keeps_its_promises_for_all_seeds() {
        replay("join", join);
    }

    #[test]
    fn hosts_keeps_its_promises_for_all_seeds() {
        replay("hosts", hosts);
    }
}

//! What somebody may do who was let in to control: the role that his names have. Asks the
//! system for accounts and groups, which may take a while: never on a thread that carries
//! frames.

use std::ffi::CString;

use etherws_actors::settings::Role;
use nix::unistd::{Group, Uid, User, geteuid, getgrouplist};
use tokio::task::spawn_blocking;

use super::Identity;
use crate::{
    api::call::Caller,
    options::Roles,
    server::peer::{Account, Ends, Peer, Via},
};

/// Who asks control, with the role that `roles` give.
pub(in crate::server) async fn caller(identity: &Identity, peer: &Peer, roles: &Roles) -> Caller {
    // A name that somebody chose is no group, and does not stand for all.
    let chosen = |name: &&str| !name.starts_with('@') && *name != "*";
    let name = identity.name.as_deref();
    let mut names: Vec<_> = name.filter(chosen).map(str::to_owned).into_iter().collect();
    // Of a proxy's client its account says nothing.
    let account = match (peer.ends, peer.via) {
        (Ends::Unix(account), Via::Nobody) => account,
        _ => None,
    };
    let Some(account) = account else {
        let from = peer.address().map_or_else(|| "-".to_owned(), |address| address.to_string());
        return Caller { name: identity.to_string(), from, role: roles.of(&names) };
    };
    let Account { uid, gid, pid } = account;
    let groups = roles.has_groups();
    let known = spawn_blocking(move || names_of(uid, gid, groups)).await.unwrap_or_default();
    let name = known.first().cloned().unwrap_or_else(|| format!("uid {uid}"));
    names.extend(known);
    // They could read and change everything anyway.
    let owns = uid == 0 || Uid::from_raw(uid) == geteuid();
    let role = if owns { Some(Role::Admin) } else { roles.of(&names) };
    let from = pid.map_or_else(|| "unix".to_owned(), |pid| format!("unix, process {pid}"));
    Caller { name: name.escape_debug().to_string(), from, role }
}

/// Name of an account, and those of its groups if they matter.
fn names_of(uid: u32, gid: u32, groups: bool) -> Vec<String> {
    let user = User::from_uid(uid.into()).ok().flatten();
    let mut names: Vec<_> = user.iter().map(|user| user.name.clone()).collect();
    if groups {
        let of_user = user.and_then(|user| {
            let name = CString::new(user.name).ok()?;
            getgrouplist(&name, gid.into()).ok()
        });
        let all = of_user.unwrap_or_else(|| vec![gid.into()]);
        let groups = all.into_iter().filter_map(|gid| Group::from_gid(gid).ok().flatten());
        names.extend(groups.map(|group| format!("@{}", group.name)));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(roles: &Roles, name: &str) -> Option<Role> {
        let peer = Peer::at(Ends::Gone);
        let identity = Identity::new("password", name.into());
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(caller(&identity, &peer, roles)).role
    }

    #[test]
    fn the_highest_role_counts_and_nobody_can_name_himself_a_group() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let mut roles = Roles {
            lists: vec![
                (Role::Admin, list(&["alice", "@wheel"])),
                (Role::Read, list(&["alice", "bob"])),
            ],
        };
        for (name, wanted) in [
            ("alice", Some(Role::Admin)),
            ("bob", Some(Role::Read)),
            ("carol", None),
            ("@wheel", None),
        ] {
            assert_eq!(role(&roles, name), wanted, "{name}");
        }
        roles.lists.push((Role::Operate, list(&["*"])));
        assert_eq!(role(&roles, "bob"), Some(Role::Operate));
        assert_eq!(role(&roles, "*"), Some(Role::Operate));
        assert_eq!(role(&Roles::default(), "anybody"), Some(Role::Admin));
    }

    #[test]
    fn an_account_has_its_name_and_its_groups() {
        let names = names_of(0, 0, true);
        assert_eq!(names[0], "root");
        assert!(names.contains(&"@root".to_owned()), "{names:?}");
        assert_eq!(names_of(0, 0, false), ["root"]);
    }
}

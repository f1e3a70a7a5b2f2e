//! Open vSwitch in user space, as the other switch.

use crate::support::{
    TempDir,
    lab::Namespace,
    peers::tool,
    process::{Output, Process},
    wait_until,
};

/// Open vSwitch in a namespace, with a database of its own.
pub(super) struct OpenVSwitch {
    _database: Process,
    _daemon: Process,
    dir: TempDir,
    site: Namespace,
}

impl OpenVSwitch {
    pub(super) fn start(site: &Namespace) -> Result<Self, String> {
        for program in ["ovs-vswitchd", "ovsdb-server", "ovsdb-tool", "ovs-vsctl"] {
            tool(program)?;
        }
        let dir = TempDir::new();
        let (file, socket) = (dir.at("conf.db"), format!("unix:{}", dir.at("db.sock")));
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        site.run("ovsdb-tool", &["create", &file, schema]).ok();
        let start = |program: &str, args: &[&str]| {
            let mut command = site.site.command(program);
            command.args(args).env("OVS_RUNDIR", dir.at("")).env("OVS_LOGDIR", dir.at(""));
            Process::start(command)
        };
        let database = start("ovsdb-server", &[&file, &format!("--remote=p{socket}")]);
        let this = Self {
            _daemon: start("ovs-vswitchd", &[&socket]),
            _database: database,
            dir,
            site: site.clone(),
        };
        wait_until("the database", || this.try_ctl(&["--no-wait", "init"]));
        Ok(this)
    }

    fn run(&self, words: &[&str]) -> Output {
        let database = format!("--db=unix:{}", self.dir.at("db.sock"));
        self.site.run("ovs-vsctl", &[&[&*database, "--timeout=10"], words].concat())
    }

    fn try_ctl(&self, words: &[&str]) -> bool {
        self.run(words).code == Some(0)
    }

    /// What `get` gives; nothing where there is nothing yet.
    pub(super) fn ask(&self, words: &[&str]) -> String {
        self.run(words).stdout
    }

    pub(super) fn ctl(&self, words: &str) {
        let words: Vec<_> = words.split_whitespace().collect();
        assert!(self.try_ctl(&words), "{words:?}");
    }
}

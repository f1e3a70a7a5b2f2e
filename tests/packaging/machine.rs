//! Machines with a systemd of their own: the files of this system beneath an overlay, in
//! namespaces. Nothing of it reaches the system's own files, package database, services
//! or network.

use std::{
    fs,
    path::{Path, PathBuf},
    rc::Rc,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use nix::unistd::geteuid;

use crate::support::{
    TempDir,
    lab::Namespace,
    peers::tool,
    process::{Output, Process, Site, run, run_within},
    wait_for, wait_until,
};

/// What the machines of a test keep, in memory: it goes with this process.
#[derive(Debug)]
pub(crate) struct Disks {
    holder: Process,
    folder: PathBuf,
    _dir: TempDir,
}

impl Disks {
    /// Fails where machines cannot be.
    pub(crate) fn new() -> Result<Rc<Self>, String> {
        if !geteuid().is_root() {
            return Err("only root may mount what a machine needs".to_owned());
        }
        for program in ["systemd-sysusers", "dpkg", "setpriv"] {
            tool(program)?;
        }
        let dir = TempDir::new();
        let mut holder = Site::here().command("unshare");
        holder.args(["--mount", "--propagation", "private", "sh", "-ec"]);
        holder.arg("mount -t tmpfs disks \"$0\"; echo ready; exec cat").arg(dir.path());
        let mut holder = Process::start(holder);
        wait_for("the machines' disks", || {
            let exited = holder.exited().is_some();
            let ready = holder.stdout.contains("ready").then_some(Ok(()));
            ready.or_else(|| exited.then(|| Err(holder.stderr.text())))
        })?;
        Ok(Rc::new(Self { holder, folder: dir.path().to_owned(), _dir: dir }))
    }
}

/// A machine that may be switched off and on.
#[derive(Debug)]
pub(crate) struct Machine {
    // In this order they go.
    running: Option<Running>,
    group: Group,
    name: &'static str,
    disks: Rc<Disks>,
    network: Namespace,
}

#[derive(Debug)]
struct Running {
    process: Process,
    site: Site,
}

impl Machine {
    /// A machine in `network`, switched off.
    pub(crate) fn new(
        name: &'static str,
        disks: &Rc<Disks>,
        network: &Namespace,
    ) -> Result<Self, String> {
        let (disks, network) = (Rc::clone(disks), network.clone());
        Ok(Self { name, disks, network, group: Group::new(name)?, running: None })
    }

    /// Switches it on, and waits until it has booted.
    pub(crate) fn boot(&mut self) -> Result<(), String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/packaging/machine.sh");
        let mount = format!("--mount=/proc/{}/ns/mnt", self.disks.holder.pid());
        let enter = ["nsenter".to_owned(), mount, self.network.net_argument()];
        // Its cgroup namespace begins where the process is then.
        let mut command = Site::behind(enter).command("sh");
        command.args(["-ec", "echo $$ >\"$0/cgroup.procs\"; exec \"$@\""]).arg(&self.group.0);
        command.args(["unshare", "-mpfuiC", "--kill-child", "sh", script]);
        command.arg(self.disks.folder.join(self.name));
        let mut process = Process::start(command);
        let init = wait_for("the machine's first process", || {
            let pid = process.pid();
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            let init = children.ok()?.split_whitespace().next().map(str::to_owned);
            let is_systemd = |init: &String| {
                fs::read_to_string(format!("/proc/{init}/comm")).is_ok_and(|it| it == "systemd\n")
            };
            let exited = process.exited().map(|_| Err(process.stderr.text()));
            init.filter(is_systemd).map(Ok).or(exited)
        })?;
        let site = Site::behind(["nsenter", "-t", &init, "-m", "-p", "-u", "-i", "-n", "-C"]);
        self.running = Some(Running { process, site });
        wait_until("the machine's start", || {
            let state = self.run(&["systemctl", "is-system-running"]).stdout;
            ["running", "degraded"].contains(&state.trim())
        });
        Ok(())
    }

    /// Ends it as `poweroff` does.
    pub(crate) fn shut_down(&mut self) {
        let mut running = self.running.take().expect("it runs");
        let mut halt = running.site.command("kill");
        // SIGRTMIN+4: systemd(1) powers off.
        halt.args(["-s", "RTMIN+4", "1"]);
        run(halt);
        running.process.wait_exit();
    }

    /// Cuts its power.
    pub(crate) fn cut(&mut self) {
        let mut running = self.running.take().expect("it runs");
        running.process.kill();
        running.process.wait_exit();
    }

    /// Runs a program there to its end.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        self.run_with(words, b"")
    }

    /// The same with an input.
    pub(crate) fn run_with(&self, words: &[&str], input: &[u8]) -> Output {
        let running = self.running.as_ref().expect("it runs");
        let mut command = running.site.command("env");
        command.args([
            "-i",
            "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
            "DEBIAN_FRONTEND=noninteractive",
        ]);
        command.args(words);
        run_within(3 * crate::support::LIMIT, command, input)
    }

    /// The files with such names that it has written, and not removed since.
    pub(crate) fn written(&self, names: &str) -> String {
        let mount = format!("--mount=/proc/{}/ns/mnt", self.disks.holder.pid());
        let mut find = Site::behind(["nsenter".to_owned(), mount]).command("find");
        find.arg(self.disks.folder.join(self.name).join("upper"));
        // A character device stands for what was removed.
        find.args(["-name", names, "-not", "-type", "c"]);
        run(find).ok().stdout
    }

    /// Writes a file.
    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        self.run_with(&["sh", "-c", "cat >\"$0\"", path], content).ok();
    }
}

/// A control group of the version that has them all in one tree.
#[derive(Debug)]
struct Group(PathBuf);

impl Group {
    fn new(name: &str) -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/self/mounts").map_err(|error| error.to_string())?;
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let tree = mounts.find(|fields| fields.get(2) == Some(&"cgroup2"));
        let tree = tree.ok_or("there is no cgroup2 hierarchy")?[1].to_owned();
        // Tests of one process may have machines of one name.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = Path::new(&tree).join(format!("etherws-test-{process}-{name}-{number}"));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The processes in it are gone, or will be in a moment.
        fn remove(path: &Path) -> bool {
            let inner = fs::read_dir(path).into_iter().flatten().flatten();
            for entry in inner.filter(|entry| entry.path().is_dir()) {
                remove(&entry.path());
            }
            fs::remove_dir(path).is_ok()
        }
        let _ = (0..100).find(|_| {
            #[expect(clippy::disallowed_methods, reason = "a poll with a limit")]
            std::thread::sleep(std::time::Duration::from_millis(10));
            remove(&self.0)
        });
    }
}

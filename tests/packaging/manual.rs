//! Man pages and completions that the program writes of itself.

use std::fs;

use crate::support::{
    TempDir, need,
    peers::tool,
    process::{Site, run},
    switch::etherws,
};

#[test]
fn each_command_has_a_page_without_mistakes() {
    let dir = TempDir::new();
    etherws(&["manual", &dir.at("manual")]).ok();
    let pages = fs::read_dir(dir.at("manual/man1")).unwrap().flatten();
    let pages: Vec<_> = pages.map(|page| page.path()).collect();
    for page in ["etherws", "etherws-sw", "etherws-ctl-addport-client", "etherws-passwd"] {
        assert!(pages.iter().any(|path| path.ends_with(format!("{page}.1"))), "{pages:?}");
    }
    need!(tool("man"));
    for page in pages {
        let mut man = Site::here().command("man");
        man.args(["--warnings", "-E", "UTF-8", "-Tutf8", "-l"]).arg(&page);
        man.env("LC_ALL", "C.UTF-8").env("MANROFFSEQ", "").env("MANWIDTH", "80");
        let output = run(man).ok();
        assert_eq!(output.stderr, "", "{}", page.display());
        assert!(!output.stdout.is_empty(), "{}", page.display());
    }
}

#[test]
fn a_shell_completes_commands_and_options() {
    let dir = TempDir::new();
    etherws(&["manual", &dir.at("manual")]).ok();
    need!(tool("bash"));
    for (line, expected) in [
        (&["etherws", ""][..], "passwd"),
        (&["etherws", "ctl", "list"], "listport"),
        (&["etherws", "ctl", "addport", "client", "--ca"], "--cacerts"),
    ] {
        let script = "source \"$0\"; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                      _etherws etherws \"${@: -1}\" \"${@: -2:1}\"; echo \"${COMPREPLY[@]}\"";
        let mut bash = Site::here().command("bash");
        bash.args(["-c", script, &dir.at("manual/bash/etherws.bash")]).args(line);
        let output = run(bash).ok();
        assert!(output.stdout.split_whitespace().any(|word| word == expected), "{output:?}");
    }
}

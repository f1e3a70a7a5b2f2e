//! Links of the documents: each relative one leads to a file, and to a heading in it; from a
//! document that the package installs, to a file that it installs at the same place.

use std::{fs, path::Path};

/// Whether a heading has this anchor, by GitHub's rule.
fn has(text: &str, anchor: &str) -> bool {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| line.trim_start_matches('#').trim().to_lowercase()).any(|heading| {
        let kept = heading.chars().filter(|&c| c.is_alphanumeric() || " -_".contains(c));
        kept.map(|c| if c == ' ' { '-' } else { c }).eq(anchor.chars())
    })
}

#[test]
fn the_documents_link_to_what_is_there_and_what_is_packaged() {
    let root = fs::canonicalize(env!("CARGO_MANIFEST_DIR")).unwrap();
    let manifest: toml::Table = fs::read_to_string("Cargo.toml").unwrap().parse().unwrap();
    let assets = manifest["package"]["metadata"]["deb"]["assets"].as_array().unwrap();
    let packaged = |file: &Path| {
        let place = format!("usr/share/doc/etherws/{}", file.to_str().unwrap());
        assets.iter().any(|asset| {
            let [Some(from), Some(to)] = [0, 1].map(|column| asset.get(column)?.as_str()) else {
                return false; // A link.
            };
            let (start, end) = from.split_once('*').unwrap_or((from, ""));
            let folder = place.rsplit_once('/').map(|(folder, _)| format!("{folder}/"));
            let name = file.to_str().unwrap();
            folder.is_some_and(|it| it == to) && name.starts_with(start) && name.ends_with(end)
        })
    };
    let mut broken = Vec::new();
    let entries = [".", "docs"].into_iter().flat_map(|folder| fs::read_dir(folder).unwrap());
    let paths = entries.map(|entry| entry.unwrap().path());
    for path in paths.filter(|path| path.extension().is_some_and(|it| it == "md")) {
        let document = path.strip_prefix(".").unwrap_or(&path);
        // What stands between ``` is code.
        let text = fs::read_to_string(&path).unwrap().split("```").step_by(2).collect::<String>();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let there = if file.is_empty() { path.clone() } else { path.with_file_name(file) };
            let leads = fs::canonicalize(there).is_ok_and(|there| {
                (anchor.is_empty() || has(&fs::read_to_string(&there).unwrap(), anchor))
                    && (!packaged(document) || packaged(there.strip_prefix(&root).unwrap()))
            });
            if !leads {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
}

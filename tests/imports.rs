//! Who imports whom among the modules that stand directly in a crate's `src`, compared with
//! the lists in ARCHITECTURE.md. There a module imports only what stands above it: so no
//! circle can be written down.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The modules that `text` names by `crate::`, apart from comments and unit tests.
fn imports(text: &str) -> BTreeSet<String> {
    let head = |path: &str| {
        path.split(|c: char| !c.is_alphanumeric() && c != '_').next().map(str::to_owned)
    };
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = lines.flat_map(str::chars).filter(|c| !c.is_whitespace()).collect();
    let mut found = BTreeSet::new();
    for path in code.split("crate::").skip(1) {
        let Some(list) = path.strip_prefix('{') else {
            found.extend(head(path));
            continue;
        };
        let mut depth = 0;
        for item in list.split_inclusive(['{', '}', ',']) {
            found.extend(head(item).filter(|_| depth == 0));
            match item.chars().last() {
                Some('{') => depth += 1,
                Some('}') if depth == 0 => break,
                Some('}') => depth -= 1,
                _ => {}
            }
        }
    }
    found
}

/// The imports of a file, or of all files in a folder but those of tests.
fn imports_below(path: &Path) -> BTreeSet<String> {
    if path.is_dir() && !path.ends_with("tests") {
        let files = fs::read_dir(path).unwrap();
        return files.flat_map(|file| imports_below(&file.unwrap().path())).collect();
    }
    let is_code = path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs");
    if is_code { imports(&fs::read_to_string(path).unwrap()) } else { BTreeSet::new() }
}

/// Compares the modules of `source` with the code block of ARCHITECTURE.md that begins with
/// its name.
fn check(source: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in fs::read_dir(root.join(source)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_module = path.with_extension("rs").is_file() || path.join("mod.rs").is_file();
        if is_module && name != "lib" && name != "main" {
            found.entry(name).or_default().extend(imports_below(&path));
        }
    }
    let names: BTreeSet<_> = found.keys().cloned().collect();
    for (name, imports) in &mut found {
        imports.retain(|import| import != name && names.contains(import));
    }

    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let (_, block) = text.split_once(&format!("```text\n{source}\n")).expect("a list of modules");
    let mut faults = Vec::new();
    for line in block.split("```").next().unwrap().lines() {
        let (name, list) = line.split_once(':').unwrap_or((line, ""));
        let listed: BTreeSet<_> = list.split_terminator(',').map(|one| one.trim().into()).collect();
        if let Some(above) = listed.iter().find(|one| found.contains_key(*one)) {
            faults.push(format!("{name} imports {above}, which does not stand above it"));
        }
        let imports = found.remove(name);
        if imports.as_ref() != Some(&listed) {
            faults.push(format!("{name} is listed with {listed:?}; it has {imports:?}"));
        }
    }
    faults.extend(found.iter().map(|(name, has)| format!("{name} is not listed; it has {has:?}")));
    assert!(faults.is_empty(), "{source}:\n{}", faults.join("\n"));
}

#[test]
fn modules_of_the_switch_import_what_architecture_says() {
    check("actors/src");
}

#[test]
fn modules_of_the_program_import_what_architecture_says() {
    check("src");
}

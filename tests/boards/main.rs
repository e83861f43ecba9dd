//! Every board file against a tree of what the kernel of such a box shows. tests/fixtures/boards/README.md says how to add one.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "tests stop where they fail, and say so"
)]

mod mutation;
mod report;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use moorline::board::description::{Description, parse};

use report::report;
use tree::Tree;

/// A board file with its trees.
pub struct Case {
    pub id: String,
    pub toml: String,
    /// Name without its ending (`ID`, `ID@VARIANT`), text, and tree.
    pub trees: Vec<(String, String, Tree)>,
}

fn source(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn fixture(name: &str) -> PathBuf {
    source("tests/fixtures/boards").join(name)
}

/// Names of files of a directory with this ending, without it.
fn stems(dir: &Path, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<String> = entries.filter_map(|n| Some(n.strip_suffix(ending)?.to_owned())).collect();
    found.sort();
    found
}

/// Machines that are made of this software's own scripts have tests of their own.
fn is_simulated(id: &str) -> bool {
    id == "sim" || id == "sim-mcu" || id.starts_with("qemu-")
}

pub fn cases() -> Vec<Case> {
    let fixtures = stems(&fixture(""), ".tree");
    let case = |id: String| {
        let of_it = |name: &&String| name.split('@').next() == Some(id.as_str());
        let read = |name: &String| {
            let text = fs::read_to_string(fixture(&format!("{name}.tree"))).unwrap();
            let tree = tree::parse(&text).unwrap_or_else(|why| panic!("{name}.tree:{why}"));
            (name.clone(), text, tree)
        };
        let trees = fixtures.iter().filter(of_it).map(read).collect();
        let toml = fs::read_to_string(source(&format!("boards/{id}.toml"))).unwrap();
        Case { id, toml, trees }
    };
    stems(&source("boards"), ".toml").into_iter().filter(|id| !is_simulated(id)).map(case).collect()
}

/// All of them, also those of the simulated machines.
pub fn boards() -> Vec<Description> {
    let read = |id: String| {
        let text = fs::read_to_string(source(&format!("boards/{id}.toml"))).unwrap();
        parse(&text).unwrap_or_else(|faults| panic!("{id}.toml: {faults:?}"))
    };
    stems(&source("boards"), ".toml").into_iter().map(read).collect()
}

/// The text of an expectation.
fn told(report: &report::Report) -> String {
    format!("{}\n{}", report.said, report.seen)
}

#[test]
fn every_board_has_a_tree_and_every_tree_a_board() {
    let cases = cases();
    let bare: Vec<&str> = cases.iter().filter(|c| c.trees.is_empty()).map(|c| c.id.as_str()).collect();
    assert!(bare.is_empty(), "no tree in tests/fixtures/boards for {bare:?}");
    let owned: usize = cases.iter().map(|c| c.trees.len()).sum();
    assert_eq!(stems(&fixture(""), ".tree").len(), owned, "a tree without a board file");
    assert_eq!(
        stems(&fixture(""), ".tree"),
        stems(&fixture(""), ".expect"),
        "a tree or an expectation alone"
    );
}

#[test]
fn every_tree_is_recognised_as_one_board_and_read_as_expected() {
    let boards = boards();
    let mut wrong = Vec::new();
    for (name, _, tree) in cases().iter().flat_map(|c| &c.trees) {
        let dir = tempfile::tempdir().unwrap();
        tree::lay(dir.path(), &Tree::new(), tree);
        let found = report(dir.path(), &boards);
        let first = format!("board {}\n", name.split('@').next().unwrap());
        assert!(found.seen.starts_with(&first), "{name}: {}", found.seen);
        let file = fixture(&format!("{name}.expect"));
        if std::env::var_os("MOORLINE_BLESS").is_some() {
            fs::write(&file, told(&found)).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        if told(&found) != expected {
            wrong.push(difference(name, &expected, &told(&found)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The lines that are in one text only.
fn difference(name: &str, expected: &str, found: &str) -> String {
    let only = |a: &str, b: &str, sign: &str| {
        let lines = a.lines().filter(|line| !b.lines().any(|other| other == *line));
        lines.map(|line| format!("\n{sign} {line}")).collect::<String>()
    };
    format!("{name}:{}{}", only(expected, found, "-"), only(found, expected, "+"))
}

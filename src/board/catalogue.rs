//! All descriptions that there are: those in the binary, and those that the owner of the box put beside the configuration. A
//! core: reading the files is `io`'s.
//!
//! A file that is wrong hides no other. A file with the id of an embedded board replaces it: whoever may write there may also
//! change the configuration. Which one fits the box is decided by `select`, over all of them.

use super::description::{Description, parse};
use crate::typed_toml::Fault;

/// Files that are looked at: more than models that a firmware is for.
pub const FILES_MAX: usize = 32;
/// Largest file in bytes.
pub const FILE_MAX: usize = 64 * 1024;

/// Where a description is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The binary.
    Builtin,
    /// A file.
    File,
    /// A file in place of the binary's own.
    Replaces,
}

impl Origin {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Builtin => "built in",
            Self::File => "file",
            Self::Replaces => "file, replaces",
        }
    }
}

/// A file that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadFile {
    /// Its name without directories.
    pub name: String,
    /// Its text, for quoting; empty if it could not be read.
    pub text: String,
    /// What is wrong: at least one.
    pub faults: Vec<Fault>,
}

/// All descriptions that there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// By id, no two with the same.
    pub boards: Vec<Description>,
    /// Where those that are not embedded are from, by id.
    pub files: Vec<(String, Origin)>,
    /// Files that cannot be used.
    pub bad: Vec<BadFile>,
}

impl Catalogue {
    /// From the embedded ones, and files by name (`x.toml`) with their text or the reason why that cannot be read.
    pub fn new(builtin: Vec<Description>, files: Vec<(String, Result<String, String>)>) -> Self {
        let mut found = Self { boards: builtin, ..Self::default() };
        for (name, text) in files {
            found.take(name, text);
        }
        found.boards.sort_by(|a, b| a.id.cmp(&b.id));
        found
    }

    fn take(&mut self, name: String, text: Result<String, String>) {
        let text = match text {
            Ok(text) => text,
            Err(why) => {
                let help = format!("a board file is a text of at most {} KiB", FILE_MAX / 1024);
                self.refuse(
                    name,
                    String::new(),
                    vec![fault("unreadable-file", format!("the file {why}"), help)],
                );
                return;
            }
        };
        match parse(&text) {
            Ok(board) if name.strip_suffix(".toml") == Some(board.id.as_str()) => self.add(board),
            Ok(board) => {
                let message = format!("the id {} is not the name of the file", board.id);
                let help = format!("call the file {}.toml, or change id", board.id);
                self.refuse(name, text, vec![fault("bad-name", message, help)]);
            }
            Err(faults) => self.refuse(name, text, faults),
        }
    }

    /// File names differ, so their ids do.
    fn add(&mut self, board: Description) {
        let before = self.boards.iter_mut().find(|b| b.id == board.id);
        let origin = if before.is_some() { Origin::Replaces } else { Origin::File };
        self.files.push((board.id.clone(), origin));
        match before {
            Some(before) => *before = board,
            None => self.boards.push(board),
        }
    }

    fn refuse(&mut self, name: String, text: String, faults: Vec<Fault>) {
        self.bad.push(BadFile { name, text, faults });
    }

    /// Where a description is from.
    pub fn origin(&self, id: &str) -> Origin {
        self.files.iter().find(|(file, _)| file == id).map_or(Origin::Builtin, |(_, origin)| *origin)
    }
}

fn fault(code: &'static str, message: String, help: String) -> Fault {
    Fault { line: 1, column: 1, code, message, help }
}

#[cfg(test)]
mod tests {
    use super::super::{builtin, select};
    use super::*;

    fn text(id: &str, model: &str) -> String {
        format!(
            "schema = 1\nid = {id:?}\nname = \"N\"\nsoc = \"s\"\nisa = \"any\"\nsource = [\"a:b\"]\n[[match]]\nmodel = [{model:?}]\n"
        )
    }

    fn file(name: &str, text: &str) -> (String, Result<String, String>) {
        (name.to_owned(), Ok(text.to_owned()))
    }

    #[test]
    fn a_file_adds_a_board_and_one_of_the_same_id_replaces_it() {
        let files = vec![file("aa.toml", &text("aa", "A")), file("sim.toml", &text("sim", "S"))];
        let found = Catalogue::new(builtin::all(), files);
        assert_eq!(found.boards.len(), builtin::all().len() + 1);
        assert_eq!((found.boards[0].id.as_str(), found.bad.len()), ("aa", 0));
        let origins = ["aa", "sim", "kobol-helios64"].map(|id| found.origin(id));
        assert_eq!(origins, [Origin::File, Origin::Replaces, Origin::Builtin]);
        let facts = |model: &str| select::Facts { model: Some(model.into()), ..Default::default() };
        let select = |model: &str| select::select(&found.boards, &facts(model), None).map(|b| b.id);
        assert_eq!(select("S"), Ok("sim".to_owned()));
        assert!(select("moorline simulated two-bay NAS").is_err(), "the replaced one is gone");
    }

    #[test]
    fn a_bad_file_is_told_with_its_place_and_hides_no_other() {
        let files = vec![
            file("bad.toml", &(text("bad", "A") + "isaa = 1\n")),
            ("gone.toml".to_owned(), Err("cannot be read: x".to_owned())),
            file("other.toml", &text("name", "A")),
            file("good.toml", &text("good", "A")),
        ];
        let found = Catalogue::new(Vec::new(), files);
        assert_eq!(found.boards.iter().map(|b| b.id.as_str()).collect::<Vec<_>>(), ["good"]);
        let bad: Vec<_> =
            found.bad.iter().map(|b| (b.name.as_str(), b.faults[0].line, b.faults[0].code)).collect();
        let expect = [
            ("bad.toml", 9, "unknown-key"),
            ("gone.toml", 1, "unreadable-file"),
            ("other.toml", 1, "bad-name"),
        ];
        assert_eq!(bad, expect);
    }

    #[test]
    fn a_file_that_fits_a_box_of_an_embedded_board_is_refused_there() {
        let files = vec![file("mine.toml", &text("mine", "Kobol Helios64"))];
        let found = Catalogue::new(builtin::all(), files);
        let facts = select::Facts { model: Some("Kobol Helios64".into()), ..Default::default() };
        let error = select::select(&found.boards, &facts, None).unwrap_err();
        assert_eq!(error, select::NoBoard::Ambiguous(vec!["kobol-helios64".into(), "mine".into()]));
        assert_eq!(select::select(&found.boards, &facts, Some("mine")).unwrap().id, "mine");
    }
}

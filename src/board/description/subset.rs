//! Which boards a firmware wants in its binary: the environment variable `MOORLINE_BOARDS` of the build.

/// What is embedded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subset<'a> {
    /// All of boards/.
    All,
    /// None: the firmware brings its own at run time.
    None,
    /// These of boards/, by id.
    Ids(Vec<&'a str>),
    /// All of another directory.
    Directory(&'a str),
}

impl<'a> Subset<'a> {
    /// Understands the variable: ids between blanks or commas, a directory (it has a slash in it), `none`, or nothing.
    pub fn of(text: &'a str) -> Self {
        let text = text.trim();
        match text {
            "" => Self::All,
            "none" => Self::None,
            _ if text.contains('/') => Self::Directory(text),
            _ => Self::Ids(text.split([' ', ',', '\t', '\n']).filter(|id| !id.is_empty()).collect()),
        }
    }

    /// Where the files are; `None`: there are none.
    pub const fn directory(&self) -> Option<&'a str> {
        match self {
            Self::All | Self::Ids(_) => Some("boards"),
            Self::None => None,
            Self::Directory(directory) => Some(directory),
        }
    }

    /// Whether the board is wanted.
    pub fn has(&self, id: &str) -> bool {
        match self {
            Self::All | Self::Directory(_) => true,
            Self::None => false,
            Self::Ids(ids) => ids.contains(&id),
        }
    }

    /// Ids that are wanted and not there: a spelling mistake, which must not make an image without its board.
    pub fn missing(&self, there: &[&str]) -> Vec<&'a str> {
        match self {
            Self::Ids(ids) => ids.iter().filter(|id| !there.contains(id)).copied().collect(),
            Self::All | Self::None | Self::Directory(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_names_ids_or_a_directory() {
        for text in ["", " \n"] {
            assert_eq!(Subset::of(text), Subset::All);
        }
        assert_eq!(Subset::of("a-b, c\nd"), Subset::Ids(vec!["a-b", "c", "d"]));
        assert_eq!(Subset::of("./mine"), Subset::Directory("./mine"));
        assert_eq!(Subset::of("none").directory(), None);
        let two = Subset::of("a b");
        assert_eq!((two.directory(), two.has("a"), two.has("c")), (Some("boards"), true, false));
        assert_eq!(two.missing(&["b", "c"]), ["a"]);
        assert!(Subset::of("x/").has("c") && Subset::All.has("c") && !Subset::None.has("c"));
    }
}

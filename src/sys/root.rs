//! The prefix under which the kernel's trees are found, and bounded reads from them.
//!
//! With `--root DIR` a whole NAS is simulated from a directory: `/sys`, `/proc`, `/dev` and `/etc` are looked up below it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Longest attribute that is read from sysfs or procfs. sysfs shows at most one page (kernel:
/// Documentation/filesystems/sysfs.rst); /proc/mdstat of a box with some dozen arrays stays below this.
pub const READ_MAX: usize = 64 * 1024;

/// Where `/` is, as far as the hardware is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root(PathBuf);

impl Root {
    /// The real machine.
    pub fn real() -> Self {
        Self(PathBuf::from("/"))
    }

    /// A NAS simulated in the directory `prefix`.
    pub fn simulated(prefix: PathBuf) -> Self {
        Self(prefix)
    }

    /// Whether this is the machine itself.
    pub fn is_real(&self) -> bool {
        self.0 == Path::new("/")
    }

    /// `absolute`, for example `/sys/class/leds`, below the prefix.
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.0.join(absolute.trim_start_matches('/'))
    }

    /// A small text file without its trailing line end; bytes that are not UTF-8 are replaced.
    ///
    /// # Errors
    /// As [`read_small`].
    pub fn read(&self, absolute: &str) -> io::Result<String> {
        read_small(&self.path(absolute))
    }
}

/// A small text file without trailing blanks and line ends; bytes that are not UTF-8 are replaced.
///
/// # Errors
/// The error of the system, or `FileTooLarge` above [`READ_MAX`] bytes.
pub fn read_small(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(READ_MAX as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > READ_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut text = String::from_utf8_lossy(&bytes).into_owned();
    text.truncate(text.trim_end().len());
    Ok(text)
}

/// Names and paths in a directory, sorted; none if it is not there. No more than the first `most` that the system tells are looked at.
pub fn listed(dir: &Path, most: usize) -> Vec<(String, PathBuf)> {
    listed_where(dir, most, |_| true)
}

/// As [`listed`], of the names that are wanted: however many others there are, they take nobody's place.
pub fn listed_where(dir: &Path, most: usize, wanted: impl Fn(&str) -> bool) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let named =
        entries.filter_map(Result::ok).map(|e| (e.file_name().to_string_lossy().into_owned(), e.path()));
    let mut found: Vec<(String, PathBuf)> = named.filter(|(name, _)| wanted(name)).take(most).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simulated_root_prefixes_absolute_paths() {
        let root = Root::simulated(PathBuf::from("/tmp/nas"));
        assert_eq!(root.path("/sys/class"), PathBuf::from("/tmp/nas/sys/class"));
        assert!(!root.is_real() && Root::real().is_real());
    }

    #[test]
    fn reads_are_bounded_and_trimmed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("x");
        std::fs::write(&file, "clean \n").unwrap();
        assert_eq!(read_small(&file).unwrap(), "clean");
        std::fs::write(&file, vec![b'a'; READ_MAX + 1]).unwrap();
        assert_eq!(read_small(&file).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn names_that_are_not_wanted_take_nobodys_place() {
        let dir = tempfile::tempdir().unwrap();
        for name in (0..300).map(|n| format!("loop{n}")).chain(["md1".into(), "md0".into()]) {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let found = listed_where(dir.path(), 2, |name| name.starts_with("md"));
        assert_eq!(found, ["md0", "md1"].map(|name| (name.to_owned(), dir.path().join(name))));
        assert_eq!(listed(dir.path(), 2).len(), 2);
        assert_eq!(listed(&dir.path().join("nowhere"), 2), []);
    }
}

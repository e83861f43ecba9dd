//! The boards that the build embedded. A leaf of this domain.

use super::description::Description;
use crate::packed::unpack;

/// Made by build.rs from boards/*.toml.
const BLOB: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/boards.packed"));

/// All of them, by id.
pub fn all() -> Vec<Description> {
    // The build has checked it, and a test reads it again.
    postcard::from_bytes(&unpack(BLOB)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::description::subset::Subset;
    use super::*;

    #[test]
    fn the_blob_is_what_the_files_say() {
        let wanted = Subset::of(option_env!("MOORLINE_BOARDS").unwrap_or_default());
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(wanted.directory().unwrap());
        let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        files.retain(|p| p.extension().is_some_and(|e| e == "toml"));
        files.sort();
        let read = |path: &std::path::PathBuf| {
            let board = super::super::description::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
            assert_eq!(path.file_stem().unwrap().to_str().unwrap(), board.id);
            board
        };
        let mut expected: Vec<Description> = files.iter().map(read).collect();
        expected.retain(|b| wanted.has(&b.id));
        assert_eq!(all(), expected);
        assert!(!expected.is_empty());
    }

    #[test]
    fn no_box_could_be_two_of_them() {
        assert_eq!(super::super::description::conflicts(&all()), []);
    }

    #[test]
    fn the_blob_is_small() {
        // What it adds to the binary: some forty boards are 8 KiB, half a percent of what the armv7 binary may have. A firmware
        // for few models embeds only those.
        let each = BLOB.len() / all().len();
        assert!(each < 250 && BLOB.len() < 12 * 1024, "{each} bytes a board, {} in all", BLOB.len());
    }
}

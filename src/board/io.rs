//! What the box says of itself, as the kernel shows it, and the board files that its owner put there. A shell.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use super::builtin;
use super::catalogue::{Catalogue, FILE_MAX, FILES_MAX};
use super::select::Facts;
use crate::sys::root::{Root, listed, read_small};

/// Entries of `compatible` that are looked at; real lists have two to four.
const COMPATIBLE_MAX: usize = 16;
/// Entries of one class directory that are looked at.
const ENTRIES_MAX: usize = 128;
/// The class of the ATA ports.
const ATA_PORTS: &str = "/sys/class/ata_port";
/// Where board files can be put beside those in the binary.
const FILES: &str = "/etc/moorline/boards";

/// Reads the facts; what is not there is not known.
pub fn facts(root: &Root) -> Facts {
    let text = |path: &str| root.read(path).unwrap_or_default();
    let model = text("/proc/device-tree/model").trim_end_matches('\0').to_owned();
    let compatible = text("/proc/device-tree/compatible");
    Facts {
        model: (!model.is_empty()).then_some(model),
        compatible: compatible
            .split('\0')
            .filter(|c| !c.is_empty())
            .take(COMPATIBLE_MAX)
            .map(str::to_owned)
            .collect(),
        hardware: hardware(&text("/proc/cpuinfo")),
        memory_mib: memory_mib(&text("/proc/meminfo")),
        mtd: partitions(root),
        sata_ports: listed(&root.path(ATA_PORTS), ENTRIES_MAX).len(),
    }
}

/// The line `MemTotal:  507708 kB`.
fn memory_mib(meminfo: &str) -> Option<u32> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    u32::try_from(kib / 1024).ok()
}

/// Names of the MTD partitions. Each is there a second time, as `mtd0ro`.
fn partitions(root: &Root) -> Vec<String> {
    let all = listed(&root.path("/sys/class/mtd"), ENTRIES_MAX);
    let partitions = all.into_iter().filter(|(name, _)| !name.ends_with("ro"));
    partitions.filter_map(|(_, dir)| read_small(&dir.join("name")).ok()).collect()
}

/// Device paths of the ATA ports, each with `/ataN` at its end.
pub fn ports(root: &Root) -> Vec<String> {
    // The class has links to devices/…/ata1/ata_port/ata1.
    let port = |(_, link): (String, PathBuf)| {
        let path = fs::canonicalize(link).ok()?;
        Some(path.parent()?.parent()?.to_string_lossy().into_owned())
    };
    listed(&root.path(ATA_PORTS), ENTRIES_MAX).into_iter().filter_map(port).collect()
}

/// The descriptions in the binary and those in /etc/moorline/boards.
pub fn catalogue(root: &Root) -> Catalogue {
    let all = listed(&root.path(FILES), ENTRIES_MAX);
    let files = all.into_iter().filter(|(name, _)| name.ends_with(".toml"));
    let read = |(at, (name, path)): (usize, (String, PathBuf))| {
        let text = if at < FILES_MAX {
            board_file(&path)
        } else {
            Err(format!("is one too many: {FILES_MAX} are looked at"))
        };
        (name, text)
    };
    Catalogue::new(builtin::all(), files.enumerate().map(read).collect())
}

/// The text of a board file, or why there is none.
///
/// # Errors
/// In words that go on after "the file".
pub fn board_file(path: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("cannot be read: {error}");
    // Opening a pipe would wait for somebody to write.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err("is no file".to_owned());
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > FILE_MAX {
        return Err(format!("has more than {} KiB", FILE_MAX / 1024));
    }
    String::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())
}

/// The line `Hardware`, which 32-bit ARM kernels print with a tab before the colon.
fn hardware(cpuinfo: &str) -> Option<String> {
    let value = |line: &str| {
        line.strip_prefix("Hardware")?.trim_start().strip_prefix(':').map(str::trim).map(str::to_owned)
    };
    cpuinfo.lines().find_map(value).filter(|h| !h.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_the_device_tree_end_with_nul() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("proc/device-tree");
        std::fs::create_dir_all(&tree).unwrap();
        std::fs::write(tree.join("model"), "Kobol Helios64\0").unwrap();
        std::fs::write(tree.join("compatible"), "kobol,helios64\0rockchip,rk3399\0").unwrap();
        std::fs::write(dir.path().join("proc/cpuinfo"), "processor\t: 0\n\nHardware\t: X Y\nRevision\t: 1\n")
            .unwrap();
        let facts = facts(&Root::simulated(dir.path().to_owned()));
        assert_eq!(facts.model.as_deref(), Some("Kobol Helios64"));
        assert_eq!(facts.compatible, ["kobol,helios64", "rockchip,rk3399"]);
        assert_eq!(facts.hardware.as_deref(), Some("X Y"));
    }

    fn put(dir: &Path, path: &str, text: &[u8]) {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn memory_partitions_and_ports_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "proc/meminfo", b"MemTotal:         507708 kB\nMemFree: 1 kB\n");
        for (name, text) in [("mtd0", "u-boot\n"), ("mtd0ro", "u-boot\n"), ("mtd1", "rescue fw\n")] {
            put(dir.path(), &format!("sys/class/mtd/{name}/name"), text.as_bytes());
        }
        fs::create_dir_all(dir.path().join("sys/class/ata_port")).unwrap();
        for n in [3, 4] {
            let device = format!("sys/devices/soc/f10a8000.sata/ata{n}/ata_port/ata{n}");
            fs::create_dir_all(dir.path().join(&device)).unwrap();
            let link = dir.path().join(format!("sys/class/ata_port/ata{n}"));
            std::os::unix::fs::symlink(format!("../../../{device}"), link).unwrap();
        }
        let root = Root::simulated(dir.path().to_owned());
        let facts = facts(&root);
        assert_eq!((facts.memory_mib, facts.sata_ports), (Some(495), 2));
        assert_eq!(facts.mtd, ["u-boot", "rescue fw"]);
        let ports = ports(&root);
        assert_eq!(ports.len(), 2);
        assert!(ports[0].ends_with("/sys/devices/soc/f10a8000.sata/ata3"), "{ports:?}");
        for (text, expect) in
            [("", None), ("MemTotal: x kB", None), ("MemTotal: 2048", None), ("MemTotal: 1 kB", Some(0))]
        {
            assert_eq!(memory_mib(text), expect, "{text}");
        }
    }

    #[test]
    fn board_files_are_read_within_bounds() {
        let dir = tempfile::tempdir().unwrap();
        let sim = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/boards/sim.toml")).unwrap();
        let mine = |n: usize| sim.replace("id = \"sim\"", &format!("id = \"b{n:02}\"")).into_bytes();
        for n in 0..=FILES_MAX {
            put(dir.path(), &format!("etc/moorline/boards/b{n:02}.toml"), &mine(n));
        }
        put(dir.path(), "etc/moorline/boards/notes.txt", b"no board");
        let found = catalogue(&Root::simulated(dir.path().to_owned()));
        assert_eq!(found.files.len(), FILES_MAX);
        let bad: Vec<&str> = found.bad.iter().map(|b| b.name.as_str()).collect();
        assert_eq!(bad, [format!("b{FILES_MAX}.toml")], "the one too many is told");

        put(dir.path(), "large", &vec![b'#'; FILE_MAX + 1]);
        put(dir.path(), "full", &vec![b'#'; FILE_MAX]);
        put(dir.path(), "odd", b"\xff");
        nix::unistd::mkfifo(&dir.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let why = |name: &str| board_file(&dir.path().join(name)).unwrap_err();
        assert!(board_file(&dir.path().join("full")).is_ok());
        assert_eq!((why("large").as_str(), why("odd").as_str()), ("has more than 64 KiB", "is not UTF-8"));
        assert_eq!((why("pipe").as_str(), why("etc").as_str()), ("is no file", "is no file"));
        assert!(why("gone").starts_with("cannot be read: "));
    }

    #[test]
    fn a_box_that_says_nothing_has_no_facts() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(facts(&Root::simulated(dir.path().to_owned())), Facts::default());
    }
}

//! What the box says of itself, from the device tree and the processor list that the kernel shows. A shell.

use super::select::Facts;
use crate::sys::root::Root;

/// Entries of `compatible` that are looked at; real lists have two to four.
const COMPATIBLE_MAX: usize = 16;

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
    }
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

    #[test]
    fn a_box_that_says_nothing_has_no_facts() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(facts(&Root::simulated(dir.path().to_owned())), Facts::default());
    }
}

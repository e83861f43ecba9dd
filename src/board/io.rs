//! What the box says of itself, from the device tree that the kernel shows. A shell.

use super::select::Facts;
use crate::sys::root::Root;

/// Reads the facts; what is not there is not known.
pub fn facts(root: &Root) -> Facts {
    let text = |path: &str| root.read(path).unwrap_or_default();
    let model = text("/proc/device-tree/model").trim_end_matches('\0').to_owned();
    let compatible = text("/proc/device-tree/compatible");
    Facts {
        model: (!model.is_empty()).then_some(model),
        compatible: compatible.split('\0').filter(|c| !c.is_empty()).map(str::to_owned).collect(),
    }
}

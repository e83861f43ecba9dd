//! What else is seen of an array, in words: warnings that call for somebody, and remarks that are good to know. A core.

use super::state::Doing;
use super::sysfs::{Completed, MemberTexts, Texts, Work};

/// Warnings and remarks.
pub(super) fn of(texts: &Texts, doing: Option<Doing>) -> (Vec<String>, Vec<String>) {
    let (mut warnings, mut remarks) = (Vec::new(), Vec::new());
    let named = |pick: &dyn Fn(&MemberTexts) -> bool| {
        let names: Vec<&str> = texts.members.iter().filter(|m| pick(m)).map(|m| m.device.as_str()).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    differences(texts, doing, &mut warnings, &mut remarks);
    if let Some(names) = named(&|m| m.is_faulty()) {
        warnings.push(format!("the kernel has given up {names}"));
    }
    if let Some(names) = named(&|m| m.gone && m.is_in_sync()) {
        warnings.push(format!("{names} is no longer there; md notices at its next access"));
    }
    if let Some(names) = named(&|m| !m.is_faulty() && (m.says("write_error") || m.says("want_replacement"))) {
        warnings.push(format!("{names} had write errors or wants replacement"));
    }
    if let Some(names) = named(&|m| !m.is_faulty() && m.bad_blocks) {
        warnings.push(format!("{names} has sectors that md found bad"));
    }
    if texts.is_container() {
        let kind = texts.metadata.as_deref().unwrap_or_default();
        remarks.push(format!("a container ({kind}): the arrays in it are listed by themselves"));
    }
    match texts.array_state.as_deref() {
        Some("readonly") => remarks.push("it is read only".to_owned()),
        Some("read-auto") => remarks.push("it is read only until the first write".to_owned()),
        _ => {}
    }
    if texts.completed() == Completed::Delayed {
        remarks.push("waits for another array on the same disks".to_owned());
    } else if texts.is_sync_pending()
        && texts.sync_action.as_deref() != Some("frozen")
        && texts.is_held_back()
    {
        remarks.push("a synchronisation waits until it is written to".to_owned());
    }
    if texts.sync_action.as_deref() == Some("frozen") {
        remarks.push("md was told to begin nothing (frozen)".to_owned());
    }
    if doing.is_some_and(|d| d.work == Work::Recover)
        && texts.missing() == 0
        && named(&|m| m.says("replacement")).is_some()
    {
        remarks.push("a disk is being replaced that still works".to_owned());
    }
    (warnings, remarks)
}

/// `mismatch_cnt` means what `last_sync_action` says it is of; a rebuild leaves it as it was.
fn differences(texts: &Texts, doing: Option<Doing>, warnings: &mut Vec<String>, remarks: &mut Vec<String>) {
    let sectors = texts.differences();
    if sectors == 0 {
        return;
    }
    let of = texts.last_sync_action.as_deref().and_then(Work::of);
    let swap = match texts.level.as_deref() {
        // md(4), "SCRUBBING AND MISMATCHES".
        Some("raid1" | "raid10") => "; usual where a swap area is on it",
        _ => "",
    };
    match (doing.map(|d| d.work), of) {
        (Some(Work::Check), _) => {
            remarks.push(format!("the check sees differences in {sectors} sectors so far"));
        }
        (Some(Work::Repair), _) => {
            remarks.push(format!("{sectors} sectors that differed are equal again so far"))
        }
        (_, Some(Work::Repair)) => {
            remarks.push(format!("the last repair made {sectors} sectors equal that differed"));
        }
        // The count is older than that, and the disks are no longer those it is of.
        (_, Some(Work::Recover | Work::Resync | Work::Reshape)) => {
            remarks.push(format!("an earlier check or repair saw differences in {sectors} sectors"));
        }
        _ => warnings.push(format!("the last check saw differences in {sectors} sectors{swap}")),
    }
}

/// Of disks whose reads went wrong since they were first looked at.
pub(super) fn read_errors(members: &[MemberTexts]) -> Option<String> {
    let more = |m: &&MemberTexts| m.errors > m.errors_before;
    let words: Vec<String> = members
        .iter()
        .filter(more)
        .map(|m| format!("{} of {}", m.errors.saturating_sub(m.errors_before), m.device))
        .collect();
    (!words.is_empty()).then(|| format!("read errors, corrected by another disk: {}", words.join(", ")))
}

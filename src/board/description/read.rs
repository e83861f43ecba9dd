//! Reading the values that board files are made of: bounded lists, words of a fixed set, plain names.

use crate::typed_toml::{At, Reader, Table};

/// Entries of one list of a board file: more is a mistake, not a NAS.
pub(super) const LIST_MAX: usize = 16;
/// Longest text in bytes: sources are the longest, addresses in a repository.
const TEXT_MAX: usize = 200;

/// The word for a value.
pub fn word_of<T: PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, v)| *v == value).map_or("", |(word, _)| word)
}

/// A list of texts with their places, bounded.
pub(super) fn placed<'t>(r: &mut Reader<'t>, t: &mut Table<'t>, key: &'static str) -> Vec<At<String>> {
    let Some(list) = t.strings(r, key) else { return Vec::new() };
    if list.value.len() > LIST_MAX {
        let help = format!("{LIST_MAX} entries are the most");
        r.complain(list.at, "too-many", format!("{key} has {} entries", list.value.len()), help);
    }
    let mut found: Vec<At<String>> = Vec::new();
    for item in list.value.into_iter().take(LIST_MAX) {
        checked(r, key, &item);
        if found.iter().any(|f| f.value == item.value) {
            let message = format!("{key} has {:?} twice", item.value);
            r.complain(item.at, "impossible", message, "take out one of the two".into());
        }
        found.push(item);
    }
    found
}

/// A list of texts, bounded.
pub(super) fn texts<'t>(r: &mut Reader<'t>, t: &mut Table<'t>, key: &'static str) -> Vec<String> {
    placed(r, t, key).into_iter().map(|item| item.value).collect()
}

/// One text, bounded.
pub(super) fn text<'t>(r: &mut Reader<'t>, t: &mut Table<'t>, key: &'static str) -> Option<At<String>> {
    let found = t.string(r, key)?;
    checked(r, key, &found);
    Some(found)
}

/// One text that must be there, bounded.
pub(super) fn needed<'t>(r: &mut Reader<'t>, t: &mut Table<'t>, key: &'static str) -> Option<At<String>> {
    let found = t.required(r, key)?;
    checked(r, key, &found);
    Some(found)
}

fn checked(r: &mut Reader<'_>, key: &str, text: &At<String>) {
    if text.value.is_empty() || text.value.len() > TEXT_MAX || text.value.chars().any(char::is_control) {
        let help = format!("write 1 to {TEXT_MAX} bytes, on one line");
        r.complain(text.at, "bad-value", format!("{key} has a text that is empty, too long or odd"), help);
    }
}

/// A small number.
pub(super) fn count<'t>(
    r: &mut Reader<'t>,
    t: &mut Table<'t>,
    key: &'static str,
    low: u8,
    most: usize,
) -> Option<u8> {
    let found = t.integer(r, key, low.into(), i64::try_from(most).unwrap_or(i64::MAX))?;
    u8::try_from(found.value).ok()
}

/// A word of a fixed set.
pub(super) fn word<'t, T: Copy>(
    r: &mut Reader<'t>,
    t: &mut Table<'t>,
    key: &'static str,
    words: &[(&'static str, T)],
) -> Option<T> {
    let found = t.string(r, key)?;
    meaning(r, key, &found, words)
}

/// Words of a fixed set, each once.
pub(super) fn words<'t, T: Copy>(
    r: &mut Reader<'t>,
    t: &mut Table<'t>,
    key: &'static str,
    words: &[(&'static str, T)],
) -> Vec<At<T>> {
    let listed = placed(r, t, key);
    let known = |item: &At<String>| Some(At { value: meaning(r, key, item, words)?, at: item.at });
    listed.iter().filter_map(known).collect()
}

fn meaning<T: Copy>(
    r: &mut Reader<'_>,
    key: &str,
    found: &At<String>,
    words: &[(&'static str, T)],
) -> Option<T> {
    let known = words.iter().find(|(word, _)| *word == found.value).map(|(_, value)| *value);
    if known.is_none() {
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let message = format!("{key} is {:?}", found.value);
        r.complain(found.at, "bad-value", message, format!("known here: {}", all.join(", ")));
    }
    known
}

/// Names that events and paths can have: a-z, 0-9 and -.
pub(super) fn is_id(r: &mut Reader<'_>, id: &At<String>) -> bool {
    let good =
        !id.value.is_empty() && id.value.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if !good {
        let message = format!("the name is {:?}", id.value);
        r.complain(id.at, "bad-name", message, "write a-z, 0-9 and - only".into());
    }
    good
}

/// A serial port by its plain name: it becomes part of a path.
pub(super) fn tty<'t>(r: &mut Reader<'t>, t: &mut Table<'t>, key: &'static str) -> Option<At<String>> {
    let found = text(r, t, key)?;
    let good = found
        .value
        .strip_prefix("tty")
        .is_some_and(|rest| (1..=8).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric()));
    if good {
        return Some(found);
    }
    let help = "write the plain name of a serial port: \"ttyS1\"".into();
    r.complain(found.at, "bad-name", format!("{key} is {:?}", found.value), help);
    None
}

/// Keys that say which level of a wire is on.
pub(super) fn no_polarity<'t>(r: &mut Reader<'t>, t: &mut Table<'t>) {
    for key in ["active_low", "active_high", "polarity", "inverted"] {
        let help = "leave it out: the device tree knows, and kernels differ in it for the same box";
        t.refuse(r, key, "polarity", "polarity is never in a board file", help);
    }
}

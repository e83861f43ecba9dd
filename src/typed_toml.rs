//! TOML read with care: every value typed, every unknown key named, every complaint with line and column and what would
//! be right. A leaf, also used by the build script for the board files; it names nothing but `toml-span`.

use std::fmt;

use toml_span::value::{Table as RawTable, ValueInner};

/// A complaint about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Stable name.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: error[{}]: {}", self.line, self.column, self.code, self.message)
    }
}

/// A file being read, and the complaints so far.
pub struct Reader<'t> {
    text: &'t str,
    faults: Vec<Fault>,
}

/// A value and where it stands (byte in the file).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where.
    pub at: usize,
}

/// A table of the file; what is not taken from it is unknown.
pub struct Table<'t> {
    name: String,
    at: usize,
    entries: RawTable<'t>,
    known: Vec<&'static str>,
}

impl<'t> Reader<'t> {
    /// Reads the syntax; `None` if that fails, with the complaint kept.
    pub fn new(text: &'t str) -> (Self, Option<Table<'t>>) {
        let mut reader = Self { text, faults: Vec::new() };
        let table = match toml_span::parse(text) {
            Ok(mut value) => match value.take() {
                ValueInner::Table(entries) => {
                    Some(Table { name: String::new(), at: 0, entries, known: Vec::new() })
                }
                _ => None,
            },
            Err(error) => {
                let help =
                    "write it as TOML 1.0: key = value, strings in quotes, [tables] in brackets".into();
                reader.complain(error.span.start, "syntax", error.to_string(), help);
                None
            }
        };
        (reader, table)
    }

    /// One more complaint, at byte `at`.
    pub fn complain(&mut self, at: usize, code: &'static str, message: String, help: String) {
        let before = self.text.get(..at.min(self.text.len())).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        self.faults.push(Fault { line, column, code, message, help });
    }

    /// All complaints, in the order of the file.
    pub fn finish(mut self) -> Vec<Fault> {
        self.faults.sort_by_key(|f| (f.line, f.column));
        self.faults
    }

    /// Whether there is nothing to complain about.
    pub const fn is_content(&self) -> bool {
        self.faults.is_empty()
    }
}

impl<'t> Table<'t> {
    /// Where it stands.
    pub const fn at(&self) -> usize {
        self.at
    }

    fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    fn take(&mut self, key: &'static str) -> Option<(usize, ValueInner<'t>)> {
        self.known.push(key);
        let mut value = self.entries.remove(key)?;
        Some((value.span.start, value.take()))
    }

    fn wrong(&self, reader: &mut Reader<'t>, key: &str, at: usize, wanted: &str, found: &ValueInner<'t>) {
        let name = self.full(key);
        reader.complain(
            at,
            "wrong-type",
            format!("{name} is {} where {wanted} is wanted", article(found.type_str())),
            format!("write {name} = {}", sample(wanted)),
        );
    }

    /// A string.
    pub fn string(&mut self, reader: &mut Reader<'t>, key: &'static str) -> Option<At<String>> {
        match self.take(key)? {
            (at, ValueInner::String(text)) => Some(At { value: text.into_owned(), at }),
            (at, other) => {
                self.wrong(reader, key, at, "a string", &other);
                None
            }
        }
    }

    /// A string that must be there.
    pub fn required(&mut self, reader: &mut Reader<'t>, key: &'static str) -> Option<At<String>> {
        if !self.entries.contains_key(key) {
            let name = self.full(key);
            self.known.push(key);
            let help = format!("write {name} = \"…\"");
            reader.complain(self.at, "missing-key", format!("{name} is missing"), help);
        }
        self.string(reader, key)
    }

    /// A whole number in a range.
    pub fn integer(
        &mut self,
        reader: &mut Reader<'t>,
        key: &'static str,
        low: i64,
        high: i64,
    ) -> Option<At<i64>> {
        let name = self.full(key);
        match self.take(key)? {
            (at, ValueInner::Integer(value)) if (low..=high).contains(&value) => Some(At { value, at }),
            (at, ValueInner::Integer(value)) => {
                let help = format!("write a number from {low} to {high}");
                reader.complain(at, "out-of-range", format!("{name} is {value}"), help);
                None
            }
            (at, other) => {
                self.wrong(reader, key, at, "a whole number", &other);
                None
            }
        }
    }

    /// A yes or no.
    pub fn boolean(&mut self, reader: &mut Reader<'t>, key: &'static str) -> Option<At<bool>> {
        match self.take(key)? {
            (at, ValueInner::Boolean(value)) => Some(At { value, at }),
            (at, other) => {
                self.wrong(reader, key, at, "true or false", &other);
                None
            }
        }
    }

    /// A list of strings; `None` if it is not there.
    pub fn strings(&mut self, reader: &mut Reader<'t>, key: &'static str) -> Option<At<Vec<At<String>>>> {
        let (at, ValueInner::Array(items)) = self.array(reader, key)? else { return None };
        let mut list = Vec::new();
        for mut item in items {
            let at = item.span.start;
            match item.take() {
                ValueInner::String(text) => list.push(At { value: text.into_owned(), at }),
                other => self.wrong(reader, key, at, "a list of strings", &other),
            }
        }
        Some(At { value: list, at })
    }

    /// A list of whole numbers in a range; `None` if it is not there or one of them is wrong.
    pub fn integers(
        &mut self,
        reader: &mut Reader<'t>,
        key: &'static str,
        low: i64,
        high: i64,
    ) -> Option<At<Vec<i64>>> {
        let (at, ValueInner::Array(items)) = self.array(reader, key)? else { return None };
        let mut list = Some(Vec::new());
        for mut item in items {
            let at = item.span.start;
            match item.take() {
                ValueInner::Integer(value) if (low..=high).contains(&value) => {
                    list.iter_mut().for_each(|l| l.push(value));
                }
                ValueInner::Integer(value) => {
                    let name = self.full(key);
                    let help = format!("write numbers from {low} to {high}");
                    reader.complain(at, "out-of-range", format!("{name} has {value}"), help);
                    list = None;
                }
                other => {
                    self.wrong(reader, key, at, "a list of whole numbers", &other);
                    list = None;
                }
            }
        }
        Some(At { value: list?, at })
    }

    /// Complains about a key that must not be there, for a reason of its own; it is not offered as a known one.
    pub fn refuse(
        &mut self,
        reader: &mut Reader<'t>,
        key: &str,
        code: &'static str,
        message: &str,
        help: &str,
    ) {
        if let Some((key, _)) = self.entries.remove_entry(key) {
            reader.complain(key.span.start, code, message.to_owned(), help.to_owned());
        }
    }

    fn array(&mut self, reader: &mut Reader<'t>, key: &'static str) -> Option<(usize, ValueInner<'t>)> {
        match self.take(key)? {
            found @ (_, ValueInner::Array(_)) => Some(found),
            (at, other) => {
                self.wrong(reader, key, at, "a list of strings", &other);
                None
            }
        }
    }

    /// A table inside this one.
    pub fn table(&mut self, reader: &mut Reader<'t>, key: &'static str) -> Option<Self> {
        let name = self.full(key);
        match self.take(key)? {
            (at, ValueInner::Table(entries)) => Some(Self { name, at, entries, known: Vec::new() }),
            (at, other) => {
                self.wrong(reader, key, at, "a table", &other);
                None
            }
        }
    }

    /// A list of tables (`[[key]]`).
    pub fn tables(&mut self, reader: &mut Reader<'t>, key: &'static str) -> Vec<Self> {
        let name = self.full(key);
        let items = match self.take(key) {
            Some((_, ValueInner::Array(items))) => items,
            Some((at, other)) => {
                self.wrong(reader, key, at, "a list of tables", &other);
                return Vec::new();
            }
            None => return Vec::new(),
        };
        let mut list = Vec::new();
        for mut item in items {
            let at = item.span.start;
            match item.take() {
                ValueInner::Table(entries) => {
                    list.push(Self { name: name.clone(), at, entries, known: Vec::new() })
                }
                other => self.wrong(reader, key, at, "a list of tables", &other),
            }
        }
        list
    }

    /// Complains about everything that nobody asked for.
    pub fn finish(self, reader: &mut Reader<'t>) {
        for key in self.entries.keys() {
            let name = if self.name.is_empty() {
                key.name.to_string()
            } else {
                format!("{}.{}", self.name, key.name)
            };
            let near = self
                .known
                .iter()
                .min_by_key(|k| distance(k, &key.name))
                .filter(|k| distance(k, &key.name) <= 3);
            let help = match near {
                Some(near) => format!("did you mean {near}?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            reader.complain(key.span.start, "unknown-key", format!("there is no key {name}"), help);
        }
    }
}

fn article(name: &str) -> String {
    let vowel = name.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {name}", if vowel { "an" } else { "a" })
}

fn sample(wanted: &str) -> &'static str {
    match wanted {
        "a string" => "\"…\"",
        "a whole number" => "60, without quotes",
        "true or false" => "true or false, without quotes",
        "a list of strings" => "[\"…\", \"…\"]",
        "a list of whole numbers" => "[1, 2], without quotes",
        _ => "… in brackets, [like.this], on a line of its own",
    }
}

/// Levenshtein distance, for suggestions.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (j, y) in b.iter().enumerate() {
            let up = row.get(j + 1).copied().unwrap_or(0);
            let cost = (diagonal + usize::from(x != *y)).min(up + 1).min(left + 1);
            if let Some(cell) = row.get_mut(j) {
                *cell = left;
            }
            diagonal = up;
            left = cost;
        }
        if let Some(cell) = row.get_mut(b.len()) {
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_levenshtein() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("keepalive", "keepalive_s"), 2);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn complaints_have_line_column_and_help() {
        let text = "a = 1\nb = \"x\"\nzurick = true\n[t]\nc = 99\n";
        let (mut reader, table) = Reader::new(text);
        let mut table = table.unwrap();
        assert_eq!(table.string(&mut reader, "a"), None);
        assert_eq!(table.string(&mut reader, "b").unwrap().value, "x");
        let mut inner = table.table(&mut reader, "t").unwrap();
        assert_eq!(inner.integer(&mut reader, "c", 1, 9), None);
        inner.finish(&mut reader);
        table.required(&mut reader, "zurich");
        table.finish(&mut reader);
        let faults: Vec<String> = reader.finish().iter().map(|f| format!("{f} / {}", f.help)).collect();
        assert_eq!(
            faults,
            [
                "1:1: error[missing-key]: zurich is missing / write zurich = \"…\"",
                "1:5: error[wrong-type]: a is an integer where a string is wanted / write a = \"…\"",
                "3:1: error[unknown-key]: there is no key zurick / did you mean zurich?",
                "5:5: error[out-of-range]: t.c is 99 / write a number from 1 to 9",
            ]
        );
    }

    #[test]
    fn bad_syntax_is_a_complaint() {
        let (reader, table) = Reader::new("a = \n[");
        assert!(table.is_none());
        assert_eq!(reader.finish()[0].code, "syntax");
    }
}

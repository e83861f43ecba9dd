//! The document and its figures from what was measured.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::crash::{FATES, Fate};
use crate::stores::{Home, PEERS, Peer};

/// What one store came to.
#[derive(Default)]
pub struct Found {
    pub cost: BTreeMap<String, f64>,
    pub fates: BTreeMap<(String, Fate), usize>,
    pub said: Vec<(Fate, usize, String)>,
    /// Why it could not be measured.
    pub failed: Option<String>,
}

pub struct Report {
    pub found: BTreeMap<&'static str, Found>,
    /// Bytes of each program of `size/`.
    pub sizes: BTreeMap<String, u64>,
    pub machine: String,
    pub quick: bool,
}

/// The part that a person wrote.
const READING: &str = include_str!("../reading.md");
const LOCK: &str = include_str!("../Cargo.lock");

/// Three tables, since their numbers are of different kinds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    Nor,
    Nand,
    Files,
}

fn group(peer: &Peer) -> Group {
    match peer.home {
        Home::Files(_) => Group::Files,
        Home::Flash(shape, _) if shape.block > 4096 => Group::Nand,
        Home::Flash(..) => Group::Nor,
    }
}

fn peers(of: Group) -> impl Iterator<Item = &'static Peer> {
    PEERS.iter().filter(move |p| group(p) == of)
}

/// Heading, number, and how it is written.
type Column = (&'static str, &'static str, fn(f64) -> String);

/// `1234567` as `1,234,567`.
fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(',');
        }
        out.push(c);
    }
    out
}

fn kib(bytes: f64) -> String {
    if bytes < 102_400.0 {
        format!("{:.1} KiB", bytes / 1024.0)
    } else {
        format!("{:.0} KiB", bytes / 1024.0)
    }
}

fn time(us: f64) -> String {
    if us < 1000.0 { format!("{us:.0} µs") } else { format!("{:.1} ms", us / 1000.0) }
}

impl Report {
    fn number(&self, id: &str, name: &str) -> Option<f64> {
        self.found.get(id)?.cost.get(name).copied()
    }

    fn ratio(&self, peer: &Peer, first: &Peer, name: &str) -> String {
        match (self.number(peer.id, name), self.number(first.id, name)) {
            (Some(own), Some(base)) if base > 0.0 => format!("{:.2}", own / base),
            _ => "–".into(),
        }
    }

    /// A table: a row a store, a column each of `columns` and of `ratios` to the first row.
    fn table(&self, of: Group, columns: &[Column], ratios: &[(&str, &str)]) -> String {
        let mut text = String::from("| store |");
        for (heading, ..) in columns {
            write!(text, " {heading} |").expect("text");
        }
        for (heading, _) in ratios {
            write!(text, " {heading} |").expect("text");
        }
        text += &format!("\n|---|{}\n", "---|".repeat(columns.len() + ratios.len()));
        let first = peers(of).next().expect("moorline");
        for peer in peers(of) {
            write!(text, "| {} |", peer.title).expect("text");
            for (_, name, written) in columns {
                let cell = self.number(peer.id, name).map_or_else(|| "–".into(), written);
                write!(text, " {cell} |").expect("text");
            }
            for (_, name) in ratios {
                write!(text, " {} |", self.ratio(peer, first, name)).expect("text");
            }
            text.push('\n');
        }
        text
    }

    fn fates(&self, rot: bool) -> String {
        let mut text = String::from("| store | images |");
        for fate in FATES {
            write!(text, " {} |", heading(fate)).expect("text");
        }
        text += &format!("\n|---|---|{}\n", "---|".repeat(FATES.len()));
        for of in [Group::Nor, Group::Nand, Group::Files] {
            for peer in peers(of) {
                let Some(found) = self.found.get(peer.id) else { continue };
                let count = |fate: Option<Fate>| -> usize {
                    let wanted = |(class, f): &(String, Fate)| {
                        (class == "rot") == rot && fate.is_none_or(|fate| fate == *f)
                    };
                    found.fates.iter().filter(|(k, _)| wanted(k)).map(|(_, n)| n).sum()
                };
                write!(text, "| {}{} | {} |", peer.title, medium(of), count(None)).expect("text");
                for fate in FATES {
                    match count(Some(fate)) {
                        0 => text += " |",
                        n => write!(text, " {n} |").expect("text"),
                    }
                }
                text.push('\n');
            }
        }
        text
    }

    /// Where the fates that are not good come from: by class, with what the store said.
    fn remarks(&self) -> String {
        let mut text = String::new();
        for peer in &PEERS {
            let Some(found) = self.found.get(peer.id) else { continue };
            let bad: Vec<String> = found
                .fates
                .iter()
                .filter(|((class, fate), _)| {
                    class != "rot" && !matches!(fate, Fate::Exact | Fate::OneMore | Fate::Half)
                })
                .map(|((class, fate), n)| format!("{} {n} × ({class})", heading(*fate)))
                .collect();
            if bad.is_empty() {
                continue;
            }
            let said: Vec<String> = found
                .said
                .iter()
                .filter(|(fate, ..)| bad.iter().any(|b| b.starts_with(heading(*fate))))
                .map(|(fate, n, words)| format!("{} {n} × \"{words}\"", heading(*fate)))
                .take(3)
                .collect();
            writeln!(
                text,
                "* {}{}: {}.{}",
                peer.title,
                medium(group(peer)),
                bad.join(", "),
                if said.is_empty() {
                    String::new()
                } else {
                    format!(" With rot counted in, it said: {}.", said.join("; "))
                }
            )
            .expect("text");
        }
        text
    }

    fn size_table(&self) -> String {
        let base = self.sizes.get("base").copied().unwrap_or(0);
        let mut text = format!(
            "The empty program, which reads, writes and syncs a file, has {} bytes.\n\n",
            thousands(base as f64)
        );
        text += "| store | bytes more |\n|---|---|\n";
        let mut seen = Vec::new();
        for peer in &PEERS {
            let Some(size) = self.sizes.get(peer.size).filter(|_| !seen.contains(&peer.size)) else {
                continue;
            };
            seen.push(peer.size);
            writeln!(text, "| {} | {} |", peer.size, thousands(size.saturating_sub(base) as f64))
                .expect("text");
        }
        text
    }

    fn settings(&self) -> String {
        let mut text = String::from("| store | version | medium | set up as |\n|---|---|---|---|\n");
        for peer in &PEERS {
            let medium = match group(peer) {
                Group::Nor => "NOR",
                Group::Nand => "NAND",
                Group::Files => "files",
            };
            writeln!(text, "| {} | {} | {medium} | {} |", peer.title, version(peer), peer.setting)
                .expect("text");
        }
        text
    }

    /// docs/bench-store.md.
    pub fn document(&self) -> String {
        let first = &PEERS[0];
        let commits = self.number(first.id, "commits").unwrap_or(0.0);
        let payload = self.number(first.id, "payload").unwrap_or(0.0);
        let flash: &[Column] = &[
            ("programmed", "programmed", thousands),
            ("programs", "programs", thousands),
            ("erases", "erases", thousands),
            ("worst block", "worn", thousands),
            ("syncs", "syncs", thousands),
            ("worst commit: programmed", "worst_bytes", thousands),
            ("erases", "worst_erases", thousands),
            ("read at start", "start_read", kib),
            ("start", "start_us", time),
            ("read while running", "run_read", kib),
            ("memory", "memory", kib),
        ];
        let files: &[Column] = &[
            ("written", "programmed", thousands),
            ("in pages", "paged", thousands),
            ("syncs", "syncs", thousands),
            ("names changed", "names", thousands),
            ("median commit", "median_us", time),
            ("99 %", "p99_us", time),
            ("worst", "worst_us", time),
            ("read at start", "start_read", kib),
            ("start", "start_us", time),
            ("memory", "memory", kib),
            ("on disk", "size", kib),
        ];
        let ratios = [("programmed ÷", "programmed"), ("erased ÷", "erased")];
        let mut text = format!(
            "# The store and its peers\n\nGenerated by `scripts/bench store`{}: one trace of {} commits ({} bytes as moorline encodes them; users, codes, pairings and \
             removals of 1,000 devices, at most 32 at once), against moorline's log and what one could take instead. Machine: {}.\n\n",
            if self.quick {
                " with `--quick`, so with few crash images, and on files with few commits"
            } else {
                ""
            },
            thousands(commits),
            thousands(payload),
            self.machine,
        );
        text += READING;
        text += "\n## NOR: 128 KiB in sectors of 4 KiB\n\nIn the last columns the first row is 1. Memory is what was allocated at most, without the stack and the simulated chip.\n\n";
        text += &self.table(Group::Nor, flash, &ratios);
        text += "\n![Bytes programmed and erased on NOR](bench-store-nor.svg)\n\n## NAND: blocks of 128 KiB, pages of 2 KiB\n\n";
        text += &self.table(Group::Nand, flash, &ratios);
        text += "\nsequential-storage takes words of 32 bytes at most and removes by writing a word twice; ekv aligns to 4 bytes at most and counts a page in 16 bits: neither can be put on this chip.\n\n";
        text += "![Bytes programmed and erased on NAND](bench-store-nand.svg)\n\n## Files\n\nWritten: what the calls were given. In pages: each page of 4 KiB once per sync of its file, without what the file system writes for itself. \
                 Counted in front of the C library's calls, for all stores alike. Names changed: created, renamed, removed.\n\n";
        text += &self.table(
            Group::Files,
            files,
            &[("written ÷", "programmed"), ("in pages ÷", "paged"), ("syncs ÷", "syncs")],
        );
        text += "\n![Bytes written to files](bench-store-files.svg)\n\n## Crashes\n\n";
        text += "Flash: cut between two operations, at a byte of a program, in the middle of its bits, in the middle of an erase, a quarter each. Files: cut between two calls with everything there, \
                 at a byte of a write, with any pages missing of what was not synced, and with all of that missing. After its own recovery a store has to hold exactly what it had acknowledged, or one commit more, take the next \
                 commit, and still have that when it is opened again.\n\n";
        text += &self.fates(false);
        writeln!(text, "\n![What became of crash images](bench-store-crashes.svg)\n\n{}", self.remarks())
            .expect("text");
        text += "## Rot\n\nOne flipped bit in a byte that holds something, in the image of a store near its fullest. *Exact* here means that the bit stood where nothing is read any more, or was repaired.\n\n";
        text += &self.fates(true);
        text += "\n## Size\n\nSmall programs, one a store, built as moorline ships (opt-level z, fat LTO, panic abort, stripped), for this machine.\n\n";
        text += &self.size_table();
        text += "\n## Versions and settings\n\n";
        text += &self.settings();
        text
    }

    /// The figures: file name and text.
    pub fn figures(&self) -> Vec<(&'static str, String)> {
        let bars = |of, series: &[(&str, &str, &str)]| {
            let rows: Vec<(String, Vec<f64>)> = peers(of)
                .map(|p| {
                    let values =
                        series.iter().map(|(_, name, _)| self.number(p.id, name).unwrap_or(0.0)).collect();
                    (p.title.to_owned(), values)
                })
                .collect();
            logarithmic(&rows, series)
        };
        vec![
            (
                "bench-store-nor.svg",
                bars(Group::Nor, &[("programmed", "programmed", "#1f77b4"), ("erased", "erased", "#d62728")]),
            ),
            (
                "bench-store-nand.svg",
                bars(
                    Group::Nand,
                    &[("programmed", "programmed", "#1f77b4"), ("erased", "erased", "#d62728")],
                ),
            ),
            (
                "bench-store-files.svg",
                bars(
                    Group::Files,
                    &[("written", "programmed", "#1f77b4"), ("in pages of 4 KiB", "paged", "#ff7f0e")],
                ),
            ),
            ("bench-store-crashes.svg", self.stacked()),
        ]
    }

    /// One bar a store, its images by fate.
    fn stacked(&self) -> String {
        let shown: Vec<&Peer> = PEERS.iter().collect();
        let height = 50 + shown.len() * 24;
        let mut svg = head(height);
        for (i, fate) in FATES.into_iter().enumerate() {
            let x = 10 + i % 5 * 158;
            let y = 4 + i / 5 * 18;
            writeln!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"12\" height=\"12\" fill=\"{}\"/><text x=\"{}\" y=\"{}\">{}</text>", colour(fate), x + 17, y + 11, heading(fate))
                .expect("text");
        }
        for (i, peer) in shown.iter().enumerate() {
            let y = 44 + i * 24;
            writeln!(
                svg,
                "<text x=\"244\" y=\"{}\" text-anchor=\"end\">{}{}</text>",
                y + 13,
                peer.title,
                medium(group(peer))
            )
            .expect("text");
            let Some(found) = self.found.get(peer.id) else { continue };
            let count = |fate: Fate| {
                found
                    .fates
                    .iter()
                    .filter(|((c, f), _)| c != "rot" && *f == fate)
                    .map(|(_, n)| n)
                    .sum::<usize>()
            };
            let all: usize = FATES.into_iter().map(count).sum();
            let mut x = 250.0;
            for fate in FATES {
                let width = 530.0 * count(fate) as f64 / all.max(1) as f64;
                if width > 0.0 {
                    writeln!(
                        svg,
                        "<rect x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"17\" fill=\"{}\"/>",
                        colour(fate)
                    )
                    .expect("text");
                }
                x += width;
            }
        }
        svg + "</svg>\n"
    }
}

fn head(height: usize) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"800\" height=\"{height}\" fill=\"white\"/>\n"
    )
}

/// Bars on a logarithmic scale from 10^4 to 10^8.
fn logarithmic(rows: &[(String, Vec<f64>)], series: &[(&str, &str, &str)]) -> String {
    let step = 12 * series.len() + 14;
    let height = 50 + rows.len() * step;
    let x = |value: f64| 220.0 + (value.max(1e4).log10() - 4.0) * 135.0;
    let mut svg = head(height);
    for (i, (name, _, colour)) in series.iter().enumerate() {
        writeln!(svg, "<rect x=\"{}\" y=\"4\" width=\"12\" height=\"12\" fill=\"{colour}\"/><text x=\"{}\" y=\"15\">{name}</text>", 220 + i * 180, 237 + i * 180).expect("text");
    }
    for (power, label) in [(4, "10 KB"), (5, "100 KB"), (6, "1 MB"), (7, "10 MB"), (8, "100 MB")] {
        let at = x(10f64.powi(power));
        writeln!(svg, "<path d=\"M{at:.1} 24V{}\" stroke=\"#dddddd\"/><text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", height - 20, height - 6).expect("text");
    }
    for (i, (title, values)) in rows.iter().enumerate() {
        let top = 30 + i * step;
        writeln!(
            svg,
            "<text x=\"214\" y=\"{}\" text-anchor=\"end\">{title}</text>",
            top + 6 * series.len() + 4
        )
        .expect("text");
        for (j, (value, (_, _, colour))) in values.iter().zip(series).enumerate() {
            let y = top + j * 12;
            writeln!(
                svg,
                "<rect x=\"220\" y=\"{y}\" width=\"{:.1}\" height=\"10\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\" font-size=\"9\">{}</text>",
                x(*value) - 220.0,
                x(*value) + 4.0,
                y + 9,
                thousands(*value)
            )
            .expect("text");
        }
    }
    svg + "</svg>\n"
}

const fn heading(fate: Fate) -> &'static str {
    match fate {
        Fate::Exact => "exact",
        Fate::OneMore => "one more",
        Fate::Half => "half a transaction",
        Fate::Refused => "error",
        Fate::Stuck => "cannot go on",
        Fate::Older => "back in time",
        Fate::Wrong => "silently wrong",
        Fate::Died => "panic",
        Fate::Hung => "hang",
    }
}

const fn colour(fate: Fate) -> &'static str {
    match fate {
        Fate::Exact => "#2ca02c",
        Fate::OneMore => "#98df8a",
        Fate::Half => "#bcbd22",
        Fate::Refused => "#1f77b4",
        Fate::Stuck => "#9467bd",
        Fate::Older => "#d62728",
        Fate::Wrong => "#ff7f0e",
        Fate::Died => "#000000",
        Fate::Hung => "#7f7f7f",
    }
}

const fn medium(of: Group) -> &'static str {
    match of {
        Group::Nor => " (NOR)",
        Group::Nand => " (NAND)",
        Group::Files => "",
    }
}

/// Of the crate, from the lock file; of C libraries in it their own.
fn version(peer: &Peer) -> String {
    if peer.package.is_empty() {
        return "this repository".into();
    }
    let of = |package: &str| {
        let at = LOCK.find(&format!("name = \"{package}\"\nversion = \""))?;
        LOCK[at..].split('"').nth(3).map(str::to_owned)
    };
    let own = format!("{} {}", peer.package, of(peer.package).unwrap_or_default());
    match peer.package {
        "rusqlite" => format!("{own}, SQLite {}", rusqlite::version()),
        "littlefs2" => {
            let version = littlefs2::ll::LFS_VERSION;
            format!("{own}, littlefs {}.{}", version >> 16, version & 0xffff)
        }
        _ => own,
    }
}

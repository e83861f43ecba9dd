//! What a flash holds after whatever happened to it: the current segment, the transactions in it, or the word that
//! nothing may be believed. A core: whole segments in, a verdict out. docs/store.md says why each rule is there.

use super::flash::Geometry;
use super::frame::{FRAME_LEN, HEADER_LEN, Header, Kind};

/// Which rule found the flash corrupt; evidence for the owner's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corruption {
    /// There are bytes, but no segment has a valid header, or none a complete snapshot.
    NoSnapshot,
    /// The only segment that could be current has a successor's mark in its tail slot: going back would be silent.
    Superseded,
    /// A valid frame stands behind an invalid one: something acknowledged is missing.
    Gap,
    /// Two segments claim the same generation, or belong to different logs.
    Twins,
    /// A record that the state machine cannot follow.
    Rejected,
    /// Written by a newer version of this software.
    Newer,
}

impl Corruption {
    /// What it means for whoever has to find out what happened.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::NoSnapshot => "there is something, but no segment is whole",
            Self::Superseded => "only a segment is left that was replaced by a newer one, which is gone",
            Self::Gap => "something stands behind a damaged record: what was acknowledged is missing",
            Self::Twins => "two segments claim to be the same one, or belong to different stores",
            Self::Rejected => "a record says what this version does not understand, or what cannot be",
            Self::Newer => "it was written by a newer version of this software",
        }
    }
}

/// Where it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store is corrupt ({kind:?} at segment {segment}, offset {offset})")]
pub struct Evidence {
    /// What.
    pub kind: Corruption,
    /// Segment.
    pub segment: usize,
    /// Byte in it.
    pub offset: usize,
}

/// Which rules hold; all of them, but for the test that shows that each is needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// 2: fall back one generation only if that segment's tail slot is blank.
    pub(crate) check_tail: bool,
    /// 3: a tail slot that is not blank counts, valid or not.
    pub(crate) any_mark_counts: bool,
    /// 4: look for valid frames behind an invalid one.
    pub(crate) scan_gap: bool,
    /// 5: write nothing behind a torn tail.
    pub(crate) rotate_torn: bool,
    /// 6: erase other unmarked segments before the first write.
    pub(crate) erase_others: bool,
    /// Sync before acknowledging.
    pub(crate) sync_commit: bool,
    /// 0: sync at opening, before anything is read.
    pub(crate) sync_open: bool,
    /// Sync a fresh segment before its predecessor is marked.
    pub(crate) sync_fill: bool,
    /// Mark the predecessor at all.
    pub(crate) mark_old: bool,
    /// Seal what takes something away: an empty commit behind it, synced as well, before it is acknowledged.
    pub(crate) seal: bool,
}

impl Rules {
    /// As it ships.
    pub(crate) const ALL: Self = Self {
        check_tail: true,
        any_mark_counts: true,
        scan_gap: true,
        rotate_torn: true,
        erase_others: true,
        sync_commit: true,
        sync_open: true,
        sync_fill: true,
        mark_old: true,
        seal: true,
    };
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing was ever acknowledged: blank, or left over from first attempts that were cut.
    Blank {
        /// The highest generation seen anywhere.
        newest: u64,
    },
    /// This segment is current.
    Current(Found),
}

/// The current segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) segment: usize,
    pub(crate) header: Header,
    /// Number of the last transaction.
    pub(crate) txn: u64,
    /// Payloads in order: where each begins and how long it is.
    pub(crate) payloads: Vec<(usize, usize)>,
    /// First byte behind the last valid frame.
    pub(crate) end: usize,
    /// Whether something unfinished stands there.
    pub(crate) torn: bool,
    /// The highest generation seen anywhere.
    pub(crate) newest: u64,
}

/// Where the tail slot of a segment begins: one frame without payload, rounded up to whole program units.
pub(crate) const fn tail_slot(geometry: &Geometry) -> usize {
    geometry.segment_bytes - geometry.round(FRAME_LEN)
}

/// What one segment is by itself.
enum Shape {
    Blank,
    /// No valid header.
    Noise,
    Complete(Found),
    /// Valid header, snapshot unfinished, no commit behind it: a rotation that was cut.
    Unfinished(Header),
    /// Valid header, but what follows cannot be all: cut while it was erased, or damaged. Matters only if it is the newest.
    Broken(Header, Evidence),
}

/// Judges the whole flash.
pub(crate) fn judge(geometry: &Geometry, segments: &[Vec<u8>], rules: Rules) -> Result<Verdict, Evidence> {
    let mut shapes = Vec::with_capacity(segments.len());
    for (index, bytes) in segments.iter().enumerate() {
        shapes.push(shape(geometry, index, bytes, rules));
    }
    one_log(&shapes)?;
    let newest = shapes.iter().filter_map(generation).max();
    let Some(newest) = newest else {
        // Erased, or the very first header was torn: nothing was ever acknowledged. Anything else is not ours to judge.
        return blank_or_torn_first(geometry, segments);
    };
    let best = shapes.iter().position(|s| generation(s) == Some(newest)).unwrap_or(0);
    let found = match shapes.get(best) {
        Some(Shape::Complete(found)) => found.clone(),
        Some(Shape::Broken(_, evidence)) => return Err(*evidence),
        Some(Shape::Unfinished(_)) => match fall_back(&shapes)? {
            Some(found) => found,
            None => return Ok(Verdict::Blank { newest }),
        },
        Some(Shape::Blank | Shape::Noise) | None => return Err(evidence(Corruption::NoSnapshot, best, 0)),
    };
    let marked =
        segments.get(found.segment).is_some_and(|bytes| is_marked(geometry, bytes, &found.header, rules));
    if marked && (rules.check_tail || found.header.generation == newest) {
        return Err(evidence(Corruption::Superseded, found.segment, tail_slot(geometry)));
    }
    Ok(Verdict::Current(Found { newest, ..found }))
}

/// The newest segment that is whole. `None`: there is none, and there never was: every header is that of a first segment.
fn fall_back(shapes: &[Shape]) -> Result<Option<Found>, Evidence> {
    let whole = shapes.iter().filter_map(|s| match s {
        Shape::Complete(found) => Some(found),
        Shape::Blank | Shape::Noise | Shape::Unfinished(_) | Shape::Broken(..) => None,
    });
    let found = whole.max_by_key(|found| found.header.generation);
    let broken = shapes.iter().filter_map(|s| match s {
        Shape::Broken(header, evidence) => Some((header.generation, evidence)),
        Shape::Blank | Shape::Noise | Shape::Unfinished(_) | Shape::Complete(_) => None,
    });
    // Behind a broken one nobody goes: it may have been the current one.
    if let Some((generation, evidence)) = broken.max_by_key(|(generation, _)| *generation)
        && found.is_none_or(|found| found.header.generation < generation)
    {
        return Err(*evidence);
    }
    if let Some(found) = found {
        return Ok(Some(found.clone()));
    }
    let first = |s: &Shape| !matches!(s, Shape::Unfinished(header) if header.base_txn != 0);
    if shapes.iter().all(first) { Ok(None) } else { Err(evidence(Corruption::NoSnapshot, 0, 0)) }
}

const fn generation(shape: &Shape) -> Option<u64> {
    match shape {
        Shape::Complete(found) => Some(found.header.generation),
        Shape::Unfinished(header) | Shape::Broken(header, _) => Some(header.generation),
        Shape::Blank | Shape::Noise => None,
    }
}

fn one_log(shapes: &[Shape]) -> Result<(), Evidence> {
    let headers: Vec<(usize, &Header)> = shapes
        .iter()
        .enumerate()
        .filter_map(|(i, s)| match s {
            Shape::Complete(found) => Some((i, &found.header)),
            Shape::Unfinished(header) | Shape::Broken(header, _) => Some((i, header)),
            Shape::Blank | Shape::Noise => None,
        })
        .collect();
    for (i, (segment, a)) in headers.iter().enumerate() {
        for (_, b) in headers.iter().skip(i + 1) {
            if a.log_id != b.log_id || a.generation == b.generation {
                return Err(evidence(Corruption::Twins, *segment, 0));
            }
        }
    }
    Ok(())
}

fn blank_or_torn_first(geometry: &Geometry, segments: &[Vec<u8>]) -> Result<Verdict, Evidence> {
    let header_room = geometry.round(HEADER_LEN);
    for (index, bytes) in segments.iter().enumerate() {
        if Header::is_newer(bytes) {
            return Err(evidence(Corruption::Newer, index, 0));
        }
        if bytes.iter().skip(header_room).any(|b| *b != 0xff) {
            return Err(evidence(Corruption::NoSnapshot, index, 0));
        }
    }
    Ok(Verdict::Blank { newest: 0 })
}

const fn evidence(kind: Corruption, segment: usize, offset: usize) -> Evidence {
    Evidence { kind, segment, offset }
}

/// Whether a segment needs nobody's attention: blank, or marked by its successor. Where pages fade a mark that was cut may be gone
/// tomorrow.
pub(crate) fn is_settled(geometry: &Geometry, bytes: &[u8]) -> bool {
    let tail = bytes.get(tail_slot(geometry)..).unwrap_or_default();
    let marked = !geometry.fades && tail.iter().any(|b| *b != 0xff);
    marked || bytes.iter().all(|b| *b == 0xff)
}

fn is_marked(geometry: &Geometry, bytes: &[u8], header: &Header, rules: Rules) -> bool {
    let tail = bytes.get(tail_slot(geometry)..).unwrap_or_default();
    if rules.any_mark_counts {
        tail.iter().any(|b| *b != 0xff)
    } else {
        header.parse(bytes, tail_slot(geometry)).is_some()
    }
}

fn shape(geometry: &Geometry, index: usize, bytes: &[u8], rules: Rules) -> Shape {
    let Some(header) = Header::decode(bytes)
        .filter(|h| 1usize.checked_shl(h.log2_unit.into()) == Some(geometry.program_unit))
    else {
        return if bytes.iter().all(|b| *b == 0xff) { Shape::Blank } else { Shape::Noise };
    };
    let limit = tail_slot(geometry);
    let mut offset = geometry.round(HEADER_LEN);
    let mut payloads = Vec::new();
    let mut complete = false;
    let mut txn = header.base_txn;
    while offset < limit {
        let Some(frame) = header.parse(bytes, offset) else { break };
        let next = geometry.round(frame.len());
        let fits = match frame.kind {
            Kind::Part => !complete && frame.txn as usize == payloads.len(),
            Kind::End => !complete && frame.txn as usize == payloads.len(),
            Kind::Commit => complete && frame.txn == low(txn + 1),
        };
        if !fits || offset + next > limit {
            // A valid frame that does not follow from the ones before it: something is missing between them.
            return Shape::Broken(header, evidence(Corruption::Gap, index, offset));
        }
        match frame.kind {
            Kind::Part => payloads.push((offset + FRAME_LEN, frame.payload.len())),
            Kind::End => complete = true,
            Kind::Commit => {
                txn += 1;
                // A seal says nothing: it only shows that the record before it is not the last.
                if !frame.payload.is_empty() {
                    payloads.push((offset + FRAME_LEN, frame.payload.len()));
                }
            }
        }
        offset += next;
    }
    let behind = bytes.get(offset..limit).unwrap_or_default();
    let torn = behind.iter().any(|b| *b != 0xff);
    if torn && rules.scan_gap {
        let mut at = offset;
        while at < limit {
            // Behind an unfinished snapshot its own later parts may have arrived out of order; a commit never.
            let later = header.parse(bytes, at).is_some_and(|f| complete || f.kind == Kind::Commit);
            if later {
                return Shape::Broken(header, evidence(Corruption::Gap, index, at));
            }
            at += geometry.program_unit;
        }
    }
    if !complete {
        return Shape::Unfinished(header);
    }
    Shape::Complete(Found { segment: index, header, txn, payloads, end: offset, torn, newest: 0 })
}

/// The low half of a transaction's number: all that a frame keeps of it.
#[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
pub(crate) const fn low(txn: u64) -> u32 {
    txn as u32
}

//! What an image of a store holds, frame by frame, for people who have to find out what happened to it. A core: it judges by the
//! same rules as opening does, and changes nothing.

use serde::Serialize;

use super::flash::Geometry;
use super::frame::{Frame, HEADER_LEN, Header, Kind};
use super::recover::{Evidence, Found, Rules, Verdict, judge, tail_slot};

/// Smallest image that can be a segment.
const SEGMENT_MIN: usize = 512;
/// Program unit where no header tells it.
const UNIT: usize = 16;

/// The segments of a store, each with a name.
pub type Image = Vec<(String, Vec<u8>)>;

/// The whole image.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `good`, `blank` or `corrupt`.
    pub state: &'static str,
    /// Why, in one sentence.
    pub verdict: String,
    /// Number of the segment that counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<usize>,
    /// Number of the last transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transaction: Option<u64>,
    /// Where and why it is corrupt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub corruption: Option<Place>,
    /// Each segment.
    pub segments: Vec<Segment>,
}

/// Where something is wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Place {
    /// The rule, by name.
    pub kind: String,
    /// What it means.
    pub meaning: &'static str,
    /// Segment.
    pub segment: usize,
    /// Byte in it.
    pub offset: usize,
}

/// A segment by itself.
#[derive(Clone, Debug, Serialize)]
pub struct Segment {
    /// Its file.
    pub name: String,
    /// Its size.
    pub bytes: usize,
    /// `blank`, `no-header` or `ours`.
    pub state: &'static str,
    /// How many lives of segments this log had before this one, and one more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Tells the log from others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_id: Option<u32>,
    /// Number of the last transaction that the snapshot holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_transaction: Option<u64>,
    /// Valid frames.
    pub frames: Vec<FrameReport>,
    /// First byte behind them.
    pub end: usize,
    /// Bytes behind them that are not blank: a write that was cut, or damage.
    pub leftover_bytes: usize,
    /// Whether a successor's mark stands in the tail slot.
    pub superseded: bool,
}

/// A frame.
#[derive(Clone, Debug, Serialize)]
pub struct FrameReport {
    /// Where.
    pub offset: usize,
    /// `snapshot`, `snapshot-end`, `record` or `seal`.
    pub kind: &'static str,
    /// Low half of the transaction's number; of a snapshot's part its index.
    pub number: u32,
    /// Bytes of its content.
    pub payload_bytes: usize,
    /// What it says.
    pub what: String,
}

/// What is no image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnImage {
    /// Nothing there.
    #[error(
        "there is no segment: a store has at least two, or give --segment-kib for a dump of a whole partition"
    )]
    NoSegment,
    /// They differ.
    #[error("the segments have different sizes")]
    Sizes,
    /// Too small.
    #[error("a segment has at least 512 bytes")]
    TooSmall,
}

/// Cuts a dump of a whole partition into segments.
pub fn split(name: &str, bytes: &[u8], segment_bytes: usize) -> Image {
    let parts = bytes.chunks_exact(segment_bytes.max(1));
    parts.enumerate().map(|(i, part)| (format!("{name}:{i}"), part.to_vec())).collect()
}

/// Looks at an image. `words`: what a payload says.
///
/// # Errors
/// [`NotAnImage`].
pub fn inspect(
    image: &[(String, Vec<u8>)],
    words: &dyn Fn(&[u8]) -> Option<String>,
) -> Result<Report, NotAnImage> {
    let segment_bytes = image.first().ok_or(NotAnImage::NoSegment)?.1.len();
    if image.iter().any(|(_, bytes)| bytes.len() != segment_bytes) {
        return Err(NotAnImage::Sizes);
    }
    let header = image.iter().find_map(|(_, bytes)| Header::decode(bytes));
    let unit =
        header.and_then(|h| 1usize.checked_shl(h.log2_unit.into())).filter(|u| *u <= 4096).unwrap_or(UNIT);
    if segment_bytes < SEGMENT_MIN.max(4 * unit) {
        return Err(NotAnImage::TooSmall);
    }
    let geometry = Geometry { segments: image.len(), segment_bytes, program_unit: unit, fades: false };
    let segments = image.iter().map(|(name, bytes)| segment(&geometry, name, bytes, words)).collect();
    let bytes: Vec<Vec<u8>> = image.iter().map(|(_, bytes)| bytes.clone()).collect();
    let judged = judge(&geometry, &bytes, Rules::ALL).and_then(|v| readable(v, &bytes, words));
    Ok(told(judged, segments))
}

/// Every payload must be understood as well.
fn readable(
    verdict: Verdict,
    segments: &[Vec<u8>],
    words: &dyn Fn(&[u8]) -> Option<String>,
) -> Result<Verdict, Evidence> {
    if let Verdict::Current(Found { segment, payloads, .. }) = &verdict {
        for (offset, length) in payloads {
            let payload = segments.get(*segment).and_then(|s| s.get(*offset..offset + length));
            if payload.and_then(words).is_none() {
                let kind = super::recover::Corruption::Rejected;
                return Err(Evidence { kind, segment: *segment, offset: *offset });
            }
        }
    }
    Ok(verdict)
}

fn told(judged: Result<Verdict, Evidence>, segments: Vec<Segment>) -> Report {
    let empty = Report {
        state: "blank",
        verdict: "nothing was ever acknowledged here".to_owned(),
        current: None,
        transaction: None,
        corruption: None,
        segments,
    };
    match judged {
        Ok(Verdict::Blank { .. }) => empty,
        Ok(Verdict::Current(found)) => {
            let torn = if found.torn { ", and a write behind it was cut" } else { "" };
            Report {
                state: "good",
                verdict: format!("segment {} counts, up to transaction {}{torn}", found.segment, found.txn),
                current: Some(found.segment),
                transaction: Some(found.txn),
                ..empty
            }
        }
        Err(evidence) => Report {
            state: "corrupt",
            verdict: format!("{evidence}: {}", evidence.kind.meaning()),
            corruption: Some(Place {
                kind: format!("{:?}", evidence.kind),
                meaning: evidence.kind.meaning(),
                segment: evidence.segment,
                offset: evidence.offset,
            }),
            ..empty
        },
    }
}

fn segment(
    geometry: &Geometry,
    name: &str,
    bytes: &[u8],
    words: &dyn Fn(&[u8]) -> Option<String>,
) -> Segment {
    let header = Header::decode(bytes);
    let limit = tail_slot(geometry);
    let mut frames = Vec::new();
    let mut offset = geometry.round(HEADER_LEN);
    while let Some(frame) = header.and_then(|h| h.parse(bytes, offset)).filter(|_| offset < limit) {
        frames.push(report(offset, frame, words));
        offset += geometry.round(frame.len());
    }
    let behind = bytes.get(offset..limit).unwrap_or_default();
    let tail = bytes.get(limit..).unwrap_or_default();
    let blank = bytes.iter().all(|b| *b == 0xff);
    Segment {
        name: name.to_owned(),
        bytes: bytes.len(),
        state: match (blank, header) {
            (true, _) => "blank",
            (false, None) => "no-header",
            (false, Some(_)) => "ours",
        },
        generation: header.map(|h| h.generation),
        log_id: header.map(|h| h.log_id),
        base_transaction: header.map(|h| h.base_txn),
        frames,
        end: offset,
        leftover_bytes: if header.is_some() { behind.iter().filter(|b| **b != 0xff).count() } else { 0 },
        superseded: header.is_some() && tail.iter().any(|b| *b != 0xff),
    }
}

fn report(offset: usize, frame: Frame<'_>, words: &dyn Fn(&[u8]) -> Option<String>) -> FrameReport {
    let unreadable = || "not understood by this version".to_owned();
    let (kind, what) = match (frame.kind, frame.payload) {
        (Kind::Part, payload) => ("snapshot", words(payload).unwrap_or_else(unreadable)),
        (Kind::End, _) => ("snapshot-end", String::new()),
        (Kind::Commit, []) => ("seal", String::new()),
        (Kind::Commit, payload) => ("record", words(payload).unwrap_or_else(unreadable)),
    };
    FrameReport { offset, kind, number: frame.txn, payload_bytes: frame.payload.len(), what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::proof_tests::{GEOMETRIES, run};

    fn words(payload: &[u8]) -> Option<String> {
        (payload.len() > 2).then(|| format!("key {}", payload[0]))
    }

    fn image(commits: usize) -> Vec<(String, Vec<u8>)> {
        let run = run(GEOMETRIES[1].0, commits, Rules::ALL);
        ["a.log", "b.log"].into_iter().map(String::from).zip(run.image).collect()
    }

    #[test]
    fn a_good_store_is_shown_frame_by_frame() {
        let report = inspect(&image(4), &words).unwrap();
        assert_eq!(
            (report.state, report.current, report.transaction),
            ("good", Some(0), Some(5)),
            "{report:?}"
        );
        let kinds: Vec<&str> = report.segments[0].frames.iter().map(|f| f.kind).collect();
        assert_eq!(kinds, ["snapshot-end", "record", "record", "record", "seal", "record"]);
        assert_eq!(report.segments[0].frames[1].what, "key 1");
        assert_eq!((report.segments[1].state, report.segments[1].superseded), ("blank", false));
        let later = inspect(&image(60), &words).unwrap();
        assert_eq!(later.segments.iter().filter(|s| s.superseded).count(), 1);
        assert_eq!(inspect(&image(0), &words).unwrap().state, "blank");
    }

    #[test]
    fn what_is_torn_and_what_is_corrupt_are_told_apart() {
        let mut torn = image(4);
        let end = inspect(&torn, &words).unwrap().segments[0].end;
        torn[0].1[end + 3] = 0;
        let report = inspect(&torn, &words).unwrap();
        assert_eq!((report.state, report.segments[0].leftover_bytes), ("good", 1));
        assert!(report.verdict.ends_with("a write behind it was cut"), "{}", report.verdict);
        let mut rotten = image(4);
        rotten[0].1[60] ^= 1;
        let report = inspect(&rotten, &words).unwrap();
        assert_eq!((report.state, report.corruption.unwrap().kind.as_str()), ("corrupt", "Gap"));
        let strange = inspect(&image(4), &|_| None).unwrap();
        assert_eq!(strange.corruption.unwrap().kind, "Rejected");
    }

    #[test]
    fn a_dump_of_a_partition_is_cut_into_segments() {
        let whole: Vec<u8> = image(9).into_iter().flat_map(|(_, bytes)| bytes).collect();
        let report = inspect(&split("mtd3", &whole, 512), &words).unwrap();
        assert_eq!((report.state, report.segments[1].name.as_str()), ("good", "mtd3:1"));
        assert_eq!(inspect(&[], &words).unwrap_err(), NotAnImage::NoSegment);
        assert_eq!(inspect(&[("x".into(), vec![0; 100])], &words).unwrap_err(), NotAnImage::TooSmall);
    }
}

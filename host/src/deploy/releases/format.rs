//! How an index is written: JSON, with one record on a line, so that of an index that is damaged the
//! lines that are not can be read still.

use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::super::fingerprint::Fingerprint;
use super::index::{GAP, Index};
use super::record::{Pin, Record, State, Why, from_milliseconds, is_digest, milliseconds};

/// The version of this format.
const VERSION: u64 = 1;

/// Why an index is not taken as it is.
#[derive(Debug)]
pub(super) enum Unfit {
    /// It was written by a newer version of Wharf, and has this version.
    Newer(u64),
    /// It is damaged; what is still sound of it.
    Damaged(String, Box<Index>),
}

#[derive(Deserialize)]
struct Head {
    version: u64,
}

#[derive(Deserialize)]
struct Whole {
    next: u64,
    frozen: bool,
    gone_since: Option<Seconds>,
    pin: Option<StoredPin>,
    records: Vec<StoredRecord>,
}

/// One line before the records, in braces.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Line {
    next: Option<u64>,
    frozen: Option<bool>,
    gone_since: Option<Seconds>,
    pin: Option<StoredPin>,
}

#[derive(Serialize, Deserialize)]
struct StoredRecord {
    revision: u64,
    #[serde(flatten)]
    content: Content,
    size_bytes: u64,
    accepted_at: Seconds,
    state: State,
    note: Option<String>,
    before: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct StoredPin {
    seen: Content,
    run: u64,
    why: Why,
    #[serde(default)]
    taken_back: Option<u64>,
    reason: String,
    at: Seconds,
}

#[derive(Serialize, Deserialize)]
struct Content {
    digest: Sha256,
    manifest_digest: Option<Sha256>,
}

/// 64 hex digits: whatever is read becomes part of a file's name.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
struct Sha256(Arc<str>);

/// Since 1970, to the millisecond.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
struct Seconds(SystemTime);

impl From<Sha256> for String {
    fn from(digest: Sha256) -> Self {
        digest.0.as_ref().to_owned()
    }
}

impl Clone for Sha256 {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl TryFrom<String> for Sha256 {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if is_digest(&text) {
            Ok(Self(text.into()))
        } else {
            Err("a digest has 64 hex digits, in lower case")
        }
    }
}

impl From<Seconds> for f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "milliseconds stay below 2^52 for 140,000 years"
    )]
    fn from(at: Seconds) -> Self {
        milliseconds(at.0) as f64 / 1e3
    }
}

impl TryFrom<f64> for Seconds {
    type Error = &'static str;

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 0 and 1e14"
    )]
    fn try_from(seconds: f64) -> Result<Self, Self::Error> {
        if (0.0..=1e11).contains(&seconds) {
            Ok(Self(from_milliseconds((seconds * 1e3).round() as u64)))
        } else {
            Err("a time is in seconds since 1970")
        }
    }
}

impl From<&Fingerprint> for Content {
    fn from(content: &Fingerprint) -> Self {
        Self {
            digest: Sha256(Arc::clone(&content.component)),
            manifest_digest: content.manifest.clone().map(Sha256),
        }
    }
}

impl From<Content> for Fingerprint {
    fn from(content: Content) -> Self {
        Self {
            component: content.digest.0,
            manifest: content.manifest_digest.map(|digest| digest.0),
        }
    }
}

impl From<&Record> for StoredRecord {
    fn from(record: &Record) -> Self {
        Self {
            revision: record.revision,
            content: (&record.content).into(),
            size_bytes: record.size_bytes,
            accepted_at: Seconds(record.accepted_at),
            state: record.state,
            note: record.note.clone(),
            before: record.before,
        }
    }
}

impl From<StoredRecord> for Record {
    fn from(stored: StoredRecord) -> Self {
        Self {
            revision: stored.revision,
            content: stored.content.into(),
            size_bytes: stored.size_bytes,
            accepted_at: stored.accepted_at.0,
            state: stored.state,
            note: stored.note,
            before: stored.before,
        }
    }
}

impl From<&Pin> for StoredPin {
    fn from(pin: &Pin) -> Self {
        Self {
            seen: (&pin.seen).into(),
            run: pin.run,
            why: pin.why,
            taken_back: pin.taken_back,
            reason: pin.reason.clone(),
            at: Seconds(pin.at),
        }
    }
}

impl From<StoredPin> for Pin {
    fn from(stored: StoredPin) -> Self {
        Self {
            seen: stored.seen.into(),
            run: stored.run,
            why: stored.why,
            taken_back: stored.taken_back,
            reason: stored.reason,
            at: stored.at.0,
        }
    }
}

/// An index as text.
pub(super) fn render(index: &Index) -> serde_json::Result<String> {
    let records = index.records.iter().map(StoredRecord::from);
    let records = records.map(|record| serde_json::to_string(&record));
    let records = records.collect::<Result<Vec<_>, _>>()?.join(",\n");
    let pin = serde_json::to_string(&index.pin.as_ref().map(StoredPin::from))?;
    let gone = serde_json::to_string(&index.gone_since.map(Seconds))?;
    let (next, frozen) = (index.next, index.frozen);
    Ok(format!(
        "{{\n\"version\":{VERSION},\n\"next\":{next},\n\"frozen\":{frozen},\n\
         \"gone_since\":{gone},\n\"pin\":{pin},\n\"records\":[\n{records}\n]\n}}\n"
    ))
}

/// An index from its text.
pub(super) fn parse(text: &[u8]) -> Result<Index, Unfit> {
    let damaged = |reason: String, index| Err(Unfit::Damaged(reason, Box::new(index)));
    match serde_json::from_slice::<Head>(text) {
        Ok(head) if head.version > VERSION => return Err(Unfit::Newer(head.version)),
        Ok(_) => {}
        Err(error) => return damaged(error.to_string(), salvage(text)),
    }
    let whole = match serde_json::from_slice::<Whole>(text) {
        Ok(whole) => whole,
        Err(error) => return damaged(error.to_string(), salvage(text)),
    };
    let index = Index {
        next: whole.next,
        frozen: whole.frozen,
        gone_since: whole.gone_since.map(|at| at.0),
        pin: whole.pin.map(Pin::from),
        records: whole.records.into_iter().map(Record::from).collect(),
    };
    let mut sound = index.clone();
    sound.repair();
    if sound == index {
        Ok(index)
    } else {
        damaged("what it says can't all be".to_owned(), sound)
    }
}

/// What the lines say that can be read.
fn salvage(text: &[u8]) -> Index {
    let mut index = Index::default();
    let mut next = None;
    for line in String::from_utf8_lossy(text).lines() {
        let line = line.trim().trim_end_matches(',');
        if let Ok(record) = serde_json::from_str::<StoredRecord>(line) {
            index.records.push(record.into());
        } else if let Ok(line) = serde_json::from_str::<Line>(&format!("{{{line}}}")) {
            next = line.next.or(next);
            index.frozen |= line.frozen.unwrap_or_default();
            index.pin = line.pin.map(Pin::from).or(index.pin);
            index.gone_since = line.gone_since.map(|at| at.0).or(index.gone_since);
        }
    }
    index.repair();
    index.next = match next {
        Some(next) => next.max(index.next),
        None => index.next.saturating_add(GAP),
    };
    index
}

#[cfg(test)]
mod tests {
    use super::super::super::fingerprint::sha256;
    use super::*;

    fn content(number: u8) -> Fingerprint {
        Fingerprint {
            component: sha256(&[number]),
            manifest: number.is_multiple_of(2).then(|| sha256(b"manifest")),
        }
    }

    fn index() -> Index {
        let mut index = Index::default();
        for number in 1..=3 {
            let at = from_milliseconds(1_764_180_000_123 + u64::from(number));
            index.accept(&content(number), 7, State::Live, at);
        }
        index.mark(3, State::TakenBack, Some("a \"note\"\nof two lines".into()));
        let pin = Pin {
            seen: content(3),
            run: 2,
            why: Why::TakenBack,
            taken_back: Some(2),
            reason: "it crashed".into(),
            at: from_milliseconds(1_764_180_001_001),
        };
        assert!(index.pin(pin));
        index.frozen = true;
        index.gone_since = Some(from_milliseconds(1_764_180_002_999));
        index
    }

    fn salvaged(text: &str) -> Index {
        match parse(text.as_bytes()) {
            Err(Unfit::Damaged(_, index)) => *index,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let index = index();
        let text = render(&index).unwrap();
        assert_eq!(parse(text.as_bytes()).unwrap(), index);
        assert_eq!(
            text.lines().count(),
            9 + index.records.len(),
            "one record on a line"
        );
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["version"], 1);
        assert_eq!(json["pin"]["why"], "taken-back");
        assert_eq!(json["records"][2]["state"], "taken_back");
        assert_eq!(json["records"][0]["accepted_at"], 1_764_180_000.124);
    }

    #[test]
    fn of_a_damaged_index_the_sound_lines_are_read() {
        let whole = index();
        let text = render(&whole).unwrap();
        let without = |part: &str| {
            let lines = text.lines();
            let lines = lines.map(|line| if line.contains(part) { "\0\0" } else { line });
            salvaged(&lines.collect::<Vec<_>>().join("\n"))
        };
        let cut = salvaged(&text[..text.len() - 10]);
        assert_eq!(cut.records, whole.records[..2]);
        assert_eq!((cut.next, cut.frozen), (whole.next, true));
        assert_eq!(cut.pin, whole.pin);

        let lost = without("\"revision\":1,");
        assert_eq!(
            lost.get(2).unwrap().before,
            None,
            "it came after the lost one"
        );
        assert_eq!(lost.records.len(), 2);
        assert_eq!(lost.pin, whole.pin);

        assert_eq!(without("\"revision\":2,").pin, None, "what it ran is lost");
        assert_eq!(without("\"next\"").next, whole.next + GAP);
        assert_eq!(salvaged("garbage").next, 1 + GAP);
    }

    #[test]
    fn a_newer_version_is_no_damage() {
        let text = render(&index())
            .unwrap()
            .replace(":1,\n\"next", ":2,\n\"next");
        assert!(matches!(parse(text.as_bytes()), Err(Unfit::Newer(2))));
        assert!(matches!(parse(b"{\"version\":2}"), Err(Unfit::Newer(2))));
    }

    #[test]
    fn what_cant_be_is_not_believed() {
        let text = render(&index()).unwrap();
        let digest = &content(1).component;
        for (from, to) in [
            ("\"next\":4", "\"next\":2"),
            ("\"before\":1", "\"before\":3"),
            ("\"run\":2", "\"run\":1"),
            ("\"revision\":1,", "\"revision\":2,"),
            ("kept", "live"),
            ("1764180000.124", "-1"),
            ("1764180000.124", "1e300"),
            (digest, "../../../../etc/passwd"),
            (digest, &digest.to_uppercase()),
        ] {
            assert!(text.contains(from), "{from}");
            let mut sound = salvaged(&text.replacen(from, to, 1));
            let repaired = sound.clone();
            sound.repair();
            assert_eq!(sound, repaired);
        }
    }
}

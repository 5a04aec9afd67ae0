//! Messages: structure, header fields and their values, search, conversion.

use provost_message::{
    BodySearch, DERIVED_VERSION, Derived, FeedResult, HeaderField, HeaderSection, ImapEnvelope, KeptFields, LISTED_MAX,
    ListedAddress, MimePart, PART_DEPTH_MAX, Parameterised, PartContent, SearchedSection, SentDate, ThreadKeys,
    address_list, decode_words, derive, encode_words, fields, header_end, mailboxes, searched,
    seven_bit as to_seven_bit, shown_text,
};

use crate::pieces::cut;

/// Maximum number of parts of one message.
const PARTS_MAX: usize = 10_000;
/// Longest preview, characters (RFC 8970).
const PREVIEW_CHARS_MAX: usize = 200;
/// Texts to search for.
const WANTED: [&str; 3] = ["one", "é", "a b"];

/// Parts are nested and ordered, their number and depth are bounded, and the stored columns give the same structure.
pub(crate) fn mime(message: &[u8]) {
    let root = MimePart::of(message);
    let mut count = 0;
    check_part(&root, 0..message.len() as u64, 0, &mut count);
    assert!(count <= PARTS_MAX, "{count} parts");
    let derived = derive(message);
    assert_eq!(derived, derive(message), "two derivations of version {DERIVED_VERSION} differ");
    check_columns(message, &root, &derived);
    assert!(derived.preview.chars().count() <= PREVIEW_CHARS_MAX, "{:?}", derived.preview);
    _ = shown_text(message, &root);
}

fn check_part(part: &MimePart, within: std::ops::Range<u64>, depth: usize, count: &mut usize) {
    *count += 1;
    assert!(depth <= PART_DEPTH_MAX, "a part of depth {depth}");
    let (header, body) = (&part.header, &part.body);
    assert!(within.start <= header.start && header.start <= header.end && header.end <= body.start, "{part:?}");
    assert!(body.start <= body.end && body.end <= within.end, "{part:?} within {within:?}");
    assert!(part.lines <= body.end - body.start, "{part:?}");
    match &part.content {
        PartContent::Leaf => {}
        PartContent::Multipart(parts) => {
            assert!(!parts.is_empty());
            let mut at = body.start;
            for inner in parts {
                check_part(inner, at..body.end, depth + 1, count);
                at = inner.body.end;
            }
        }
        PartContent::Message(inner, _) => check_part(inner, body.clone(), depth + 1, count),
    }
}

fn check_columns(message: &[u8], root: &MimePart, derived: &Derived) {
    if !derived.structure.is_empty() {
        assert_eq!(MimePart::decode(&derived.structure).as_ref(), Some(root));
    }
    if !derived.envelope.is_empty() {
        assert_eq!(ImapEnvelope::decode(&derived.envelope), Some(ImapEnvelope::of(message)));
    }
    if !derived.thread.is_empty() {
        assert!(ThreadKeys::decode(&derived.thread).is_some());
    }
    if let Some(kept) = KeptFields::decode(&derived.fields) {
        assert!(kept.header_octets() <= message.len() as u64);
        fields(kept.section()).for_each(|field| assert!(KeptFields::keeps(field.name()), "{}", field.name()));
    }
}

/// The search result does not depend on how the body is cut into pieces.
pub(crate) fn search(input: &[u8]) {
    let (message, pieces) = cut(input);
    let at_once = {
        let mut search = BodySearch::new(WANTED);
        search.whole(message);
        search.finish()
    };
    let largest = pieces.iter().map(|piece| piece.len()).max().unwrap_or(1);
    assert_eq!(found_in_pieces(message, largest), at_once, "in pieces of {largest}");
    if message.len() <= 4 * 1024 {
        assert_eq!(found_in_pieces(message, 1), at_once, "octet by octet");
    }
}

fn found_in_pieces(message: &[u8], octets: usize) -> Vec<bool> {
    let root = MimePart::of(message);
    let mut search = BodySearch::new(WANTED);
    for searched in searched(&root) {
        if search.is_decided() {
            break;
        }
        match searched {
            SearchedSection::Header(part) => search.header(part.header_in(message)),
            SearchedSection::Text(part) => {
                search.begin(part);
                while feed(&mut search, part.body_in(message), octets) == FeedResult::Restart {}
            }
        }
    }
    search.finish()
}

fn feed(search: &mut BodySearch, body: &[u8], octets: usize) -> FeedResult {
    for piece in body.chunks(octets.max(1)) {
        if search.feed(piece) == FeedResult::Restart {
            return FeedResult::Restart;
        }
    }
    search.end()
}

/// A converted message is 7 bit, decodes to the original, and is not converted again.
pub(crate) fn seven_bit(message: &[u8]) {
    let Ok(converted) = to_seven_bit(message) else { return };
    assert!(converted.is_ascii(), "{}", converted.escape_ascii());
    // A part labelled 8bit that has 7-bit content gets another label.
    if message.is_ascii() && !holds(message, b"8bit") {
        assert_eq!(converted, message, "a message without 8bit must stay unchanged");
        return;
    }
    let (before, after) = (MimePart::of(message), MimePart::of(&converted));
    assert_same_content(message, &before, &converted, &after);
    assert_eq!(to_seven_bit(&converted).as_ref(), Ok(&converted));
}

fn holds(octets: &[u8], word: &[u8]) -> bool {
    octets.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word))
}

fn assert_same_content(message: &[u8], before: &MimePart, converted: &[u8], after: &MimePart) {
    assert_eq!((&before.media.kind, &before.media.subtype), (&after.media.kind, &after.media.subtype));
    match (&before.content, &after.content) {
        (PartContent::Leaf, PartContent::Leaf) => {
            let (old, new) = (before.decoded_in(message), after.decoded_in(converted));
            assert_eq!(old.escape_ascii().to_string(), new.escape_ascii().to_string());
        }
        (PartContent::Multipart(old), PartContent::Multipart(new)) => {
            assert_eq!(old.len(), new.len());
            old.iter().zip(new).for_each(|(old, new)| assert_same_content(message, old, converted, new));
        }
        (PartContent::Message(old, _), PartContent::Message(new, _)) => {
            assert_same_content(message, old, converted, new)
        }
        _ => panic!("the structure has changed: {before:?} {after:?}"),
    }
}

/// Fields lie in order in the header section without overlap; their values contain no line end.
pub(crate) fn header_fields(message: &[u8]) {
    let headers = HeaderSection::of(message);
    let end = header_end(message).unwrap_or(message.len());
    let mut at = 0;
    for field in headers.iter() {
        let span = headers.span(&field);
        assert!(at <= span.start && span.end <= end, "{span:?} is not between {at} and {end}");
        assert_eq!(message.get(span.clone()), Some(field.whole()));
        at = span.end;
        check_field(&field);
    }
    assert!(headers.body_offset() <= message.len());
    assert!(fields(message).count() <= message.len());
}

fn check_field(field: &HeaderField<'_>) {
    assert!(field.name().bytes().all(|octet| octet.is_ascii_graphic()) && !field.name().contains(':'));
    assert!(field.is(field.name()) && field.raw().len() < field.whole().len());
    assert!(field.unfolded().len() <= field.raw().len());
    let decoded = field.decoded();
    assert!(!decoded.contains(|c: char| c.is_ascii_control() && c != '\t'), "{decoded:?}");
    assert!(decoded.len() <= 4 * field.raw().len(), "{} octets from {}", decoded.len(), field.raw().len());
    field.mailboxes().for_each(|mailbox| assert_in_text(field.raw(), [&mailbox.local, &mailbox.host]));
}

/// Reads one input as every kind of field value.
pub(crate) fn header_values(value: &[u8]) {
    let text = decode_words(value);
    assert!(!text.contains(|c: char| c.is_ascii_control() && c != '\t'), "{text:?}");
    assert!(text.len() <= 4 * value.len(), "{} octets from {}", text.len(), value.len());
    check_encoded_words(&text);
    let listed = address_list(value);
    assert!(listed.len() <= LISTED_MAX + 1);
    let starts = listed.iter().filter(|item| matches!(item, ListedAddress::GroupStart(_))).count();
    let ends = listed.iter().filter(|item| matches!(item, ListedAddress::GroupEnd)).count();
    assert!(starts == ends || listed.len() >= LISTED_MAX, "{starts} groups begin, {ends} end");
    mailboxes(value).for_each(|mailbox| assert_in_text(value, [&mailbox.local, &mailbox.host]));
    let parsed = Parameterised::parse(value);
    assert!(parsed.value.len() <= value.len());
    parsed.parameters.iter().for_each(|(name, _)| _ = parsed.parameter(&String::from_utf8_lossy(name)));
    if let Some(date) = SentDate::parse(value) {
        assert_eq!(date.zoned().is_some(), date.timestamp().is_some());
        if let Some(zoned) = date.zoned() {
            assert_eq!(Some(zoned.timestamp()), date.timestamp());
        }
    }
}

/// Text written as encoded words is read back unchanged. Two things are not compared: byte order marks, which the
/// decoder drops at the start of a word, and white space at the start of the text.
fn check_encoded_words(text: &str) {
    let text = &text.replace('\u{feff}', "");
    let written = encode_words(text, 0);
    assert!(written.is_ascii() && written.split("\r\n").all(|line| line.len() <= 76), "{written:?}");
    let unfolded = written.replace("\r\n", "");
    assert_eq!(decode_words(unfolded.as_bytes()).trim_start(), text.trim_start());
}

/// No address is invented: the octets of its local part and host, except white space, occur in `text` in this order.
fn assert_in_text(text: &[u8], parts: [&Vec<u8>; 2]) {
    let mut rest = text.iter();
    let wanted = parts.into_iter().flatten();
    let is_there = |octet: &u8| octet.is_ascii_whitespace() || rest.any(|there| there == octet);
    assert!(wanted.clone().all(is_there), "{parts:?} of {}", text.escape_ascii());
}

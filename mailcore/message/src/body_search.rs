//! SEARCH BODY and TEXT (RFC 3501 §6.4.4) over a body that arrives in pieces: the text parts and the part headers,
//! decoded as in `search_text`. The memory depends on the lengths of a piece and of the search texts, not on the size
//! of the message.
//!
//! In the first 64 MiB of decoded text, a match is found exactly where a search of the whole text would find it, also
//! across pieces and parts. Three exceptions do not occur in ordinary text:
//! - More than 64 KiB without white space are lower-cased in parts.
//! - More than 64 KiB of white space at the end of a quoted-printable line may be kept.
//! - A line of more than 64 KiB in a charset that is decoded by lines (UTF-7, HZ, ISO-2022-KR) is decoded in parts.

use memchr::memmem::Finder;

use crate::MimePart;
use crate::charset_stream::CharsetDecoder;
use crate::mime::PartContent;
use crate::search_text::{SEARCHED_OCTETS_MAX, header_text, is_opaque, search_form};
use crate::transfer_stream::TransferDecoder;

/// Size of the text window that is collected before each search, octets.
const WINDOW_OCTETS: usize = 64 * 1024;
/// Longest run without white space that is lower-cased as a whole, octets.
const RUN_OCTETS_MAX: usize = 64 * 1024;

/// A section of a message that SEARCH reads, in the order of the message.
#[derive(Clone, Copy, Debug)]
pub enum SearchedSection<'p> {
    /// The header of the part.
    Header(&'p MimePart),
    /// The body of the part, which is text or of an unknown kind.
    Text(&'p MimePart),
}

/// What the caller does after feeding a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedResult {
    /// The piece was read: feed the next one.
    Accepted,
    /// The charset guess was wrong: feed the part again, from its first piece.
    Restart,
}

/// A search for several texts in one pass.
#[derive(Debug)]
pub struct BodySearch {
    wanted: Vec<SearchTerm>,
    /// The tail of the text already searched, then the decoded text that is not searched yet.
    window: Vec<u8>,
    /// Octets of searched text kept in the window, so that a match across two windows is found.
    overlap: usize,
    /// Octets of text read so far.
    octets: usize,
    part: Option<PartText>,
}

#[derive(Debug)]
struct SearchTerm {
    finder: Finder<'static>,
    is_found: bool,
}

/// The text part that is being fed.
#[derive(Debug)]
struct PartText {
    encoding: Vec<u8>,
    transfer: TransferDecoder,
    charset: CharsetDecoder,
    /// Text since the last white space, not lower-cased yet.
    run: String,
    /// The state before the part, kept while its charset is a guess.
    before: Option<SavedState>,
}

#[derive(Debug)]
struct SavedState {
    findings: Vec<bool>,
    window: Vec<u8>,
    octets: usize,
}

/// Lists the sections of a message that SEARCH reads.
pub fn searched(root: &MimePart) -> Vec<SearchedSection<'_>> {
    let mut all = Vec::new();
    collect(root, &mut all);
    all
}

fn collect<'p>(part: &'p MimePart, all: &mut Vec<SearchedSection<'p>>) {
    match &part.content {
        PartContent::Multipart(parts) => {
            for inner in parts {
                all.push(SearchedSection::Header(inner));
                collect(inner, all);
            }
        }
        PartContent::Message(inner, _) => {
            all.push(SearchedSection::Header(inner));
            collect(inner, all);
        }
        PartContent::Leaf if !is_opaque(part) => all.push(SearchedSection::Text(part)),
        PartContent::Leaf => {}
    }
}

impl BodySearch {
    /// Starts a search for texts, which must be in the form of [`crate::search_form`].
    pub fn new<'w>(texts: impl IntoIterator<Item = &'w str>) -> Self {
        let wanted = |text: &str| SearchTerm { finder: Finder::new(text).into_owned(), is_found: text.is_empty() };
        let wanted: Vec<SearchTerm> = texts.into_iter().map(wanted).collect();
        let longest = wanted.iter().map(|one| one.finder.needle().len()).max().unwrap_or_default();
        Self { wanted, window: Vec::new(), overlap: longest.saturating_sub(1), octets: 0, part: None }
    }

    /// Whether the search can end: no further piece can change the result, or, between two parts, at least 64 MiB of
    /// decoded text were searched.
    pub fn is_decided(&self) -> bool {
        match &self.part {
            None => self.octets >= SEARCHED_OCTETS_MAX || self.has_found_all(),
            // A part whose charset is a guess may be read again, and the matches in it undone.
            Some(part) => part.before.is_none() && self.has_found_all(),
        }
    }

    fn has_found_all(&self) -> bool {
        self.wanted.iter().all(|one| one.is_found)
    }

    /// Searches the header of a part.
    pub fn header(&mut self, header: &[u8]) {
        self.push(header_text(header).as_bytes());
    }

    /// Begins the text of a part; its pieces follow in [`Self::feed`].
    pub fn begin(&mut self, part: &MimePart) {
        let charset = CharsetDecoder::new(&part.media.parameter("charset").unwrap_or_default());
        let before = charset.is_guess().then(|| SavedState {
            findings: self.wanted.iter().map(|one| one.is_found).collect(),
            window: self.window.clone(),
            octets: self.octets,
        });
        let transfer = TransferDecoder::new(&part.encoding);
        self.part = Some(PartText { encoding: part.encoding.clone(), transfer, charset, run: String::new(), before });
    }

    /// Searches one piece of the text, as transferred.
    pub fn feed(&mut self, piece: &[u8]) -> FeedResult {
        let Some(mut part) = self.part.take() else { return FeedResult::Accepted };
        let octets = part.transfer.feed(piece);
        if !part.charset.feed(&octets, false, &mut part.run) {
            return self.restart(part);
        }
        let text = part.take_lower();
        self.push(text.as_bytes());
        self.part = Some(part);
        FeedResult::Accepted
    }

    /// Ends the text of the part.
    pub fn end(&mut self) -> FeedResult {
        let Some(mut part) = self.part.take() else { return FeedResult::Accepted };
        let octets = std::mem::replace(&mut part.transfer, TransferDecoder::Identity).end();
        if !part.charset.feed(&octets, true, &mut part.run) {
            return self.restart(part);
        }
        self.push(search_form(&part.run).as_bytes());
        self.push(b"\n");
        FeedResult::Accepted
    }

    /// Searches a whole message that is in memory.
    pub fn whole(&mut self, message: &[u8]) {
        let root = MimePart::of(message);
        for searched in searched(&root) {
            if self.is_decided() {
                return;
            }
            match searched {
                SearchedSection::Header(part) => self.header(part.header_in(message)),
                SearchedSection::Text(part) => {
                    self.begin(part);
                    while self.feed(part.body_in(message)) == FeedResult::Restart || self.end() == FeedResult::Restart {
                    }
                }
            }
        }
    }

    /// Returns, for each text in the order given, whether it was found.
    pub fn finish(mut self) -> Vec<bool> {
        self.search_window();
        self.wanted.into_iter().map(|one| one.is_found).collect()
    }

    /// Restores the state before the part and switches to Windows-1252.
    fn restart(&mut self, part: PartText) -> FeedResult {
        if let Some(before) = part.before {
            for (one, was_found) in self.wanted.iter_mut().zip(before.findings) {
                one.is_found = was_found;
            }
            (self.window, self.octets) = (before.window, before.octets);
        }
        let transfer = TransferDecoder::new(&part.encoding);
        let charset = CharsetDecoder::fallback();
        self.part = Some(PartText { transfer, charset, run: String::new(), before: None, ..part });
        FeedResult::Restart
    }

    fn push(&mut self, text: &[u8]) {
        self.window.extend_from_slice(text);
        self.octets += text.len();
        // At least as much new text as overlap is collected before a search. Otherwise, with a long search text, each
        // octet would be compared many times.
        if self.window.len() >= self.overlap + WINDOW_OCTETS.max(self.overlap) {
            self.search_window();
        }
    }

    fn search_window(&mut self) {
        for one in self.wanted.iter_mut().filter(|one| !one.is_found) {
            one.is_found = one.finder.find(&self.window).is_some();
        }
        self.window.drain(..self.window.len().saturating_sub(self.overlap));
    }
}

impl PartText {
    /// Takes the text up to the last white space, in search form. The lower case of a letter can depend on its
    /// neighbours (final sigma), so only a run longer than [`RUN_OCTETS_MAX`] is cut.
    fn take_lower(&mut self) -> String {
        let space = self.run.as_bytes().iter().rposition(u8::is_ascii_whitespace);
        let end = match space {
            Some(at) => at + 1,
            None if self.run.len() > RUN_OCTETS_MAX => self.run.len(),
            None => 0,
        };
        let rest = self.run.split_off(end);
        search_form(&std::mem::replace(&mut self.run, rest))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::search_text::body_text;

    /// Feeds the message in pieces of `octets`, as a reader from the store does.
    fn in_pieces(message: &[u8], octets: usize, wanted: &[&str]) -> Vec<bool> {
        let root = MimePart::of(message);
        let mut search = BodySearch::new(wanted.iter().copied());
        for searched in searched(&root) {
            match searched {
                SearchedSection::Header(part) => search.header(part.header_in(message)),
                SearchedSection::Text(part) => {
                    search.begin(part);
                    let feed = |search: &mut BodySearch| {
                        part.body_in(message).chunks(octets).all(|piece| search.feed(piece) == FeedResult::Accepted)
                            && search.end() == FeedResult::Accepted
                    };
                    assert!(feed(&mut search) || feed(&mut search), "the second pass was not accepted");
                }
            }
        }
        search.finish()
    }

    fn check(message: &[u8], octets: usize, wanted: &[&str]) {
        let text = body_text(message, &MimePart::of(message));
        let expect: Vec<bool> = wanted.iter().map(|one| text.contains(one)).collect();
        assert_eq!(in_pieces(message, octets, wanted), expect, "{wanted:?} in {text}");
        let mut search = BodySearch::new(wanted.iter().copied());
        search.whole(message);
        assert_eq!(search.finish(), expect, "{wanted:?} in {text}");
    }

    /// Matches across pieces and parts, in several charsets and encodings.
    #[test]
    fn finds_what_the_whole_text_holds() {
        let part = |fields: &str, body: &[u8]| [fields.as_bytes(), b"\r\n", body].concat();
        let parts = [
            part(
                "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n",
                b"=C9T=E9 soft=\r\nbreak",
            ),
            part(
                "Content-Transfer-Encoding: base64\r\nContent-Type: text/plain; charset=utf-16\r\n",
                b"/v8AbgBlAGUAZABs\r\nAGU=",
            ),
            part("Content-Type: text/plain\r\n", "ΟΔΟΣ ὈΔΥΣΣΕΎΣ, café".as_bytes()),
            part("", b"caf\xe9 \xc9T\xc9"),
            part("Content-Type: text/plain; charset=utf-7\r\n", b"Fr+APY-sche\r\n+AOk"),
            part("Content-Type: text/plain; charset=iso-2022-jp\r\n", b"\x1b$BF|K\\\x1b(B"),
            part("Content-Type: image/png; name=\"Caf=?utf-8?q?=C3=A9?=.png\"\r\n", b"secret"),
            part("Content-Type: message/rfc822\r\n", b"Subject: Inner\r\n\r\nDEEP\xc3"),
        ];
        let body: Vec<u8> = parts.iter().flat_map(|part| [b"--b\r\n", &part[..], b"\r\n"].concat()).collect();
        let message = [&b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"[..], &body, b"--b--\r\n"].concat();
        let wanted = [
            "été",
            "softbreak",
            "needle",
            "οδος ὀδυσσεύς",
            "οδοσ",
            "café",
            "ét",
            "frösche\r\né",
            "日本",
            ".png",
            "secret",
            "subject: inner\ndeep",
            "deepã",
            "",
            "none",
            "soft\nbreak",
        ];
        for octets in [1, 2, 3, 5, 17, 10_000] {
            check(&message, octets, &wanted);
        }
    }

    /// A text can lie across two windows; memory does not grow with the message.
    #[test]
    fn memory_is_bounded() {
        let filler = "filler é\r\n".repeat(40_000);
        let long = format!("{}end", "y".repeat(100_000));
        let message = format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{filler}nee\r\ndle {long}{filler}");
        let root = MimePart::of(message.as_bytes());
        for octets in [1_000, 65_535, 131_072] {
            let mut search = BodySearch::new(["nee\r\ndle", &long, "none"]);
            search.begin(&root);
            for piece in root.body_in(message.as_bytes()).chunks(octets) {
                assert_eq!(search.feed(piece), FeedResult::Accepted);
                assert!(search.window.capacity() < 1_000_000, "{}", search.window.capacity());
            }
            assert_eq!((search.end(), search.is_decided()), (FeedResult::Accepted, false));
            assert_eq!(search.finish(), [true, true, false]);
        }
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            text in "[aΣσς \r\n.'=Éée\u{301}]{0,40}",
            wanted in "[aσς \r\n.é]{0,4}",
            label in prop_oneof![Just(""), Just("utf-8"), Just("iso-8859-1"), Just("utf-7"), Just("utf-16le"), Just("utf-32"), Just("utf-32be"), Just("hz-gb-2312"), Just("iso-2022-kr"), Just("nosuch")],
            encoding in prop_oneof![Just("8bit"), Just("base64"), Just("quoted-printable")],
            tail in proptest::collection::vec(any::<u8>(), 0..3),
            octets in 1_usize..8,
        ) {
            let head = format!("Content-Type: text/plain; charset=\"{label}\"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n");
            let message = [head.as_bytes(), text.as_bytes(), &tail].concat();
            check(&message, octets, &[&search_form(&wanted), "é", "ς"]);
        }
    }
}

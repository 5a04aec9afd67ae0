//! Searches a message body for texts (RFC 3501 §6.4.4 BODY, TEXT). The body is read and decoded in pieces, of which
//! [`SearchTurns`] allows only a few at a time.

use std::ops::Range;

use bytes::Bytes;
use provost_message::{BodySearch, FeedResult, MimePart, SearchedSection, searched};
use provost_store::{Columns, StoreError, Uid, UidSet};

use crate::budget::SearchTurns;
use crate::context::CommandContext;
use crate::mailbox::SelectedMailbox;
use crate::source::{HEADER_OCTETS_MAX, MessageSource, PIECE_OCTETS};

/// Returns, for each of the texts in their order, whether the body contains it. The texts must be in the form of
/// [`provost_message::search_form`]. A large message is read in pieces. If the store has not kept its structure, the
/// message is also read whole once, while no other body search has a turn.
pub(super) async fn search_body(
    context: &CommandContext<'_>,
    selected: &SelectedMailbox,
    uid: Uid,
    mut source: MessageSource<'_>,
    texts: &[&str],
) -> Result<Vec<bool>, StoreError> {
    let mut search = BodySearch::new(texts.iter().copied());
    if source.octets() <= PIECE_OCTETS {
        return whole(context, source, search).await;
    }
    let structure = structure(context, selected, uid, &mut source).await?;
    let turns = &context.config.searches;
    let mut pieces = PieceReader { turns, source, last: (0, Bytes::new()) };
    for searched in searched(&structure) {
        search = match searched {
            _ if search.is_decided() => break,
            SearchedSection::Header(part) => pieces.header(search, part).await?,
            SearchedSection::Text(part) => pieces.text(search, part).await?,
        };
    }
    let turn = turns.turn().await;
    let work = move || {
        let _turn = turn;
        search.finish()
    };
    off_thread(work).await
}

/// Searches a small message, read whole.
async fn whole(
    context: &CommandContext<'_>,
    mut source: MessageSource<'_>,
    mut search: BodySearch,
) -> Result<Vec<bool>, StoreError> {
    let turn = context.config.searches.turn().await;
    let message = source.read_all().await?;
    let work = move || {
        // Held by the blocking task, not by the future: when a client disconnects, the task still runs and needs its
        // turn.
        let _turn = turn;
        search.whole(&message);
        search.finish()
    };
    off_thread(work).await
}

/// The structure of a large message: from its column, read only for this message, or else from the message.
async fn structure(
    context: &CommandContext<'_>,
    selected: &SelectedMailbox,
    uid: Uid,
    source: &mut MessageSource<'_>,
) -> Result<MimePart, StoreError> {
    let rows = context.rows(selected, UidSet::from_uids([uid]), Columns::STRUCTURE).await?;
    let column = rows.first().and_then(|row| row.derived.as_ref()).map(|derived| &derived.structure[..]);
    if let Some(part) = column.and_then(MimePart::decode) {
        return Ok(part);
    }
    let turns = context.config.searches.all_turns().await;
    let message = source.read_all().await?;
    let work = move || {
        let _turns = turns;
        MimePart::of(&message)
    };
    off_thread(work).await
}

/// Runs `work`, which decodes or searches text, on a blocking thread: on the threads that serve sessions it would delay
/// all of them.
async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome.map_err(|error| StoreError::Unavailable(format!("a search task failed: {error}")))
}

/// Reads a large message in pieces, and gives them to the search.
struct PieceReader<'a> {
    turns: &'a SearchTurns,
    source: MessageSource<'a>,
    /// The offset of the last piece, and the piece: the next small part is often in it too.
    last: (u64, Bytes),
}

impl PieceReader<'_> {
    /// Returns the first octets of `range`, at least one. The range must not be empty.
    async fn piece(&mut self, range: Range<u64>) -> Result<Bytes, StoreError> {
        let at = &self.last.0;
        if !(*at..at + self.last.1.len() as u64).contains(&range.start) {
            let piece = self.source.piece(range.start..self.source.octets()).await?;
            self.last = (range.start, piece);
        }
        let (at, octets) = &self.last;
        let offset = |end: u64| usize::try_from(end.saturating_sub(*at)).unwrap_or(usize::MAX).min(octets.len());
        match octets.slice(offset(range.start)..offset(range.end)) {
            piece if piece.is_empty() => Err(StoreError::damaged("a body is shorter than its structure")),
            piece => Ok(piece),
        }
    }

    /// Searches the header of a part, at most [`HEADER_OCTETS_MAX`] octets of it.
    async fn header(&mut self, mut search: BodySearch, part: &MimePart) -> Result<BodySearch, StoreError> {
        let turn = self.turns.turn().await;
        let end = part.header.end.min(part.header.start.saturating_add(HEADER_OCTETS_MAX));
        let mut at = part.header.start;
        let mut header = Vec::new();
        while at < end {
            let piece = self.piece(at..end).await?;
            at += piece.len() as u64;
            header.extend_from_slice(&piece);
        }
        let work = move || {
            let _turn = turn;
            search.header(&header);
            search
        };
        off_thread(work).await
    }

    /// Searches a part piece by piece, each with its own turn, so that a large message does not delay small ones. The
    /// part is read again from its start when the search has found that it guessed the charset wrong.
    async fn text(&mut self, mut search: BodySearch, part: &MimePart) -> Result<BodySearch, StoreError> {
        search.begin(part);
        let mut at = part.body.start;
        while !search.is_decided() {
            let fed;
            (search, fed) = match at < part.body.end {
                true => {
                    let turn = self.turns.turn().await;
                    let piece = self.piece(at..part.body.end).await?;
                    at += piece.len() as u64;
                    let work = move || {
                        let _turn = turn;
                        feed(search, Some(&piece))
                    };
                    off_thread(work).await?
                }
                false => match self.end(search).await? {
                    (search, FeedResult::Accepted) => return Ok(search),
                    again => again,
                },
            };
            if fed == FeedResult::Restart {
                at = part.body.start;
            }
        }
        Ok(search)
    }

    /// Ends a part: decodes and searches what its pieces have left over.
    async fn end(&self, search: BodySearch) -> Result<(BodySearch, FeedResult), StoreError> {
        let turn = self.turns.turn().await;
        let work = move || {
            let _turn = turn;
            feed(search, None)
        };
        off_thread(work).await
    }
}

/// Gives a piece of a part to the search; `None` ends the part.
fn feed(mut search: BodySearch, piece: Option<&[u8]>) -> (BodySearch, FeedResult) {
    let fed = match piece {
        Some(piece) => search.feed(piece),
        None => search.end(),
    };
    (search, fed)
}

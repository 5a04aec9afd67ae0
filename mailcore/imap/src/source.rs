//! A message's octets for a command: a small message whole, a large one in ranges.

use std::ops::Range;

use bytes::Bytes;
use provost_message::{MimePart, header_end};
use provost_store::{BodyId, MessageRow, StoreError};

use crate::context::CommandContext;

/// Maximum number of octets that [`MessageSource::piece`] returns. A message up to this size is read whole, and kept.
pub(crate) const PIECE_OCTETS: u64 = 128 * 1024;
/// Octets of a header that are read to find fields; fields beyond are not found. Most headers are a hundredth as long.
pub(crate) const HEADER_OCTETS_MAX: u64 = 1024 * 1024;

/// One message's octets.
pub(crate) struct MessageSource<'a> {
    context: &'a CommandContext<'a>,
    body: BodyId,
    octets: u64,
    /// The encoded structure; empty when the store has none, or the column was not read.
    structure_column: &'a [u8],
    structure: Option<MimePart>,
    /// The message, once read, if it is small.
    whole: Option<Bytes>,
    /// A piece read ahead, and its offset.
    ahead: Option<(u64, Bytes)>,
}

impl<'a> MessageSource<'a> {
    /// A source for the message of a row.
    pub(crate) fn new(context: &'a CommandContext<'a>, row: &'a MessageRow) -> Self {
        Self {
            context,
            body: row.meta.body,
            octets: row.meta.octets,
            structure_column: row.derived.as_ref().map_or(&[], |derived| &derived.structure),
            structure: None,
            whole: None,
            ahead: None,
        }
    }

    /// The message's size, octets: RFC822.SIZE.
    pub(crate) fn octets(&self) -> u64 {
        self.octets
    }

    /// The first octets of a range: at least one unless the range is empty.
    pub(crate) async fn piece(&mut self, range: Range<u64>) -> Result<Bytes, StoreError> {
        if self.octets <= PIECE_OCTETS {
            return Ok(slice(self.whole().await?, range));
        }
        if let Some((at, piece)) = self.ahead.take().filter(|(at, _)| *at == range.start) {
            return Ok(slice(&piece, 0..range.end - at));
        }
        let range = range.start..range.end.min(range.start + PIECE_OCTETS);
        self.context.config.store.body(self.context.account.id, self.body, Some(range)).await
    }

    /// Reads the first piece of a range ahead of the [`Self::piece`] that will need it, so that a failure shows early.
    pub(crate) async fn read_ahead(&mut self, range: Range<u64>) -> Result<(), StoreError> {
        if self.octets == 0 || range.is_empty() {
            return Ok(());
        }
        let piece = self.piece(range.clone()).await?;
        self.ahead = Some((range.start, piece));
        Ok(())
    }

    async fn whole(&mut self) -> Result<&Bytes, StoreError> {
        let read = match self.whole.take() {
            Some(read) => read,
            None => self.read_all().await?,
        };
        Ok(self.whole.insert(read))
    }

    /// The whole message, of any length. Reads it from the store unless [`Self::piece`] has kept it.
    pub(crate) async fn read_all(&mut self) -> Result<Bytes, StoreError> {
        if let Some(whole) = &self.whole {
            return Ok(whole.clone());
        }
        self.context.config.store.body(self.context.account.id, self.body, None).await
    }

    /// The header at this range, at most [`HEADER_OCTETS_MAX`] octets of it.
    pub(crate) async fn header_at(&mut self, header: Range<u64>) -> Result<Bytes, StoreError> {
        let end = header.end.min(header.start + HEADER_OCTETS_MAX);
        if self.octets <= PIECE_OCTETS {
            return Ok(slice(self.whole().await?, header.start..end));
        }
        self.context.config.store.body(self.context.account.id, self.body, Some(header.start..end)).await
    }

    /// The message's own header, at most [`HEADER_OCTETS_MAX`] octets of it.
    pub(crate) async fn header(&mut self) -> Result<Bytes, StoreError> {
        let mut head = self.piece(0..self.octets).await?;
        if header_end(&head).is_none() && (head.len() as u64) < self.octets {
            head = self.header_at(0..self.octets).await?;
        }
        let end = header_end(&head).unwrap_or(head.len());
        Ok(head.slice(..end))
    }

    /// The MIME structure: from the store's column, or else parsed from the whole message.
    pub(crate) async fn structure(&mut self) -> Result<&MimePart, StoreError> {
        let structure = match self.structure.take().or_else(|| MimePart::decode(self.structure_column)) {
            Some(structure) => structure,
            None => MimePart::of(&self.read_all().await?),
        };
        Ok(self.structure.insert(structure))
    }
}

fn slice(octets: &Bytes, range: Range<u64>) -> Bytes {
    let offset = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(octets.len());
    octets.slice(offset(range.start)..offset(range.end).max(offset(range.start)))
}

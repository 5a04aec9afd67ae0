//! The FETCH response for one message (RFC 3501 §7.4.2).

use std::collections::BTreeSet;
use std::ops::Range;

use provost_net::{OutputBuffer, SessionError};
use provost_store::{StoreError, Uid};

use crate::codec::command::FetchItem;
use crate::context::CommandContext;
use crate::source::MessageSource;

use super::item::{MessageData, PreparedItem};
use super::needs::FetchNeeds;
use super::stream;

/// Prepared items are held until their octets exceed this number, then sent. Nearly every FETCH stays below it, so a
/// failed read is noticed before the response begins.
const HELD_OCTETS_MAX: usize = 256 * 1024;

/// The FETCH response for one message.
pub(super) struct FetchResponse<'a> {
    pub(super) context: &'a CommandContext<'a>,
    pub(super) index: usize,
    pub(super) data: MessageData,
}

impl FetchResponse<'_> {
    /// Sends the response. When a read fails before anything is sent, returns the store's error and sends nothing.
    /// When a read fails later, returns a session error, which closes the connection.
    ///
    /// This command has changed the flags of the messages in `newly_seen`; the response includes their flags.
    pub(super) async fn send(
        &self,
        items: &[FetchItem],
        needs: &FetchNeeds,
        newly_seen: &BTreeSet<Uid>,
        out: &mut OutputBuffer<'_>,
    ) -> Result<Result<(), StoreError>, SessionError> {
        let mut source = match &self.data.row {
            Some(row) => Some(MessageSource::new(self.context, row)),
            None if needs.needs_rows => return Ok(Err(StoreError::Gone)),
            None => None,
        };
        let mut unsent = UnsentItems::new(self.index);
        for item in items {
            match self.data.prepare(item, source.as_mut()).await {
                Ok(ready) => unsent.push(ready),
                Err(error) if !unsent.has_begun => return Ok(Err(error)),
                Err(error) => return Err(stream::broken(&error)),
            }
            if unsent.held_octets > HELD_OCTETS_MAX {
                unsent.send(source.as_mut(), out).await?;
            }
        }
        if !unsent.has_begun
            && let (Some(range), Some(source)) = (unsent.first_range(), &mut source)
            && let Err(error) = source.read_ahead(range).await
        {
            return Ok(Err(error));
        }
        unsent.send(source.as_mut(), out).await?;
        if newly_seen.contains(&self.data.message.uid) && !items.contains(&FetchItem::Flags) {
            out.put(format!(" FLAGS {}", self.data.flags()));
        }
        out.put(")\r\n");
        Ok(Ok(()))
    }
}

/// Prepared items that are not sent yet.
struct UnsentItems {
    number: usize,
    items: Vec<PreparedItem>,
    held_octets: usize,
    has_begun: bool,
}

impl UnsentItems {
    fn new(index: usize) -> Self {
        Self { number: index + 1, items: Vec::new(), held_octets: 0, has_begun: false }
    }

    fn push(&mut self, ready: PreparedItem) {
        self.held_octets += ready.octets();
        self.items.push(ready);
    }

    /// The first range of the message's octets that will be sent.
    fn first_range(&self) -> Option<Range<u64>> {
        self.items.iter().find_map(PreparedItem::range)
    }

    /// Sends the held items; the first of all begins the response.
    async fn send(
        &mut self,
        mut source: Option<&mut MessageSource<'_>>,
        out: &mut OutputBuffer<'_>,
    ) -> Result<(), SessionError> {
        self.held_octets = 0;
        for ready in self.items.drain(..) {
            match self.has_begun {
                true => out.put(" "),
                false => out.put(format!("* {} FETCH (", self.number)),
            }
            self.has_begun = true;
            ready.send(source.as_deref_mut(), out).await?;
        }
        Ok(())
    }
}

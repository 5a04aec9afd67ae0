//! Sends text, and ranges of messages as literals. A range is read piece by piece: however slowly the client reads, at
//! most one piece of the message and one chunk in the output buffer are in memory.

use std::ops::Range;

use provost_net::{OutputBuffer, SessionError};
use provost_store::StoreError;

use crate::source::{MessageSource, PIECE_OCTETS};

/// Octets given to the output at once.
const CHUNK_OCTETS: usize = 64 * 1024;

/// Sends text from memory.
pub(super) async fn text(text: &[u8], out: &mut OutputBuffer<'_>) -> Result<(), SessionError> {
    for chunk in text.chunks(CHUNK_OCTETS) {
        out.put(chunk);
        out.relieve().await?;
    }
    Ok(())
}

/// Sends a label, and a range of the message as a literal.
///
/// The length is announced first: if a read fails after that, only closing the connection can report it.
pub(super) async fn literal(
    label: &str,
    range: Range<u64>,
    source: &mut MessageSource<'_>,
    out: &mut OutputBuffer<'_>,
) -> Result<(), SessionError> {
    out.put(format!("{label} {{{}}}\r\n", range.end.saturating_sub(range.start)));
    let mut at = range.start;
    while at < range.end {
        let end = at + out.piece_octets((range.end - at).min(PIECE_OCTETS));
        let piece = match source.piece(at..end).await {
            Ok(piece) if !piece.is_empty() => piece,
            Ok(_) => return Err(broken(&StoreError::damaged("a body is shorter than its recorded size"))),
            Err(error) => return Err(broken(&error)),
        };
        at += piece.len() as u64;
        text(&piece, out).await?;
    }
    Ok(())
}

/// The error that ends the connection because a response was begun and cannot be finished.
pub(super) fn broken(error: &StoreError) -> SessionError {
    tracing::warn!(%error, "a message cannot be read to its end: connection closed");
    std::io::Error::other("a message could not be read to its end").into()
}

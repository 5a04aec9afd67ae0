//! Returns free pages of a database to the disk.

use rusqlite::Connection;

use super::super::fault::storage;
use super::access::ShardAccess;
use super::config::UpkeepConfig;
use crate::StoreError;

/// Size of a page, octets; SQLite's default.
const PAGE_OCTETS: u64 = 4_096;
/// Consecutive checks that must find too many free pages, so that pages needed again soon are kept.
const CHECKS_MIN: u32 = 4;
/// Maximum number of pages returned in one step. The committer, which makes all changes, needs some milliseconds for
/// them; no change is committed meanwhile.
const STEP_PAGES: i64 = 256;

/// The free pages of one database.
pub(super) struct FreePages {
    pages_kept: u64,
    /// Consecutive checks that found too many.
    checks: u32,
}

impl FreePages {
    pub(super) fn new(config: &UpkeepConfig) -> Self {
        Self { pages_kept: config.free_octets_kept / PAGE_OCTETS, checks: 0 }
    }

    /// Makes one step. Returns false when nothing is to be done before the next check.
    pub(super) fn step(&mut self, access: &mut ShardAccess) -> Result<bool, StoreError> {
        let pages_kept = self.pages_kept;
        if !access.read(|connection| has_too_many(connection, pages_kept))? {
            self.checks = 0;
            return Ok(false);
        }
        self.checks += 1;
        if self.checks < CHECKS_MIN {
            return Ok(false);
        }
        access.change(|database| {
            return_pages(&database.connection).map_err(storage)?;
            database.note_pages(STEP_PAGES as u64);
            Ok(())
        })?;
        Ok(true)
    }
}

/// Whether more pages are free than `kept`, and more than a quarter of all.
fn has_too_many(connection: &Connection, kept: u64) -> Result<bool, StoreError> {
    let count = |pragma: &str| connection.query_row(pragma, [], |row| row.get::<_, i64>(0)).map_err(storage);
    let (free, all) = (count("PRAGMA freelist_count")?, count("PRAGMA page_count")?);
    Ok(u64::try_from(free).is_ok_and(|free| free > kept) && free > all / 4)
}

/// Returns the pages of one step to the disk. The pragma returns one page for each row that is read.
fn return_pages(connection: &Connection) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({STEP_PAGES})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}

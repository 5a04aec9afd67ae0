//! Searches whose result may be larger than memory: the caller gets one page after the other.

use std::ops::ControlFlow;

use ldap3::controls::PagedResults;
use provost_entry::Entry;

use crate::connection::Connection;
use crate::decode;
use crate::directory::{PAGE_ENTRIES, query};
use crate::outcome::{OperationFailure, judge};
use crate::pool::{ConnectionUse, PooledServer};
use crate::{Directory, DirectoryError, LdapSearch};

impl Directory {
    /// Searches at any server that works and passes on each page of entries (RFC 2696) as it arrives, until the last
    /// one, or until `each` breaks. The `limit` of the search is ignored.
    ///
    /// Another server is asked only while no page has been passed on. After that, a failure ends the search: the
    /// entries that were passed on are then a part of the result.
    pub async fn search_pages(
        &self,
        search: &LdapSearch,
        mut each: impl FnMut(Vec<Entry>) -> ControlFlow<()>,
    ) -> Result<(), DirectoryError> {
        let mut last =
            DirectoryError::Unavailable("all servers have failed recently, or none is configured".to_owned());
        for (index, server) in self.readers().filter(|(_, server)| server.allowed()) {
            let mut has_begun = false;
            let mut pass_on = |entries| {
                has_begun = true;
                each(entries)
            };
            let outcome = pages_at(server, search, &mut pass_on).await;
            server.report(&outcome);
            match outcome {
                Ok(()) => {
                    self.ask_first(index);
                    return Ok(());
                }
                Err(OperationFailure::Decided(error) | OperationFailure::NotSent(error)) => return Err(error),
                Err(failure) => last = failure.of_read(server.url()),
            }
            if has_begun {
                return Err(last);
            }
            tracing::warn!(server = server.url(), error = %last, "a directory server could not serve a search");
        }
        Err(last)
    }
}

async fn pages_at(
    server: &PooledServer,
    search: &LdapSearch,
    each: &mut impl FnMut(Vec<Entry>) -> ControlFlow<()>,
) -> Result<(), OperationFailure> {
    loop {
        let taken = server.take(ConnectionUse::Paging).await?;
        let mut pages = 0;
        match pages_on(&taken.connection, search, each, &mut pages).await {
            Ok(is_whole) => {
                // The server keeps paging state until the last page, so drop a connection that did not reach it.
                if is_whole {
                    server.give_back(taken);
                }
                return Ok(());
            }
            // The connection had died while idle.
            Err(OperationFailure::Undone(_) | OperationFailure::Lost(_)) if pages == 0 && !taken.fresh => continue,
            Err(failure) => return Err(failure),
        }
    }
}

/// Returns whether the last page was reached.
async fn pages_on(
    connection: &Connection,
    search: &LdapSearch,
    each: &mut impl FnMut(Vec<Entry>) -> ControlFlow<()>,
    pages: &mut usize,
) -> Result<bool, OperationFailure> {
    let search = LdapSearch { limit: None, ..search.clone() };
    let (filter, mut cookie) = (search.filter.to_string(), Vec::new());
    loop {
        let page = PagedResults { size: PAGE_ENTRIES, cookie };
        let (entries, result) = connection.search(query(&search, &filter, Some(page))).await?;
        judge(&result)?;
        let next = decode::page_cookie(&result.ctrls);
        *pages += 1;
        let flow = each(entries);
        match next {
            None => return Ok(true),
            Some(_) if flow.is_break() => return Ok(false),
            Some(next) => cookie = next,
        }
    }
}

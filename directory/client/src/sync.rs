//! RFC 4533 consumer: refreshAndPersist, or refreshOnly, as a stream of events.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use ldap3::controls::{MakeCritical, RefreshMode, SyncRequest};
use ldap3::{LdapResult, SearchStream};
use provost_entry::{Dn, Entry, Filter};
use provost_schema::attr;
use uuid::Uuid;

use crate::connection::Connection;
use crate::cookie::CookieState;
use crate::decode::{self, EntryState, SyncInfo};
use crate::outcome::{OperationFailure, judge};
use crate::pool::PooledServer;
use crate::{Directory, DirectoryError};

/// e-syncRefreshRequired (RFC 4533 §2.6).
const SYNC_REFRESH_REQUIRED: u32 = 4096;
/// All user attributes: the View decides which ones matter.
const ATTRIBUTES: &str = "*";
/// Maximum number of UUIDs in one message; slapd sends 256 at a time.
const UUIDS_MAX: usize = 1_000_000;

/// The synchronisation state, merged over server ids. A cookie must be saved together with the content that it
/// describes, or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cookie(Vec<u8>);

impl Cookie {
    /// Restores a cookie from its saved octets.
    pub fn from_octets(octets: Vec<u8>) -> Self {
        Self(octets)
    }

    /// Returns the octets to save.
    pub fn as_octets(&self) -> &[u8] {
        &self.0
    }
}

/// The entries that are kept in step: the content of RFC 4533 §1.3.
#[derive(Clone, Debug)]
pub struct SyncContent {
    /// Base of the subtree.
    pub base: Dn,
    /// Selects the entries. One that no longer matches is reported as deleted (RFC 4533 §1.2).
    pub filter: Filter,
    /// The attributes to return.
    pub attributes: Vec<String>,
    /// Whether changes are awaited after the refresh.
    pub persist: bool,
}

/// An event from the provider, in order of arrival.
#[derive(Debug)]
pub enum SyncEvent {
    /// The entry was added or modified, and now has this content.
    Put(Uuid, Entry),
    /// The entries exist, and their known content stays.
    Present(Vec<Uuid>),
    /// The entries were deleted.
    Delete(Vec<Uuid>),
    /// The present phase ended: entries that this refresh neither put nor named as present are gone.
    RefreshPresentDone,
    /// The refresh is complete and the content whole; changes follow as they happen.
    RefreshDone,
    /// The content up to here may be saved with this cookie.
    Cookie(Cookie),
    /// The provider cannot resume from our cookie (e-syncRefreshRequired): start again without one.
    RefreshRequired,
}

/// A running refreshAndPersist search.
pub struct SyncStream {
    connection: Connection,
    stream: SearchResults,
    translator: SyncTranslator,
    directory: Directory,
    /// Index of the server among those of `directory`.
    server: usize,
    url: String,
    /// The entry whose contextCSN shows that the server is ready.
    context: Dn,
    ended: bool,
}

impl SyncStream {
    fn new(directory: Directory, server: usize, url: &str, started: StartedSync) -> Self {
        let StartedSync { connection, results: stream, translator, context } = started;
        Self { connection, stream, translator, directory, server, url: url.to_owned(), context, ended: false }
    }

    /// Returns the next event. After an `Err` or [`SyncEvent::RefreshRequired`] the stream has ended. Cancel-safe.
    pub async fn next(&mut self) -> Result<SyncEvent, DirectoryError> {
        loop {
            if let Some(event) = self.translator.events.pop_front() {
                return Ok(event);
            }
            if self.ended {
                return Err(DirectoryError::Unavailable(format!("{}: the stream has ended", self.url)));
            }
            // Cancelling here loses nothing: the library's channel hands over whole items.
            let item = AssertUnwindSafe(self.stream.next()).catch_unwind().await;
            let step = match item {
                Ok(Ok(Some(item))) => self.translator.translate(item),
                Ok(Ok(None)) => {
                    let result = self.stream.finish().await;
                    self.translator.end(&result)
                }
                Ok(Err(error)) => Err(OperationFailure::Lost(error.to_string())),
                Err(_) => Err(OperationFailure::Lost("the answer is malformed".to_owned())),
            };
            if let Err(failure) = step {
                self.ended = true;
                if self.translator.refreshing {
                    // The server may be one that answers but does not support RFC 4533: start the next attempt at
                    // another.
                    self.directory.pass_over(self.server);
                }
                return Err(failure.of_read(&self.url));
            }
            self.ended |= self.translator.is_ended;
        }
    }

    /// Returns the URL of the server.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Reads the server's contextCSN on the connection of the stream. `Ok` means that the server is alive and ready.
    pub async fn probe(&mut self) -> Result<Vec<String>, DirectoryError> {
        self.connection.context_csn(&self.context).await.map_err(|failure| failure.of_read(&self.url))
    }
}

impl Directory {
    /// Starts refreshAndPersist over the suffix, at a server that has a contextCSN; servers without one count as down.
    pub async fn sync(&self, cookie: Option<Cookie>) -> Result<SyncStream, DirectoryError> {
        let search = SyncContent {
            base: self.suffix().clone(),
            filter: Filter::present(attr::OBJECT_CLASS),
            attributes: vec![ATTRIBUTES.to_owned()],
            persist: true,
        };
        self.start_sync(SyncRequirements { search: &search, is_whole: false }, cookie).await
    }

    /// Starts to follow a part of a directory. The nearest entry at or above the base with a contextCSN shows whether a
    /// server is ready; a server without one counts as down. A referral in the part ends the stream: the content would
    /// not be whole.
    pub async fn follow(&self, search: &SyncContent, cookie: Option<Cookie>) -> Result<SyncStream, DirectoryError> {
        self.start_sync(SyncRequirements { search, is_whole: true }, cookie).await
    }

    async fn start_sync(
        &self,
        wanted: SyncRequirements<'_>,
        cookie: Option<Cookie>,
    ) -> Result<SyncStream, DirectoryError> {
        let mut last = DirectoryError::Unavailable("no server is configured".to_owned());
        // Try also a server whose circuit breaker is open: the node has one consumer, which waits between its attempts,
        // and a success closes the breaker for all callers.
        for (index, server) in self.readers() {
            let outcome = start(server, wanted, cookie.clone()).await;
            server.report(&outcome);
            match outcome {
                Ok(started) => {
                    self.ask_first(index);
                    return Ok(SyncStream::new(self.clone(), index, server.url(), started));
                }
                Err(failure) => last = failure.of_read(server.url()),
            }
        }
        Err(last)
    }
}

/// A search and what its content must be.
#[derive(Clone, Copy)]
struct SyncRequirements<'a> {
    search: &'a SyncContent,
    /// Whether a referral in the content is a failure, and the base may be below the suffix of the server.
    is_whole: bool,
}

type SearchResults = SearchStream<'static, String, Vec<String>>;

/// A search that was sent.
struct StartedSync {
    connection: Connection,
    results: SearchResults,
    translator: SyncTranslator,
    context: Dn,
}

/// Sends the request on a new connection. A cookie that cannot be merged is not sent: the provider then sends the whole
/// content.
async fn start(
    server: &PooledServer,
    SyncRequirements { search, is_whole }: SyncRequirements<'_>,
    cookie: Option<Cookie>,
) -> Result<StartedSync, OperationFailure> {
    let connection = server.open().await?;
    let context = if is_whole { context_above(&connection, &search.base).await? } else { search.base.clone() };
    if !is_whole {
        connection.context_csn(&context).await?;
    }
    let mut state = CookieState::default();
    let mut cookie = cookie.map(|cookie| cookie.0).filter(|cookie| !cookie.is_empty());
    if cookie.as_deref().is_some_and(|cookie| !state.merge(cookie)) {
        (cookie, state) = (None, CookieState::default());
    }
    let mode = if search.persist { RefreshMode::RefreshAndPersist } else { RefreshMode::RefreshOnly };
    let request = SyncRequest { mode, cookie, reload_hint: false };
    let mut ldap = connection.handle();
    let (base, filter) = (search.base.as_str().to_owned(), search.filter.to_string());
    // This only sends the request: its responses are the stream.
    let opening = ldap.with_controls(request.critical()).streaming_search(
        &base,
        ldap3::Scope::Subtree,
        &filter,
        search.attributes.clone(),
    );
    let results = opening.await.map_err(|error| OperationFailure::Undone(error.to_string()))?;
    let mut translator = SyncTranslator::new(state);
    (translator.persists, translator.is_whole) = (search.persist, is_whole);
    Ok(StartedSync { connection, results, translator, context })
}

/// The nearest entry at or above `base` that has a contextCSN: the suffix of the database that holds `base`.
async fn context_above(connection: &Connection, base: &Dn) -> Result<Dn, OperationFailure> {
    let mut next = Some(base.clone());
    let mut last = OperationFailure::Undone("no contextCSN: the server is not ready".to_owned());
    while let Some(dn) = next.filter(|dn| !dn.is_root()) {
        match connection.context_csn(&dn).await {
            Ok(_) => return Ok(dn),
            Err(failure @ (OperationFailure::Lost(_) | OperationFailure::TimedOut)) => return Err(failure),
            Err(failure) => last = failure,
        }
        next = dn.parent();
    }
    Err(last)
}

/// Translates messages to events. Holds cookies back until the refresh is complete, because earlier content is not
/// whole.
struct SyncTranslator {
    state: CookieState,
    refreshing: bool,
    /// Whether a cookie was merged into `state` after the last cookie event.
    has_unsent_cookie: bool,
    /// Whether changes follow the refresh; without them, the search ends with it.
    persists: bool,
    /// Whether a referral is a failure.
    is_whole: bool,
    /// Whether the search has ended as it should.
    is_ended: bool,
    events: VecDeque<SyncEvent>,
}

impl SyncTranslator {
    /// Translates the messages of refreshAndPersist that resumes from `state`.
    fn new(state: CookieState) -> Self {
        Self {
            state,
            refreshing: true,
            has_unsent_cookie: false,
            persists: true,
            is_whole: false,
            is_ended: false,
            events: VecDeque::new(),
        }
    }

    fn translate(&mut self, item: ldap3::ResultEntry) -> Result<(), OperationFailure> {
        if item.is_ref() {
            if self.is_whole {
                let why = "a part of the content is on another server (a referral): follow each part as its own source";
                return Err(OperationFailure::Undone(why.to_owned()));
            }
            return Ok(());
        }
        if item.is_intermediate() {
            return match decode::sync_info(item.0) {
                Some(info) => self.translate_info(info),
                None => Err(malformed("Sync Info message")),
            };
        }
        let value = decode::control(&item.1, decode::SYNC_STATE_OID)
            .ok_or_else(|| malformed("entry without a Sync State control"))?;
        let state = decode::sync_state(value).ok_or_else(|| malformed("Sync State control"))?;
        let uuid = state.entry_uuid;
        let event = match state.state {
            EntryState::Present => SyncEvent::Present(vec![uuid]),
            EntryState::Delete => SyncEvent::Delete(vec![uuid]),
            EntryState::Add | EntryState::Modify => match decode::entry(item.0) {
                Some(entry) => SyncEvent::Put(uuid, entry),
                // The entry exists but cannot be read: its previous content stays.
                None => {
                    tracing::warn!(%uuid, "an unreadable entry keeps its previous content");
                    SyncEvent::Present(vec![uuid])
                }
            },
        };
        self.events.push_back(event);
        self.take_cookie(state.cookie)
    }

    fn translate_info(&mut self, info: SyncInfo) -> Result<(), OperationFailure> {
        match info {
            SyncInfo::NewCookie(cookie) => self.take_cookie(Some(cookie)),
            SyncInfo::RefreshDelete { cookie, refresh_done } => self.end_phase(cookie, refresh_done),
            SyncInfo::RefreshPresent { cookie, refresh_done } => {
                if self.refreshing {
                    self.events.push_back(SyncEvent::RefreshPresentDone);
                }
                self.end_phase(cookie, refresh_done)
            }
            SyncInfo::IdSet { uuids, .. } if uuids.len() > UUIDS_MAX => Err(malformed("too many UUIDs")),
            SyncInfo::IdSet { cookie, deletes, uuids } => {
                self.events.push_back(if deletes { SyncEvent::Delete(uuids) } else { SyncEvent::Present(uuids) });
                self.take_cookie(cookie)
            }
        }
    }

    fn end_phase(&mut self, cookie: Option<Vec<u8>>, refresh_done: bool) -> Result<(), OperationFailure> {
        if refresh_done && self.refreshing {
            self.refreshing = false;
            self.events.push_back(SyncEvent::RefreshDone);
        }
        self.take_cookie(cookie)
    }

    /// Merges a cookie if there is one. Once the refresh is complete, passes on what was merged since the last time.
    fn take_cookie(&mut self, cookie: Option<Vec<u8>>) -> Result<(), OperationFailure> {
        if let Some(cookie) = cookie {
            if !self.state.merge(&cookie) {
                return Err(malformed("cookie too long, or of too many server ids"));
            }
            self.has_unsent_cookie = true;
        }
        if self.has_unsent_cookie
            && !self.refreshing
            && let Some(merged) = self.state.to_octets()
        {
            self.has_unsent_cookie = false;
            self.events.push_back(SyncEvent::Cookie(Cookie(merged)));
        }
        Ok(())
    }

    /// Handles the end of the search. Of refreshAndPersist it is an error, unless the server asks for a new refresh; of
    /// refreshOnly it is the end of the refresh (RFC 4533 §3.3).
    fn end(&mut self, result: &LdapResult) -> Result<(), OperationFailure> {
        if result.rc == SYNC_REFRESH_REQUIRED {
            self.is_ended = true;
            self.events.push_back(SyncEvent::RefreshRequired);
            return Ok(());
        }
        judge(result)?;
        if !self.persists && self.refreshing {
            self.is_ended = true;
            return self.end_phase(None, true);
        }
        Err(OperationFailure::Lost("the server ended the persist stage".to_owned()))
    }
}

fn malformed(what: &str) -> OperationFailure {
    OperationFailure::Lost(format!("malformed answer: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translator() -> SyncTranslator {
        SyncTranslator::new(CookieState::default())
    }

    fn events(translator: &mut SyncTranslator) -> Vec<String> {
        let name = |event| match event {
            SyncEvent::Put(..) => "put".to_owned(),
            SyncEvent::Present(uuids) => format!("present {}", uuids.len()),
            SyncEvent::Delete(uuids) => format!("delete {}", uuids.len()),
            SyncEvent::RefreshPresentDone => "present done".to_owned(),
            SyncEvent::RefreshDone => "done".to_owned(),
            SyncEvent::Cookie(cookie) => String::from_utf8(cookie.0).unwrap(),
            SyncEvent::RefreshRequired => "required".to_owned(),
        };
        translator.events.drain(..).map(name).collect()
    }

    /// A cookie that arrives within the refresh does not describe whole content yet.
    #[test]
    fn cookies_wait_for_the_end_of_the_refresh() {
        let mut translator = translator();
        translator.translate_info(SyncInfo::NewCookie(b"one".to_vec())).unwrap();
        let uuids = vec![Uuid::nil(); 2];
        translator.translate_info(SyncInfo::IdSet { cookie: None, deletes: false, uuids: uuids.clone() }).unwrap();
        translator.translate_info(SyncInfo::RefreshPresent { cookie: None, refresh_done: false }).unwrap();
        translator.translate_info(SyncInfo::IdSet { cookie: None, deletes: true, uuids }).unwrap();
        translator
            .translate_info(SyncInfo::RefreshDelete { cookie: Some(b"two".to_vec()), refresh_done: true })
            .unwrap();
        translator.translate_info(SyncInfo::NewCookie(b"three".to_vec())).unwrap();
        let expect = ["present 2", "present done", "delete 2", "done", "two", "three"];
        assert_eq!(events(&mut translator), expect);
        // A present message after the refresh must not make all entries look deleted.
        translator.translate_info(SyncInfo::RefreshPresent { cookie: None, refresh_done: true }).unwrap();
        assert!(events(&mut translator).is_empty());
    }

    #[test]
    fn the_end_of_the_search_is_an_error_unless_a_new_refresh_is_required() {
        let result = |rc| LdapResult { rc, matched: String::new(), text: String::new(), refs: vec![], ctrls: vec![] };
        let mut translator = translator();
        translator.end(&result(SYNC_REFRESH_REQUIRED)).unwrap();
        assert_eq!(events(&mut translator), ["required"]);
        assert!(matches!(translator.end(&result(0)), Err(OperationFailure::Lost(_))));
        assert!(matches!(translator.end(&result(10)), Err(OperationFailure::Topology(_))));
    }

    #[test]
    fn the_end_of_refresh_only_is_the_end_of_the_refresh() {
        let result = |rc| LdapResult { rc, matched: String::new(), text: String::new(), refs: vec![], ctrls: vec![] };
        let mut translator = SyncTranslator { persists: false, ..translator() };
        translator.end(&result(0)).unwrap();
        assert_eq!((events(&mut translator), translator.is_ended), (vec!["done".to_owned()], true));
        // A size limit (4) or a time limit (3) leaves a part of the content.
        for rc in [3, 4, 50] {
            let mut translator = SyncTranslator { persists: false, ..self::translator() };
            assert!(translator.end(&result(rc)).is_err() && events(&mut translator).is_empty(), "{rc}");
        }
    }
}

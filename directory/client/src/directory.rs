//! The operations on the directory, each sent to a server that works.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ldap3::LdapResult;
use ldap3::controls::{PagedResults, RawControl};
use provost_entry::{AttributeDescription, Dn, Entry, Filter, Modification};
use provost_schema::attr;
use uuid::Uuid;

use crate::connection::{ConnectTarget, Connection, SingleRequest, WireSearch, assertion, post_read};
use crate::decode;
use crate::outcome::{OperationFailure, judge};
use crate::pool::{ConnectionUse, PooledServer};
use crate::{
    DirectoryConfig, DirectoryError, LdapSearch, Scope, ServerCondition, ServerRole, WriteConditions, WriteReceipt, tls,
};

/// Entries in one page of a search (RFC 2696): bounds what the library queues. The `olcLimits` of docs/openldap.md
/// exempt our identities from slapd's default limit of 500 entries.
pub(crate) const PAGE_ENTRIES: i32 = 1000;
/// Maximum number of entries of a search without a limit: twice the largest site.
const SEARCH_ENTRIES_MAX: usize = 4_000_000;
/// Longest duration of a whole search, however steadily its entries arrive.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(300);
/// How often the preferred servers, which are earlier in the list, are probed while another one serves.
const RETURN_INTERVAL: Duration = Duration::from_secs(5);
/// sizeLimitExceeded (RFC 4511 appendix A).
const SIZE_LIMIT_EXCEEDED: u32 = 4;
/// unavailableCriticalExtension (RFC 4511 appendix A).
const UNAVAILABLE_CRITICAL_EXTENSION: u32 = 12;

/// The directory, through whichever of its servers works. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    config: DirectoryConfig,
    servers: Vec<PooledServer>,
    /// Index of the server that is asked first: the one that answered last, or a preferred one that is back.
    reader: AtomicUsize,
    /// Index of the provider that is asked first.
    writer: AtomicUsize,
    /// Whether the task runs that returns to the preferred server.
    returning: AtomicBool,
    /// Whether a server has refused the post-read control. If so, writes omit the control and receipts are empty.
    no_post_read: AtomicBool,
}

impl Directory {
    /// Makes a pool, without connecting yet.
    pub fn new(config: DirectoryConfig) -> Self {
        let tls = tls::client_config(config.ca_file.as_deref());
        let target = |server: &crate::ServerAddress| ConnectTarget {
            server: server.clone(),
            tls: tls.clone(),
            connect_timeout: config.connect_timeout,
            operation_timeout: config.operation_timeout,
        };
        let identity = (config.bind_dn.clone(), config.bind_password.clone());
        let server = |server| PooledServer::new(target(server), identity.clone(), config.suffix.clone());
        let servers: Vec<_> = config.servers.iter().map(server).collect();
        let provider = servers.iter().position(|server| server.role() == ServerRole::Provider);
        let inner = Inner {
            config,
            servers,
            reader: AtomicUsize::new(0),
            writer: AtomicUsize::new(provider.unwrap_or(0)),
            returning: AtomicBool::new(false),
            no_post_read: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Returns the site's suffix.
    pub fn suffix(&self) -> &Dn {
        &self.inner.config.suffix
    }

    /// Returns the configuration of the pool.
    pub fn config(&self) -> &DirectoryConfig {
        &self.inner.config
    }

    /// Reads the contextCSN of each server on a new connection with our identity, in the order of the configuration.
    /// The circuit breakers and the failure counters do not see the results. A server that is silent from the start
    /// costs at most two connect timeouts and one operation timeout.
    pub async fn probe_servers(&self) -> Vec<ServerCondition> {
        let mut conditions = Vec::with_capacity(self.inner.servers.len());
        for server in &self.inner.servers {
            let outcome = probe_at(server, self.suffix()).await;
            let context_csn = outcome.map_err(|failure| failure.of_read(server.url()));
            conditions.push(ServerCondition { url: server.url().to_owned(), role: server.role(), context_csn });
        }
        conditions
    }

    /// Searches at any server that works, and collects the whole result.
    pub async fn search(&self, search: LdapSearch) -> Result<Vec<Entry>, DirectoryError> {
        self.read_from(None, |server| search_at(server, &search, &Vec::new)).await
    }

    /// Searches at the writable provider, for decisions that precede a write.
    pub async fn search_provider(&self, search: LdapSearch) -> Result<Vec<Entry>, DirectoryError> {
        self.collect_provider(search, Vec::new).await
    }

    /// [`Directory::search_provider`] into any collection, page by page, for a result of which the caller keeps only a
    /// part. `begin` makes an empty collection, and makes another one when the search is repeated because a server or
    /// connection has failed.
    pub async fn collect_provider<C: Extend<Entry>>(
        &self,
        search: LdapSearch,
        begin: impl Fn() -> C,
    ) -> Result<C, DirectoryError> {
        self.read_from(Some(ServerRole::Provider), |server| search_at(server, &search, &begin)).await
    }

    /// Searches at the writable provider, or at any server that works while the provider does not answer, to show the
    /// newest state there is. In the second case also returns the provider's error, because the provider may have
    /// entries that a replica does not have yet.
    pub async fn search_newest(
        &self,
        search: LdapSearch,
    ) -> Result<(Vec<Entry>, Option<DirectoryError>), DirectoryError> {
        match self.search_provider(search.clone()).await {
            Ok(entries) => Ok((entries, None)),
            Err(error @ DirectoryError::Unavailable(_)) => Ok((self.search(search).await?, Some(error))),
            Err(error) => Err(error),
        }
    }

    /// Reads one entry by name. `None` when a server answered that the entry does not exist, or reported success
    /// without the entry. The latter happens when access rules hide the entry from our identity (RFC 4511 §4.5.1.7).
    pub async fn read(&self, dn: &Dn, attributes: &[&str]) -> Result<Option<Entry>, DirectoryError> {
        let search = LdapSearch {
            base: dn.clone(),
            scope: Scope::Base,
            filter: Filter::present(attr::OBJECT_CLASS),
            attributes: attributes.iter().map(|name| (*name).to_owned()).collect(),
            limit: None,
        };
        match self.search(search).await {
            Ok(entries) => Ok(entries.into_iter().next()),
            Err(DirectoryError::NoSuchObject(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds an entry at the provider.
    pub async fn add(&self, entry: Entry) -> Result<WriteReceipt, DirectoryError> {
        self.write_with_receipt(SingleRequest::Add(&entry), None).await
    }

    /// Modifies an entry at the provider.
    pub async fn modify(
        &self,
        dn: &Dn,
        changes: Vec<Modification>,
        conditions: WriteConditions,
    ) -> Result<WriteReceipt, DirectoryError> {
        self.write_with_receipt(SingleRequest::Modify(dn, &changes), conditions.assert.as_ref()).await
    }

    /// Deletes an entry at the provider.
    pub async fn delete(&self, dn: &Dn, conditions: WriteConditions) -> Result<(), DirectoryError> {
        let controls: Vec<_> = conditions.assert.iter().map(assertion).collect();
        self.write(SingleRequest::Delete(dn), &controls).await.map(|_| ())
    }

    /// Renames an entry at the provider, moves it below `new_parent` if there is one, and removes the old RDN value.
    pub async fn rename(&self, dn: &Dn, new_rdn: &str, new_parent: Option<&Dn>) -> Result<(), DirectoryError> {
        self.write(SingleRequest::Rename { dn, rdn: new_rdn, parent: new_parent }, &[]).await.map(|_| ())
    }

    /// Verifies a password by a bind as `dn` on a separate connection. An empty DN or password is refused without
    /// asking.
    ///
    /// Otherwise [`DirectoryError::InvalidCredentials`] comes only from a server that accepts our own identity and has
    /// a contextCSN. When no server accepts the password and no such server refuses it, the error is
    /// [`DirectoryError::Unavailable`]: other results prove nothing about the password (RFC 4511 appendix A: busy,
    /// unavailable, unwillingToPerform, referral and the like).
    pub async fn bind(&self, dn: &Dn, password: &str) -> Result<(), DirectoryError> {
        if password.is_empty() || dn.is_root() {
            return Err(DirectoryError::InvalidCredentials);
        }
        self.read_from(None, |server| bind_at(server, self.suffix(), dn, password)).await
    }

    /// Reads the attribute types and object classes that the server publishes: for each definition the name of its
    /// attribute, `attributeTypes` or `objectClasses`, and its text (RFC 4512 §4.2).
    pub async fn subschema(&self) -> Result<Vec<(AttributeDescription, String)>, DirectoryError> {
        let root = self.read(&Dn::root(), &["subschemaSubentry"]).await?;
        let name = root.as_ref().and_then(|root| root.first("subschemaSubentry"));
        let name = Dn::parse(name.unwrap_or("cn=Subschema")).map_err(|error| unreadable(&error.to_string()))?;
        // RFC 4512 §4.4 prescribes this filter: some servers return the subschema subentry for no other.
        let search = LdapSearch {
            base: name,
            scope: Scope::Base,
            filter: Filter::equal(attr::OBJECT_CLASS, "subschema"),
            attributes: vec!["attributeTypes".to_owned(), "objectClasses".to_owned()],
            limit: None,
        };
        let entries = self.search(search).await?;
        let entry = entries.first().ok_or_else(|| unreadable("no subschema"))?;
        let definitions = entry.attributes().flat_map(|(name, values)| {
            values.iter().filter_map(|value| Some((name.clone(), String::from_utf8(value.clone()).ok()?)))
        });
        Ok(definitions.collect())
    }

    /// Asks the servers of `role`, or all servers, one after another until one succeeds or decides
    /// ([`OperationFailure::Decided`]). Skips servers whose circuit is open. The server that succeeds is asked first
    /// next time. A request that this client cannot send ([`OperationFailure::NotSent`]) goes to no server.
    pub(crate) async fn read_from<'a, T, F>(
        &'a self,
        role: Option<ServerRole>,
        ask: impl Fn(&'a PooledServer) -> F,
    ) -> Result<T, DirectoryError>
    where
        F: Future<Output = Result<T, OperationFailure>>,
    {
        let asked_first = if role.is_some() { &self.inner.writer } else { &self.inner.reader };
        let mut last =
            DirectoryError::Unavailable("all servers have failed recently, or none is configured".to_owned());
        let first = asked_first.load(Ordering::Relaxed);
        for index in self.order(first, role) {
            let Some(server) = self.inner.servers.get(index).filter(|server| server.allowed()) else { continue };
            let outcome = ask(server).await;
            server.report(&outcome);
            match outcome {
                Ok(value) => {
                    // A change that another task has made meanwhile stays.
                    let _ = asked_first.compare_exchange(first, index, Ordering::Relaxed, Ordering::Relaxed);
                    self.return_later();
                    return Ok(value);
                }
                Err(OperationFailure::Decided(error) | OperationFailure::NotSent(error)) => return Err(error),
                Err(failure) => last = failure.of_read(server.url()),
            }
            tracing::warn!(server = server.url(), error = %last, "a directory server could not serve a read or a bind");
        }
        Err(last)
    }

    /// Returns all servers with their indexes, in the order in which to ask them.
    pub(crate) fn readers(&self) -> impl Iterator<Item = (usize, &PooledServer)> {
        let order = self.order(self.inner.reader.load(Ordering::Relaxed), None);
        order.into_iter().filter_map(|index| Some((index, self.inner.servers.get(index)?)))
    }

    /// Makes this server the first one to ask, because it answered.
    pub(crate) fn ask_first(&self, index: usize) {
        self.inner.reader.store(index, Ordering::Relaxed);
        self.return_later();
    }

    /// Makes the next server the first one to ask, because this one cannot serve the request.
    pub(crate) fn pass_over(&self, index: usize) {
        let next = (index + 1) % self.inner.servers.len().max(1);
        let _ = self.inner.reader.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Returns the indexes of the servers of `role`, or of all: `first`, then the others as configured.
    fn order(&self, first: usize, role: Option<ServerRole>) -> Vec<usize> {
        let fits = |index: &usize| {
            self.inner.servers.get(*index).is_some_and(|server| role.is_none_or(|role| server.role() == role))
        };
        let others = (0..self.inner.servers.len()).filter(|index| *index != first);
        std::iter::once(first).chain(others).filter(fits).collect()
    }

    async fn write_with_receipt(
        &self,
        operation: SingleRequest<'_>,
        assert: Option<&Filter>,
    ) -> Result<WriteReceipt, DirectoryError> {
        let mut controls: Vec<_> = assert.map(assertion).into_iter().collect();
        if self.inner.no_post_read.load(Ordering::Relaxed) {
            return self.write(operation, &controls).await.map(|result| receipt(&result));
        }
        controls.push(post_read());
        match self.write(operation, &controls).await {
            // Some servers refuse this control although it is not critical: repeat the write without the control, and
            // return an empty receipt.
            Err(DirectoryError::Refused { code: UNAVAILABLE_CRITICAL_EXTENSION, .. }) => {
                controls.pop();
                let result = self.write(operation, &controls).await?;
                self.inner.no_post_read.store(true, Ordering::Relaxed);
                Ok(receipt(&result))
            }
            outcome => outcome.map(|result| receipt(&result)),
        }
    }

    /// Sends a write to the provider, and repeats the write only when the first attempt certainly had no effect:
    /// - When an idle connection had died, on another connection.
    /// - When the server is busy, unreachable or no longer the provider, once, at the next configured provider whose
    ///   circuit is closed. If only one provider is configured, it is asked again only when it is no longer the
    ///   provider: its name may now resolve to another machine.
    async fn write(&self, operation: SingleRequest<'_>, controls: &[RawControl]) -> Result<LdapResult, DirectoryError> {
        let mut last = DirectoryError::Unavailable("no provider is configured, or it has failed recently".to_owned());
        let mut order = self.order(self.inner.writer.load(Ordering::Relaxed), Some(ServerRole::Provider));
        let is_only = order.len() == 1;
        order.extend_from_within(..usize::from(is_only));
        let allowed = order.into_iter().filter_map(|index| {
            let server = self.inner.servers.get(index).filter(|server| server.allowed())?;
            Some((index, server))
        });
        for (index, server) in allowed.take(2) {
            let outcome = write_at(server, operation, controls).await;
            server.report(&outcome);
            match outcome {
                Ok(result) => {
                    self.inner.writer.store(index, Ordering::Relaxed);
                    return Ok(result);
                }
                Err(
                    failure @ (OperationFailure::Decided(_)
                    | OperationFailure::NotSent(_)
                    | OperationFailure::Lost(_)
                    | OperationFailure::TimedOut),
                ) => {
                    return Err(failure.of_write(server.url()));
                }
                Err(failure @ OperationFailure::Topology(_)) => {
                    server.forget_connections();
                    last = failure.of_write(server.url());
                }
                Err(failure) => {
                    last = failure.of_write(server.url());
                    if is_only {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// Starts the task that returns to the preferred server, unless that one serves already or the task runs.
    fn return_later(&self) {
        let inner = &self.inner;
        if inner.reader.load(Ordering::Relaxed) == 0 || inner.returning.swap(true, Ordering::Relaxed) {
            return;
        }
        tokio::spawn(return_to_preferred(Arc::downgrade(inner)));
    }
}

/// Probes the servers that are listed before the present one, every [`RETURN_INTERVAL`]. The first that works becomes
/// the present one. Ends when the present one is the first of the list.
async fn return_to_preferred(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(RETURN_INTERVAL).await;
        let Some(inner) = inner.upgrade() else { return };
        let present = inner.reader.load(Ordering::Relaxed);
        for (index, server) in inner.servers.iter().enumerate().take(present) {
            let outcome = probe_at(server, &inner.config.suffix).await;
            if outcome.is_ok() {
                tracing::info!(server = server.url(), "a preferred directory server works again");
                server.report(&outcome);
                inner.reader.store(index, Ordering::Relaxed);
                break;
            }
        }
        if inner.reader.load(Ordering::Relaxed) == 0 {
            inner.returning.store(false, Ordering::Relaxed);
            return;
        }
    }
}

async fn probe_at(server: &PooledServer, suffix: &Dn) -> Result<Vec<String>, OperationFailure> {
    server.open().await?.context_csn(suffix).await
}

async fn write_at(
    server: &PooledServer,
    operation: SingleRequest<'_>,
    controls: &[RawControl],
) -> Result<LdapResult, OperationFailure> {
    loop {
        let shared = server.share().await?;
        let outcome = shared.connection.call(operation, controls.to_vec()).await;
        match outcome {
            Ok(result) => return judge(&result).map(|()| result),
            Err(failure) => {
                shared.connection.retire();
                // The connection had died while idle, so the request was not sent.
                if !shared.fresh && matches!(failure, OperationFailure::Undone(_)) {
                    continue;
                }
                return Err(failure);
            }
        }
    }
}

async fn bind_at(server: &PooledServer, suffix: &Dn, dn: &Dn, password: &str) -> Result<(), OperationFailure> {
    loop {
        let taken = server.take(ConnectionUse::Binding).await?;
        let outcome = taken.connection.bind(dn.as_str(), password).await;
        match outcome {
            Ok(()) => {
                server.give_back(taken);
                return outcome;
            }
            Err(OperationFailure::Decided(_)) => {
                server.give_back(taken);
                vouch_at(server, suffix).await?;
                return outcome;
            }
            Err(OperationFailure::Undone(_) | OperationFailure::Lost(_)) if !taken.fresh => continue,
            Err(failure) => return Err(failure),
        }
    }
}

/// Checks that a server may be believed when it refuses a password. One that was emptied or is being filled refuses
/// every password, but has no contextCSN or does not know our own identity.
async fn vouch_at(server: &PooledServer, suffix: &Dn) -> Result<(), OperationFailure> {
    let context_csn = async { server.share().await?.connection.context_csn(suffix).await };
    match context_csn.await {
        Ok(_) => Ok(()),
        Err(OperationFailure::Decided(error)) => Err(OperationFailure::Undone(format!(
            "the refused password proves nothing, because our own identity was refused: {error}"
        ))),
        Err(failure) => Err(failure),
    }
}

async fn search_at<C: Extend<Entry>>(
    server: &PooledServer,
    search: &LdapSearch,
    begin: &impl Fn() -> C,
) -> Result<C, OperationFailure> {
    let paged = search.scope != Scope::Base && search.limit.is_none_or(|limit| limit > PAGE_ENTRIES as usize);
    let work = async {
        if paged {
            search_pages(server, search, begin).await
        } else {
            let mut all = begin();
            all.extend(search_once(server, search).await?);
            Ok(all)
        }
    };
    tokio::time::timeout(SEARCH_TIME_MAX, work).await.unwrap_or(Err(OperationFailure::TimedOut))
}

/// Runs a search with a small result: one request on a shared connection.
async fn search_once(server: &PooledServer, search: &LdapSearch) -> Result<Vec<Entry>, OperationFailure> {
    loop {
        let shared = server.share().await?;
        let outcome = shared.connection.search(query(search, &search.filter.to_string(), None)).await;
        match outcome {
            Ok((entries, result)) => return collected(entries, &result, search.limit),
            Err(failure) => {
                shared.connection.retire();
                if !shared.fresh && matches!(failure, OperationFailure::Undone(_) | OperationFailure::Lost(_)) {
                    continue;
                }
                return Err(failure);
            }
        }
    }
}

/// Runs a search that may have a large result, page by page, so that the library's unbounded queue stays short.
async fn search_pages<C: Extend<Entry>>(
    server: &PooledServer,
    search: &LdapSearch,
    begin: &impl Fn() -> C,
) -> Result<C, OperationFailure> {
    loop {
        let taken = server.take(ConnectionUse::Paging).await?;
        let mut all = begin();
        match all_pages(&taken.connection, search, &mut all).await {
            Ok(whole) => {
                // The server keeps paging state until the last page, so drop a connection that did not reach it.
                if whole {
                    server.give_back(taken);
                }
                return Ok(all);
            }
            Err(OperationFailure::Undone(_) | OperationFailure::Lost(_)) if !taken.fresh => continue,
            Err(failure) => return Err(failure),
        }
    }
}

/// Adds the entries of all pages to `all`; returns whether the last page was reached.
async fn all_pages(
    connection: &Connection,
    search: &LdapSearch,
    all: &mut impl Extend<Entry>,
) -> Result<bool, OperationFailure> {
    let filter = search.filter.to_string();
    let limit = search.limit.unwrap_or(SEARCH_ENTRIES_MAX);
    let (mut count, mut cookie) = (0, Vec::new());
    loop {
        let page = PagedResults { size: PAGE_ENTRIES, cookie };
        let (entries, result) = connection.search(query(search, &filter, Some(page))).await?;
        let entries = collected(entries, &result, search.limit)?;
        let room = limit.saturating_sub(count);
        count += entries.len();
        all.extend(entries.into_iter().take(room));
        match decode::page_cookie(&result.ctrls) {
            Some(next) if count < limit => cookie = next,
            more => {
                if search.limit.is_none() {
                    refuse_part(count, more.is_some())?;
                }
                return Ok(more.is_none());
            }
        }
    }
}

/// Refuses a result without its last entries where the caller asked for all.
fn refuse_part(entries: usize, has_more: bool) -> Result<(), OperationFailure> {
    if entries < SEARCH_ENTRIES_MAX || (entries == SEARCH_ENTRIES_MAX && !has_more) {
        return Ok(());
    }
    let message = format!("more than {SEARCH_ENTRIES_MAX} entries");
    Err(OperationFailure::Decided(DirectoryError::Refused { code: SIZE_LIMIT_EXCEEDED, message }))
}

/// The request for a whole search, or for one page of it.
pub(crate) fn query<'a>(search: &'a LdapSearch, filter: &'a str, page: Option<PagedResults>) -> WireSearch<'a> {
    let limit = if page.is_some() { None } else { search.limit };
    WireSearch {
        base: search.base.as_str(),
        scope: search.scope,
        filter,
        attributes: &search.attributes,
        size_limit: limit.and_then(|limit| i32::try_from(limit).ok()).unwrap_or(0),
        page,
    }
}

/// Returns the entries if the result is a success. A result that ends at the caller's own limit counts as one.
fn collected(entries: Vec<Entry>, result: &LdapResult, limit: Option<usize>) -> Result<Vec<Entry>, OperationFailure> {
    if !(result.rc == SIZE_LIMIT_EXCEEDED && limit.is_some_and(|limit| entries.len() >= limit)) {
        judge(result)?;
    }
    Ok(entries)
}

fn receipt(result: &LdapResult) -> WriteReceipt {
    let Some(entry) = decode::post_read(&result.ctrls) else { return WriteReceipt::default() };
    WriteReceipt {
        csn: entry.first(attr::ENTRY_CSN).map(str::to_owned),
        entry_uuid: entry.first(attr::ENTRY_UUID).and_then(|text| Uuid::parse_str(text).ok()),
    }
}

fn unreadable(message: &str) -> DirectoryError {
    DirectoryError::Refused { code: 2, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_for_all_entries_never_returns_a_part() {
        for (entries, has_more, expect) in [
            (0, false, true),
            (SEARCH_ENTRIES_MAX, false, true),
            (SEARCH_ENTRIES_MAX, true, false),
            (SEARCH_ENTRIES_MAX + 1, false, false),
        ] {
            assert_eq!(refuse_part(entries, has_more).is_ok(), expect, "{entries} {has_more}");
        }
    }
}

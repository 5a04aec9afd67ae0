//! The operations, through whichever server is good.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ldap3::LdapResult;
use ldap3::controls::{PagedResults, RawControl};
use provost_entry::{AttributeDescription, Dn, Entry, Filter, Modification};
use provost_schema::attr;
use uuid::Uuid;

use crate::connection::{Connection, Operation, Query, Target, assertion, post_read};
use crate::decode;
use crate::outcome::{Failure, judge};
use crate::pool::{Lane, Server};
use crate::{Control, DirectoryConfig, DirectoryError, Receipt, Scope, Search, ServerLook, ServerRole, tls};

/// Entries in one page of a search (RFC 2696): slapd's default soft limit is 500 for others, unlimited for services.
const PAGE_ENTRIES: i32 = 1000;
/// Most entries of one search: twice the largest site.
const SEARCH_ENTRIES_MAX: usize = 4_000_000;
/// Longest time one search may take as a whole, however steadily its entries trickle.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(300);
/// How often the preferred server is looked at while another one stands in.
const RETURN_INTERVAL: Duration = Duration::from_secs(5);
/// RFC 4511: sizeLimitExceeded.
const SIZE_LIMIT_EXCEEDED: u32 = 4;
/// RFC 4511: unavailableCriticalExtension.
const UNAVAILABLE_CRITICAL_EXTENSION: u32 = 12;

/// The directory, through whichever server is good. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    config: DirectoryConfig,
    servers: Vec<Server>,
    /// Which server answered last: it is asked first until it fails.
    reader: AtomicUsize,
    writer: AtomicUsize,
    returning: AtomicBool,
    /// Servers refuse the post-read control: receipts are empty then.
    no_post_read: AtomicBool,
}

impl Directory {
    /// Makes a pool. Nothing is connected yet.
    pub fn new(config: DirectoryConfig) -> Self {
        let tls = tls::client_config(config.ca_file.as_deref());
        let target = |server: &crate::ServerConfig| Target {
            server: server.clone(),
            tls: tls.clone(),
            connect_timeout: config.connect_timeout,
            operation_timeout: config.operation_timeout,
        };
        let identity = (config.bind_dn.clone(), config.bind_password.clone());
        let server = |server| Server::new(target(server), identity.clone(), config.suffix.clone());
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

    /// The site's suffix.
    pub fn suffix(&self) -> &Dn {
        &self.inner.config.suffix
    }

    /// The configuration it was made with.
    pub fn config(&self) -> &DirectoryConfig {
        &self.inner.config
    }

    /// Asks each server by itself for its contextCSN, on a new connection with our identity, in the order of the
    /// configuration. Neither the circuit breakers nor the failure counters see what comes of it. A server that does not
    /// answer costs the connect timeout and two operation timeouts at most.
    pub async fn look(&self) -> Vec<ServerLook> {
        let mut looks = Vec::with_capacity(self.inner.servers.len());
        for server in &self.inner.servers {
            let looked = probe_at(server, self.suffix()).await;
            let context_csn = looked.map_err(|failure| failure.of_read(server.url()));
            looks.push(ServerLook { url: server.url().to_owned(), role: server.role(), context_csn });
        }
        looks
    }

    /// Reads from any good server. The whole result is collected; `search.limit` bounds it.
    pub async fn search(&self, search: Search) -> Result<Vec<Entry>, DirectoryError> {
        self.read_from(None, |server| search_at(server, &search)).await
    }

    /// The same, read from the writable provider (for decisions that precede a write).
    pub async fn search_provider(&self, search: Search) -> Result<Vec<Entry>, DirectoryError> {
        self.read_from(Some(ServerRole::Provider), |server| search_at(server, &search)).await
    }

    /// One entry by name; `None` only when a server said that there is none.
    pub async fn read(&self, dn: &Dn, attributes: &[&str]) -> Result<Option<Entry>, DirectoryError> {
        let search = Search {
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

    /// Adds an entry on the provider.
    pub async fn add(&self, entry: Entry) -> Result<Receipt, DirectoryError> {
        self.write_with_receipt(Operation::Add(&entry), None).await
    }

    /// Modifies an entry on the provider.
    pub async fn modify(
        &self,
        dn: &Dn,
        changes: Vec<Modification>,
        control: Control,
    ) -> Result<Receipt, DirectoryError> {
        self.write_with_receipt(Operation::Modify(dn, &changes), control.assert.as_ref()).await
    }

    /// Deletes an entry on the provider.
    pub async fn delete(&self, dn: &Dn, control: Control) -> Result<(), DirectoryError> {
        let controls: Vec<_> = control.assert.iter().map(assertion).collect();
        self.write(Operation::Delete(dn), &controls).await.map(|_| ())
    }

    /// Renames an entry on the provider (old RDN value removed).
    pub async fn rename(&self, dn: &Dn, new_rdn: &str, new_parent: Option<&Dn>) -> Result<(), DirectoryError> {
        self.write(Operation::Rename { dn, rdn: new_rdn, parent: new_parent }, &[]).await.map(|_| ())
    }

    /// Whether `password` opens `dn`, by a bind on a connection of its own. An empty password is refused here.
    ///
    /// [`DirectoryError::InvalidCredentials`] is the word of a server that is in a state to give it: it lets our own identity in
    /// and has a contextCSN. Every other result, from every server that can be asked, is [`DirectoryError::Unavailable`]: it
    /// proves nothing about the password (RFC 4511 appendix A: busy, unavailable, unwillingToPerform, referral and the like).
    pub async fn bind(&self, dn: &Dn, password: &str) -> Result<(), DirectoryError> {
        if password.is_empty() || dn.is_root() {
            return Err(DirectoryError::InvalidCredentials);
        }
        self.read_from(None, |server| bind_at(server, self.suffix(), dn, password)).await
    }

    /// The configuration of attribute types and classes that the server publishes (subschema), one definition a string.
    pub async fn subschema(&self) -> Result<Vec<(AttributeDescription, String)>, DirectoryError> {
        let root = self.read(&Dn::root(), &["subschemaSubentry"]).await?;
        let name = root.as_ref().and_then(|root| root.first("subschemaSubentry"));
        let name = Dn::parse(name.unwrap_or("cn=Subschema")).map_err(|error| unreadable(&error.to_string()))?;
        // A subschema subentry answers only to its own class (RFC 4512 §4.4).
        let search = Search {
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

    /// Asks servers in order until one answers; the one that did is asked first next time.
    pub(crate) async fn read_from<'a, T, F>(
        &'a self,
        role: Option<ServerRole>,
        ask: impl Fn(&'a Server) -> F,
    ) -> Result<T, DirectoryError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let sticky = if role.is_some() { &self.inner.writer } else { &self.inner.reader };
        let mut last = DirectoryError::Unavailable("every server failed just now, or none is configured".to_owned());
        let first = sticky.load(Ordering::Relaxed);
        for index in self.order(first, role) {
            let Some(server) = self.inner.servers.get(index).filter(|server| server.allowed()) else { continue };
            let outcome = ask(server).await;
            server.report(&outcome);
            match outcome {
                Ok(value) => {
                    // A return to the preferred server while this one answered stands.
                    let _ = sticky.compare_exchange(first, index, Ordering::Relaxed, Ordering::Relaxed);
                    self.return_later();
                    return Ok(value);
                }
                Err(Failure::Decided(error)) => return Err(error),
                Err(failure) => last = failure.of_read(server.url()),
            }
            tracing::warn!(server = server.url(), error = %last, "the directory server did not answer");
        }
        Err(last)
    }

    /// All servers with their indexes, the one that answered last first.
    pub(crate) fn readers(&self) -> impl Iterator<Item = (usize, &Server)> {
        let order = self.order(self.inner.reader.load(Ordering::Relaxed), None);
        order.into_iter().filter_map(|index| Some((index, self.inner.servers.get(index)?)))
    }

    /// This server answered: it is asked first from now on.
    pub(crate) fn keep_to(&self, index: usize) {
        self.inner.reader.store(index, Ordering::Relaxed);
        self.return_later();
    }

    /// This server is not good for what it was asked: another one is asked first next time.
    pub(crate) fn pass_over(&self, index: usize) {
        let next = (index + 1) % self.inner.servers.len().max(1);
        let _ = self.inner.reader.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Indexes of servers to ask: `first`, then the others in order of preference.
    fn order(&self, first: usize, role: Option<ServerRole>) -> Vec<usize> {
        let fits = |index: &usize| {
            self.inner.servers.get(*index).is_some_and(|server| role.is_none_or(|role| server.role() == role))
        };
        let others = (0..self.inner.servers.len()).filter(|index| *index != first);
        std::iter::once(first).chain(others).filter(fits).collect()
    }

    async fn write_with_receipt(
        &self,
        operation: Operation<'_>,
        assert: Option<&Filter>,
    ) -> Result<Receipt, DirectoryError> {
        let mut controls: Vec<_> = assert.map(assertion).into_iter().collect();
        if self.inner.no_post_read.load(Ordering::Relaxed) {
            return self.write(operation, &controls).await.map(|result| receipt(&result));
        }
        controls.push(post_read());
        match self.write(operation, &controls).await {
            // The control is not critical, yet some servers refuse it so. Without it there is no receipt, but a write.
            Err(DirectoryError::Refused { code: UNAVAILABLE_CRITICAL_EXTENSION, .. }) => {
                controls.pop();
                let result = self.write(operation, &controls).await?;
                self.inner.no_post_read.store(true, Ordering::Relaxed);
                Ok(receipt(&result))
            }
            outcome => outcome.map(|result| receipt(&result)),
        }
    }

    /// Sends a write to the provider. It is sent again only when the first one was certainly not done: on a connection
    /// that had died, or once to the next provider (or the same name anew) when this one says that it is not the one.
    async fn write(&self, operation: Operation<'_>, controls: &[RawControl]) -> Result<LdapResult, DirectoryError> {
        let mut last = DirectoryError::Unavailable("no provider is configured, or it failed just now".to_owned());
        let mut order = self.order(self.inner.writer.load(Ordering::Relaxed), Some(ServerRole::Provider));
        let alone = order.len() == 1;
        order.extend_from_within(..usize::from(alone));
        for index in order.into_iter().take(2) {
            let Some(server) = self.inner.servers.get(index).filter(|server| server.allowed()) else { continue };
            let outcome = write_at(server, operation, controls).await;
            server.report(&outcome);
            match outcome {
                Ok(result) => {
                    self.inner.writer.store(index, Ordering::Relaxed);
                    return Ok(result);
                }
                Err(failure @ (Failure::Decided(_) | Failure::Lost(_) | Failure::TimedOut)) => {
                    return Err(failure.of_write(server.url()));
                }
                Err(failure @ Failure::Topology(_)) => {
                    server.forget_connections();
                    last = failure.of_write(server.url());
                }
                Err(failure) => {
                    last = failure.of_write(server.url());
                    if alone {
                        break;
                    }
                }
            }
        }
        Err(last)
    }

    /// While another server stands in for the preferred one, looks after that in the background.
    fn return_later(&self) {
        let inner = &self.inner;
        if inner.reader.load(Ordering::Relaxed) == 0 || inner.returning.swap(true, Ordering::Relaxed) {
            return;
        }
        tokio::spawn(return_to_preferred(Arc::downgrade(inner)));
    }
}

/// Looks at the servers before the present one until one is good again.
async fn return_to_preferred(inner: Weak<Inner>) {
    loop {
        tokio::time::sleep(RETURN_INTERVAL).await;
        let Some(inner) = inner.upgrade() else { return };
        let present = inner.reader.load(Ordering::Relaxed);
        for (index, server) in inner.servers.iter().enumerate().take(present) {
            let outcome = probe_at(server, &inner.config.suffix).await;
            if outcome.is_ok() {
                tracing::info!(server = server.url(), "back to the preferred directory server");
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

async fn probe_at(server: &Server, suffix: &Dn) -> Result<Vec<String>, Failure> {
    server.open().await?.context_csn(suffix).await
}

async fn write_at(server: &Server, operation: Operation<'_>, controls: &[RawControl]) -> Result<LdapResult, Failure> {
    loop {
        let shared = server.share().await?;
        let outcome = shared.connection.call(operation, controls.to_vec()).await;
        match outcome {
            Ok(result) => return judge(&result).map(|()| result),
            Err(failure) => {
                shared.connection.retire();
                // A connection that died while it was idle took nothing: the request was not sent.
                if !shared.fresh && matches!(failure, Failure::Undone(_)) {
                    continue;
                }
                return Err(failure);
            }
        }
    }
}

async fn bind_at(server: &Server, suffix: &Dn, dn: &Dn, password: &str) -> Result<(), Failure> {
    loop {
        let taken = server.take(Lane::Binding).await?;
        let outcome = taken.connection.bind(dn.as_str(), password).await;
        match outcome {
            Ok(()) => {
                server.give_back(taken);
                return outcome;
            }
            Err(Failure::Decided(_)) => {
                server.give_back(taken);
                vouch_at(server, suffix).await?;
                return outcome;
            }
            Err(Failure::Undone(_) | Failure::Lost(_)) if !taken.fresh => continue,
            Err(failure) => return Err(failure),
        }
    }
}

/// Whether a server's refusal can be believed. One that was emptied, or is being filled, refuses everybody's password: it has
/// no contextCSN, or does not know our own identity.
async fn vouch_at(server: &Server, suffix: &Dn) -> Result<(), Failure> {
    let vouched = async { server.share().await?.connection.context_csn(suffix).await };
    match vouched.await {
        Ok(_) => Ok(()),
        Err(Failure::Decided(error)) => Err(Failure::Undone(format!("its refusal proves nothing: {error}"))),
        Err(failure) => Err(failure),
    }
}

async fn search_at(server: &Server, search: &Search) -> Result<Vec<Entry>, Failure> {
    let paged = search.scope != Scope::Base && search.limit.is_none_or(|limit| limit > PAGE_ENTRIES as usize);
    let work = async { if paged { search_pages(server, search).await } else { search_once(server, search).await } };
    tokio::time::timeout(SEARCH_TIME_MAX, work).await.unwrap_or(Err(Failure::TimedOut))
}

/// A search whose result is small: one request on a shared connection.
async fn search_once(server: &Server, search: &Search) -> Result<Vec<Entry>, Failure> {
    loop {
        let shared = server.share().await?;
        let outcome = shared.connection.search(query(search, &search.filter.to_string(), None)).await;
        match outcome {
            Ok((entries, result)) => return collected(entries, &result, search.limit),
            Err(failure) => {
                shared.connection.retire();
                if !shared.fresh && matches!(failure, Failure::Undone(_) | Failure::Lost(_)) {
                    continue;
                }
                return Err(failure);
            }
        }
    }
}

/// A search whose result may be large: page by page, so that nothing piles up in the library's unbounded queue.
async fn search_pages(server: &Server, search: &Search) -> Result<Vec<Entry>, Failure> {
    loop {
        let taken = server.take(Lane::Paging).await?;
        match all_pages(&taken.connection, search).await {
            Ok((entries, whole)) => {
                // One that was left before its last page would hold the server's paging state.
                if whole {
                    server.give_back(taken);
                }
                return Ok(entries);
            }
            Err(Failure::Undone(_) | Failure::Lost(_)) if !taken.fresh => continue,
            Err(failure) => return Err(failure),
        }
    }
}

/// The entries, and whether the last page was reached.
async fn all_pages(connection: &Connection, search: &Search) -> Result<(Vec<Entry>, bool), Failure> {
    let filter = search.filter.to_string();
    let limit = search.limit.unwrap_or(SEARCH_ENTRIES_MAX);
    let (mut all, mut cookie) = (Vec::new(), Vec::new());
    loop {
        let page = PagedResults { size: PAGE_ENTRIES, cookie };
        let (entries, result) = connection.search(query(search, &filter, Some(page))).await?;
        all.extend(collected(entries, &result, search.limit)?);
        match decode::page_cookie(&result.ctrls) {
            Some(next) if all.len() < limit => cookie = next,
            more => {
                all.truncate(limit);
                return Ok((all, more.is_none()));
            }
        }
    }
}

fn query<'a>(search: &'a Search, filter: &'a str, page: Option<PagedResults>) -> Query<'a> {
    let limit = if page.is_some() { None } else { search.limit };
    Query {
        base: search.base.as_str(),
        scope: search.scope,
        filter,
        attributes: &search.attributes,
        size_limit: limit.and_then(|limit| i32::try_from(limit).ok()).unwrap_or(0),
        page,
    }
}

/// Reaching one's own limit is no error.
fn collected(entries: Vec<Entry>, result: &LdapResult, limit: Option<usize>) -> Result<Vec<Entry>, Failure> {
    if !(result.rc == SIZE_LIMIT_EXCEEDED && limit.is_some_and(|limit| entries.len() >= limit)) {
        judge(result)?;
    }
    Ok(entries)
}

fn receipt(result: &LdapResult) -> Receipt {
    let Some(entry) = decode::post_read(&result.ctrls) else { return Receipt::default() };
    Receipt {
        csn: entry.first(attr::ENTRY_CSN).map(str::to_owned),
        entry_uuid: entry.first(attr::ENTRY_UUID).and_then(|text| Uuid::parse_str(text).ok()),
    }
}

fn unreadable(message: &str) -> DirectoryError {
    DirectoryError::Refused { code: 2, message: message.to_owned() }
}

//! The search operation (RFC 4511 §4.5), with paging on request (RFC 2696).

use std::time::{Duration, Instant};

use provost_entry::{Dn, Entry, Filter};
use tokio_util::sync::CancellationToken;

use crate::access::Identity;
use crate::ber::BerWriter;
use crate::change::{existing, parse_dn};
use crate::controls::{Controls, PageRequest};
use crate::ldap_result::{LdapResult, OperationResult, ResultCode};
use crate::matching::{self, GeneratedEntry, VisibleEntry};
use crate::message::{Scope, SearchRequest};
use crate::output::ResponseSender;
use crate::paging::{Pages, PagingState};
use crate::reply::{self, ResponseControl};
use crate::result_entry::{self, AttributeSelection};
use crate::shared::ServerContext;
use crate::tree::{EntryNumber, EntrySnapshot, Tree};

/// Tag of SearchResultDone.
pub(crate) const SEARCH_RESULT_DONE: u8 = 0x65;
/// Longest time for one search that is not a synchronisation, whatever limit the client requests.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(60);
/// Entries examined under one lock of the tree.
pub(crate) const CHUNK_ENTRIES: EntryNumber = 256;
/// Octets of results after which the lock is released before [`CHUNK_ENTRIES`] are examined.
pub(crate) const CHUNK_OCTETS: usize = 32 * 1024;

/// The entries within the base, scope and rights of a search.
pub(crate) struct SearchScope {
    pub(crate) base: EntryNumber,
    pub(crate) scope: Scope,
    /// The only entry that the identity may read; `None` for all.
    pub(crate) only: Option<EntryNumber>,
}

impl SearchScope {
    /// Finds the base; refused when it does not exist, or the identity may not name it.
    pub(crate) fn of(tree: &Tree, identity: &Identity, request: &SearchRequest) -> OperationResult<Self> {
        let base = parse_dn(&request.base)?;
        let only = identity.readable(tree)?;
        let place = match (existing(tree, &base), only) {
            (Ok(place), None) => place,
            (Err(refusal), None) => return Err(refusal),
            // A person may name only their own entry and its ancestors.
            (Ok(place), Some(own)) if tree.is_within(own, place) => place,
            _ => return Err(LdapResult::new(ResultCode::NoSuchObject, "")),
        };
        Ok(Self { base: place, scope: request.scope, only })
    }

    /// Whether the search covers the entry at `place` below `parent`.
    pub(crate) fn holds(&self, tree: &Tree, place: EntryNumber, parent: EntryNumber) -> bool {
        self.only.is_none_or(|only| only == place)
            && match self.scope {
                Scope::Base => place == self.base,
                Scope::One => parent == self.base,
                Scope::Subtree => place == self.base || tree.is_within(parent, self.base),
                Scope::Children => tree.is_within(parent, self.base),
            }
    }

    /// Whether the search covers an entry that had these ancestors, its parent first.
    pub(crate) fn holds_with_ancestors(&self, place: EntryNumber, ancestors: &[EntryNumber]) -> bool {
        self.only.is_none_or(|only| only == place)
            && match self.scope {
                Scope::Base => place == self.base,
                Scope::One => ancestors.first() == Some(&self.base),
                Scope::Subtree => place == self.base || ancestors.contains(&self.base),
                Scope::Children => ancestors.contains(&self.base),
            }
    }
}

/// One running search.
pub(crate) struct RunningSearch<'a> {
    pub(crate) shared: &'a ServerContext,
    pub(crate) identity: &'a Identity,
    pub(crate) id: i32,
    pub(crate) request: &'a SearchRequest,
    pub(crate) output: &'a ResponseSender,
    pub(crate) cancelled: &'a CancellationToken,
    /// The paging cookies of the connection (RFC 2696).
    pub(crate) pages: &'a Pages,
}

/// The result of a search, and its position when another page follows.
type SearchEnd = (LdapResult, Option<PagingState>);

impl RunningSearch<'_> {
    /// Runs the search to its SearchResultDone. An abandoned search stops without one.
    pub(crate) async fn run(&self, controls: &Controls) {
        let (end, response_controls) = match self.generated_entry(controls.write.assertion.as_ref()) {
            Some(Err(refusal)) => (refusal, Vec::new()),
            Some(Ok(entry)) => {
                // The subschema is large: as for any other entry, the server waits while the client reads slowly.
                if self.output.send(entry).await.is_err() {
                    return;
                }
                (LdapResult::success(), self.page_control(controls.page.as_ref(), None))
            }
            None => match self.entries(controls).await {
                Some((end, next)) => (end, self.page_control(controls.page.as_ref(), next)),
                None => return,
            },
        };
        let octets = reply::result(self.id, SEARCH_RESULT_DONE, &end, &response_controls);
        _ = self.output.send(octets).await;
    }

    /// Returns the encoded root DSE or subschema, which are not in the tree; no octets when the filter does not match.
    /// `None` when base and scope select neither.
    fn generated_entry(&self, assertion: Option<&Filter>) -> Option<OperationResult<Vec<u8>>> {
        let base = Dn::parse(&self.request.base).ok()?;
        let entry: &Entry = match self.request.scope {
            Scope::Base | Scope::Subtree if base == self.shared.subschema.dn => &self.shared.subschema,
            Scope::Base if base.is_root() => &self.shared.root_dse,
            _ => return None,
        };
        let catalogue = &self.shared.catalogue;
        let meets = |filter| matching::matches(catalogue, &GeneratedEntry { catalogue, entry }, filter) == Some(true);
        if assertion.is_some_and(|assertion| !meets(assertion)) {
            return Some(Err(LdapResult::new(ResultCode::AssertionFailed, "")));
        }
        let mut w = BerWriter::default();
        if meets(&self.request.filter) {
            let selection = AttributeSelection::parse(catalogue, &self.request.attributes, self.request.types_only);
            reply::message(&mut w, self.id, &[], |w| result_entry::write_generated(w, catalogue, entry, &selection));
        }
        Some(Ok(w.into_octets()))
    }

    async fn entries(&self, controls: &Controls) -> Option<SearchEnd> {
        let started = Instant::now();
        let mut progress = match self.begin(controls) {
            Ok(Some(progress)) => progress,
            Ok(None) => return Some((LdapResult::success(), None)),
            Err(refusal) => return Some((refusal, None)),
        };
        let client_limit = Duration::from_secs(self.request.time_limit_seconds);
        let limit = if client_limit.is_zero() { SEARCH_TIME_MAX } else { client_limit.min(SEARCH_TIME_MAX) };
        loop {
            if self.cancelled.is_cancelled() {
                return None;
            }
            let (octets, end) = self.chunk(&mut progress);
            if !octets.is_empty() {
                self.output.send(octets).await.ok()?;
            }
            if let Some(end) = end {
                return Some(end);
            }
            if started.elapsed() > limit {
                return Some((LdapResult::new(ResultCode::TimeLimitExceeded, ""), None));
            }
            // A long search must not block its thread.
            tokio::task::yield_now().await;
        }
    }

    /// Checks the request; `None` when it only ends a paged search.
    fn begin(&self, controls: &Controls) -> OperationResult<Option<SearchProgress>> {
        let tree = self.shared.directory.read();
        let scope = SearchScope::of(&tree, self.identity, self.request)?;
        if let (Some(assertion), Some(snapshot)) = (&controls.write.assertion, tree.snapshot(scope.base)) {
            let visible = VisibleEntry { tree: &tree, snapshot, with_secrets: self.identity.reads_secrets() };
            // An assertion on an entry that the identity may not read must not be evaluated: its result would reveal
            // values.
            let hidden = scope.only.is_some_and(|own| own != scope.base);
            if hidden || matching::matches(&tree.catalogue, &visible, assertion) != Some(true) {
                return Err(LdapResult::new(ResultCode::AssertionFailed, ""));
            }
        }
        let candidates = match (self.request.scope, scope.only) {
            (Scope::Base, _) => Some(vec![scope.base]),
            (_, Some(only)) => Some(vec![only]),
            (Scope::One, None) => {
                let lists = [tree.children(scope.base), tree.candidates(&self.request.filter)];
                lists.into_iter().flatten().min_by_key(Vec::len)
            }
            _ => tree.candidates(&self.request.filter),
        };
        let PagingState { place: from, entries_sent } = match &controls.page {
            Some(page) if !page.cookie.is_empty() => self.pages.progress(self.request, &page.cookie)?,
            _ => PagingState::default(),
        };
        // RFC 2696 §3: a page size of zero with a cookie abandons the search.
        if controls.page.as_ref().is_some_and(|page| page.size == 0 && !page.cookie.is_empty()) {
            return Ok(None);
        }
        let page_size = controls.page.as_ref().map(|page| page.size);
        let size_limit = match self.request.size_limit {
            0 => usize::MAX,
            limit => limit,
        };
        let selection = AttributeSelection::parse(&tree.catalogue, &self.request.attributes, self.request.types_only);
        let at = candidates.as_ref().map_or(from as usize, |places| places.partition_point(|place| *place < from));
        Ok(Some(SearchProgress { scope, candidates, at, page_size, size_limit, entries_sent, on_page: 0, selection }))
    }

    /// Examines the next entries under one lock of the tree.
    fn chunk(&self, progress: &mut SearchProgress) -> (Vec<u8>, Option<SearchEnd>) {
        let tree = self.shared.directory.read();
        let mut w = BerWriter::default();
        for _ in 0..CHUNK_ENTRIES {
            if w.len() > CHUNK_OCTETS {
                break;
            }
            let Some(place) = progress.place(&tree) else {
                return (w.into_octets(), Some((LdapResult::success(), None)));
            };
            if let Some(snapshot) =
                tree.snapshot(place).filter(|snapshot| self.selects(&tree, progress, place, *snapshot))
            {
                if progress.entries_sent == progress.size_limit {
                    return (w.into_octets(), Some((LdapResult::new(ResultCode::SizeLimitExceeded, ""), None)));
                }
                if Some(progress.on_page) == progress.page_size {
                    let next_page = PagingState { place, entries_sent: progress.entries_sent };
                    return (w.into_octets(), Some((LdapResult::success(), Some(next_page))));
                }
                let visible = VisibleEntry { tree: &tree, snapshot, with_secrets: self.identity.reads_secrets() };
                reply::message(&mut w, self.id, &[], |w| result_entry::write(w, &visible, &progress.selection));
                progress.entries_sent += 1;
                progress.on_page += 1;
            }
            progress.at += 1;
        }
        (w.into_octets(), None)
    }

    fn selects(&self, tree: &Tree, progress: &SearchProgress, place: EntryNumber, snapshot: EntrySnapshot<'_>) -> bool {
        let visible = VisibleEntry { tree, snapshot, with_secrets: self.identity.reads_secrets() };
        progress.scope.holds(tree, place, snapshot.parent)
            && matching::matches(&tree.catalogue, &visible, &self.request.filter) == Some(true)
    }

    fn page_control(&self, page: Option<&PageRequest>, next: Option<PagingState>) -> Vec<ResponseControl> {
        let cookie = next.map(|page| self.pages.cookie(self.request, page)).unwrap_or_default();
        page.map(|_| reply::paged_results(0, &cookie)).into_iter().collect()
    }
}

/// The progress of a search.
struct SearchProgress {
    scope: SearchScope,
    /// The places to examine, in order; `None` for all.
    candidates: Option<Vec<EntryNumber>>,
    /// The next index in `candidates`, or the next place.
    at: usize,
    /// `None` without paging.
    page_size: Option<usize>,
    /// Maximum number of entries over all pages.
    size_limit: usize,
    entries_sent: usize,
    /// Entries sent on this page.
    on_page: usize,
    selection: AttributeSelection,
}

impl SearchProgress {
    fn place(&self, tree: &Tree) -> Option<EntryNumber> {
        match &self.candidates {
            Some(places) => places.get(self.at).copied(),
            None => EntryNumber::try_from(self.at).ok().filter(|place| *place < tree.place_count()),
        }
    }
}

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
/// Longest time for one search, whatever limit the client requests.
const SEARCH_TIME_MAX: Duration = Duration::from_secs(60);
/// Entries examined under one lock of the tree.
pub(crate) const CHUNK_ENTRIES: EntryNumber = 256;
/// Octets of results after which the lock is released early.
pub(crate) const CHUNK_OCTETS: usize = 32 * 1024;

/// The entries within the base, scope and rights of a search.
pub(crate) struct SearchScope {
    pub(crate) base: EntryNumber,
    pub(crate) scope: Scope,
    /// The only visible entry, if not all are visible.
    pub(crate) only: Option<EntryNumber>,
}

impl SearchScope {
    /// Checks base and rights.
    pub(crate) fn of(tree: &Tree, identity: &Identity, request: &SearchRequest) -> OperationResult<Self> {
        let base = parse_dn(&request.base)?;
        let only = identity.readable(tree)?;
        let place = match (existing(tree, &base), only) {
            (Ok(place), None) => place,
            (Err(refusal), None) => return Err(refusal),
            // A person may name only their own entry and its ancestors.
            (Ok(place), Some(own)) if tree.is_below(own, place) => place,
            _ => return Err(LdapResult::new(ResultCode::NoSuchObject, "")),
        };
        Ok(Self { base: place, scope: request.scope, only })
    }

    /// Whether it contains an entry at `place` below `parent`.
    pub(crate) fn holds(&self, tree: &Tree, place: EntryNumber, parent: EntryNumber) -> bool {
        self.only.is_none_or(|only| only == place)
            && match self.scope {
                Scope::Base => place == self.base,
                Scope::One => parent == self.base,
                Scope::Subtree => place == self.base || tree.is_below(parent, self.base),
                Scope::Children => tree.is_below(parent, self.base),
            }
    }

    /// Whether it contains an entry that had these ancestors, its parent first.
    pub(crate) fn holds_below(&self, place: EntryNumber, above: &[EntryNumber]) -> bool {
        self.only.is_none_or(|only| only == place)
            && match self.scope {
                Scope::Base => place == self.base,
                Scope::One => above.first() == Some(&self.base),
                Scope::Subtree => place == self.base || above.contains(&self.base),
                Scope::Children => above.contains(&self.base),
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
    /// The cookies of the connection.
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
                // The subschema is large, so it waits for a slow reader like any other entry.
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

    /// Returns the result for the root DSE and the subschema, which are not in the tree; `None` for any other base.
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
            let (octets, end) = self.chunk(&mut progress);
            if !octets.is_empty() {
                self.output.send(octets).await.ok()?;
            }
            if let Some(end) = end {
                return Some(end);
            }
            if self.cancelled.is_cancelled() {
                return None;
            }
            if started.elapsed() > limit {
                return Some((LdapResult::new(ResultCode::TimeLimitExceeded, ""), None));
            }
            // A long search must not block its thread.
            tokio::task::yield_now().await;
        }
    }

    /// Checks the request; `None` when no entry can match.
    fn begin(&self, controls: &Controls) -> OperationResult<Option<SearchProgress>> {
        let tree = self.shared.directory.read();
        let field = SearchScope::of(&tree, self.identity, self.request)?;
        if let (Some(assertion), Some(subject)) = (&controls.write.assertion, tree.subject(field.base)) {
            let visible = VisibleEntry { tree: &tree, subject, password: self.identity.reads_passwords() };
            // An assertion on an entry that the identity may not read must not be evaluated: its result would reveal
            // values.
            let hidden = field.only.is_some_and(|own| own != field.base);
            if hidden || matching::matches(&tree.catalogue, &visible, assertion) != Some(true) {
                return Err(LdapResult::new(ResultCode::AssertionFailed, ""));
            }
        }
        let candidates = match (self.request.scope, field.only) {
            (Scope::Base, _) => Some(vec![field.base]),
            (_, Some(only)) => Some(vec![only]),
            _ => tree.candidates(&self.request.filter),
        };
        let PagingState { place: from, entries_sent } = match &controls.page {
            Some(page) if !page.cookie.is_empty() => self.pages.progress(self.request, &page.cookie)?,
            _ => PagingState::default(),
        };
        // RFC 2696 §3: page size zero with a cookie ends the search.
        if controls.page.as_ref().is_some_and(|page| page.size == 0 && !page.cookie.is_empty()) {
            return Ok(None);
        }
        let page = controls.page.as_ref().map(|page| page.size);
        let wanted = match self.request.size_limit {
            0 => usize::MAX,
            limit => limit,
        };
        let selection = AttributeSelection::parse(&tree.catalogue, &self.request.attributes, self.request.types_only);
        let at = candidates.as_ref().map_or(from as usize, |places| places.partition_point(|place| *place < from));
        Ok(Some(SearchProgress { field, candidates, at, page, wanted, entries_sent, on_page: 0, selection }))
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
            if let Some(subject) = tree.subject(place).filter(|subject| self.selects(&tree, progress, place, *subject))
            {
                if progress.entries_sent == progress.wanted {
                    return (w.into_octets(), Some((LdapResult::new(ResultCode::SizeLimitExceeded, ""), None)));
                }
                if Some(progress.on_page) == progress.page {
                    let next_page = PagingState { place, entries_sent: progress.entries_sent };
                    return (w.into_octets(), Some((LdapResult::success(), Some(next_page))));
                }
                let visible = VisibleEntry { tree: &tree, subject, password: self.identity.reads_passwords() };
                reply::message(&mut w, self.id, &[], |w| result_entry::write(w, &visible, &progress.selection));
                progress.entries_sent += 1;
                progress.on_page += 1;
            }
            progress.at += 1;
        }
        (w.into_octets(), None)
    }

    fn selects(&self, tree: &Tree, progress: &SearchProgress, place: EntryNumber, subject: EntrySnapshot<'_>) -> bool {
        let visible = VisibleEntry { tree, subject, password: self.identity.reads_passwords() };
        progress.field.holds(tree, place, subject.parent)
            && matching::matches(&tree.catalogue, &visible, &self.request.filter) == Some(true)
    }

    fn page_control(&self, page: Option<&PageRequest>, next: Option<PagingState>) -> Vec<ResponseControl> {
        let cookie = next.map(|page| self.pages.cookie(self.request, page)).unwrap_or_default();
        page.map(|_| reply::paged_results(0, &cookie)).into_iter().collect()
    }
}

/// The progress of a search.
struct SearchProgress {
    field: SearchScope,
    candidates: Option<Vec<EntryNumber>>,
    at: usize,
    page: Option<usize>,
    /// The size limit, counted over all pages (RFC 2696 §3).
    wanted: usize,
    entries_sent: usize,
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

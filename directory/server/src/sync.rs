//! RFC 4533 provider: the refresh stage, then the persist stage.

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::access::Identity;
use crate::ber::{BerWriter, OCTET_STRING, SEQUENCE};
use crate::controls::SyncRequest;
use crate::csn::{ContextCsn, Csn};
use crate::ldap_result::{LdapResult, OperationResult, ResultCode};
use crate::matching::{self, VisibleEntry};
use crate::message::SearchRequest;
use crate::output::{Closed, ResponseSender};
use crate::record::EncodedEntry;
use crate::reply::{self, SyncInfo, SyncState};
use crate::result_entry::{self, AttributeSelection, SEARCH_RESULT_ENTRY};
use crate::search::{CHUNK_ENTRIES, CHUNK_OCTETS, SEARCH_RESULT_DONE, SearchScope};
use crate::shared::ServerContext;
use crate::tree::{EntryNumber, EntrySnapshot, Tree, TreePosition};
use crate::watch::{SearchWatch, TreeEvent};

/// Maximum number of UUIDs in one Sync Info message, which bounds the message to about 9 KiB.
const ID_SET_MAX: usize = 512;

/// Whether the entries of a syncIdSet exist.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IdSetKind {
    Present,
    Deleted,
}

/// What a refresh sends, and how it reports deleted entries (RFC 4533 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RefreshPhase {
    /// Without a cookie: the whole content.
    Initial,
    /// Changed entries, then the UUIDs of deleted ones.
    Delete,
    /// Changed entries, and the UUIDs of unchanged ones; all others were deleted.
    Present,
}

/// One running synchronisation.
pub(crate) struct SyncSearch<'a> {
    pub(crate) shared: &'a ServerContext,
    pub(crate) identity: &'a Identity,
    pub(crate) id: i32,
    pub(crate) request: &'a SearchRequest,
    pub(crate) output: &'a ResponseSender,
    pub(crate) cancelled: &'a CancellationToken,
}

/// The refresh stage, as determined from the tree at its start.
struct Refresh {
    scope: SearchScope,
    selection: AttributeSelection,
    phase: RefreshPhase,
    /// The state that the consumer has.
    consumer: ContextCsn,
    /// The state that the consumer will have.
    context: ContextCsn,
    place_count: EntryNumber,
    deletions: Vec<Uuid>,
    /// The changes since the start; `None` without a persist stage.
    changes: Option<SearchWatch>,
}

impl Refresh {
    fn is_new(&self, csn: Csn) -> bool {
        self.phase == RefreshPhase::Initial || !self.consumer.covers(csn)
    }
}

impl SyncSearch<'_> {
    /// Runs to its SearchResultDone. Stops without one when abandoned, or when the session ends.
    pub(crate) async fn run(&self, sync: &SyncRequest) {
        match self.begin(sync) {
            Ok(refresh) => _ = self.stages(refresh).await,
            Err(refusal) => _ = self.send_done(&refusal, &[]).await,
        }
    }

    async fn send_done(&self, outcome: &LdapResult, controls: &[reply::ResponseControl]) -> Result<(), Closed> {
        self.output.send(reply::result(self.id, SEARCH_RESULT_DONE, outcome, controls)).await
    }

    fn begin(&self, sync: &SyncRequest) -> OperationResult<Refresh> {
        if !self.identity.is_privileged() {
            return Err(LdapResult::new(ResultCode::InsufficientAccessRights, ""));
        }
        let tree = self.shared.directory.read();
        let scope = SearchScope::of(&tree, self.identity, self.request)?;
        let context = tree.context.clone();
        let consumer = match sync.cookie.as_slice() {
            [] => None,
            cookie => {
                // `None` for a cookie in another format, or of a state that this server does not have because it was
                // restored from a backup.
                let known = ContextCsn::parse_cookie(cookie).filter(|consumer| context.covers_all(consumer));
                let text = "the cookie is not from this server's content";
                Some(known.ok_or_else(|| LdapResult::new(ResultCode::SyncRefreshRequired, text))?)
            }
        };
        let phase = match &consumer {
            None => RefreshPhase::Initial,
            Some(consumer) if consumer.covers_all(&tree.floor) => RefreshPhase::Delete,
            Some(_) => RefreshPhase::Present,
        };
        let consumer = consumer.unwrap_or_default();
        let deletions = match phase {
            RefreshPhase::Delete => {
                let new = tree.deletions.iter().filter(|(csn, _)| !consumer.covers(*csn));
                new.map(|(_, uuid)| *uuid).collect()
            }
            _ => Vec::new(),
        };
        let selection = AttributeSelection::parse(&tree.catalogue, &self.request.attributes, self.request.types_only);
        let changes = sync.persist.then(|| self.shared.directory.watch(&tree));
        Ok(Refresh { scope, selection, phase, consumer, context, place_count: tree.place_count(), deletions, changes })
    }

    async fn stages(&self, mut refresh: Refresh) -> Result<(), Closed> {
        // Nothing changed since the cookie, so the entries need not be examined.
        let unchanged = refresh.phase == RefreshPhase::Delete && refresh.consumer.covers_all(&refresh.context);
        let (mut at, mut present) = (if unchanged { refresh.place_count } else { 0 }, Vec::new());
        while at < refresh.place_count {
            let octets = self.chunk(&mut refresh, &mut at, &mut present);
            if !octets.is_empty() {
                self.output.send(octets).await?;
            }
            if present.len() >= ID_SET_MAX {
                self.id_sets(IdSetKind::Present, &std::mem::take(&mut present)).await?;
            }
            if self.cancelled.is_cancelled() {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        self.id_sets(IdSetKind::Present, &present).await?;
        self.id_sets(IdSetKind::Deleted, &std::mem::take(&mut refresh.deletions)).await?;
        let cookie = refresh.context.cookie();
        let deletes = refresh.phase == RefreshPhase::Delete;
        let Some(changes) = refresh.changes.take() else {
            return self.send_done(&LdapResult::success(), &[reply::sync_done(&cookie, deletes)]).await;
        };
        let info = match deletes {
            true => SyncInfo::RefreshDelete { cookie: &cookie },
            false => SyncInfo::RefreshPresent { cookie: &cookie },
        };
        self.output.send(reply::sync_info(self.id, &info)).await?;
        self.persist(refresh, changes).await
    }

    /// Sends the UUIDs of entries that a refresh does not send whole (RFC 4533 §2.5, syncIdSet).
    async fn id_sets(&self, kind: IdSetKind, uuids: &[Uuid]) -> Result<(), Closed> {
        let deletes = kind == IdSetKind::Deleted;
        for uuids in uuids.chunks(ID_SET_MAX) {
            self.output.send(reply::sync_info(self.id, &SyncInfo::IdSet { deletes, uuids })).await?;
        }
        Ok(())
    }

    /// Examines the next entries of the refresh under one lock of the tree.
    fn chunk(&self, refresh: &mut Refresh, at: &mut EntryNumber, present: &mut Vec<Uuid>) -> Vec<u8> {
        let tree = self.shared.directory.read();
        let mut w = BerWriter::default();
        let end = refresh.place_count.min(at.saturating_add(CHUNK_ENTRIES));
        while *at < end && w.len() < CHUNK_OCTETS {
            let place = *at;
            *at += 1;
            let Some((snapshot, head)) = tree.snapshot(place).and_then(|s| Some((s, s.record.head()?))) else {
                continue;
            };
            let is_new = refresh.is_new(head.csn);
            if !is_new && refresh.phase != RefreshPhase::Present {
                continue;
            }
            if !self.selects(&tree, &refresh.scope, place, snapshot) {
                // The entry may have matched before its change, so it is reported as deleted. If the consumer never had
                // the entry, the report does no harm.
                if refresh.phase == RefreshPhase::Delete {
                    refresh.deletions.push(head.uuid);
                }
            } else if is_new {
                let control = reply::sync_state(SyncState::Add, head.uuid, None);
                let visible = self.visible_entry(&tree, snapshot);
                reply::message(&mut w, self.id, &[control], |w| result_entry::write(w, &visible, &refresh.selection));
            } else {
                present.push(head.uuid);
            }
        }
        w.into_octets()
    }

    fn visible_entry<'t>(&self, tree: &'t Tree, snapshot: EntrySnapshot<'t>) -> VisibleEntry<'t> {
        VisibleEntry { tree, snapshot, with_secrets: self.identity.reads_secrets() }
    }

    fn selects(&self, tree: &Tree, scope: &SearchScope, place: EntryNumber, snapshot: EntrySnapshot<'_>) -> bool {
        scope.holds(tree, place, snapshot.parent) && self.matches(tree, snapshot)
    }

    fn matches(&self, tree: &Tree, snapshot: EntrySnapshot<'_>) -> bool {
        matching::matches(&tree.catalogue, &self.visible_entry(tree, snapshot), &self.request.filter) == Some(true)
    }

    async fn persist(&self, mut refresh: Refresh, mut changes: SearchWatch) -> Result<(), Closed> {
        loop {
            let first = tokio::select! {
                // An abandoned search sends nothing more, even if a change is waiting.
                biased;
                () = self.cancelled.cancelled() => return Ok(()),
                change = changes.next() => change,
            };
            let Some(first) = first else {
                // The consumer reads more slowly than others write. It can resume at once with its cookie.
                return self.send_done(&LdapResult::new(ResultCode::Busy, "the consumer is too far behind"), &[]).await;
            };
            let Some(octets) = self.encode_changes(&mut refresh, &first, &mut changes) else {
                return self
                    .send_done(
                        &LdapResult::new(
                            ResultCode::InsufficientAccessRights,
                            "the rights of this identity have changed",
                        ),
                        &[],
                    )
                    .await;
            };
            if !octets.is_empty() {
                self.output.send(octets).await?;
            }
        }
    }

    /// Encodes this change and changes queued after it, until [`CHUNK_OCTETS`] are reached; `None` when the identity's
    /// rights have changed.
    fn encode_changes(&self, refresh: &mut Refresh, first: &TreeEvent, changes: &mut SearchWatch) -> Option<Vec<u8>> {
        let tree = self.shared.directory.read();
        if self.identity.renewed(&tree).rights != self.identity.rights {
            return None;
        }
        let mut w = BerWriter::default();
        self.write(&tree, refresh, first, &mut w);
        while w.len() < CHUNK_OCTETS {
            let Some(change) = changes.next_now() else { break };
            self.write(&tree, refresh, &change, &mut w);
        }
        Some(w.into_octets())
    }

    /// Encodes the effect of a change on this content (RFC 4533 §3.4.2). Membership is judged by the entry's ancestors
    /// at the time of the change, because those may have moved since.
    fn write(&self, tree: &Tree, refresh: &mut Refresh, event: &TreeEvent, w: &mut BerWriter) {
        let change = &event.change;
        refresh.context.advance(change.csn);
        let children = tree.snapshot(change.place).map_or(0, |snapshot| snapshot.children);
        let is_covered = |side: &'_ Option<(EntryNumber, EncodedEntry)>, position: &Option<TreePosition>| {
            let (Some((parent, record)), Some(position)) = (side, position) else { return false };
            let snapshot = EntrySnapshot { parent: *parent, children, record };
            refresh.scope.holds_with_ancestors(change.place, &position.ancestors) && self.matches(tree, snapshot)
        };
        let (was_in, is_in) = (is_covered(&change.before, &event.before), is_covered(&change.after, &event.after));
        let cookie = refresh.context.cookie();
        let control = |state| [reply::sync_state(state, change.uuid, Some(&cookie))];
        match (is_in, &change.after, &event.after, &event.before) {
            (true, Some((parent, record)), Some(position), _) => {
                let state = if was_in { SyncState::Modify } else { SyncState::Add };
                let visible = self.visible_entry(tree, EntrySnapshot { parent: *parent, children, record });
                let selection = &refresh.selection;
                reply::message(w, self.id, &control(state), |w| {
                    result_entry::write_named(w, &position.dn, &visible, selection);
                });
            }
            (false, _, _, Some(position)) if was_in => {
                reply::message(w, self.id, &control(SyncState::Delete), |w| {
                    w.within(SEARCH_RESULT_ENTRY, |w| {
                        w.string(OCTET_STRING, position.dn.as_bytes());
                        w.within(SEQUENCE, |_| {});
                    });
                });
            }
            _ => {}
        }
    }
}

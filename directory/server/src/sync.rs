//! The provider's side of content synchronisation (RFC 4533): refresh, then persist.

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::access::{Identity, Rights};
use crate::ber::{OCTET_STRING, SEQUENCE, Writer};
use crate::controls::SyncRequest;
use crate::csn::{Context, Csn};
use crate::matching::{self, Seen};
use crate::message::SearchRequest;
use crate::output::{Closed, Output};
use crate::record::Record;
use crate::refusal::{Code, Outcome, Refusal};
use crate::reply::{self, SyncInfo, SyncState};
use crate::result_entry::{self, SEARCH_RESULT_ENTRY, Selection};
use crate::search::{CHUNK_ENTRIES, CHUNK_OCTETS, Field, SEARCH_RESULT_DONE};
use crate::shared::Shared;
use crate::tree::{Place, Standing, Subject, Tree};
use crate::watch::{Event, Watch};

/// UUIDs in one Sync Info message.
const ID_SET_MAX: usize = 512;

/// How the refresh reports what is gone (RFC 4533 §3.3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No cookie: the whole content.
    Initial,
    /// What has changed, then what is gone.
    Delete,
    /// What has changed, and what is still as it was.
    Present,
}

/// One synchronisation under way.
pub(crate) struct Sync<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) identity: &'a Identity,
    pub(crate) id: i32,
    pub(crate) request: &'a SearchRequest,
    pub(crate) output: &'a Output,
    pub(crate) cancelled: &'a CancellationToken,
}

/// The refresh stage, as decided at one moment of the tree.
struct Refresh {
    field: Field,
    selection: Selection,
    phase: Phase,
    /// What the consumer has.
    consumer: Context,
    /// What it will have.
    context: Context,
    places: Place,
    gone: Vec<Uuid>,
    changes: Option<Watch>,
}

impl Refresh {
    fn is_new(&self, csn: Csn) -> bool {
        self.phase == Phase::Initial || !self.consumer.covers(csn)
    }
}

impl Sync<'_> {
    /// Runs it to its SearchResultDone; abandoned, or with the session gone, it just stops.
    pub(crate) async fn run(&self, sync: &SyncRequest) {
        match self.begin(sync) {
            Ok(refresh) => _ = self.stages(refresh).await,
            Err(refusal) => _ = self.done(&refusal, &[]).await,
        }
    }

    async fn done(&self, outcome: &Refusal, controls: &[reply::ResponseControl]) -> Result<(), Closed> {
        self.output.send(reply::result(self.id, SEARCH_RESULT_DONE, outcome, controls)).await
    }

    fn begin(&self, sync: &SyncRequest) -> Outcome<Refresh> {
        if matches!(self.identity.rights, Rights::Anonymous | Rights::Person) {
            return Err(Refusal::new(Code::InsufficientAccessRights, ""));
        }
        let tree = self.shared.directory.read();
        let field = Field::of(&tree, self.identity, self.request)?;
        let context = tree.context.clone();
        let consumer = match sync.cookie.as_slice() {
            [] => None,
            cookie => {
                // A cookie of another kind, or from a state that this server never had (it was restored).
                let known = Context::parse_cookie(cookie).filter(|consumer| context.covers_all(consumer));
                let words = "the cookie is not from this content";
                Some(known.ok_or_else(|| Refusal::new(Code::SyncRefreshRequired, words))?)
            }
        };
        let phase = match &consumer {
            None => Phase::Initial,
            Some(consumer) if consumer.covers_all(&tree.floor) => Phase::Delete,
            Some(_) => Phase::Present,
        };
        let consumer = consumer.unwrap_or_default();
        let gone = match phase {
            Phase::Delete => {
                let new = tree.deletions.iter().filter(|(csn, _)| !consumer.covers(*csn));
                new.map(|(_, uuid)| *uuid).collect()
            }
            _ => Vec::new(),
        };
        let selection = Selection::parse(&tree.catalogue, &self.request.attributes, self.request.types_only);
        let changes = sync.persist.then(|| self.shared.directory.watch(&tree));
        Ok(Refresh { field, selection, phase, consumer, context, places: tree.places(), gone, changes })
    }

    async fn stages(&self, mut refresh: Refresh) -> Result<(), Closed> {
        // Nothing has changed since the cookie: no need to look at every entry.
        let unchanged = refresh.phase == Phase::Delete && refresh.consumer.covers_all(&refresh.context);
        let (mut at, mut present) = (if unchanged { refresh.places } else { 0 }, Vec::new());
        while at < refresh.places {
            let octets = self.chunk(&mut refresh, &mut at, &mut present);
            if !octets.is_empty() {
                self.output.send(octets).await?;
            }
            if present.len() >= ID_SET_MAX {
                self.id_sets(false, &std::mem::take(&mut present)).await?;
            }
            if self.cancelled.is_cancelled() {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
        self.id_sets(false, &present).await?;
        self.id_sets(true, &std::mem::take(&mut refresh.gone)).await?;
        let cookie = refresh.context.cookie();
        let deletes = refresh.phase == Phase::Delete;
        let Some(changes) = refresh.changes.take() else {
            return self.done(&reply::success(), &[reply::sync_done(&cookie, deletes)]).await;
        };
        let info = match deletes {
            true => SyncInfo::RefreshDelete { cookie: &cookie },
            false => SyncInfo::RefreshPresent { cookie: &cookie },
        };
        self.output.send(reply::sync_info(self.id, &info)).await?;
        self.persist(refresh, changes).await
    }

    async fn id_sets(&self, deletes: bool, uuids: &[Uuid]) -> Result<(), Closed> {
        for uuids in uuids.chunks(ID_SET_MAX) {
            self.output.send(reply::sync_info(self.id, &SyncInfo::IdSet { deletes, uuids })).await?;
        }
        Ok(())
    }

    /// Looks at the next entries of the refresh, with the tree locked.
    fn chunk(&self, refresh: &mut Refresh, at: &mut Place, present: &mut Vec<Uuid>) -> Vec<u8> {
        let tree = self.shared.directory.read();
        let mut w = Writer::default();
        let end = refresh.places.min(at.saturating_add(CHUNK_ENTRIES));
        while *at < end && w.len() < CHUNK_OCTETS {
            let place = *at;
            *at += 1;
            let Some((subject, head)) = tree.subject(place).and_then(|s| Some((s, s.record.head()?))) else { continue };
            let is_new = refresh.is_new(head.csn);
            if !is_new && refresh.phase != Phase::Present {
                continue;
            }
            if !self.selects(&tree, &refresh.field, place, subject) {
                // It may have been in the content before it changed; to delete what is not there does no harm.
                if refresh.phase == Phase::Delete {
                    refresh.gone.push(head.uuid);
                }
            } else if is_new {
                let control = reply::sync_state(SyncState::Add, head.uuid, None);
                let seen = self.seen(&tree, subject);
                reply::message(&mut w, self.id, &[control], |w| result_entry::write(w, &seen, &refresh.selection));
            } else {
                present.push(head.uuid);
            }
        }
        w.into_octets()
    }

    fn seen<'t>(&self, tree: &'t Tree, subject: Subject<'t>) -> Seen<'t> {
        Seen { tree, subject, password: self.identity.reads_passwords() }
    }

    fn selects(&self, tree: &Tree, field: &Field, place: Place, subject: Subject<'_>) -> bool {
        field.holds(tree, place, subject.parent) && self.matches(tree, subject)
    }

    fn matches(&self, tree: &Tree, subject: Subject<'_>) -> bool {
        matching::matches(&tree.catalogue, &self.seen(tree, subject), &self.request.filter) == Some(true)
    }

    async fn persist(&self, mut refresh: Refresh, mut changes: Watch) -> Result<(), Closed> {
        loop {
            let first = tokio::select! {
                () = self.cancelled.cancelled() => return Ok(()),
                change = changes.next() => change,
            };
            let Some(first) = first else {
                // The consumer reads more slowly than others write. With its cookie it can come back at once.
                return self.done(&Refusal::new(Code::Busy, "too far behind"), &[]).await;
            };
            let Some(octets) = self.batch(&mut refresh, &first, &mut changes) else {
                return self.done(&Refusal::new(Code::InsufficientAccessRights, "the role is gone"), &[]).await;
            };
            if !octets.is_empty() {
                self.output.send(octets).await?;
            }
        }
    }

    /// What this change and those that wait behind it mean; `None` when the one who listens may no longer.
    fn batch(&self, refresh: &mut Refresh, first: &Event, changes: &mut Watch) -> Option<Vec<u8>> {
        let tree = self.shared.directory.read();
        if self.identity.renewed(&tree).rights != self.identity.rights {
            return None;
        }
        let mut w = Writer::default();
        self.write(&tree, refresh, first, &mut w);
        while w.len() < CHUNK_OCTETS {
            let Some(change) = changes.next_now() else { break };
            self.write(&tree, refresh, &change, &mut w);
        }
        Some(w.into_octets())
    }

    /// Writes what a change means for this content (RFC 4533 §3.4). Where the entry stood is judged by what was above it at that
    /// moment: by now these entries may stand elsewhere.
    fn write(&self, tree: &Tree, refresh: &mut Refresh, event: &Event, w: &mut Writer) {
        let change = &event.change;
        refresh.context.advance(change.csn);
        let children = tree.subject(change.place).map_or(0, |subject| subject.children);
        let side = |side: &'_ Option<(Place, Record)>, standing: &Option<Standing>| {
            let (Some((parent, record)), Some(standing)) = (side, standing) else { return false };
            let subject = Subject { parent: *parent, children, record };
            refresh.field.holds_below(change.place, &standing.above) && self.matches(tree, subject)
        };
        let (was_in, is_in) = (side(&change.before, &event.before), side(&change.after, &event.after));
        let cookie = refresh.context.cookie();
        let control = |state| [reply::sync_state(state, change.uuid, Some(&cookie))];
        match (is_in, &change.after, &event.after, &event.before) {
            (true, Some((parent, record)), Some(standing), _) => {
                let state = if was_in { SyncState::Modify } else { SyncState::Add };
                let seen = self.seen(tree, Subject { parent: *parent, children, record });
                let selection = &refresh.selection;
                reply::message(w, self.id, &control(state), |w| {
                    result_entry::write_named(w, &standing.dn, &seen, selection);
                });
            }
            (false, _, _, Some(standing)) if was_in => {
                reply::message(w, self.id, &control(SyncState::Delete), |w| {
                    w.within(SEARCH_RESULT_ENTRY, |w| {
                        w.string(OCTET_STRING, standing.dn.as_bytes());
                        w.within(SEQUENCE, |_| {});
                    });
                });
            }
            _ => {}
        }
    }
}

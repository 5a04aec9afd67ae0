//! Delivers changes to persistent searches (RFC 4533 §3.4.2), bounded by count and by octets.
//!
//! All watchers share the changes of one stream, so together they hold no more than the slowest one needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::tree::{TreeChange, TreePosition};

/// Maximum number of changes that wait for one persistent search; beyond, the search ends.
const CHANGES_MAX: usize = 16_384;
/// Maximum number of octets of waiting changes (entries before and after) for one search; beyond, the search ends. That
/// is 4 KiB for each of [`CHANGES_MAX`] changes; a person's entry takes about 1 KiB.
const OCTETS_MAX: usize = 64 * 1024 * 1024;

/// A change, and the entry's position before and after.
#[derive(Debug)]
pub(crate) struct TreeEvent {
    pub(crate) change: TreeChange,
    pub(crate) before: Option<TreePosition>,
    pub(crate) after: Option<TreePosition>,
}

/// The queues of all watchers, filled by the committer.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Vec<Watcher>);

#[derive(Debug)]
struct Watcher {
    queue: mpsc::Sender<Arc<TreeEvent>>,
    waiting_octets: Arc<AtomicUsize>,
}

/// The receiving end of one persistent search.
#[derive(Debug)]
pub(crate) struct SearchWatch {
    queue: mpsc::Receiver<Arc<TreeEvent>>,
    waiting_octets: Arc<AtomicUsize>,
}

impl Watchers {
    /// Subscribes to changes from now on. The stream ends when its reader is too slow.
    pub(crate) fn watch(&mut self) -> SearchWatch {
        let (sender, receiver) = mpsc::channel(CHANGES_MAX);
        let waiting_octets = Arc::new(AtomicUsize::new(0));
        self.0.push(Watcher { queue: sender, waiting_octets: waiting_octets.clone() });
        SearchWatch { queue: receiver, waiting_octets }
    }

    /// Whether there are no watchers.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Queues a change for every watcher.
    pub(crate) fn publish(&mut self, event: TreeEvent) {
        let octets = octets(&event);
        let event = Arc::new(event);
        // A full and a closed queue are treated alike: the stream ends, and the consumer comes back with its cookie.
        self.0.retain(|watcher| watcher.try_queue(&event, octets));
    }
}

impl Watcher {
    /// Queues a change; `false` when there is no room for it, or no reader.
    fn try_queue(&self, event: &Arc<TreeEvent>, octets: usize) -> bool {
        // Counted before it is sent, because the reader may take it at once.
        let waiting = self.waiting_octets.fetch_add(octets, Ordering::Relaxed);
        waiting.saturating_add(octets) <= OCTETS_MAX && self.queue.try_send(event.clone()).is_ok()
    }
}

impl SearchWatch {
    /// Returns the next change; `None` when the stream has ended. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Arc<TreeEvent>> {
        let event = self.queue.recv().await?;
        self.waiting_octets.fetch_sub(octets(&event), Ordering::Relaxed);
        Some(event)
    }

    /// Returns the next change, if one is queued.
    pub(crate) fn next_now(&mut self) -> Option<Arc<TreeEvent>> {
        let event = self.queue.try_recv().ok()?;
        self.waiting_octets.fetch_sub(octets(&event), Ordering::Relaxed);
        Some(event)
    }
}

/// Returns the octets of a change's records and DNs.
fn octets(event: &TreeEvent) -> usize {
    let records = [&event.change.before, &event.change.after].into_iter().flatten();
    let names = [&event.before, &event.after].into_iter().flatten();
    records.map(|(_, record)| record.octets().len()).sum::<usize>() + names.map(|at| at.dn.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csn::Csn;
    use crate::record::{EntryDraft, EntryHead};
    use std::collections::BTreeMap;
    use uuid::Uuid;

    /// Returns a deletion of an entry whose RDN has `octets` octets.
    fn change(octets: usize) -> TreeEvent {
        let csn = Csn { micros: 0, count: 0, server: 1 };
        let head = EntryHead { uuid: Uuid::nil(), csn, created: 0, creator: 0, modifier: 0, classes: 0, structural: 0 };
        let draft = EntryDraft { head, rdn: "x".repeat(octets), attributes: BTreeMap::new() };
        let change = TreeChange { place: 0, csn, uuid: Uuid::nil(), before: Some((0, draft.encode())), after: None };
        TreeEvent { change, before: Some(TreePosition::default()), after: None }
    }

    fn count(watch: &mut SearchWatch) -> usize {
        std::iter::from_fn(|| watch.next_now()).count()
    }

    #[test]
    fn a_watcher_that_does_not_read_is_dropped() {
        let mut watchers = Watchers::default();
        let mut watch = watchers.watch();
        (0..=CHANGES_MAX).for_each(|_| watchers.publish(change(0)));
        assert!(watchers.0.is_empty());
        assert_eq!(count(&mut watch), CHANGES_MAX);
    }

    #[test]
    fn a_watcher_whose_waiting_changes_are_too_large_is_dropped() {
        const LARGE: usize = 8 * 1024 * 1024;
        let fitting = OCTETS_MAX / octets(&change(LARGE));
        let mut watchers = Watchers::default();
        let (mut slow, mut quick) = (watchers.watch(), watchers.watch());
        for _ in 0..fitting {
            watchers.publish(change(LARGE));
            assert_eq!(count(&mut quick), 1);
        }
        assert_eq!(watchers.0.len(), 2, "a watcher was dropped although its changes fit");
        watchers.publish(change(LARGE));
        assert_eq!(watchers.0.len(), 1, "the slow watcher was not dropped");
        assert_eq!(count(&mut slow), fitting);
        assert_eq!(count(&mut quick), 1);
        assert_eq!(quick.waiting_octets.load(Ordering::Relaxed), 0);
    }
}

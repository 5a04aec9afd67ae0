//! Changes on their way to persist searches (RFC 4533 §3.4), bounded by count and by octets.
//!
//! All watchers wait for the end of one stream of changes, and share them: together they hold no more than the slowest.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use crate::tree::{Change, Standing};

/// Changes that may wait for one persist search; with more, it is ended.
const CHANGES_MAX: usize = 16_384;
/// Octets of their entries, before and after each change, that may wait for one; with more, it is ended. 4 KiB for each of
/// [`CHANGES_MAX`]: a person's entry has about one.
const OCTETS_MAX: usize = 64 * 1024 * 1024;

/// A change, and where the entry stood on both sides of it.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) change: Change,
    pub(crate) before: Option<Standing>,
    pub(crate) after: Option<Standing>,
}

/// Where the committer puts changes.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Vec<Watcher>);

#[derive(Debug)]
struct Watcher {
    queue: mpsc::Sender<Arc<Event>>,
    waiting_octets: Arc<AtomicUsize>,
}

/// Where one persist search takes them.
#[derive(Debug)]
pub(crate) struct Watch {
    queue: mpsc::Receiver<Arc<Event>>,
    waiting_octets: Arc<AtomicUsize>,
}

impl Watchers {
    /// Changes from now on. The stream ends when its reader is too slow.
    pub(crate) fn watch(&mut self) -> Watch {
        let (sender, receiver) = mpsc::channel(CHANGES_MAX);
        let waiting_octets = Arc::new(AtomicUsize::new(0));
        self.0.push(Watcher { queue: sender, waiting_octets: waiting_octets.clone() });
        Watch { queue: receiver, waiting_octets }
    }

    /// Whether nobody waits for changes.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a change behind the others of every watcher.
    pub(crate) fn publish(&mut self, event: Event) {
        let octets = octets(&event);
        let event = Arc::new(event);
        // Full or gone alike: the stream ends, and its consumer comes back with a cookie.
        self.0.retain(|watcher| watcher.take(&event, octets));
    }
}

impl Watcher {
    /// `false` when there is no room for it, or nobody reads any more.
    fn take(&self, event: &Arc<Event>, octets: usize) -> bool {
        // Counted before it is sent: the reader may take it off at once.
        let waiting = self.waiting_octets.fetch_add(octets, Ordering::Relaxed);
        waiting.saturating_add(octets) <= OCTETS_MAX && self.queue.try_send(event.clone()).is_ok()
    }
}

impl Watch {
    /// The next change; `None` when the stream has ended. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Arc<Event>> {
        let event = self.queue.recv().await?;
        self.waiting_octets.fetch_sub(octets(&event), Ordering::Relaxed);
        Some(event)
    }

    /// The next change if one waits.
    pub(crate) fn next_now(&mut self) -> Option<Arc<Event>> {
        let event = self.queue.try_recv().ok()?;
        self.waiting_octets.fetch_sub(octets(&event), Ordering::Relaxed);
        Some(event)
    }
}

/// What a change holds in memory beside its fixed part.
fn octets(event: &Event) -> usize {
    let records = [&event.change.before, &event.change.after].into_iter().flatten();
    let names = [&event.before, &event.after].into_iter().flatten();
    records.map(|(_, record)| record.octets().len()).sum::<usize>() + names.map(|at| at.dn.len()).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csn::Csn;
    use crate::record::{Draft, Head};
    use std::collections::BTreeMap;
    use uuid::Uuid;

    /// A deletion of an entry whose RDN has so many octets.
    fn change(octets: usize) -> Event {
        let csn = Csn { micros: 0, count: 0, server: 1 };
        let head = Head { uuid: Uuid::nil(), csn, created: 0, creator: 0, modifier: 0, classes: 0, structural: 0 };
        let draft = Draft { head, rdn: "x".repeat(octets), attributes: BTreeMap::new() };
        let change = Change { place: 0, csn, uuid: Uuid::nil(), before: Some((0, draft.encode())), after: None };
        Event { change, before: Some(Standing::default()), after: None }
    }

    fn count(watch: &mut Watch) -> usize {
        std::iter::from_fn(|| watch.next_now()).count()
    }

    #[test]
    fn a_watcher_that_does_not_read_is_let_go() {
        let mut watchers = Watchers::default();
        let mut watch = watchers.watch();
        (0..=CHANGES_MAX).for_each(|_| watchers.publish(change(0)));
        assert!(watchers.0.is_empty());
        assert_eq!(count(&mut watch), CHANGES_MAX);
    }

    #[test]
    fn few_large_changes_are_as_much_as_many_small_ones() {
        const LARGE: usize = 8 * 1024 * 1024;
        let fitting = OCTETS_MAX / octets(&change(LARGE));
        let mut watchers = Watchers::default();
        let (mut slow, mut quick) = (watchers.watch(), watchers.watch());
        for _ in 0..fitting {
            watchers.publish(change(LARGE));
            assert_eq!(count(&mut quick), 1);
        }
        assert_eq!(watchers.0.len(), 2, "all that fits");
        watchers.publish(change(LARGE));
        assert_eq!(watchers.0.len(), 1, "the slow one is let go");
        assert_eq!(count(&mut slow), fitting);
        assert_eq!(count(&mut quick), 1);
        assert_eq!(quick.waiting_octets.load(Ordering::Relaxed), 0);
    }
}

//! The single writer: commits waiting write requests in groups, each in one transaction, then notifies the watchers.
//!
//! The order is disk, memory, watchers, responses: no client sees a change that a crash could undo.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use jiff::Timestamp;
use provost_entry::Dn;
use tokio::sync::mpsc;

use crate::access::Identity;
use crate::change::{self, PreparedWrite, WriteControls, WriteIdentity};
use crate::csn::CsnSequence;
use crate::ldap_result::{LdapResult, OperationResult, ResultCode};
use crate::message::WriteOperation;
use crate::record::EncodedEntry;
use crate::reply::ResponseControl;
use crate::storage::Storage;
use crate::tree::{EntryNumber, Tree, TreeChange};
use crate::watch::{SearchWatch, TreeEvent, Watchers};

/// Maximum number of writes in one transaction. Bounds how long the first one waits.
const GROUP_MAX: usize = 512;
/// Maximum number of waiting write requests; beyond, their connections wait.
pub(crate) const QUEUE_MAX: usize = 4_096;

/// The directory shared by all sessions.
#[derive(Debug)]
pub(crate) struct DirectoryHandle {
    tree: RwLock<Tree>,
    watchers: Mutex<Watchers>,
}

impl DirectoryHandle {
    /// Wraps a loaded tree.
    pub(crate) fn new(tree: Tree) -> Self {
        Self { tree: RwLock::new(tree), watchers: Mutex::default() }
    }

    /// Locks the tree for reading. The guard must not be held over an await.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Tree> {
        self.tree.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tree> {
        self.tree.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn watchers(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes to changes from now on. Takes the locked tree as argument, so that no change falls between reading
    /// the tree and subscribing. The stream ends when its reader is too slow.
    pub(crate) fn watch(&self, _tree: &RwLockReadGuard<'_, Tree>) -> SearchWatch {
        self.watchers().watch()
    }
}

/// Callback with the outcome of one write.
pub(crate) type CommitCallback = Box<dyn FnOnce(OperationResult<Vec<ResponseControl>>) + Send>;

/// A write request that waits for the committer.
pub(crate) struct WriteJob {
    pub(crate) operation: WriteOperation,
    pub(crate) controls: WriteControls,
    pub(crate) identity: Identity,
    pub(crate) answer: CommitCallback,
}

impl WriteJob {
    /// Queues the write, and waits while the queue is full. Without a committer, which only a bug ends, the outcome is
    /// `unavailable`.
    pub(crate) async fn queue(self, jobs: &mpsc::Sender<WriteJob>) {
        if let Err(mpsc::error::SendError(job)) = jobs.send(self).await {
            (job.answer)(Err(cannot_write()));
        }
    }
}

fn cannot_write() -> LdapResult {
    LdapResult::new(ResultCode::Unavailable, "the directory cannot be written now")
}

/// The names that the writes of one group depend on. Each write is checked against the tree as it was before the group,
/// so no write may depend on another of its group.
#[derive(Default)]
struct Footprint {
    written: HashSet<Dn>,
    /// Parents of added, deleted and moved entries.
    relied_on: HashSet<Dn>,
    /// Old and new DNs of renamed entries: all their subordinates are written too.
    moved: Vec<Dn>,
}

impl Footprint {
    /// Adds the write and returns true, unless the write depends on an added one, or an added one depends on the write.
    fn admit(&mut self, operation: &WriteOperation) -> bool {
        // A write with a malformed DN will be refused, whatever else is in the group.
        let name = |text: &str| Dn::parse(text).unwrap_or_else(|_| Dn::root());
        let parent = |dn: &str| name(dn).parent().unwrap_or_else(Dn::root);
        let (mut written, mut relied_on, mut moved) = (Vec::new(), Vec::new(), Vec::new());
        match operation {
            WriteOperation::Add { dn, .. } => {
                written.push(name(dn));
                relied_on.push(parent(dn));
            }
            WriteOperation::Modify { dn, .. } => written.push(name(dn)),
            // A delete of the parent afterwards is valid only once the child is gone.
            WriteOperation::Delete { dn } => {
                written.push(name(dn));
                relied_on.push(parent(dn));
            }
            WriteOperation::ModifyDn { dn, new_rdn, new_superior, .. } => {
                let superior = new_superior.as_ref().map_or_else(|| parent(dn), |superior| name(superior));
                moved.extend([name(dn), name(&format!("{new_rdn},{superior}"))]);
                written.extend(moved.clone());
                relied_on.extend([parent(dn), superior]);
            }
        }
        let clash = written.iter().any(|dn| self.written.contains(dn) || self.relied_on.contains(dn))
            || relied_on.iter().any(|dn| self.written.contains(dn))
            || written.iter().chain(&relied_on).any(|dn| self.moved.iter().any(|above| dn.is_within(above)))
            || self.written.iter().chain(&self.relied_on).any(|dn| moved.iter().any(|above| dn.is_within(above)));
        if !clash {
            self.written.extend(written);
            self.relied_on.extend(relied_on);
            self.moved.extend(moved);
        }
        !clash
    }
}

/// The committer, run by one thread.
pub(crate) struct Committer {
    pub(crate) directory: Arc<DirectoryHandle>,
    pub(crate) storage: Storage,
    pub(crate) sequence: CsnSequence,
    pub(crate) clock: fn() -> Timestamp,
}

impl Committer {
    /// Commits groups until every sender is gone.
    pub(crate) fn run(mut self, mut jobs: mpsc::Receiver<WriteJob>) {
        let mut next_job: Option<WriteJob> = None;
        loop {
            let Some(first) = next_job.take().or_else(|| jobs.blocking_recv()) else { return };
            let mut footprint = Footprint::default();
            footprint.admit(&first.operation);
            let mut group = vec![first];
            while group.len() < GROUP_MAX {
                let Ok(job) = jobs.try_recv() else { break };
                if !footprint.admit(&job.operation) {
                    next_job = Some(job);
                    break;
                }
                group.push(job);
            }
            self.commit(group);
        }
    }

    /// Commits one group in one transaction.
    pub(crate) fn commit(&mut self, group: Vec<WriteJob>) {
        let mut ready: Vec<(PreparedWrite, CommitCallback)> = Vec::new();
        for job in group {
            let now = (self.clock)();
            let mut author = WriteIdentity { identity: &job.identity, now, sequence: &mut self.sequence };
            let prepared = change::prepare(&mut self.directory.write(), &job.operation, &job.controls, &mut author);
            match prepared {
                Ok(prepared) => ready.push((prepared, job.answer)),
                Err(refusal) => (job.answer)(Err(refusal)),
            }
        }
        if ready.is_empty() {
            return;
        }
        let changes: Vec<&TreeChange> = ready.iter().flat_map(|(prepared, _)| &prepared.changes).collect();
        let result = self.storage.commit(&self.directory.read(), &changes);
        match result {
            Ok(()) => self.finish(ready),
            Err(error) => {
                tracing::error!(%error, writes = ready.len(), "directory transaction failed");
                self.give_up(ready);
            }
        }
    }

    fn finish(&self, ready: Vec<(PreparedWrite, CommitCallback)>) {
        metrics::counter!("provost_ldap_writes_total").increment(ready.len() as u64);
        metrics::counter!("provost_ldap_commits_total").increment(1);
        let mut answers = Vec::with_capacity(ready.len());
        {
            let mut tree = self.directory.write();
            for (prepared, answer) in ready {
                apply(&mut tree, prepared.changes, &mut self.directory.watchers());
                answers.push((answer, prepared.controls));
            }
        }
        for (answer, controls) in answers {
            answer(Ok(controls));
        }
    }

    fn give_up(&self, ready: Vec<(PreparedWrite, CommitCallback)>) {
        for (prepared, answer) in ready {
            for change in prepared.changes.iter().filter(|change| change.before.is_none()) {
                self.directory.write().release(change.place);
            }
            answer(Err(cannot_write()));
        }
    }
}

/// Makes the changes of one write visible, and reports the position of each entry before and after to the watchers.
fn apply(tree: &mut Tree, changes: Vec<TreeChange>, watchers: &mut Watchers) {
    if watchers.is_empty() {
        changes.iter().for_each(|change| tree.apply(change));
        return;
    }
    let position = |tree: &Tree, side: &Option<(EntryNumber, EncodedEntry)>| {
        side.as_ref().map(|(parent, record)| tree.position(*parent, record))
    };
    let before: Vec<_> = changes.iter().map(|change| position(tree, &change.before)).collect();
    changes.iter().for_each(|change| tree.apply(change));
    for (change, before) in changes.into_iter().zip(before) {
        let after = position(tree, &change.after);
        watchers.publish(TreeEvent { change, before, after });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(dn: &str) -> WriteOperation {
        WriteOperation::Add { dn: dn.into(), attributes: Vec::new() }
    }

    fn delete(dn: &str) -> WriteOperation {
        WriteOperation::Delete { dn: dn.into() }
    }

    // Writes of one group are checked against the tree before the group, so none may depend on another.
    #[test]
    fn a_dependent_write_waits_for_the_next_group() {
        let rename = WriteOperation::ModifyDn {
            dn: "cn=a,ou=x,dc=e".into(),
            new_rdn: "cn=b".into(),
            delete_old: true,
            new_superior: None,
        };
        for (first, second, together) in [
            (add("cn=a,ou=x,dc=e"), add("cn=b,ou=x,dc=e"), true),
            (add("cn=a,ou=x,dc=e"), add("CN=A,ou=x,dc=e"), false),
            (add("ou=x,dc=e"), add("cn=a,ou=x,dc=e"), false),
            (add("cn=a,ou=x,dc=e"), delete("ou=x,dc=e"), false),
            (delete("ou=x,dc=e"), add("cn=a,ou=x,dc=e"), false),
            (delete("cn=a,ou=x,dc=e"), delete("cn=b,ou=x,dc=e"), true),
            (delete("cn=a,ou=x,dc=e"), delete("ou=x,dc=e"), false),
            (rename.clone(), add("cn=b,ou=x,dc=e"), false),
            (rename.clone(), delete("ou=x,dc=e"), false),
            (rename.clone(), add("cn=c,ou=x,dc=e"), true),
            // Subordinates move with their entry.
            (rename.clone(), add("cn=y,cn=a,ou=x,dc=e"), false),
            (rename.clone(), delete("cn=z,cn=y,cn=a,ou=x,dc=e"), false),
            (rename.clone(), delete("cn=y,cn=b,ou=x,dc=e"), false),
            (delete("cn=y,cn=a,ou=x,dc=e"), rename.clone(), false),
            (add("commonName=a,ou=x,dc=e"), rename.clone(), false),
            (rename, delete("cn=ya,ou=x,dc=e"), true),
        ] {
            let mut footprint = Footprint::default();
            assert!(footprint.admit(&first));
            assert_eq!(footprint.admit(&second), together, "{first:?} {second:?}");
        }
    }

    #[tokio::test]
    async fn a_write_without_a_committer_is_unavailable() {
        let (jobs, waiting) = mpsc::channel(1);
        drop(waiting);
        let (answer, outcome) = std::sync::mpsc::channel();
        let job = WriteJob {
            operation: delete("cn=a,dc=e"),
            controls: WriteControls::default(),
            identity: Identity::root(Dn::root()),
            answer: Box::new(move |outcome| _ = answer.send(outcome.map_err(|refusal| refusal.code).err())),
        };
        job.queue(&jobs).await;
        assert_eq!(outcome.try_recv(), Ok(Some(ResultCode::Unavailable)));
    }
}

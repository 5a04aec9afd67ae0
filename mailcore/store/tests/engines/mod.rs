//! Both engines behind one type, and short functions that make and apply batches.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "helper functions of tests are test code"
)]

/// Runs each test once per engine.
#[allow(unused_macros)]
macro_rules! conformance {
    ($($test:ident),* $(,)?) => {
        mod memory_engine {
            $(#[tokio::test]
            async fn $test() {
                super::$test(super::OneAccount::new(super::memory())).await;
            })*
        }
        mod local_engine {
            $(#[tokio::test]
            async fn $test() {
                let folder = tempfile::tempdir().unwrap();
                super::$test(super::OneAccount::new(super::local(folder.path()))).await;
            })*
        }
    };
}

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use provost_store::*;
use uuid::Uuid;

/// An engine of messages and of queue rows.
pub trait Engine: MessageStore + QueueStore {}
impl<T: MessageStore + QueueStore> Engine for T {}

/// Octets of the largest message that the engines under test accept.
pub const MESSAGE_OCTETS_MAX: u64 = 300_000;

pub fn memory() -> Arc<dyn Engine> {
    Arc::new(MemoryStore::new(MESSAGE_OCTETS_MAX))
}

pub fn local(folder: &std::path::Path) -> Arc<dyn Engine> {
    local_sharded(folder, 3)
}

pub fn local_sharded(folder: &std::path::Path, shards: u8) -> Arc<dyn Engine> {
    Arc::new(LocalStore::open(&config(folder, shards)).unwrap())
}

/// Returns a configuration with small packs, whose upkeep starts to work on a change within milliseconds.
pub fn config(folder: &std::path::Path, shards: u8) -> LocalConfig {
    let upkeep = UpkeepConfig {
        every: Duration::from_millis(10),
        grace: Duration::from_millis(30),
        pack_octets_max: 256 * 1024,
        inline_octets_kept: 0,
        free_octets_kept: 64 * 1024,
        ..UpkeepConfig::default()
    };
    LocalConfig { shards, message_octets_max: MESSAGE_OCTETS_MAX, upkeep, ..LocalConfig::new(folder) }
}

pub fn account(number: u128) -> AccountId {
    AccountId::new(Uuid::from_u128(number))
}

pub fn name(text: &str) -> MailboxName {
    MailboxName::parse(text).unwrap()
}

pub fn uid(number: u32) -> Uid {
    Uid::new(number).unwrap()
}

pub fn uids(numbers: impl IntoIterator<Item = u32>) -> UidSet {
    numbers.into_iter().map(uid).collect()
}

pub fn flags(text: &str) -> Flags {
    let mut flags = Flags::none();
    for word in text.split_whitespace() {
        match word {
            "\\Seen" => flags.insert(Flag::Seen),
            "\\Answered" => flags.insert(Flag::Answered),
            "\\Flagged" => flags.insert(Flag::Flagged),
            "\\Deleted" => flags.insert(Flag::Deleted),
            "\\Draft" => flags.insert(Flag::Draft),
            keyword => flags.insert_keyword(Keyword::parse(keyword).unwrap()),
        }
    }
    flags
}

pub fn append(mailbox: &str, body: &str) -> Op {
    append_flagged(mailbox, body, "")
}

pub fn append_flagged(mailbox: &str, body: &str, flag_words: &str) -> Op {
    let body = Bytes::copy_from_slice(body.as_bytes());
    Op::Append {
        mailbox: name(mailbox),
        create: false,
        body,
        flags: flags(flag_words),
        internal_date: at(1_700_000_000),
    }
}

pub fn create(text: &str) -> Op {
    Op::CreateMailbox { name: name(text), special_use: None }
}

pub fn rename(from: &str, to: &str) -> Op {
    Op::RenameMailbox { from: name(from), to: name(to) }
}

pub fn delete(text: &str) -> Op {
    Op::DeleteMailbox { name: name(text) }
}

pub fn restore_mailbox(text: &str, validity: u32, next: u32) -> Op {
    let uid_validity = UidValidity::of(validity.try_into().unwrap());
    Op::RestoreMailbox { name: name(text), uid_validity, uid_next: uid(next), special_use: None, subscribed: false }
}

pub fn restore(mailbox: &str, number: u32, modseq: u64, body: &str) -> Op {
    Op::Restore {
        mailbox: name(mailbox),
        uid: uid(number),
        modseq: Modseq::new(modseq),
        flags: flags("\\Seen kept"),
        internal_date: at(1_600_000_000),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

/// Returns a time by its Unix seconds.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

pub fn batch(account: AccountId, ops: Vec<Op>) -> Batch {
    Batch { id: None, account, now: at(1_000_000), require: Vec::new(), ops }
}

/// The result of a read with [`MessageSelection::ChangedSince`], without columns.
#[derive(Debug, PartialEq)]
pub struct Changes {
    pub info: MailboxInfo,
    pub messages: Vec<MessageMeta>,
    pub expunged: Vec<Uid>,
}

/// A store with one account in use.
pub struct OneAccount {
    pub store: Arc<dyn Engine>,
    pub account: AccountId,
}

impl OneAccount {
    pub fn new(store: Arc<dyn Engine>) -> Self {
        Self { store, account: account(7) }
    }

    pub async fn apply(&self, ops: Vec<Op>) -> Result<Applied, BatchError> {
        self.store.apply(batch(self.account, ops)).await
    }

    /// Applies one op that must succeed.
    pub async fn done(&self, op: Op) -> OpEffect {
        self.apply(vec![op]).await.unwrap().effects.pop().unwrap()
    }

    /// Applies an append, a creation and then `op`, which must be refused. Checks that nothing of the batch is applied.
    pub async fn refused(&self, op: Op) -> BatchError {
        let before = self.snapshot().await;
        let error = self.apply(vec![append("INBOX", "taken back"), create("Also/Taken/Back"), op]).await.unwrap_err();
        assert_eq!(self.snapshot().await, before, "a refused batch changed the account");
        error
    }

    pub async fn snapshot(&self) -> AccountSnapshot {
        self.store.snapshot(self.account, None).await.unwrap()
    }

    pub async fn mailbox(&self, text: &str) -> MailboxInfo {
        self.snapshot().await.mailbox(&name(text)).cloned().unwrap_or_else(|| panic!("no mailbox {text}"))
    }

    pub async fn id(&self, text: &str) -> MailboxId {
        self.mailbox(text).await.id
    }

    pub async fn names(&self) -> Vec<String> {
        self.snapshot().await.mailboxes.iter().map(|mailbox| mailbox.name.to_string()).collect()
    }

    /// Reads what has changed in a mailbox since the modseq `after`; since zero, all messages.
    pub async fn changes(&self, text: &str, after: u64) -> Changes {
        let rows = self.read(text, MessageSelection::ChangedSince(Modseq::new(after)), Columns::NONE).await;
        let messages = rows.rows.into_iter().map(|row| row.meta).collect();
        Changes { info: rows.info, messages, expunged: rows.expunged }
    }

    /// Reads the selected messages of a mailbox, with columns.
    pub async fn read(&self, text: &str, which: MessageSelection, columns: Columns) -> Rows {
        self.store.read(self.account, self.id(text).await, which, columns, None).await.unwrap()
    }

    pub async fn body(&self, message: &MessageMeta) -> Bytes {
        self.store.body(self.account, message.body, None).await.unwrap()
    }

    /// Lists the messages of a mailbox, one string each: UID, flags, body.
    pub async fn listing(&self, text: &str) -> Vec<String> {
        let mut listed = Vec::new();
        for message in self.changes(text, 0).await.messages {
            let body = String::from_utf8(self.body(&message).await.to_vec()).unwrap();
            listed.push(format!("{} {}{body}", message.uid, flag_words(&message.flags)));
        }
        listed
    }
}

/// Returns the flags as IMAP writes them, a space after each.
pub fn flag_words(flags: &Flags) -> String {
    let system = flags.system().map(|flag| format!("\\{flag:?} "));
    system.chain(flags.keywords().iter().map(|keyword| format!("{} ", keyword.as_str()))).collect()
}

/// Checks that UIDs ascend, and that a mailbox's counts, UIDNEXT and modseq agree with its messages, which are all in
/// `changes`.
pub fn assert_counters_agree(changes: &Changes) {
    let Changes { info, messages, .. } = changes;
    assert_eq!(info.messages as usize, messages.len());
    assert_eq!(info.octets, messages.iter().map(|message| message.octets).sum::<u64>());
    assert_eq!(info.unseen as usize, messages.iter().filter(|message| !message.flags.has(Flag::Seen)).count());
    assert!(messages.windows(2).all(|pair| pair[0].uid < pair[1].uid), "UIDs do not ascend");
    assert!(messages.iter().all(|message| message.uid < info.uid_next && message.modseq <= info.highest_modseq));
}

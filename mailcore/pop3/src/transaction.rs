//! TRANSACTION and UPDATE (RFC 1939 §5, §6): a maildrop that one session holds exclusively.

use std::time::{Duration, Instant};

use provost_net::{OutputBuffer, SessionError, Step};
use provost_store::{AccountId, Batch, BatchCondition, BatchError, BatchId, Lease, LeaseError, MessageStore, Op};
use provost_view::{AccountWatch, PersonRef, View};
use uuid::Uuid;

use crate::Pop3Config;
use crate::command::{Command, MessageNumber};
use crate::maildrop::Maildrop;
use crate::transfer::Transfer;

/// How long a lease lasts without renewal: longer than [`LEASE_RENEWAL`] and the idle limit together, so that silence
/// by itself never loses the maildrop.
const LEASE_TTL: Duration = Duration::from_secs(30 * 60);
/// A lease older than this is renewed at the next command.
const LEASE_RENEWAL: Duration = Duration::from_secs(10 * 60);
/// The reply to a session that must end because of a change in the directory.
pub(crate) const REVOKED: &str = "-ERR [SYS/PERM] the account was suspended or closed, or its password was changed\r\n";
/// How long a login waits for a maildrop that another session holds. A client that lost its connection returns at once,
/// often before the server has seen the end of the old connection.
const IN_USE_WAIT: Duration = Duration::from_secs(1);
/// Interval between attempts to take the lease during that time.
const IN_USE_LOOK: Duration = Duration::from_millis(25);
/// Octets of a message that are read at once.
const PIECE_OCTETS: u64 = 256 * 1024;
/// How often UPDATE is tried while its outcome is unknown, always under the same batch id, so that it is applied once.
const UPDATE_ATTEMPTS: usize = 3;

/// Why a maildrop cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// Another session holds the maildrop.
    InUse,
    /// The store cannot answer now; a later login may work.
    Unavailable,
}

/// A session in TRANSACTION: the person and the maildrop.
pub(crate) struct TransactionState {
    /// Whether the person may still be logged in.
    watch: AccountWatch,
    /// The login name, for logs and for the limit of connections per account.
    pub(crate) uid: String,
    account: AccountId,
    maildrop: Maildrop,
    /// `None` when the lease has ended, and after UPDATE.
    pub(crate) lease: Option<Lease>,
    leased_at: Instant,
}

impl TransactionState {
    /// Takes the maildrop exclusively (RFC 1939 §4) and reads it.
    pub(crate) async fn open(store: &dyn MessageStore, view: &View, person: &PersonRef) -> Result<Self, OpenError> {
        let account = AccountId::new(person.entry_uuid);
        let lease = take_lease(store, account).await?;
        let maildrop = Maildrop::open(store, account).await.map_err(|error| {
            tracing::warn!(account = %account.get(), %error, "maildrop cannot be read");
            OpenError::Unavailable
        })?;
        Ok(Self {
            watch: view.watch(person),
            uid: person.uid.to_string(),
            account,
            maildrop,
            lease: Some(lease),
            leased_at: Instant::now(),
        })
    }

    /// Whether the session may continue: the person may still log in, and the session still holds the maildrop. The
    /// error is the reply to close with.
    pub(crate) async fn may_go_on(
        &mut self,
        view: &View,
        store: &dyn MessageStore,
        now: Instant,
    ) -> Result<(), &'static str> {
        if self.is_revoked(view) {
            return Err(REVOKED);
        }
        if now.duration_since(self.leased_at) < LEASE_RENEWAL {
            return Ok(());
        }
        let Some(lease) = &self.lease else { return Err(MAILDROP_LOST) };
        match store.renew(lease, LEASE_TTL).await {
            Ok(()) => self.leased_at = now,
            Err(LeaseError::Fenced) => {
                self.lease = None;
                return Err(MAILDROP_LOST);
            }
            // The lease stays in force until it expires, and the next command tries again; UPDATE requires it in any
            // case.
            Err(error) => tracing::warn!(account = %self.account.get(), %error, "the maildrop's lease is not renewed"),
        }
        Ok(())
    }

    /// Resolves when the person has changed in the directory.
    pub(crate) async fn changed(&mut self, view: &View) {
        self.watch.changed(view).await;
    }

    /// Whether the account was suspended or closed, or its password changed.
    pub(crate) fn is_revoked(&mut self, view: &View) -> bool {
        self.watch.is_revoked(view, crate::clock::now())
    }

    /// Runs one command of TRANSACTION; QUIT closes the session.
    pub(crate) async fn handle(
        &mut self,
        command: Command,
        config: &Pop3Config,
        out: &mut OutputBuffer<'_>,
    ) -> Result<Step, SessionError> {
        match command {
            Command::Stat => self.stat(out),
            Command::List(None) => self.list(out).await?,
            Command::List(Some(number)) => self.list_one(number, out),
            Command::Uidl(None) => self.uidl(out).await?,
            Command::Uidl(Some(number)) => self.uidl_one(number, out),
            Command::Retr(number) => return self.send(number, Transfer::whole(), config, out).await,
            Command::Top(number, lines) => return self.send(number, Transfer::top(lines), config, out).await,
            Command::Dele(_) if !self.watch.may_change_mail() => out.put(READ_ONLY),
            Command::Dele(number) if self.maildrop.delete(number) => out.put("+OK marked\r\n"),
            Command::Dele(_) => out.put(NO_SUCH_MESSAGE),
            Command::Rset => {
                self.maildrop.reset();
                out.put("+OK\r\n");
            }
            Command::Noop => out.put("+OK\r\n"),
            Command::Quit => {
                let answer = self.update(config).await;
                // RFC 1939 §6: release the lock first, so that a client that logs in again at once finds the maildrop
                // free.
                self.lease = None;
                out.put(answer);
                return Ok(Step::Close);
            }
            _ => out.put("-ERR not allowed after login\r\n"),
        }
        Ok(Step::Continue)
    }

    fn stat(&self, out: &mut OutputBuffer<'_>) {
        let (count, octets) = self.maildrop.totals();
        out.put(format!("+OK {count} {octets}\r\n"));
    }

    async fn list(&self, out: &mut OutputBuffer<'_>) -> Result<(), SessionError> {
        let (count, octets) = self.maildrop.totals();
        out.put(format!("+OK {count} messages ({octets} octets)\r\n"));
        for (number, message) in self.maildrop.listed() {
            out.put(format!("{number} {}\r\n", message.octets));
            out.relieve().await?;
        }
        out.put(".\r\n");
        Ok(())
    }

    fn list_one(&self, number: MessageNumber, out: &mut OutputBuffer<'_>) {
        match self.maildrop.message(number) {
            Some(message) => out.put(format!("+OK {number} {}\r\n", message.octets)),
            None => out.put(NO_SUCH_MESSAGE),
        }
    }

    async fn uidl(&self, out: &mut OutputBuffer<'_>) -> Result<(), SessionError> {
        out.put("+OK\r\n");
        for (number, message) in self.maildrop.listed() {
            out.put(format!("{number} {}\r\n", self.maildrop.unique_id(message)));
            out.relieve().await?;
        }
        out.put(".\r\n");
        Ok(())
    }

    fn uidl_one(&self, number: MessageNumber, out: &mut OutputBuffer<'_>) {
        match self.maildrop.message(number) {
            Some(message) => out.put(format!("+OK {number} {}\r\n", self.maildrop.unique_id(message))),
            None => out.put(NO_SUCH_MESSAGE),
        }
    }

    /// RETR and TOP. The first piece is read before `+OK`, so that an unreadable message gets `-ERR`; when a later
    /// piece fails, the connection closes without the final dot.
    async fn send(
        &self,
        number: MessageNumber,
        mut transfer: Transfer,
        config: &Pop3Config,
        out: &mut OutputBuffer<'_>,
    ) -> Result<Step, SessionError> {
        let Some(message) = self.maildrop.message(number) else {
            out.put(NO_SUCH_MESSAGE);
            return Ok(Step::Continue);
        };
        let octets = message.octets;
        let mut at = 0;
        while at == 0 || at < octets && !transfer.is_done() {
            let end = octets.min(at + out.piece_octets(PIECE_OCTETS));
            // A body of one piece is read without a range, so that the store can verify all of it.
            let (range, end) = if octets > PIECE_OCTETS { (Some(at..end), end) } else { (None, octets) };
            match config.store.body(self.account, message.body, range).await {
                Ok(piece) => {
                    if at == 0 {
                        out.put(format!("+OK {} octets\r\n", message.octets));
                    }
                    transfer.write_piece(&piece, out);
                    out.relieve().await?;
                }
                Err(error) => {
                    tracing::warn!(account = %self.account.get(), uid = message.uid.get(), at, %error, "message cannot be read");
                    if at > 0 {
                        return Ok(Step::Close);
                    }
                    out.put("-ERR [SYS/TEMP] the message cannot be read now\r\n");
                    return Ok(Step::Continue);
                }
            }
            // At least 1, so that an empty body is read once.
            at = end.max(1);
        }
        transfer.finish(out);
        Ok(Step::Continue)
    }

    /// UPDATE (RFC 1939 §6): deletes the marked messages if this session still holds the maildrop. Replies `+OK` only
    /// when the deletion is durable.
    async fn update(&self, config: &Pop3Config) -> &'static str {
        const BYE: &str = "+OK bye\r\n";
        let uids = self.maildrop.deleted();
        if uids.is_empty() {
            return BYE;
        }
        // The right may have been taken since the messages were marked.
        if !self.watch.may_change_mail() {
            return READ_ONLY;
        }
        let Some(lease) = &self.lease else { return NOT_REMOVED };
        let batch = Batch {
            id: Some(BatchId::new(Uuid::new_v4())),
            account: self.account,
            now: crate::clock::now(),
            require: vec![BatchCondition::Lease { name: lease.name().to_owned(), epoch: lease.epoch }],
            ops: vec![Op::Expunge { mailbox: self.maildrop.mailbox, uids: Some(uids), only_deleted: false }],
        };
        let mut result = config.store.apply(batch.clone()).await;
        for _ in 1..UPDATE_ATTEMPTS {
            if !matches!(result, Err(BatchError::Unknown)) {
                break;
            }
            result = config.store.apply(batch.clone()).await;
        }
        match result {
            Ok(_) => BYE,
            Err(error) => {
                tracing::warn!(account = %self.account.get(), %error, "the deletion of messages is not confirmed");
                NOT_REMOVED
            }
        }
    }
}

const MAILDROP_LOST: &str = "-ERR [SYS/TEMP] this session no longer holds the maildrop\r\n";
const NOT_REMOVED: &str = "-ERR [SYS/TEMP] some deleted messages are not removed\r\n";
/// RFC 3206 §4: trying again does not help.
const READ_ONLY: &str = "-ERR [SYS/PERM] this account can only read its mail: no message is removed\r\n";
const NO_SUCH_MESSAGE: &str = "-ERR no such message\r\n";

/// Takes the lease of a maildrop, waiting up to [`IN_USE_WAIT`].
async fn take_lease(store: &dyn MessageStore, account: AccountId) -> Result<Lease, OpenError> {
    let until = tokio::time::Instant::now() + IN_USE_WAIT;
    loop {
        match store.lease(&format!("pop3:{}", account.get()), LEASE_TTL).await {
            Ok(Some(lease)) => return Ok(lease),
            Ok(None) if tokio::time::Instant::now() >= until => return Err(OpenError::InUse),
            Ok(None) => tokio::time::sleep(IN_USE_LOOK).await,
            Err(error) => {
                tracing::warn!(account = %account.get(), %error, "maildrop cannot be locked");
                return Err(OpenError::Unavailable);
            }
        }
    }
}

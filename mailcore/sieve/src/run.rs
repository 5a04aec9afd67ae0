//! Runs a program over a message and returns the actions. Pure: no clock, no store, no network.

use provost_message::{Arrival, HeaderField, HeaderSection, ListedMailbox, Path, SentDate, split_detail};
use provost_view::Address;

use crate::SieveError;
use crate::compile::compile;
use crate::date::in_zone;
use crate::matching::{Budget, Exhausted, TestMatcher};
use crate::program::{AddressPart, CompiledCommand, DateSource, EnvelopePart, Statement, Test};
use crate::vacation::{VacationReply, reply_of_rule};

/// Budget of one run: about one unit per octet compared, some tens of milliseconds in all.
const BUDGET_UNITS: u64 = 10_000_000;
/// Maximum number of actions of one run. RFC 5228 §2.10.4 leaves it to the site.
const ACTIONS_MAX: usize = 32;
/// Maximum number of redirects of one run, so that a message cannot be multiplied (RFC 5228 §10).
const REDIRECTS_MAX: usize = 5;
/// Maximum number of addresses that one `address` test reads; further ones are ignored.
const ADDRESSES_MAX: usize = 1_000;

/// The input of a script besides the message.
#[derive(Clone, Debug)]
pub struct ScriptContext<'a> {
    /// The arrival of the message: envelope, connection, results of the SMTP stages.
    pub arrival: &'a Arrival,
    /// The recipient as RCPT named it, for `envelope`.
    pub forward_path: &'a Path,
    /// The address of this site that the recipient resolves to.
    pub recipient: &'a Address,
    /// All addresses of the recipient's account: a `vacation` needs no `:addresses` for them (RFC 5230 §4.5).
    pub addresses: &'a [Address],
    /// The time, for `currentdate` (RFC 5260).
    pub now: jiff::Timestamp,
}

impl<'a> ScriptContext<'a> {
    /// Returns the reverse-path of the envelope; `None` is `<>`.
    pub(crate) fn reverse_path(&self) -> Option<&'a Path> {
        self.arrival.envelope.reverse_path.as_ref()
    }
}

/// An action for delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Deliver into INBOX.
    Keep,
    /// Deliver into this mailbox.
    FileInto(String),
    /// Forward to this address.
    Redirect(Path),
    /// Refuse the message with this reason.
    Reject(String),
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptOutcome {
    /// Empty when the message is discarded; no action twice.
    pub actions: Vec<Action>,
    /// A vacation reply; delivery still checks it against earlier replies to the same correspondent.
    pub vacation: Option<VacationReply>,
}

/// A compiled script, which can run any number of times.
#[derive(Clone, Debug)]
pub struct Script(Vec<Statement>);

impl Script {
    /// Compiles a script. An empty one keeps the message.
    pub fn compile(script: &str) -> Result<Self, SieveError> {
        compile(script).map(Self)
    }

    /// Runs over a whole raw message. After an error, the caller keeps the message (RFC 5228 §2.10.6).
    pub fn run(&self, message: &[u8], context: &ScriptContext<'_>) -> Result<ScriptOutcome, SieveError> {
        let mut run = ScriptRun {
            message,
            fields: HeaderSection::of(message).iter().collect(),
            context,
            budget: Budget::new(BUDGET_UNITS),
            line: 1,
            implicit_keep: true,
            actions: Vec::new(),
            vacation: None,
        };
        run.block(&self.0)?;
        if run.implicit_keep && !run.actions.contains(&Action::Keep) {
            run.actions.push(Action::Keep);
        }
        Ok(ScriptOutcome { actions: run.actions, vacation: run.vacation.flatten() })
    }
}

/// Compiles and runs a script over a whole raw message. An empty script keeps the message.
pub fn run(script: &str, message: &[u8], context: &ScriptContext<'_>) -> Result<ScriptOutcome, SieveError> {
    Script::compile(script)?.run(message, context)
}

/// Whether the following statements run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ControlFlow {
    Next,
    Stop,
}

struct ScriptRun<'a> {
    message: &'a [u8],
    fields: Vec<HeaderField<'a>>,
    context: &'a ScriptContext<'a>,
    budget: Budget,
    /// Line of the running statement.
    line: usize,
    /// Whether the implicit keep applies (RFC 5228 §2.10.2).
    implicit_keep: bool,
    actions: Vec<Action>,
    /// `Some(None)` when `vacation` ran and no reply is due.
    vacation: Option<Option<VacationReply>>,
}

impl ScriptRun<'_> {
    fn block(&mut self, statements: &[Statement]) -> Result<ControlFlow, SieveError> {
        for statement in statements {
            self.line = statement.line;
            if self.command(&statement.command)? == ControlFlow::Stop {
                return Ok(ControlFlow::Stop);
            }
        }
        Ok(ControlFlow::Next)
    }

    fn command(&mut self, command: &CompiledCommand) -> Result<ControlFlow, SieveError> {
        match command {
            CompiledCommand::If(branches) => return self.branches(branches),
            CompiledCommand::Stop => return Ok(ControlFlow::Stop),
            CompiledCommand::Keep => self.record_action(Action::Keep)?,
            CompiledCommand::Discard => self.implicit_keep = false,
            CompiledCommand::Redirect(address) => self.record_action(Action::Redirect(address.clone()))?,
            CompiledCommand::FileInto(mailbox) => self.record_action(Action::FileInto(mailbox.clone()))?,
            CompiledCommand::Reject(reason) => self.reject(reason)?,
            CompiledCommand::Vacation(rule) => {
                // RFC 5230 §4.7: vacation runs at most once, and not together with reject.
                if self.vacation.is_some() || self.rejected() {
                    return Err(self.error("vacation must not run twice or after reject"));
                }
                self.vacation = Some(reply_of_rule(rule, &self.fields, self.context));
            }
        }
        Ok(ControlFlow::Next)
    }

    fn branches(&mut self, branches: &[(Test, Vec<Statement>)]) -> Result<ControlFlow, SieveError> {
        for (test, statements) in branches {
            if self.test(test).map_err(|Exhausted| self.error("the script takes too long"))? {
                return self.block(statements);
            }
        }
        Ok(ControlFlow::Next)
    }

    /// Records an action and cancels the implicit keep. A repeated action is recorded once (RFC 5228 §2.10.3).
    fn record_action(&mut self, action: Action) -> Result<(), SieveError> {
        if self.rejected() {
            return Err(self.error("no other action is possible after reject"));
        }
        self.implicit_keep = false;
        if self.actions.contains(&action) {
            return Ok(());
        }
        let redirects = self.actions.iter().filter(|a| matches!(a, Action::Redirect(_))).count();
        if self.actions.len() >= ACTIONS_MAX || matches!(action, Action::Redirect(_)) && redirects >= REDIRECTS_MAX {
            return Err(self.error(format!("more than {ACTIONS_MAX} actions or {REDIRECTS_MAX} redirects")));
        }
        self.actions.push(action);
        Ok(())
    }

    /// Records a reject, which cannot be repeated, nor combined with an action other than `discard` (RFC 5429 §2.4).
    fn reject(&mut self, reason: &str) -> Result<(), SieveError> {
        if !self.actions.is_empty() || self.vacation.is_some() {
            return Err(self.error("reject cannot be combined with an action other than discard"));
        }
        self.record_action(Action::Reject(reason.into()))
    }

    fn rejected(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::Reject(_)))
    }

    fn error(&self, problem: impl Into<String>) -> SieveError {
        SieveError::new(self.line, problem)
    }

    fn test(&mut self, test: &Test) -> Result<bool, Exhausted> {
        self.budget.spend(1)?;
        match test {
            Test::Constant(value) => Ok(*value),
            Test::Not(test) => Ok(!self.test(test)?),
            Test::AllOf(tests) => Ok(!self.any_returns(tests, false)?),
            Test::AnyOf(tests) => self.any_returns(tests, true),
            Test::Exists(names) => self.exists(names),
            Test::Size { over: true, octets } => Ok(self.message.len() as u64 > *octets),
            Test::Size { over: false, octets } => Ok((self.message.len() as u64) < *octets),
            Test::Header { names, matcher } => self.header(names, matcher),
            Test::Address { names, part, matcher } => self.address(names, *part, matcher),
            Test::Envelope { parts, part, matcher } => self.envelope(parts, *part, matcher),
            Test::Date { source, part, matcher } => {
                let values: Vec<String> = self.moment(source)?.iter().map(|moment| part.of(moment)).collect();
                matcher.any(&values, &mut self.budget)
            }
        }
    }

    /// Whether any of the tests returns `wanted`; later tests do not run.
    fn any_returns(&mut self, tests: &[Test], wanted: bool) -> Result<bool, Exhausted> {
        for test in tests {
            if self.test(test)? == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether all of the fields exist (RFC 5228 §5.5).
    fn exists(&mut self, names: &[String]) -> Result<bool, Exhausted> {
        self.budget.spend(names.len() * self.fields.len())?;
        Ok(names.iter().all(|name| self.fields.iter().any(|field| field.is(name))))
    }

    /// Returns the fields with one of these names.
    fn fields_named(&mut self, names: &[String]) -> Result<Vec<HeaderField<'_>>, Exhausted> {
        self.budget.spend(names.len() * self.fields.len())?;
        let fields: Vec<_> =
            self.fields.iter().filter(|field| names.iter().any(|name| field.is(name))).copied().collect();
        self.budget.spend(fields.iter().map(|field| field.raw().len()).sum())?;
        Ok(fields)
    }

    fn header(&mut self, names: &[String], matcher: &TestMatcher) -> Result<bool, Exhausted> {
        let values: Vec<String> = self.fields_named(names)?.iter().map(|field| field.decoded()).collect();
        matcher.any(&values, &mut self.budget)
    }

    fn address(&mut self, names: &[String], part: AddressPart, matcher: &TestMatcher) -> Result<bool, Exhausted> {
        let fields = self.fields_named(names)?;
        let values: Vec<String> = fields
            .iter()
            .flat_map(HeaderField::mailboxes)
            .take(ADDRESSES_MAX)
            .filter_map(|mailbox| part_of_mailbox(&mailbox, part))
            .collect();
        matcher.any(&values, &mut self.budget)
    }

    /// Compares envelope parts. Every part of the null reverse-path is the empty string (RFC 5228 §5.4).
    fn envelope(
        &mut self,
        parts: &[EnvelopePart],
        part: AddressPart,
        matcher: &TestMatcher,
    ) -> Result<bool, Exhausted> {
        let value = |which: &EnvelopePart| match which {
            EnvelopePart::From => {
                self.context.reverse_path().map_or(Some(String::new()), |path| part_of_path(path, part))
            }
            EnvelopePart::To => part_of_path(self.context.forward_path, part),
        };
        let values: Vec<String> = parts.iter().filter_map(value).collect();
        matcher.any(&values, &mut self.budget)
    }

    /// Returns the moment that a date test compares: of several fields, that of the first (RFC 5260 §4). `None` when
    /// there is no field, or its date is invalid.
    fn moment(&mut self, source: &DateSource) -> Result<Option<jiff::ZonedDateTime>, Exhausted> {
        match source {
            DateSource::Now { zone } => Ok(Some(in_zone(self.context.now, *zone))),
            DateSource::Header { name, zone } => {
                let fields = self.fields_named(std::slice::from_ref(name))?;
                let moment = fields.first().and_then(|field| SentDate::parse(&field.unfolded())?.zoned());
                Ok(moment.map(|moment| match zone {
                    Some(zone) => in_zone(moment.timestamp(), *zone),
                    None => moment,
                }))
            }
        }
    }
}

/// Returns a part of an address in a header field (RFC 5228 §2.7.4). An address without a domain is not valid: only
/// `:all` compares it.
fn part_of_mailbox(mailbox: &ListedMailbox, part: AddressPart) -> Option<String> {
    match part {
        AddressPart::All => mailbox.address(),
        _ if mailbox.host.is_empty() => None,
        AddressPart::Domain => Some(String::from_utf8_lossy(&mailbox.host).into_owned()),
        _ => part_of_local(&String::from_utf8_lossy(&mailbox.local), part),
    }
}

/// Returns a part of an envelope address.
fn part_of_path(path: &Path, part: AddressPart) -> Option<String> {
    match part {
        AddressPart::All => Some(path.to_string()),
        AddressPart::Domain => Some(path.domain().into()),
        _ => part_of_local(path.local(), part),
    }
}

/// Returns the local part, or its user or detail. Without a separator the user is the whole local part, and the detail
/// is `None`, which no key matches (RFC 5233 §4).
fn part_of_local(local: &str, part: AddressPart) -> Option<String> {
    let (user, detail) = split_detail(local);
    match part {
        AddressPart::User => Some(user.to_owned()),
        AddressPart::Detail => detail.map(str::to_owned),
        _ => Some(local.to_owned()),
    }
}

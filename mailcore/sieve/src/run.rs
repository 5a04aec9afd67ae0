//! Runs a program over a message and returns the actions. Pure: no clock, no store, no network.

use provost_message::{Arrival, HeaderField, HeaderSection, ListedMailbox, Path, SentDate, split_detail};
use provost_view::Address;

use crate::SieveError;
use crate::compile::compile;
use crate::date::in_zone;
use crate::matching::{Budget, Exhausted, TestMatcher};
use crate::program::{AddressPart, DateSource, EnvelopePart, Statement, Test, Verb};
use crate::vacation::{VacationReply, reply_of_rule};

/// Budget of one run: about one unit per octet compared, some tens of milliseconds in all.
const BUDGET_UNITS: u64 = 10_000_000;
/// Maximum number of actions of one run, and of redirects among them (RFC 5228 §2.10.4, §10).
const ACTIONS_MAX: usize = 32;
const REDIRECTS_MAX: usize = 5;
/// Maximum number of addresses that one test reads; further ones are ignored.
const ADDRESSES_MAX: usize = 1_000;

/// The input of a script besides the message.
#[derive(Clone, Debug)]
pub struct ScriptContext<'a> {
    /// The arrival of the message: envelope, connection, results of the SMTP stages.
    pub arrival: &'a Arrival,
    /// The recipient as addressed.
    pub recipient: &'a Address,
    /// All addresses of the recipient in lower case, as the known `:addresses` (RFC 5230 §4.5).
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
    Redirect(Address),
    /// Refuse with this reason.
    Reject(String),
}

/// The result of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptOutcome {
    /// At least one action unless the message is discarded, and none twice.
    pub actions: Vec<Action>,
    /// The vacation reply, not yet checked against earlier replies to the same correspondent.
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
            if self.statement(&statement.verb)? == ControlFlow::Stop {
                return Ok(ControlFlow::Stop);
            }
        }
        Ok(ControlFlow::Next)
    }

    fn statement(&mut self, verb: &Verb) -> Result<ControlFlow, SieveError> {
        match verb {
            Verb::If(branches) => return self.branches(branches),
            Verb::Stop => return Ok(ControlFlow::Stop),
            Verb::Keep => self.record_action(Action::Keep)?,
            Verb::Discard => self.implicit_keep = false,
            Verb::Redirect(address) => self.record_action(Action::Redirect(address.clone()))?,
            Verb::FileInto(mailbox) => self.record_action(Action::FileInto(mailbox.clone()))?,
            Verb::Reject(reason) => self.reject(reason)?,
            Verb::Vacation(rule) => {
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

    /// Records an action once (RFC 5228 §2.10.3). Every action cancels the implicit keep.
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

    /// Records a reject, which cannot be repeated or combined with another action (RFC 5429 §2.4).
    fn reject(&mut self, reason: &str) -> Result<(), SieveError> {
        if !self.actions.is_empty() || self.vacation.is_some() {
            return Err(self.error("reject cannot be combined with another action"));
        }
        self.record_action(Action::Reject(reason.into()))
    }

    fn rejected(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::Reject(_)))
    }

    fn error(&self, rule: impl Into<String>) -> SieveError {
        SieveError::new(self.line, rule)
    }

    fn test(&mut self, test: &Test) -> Result<bool, Exhausted> {
        self.budget.spend(1)?;
        match test {
            Test::Constant(value) => Ok(*value),
            Test::Not(test) => Ok(!self.test(test)?),
            Test::AllOf(tests) => Ok(!self.one_is(tests, false)?),
            Test::AnyOf(tests) => self.one_is(tests, true),
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

    /// Whether one of the tests returns `wanted`; tests after it do not run (RFC 5228 §5.2).
    fn one_is(&mut self, tests: &[Test], wanted: bool) -> Result<bool, Exhausted> {
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

    fn named(&mut self, names: &[String]) -> Result<Vec<HeaderField<'_>>, Exhausted> {
        self.budget.spend(names.len() * self.fields.len())?;
        let fields: Vec<_> =
            self.fields.iter().filter(|field| names.iter().any(|name| field.is(name))).copied().collect();
        self.budget.spend(fields.iter().map(|field| field.raw().len()).sum())?;
        Ok(fields)
    }

    fn header(&mut self, names: &[String], matcher: &TestMatcher) -> Result<bool, Exhausted> {
        let values: Vec<String> = self.named(names)?.iter().map(|field| field.decoded()).collect();
        matcher.any(&values, &mut self.budget)
    }

    fn address(&mut self, names: &[String], part: AddressPart, matcher: &TestMatcher) -> Result<bool, Exhausted> {
        let fields = self.named(names)?;
        let values: Vec<String> = fields
            .iter()
            .flat_map(HeaderField::mailboxes)
            .take(ADDRESSES_MAX)
            .filter_map(|mailbox| part_of(&mailbox, part))
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
        let of = |local: &str, domain: &str| match part {
            AddressPart::All => Some(format!("{local}@{domain}")),
            AddressPart::Domain => Some(domain.into()),
            _ => of_local(local, part),
        };
        let value = |which: &EnvelopePart| match which {
            EnvelopePart::From => {
                self.context.reverse_path().map_or(Some(String::new()), |path| of(path.local(), path.domain()))
            }
            EnvelopePart::To => of(self.context.recipient.local(), self.context.recipient.domain()),
        };
        let values: Vec<String> = parts.iter().filter_map(value).collect();
        matcher.any(&values, &mut self.budget)
    }

    /// Returns the moment of a date test. The first of several fields counts; without a valid date there is no value
    /// (RFC 5260 §4).
    fn moment(&mut self, source: &DateSource) -> Result<Option<jiff::ZonedDateTime>, Exhausted> {
        match source {
            DateSource::Now { zone } => Ok(Some(in_zone(self.context.now, *zone))),
            DateSource::Header { name, zone } => {
                let fields = self.named(std::slice::from_ref(name))?;
                let moment = fields.first().and_then(|field| SentDate::parse(&field.unfolded())?.zoned());
                Ok(moment.map(|moment| match zone {
                    Some(zone) => in_zone(moment.timestamp(), *zone),
                    None => moment,
                }))
            }
        }
    }
}

/// Returns a part of an address (RFC 5228 §2.7.4).
fn part_of(mailbox: &ListedMailbox, part: AddressPart) -> Option<String> {
    match part {
        AddressPart::All => mailbox.address(),
        AddressPart::Domain => Some(String::from_utf8_lossy(&mailbox.host).into_owned()),
        _ => of_local(&String::from_utf8_lossy(&mailbox.local), part),
    }
}

/// Returns a part of a local part. Without a separator, the user is the whole local part, and there is no detail, not
/// an empty one (RFC 5233 §4).
fn of_local(local: &str, part: AddressPart) -> Option<String> {
    let (user, detail) = split_detail(local);
    match part {
        AddressPart::User => Some(user.to_owned()),
        AddressPart::Detail => detail.map(str::to_owned),
        _ => Some(local.to_owned()),
    }
}

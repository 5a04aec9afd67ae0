//! A program over a message: what is to be done with it. Pure: no clock, no store, no network.

use provost_message::{Arrival, Field, Headers, ListedMailbox, Path, SentDate, split_detail};
use provost_view::Address;

use crate::SieveError;
use crate::compile::compile;
use crate::date::in_zone;
use crate::matching::{Budget, Exhausted, Matcher};
use crate::program::{AddressPart, DateSource, EnvelopePart, Statement, Test, Verb};
use crate::vacation::{VacationReply, answer};

/// Work that one run may cost: about one unit for each octet compared, so some tens of milliseconds.
const BUDGET_UNITS: u64 = 10_000_000;
/// Most actions of one run, and most redirects among them. RFC 5228 §2.10.4 lets a site bound them, §10 says why.
const ACTIONS_MAX: usize = 32;
const REDIRECTS_MAX: usize = 5;
/// Addresses that one test looks at; more are as if they were not there.
const ADDRESSES_MAX: usize = 1_000;

/// What a script sees besides the message.
#[derive(Clone, Debug)]
pub struct Context<'a> {
    /// The message's way here: its envelope, its connection, what the stages of SMTP have found.
    pub arrival: &'a Arrival,
    /// The recipient as addressed.
    pub recipient: &'a Address,
    /// All addresses of the recipient, lower case, for RFC 5230 §4.5 (`:addresses` known to the implementation).
    pub addresses: &'a [Address],
    /// The time, for `currentdate` (RFC 5260).
    pub now: jiff::Timestamp,
}

impl<'a> Context<'a> {
    /// Reverse-path of the envelope; `None` is `<>`.
    pub(crate) fn reverse_path(&self) -> Option<&'a Path> {
        self.arrival.envelope.reverse_path.as_ref()
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Into INBOX.
    Keep,
    /// Into a mailbox.
    FileInto(String),
    /// Send on.
    Redirect(Address),
    /// Refuse.
    Reject(String),
}

/// What running a script gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// At least one unless discarded. No action twice.
    pub actions: Vec<Action>,
    /// Not yet checked against the store's memory of correspondents.
    pub vacation: Option<VacationReply>,
}

/// A checked script, to be run any number of times.
#[derive(Clone, Debug)]
pub struct Script(Vec<Statement>);

impl Script {
    /// Reads and checks a script. An empty one keeps.
    pub fn compile(script: &str) -> Result<Self, SieveError> {
        compile(script).map(Self)
    }

    /// Runs it over a message (raw, whole). An error means that the message is to be kept (RFC 5228 §2.10.6).
    pub fn run(&self, message: &[u8], context: &Context<'_>) -> Result<Outcome, SieveError> {
        let mut run = Run {
            message,
            fields: Headers::of(message).iter().collect(),
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
        Ok(Outcome { actions: run.actions, vacation: run.vacation.flatten() })
    }
}

/// Runs a script over a message (raw, whole). An empty script keeps.
pub fn run(script: &str, message: &[u8], context: &Context<'_>) -> Result<Outcome, SieveError> {
    Script::compile(script)?.run(message, context)
}

/// Whether the statements after this one run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Stop,
}

struct Run<'a> {
    message: &'a [u8],
    fields: Vec<Field<'a>>,
    context: &'a Context<'a>,
    budget: Budget,
    /// Of the statement that runs.
    line: usize,
    /// RFC 5228 §2.10.2.
    implicit_keep: bool,
    actions: Vec<Action>,
    /// `Some(None)` when `vacation` ran and there is nobody to answer.
    vacation: Option<Option<VacationReply>>,
}

impl Run<'_> {
    fn block(&mut self, statements: &[Statement]) -> Result<Flow, SieveError> {
        for statement in statements {
            self.line = statement.line;
            if self.statement(&statement.verb)? == Flow::Stop {
                return Ok(Flow::Stop);
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, verb: &Verb) -> Result<Flow, SieveError> {
        match verb {
            Verb::If(branches) => return self.branches(branches),
            Verb::Stop => return Ok(Flow::Stop),
            Verb::Keep => self.act(Action::Keep)?,
            Verb::Discard => self.implicit_keep = false,
            Verb::Redirect(address) => self.act(Action::Redirect(address.clone()))?,
            Verb::FileInto(mailbox) => self.act(Action::FileInto(mailbox.clone()))?,
            Verb::Reject(reason) => self.reject(reason)?,
            Verb::Vacation(rule) => {
                // RFC 5230 §4.7: at most once, and not with reject.
                if self.vacation.is_some() || self.rejected() {
                    return Err(self.error("vacation runs twice, or after reject"));
                }
                self.vacation = Some(answer(rule, &self.fields, self.context));
            }
        }
        Ok(Flow::Next)
    }

    fn branches(&mut self, branches: &[(Test, Vec<Statement>)]) -> Result<Flow, SieveError> {
        for (test, statements) in branches {
            if self.test(test).map_err(|Exhausted| self.error("the script takes too long"))? {
                return self.block(statements);
            }
        }
        Ok(Flow::Next)
    }

    /// Notes an action once (RFC 5228 §2.10.3); each of them cancels the implicit keep.
    fn act(&mut self, action: Action) -> Result<(), SieveError> {
        if self.rejected() {
            return Err(self.error("nothing else can be done after reject"));
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

    /// RFC 5429 §2.4: not with another action, not twice.
    fn reject(&mut self, reason: &str) -> Result<(), SieveError> {
        if !self.actions.is_empty() || self.vacation.is_some() {
            return Err(self.error("reject cannot be combined with another action"));
        }
        self.act(Action::Reject(reason.into()))
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
            Test::AllOf(tests) => Ok(!self.any(tests, false)?),
            Test::AnyOf(tests) => self.any(tests, true),
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

    /// Whether one of the tests gives `wanted`; those after it do not run (RFC 5228 §5.2).
    fn any(&mut self, tests: &[Test], wanted: bool) -> Result<bool, Exhausted> {
        for test in tests {
            if self.test(test)? == wanted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// RFC 5228 §5.5: all of them.
    fn exists(&mut self, names: &[String]) -> Result<bool, Exhausted> {
        self.budget.spend(names.len() * self.fields.len())?;
        Ok(names.iter().all(|name| self.fields.iter().any(|field| field.is(name))))
    }

    fn named(&mut self, names: &[String]) -> Result<Vec<Field<'_>>, Exhausted> {
        self.budget.spend(names.len() * self.fields.len())?;
        let fields: Vec<_> =
            self.fields.iter().filter(|field| names.iter().any(|name| field.is(name))).copied().collect();
        self.budget.spend(fields.iter().map(|field| field.raw().len()).sum())?;
        Ok(fields)
    }

    fn header(&mut self, names: &[String], matcher: &Matcher) -> Result<bool, Exhausted> {
        let values: Vec<String> = self.named(names)?.iter().map(|field| field.decoded()).collect();
        matcher.any(&values, &mut self.budget)
    }

    fn address(&mut self, names: &[String], part: AddressPart, matcher: &Matcher) -> Result<bool, Exhausted> {
        let fields = self.named(names)?;
        let values: Vec<String> = fields
            .iter()
            .flat_map(Field::mailboxes)
            .take(ADDRESSES_MAX)
            .filter_map(|mailbox| part_of(&mailbox, part))
            .collect();
        matcher.any(&values, &mut self.budget)
    }

    /// RFC 5228 §5.4: the null reverse-path is the empty string, whatever part of it is asked for.
    fn envelope(&mut self, parts: &[EnvelopePart], part: AddressPart, matcher: &Matcher) -> Result<bool, Exhausted> {
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

    /// RFC 5260 §4: of several fields the first; none, or one that is no date, gives no value.
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

/// RFC 5228 §2.7.4.
fn part_of(mailbox: &ListedMailbox, part: AddressPart) -> Option<String> {
    match part {
        AddressPart::All => mailbox.address(),
        AddressPart::Domain => Some(String::from_utf8_lossy(&mailbox.host).into_owned()),
        _ => of_local(&String::from_utf8_lossy(&mailbox.local), part),
    }
}

/// RFC 5233 §4: without a separator the user is the whole local part, and there is no detail to compare, not an empty one.
fn of_local(local: &str, part: AddressPart) -> Option<String> {
    let (user, detail) = split_detail(local);
    match part {
        AddressPart::User => Some(user.to_owned()),
        AddressPart::Detail => detail.map(str::to_owned),
        _ => Some(local.to_owned()),
    }
}

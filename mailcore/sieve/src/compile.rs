//! Compiles a syntax tree to a program. Unknown, misplaced and unrequired names are found here, with their line, before
//! the script runs (RFC 5228 §2.10.5, §3.2).

use provost_view::Address;

use crate::SieveError;
use crate::arguments::Arguments;
use crate::compile_test::test;
use crate::compile_vacation::vacation;
use crate::program::{Statement, Test, Verb};
use crate::require::RequiredExtensions;
use crate::syntax::{Command, parse};

/// Longest mailbox name, octets, as in the store.
const MAILBOX_OCTETS_MAX: usize = 255;

/// Parses and checks a whole script.
pub(crate) fn compile(script: &str) -> Result<Vec<Statement>, SieveError> {
    let commands = parse(script)?;
    let mut required = RequiredExtensions::default();
    // RFC 5228 §3.2: require precedes all other commands.
    let requires = commands.iter().take_while(|command| command.name == "require").count();
    let (requires, commands) = commands.split_at_checked(requires).unwrap_or((&[], &[]));
    for command in requires {
        plain(command)?;
        required.declare(command)?;
    }
    block(commands, &required)
}

fn block(commands: &[Command], required: &RequiredExtensions) -> Result<Vec<Statement>, SieveError> {
    let mut statements: Vec<Statement> = Vec::new();
    let mut may_continue_if = false;
    for command in commands {
        match command.name.as_str() {
            "if" => {
                let branches = vec![branch(command, required)?];
                statements.push(Statement { line: command.line, verb: Verb::If(branches) });
            }
            "elsif" | "else" => match statements.last_mut() {
                Some(Statement { verb: Verb::If(branches), .. }) if may_continue_if => {
                    branches.push(branch(command, required)?);
                }
                _ => return Err(SieveError::new(command.line, format!("'{}' without 'if' before it", command.name))),
            },
            _ => {
                plain(command)?;
                statements.push(Statement { line: command.line, verb: verb(command, required)? });
            }
        }
        may_continue_if = matches!(command.name.as_str(), "if" | "elsif");
    }
    Ok(statements)
}

/// Compiles one branch of an if command (RFC 5228 §3.1).
fn branch(command: &Command, required: &RequiredExtensions) -> Result<(Test, Vec<Statement>), SieveError> {
    let arguments = Arguments::of(command);
    let condition = match (command.name.as_str(), command.tests.as_slice()) {
        ("else", []) => Test::Constant(true),
        ("if" | "elsif", [only]) => test(only, required)?,
        ("else", _) => return Err(arguments.error("takes no test")),
        _ => return Err(arguments.error("takes one test")),
    };
    let Some(commands) = &command.block else { return Err(arguments.error("a block is missing")) };
    arguments.finish()?;
    Ok((condition, block(commands, required)?))
}

/// Checks that a command has neither tests nor a block.
fn plain(command: &Command) -> Result<(), SieveError> {
    let arguments = Arguments::of(command);
    if !command.tests.is_empty() {
        return Err(arguments.error("takes no test"));
    }
    if command.block.is_some() {
        return Err(arguments.error("takes no block"));
    }
    Ok(())
}

fn verb(command: &Command, required: &RequiredExtensions) -> Result<Verb, SieveError> {
    let mut arguments = Arguments::of(command);
    let verb = match command.name.as_str() {
        "stop" => Verb::Stop,
        "keep" => Verb::Keep,
        "discard" => Verb::Discard,
        "redirect" => Verb::Redirect(redirect(&mut arguments)?),
        "fileinto" => {
            required.need("fileinto", command.line)?;
            Verb::FileInto(mailbox(&mut arguments)?)
        }
        "reject" => {
            required.need("reject", command.line)?;
            Verb::Reject(arguments.text("a reason")?.into())
        }
        "vacation" => {
            required.need("vacation", command.line)?;
            Verb::Vacation(Box::new(vacation(&mut arguments)?))
        }
        "require" => return Err(arguments.error("must precede all other commands")),
        other => return Err(SieveError::new(command.line, format!("unknown command '{other}'"))),
    };
    arguments.finish()?;
    Ok(verb)
}

fn redirect(arguments: &mut Arguments<'_>) -> Result<Address, SieveError> {
    let text = arguments.text("an address")?;
    Address::parse(text).map_err(|error| arguments.error(format_args!("{text:?}: {error}")))
}

fn mailbox(arguments: &mut Arguments<'_>) -> Result<String, SieveError> {
    let name = arguments.text("a mailbox")?;
    if name.is_empty() || name.len() > MAILBOX_OCTETS_MAX || name.contains(char::is_control) {
        return Err(arguments.error(format_args!("{name:?} is not a valid mailbox name")));
    }
    Ok(name.into())
}

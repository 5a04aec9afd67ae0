//! Compiles a syntax tree to a program.
//!
//! Unknown and misplaced commands, tests and tags, and extensions that are used without `require`, are found before the
//! script runs (RFC 5228 §2.10.5, §3.2).

use crate::SieveError;
use crate::address::path;
use crate::arguments::Arguments;
use crate::compile_vacation::vacation;
use crate::program::{CompiledCommand, Statement, Test};
use crate::require::RequiredExtensions;
use crate::syntax::{Command, parse};
use crate::test_commands::test;

/// Longest mailbox name, octets, as in the store. RFC 5228 §4.1 leaves the rules for names to the server.
const MAILBOX_OCTETS_MAX: usize = 255;
/// Maximum number of levels of a mailbox name, as in the store.
const MAILBOX_LEVELS_MAX: usize = 16;

/// Parses and checks a whole script.
pub(crate) fn compile(script: &str) -> Result<Vec<Statement>, SieveError> {
    let mut commands = parse(script)?.into_iter().peekable();
    let mut required = RequiredExtensions::default();
    // RFC 5228 §3.2: require precedes all other commands.
    while let Some(command) = commands.next_if(|command| command.name == "require") {
        check_no_test_or_block(&command)?;
        required.declare(&command)?;
    }
    block(&commands.collect::<Vec<_>>(), &required)
}

fn block(commands: &[Command], required: &RequiredExtensions) -> Result<Vec<Statement>, SieveError> {
    let mut statements: Vec<Statement> = Vec::new();
    // Whether the command before was `if` or `elsif`.
    let mut is_after_if = false;
    for command in commands {
        match command.name.as_str() {
            "if" => {
                let branches = vec![branch(command, required)?];
                statements.push(Statement { line: command.line, command: CompiledCommand::If(branches) });
            }
            "elsif" | "else" => match statements.last_mut() {
                Some(Statement { command: CompiledCommand::If(branches), .. }) if is_after_if => {
                    branches.push(branch(command, required)?);
                }
                _ => return Err(Arguments::of(command).error("must follow 'if' or 'elsif'")),
            },
            _ => {
                check_no_test_or_block(command)?;
                statements.push(Statement { line: command.line, command: simple_command(command, required)? });
            }
        }
        is_after_if = matches!(command.name.as_str(), "if" | "elsif");
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

fn check_no_test_or_block(command: &Command) -> Result<(), SieveError> {
    let arguments = Arguments::of(command);
    if !command.tests.is_empty() {
        return Err(arguments.error("takes no test"));
    }
    if command.block.is_some() {
        return Err(arguments.error("takes no block"));
    }
    Ok(())
}

/// Compiles a command other than `if`, `elsif` and `else`.
fn simple_command(command: &Command, required: &RequiredExtensions) -> Result<CompiledCommand, SieveError> {
    let mut arguments = Arguments::of(command);
    let compiled = match command.name.as_str() {
        "stop" => CompiledCommand::Stop,
        "keep" => CompiledCommand::Keep,
        "discard" => CompiledCommand::Discard,
        "redirect" => CompiledCommand::Redirect(path(arguments.text("an address")?, &arguments)?),
        "fileinto" => {
            required.need("fileinto", command.line)?;
            CompiledCommand::FileInto(mailbox(&mut arguments)?)
        }
        "reject" => {
            required.need("reject", command.line)?;
            CompiledCommand::Reject(arguments.text("a reason")?.into())
        }
        "vacation" => {
            required.need("vacation", command.line)?;
            CompiledCommand::Vacation(Box::new(vacation(&mut arguments)?))
        }
        "require" => return Err(arguments.error("must precede all other commands")),
        other => return Err(SieveError::new(command.line, format!("unknown command '{other}'"))),
    };
    arguments.finish()?;
    Ok(compiled)
}

/// Takes the next argument as a mailbox name; an error when the store would not accept the name.
fn mailbox(arguments: &mut Arguments<'_>) -> Result<String, SieveError> {
    let name = arguments.text("a mailbox")?;
    let has_invalid_character = name.contains(|c: char| c.is_control() || matches!(c, '*' | '%'));
    let has_empty_level = name.split('/').any(str::is_empty);
    let is_too_deep = name.split('/').count() > MAILBOX_LEVELS_MAX;
    if has_invalid_character || has_empty_level || is_too_deep || name.len() > MAILBOX_OCTETS_MAX {
        return Err(arguments.error(format_args!("{name:?} is not a valid mailbox name")));
    }
    Ok(name.into())
}

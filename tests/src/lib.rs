//! Tests the program from outside: a node started as a user would start it, and clients for its protocols.
//!
//! Nothing here links a room of the product: the tests use only the binary, its ports and its files.

pub mod access;
pub mod command;
pub mod concurrent;
pub mod conversation;
pub mod deadline;
pub mod http;
pub mod ldap;
pub mod line;
pub mod lists;
pub mod mail;
pub mod node;
pub mod people;
pub mod settings;
pub mod shim;
pub mod sink;

pub use command::{Ran, run};
pub use line::TextClient;
pub use node::{Node, Options, Port, binary};
pub use people::SamplePerson;
pub use sink::MailSink;

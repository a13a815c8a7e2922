//! What is seen from outside when something breaks: the database, the process, the machine.
//!
//! Two kinds of subject: the gateway in this process, whose clock can be moved
//! ([`crate::subject::Subject`]), and the real program ([`process::Process`]), which can be
//! sent signals.

pub(crate) mod process;

mod database_away;
mod database_file;
mod exit_codes;
mod kill;
mod late_database;
mod restart;
mod rolling;
mod shell;
mod stop;
mod supervisor;

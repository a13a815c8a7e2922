//! The arguments of `portcullis user`, and the help that they give.
//!
//! None of them is a password. It must not know what the commands do.

use clap::{Args, Subcommand};

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make an account
    Create(Create),
    /// List accounts
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show one account
    Show {
        /// Which account
        #[command(flatten)]
        user: Name,
        /// As a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Set an account's password
    SetPassword {
        /// Which account
        #[command(flatten)]
        user: Name,
        /// Read the password from standard input (its first line) instead of a prompt
        #[arg(long)]
        password_stdin: bool,
        /// Take a password that the rules call weak
        #[arg(long)]
        allow_weak_password: bool,
    },
    /// Let an account log in again
    Activate(Name),
    /// End an account's logins and refuse new ones
    Deactivate(Name),
    /// Delete an account for good; its name stays taken unless the settings say otherwise
    Delete {
        /// Which account
        #[command(flatten)]
        user: Name,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
    },
    /// End all of an account's logins
    Revoke(Name),
}

/// Which account.
#[derive(Debug, Args)]
pub struct Name {
    /// Its username, or # and its number
    #[arg(value_name = "NAME|#ID")]
    pub(super) name: String,
}

/// What a new account is like.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Create {
    /// The username
    pub(super) name: String,
    /// The e-mail address; counts as verified
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(super) email: String,
    /// The address is not known to be the user's
    #[arg(long)]
    pub(super) unverified_email: bool,
    /// May see and change other users
    #[arg(long)]
    pub(super) staff: bool,
    /// May do anything
    #[arg(long)]
    pub(super) superuser: bool,
    /// Cannot log in until it is activated
    #[arg(long)]
    pub(super) inactive: bool,
    /// The account has no password, and cannot ask for a reset
    #[arg(long, conflicts_with_all = ["password_stdin", "allow_weak_password"])]
    pub(super) no_password: bool,
    /// Read the password from standard input (its first line) instead of a prompt
    #[arg(long)]
    pub(super) password_stdin: bool,
    /// Take a password that the rules call weak
    #[arg(long)]
    pub(super) allow_weak_password: bool,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(subcommand)]
        command: UserCommand,
    }

    fn parse(line: &str) -> std::result::Result<UserCommand, clap::Error> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.command)
    }

    #[test]
    fn the_arguments_of_the_contract_parse() {
        for line in [
            "user create ada --email a@b.co",
            "user create ada --email a@b.co --staff --superuser --inactive --no-password",
            "user create ada --email a@b.co --password-stdin --allow-weak-password",
            "user list",
            "user list --json",
            "user show ada",
            "user show #7 --json",
            "user set-password ada --password-stdin",
            "user activate ada",
            "user deactivate #7",
            "user delete ada --yes",
            "user revoke ada",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_password_is_no_argument() {
        for line in [
            "user create ada --email a@b.co --password x",
            "user set-password ada x",
            "user set-password ada --password x",
            "user create ada --no-password --password-stdin",
            "user create",
            "user",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}

//! `portcullis import django`: users, groups and tokens out of a Django database.
//!
//! Reads pages by id from the source, has the store take each over in one transaction, and
//! tells what became of every row: nothing is lost silently. It must not know SQL, nor decide
//! what an existing account becomes (the store does).

mod accept;
mod duplicates;
mod progress;
mod report;
mod run;

use std::io;
use std::path::Path;

use clap::{Args, Subcommand};

use crate::app;
use crate::clock::Clock;
use crate::config::Settings;
use crate::store::{DjangoError, DjangoTables, Store, StoreError};

pub use progress::Progress;
pub use run::import;

/// Where from.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// Users, password hashes, groups, REST framework's tokens and simplejwt's blacklist
    Django(DjangoArguments),
}

/// What `import django` takes.
#[derive(Debug, Clone, Args)]
pub struct DjangoArguments {
    /// The Django database: `sqlite:///path/to/db.sqlite3` or `postgres://user@host/name`. It is only
    /// read. A password may come from PGPASSWORD or ~/.pgpass instead
    #[arg(long, value_name = "URL")]
    pub from: String,
    /// Write nothing, only report what would be done
    #[arg(long)]
    pub dry_run: bool,
    /// Vouch for the e-mail addresses: they count as verified, and reach back ends
    #[arg(long)]
    pub verified_emails: bool,
    /// The table of users (`AUTH_USER_MODEL`)
    #[arg(long, value_name = "NAME", default_value = "auth_user")]
    pub users_table: String,
    /// Its column that people log in with (`USERNAME_FIELD`)
    #[arg(long, value_name = "NAME", default_value = "username")]
    pub username_column: String,
    /// The table of groups
    #[arg(long, value_name = "NAME", default_value = "auth_group")]
    pub groups_table: String,
    /// The table of who is in which group [default: the users' table and `_groups`]
    #[arg(long, value_name = "NAME")]
    pub user_groups_table: Option<String>,
    /// The table of REST framework's tokens
    #[arg(long, value_name = "NAME", default_value = "authtoken_token")]
    pub tokens_table: String,
    /// The table of simplejwt's refresh tokens
    #[arg(long, value_name = "NAME", default_value = "token_blacklist_outstandingtoken")]
    pub outstanding_table: String,
    /// The table of simplejwt's ended refresh tokens
    #[arg(long, value_name = "NAME", default_value = "token_blacklist_blacklistedtoken")]
    pub blacklisted_table: String,
}

/// Why an import stopped. What was taken over until then stays, and the next run goes on there.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] DjangoError),
    /// Our own database did not do it.
    #[error("the database did not do it")]
    Store(#[from] StoreError),
    /// The audit log cannot be written.
    #[error("the audit log cannot be written (server.audit_log)")]
    Audit(#[source] io::Error),
    /// The report cannot be written.
    #[error("the report cannot be written")]
    Report(#[from] io::Error),
}

impl ImportError {
    /// The word that the audit log has for it.
    fn reason(&self) -> &'static str {
        match self {
            Self::Source(_) => "source",
            Self::Store(_) => "database",
            Self::Audit(_) | Self::Report(_) => "terminal",
        }
    }
}

impl DjangoArguments {
    fn tables(&self) -> DjangoTables {
        let join = self.user_groups_table.clone();
        DjangoTables {
            users: self.users_table.clone(),
            username: self.username_column.clone(),
            groups: self.groups_table.clone(),
            user_groups: join.unwrap_or_else(|| format!("{}_groups", self.users_table)),
            tokens: self.tokens_table.clone(),
            outstanding: self.outstanding_table.clone(),
            blacklisted: self.blacklisted_table.clone(),
        }
    }
}

/// The command, with the database that the settings name.
pub(super) async fn run(command: ImportCommand, settings: &Settings) -> anyhow::Result<()> {
    let ImportCommand::Django(arguments) = command;
    let clock = Clock::system();
    let store = if arguments.dry_run {
        store_to_look_at(settings).await?
    } else {
        let opened = async {
            let store = app::open_store(settings).await?;
            store.migrate().await?;
            anyhow::Ok(store)
        };
        super::or_told(opened.await, settings, &clock, Some("user.import"))?
    };
    let progress = Progress::on_terminal();
    let out = &mut io::stdout();
    let done = import(&arguments, settings, &store, &clock, progress, out).await;
    store.close().await;
    done.map_err(Into::into)
}

/// A dry run makes no database: where there is none yet, it compares with an empty one.
async fn store_to_look_at(settings: &Settings) -> anyhow::Result<Store> {
    let url = settings.database.url.expose();
    let file = url.strip_prefix("sqlite:").map(|path| path.strip_prefix("//").unwrap_or(path));
    let file = file.map(|path| path.split('?').next().unwrap_or(path));
    if file.is_some_and(|file| !Path::new(file).exists()) {
        return Ok(Store::open_temporary().await?);
    }
    let store = app::open_store(settings).await?;
    match store.ping().await {
        Err(StoreError::Refused(_)) => Ok(Store::open_temporary().await?),
        other => Ok(other.map(|()| store)?),
    }
}

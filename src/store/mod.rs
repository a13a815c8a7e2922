//! Where the truth is kept: users, logins, keys, the numbered log and the outbox.
//!
//! The only module that knows sqlx. It offers whole transactions (record + log entry +
//! mail together), durable before they answer, with a time limit of 3 s on each. It must not
//! know what a password, a JWT or an HTTP request is, nor decide who may do what.
//!
//! In reading order: `handle` opens the store; `users`, `names`, `profile`, `passwords`,
//! `groups`, `logins`, `opaque`, `ended`, `log`, `hints`, `outbox`, `keys`, `audit`, `meta`, `import` and `compaction`
//! hold its transactions by subject; `examine` looks at the database itself; `django` reads another system's database; below them `db` and `query` are the narrow waist over the two
//! databases, which `sqlite`, `postgres` and `migrations` set up.
//!
//! A call that fails with [`StoreError::Unavailable`] may all the same have been done, if the
//! answer was lost on its way. Whoever repeats it finds out: the name is taken, the token has
//! ended.

mod handle;

mod users;

mod names;

mod profile;

mod passwords;

mod groups;

mod logins;

mod opaque;

mod ended;

mod refresh_uses;

mod log;

mod hints;

mod outbox;

mod keys;

mod audit;

mod meta;

mod import;

mod import_sql;

mod django;

mod django_sql;

mod compaction;

mod examine;

mod db;

mod query;

mod errors;

mod sqlite;

mod postgres;

mod migrations;

mod folder;

pub use audit::DeedFilter;
pub use compaction::Compaction;
pub use django::{
    DjangoError, DjangoRow, DjangoShape, DjangoSource, DjangoTables, DjangoValue, USER_COLUMNS,
};
pub use errors::{Field, StoreError};
pub use examine::{DatabaseServer, Examination, Schema};
pub use folder::create_private_folder;
pub use handle::{DatabaseOptions, Store};
pub use hints::LogHints;
pub use import::{
    ImportCursor, ImportMode, ImportOutcome, ImportedEnd, ImportedToken, ImportedUser,
};
pub use keys::{KeyState, SigningKey};
pub use log::Cursor;
pub use names::NameRules;
pub use opaque::{NewOpaque, OpaqueLogin, OpaqueRow};
pub use outbox::{Mail, NewMail, Outbox};
pub use passwords::PasswordChange;
pub use profile::{Flags, ProfileChange};
pub use refresh_uses::{RefreshOutcome, RefreshUse};
pub use users::{Changed, NewUser};

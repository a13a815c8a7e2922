//! `portcullis user`: accounts, administered from the shell.
//!
//! For operators, who may do what the API refuses: accounts without a password, weak
//! passwords on demand, other people's accounts. Works on the database alone; running
//! replicas follow by the log. Passwords come from a prompt or from standard input, never from
//! arguments, which every user of the machine can read.

mod arguments;
mod ask;
mod show;

use std::io::{self, Write};

use secrecy::{ExposeSecret, SecretString};

use crate::accounts::names::{self, NameFault};
use crate::accounts::passwords::{Busy, MAX_PASSWORD_BYTES, Passwords, unusable};
use crate::accounts::strength::{Attribute, MIN_LENGTH, Person, Weakness, trim, weaknesses};
use crate::cli::deeds::ShellAudit;
use crate::clock::Clock;
use crate::config::Settings;
use crate::model::{Deed, User, UserId};
use crate::store::{Field, NameRules, NewUser, PasswordChange, Store, StoreError};

pub use arguments::{Create, Name, UserCommand};
pub use ask::Asker;
pub(super) use show::{plain, time};

/// Why a command did nothing. Each is told to the operator; the exit code is 1.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// Nobody has this name.
    #[error("there is no user {0}")]
    Unknown(String),
    /// The input breaks the rules; each line says one.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
    /// The operator said no.
    #[error("nothing was done")]
    Declined,
    /// The store did not do it.
    #[error("the database did not do it")]
    Store(#[source] StoreError),
    /// The machine could not hash a password.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The audit log cannot be written.
    #[error("the audit log cannot be written (server.audit_log)")]
    Audit(#[source] io::Error),
    /// The terminal failed.
    #[error("the terminal cannot be used")]
    Terminal(#[from] io::Error),
}

type Result<T> = std::result::Result<T, CommandError>;

/// Carries out a command; asks at the terminal, and writes to `out`.
pub async fn run(
    command: UserCommand,
    settings: &Settings,
    store: &Store,
    clock: &Clock,
    out: &mut impl Write,
) -> Result<()> {
    run_with(command, settings, store, clock, &mut Asker::Terminal, out).await
}

/// The same with answers from elsewhere.
pub async fn run_with(
    command: UserCommand,
    settings: &Settings,
    store: &Store,
    clock: &Clock,
    asker: &mut Asker,
    out: &mut impl Write,
) -> Result<()> {
    // First: what cannot be written down is not done.
    let audit = ShellAudit::open(settings, store, clock).map_err(CommandError::Audit)?;
    let deed = action(&command).map(|action| audit.deed(action));
    let mut shell = Shell { settings, store, clock, asker, audit, deed, out };
    let done = shell.carry_out(command).await;
    if let (Err(error), Some(deed)) = (&done, shell.deed.take()) {
        shell.audit.told(&deed.failed(error.reason())).await;
    }
    done
}

/// What the audit log calls it; `None`: it changes nothing.
pub(super) fn action(command: &UserCommand) -> Option<&'static str> {
    match command {
        UserCommand::List { .. } | UserCommand::Show { .. } => None,
        UserCommand::Create(_) => Some("user.create"),
        UserCommand::SetPassword { .. } => Some("user.password_change"),
        UserCommand::Activate(_) => Some("user.activate"),
        UserCommand::Deactivate(_) => Some("user.deactivate"),
        UserCommand::Delete { .. } => Some("user.delete"),
        UserCommand::Revoke(_) => Some("identity.logout"),
    }
}

impl CommandError {
    /// The word that the audit log has for it.
    fn reason(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "unknown_user",
            Self::Refused(_) => "refused",
            Self::Declined => "declined",
            Self::Store(_) => "database",
            Self::Busy(_) => "busy",
            Self::Audit(_) | Self::Terminal(_) => "terminal",
        }
    }
}

struct Shell<'a, W> {
    settings: &'a Settings,
    store: &'a Store,
    clock: &'a Clock,
    asker: &'a mut Asker,
    audit: ShellAudit,
    /// What is being done, until it is; `None` if that is nothing to tell.
    deed: Option<Deed>,
    out: &'a mut W,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Weak {
    Allowed,
    Refused,
}

impl Weak {
    fn from_flag(allowed: bool) -> Self {
        if allowed { Self::Allowed } else { Self::Refused }
    }
}

impl<W: Write> Shell<'_, W> {
    async fn carry_out(&mut self, command: UserCommand) -> Result<()> {
        match command {
            UserCommand::Create(create) => self.create(&create).await,
            UserCommand::List { json } => self.list(json).await,
            UserCommand::Show { user, json } => self.show(&user, json).await,
            UserCommand::SetPassword { user, password_stdin, allow_weak_password } => {
                let weak = Weak::from_flag(allow_weak_password);
                self.set_password(&user, password_stdin, weak).await
            }
            UserCommand::Activate(user) => self.set_active(&user, true, "is active").await,
            UserCommand::Deactivate(user) => {
                self.set_active(&user, false, "is inactive; its logins have ended").await
            }
            UserCommand::Delete { user, yes } => self.delete(&user, yes).await,
            UserCommand::Revoke(user) => self.revoke(&user).await,
        }
    }

    async fn create(&mut self, create: &Create) -> Result<()> {
        let mut faults = Vec::new();
        let username = names::username(&create.name).unwrap_or_else(|found| {
            faults.extend(found.into_iter().map(username_fault));
            String::new()
        });
        let email = names::registered_email(&create.email);
        if !email.is_empty() {
            faults.extend(names::email_faults(&email).into_iter().map(email_fault));
        }
        if !faults.is_empty() {
            return Err(CommandError::Refused(faults));
        }
        let rules = self.name_rules();
        // Before a password is asked for; the store looks again.
        if self.store.username_taken(&username, rules).await.map_err(CommandError::Store)? {
            return Err(taken(Field::Username));
        }
        let password = if create.no_password {
            unusable()
        } else {
            let about = Person { username: &username, email: &email, ..Person::default() };
            let weak = Weak::from_flag(create.allow_weak_password);
            self.new_password(create.password_stdin, weak, &about).await?
        };
        let new = NewUser {
            username: &username,
            email: &email,
            password: &password,
            is_active: !create.inactive,
            is_staff: create.staff,
            is_superuser: create.superuser,
            email_verified: !email.is_empty() && !create.unverified_email,
        };
        let user = self.noting().create_user(new, rules, None, None, self.clock.now()).await;
        let user = user.map_err(|error| match error {
            StoreError::Taken(field) => taken(field),
            other => CommandError::Store(other),
        })?;
        self.deed = self.deed.take().map(|deed| deed.to(&user));
        self.done(&user, "was created")
    }

    async fn list(&mut self, json: bool) -> Result<()> {
        const PAGE: u32 = 500;
        let mut table = show::Table::default();
        let mut after = UserId(0);
        loop {
            let page = self.store.users_after(after, PAGE).await.map_err(CommandError::Store)?;
            if json {
                for user in &page {
                    writeln!(self.out, "{}", show::json(user))?;
                }
            } else {
                table.write(&page, self.out)?;
            }
            match page.last() {
                Some(last) if last.id > after => after = last.id,
                _ => return Ok(()),
            }
        }
    }

    async fn show(&mut self, name: &Name, json: bool) -> Result<()> {
        let user = self.find(name).await?;
        if json {
            writeln!(self.out, "{}", show::json(&user))?;
            return Ok(());
        }
        let logins = self.store.logins_of(user.id).await.map_err(CommandError::Store)?;
        Ok(show::page(&user, &logins, self.out)?)
    }

    async fn set_password(&mut self, name: &Name, stdin: bool, weak: Weak) -> Result<()> {
        let user = self.find(name).await?;
        let password = self.new_password(stdin, weak, &Person::from(&user)).await?;
        let log_out = self.settings.accounts.logout_on_password_change;
        let change = PasswordChange {
            password: &password,
            instead_of: None,
            log_out,
            set_last_login: false,
            verified_email: None,
        };
        let changed = self.noting().change_password(user.id, change, None, self.clock.now()).await;
        needs(name, changed)?;
        let done = if log_out {
            "has a new password; its logins have ended"
        } else {
            "has a new password"
        };
        self.done(&user, done)
    }

    async fn set_active(&mut self, name: &Name, active: bool, done: &str) -> Result<()> {
        let user = self.find(name).await?;
        let changed = self.noting().set_active(user.id, active, self.clock.now()).await;
        let (_, entries) = needs(name, changed)?;
        if let Some(deed) = self.deed.take_if(|_| entries.is_empty()) {
            // It was so before: no transaction wrote anything.
            self.audit.told(&deed).await;
        }
        self.done(&user, done)
    }

    async fn delete(&mut self, name: &Name, yes: bool) -> Result<()> {
        let user = self.find(name).await?;
        let question = format!("Delete user {} for good?", show::title(&user));
        if !yes && !self.asker.confirm(&question)? {
            return Err(CommandError::Declined);
        }
        let deleted = self.noting().delete_user(user.id, self.clock.now()).await;
        needs(name, deleted)?;
        self.done(&user, "was deleted")
    }

    async fn revoke(&mut self, name: &Name) -> Result<()> {
        let user = self.find(name).await?;
        let cut = self.noting().cut_user(user.id, self.clock.now()).await;
        needs(name, cut)?;
        self.done(&user, "has no logins any more")
    }

    /// By `#id`, by the exact name, or by its stored form.
    async fn find(&mut self, name: &Name) -> Result<User> {
        let found = match name.name.strip_prefix('#') {
            Some(id) => match id.parse() {
                Ok(id) => self.store.user(UserId(id)).await,
                Err(_) => Ok(None),
            },
            None => match self.store.user_by_username(&name.name).await {
                Ok(None) => self.store.user_by_username(&names::normalised(&name.name)).await,
                found => found,
            },
        };
        let user = needs(name, found)?;
        self.deed = self.deed.take().map(|deed| deed.to(&user));
        Ok(user)
    }

    /// The store, whose next change is written down with what is being done.
    fn noting(&self) -> Store {
        self.deed.as_ref().map_or_else(|| self.store.clone(), |deed| self.audit.noting(deed))
    }

    /// Asks for a password and hashes it.
    async fn new_password(
        &mut self,
        stdin: bool,
        weak: Weak,
        about: &Person<'_>,
    ) -> Result<String> {
        let typed = if stdin { self.asker.line() } else { self.asker.new_password() }?;
        let typed = typed.ok_or_else(|| refused("The two passwords differ."))?;
        // As at login: what would not be sent the same way then must not be stored now.
        let password = if self.settings.accounts.trim_passwords {
            SecretString::from(trim(typed.expose_secret()))
        } else {
            typed
        };
        let password = password.expose_secret();
        if trim(password).is_empty() {
            return Err(refused(
                "The password is empty. For an account without one, see --no-password.",
            ));
        }
        if password.contains('\0') || password.len() > MAX_PASSWORD_BYTES {
            return Err(refused(
                "A password is at most 4096 bytes long and has no null characters.",
            ));
        }
        let found = weaknesses(password, Some(about), self.settings.accounts.password_similarity);
        if weak == Weak::Refused && !found.is_empty() {
            let mut reasons: Vec<_> = found.into_iter().map(weakness).collect();
            reasons.push("It can be taken all the same with --allow-weak-password.".to_owned());
            return Err(CommandError::Refused(reasons));
        }
        let limits = &self.settings.limits;
        let pool = Passwords::new(&self.settings.accounts.argon2, 1, *limits.hashing_wait);
        Ok(pool.hash(password).await?)
    }

    fn name_rules(&self) -> NameRules {
        let accounts = &self.settings.accounts;
        NameRules { unique_email: accounts.unique_email, reuse_usernames: accounts.reuse_usernames }
    }

    /// Tells of what a transaction wrote down, and says it.
    fn done(&mut self, user: &User, what: &str) -> Result<()> {
        if let Some(deed) = self.deed.take() {
            self.audit.noted(&deed);
        }
        Ok(writeln!(self.out, "user {} {what}", show::title(user))?)
    }
}

/// `None` means that the account is not there, or no more.
fn needs<T>(name: &Name, found: std::result::Result<Option<T>, StoreError>) -> Result<T> {
    let found = found.map_err(CommandError::Store)?;
    found.ok_or_else(|| CommandError::Unknown(show::plain(&name.name)))
}

fn refused(reason: &str) -> CommandError {
    CommandError::Refused(vec![reason.to_owned()])
}

fn taken(field: Field) -> CommandError {
    refused(match field {
        Field::Username => "The username is taken, or was once.",
        Field::Email => "Another account has this e-mail address.",
    })
}

fn username_fault(fault: NameFault) -> String {
    match fault {
        NameFault::Invalid => {
            "A username is made of letters, numbers and @ . + - _ only.".to_owned()
        }
        NameFault::TooLong => {
            format!("A username has at most {} characters.", names::MAX_USERNAME)
        }
    }
}

fn email_fault(fault: NameFault) -> String {
    match fault {
        NameFault::Invalid => "The e-mail address is not valid.".to_owned(),
        NameFault::TooLong => {
            format!("An e-mail address has at most {} characters.", names::MAX_EMAIL)
        }
    }
}

fn weakness(weakness: Weakness) -> String {
    match weakness {
        Weakness::TooSimilar(attribute) => {
            let attribute = match attribute {
                Attribute::Username => "username",
                Attribute::FirstName => "first name",
                Attribute::LastName => "last name",
                Attribute::Email => "e-mail address",
            };
            format!("The password is too similar to the {attribute}.")
        }
        Weakness::TooShort => format!("The password has less than {MIN_LENGTH} characters."),
        Weakness::TooCommon => "The password is among the most common ones.".to_owned(),
        Weakness::Numeric => "The password is entirely numeric.".to_owned(),
    }
}

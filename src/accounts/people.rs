//! Looking at other people's accounts: who may, and a list of them page by page.
//!
//! It must not know how a refusal is answered.

use crate::model::{User, UserId};

use super::{Accounts, Trouble};

/// How many accounts are in memory at once while they are listed.
const PAGE: u32 = 200;

impl Accounts {
    /// Whether accounts are hidden from users who are not staff.
    #[must_use]
    pub fn hides_users(&self) -> bool {
        self.settings().accounts.hide_users
    }

    /// The account of this id, in the form that `accounts.user_id_field` gives it.
    ///
    /// # Errors
    /// The store could not be asked.
    pub async fn find(&self, id: &str) -> Result<Option<User>, Trouble> {
        if self.settings().accounts.user_id_field == "username" {
            return Ok(self.parts.store.user_by_username(id).await?);
        }
        match number(id) {
            Some(id) => Ok(self.parts.store.user(id).await?),
            None => Ok(None),
        }
    }

    /// The accounts behind this one, in the order of their numbers; none behind the last.
    ///
    /// # Errors
    /// The store could not be asked.
    pub async fn page_after(&self, last: UserId) -> Result<Vec<User>, Trouble> {
        Ok(self.parts.store.users_after(last, PAGE).await?)
    }
}

/// In its one spelling.
fn number(text: &str) -> Option<UserId> {
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(UserId(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        assert_eq!(number("7"), Some(UserId(7)));
        for odd in ["007", "+7", " 7", "7.0", "", "x", "99999999999999999999"] {
            assert_eq!(number(odd), None, "{odd:?}");
        }
    }
}

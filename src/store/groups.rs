//! Groups: names that users carry to back ends.
//!
//! A group has no properties but its name. It must not know what groups permit.

use std::collections::BTreeSet;

use super::errors::{Result, StoreError};
use super::handle::Store;
use super::query::sql;
use super::users::{self, Changed};
use crate::model::{Timestamp, UserId};

/// Stands between the names that a query for users joins. No name can hold it.
const SEPARATOR: char = '\u{1f}';

impl Store {
    /// Puts a user in exactly these groups; those that do not exist are made. `None`: no such
    /// user.
    ///
    /// # Errors
    /// A name is empty or holds a control character.
    pub async fn set_groups(
        &self,
        id: UserId,
        names: &[&str],
        at: Timestamp,
    ) -> Result<Option<Changed>> {
        // Sorted, so that two transactions making the same groups cannot wait for each other.
        let names: BTreeSet<&str> = names.iter().copied().collect();
        if names.iter().any(|name| name.is_empty() || name.contains(char::is_control)) {
            let text = "a group's name is not empty and without control characters".to_owned();
            return Err(StoreError::Refused(sqlx::Error::InvalidArgument(text)));
        }
        self.db
            .write(|| async {
                let mut tx = self.db.begin().await?;
                let Some(user) = users::lock(&mut tx, id).await? else {
                    return tx.commit(None).await;
                };
                if user.groups.iter().map(String::as_str).eq(names.iter().copied()) {
                    return tx.commit(Some((user, Vec::new()))).await;
                }
                tx.execute(sql("DELETE FROM user_groups WHERE user_id = $1").bind(id)).await?;
                for name in &names {
                    let make =
                        "INSERT INTO groups (name) VALUES ($1) ON CONFLICT (name) DO NOTHING";
                    tx.execute(sql(make).bind(*name)).await?;
                    let join = "INSERT INTO user_groups (user_id, group_id) \
                                SELECT $1, id FROM groups WHERE name = $2";
                    tx.execute(sql(join).bind(id).bind(*name)).await?;
                }
                let entry = users::announce(&mut tx, id, at).await?;
                let user = users::require(&mut tx, id).await?;
                tx.commit(Some((user, vec![entry]))).await
            })
            .await
    }
}

/// The names in a joined text, sorted by their bytes: databases sort by their own rules.
pub(super) fn split(joined: Option<&str>) -> Vec<String> {
    let mut names: Vec<_> =
        joined.into_iter().flat_map(|text| text.split(SEPARATOR)).map(str::to_owned).collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn joined_names_come_apart_sorted() {
        assert_eq!(
            split(Some("writers\u{1f}ops, night\u{1f}Admins")),
            ["Admins", "ops, night", "writers"]
        );
    }

    #[test]
    fn a_user_without_groups_has_none() {
        assert!(split(None).is_empty());
    }
}

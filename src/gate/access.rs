//! Who may use a route: the rule, and what it says of somebody.
//!
//! It must not know how an identity was proved nor what a request looks like.

use std::sync::Arc;
use std::time::Duration;

use super::verdict::Refusal;
use crate::config::Access;
use crate::identity::{Identity, Rejection};

/// Whom a route lets through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    access: Access,
    /// Any of these; empty: no matter.
    groups: Vec<String>,
}

/// What a rule wants to know of the credential before it can say anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    /// It lets everybody through and looks at nothing.
    Nothing,
    /// Who is asking, if anybody says so.
    WhoAsks,
    /// It lets nobody through.
    Nobody,
}

/// What was found out about who asks.
#[derive(Debug)]
pub(super) enum Asking {
    /// No credential.
    Nobody,
    /// A good one.
    Proved(Arc<Identity>),
    /// A bad one.
    Rejected(Rejection),
    /// Too many were tried to look at another.
    Throttled(Duration),
    /// It cannot be found out at present.
    Unknowable,
}

impl Rule {
    /// `None` if groups are asked of people whom nobody knows.
    pub(super) fn new(access: Access, groups: &[String]) -> Option<Self> {
        let unknown = matches!(access, Access::Anonymous | Access::Optional);
        (groups.is_empty() || !unknown).then(|| Self { access, groups: groups.to_vec() })
    }

    pub(super) fn wants(&self) -> Wants {
        match self.access {
            Access::Anonymous => Wants::Nothing,
            Access::Deny => Wants::Nobody,
            Access::Optional | Access::Authenticated | Access::Staff | Access::Superuser => {
                Wants::WhoAsks
            }
        }
    }

    /// Lets through, with the identity that was proved, or says why not.
    pub(super) fn judge(&self, asking: Asking) -> Result<Option<Arc<Identity>>, Denied> {
        match self.wants() {
            Wants::Nothing => return Ok(None),
            Wants::Nobody => return Err(Denied { refusal: Refusal::Forbidden, identity: None }),
            Wants::WhoAsks => {}
        }
        let refuse = |refusal| Err(Denied { refusal, identity: None });
        match asking {
            Asking::Nobody if self.access == Access::Optional => Ok(None),
            Asking::Nobody => refuse(Refusal::Unauthenticated(Rejection::Missing)),
            Asking::Rejected(Rejection::Repeated) => {
                refuse(Refusal::BadRequest("The request has several Authorization headers."))
            }
            Asking::Rejected(rejection) => refuse(Refusal::Unauthenticated(rejection)),
            Asking::Throttled(wait) => refuse(Refusal::Throttled(wait)),
            Asking::Unknowable => refuse(Refusal::Unavailable),
            Asking::Proved(identity) if self.permits(&identity) => Ok(Some(identity)),
            Asking::Proved(identity) => {
                Err(Denied { refusal: Refusal::Forbidden, identity: Some(identity) })
            }
        }
    }

    fn permits(&self, identity: &Identity) -> bool {
        let rank = match self.access {
            Access::Anonymous | Access::Optional | Access::Authenticated => true,
            Access::Staff => identity.is_staff || identity.is_superuser,
            Access::Superuser => identity.is_superuser,
            Access::Deny => false,
        };
        // A superuser is in no group that nobody put him into.
        rank && (self.groups.is_empty() || self.groups.iter().any(|g| identity.groups.contains(g)))
    }
}

/// A refusal, and who was refused where that is known.
#[derive(Debug)]
pub(super) struct Denied {
    pub(super) refusal: Refusal,
    pub(super) identity: Option<Arc<Identity>>,
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, identity};
    use super::*;
    use crate::identity::JwtFault;

    fn rule(access: Access, groups: &[&str]) -> Rule {
        let groups: Vec<_> = groups.iter().map(|g| (*g).to_owned()).collect();
        Rule::new(access, &groups).unwrap()
    }

    /// `Ok(name)` or the refusal.
    fn judge(rule: &Rule, asking: Asking) -> Result<Option<String>, Refusal> {
        match rule.judge(asking) {
            Ok(identity) => Ok(identity.map(|i| i.username.clone())),
            Err(denied) => Err(denied.refusal),
        }
    }

    fn expired() -> Asking {
        Asking::Rejected(Rejection::Jwt(JwtFault::Expired))
    }

    #[test]
    fn anonymous_routes_look_at_nothing() {
        let rule = rule(Access::Anonymous, &[]);
        assert_eq!(rule.wants(), Wants::Nothing);
        for asking in
            [Asking::Nobody, expired(), Asking::Unknowable, Asking::Proved(identity("ada"))]
        {
            assert_eq!(judge(&rule, asking), Ok(None));
        }
    }

    #[test]
    fn optional_routes_take_none_or_a_good_credential() {
        let rule = rule(Access::Optional, &[]);
        assert_eq!(judge(&rule, Asking::Nobody), Ok(None));
        assert_eq!(judge(&rule, Asking::Proved(identity("ada"))), Ok(Some("ada".into())));
        assert_eq!(
            judge(&rule, expired()),
            Err(Refusal::Unauthenticated(Rejection::Jwt(JwtFault::Expired)))
        );
        assert_eq!(judge(&rule, Asking::Unknowable), Err(Refusal::Unavailable));
    }

    #[test]
    fn authenticated_routes_need_a_good_credential() {
        let rule = rule(Access::Authenticated, &[]);
        assert_eq!(judge(&rule, Asking::Nobody), Err(Refusal::Unauthenticated(Rejection::Missing)));
        assert_eq!(
            judge(&rule, expired()),
            Err(Refusal::Unauthenticated(Rejection::Jwt(JwtFault::Expired)))
        );
        assert_eq!(judge(&rule, Asking::Unknowable), Err(Refusal::Unavailable));
        assert_eq!(judge(&rule, Asking::Proved(identity("ada"))), Ok(Some("ada".into())));
    }

    #[test]
    fn staff_routes_take_staff_and_superusers() {
        let rule = rule(Access::Staff, &[]);
        assert_eq!(judge(&rule, Asking::Proved(identity("ada"))), Err(Refusal::Forbidden));
        assert_eq!(judge(&rule, Asking::Proved(sample::staff("eve"))), Ok(Some("eve".into())));
        assert_eq!(
            judge(&rule, Asking::Proved(sample::superuser("root"))),
            Ok(Some("root".into()))
        );
        assert_eq!(judge(&rule, Asking::Nobody), Err(Refusal::Unauthenticated(Rejection::Missing)));
    }

    #[test]
    fn superuser_routes_take_superusers_only() {
        let rule = rule(Access::Superuser, &[]);
        assert_eq!(judge(&rule, Asking::Proved(sample::staff("eve"))), Err(Refusal::Forbidden));
        assert_eq!(
            judge(&rule, Asking::Proved(sample::superuser("root"))),
            Ok(Some("root".into()))
        );
    }

    #[test]
    fn denied_routes_take_nobody() {
        let rule = rule(Access::Deny, &[]);
        assert_eq!(rule.wants(), Wants::Nobody);
        for asking in
            [Asking::Nobody, Asking::Unknowable, Asking::Proved(sample::superuser("root"))]
        {
            assert_eq!(judge(&rule, asking), Err(Refusal::Forbidden));
        }
    }

    #[test]
    fn any_of_the_groups_is_enough_and_rank_is_no_group() {
        let rule = rule(Access::Authenticated, &["editors", "authors"]);
        let member = |groups: &[&str]| Asking::Proved(sample::member("ada", groups));
        assert_eq!(judge(&rule, member(&["authors", "x"])), Ok(Some("ada".into())));
        assert_eq!(judge(&rule, member(&["author"])), Err(Refusal::Forbidden));
        assert_eq!(judge(&rule, member(&[])), Err(Refusal::Forbidden));
        assert_eq!(
            judge(&rule, Asking::Proved(sample::superuser("root"))),
            Err(Refusal::Forbidden)
        );
    }

    #[test]
    fn groups_cannot_be_asked_of_strangers() {
        assert_eq!(Rule::new(Access::Optional, &["g".into()]), None);
        assert_eq!(Rule::new(Access::Anonymous, &["g".into()]), None);
    }

    #[test]
    fn a_known_person_is_named_in_the_refusal() {
        let denied = rule(Access::Staff, &[]).judge(Asking::Proved(identity("ada"))).unwrap_err();
        assert_eq!(denied.identity.unwrap().username, "ada");
    }
}

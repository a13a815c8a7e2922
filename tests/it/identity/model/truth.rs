//! What is true, whoever knows it: users, tokens, what ended, and which replica has heard of it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

use super::super::replica::START;

pub(super) const REPLICAS: usize = 2;
pub(super) const USERS: usize = 2;
const TOKENS: usize = 8;

/// `revocation.max_staleness` and the access token's lifetime, in seconds: the defaults.
const MAX_STALENESS: i64 = 60;
const LIFETIME: i64 = 300;

/// By how much `iat` may be ahead.
const AHEAD: i64 = 60;

/// How far behind the latest time a clock may be put back. Compaction leaves a quarter of an
/// hour for that.
const BACK: i64 = 240;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Opaque,
    Jwt,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    LogIn {
        replica: usize,
        user: usize,
        kind: Kind,
    },
    /// Unannounced: the replica dies between the transaction and its answer.
    LogOut {
        replica: usize,
        token: usize,
        announced: bool,
    },
    ChangePassword {
        replica: usize,
        user: usize,
    },
    Rename {
        replica: usize,
        user: usize,
    },
    SetActive {
        replica: usize,
        user: usize,
        active: bool,
    },
    Delete {
        replica: usize,
        user: usize,
    },
    /// The replica reads the log.
    Follow {
        replica: usize,
    },
    /// The replica dies and another takes its place.
    Crash {
        replica: usize,
    },
    Compact {
        replica: usize,
    },
    Forward {
        seconds: i64,
    },
    Back {
        seconds: i64,
    },
    Nothing,
}

#[derive(Debug, Clone)]
pub(super) struct User {
    pub(super) active: bool,
    pub(super) deleted: bool,
    /// Of the latest cut.
    cut: Option<i64>,
    /// How often it was renamed, and by which event the last time.
    pub(super) renamed: usize,
    rename: Option<usize>,
}

#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) user: usize,
    pub(super) kind: Kind,
    issued: i64,
    /// The events that ended it.
    ends: BTreeSet<usize>,
    /// Without `gen`, and the clock was put back between its issue and a cut, or it is of the
    /// second of a cut: nothing is promised.
    unclear: bool,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    events: BTreeSet<usize>,
    synced: i64,
}

#[derive(Debug, Clone)]
pub(super) struct Truth {
    /// Whether JWTs carry `gen` and `sid`.
    pub(super) generations: bool,
    /// Whether there is a level that replicas share.
    pub(super) shared: bool,
    pub(super) users: Vec<User>,
    pub(super) tokens: Vec<Token>,
    pub(super) replicas: Vec<Known>,
    events: usize,
    /// Seconds since the start.
    pub(super) now: i64,
    latest: i64,
}

/// What a replica may answer to a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Good, with the name after so many renamings at least.
    Good { renamed_at_least: usize },
    /// Refused, and not for want of knowledge.
    Refused,
    /// It cannot know, and must say so.
    Unavailable,
    /// Good or refused: it has not heard, or nothing is promised.
    Either,
}

impl Truth {
    fn second(&self) -> i64 {
        START.seconds() + self.now
    }

    fn happens(&mut self, replica: usize, announced: bool) -> usize {
        self.events += 1;
        if announced {
            self.replicas[replica].events.insert(self.events);
        }
        self.events
    }

    fn cut(&mut self, replica: usize, user: usize) {
        let (event, now, generations) =
            (self.happens(replica, true), self.second(), self.generations);
        self.users[user].cut = self.users[user].cut.max(Some(now));
        // Whatever the times: there is no record any more that it could be good by.
        let deleted = self.users[user].deleted;
        for token in self.tokens.iter_mut().filter(|token| token.user == user) {
            if generations || deleted || token.kind == Kind::Opaque || token.issued <= now {
                token.ends.insert(event);
            } else {
                token.unclear = true;
            }
        }
    }

    fn hear_all(&mut self, replica: usize) {
        let known = &mut self.replicas[replica];
        known.events = (1..=self.events).collect();
        known.synced = self.now;
    }

    pub(super) fn verdict(&self, replica: usize, token: &Token) -> Verdict {
        let (known, user) = (&self.replicas[replica], &self.users[token.user]);
        if (self.now - known.synced).abs() > MAX_STALENESS {
            return Verdict::Unavailable;
        }
        let expired = token.kind == Kind::Jwt && self.second() >= token.issued + LIFETIME;
        if expired || token.ends.iter().any(|event| known.events.contains(event)) {
            return Verdict::Refused;
        }
        let ahead = token.kind == Kind::Jwt && token.issued > self.second() + AHEAD;
        if !token.ends.is_empty() || token.unclear || ahead {
            return Verdict::Either;
        }
        let knows_name = user.rename.is_none_or(|event| known.events.contains(&event));
        Verdict::Good { renamed_at_least: if knows_name { user.renamed } else { 0 } }
    }
}

impl ReferenceStateMachine for Truth {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        let user = User { active: true, deleted: false, cut: None, renamed: 0, rename: None };
        (any::<bool>(), any::<bool>())
            .prop_map(move |(generations, shared)| Self {
                generations,
                shared,
                users: vec![user.clone(); USERS],
                tokens: Vec::new(),
                replicas: vec![Known::default(); REPLICAS],
                events: 0,
                now: 0,
                latest: 0,
            })
            .boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Step> {
        let (replica, user, token) = (0..REPLICAS, 0..USERS, 0..TOKENS);
        let kind = prop_oneof![Just(Kind::Opaque), Just(Kind::Jwt)];
        prop_oneof![
            8 => (replica.clone(), user.clone(), kind)
                .prop_map(|(replica, user, kind)| Step::LogIn { replica, user, kind }),
            4 => (replica.clone(), token, any::<bool>()).prop_map(|(replica, token, announced)| {
                Step::LogOut { replica, token, announced }
            }),
            2 => (replica.clone(), user.clone())
                .prop_map(|(replica, user)| Step::ChangePassword { replica, user }),
            2 => (replica.clone(), user.clone())
                .prop_map(|(replica, user)| Step::Rename { replica, user }),
            3 => (replica.clone(), user.clone(), any::<bool>())
                .prop_map(|(replica, user, active)| Step::SetActive { replica, user, active }),
            1 => (replica.clone(), user).prop_map(|(replica, user)| Step::Delete { replica, user }),
            4 => replica.clone().prop_map(|replica| Step::Follow { replica }),
            2 => replica.clone().prop_map(|replica| Step::Crash { replica }),
            1 => replica.prop_map(|replica| Step::Compact { replica }),
            4 => (0..90_i64).prop_map(|seconds| Step::Forward { seconds }),
            1 => Just(Step::Forward { seconds: 3600 }),
            2 => (0..90_i64).prop_map(|seconds| Step::Back { seconds }),
            1 => Just(Step::Nothing),
        ]
        .boxed()
    }

    fn preconditions(state: &Self, step: &Step) -> bool {
        let alive = |user: usize| !state.users[user].deleted;
        match *step {
            Step::LogIn { user, .. } => {
                alive(user) && state.users[user].active && state.tokens.len() < TOKENS
            }
            Step::LogOut { token, .. } => {
                state.tokens.get(token).is_some_and(|token| token.ends.is_empty())
            }
            Step::ChangePassword { user, .. }
            | Step::Rename { user, .. }
            | Step::Delete { user, .. } => alive(user),
            Step::SetActive { user, active, .. } => {
                alive(user) && state.users[user].active != active
            }
            Step::Back { seconds } => state.now - seconds >= state.latest - BACK,
            _ => true,
        }
    }

    fn apply(mut state: Self, step: &Step) -> Self {
        match *step {
            Step::LogIn { user, kind, .. } => {
                let issued = state.second();
                let in_doubt = kind == Kind::Jwt
                    && !state.generations
                    && state.users[user].cut.is_some_and(|cut| issued <= cut);
                let ends = BTreeSet::new();
                state.tokens.push(Token { user, kind, issued, ends, unclear: in_doubt });
            }
            Step::LogOut { replica, token, announced } => {
                let event = state.happens(replica, announced);
                state.tokens[token].ends.insert(event);
                if !announced {
                    state.hear_all(replica);
                }
            }
            Step::ChangePassword { replica, user } => state.cut(replica, user),
            Step::Rename { replica, user } => {
                let event = state.happens(replica, true);
                state.users[user].renamed += 1;
                state.users[user].rename = Some(event);
            }
            Step::SetActive { replica, user, active } => {
                state.users[user].active = active;
                if active {
                    state.happens(replica, true);
                } else {
                    state.cut(replica, user);
                }
            }
            Step::Delete { replica, user } => {
                state.users[user].deleted = true;
                state.cut(replica, user);
            }
            Step::Follow { replica } | Step::Crash { replica } => state.hear_all(replica),
            Step::Forward { seconds } => {
                state.now += seconds;
                state.latest = state.latest.max(state.now);
            }
            Step::Back { seconds } => state.now -= seconds,
            Step::Compact { .. } | Step::Nothing => {}
        }
        state
    }
}

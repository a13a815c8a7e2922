//! The same steps on two real replicas, and each answer compared.

use std::sync::Arc;

use portcullis::clock::Clock;
use portcullis::cluster::Compaction;
use portcullis::config::Settings;
use portcullis::identity::{IdentifyError, TokenCache};
use portcullis::model::{LoginId, Timestamp, UserId};
use portcullis::store::{NameRules, ProfileChange, Store};
use proptest::test_runner::Config;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use tokio::runtime::Runtime;

use super::super::replica::{Replica, START, django};
use super::tier::Tier;
use super::truth::{Kind, REPLICAS, Step, Truth, USERS, Verdict};

const RULES: NameRules = NameRules { unique_email: true, reuse_usernames: false };

pub(super) struct Machine {
    runtime: Runtime,
    world: World,
}

struct World {
    settings: Settings,
    store: Store,
    clock: Clock,
    tier: Option<Arc<dyn TokenCache>>,
    replicas: Vec<Replica>,
    users: Vec<UserId>,
    tokens: Vec<Issued>,
}

struct Issued {
    text: String,
    end: End,
}

/// What a logout names.
enum End {
    Login(LoginId),
    Jti(String, Timestamp),
}

impl World {
    async fn new(truth: &Truth) -> Self {
        let mut settings = if truth.generations { Settings::default() } else { django() };
        settings.revocation.tick = portcullis::config::Period::seconds(1);
        let (store, clock) = (Store::open_temporary().await.unwrap(), Clock::manual(START));
        let tier = truth.shared.then(|| Arc::new(Tier::default()) as Arc<dyn TokenCache>);
        let (replicas, tokens) = (Vec::new(), Vec::new());
        let mut world = Self { settings, store, clock, tier, replicas, users: Vec::new(), tokens };
        for _ in 0..REPLICAS {
            let replica = world.start().await;
            world.replicas.push(replica);
        }
        for user in 0..USERS {
            world.users.push(world.replicas[0].user(&name(user, 0)).await.id);
        }
        world
    }

    async fn start(&self) -> Replica {
        let tier = self.tier.clone();
        Replica::start_sharing(&self.settings, &self.store, &self.clock, tier).await
    }

    async fn take(&mut self, truth: &Truth, step: &Step) {
        match *step {
            Step::LogIn { replica, user, kind } => {
                let token = self.log_in(replica, user, kind, truth.generations).await;
                self.tokens.push(token);
            }
            Step::LogOut { replica, token, announced } => {
                self.log_out(replica, token, announced).await;
            }
            Step::ChangePassword { replica, user } => {
                let (replica, user) = (&self.replicas[replica], self.users[user]);
                replica.change_password(&self.store.user(user).await.unwrap().unwrap()).await;
            }
            Step::Rename { replica, user } => {
                let name = name(user, truth.users[user].renamed);
                let change = ProfileChange { username: Some(&name), ..ProfileChange::default() };
                let (user, now) = (self.users[user], self.clock.now());
                let done = self.store.change_profile(user, change, RULES, None, now).await;
                self.replicas[replica].announcer.announce(&done.unwrap().unwrap().1);
            }
            Step::SetActive { replica, user, active } => {
                let user = self.store.user(self.users[user]).await.unwrap().unwrap();
                self.replicas[replica].set_active(&user, active).await;
            }
            Step::Delete { replica, user } => {
                let user = self.store.user(self.users[user]).await.unwrap().unwrap();
                self.replicas[replica].delete(&user).await;
            }
            Step::Follow { replica } => self.replicas[replica].follower.catch_up().await.unwrap(),
            Step::Crash { replica } => self.replicas[replica] = self.start().await,
            Step::Compact { replica } => {
                let revocations = Arc::clone(&self.replicas[replica].revocations);
                let (store, clock) = (self.store.clone(), self.clock.clone());
                Compaction::new(&self.settings, store, clock, revocations).compact().await;
            }
            Step::Forward { .. } | Step::Back { .. } => {
                self.clock.set(Timestamp::from_seconds(START.seconds() + truth.now));
            }
            Step::Nothing => {}
        }
    }

    async fn log_in(&self, replica: usize, user: usize, kind: Kind, generations: bool) -> Issued {
        let replica = &self.replicas[replica];
        let user = self.store.user(self.users[user]).await.unwrap().unwrap();
        match kind {
            Kind::Opaque => {
                let (text, login) = replica.log_in_opaque(&user).await;
                Issued { text, end: End::Login(login) }
            }
            Kind::Jwt if generations => {
                let (pair, login) = replica.log_in_jwt(&user).await;
                Issued { text: pair.access, end: End::Login(login) }
            }
            Kind::Jwt => {
                let now = self.clock.now();
                let text = replica.issuer.pair(&user, None, now).access;
                let (jti, expires) =
                    (jti(&text), now.plus(*self.settings.tokens.jwt.access_lifetime));
                Issued { text, end: End::Jti(jti, expires) }
            }
        }
    }

    async fn log_out(&mut self, replica: usize, token: usize, announced: bool) {
        let now = self.clock.now();
        let entries = match &self.tokens[token].end {
            End::Login(login) => self.store.end_login(*login, now).await.unwrap(),
            End::Jti(jti, expires) => self.store.end_token(jti, None, *expires, now).await.unwrap(),
        };
        if announced {
            self.replicas[replica].announcer.announce(&entries);
        } else {
            self.replicas[replica] = self.start().await;
        }
    }

    async fn compare(&self, truth: &Truth) {
        for (at, replica) in self.replicas.iter().enumerate() {
            for (number, (token, issued)) in truth.tokens.iter().zip(&self.tokens).enumerate() {
                let answer = match token.kind {
                    Kind::Opaque => replica.opaque(&issued.text).await,
                    Kind::Jwt => replica.jwt(&issued.text).await,
                };
                let verdict = truth.verdict(at, token);
                let right = match (&verdict, &answer) {
                    (Verdict::Good { renamed_at_least }, Ok(identity)) => {
                        let renamed = truth.users[token.user].renamed;
                        (*renamed_at_least..=renamed)
                            .any(|times| identity.username == name(token.user, times))
                    }
                    (Verdict::Refused | Verdict::Either, Err(IdentifyError::Rejected(_)))
                    | (Verdict::Either, Ok(_))
                    | (Verdict::Unavailable, Err(IdentifyError::Unavailable)) => true,
                    _ => false,
                };
                let answer = answer.map(|identity| identity.username.clone());
                assert!(right, "token {number} on replica {at}: {answer:?} for {verdict:?}");
            }
        }
    }
}

fn name(user: usize, renamed: usize) -> String {
    format!("user{user}name{renamed}")
}

fn jti(token: &str) -> String {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap();
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap();
    let claims: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    claims["jti"].as_str().unwrap().to_owned()
}

impl StateMachineTest for Machine {
    type SystemUnderTest = Self;
    type Reference = Truth;

    fn init_test(truth: &Truth) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let world = runtime.block_on(World::new(truth));
        Self { runtime, world }
    }

    fn apply(mut state: Self, truth: &Truth, step: Step) -> Self {
        let Self { runtime, world } = &mut state;
        runtime.block_on(async {
            world.take(truth, &step).await;
            world.compare(truth).await;
        });
        state
    }

    fn check_invariants(_: &Self, _: &<Truth as ReferenceStateMachine>::State) {}
}

prop_state_machine! {
    #![proptest_config(Config {
        cases: 32,
        failure_persistence: None,
        max_shrink_iters: 400,
        ..Config::default()
    })]

    #[test]
    fn whatever_happens_two_replicas_answer_as_the_model_says(sequential 10..40 => Machine);
}

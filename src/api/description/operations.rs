//! What each endpoint takes and answers, beyond what the table of endpoints says.
//!
//! One entry for each method of each path. The fields are the rules by which the handlers read
//! them, under the same settings; tests ask the handlers whether that is true.

use http::{Method, StatusCode};
use utoipa::ToSchema;

use crate::api::fields::{Rule, Space};
use crate::api::jwt::{FreshTokens, TokenPair};
use crate::api::logins::Login;
use crate::api::root::Collections;
use crate::api::token::OpaqueToken;
use crate::api::users::{Account, email_rule, first_email_rule};
use crate::config::{Accounts, Registration, Settings};

use super::operation::{Operation, Refusal, Shape};

use super::operation::Refusal::{Bare, Forbidden, NotFound, Silent, Throttled, Token};

/// Nothing to say but that it is good.
#[derive(ToSchema)]
struct Empty {}

/// The entry for a method of a path.
pub(super) fn operation(path: &str, method: &Method, settings: &Settings) -> Option<Operation> {
    let mut all = all(settings).into_iter();
    all.find(|(of, by, _)| *of == path && by == method).map(|(_, _, operation)| operation)
}

/// Every operation.
pub(super) fn all(settings: &Settings) -> Vec<(&'static str, Method, Operation)> {
    let accounts = &settings.accounts;
    let mut all = own(accounts);
    all.extend(renewed(accounts));
    all.extend(mailed(accounts));
    all.extend(logins());
    all.extend(tokens(accounts));
    all
}

fn shown<T: ToSchema>(text: &'static str) -> (StatusCode, &'static str, Option<Shape>) {
    (StatusCode::OK, text, Some(Shape::of::<T>()))
}

fn done(text: &'static str) -> (StatusCode, &'static str, Option<Shape>) {
    (StatusCode::NO_CONTENT, text, None)
}

/// A password to be proved, or to be set.
fn present(name: &'static str) -> Rule {
    Rule::password(name, Space::Kept)
}

fn new(name: &'static str) -> Rule {
    Rule::new_password(name, Space::Kept)
}

/// `fields`, and `again` where the settings ask for it.
fn retyped(mut fields: Vec<Rule>, again: Rule, is_asked: bool) -> Vec<Rule> {
    fields.extend(is_asked.then_some(again));
    fields
}

/// Accounts, by those whose they are and by staff.
fn own(settings: &Accounts) -> Vec<(&'static str, Method, Operation)> {
    let show = |id, summary, refusals| Operation {
        id,
        summary,
        fields: None,
        good: shown::<Account<'_>>("The account."),
        refusals,
    };
    let change = |id, summary, refusals| Operation {
        id,
        summary,
        fields: Some(changeable(settings)),
        good: shown::<Account<'_>>("The account after the change."),
        refusals,
    };
    let remove = |id, summary, refusals| Operation {
        id,
        summary,
        fields: Some(vec![present("current_password")]),
        good: done("The account is gone, and all its tokens with it."),
        refusals,
    };
    let listed = Shape::list::<Account<'_>>();
    let root = shown::<Collections>("The collections.");
    let other: &[Refusal] = &[Forbidden, NotFound];
    vec![
        (
            "/",
            Method::GET,
            Operation {
                id: "listCollections",
                summary: "Says where accounts are listed",
                fields: None,
                good: root,
                refusals: &[],
            },
        ),
        (
            "/users/",
            Method::GET,
            Operation {
                id: "listUsers",
                summary: "Lists all accounts to staff, and to others their own",
                fields: None,
                good: (StatusCode::OK, "The accounts.", Some(listed)),
                refusals: &[Forbidden],
            },
        ),
        ("/users/", Method::POST, register(settings)),
        ("/users/me/", Method::GET, show("showMe", "Shows the caller's account", &[Forbidden])),
        (
            "/users/me/",
            Method::PUT,
            change("replaceMe", "Changes the caller's account", &[Forbidden]),
        ),
        (
            "/users/me/",
            Method::PATCH,
            change("changeMe", "Changes the caller's account", &[Forbidden]),
        ),
        (
            "/users/me/",
            Method::DELETE,
            remove("removeMe", "Removes the caller's account", &[Forbidden, Throttled]),
        ),
        ("/users/{id}/", Method::GET, show("showUser", "Shows an account", other)),
        ("/users/{id}/", Method::PUT, change("replaceUser", "Changes an account", other)),
        ("/users/{id}/", Method::PATCH, change("changeUser", "Changes an account", other)),
        (
            "/users/{id}/",
            Method::DELETE,
            remove("removeUser", "Removes an account", &[Forbidden, NotFound, Throttled]),
        ),
    ]
}

/// What the caller logs in with.
fn renewed(settings: &Accounts) -> Vec<(&'static str, Method, Operation)> {
    let username = retyped(
        vec![present("current_password"), Rule::new_username("new_username")],
        Rule::text("re_new_username"),
        settings.set_username_retype,
    );
    let password = retyped(
        vec![new("new_password"), present("current_password")],
        new("re_new_password"),
        settings.set_password_retype,
    );
    vec![
        (
            "/users/set_password/",
            Method::POST,
            Operation {
                id: "setPassword",
                summary: "Changes the caller's password",
                fields: Some(password),
                good: done("The password is changed."),
                refusals: &[Forbidden, Throttled],
            },
        ),
        (
            "/users/set_username/",
            Method::POST,
            Operation {
                id: "setUsername",
                summary: "Changes the caller's username",
                fields: Some(username),
                good: done("The username is changed."),
                refusals: &[Forbidden, Throttled],
            },
        ),
    ]
}

fn register(settings: &Accounts) -> Operation {
    let fields = vec![Rule::username(), first_email_rule(settings), new("password")];
    let created = "The account. It may log in, or must be activated first.";
    Operation {
        id: "register",
        summary: "Registers an account",
        fields: Some(retyped(fields, new("re_password"), settings.user_create_password_retype)),
        good: (StatusCode::CREATED, created, Some(Shape::of::<Account<'_>>())),
        refusals: match settings.registration {
            Registration::Open => &[Bare, Throttled],
            Registration::Closed => &[Bare, Throttled, Forbidden],
        },
    }
}

/// What may be changed of an account by the one whose it is.
fn changeable(settings: &Accounts) -> Vec<Rule> {
    let (by_email, fixed) = (settings.login_field == "email", settings.login_field_read_only);
    let mut fields = Vec::new();
    if !by_email && !fixed {
        fields.push(Rule::username().optional());
    }
    if !by_email || !fixed {
        fields.push(email_rule(settings).optional());
    }
    fields
}

/// What is asked for by mail, and what mailed links do.
fn mailed(settings: &Accounts) -> Vec<(&'static str, Method, Operation)> {
    let ask = |id, summary| Operation {
        id,
        summary,
        fields: Some(vec![Rule::email()]),
        good: done("A mail goes out if there is such an account; the answer does not tell."),
        refusals: &[Bare, Throttled],
    };
    let link = || vec![Rule::text("uid"), Rule::text("token")];
    let mut by_link = link();
    by_link.push(new("new_password"));
    let password = retyped(by_link, new("re_new_password"), settings.password_reset_confirm_retype);
    let mut by_link: Vec<_> = link().into_iter().map(|rule| rule.optional().or_blank()).collect();
    by_link.push(Rule::new_username("new_username"));
    let username =
        retyped(by_link, Rule::text("re_new_username"), settings.username_reset_confirm_retype);
    let mut again = ask("resendActivation", "Mails the activation link again");
    if !settings.send_activation_email {
        again.refusals = &[Bare, Silent, Throttled];
    }
    let post = |path, operation| (path, Method::POST, operation);
    vec![
        post(
            "/users/activation/",
            Operation {
                id: "activate",
                summary: "Activates an account at the word of a mailed link",
                fields: Some(link()),
                good: done("The account is active."),
                refusals: &[Forbidden],
            },
        ),
        post("/users/resend_activation/", again),
        post("/users/reset_password/", ask("resetPassword", "Mails a link to set a new password")),
        post(
            "/users/reset_password_confirm/",
            Operation {
                id: "confirmPasswordReset",
                summary: "Sets a new password at the word of a mailed link",
                fields: Some(password),
                good: done("The password is changed."),
                refusals: &[],
            },
        ),
        post("/users/reset_username/", ask("resetUsername", "Mails a link to set a new username")),
        post(
            "/users/reset_username_confirm/",
            Operation {
                id: "confirmUsernameReset",
                summary: "Sets a new username at the word of a mailed link",
                fields: Some(username),
                good: done("The username is changed."),
                refusals: &[],
            },
        ),
    ]
}

/// Where the caller is logged in.
fn logins() -> Vec<(&'static str, Method, Operation)> {
    let end = |id, summary, text, refusals| Operation {
        id,
        summary,
        fields: None,
        good: done(text),
        refusals,
    };
    let listed = Shape::list::<Login>();
    let missing: &[Refusal] = &[Forbidden, NotFound];
    vec![
        (
            "/users/me/logins/",
            Method::GET,
            Operation {
                id: "listLogins",
                summary: "Lists the caller's logins, the latest first",
                fields: None,
                good: (StatusCode::OK, "The logins that are alive.", Some(listed)),
                refusals: &[Forbidden],
            },
        ),
        (
            "/users/me/logins/",
            Method::DELETE,
            end(
                "endOtherLogins",
                "Ends all logins but the present one",
                "They ended.",
                &[Forbidden],
            ),
        ),
        (
            "/users/me/logins/{sid}/",
            Method::DELETE,
            end("endLogin", "Ends one login", "It ended.", missing),
        ),
        (
            "/users/me/logout_all/",
            Method::POST,
            end("logOutEverywhere", "Ends every login of the caller", "All ended.", &[Forbidden]),
        ),
    ]
}

/// Logging in and out.
fn tokens(settings: &Accounts) -> Vec<(&'static str, Method, Operation)> {
    let name = Rule::text(if settings.login_field == "email" { "email" } else { "username" });
    let post = |path, operation| (path, Method::POST, operation);
    let good = || shown::<Empty>("An empty object.");
    vec![
        post(
            "/token/login/",
            Operation {
                id: "logIn",
                summary: "Logs in for an opaque token",
                fields: Some(vec![name.optional(), present("password").optional()]),
                good: shown::<OpaqueToken<'_>>("The token."),
                refusals: &[Throttled],
            },
        ),
        post(
            "/token/logout/",
            Operation {
                id: "logOut",
                summary: "Ends the login whose token is sent",
                fields: None,
                good: done("It ended."),
                refusals: &[],
            },
        ),
        post(
            "/jwt/create/",
            Operation {
                id: "createTokens",
                summary: "Logs in for JWTs",
                fields: Some(vec![name, present("password")]),
                good: shown::<TokenPair<'_>>("A refresh and an access token."),
                refusals: &[Token, Throttled],
            },
        ),
        post(
            "/jwt/refresh/",
            Operation {
                id: "refreshTokens",
                summary: "Exchanges a refresh token for an access token",
                fields: Some(vec![Rule::text("refresh")]),
                good: shown::<FreshTokens<'_>>(
                    "An access token, and a refresh token if they rotate.",
                ),
                refusals: &[Token],
            },
        ),
        post(
            "/jwt/verify/",
            Operation {
                id: "verifyToken",
                summary: "Says whether a JWT is good",
                fields: Some(vec![Rule::text("token")]),
                good: good(),
                refusals: &[Token],
            },
        ),
        post(
            "/jwt/blacklist/",
            Operation {
                id: "blacklistToken",
                summary: "Ends a refresh token",
                fields: Some(vec![Rule::text("refresh")]),
                good: good(),
                refusals: &[Token],
            },
        ),
    ]
}

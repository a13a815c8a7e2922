//! `[accounts]`: djoser's settings, same names in lower case.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::values::Period;

/// Registration, profiles and passwords.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "djoser's settings are switches")]
pub struct Accounts {
    /// Who may register. Default `open`.
    pub registration: Registration,
    /// What users log in with: `username`, `email`, or `either` of them in the field
    /// `username`. Default `username`.
    pub login_field: String,
    /// (*) Whether a login name that nobody has as typed is tried in the form in which names are
    /// stored (Unicode NFKC). Default true; djoser: false.
    pub normalize_login: bool,
    /// What accounts are shown and looked up by: `id` or `username`. Default `id`.
    pub user_id_field: String,
    /// (*) Whether registration needs `re_password`. Default true; djoser: false.
    pub user_create_password_retype: bool,
    /// Whether `set_password` needs `re_new_password`. Default false.
    pub set_password_retype: bool,
    /// Whether `reset_password_confirm` needs `re_new_password`. Default false.
    pub password_reset_confirm_retype: bool,
    /// Whether `set_username` needs `re_new_username`. Default false.
    pub set_username_retype: bool,
    /// Whether `reset_username_confirm` needs `re_new_username`. Default false.
    pub username_reset_confirm_retype: bool,
    /// (*) Whether `users/me/` leaves the username alone. Default false; djoser: true.
    pub login_field_read_only: bool,
    /// (*) Whether a changed or reset password ends all logins. Default true; djoser: false.
    pub logout_on_password_change: bool,
    /// (*) Whether blanks around a password are dropped. Default false; djoser: true.
    pub trim_passwords: bool,
    /// (*) Whether two accounts may not share an e-mail address, in any case of letters.
    /// Default true; djoser: false.
    pub unique_email: bool,
    /// (*) Whether a wrong uid is answered as a wrong token. Default true; djoser: false.
    pub hide_unknown_uid: bool,
    /// (*) Whether the name of a deleted or renamed account is free again. Default false;
    /// djoser: true.
    pub reuse_usernames: bool,
    /// (*) From which similarity (0 to 1) a password is too close to the user's data.
    /// Default 0.75; Django: 0.7.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub password_similarity: f64,
    /// Whether other accounts are 404 to users who are not staff. Default true.
    pub hide_users: bool,
    /// Whether accounts begin inactive until a mailed link is used; also after a change of
    /// e-mail. Registration then needs an address. Default false.
    pub send_activation_email: bool,
    /// Whether a mail follows registration or activation. Default false.
    pub send_confirmation_email: bool,
    /// Whether a mail follows a change of password. Default false.
    pub password_changed_email_confirmation: bool,
    /// Whether a mail follows a change of username. Default false.
    pub username_changed_email_confirmation: bool,
    /// Whether a mail asked for an unknown address is 400 instead of 204. Default false.
    pub password_reset_show_email_not_found: bool,
    /// The same; either one switches all. Default false.
    pub username_reset_show_email_not_found: bool,
    /// Path of the link in reset mails, with `{uid}` and `{token}`.
    pub password_reset_confirm_url: String,
    /// Path of the link in username reset mails.
    pub username_reset_confirm_url: String,
    /// Path of the link in activation mails.
    pub activation_url: String,
    /// How long mailed links are good: Django's `PASSWORD_RESET_TIMEOUT`. Default 3d.
    pub password_reset_timeout: Period,
    /// Base of mailed links, as `https://app.example.com`. Empty: from the next three, or the
    /// request's host if `server.allowed_hosts` lets it.
    pub site_url: String,
    /// Host (and port) of mailed links where `site_url` is empty.
    pub email_frontend_domain: String,
    /// `http` or `https`, for mailed links where `site_url` is empty.
    pub email_frontend_protocol: String,
    /// What mails call the site; empty: its host.
    pub email_frontend_site_name: String,
    /// Whether mailed links lead to small pages of the gateway's own. Default false.
    pub pages: bool,
    /// What a password hash costs.
    pub argon2: Argon2,
}

impl Default for Accounts {
    fn default() -> Self {
        Self {
            registration: Registration::Open,
            login_field: "username".to_owned(),
            normalize_login: true,
            user_id_field: "id".to_owned(),
            user_create_password_retype: true,
            set_password_retype: false,
            password_reset_confirm_retype: false,
            set_username_retype: false,
            username_reset_confirm_retype: false,
            login_field_read_only: false,
            logout_on_password_change: true,
            trim_passwords: false,
            unique_email: true,
            hide_unknown_uid: true,
            reuse_usernames: false,
            password_similarity: 0.75,
            hide_users: true,
            send_activation_email: false,
            send_confirmation_email: false,
            password_changed_email_confirmation: false,
            username_changed_email_confirmation: false,
            password_reset_show_email_not_found: false,
            username_reset_show_email_not_found: false,
            password_reset_confirm_url: "#/password/reset/confirm/{uid}/{token}".to_owned(),
            username_reset_confirm_url: "#/username/reset/confirm/{uid}/{token}".to_owned(),
            activation_url: "#/activate/{uid}/{token}".to_owned(),
            password_reset_timeout: Period::days(3),
            site_url: String::new(),
            email_frontend_domain: String::new(),
            email_frontend_protocol: String::new(),
            email_frontend_site_name: String::new(),
            pages: false,
            argon2: Argon2::default(),
        }
    }
}

/// Who may register.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Everybody.
    #[default]
    Open,
    /// Nobody: accounts are made from the shell.
    Closed,
}

/// What a password hash costs (argon2id).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Argon2 {
    /// Memory in KiB. Default 19456.
    pub memory_kib: u32,
    /// Passes over it. Default 2.
    pub iterations: u32,
    /// Lanes. Default 1.
    pub parallelism: u32,
}

impl Default for Argon2 {
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2, parallelism: 1 }
    }
}

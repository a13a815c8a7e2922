//! `[[routes]]`, `[identity_headers]`, `[cors]`: what goes where, and with what.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::forms;
use crate::config::values::Period;

/// What back ends are told about the user. Each name can be set by itself and wins over the
/// preset's; after loading, the fields hold the names that count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct IdentityHeaders {
    /// A family of names. Default `x-forwarded`.
    pub preset: Preset,
    /// Header with the username; empty: not sent.
    pub user: String,
    /// Header with the user's number; empty: not sent.
    pub user_id: String,
    /// Header with the e-mail address; empty: not sent.
    pub email: String,
    /// Whether addresses that nobody verified are sent too. Default false.
    pub unverified_email: bool,
    /// Header with the groups, separated by commas; empty: not sent.
    pub groups: String,
    /// Header with a short-lived signed JWT about the user; empty: not sent.
    pub assertion: String,
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        let [user, user_id, email, groups] = Preset::default().names().map(str::to_owned);
        let (preset, assertion) = (Preset::default(), String::new());
        Self { preset, user, user_id, email, unverified_email: false, groups, assertion }
    }
}

/// A family of header names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// `X-Forwarded-User` and so on, as oauth2-proxy sends them.
    #[default]
    XForwarded,
    /// `Remote-User` and so on, as Authelia sends them.
    Remote,
    /// `X-Auth-Request-User` and so on.
    XAuthRequest,
    /// Only names that are written out.
    None,
}

impl Preset {
    /// The names for the username, the number, the e-mail address and the groups.
    #[must_use]
    pub const fn names(self) -> [&'static str; 4] {
        match self {
            Self::XForwarded => [
                "X-Forwarded-User",
                "X-Forwarded-User-Id",
                "X-Forwarded-Email",
                "X-Forwarded-Groups",
            ],
            Self::Remote => ["Remote-User", "Remote-User-Id", "Remote-Email", "Remote-Groups"],
            Self::XAuthRequest => [
                "X-Auth-Request-User",
                "X-Auth-Request-User-Id",
                "X-Auth-Request-Email",
                "X-Auth-Request-Groups",
            ],
            Self::None => [""; 4],
        }
    }
}

/// Browsers on other origins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Cors {
    /// Origins (`https://app.example.com`) that may call the API and read the gate's
    /// refusals, or `*`. Default: none.
    pub allowed_origins: Vec<String>,
}

/// What may go where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["path"]))]
pub struct Route {
    /// Prefix of the path, matched on segment borders.
    pub path: String,
    /// Host or hosts in lower case; none: any.
    #[serde(rename = "host", with = "forms::one_or_many")]
    #[schemars(schema_with = "forms::one_or_many::schema")]
    pub hosts: Vec<String>,
    /// Methods; none: any.
    pub methods: Vec<String>,
    /// Who may pass. Default `authenticated`.
    pub access: Access,
    /// Whether what is decided is also done. Default `enforce`.
    pub mode: Mode,
    /// Which credentials count here: `bearer` (tokens), `basic` (a name with a password or a
    /// token, RFC 7617). Default `["bearer"]`.
    pub credentials: Vec<Scheme>,
    /// Groups of which the user must have one; none: any.
    pub groups: Vec<String>,
    /// Name of the upstream. Only `deny` does without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<String>,
    /// Whether the upstream gets the checked credential. Default false.
    pub forward_credential: bool,
    /// Start of the path that the upstream does not see; it gets `X-Forwarded-Prefix`. Default:
    /// none.
    pub strip_prefix: String,
    /// Bytes of a body here; 0: no limit. Default `limits.body_bytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<u64>,
    /// How long the upstream may pause here. Default `limits.upstream_read_timeout`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream_read_timeout: Option<Period>,
    /// Request headers that the upstream gets in place of the client's, as `Name: value`.
    pub set_request_headers: Vec<String>,
    /// Request headers that the upstream does not get.
    pub remove_request_headers: Vec<String>,
    /// Headers that the client gets in place of the upstream's, as `Name: value`.
    pub set_response_headers: Vec<String>,
    /// Headers of the upstream's answer that the client does not get.
    pub remove_response_headers: Vec<String>,
    /// Where it was written, for `explain` and faults: `portcullis.toml:12:1`.
    #[serde(skip)]
    pub origin: String,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            path: String::new(),
            hosts: Vec::new(),
            methods: Vec::new(),
            access: Access::default(),
            mode: Mode::default(),
            credentials: vec![Scheme::Bearer],
            groups: Vec::new(),
            upstream: None,
            forward_credential: false,
            strip_prefix: String::new(),
            body_bytes: None,
            upstream_read_timeout: None,
            set_request_headers: Vec::new(),
            remove_request_headers: Vec::new(),
            set_response_headers: Vec::new(),
            remove_response_headers: Vec::new(),
            origin: String::new(),
        }
    }
}

/// A kind of credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// A token after `Bearer` or `Token`.
    Bearer,
    /// A name with a password or a token after `Basic`.
    Basic,
}

/// Whether what is decided is also done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is.
    #[default]
    Enforce,
    /// Everybody passes; what would have been refused is logged and counted.
    Observe,
}

/// Who may pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Everybody, and credentials are not looked at.
    Anonymous,
    /// Everybody, but a bad credential is 401.
    Optional,
    /// Users.
    #[default]
    Authenticated,
    /// Staff.
    Staff,
    /// Superusers.
    Superuser,
    /// Nobody.
    Deny,
}

//! Files, variables, defaults: which of them wins.

use super::*;

#[test]
fn nothing_written_is_the_defaults() {
    assert_eq!(Written::nothing().settings(), Settings::default());
    assert_eq!(toml("").settings(), Settings::default());
}

#[test]
fn the_environment_wins_over_files_and_later_files_over_earlier_ones() {
    let written = Written::nothing()
        .file("a.toml", "[server]\nthreads = 1\nauth_prefix = '/a'\nlisten = ['127.0.0.1:1']\n")
        .file("b.yaml", "server:\n  threads: 2\n  listen: ['127.0.0.1:2', '127.0.0.1:3']\n")
        .variable("PORTCULLIS__SERVER__THREADS", "3")
        .variable("PORTCULLIS_SERVER_THREADS", "4")
        .variable("PORTCULLIS_SERVER__THREADS", "5");
    let server = written.settings().server;
    assert_eq!(server.threads, 3);
    assert_eq!(server.auth_prefix, "/a");
    assert_eq!(server.listen, ["127.0.0.1:2", "127.0.0.1:3"].map(|text| text.parse().unwrap()));
}

#[test]
fn yaml_says_the_same_as_toml() {
    let yaml = Written::nothing().file(
        "p.yml",
        "server:\n  threads: 2\nmail:\ntokens:\n  opaque: {idle_timeout: 7d}\nupstreams:\n  - name: app\n    \
         servers: ['app:80']\nroutes:\n  - path: /\n    host: App.Example\n    upstream: app\n",
    );
    let toml = toml(
        "[server]\nthreads = 2\n[tokens.opaque]\nidle_timeout = '7d'\n[[upstreams]]\nname = 'app'\n\
         servers = ['app:80']\n[[routes]]\npath = '/'\nhost = ['app.example']\nupstream = 'app'\n",
    );
    let (mut yaml, mut toml) = (yaml.settings(), toml.settings());
    assert!(yaml.routes[0].origin.ends_with("p.yml:10:5"), "{}", yaml.routes[0].origin);
    assert!(toml.routes[0].origin.ends_with("p.toml:8:1"), "{}", toml.routes[0].origin);
    yaml.routes[0].origin.clear();
    toml.routes[0].origin.clear();
    assert_eq!(yaml, toml);
    assert_eq!(yaml.tokens.opaque.idle_timeout, Lifetime::For(*Period::days(7)));
}

#[test]
fn json_is_read_as_well() {
    let written = Written::nothing().file("p.json", r#"{"server": {"threads": 2}}"#);
    assert_eq!(written.settings().server.threads, 2);
}

#[test]
fn djosers_defaults_lie_beneath_what_is_written_out() {
    let written = toml(&format!(
        "compatibility = 'djoser'\ntokens.jwt.signing_key = '{LONG}'\n[accounts]\nunique_email = true\n"
    ));
    let settings = written.settings();
    assert_eq!(settings.tokens.jwt.algorithm, "HS256");
    assert_eq!(settings.tokens.jwt.extra_claims, [""; 0]);
    assert!(!settings.tokens.jwt.strict_revocation);
    assert_eq!(settings.tokens.opaque.scope, OpaqueScope::User);
    assert_eq!(settings.tokens.opaque.idle_timeout, Lifetime::Never);
    let accounts = Accounts {
        normalize_login: false,
        user_create_password_retype: false,
        login_field_read_only: true,
        logout_on_password_change: false,
        trim_passwords: true,
        unique_email: true,
        hide_unknown_uid: false,
        reuse_usernames: true,
        password_similarity: 0.7,
        ..Accounts::default()
    };
    assert_eq!(settings.accounts, accounts);
    assert_eq!(settings.limits, Limits::default());
}

#[test]
fn compatibility_is_taken_from_wherever_it_was_set_last() {
    let written = toml("compatibility = 'portcullis'\n")
        .variable("PORTCULLIS__COMPATIBILITY", "djoser")
        .variable("PORTCULLIS__TOKENS__JWT__ALGORITHM", "ES256");
    assert_eq!(written.settings().tokens.opaque.scope, OpaqueScope::User);

    let written = toml("compatibility = 'djoser'\n");
    assert_eq!(
        written.faults(),
        [
            "compatibility = \"djoser\": tokens.jwt.signing_key: HS256 needs a secret of 32 bytes or more"
        ]
    );
    let written = written.variable("PORTCULLIS__COMPATIBILITY", "portcullis");
    let expected = Settings::default();
    assert_eq!(written.settings(), expected);
}

#[test]
fn a_name_that_is_written_out_wins_over_the_preset() {
    let names = |text: &str| {
        let headers = toml(&format!("[identity_headers]\n{text}")).settings().identity_headers;
        [headers.user, headers.user_id, headers.email, headers.groups]
    };
    assert_eq!(names("preset = 'x-forwarded'"), Preset::XForwarded.names());
    assert_eq!(names("preset = 'x-auth-request'"), Preset::XAuthRequest.names());
    assert_eq!(
        names("preset = 'remote'\nuser = 'X-User'\nemail = ''"),
        ["X-User", "Remote-User-Id", "", "Remote-Groups"]
    );
    assert_eq!(names("preset = 'none'\nuser = 'X-User'"), ["X-User", "", "", ""]);
    assert_eq!(
        names("groups = ''"),
        ["X-Forwarded-User", "X-Forwarded-User-Id", "X-Forwarded-Email", ""]
    );
}

#[test]
fn secrets_come_from_files_of_their_own() {
    let written = toml("secret_key = 'not this one'\n").extra("key", &format!("{LONG}\n"));
    let key = written.path("key");
    let trusted = format!(
        "[[tokens.jwt.trusted]]\nname = 'django'\nalgorithm = 'HS256'\nsecret_file = '{key}'\n\
         [database]\nurl_file = '{}'\n",
        written.path("url")
    );
    let written = written
        .extra("url", "postgres://u:hunter2@h/d\r\n")
        .file("q.toml", &trusted)
        .variable("PORTCULLIS__SECRET_KEY_FILE", &key)
        .variable("PORTCULLIS__TOKENS__JWT__SIGNING_KEY_FILE", &key);
    let settings = written.settings();
    assert_eq!(settings.secret_key.expose(), LONG);
    assert_eq!(settings.database.url.expose(), "postgres://u:hunter2@h/d");
    assert_eq!(settings.tokens.jwt.signing_key.expose(), LONG);
    assert_eq!(settings.tokens.jwt.trusted[0].secret.expose(), LONG);
}

#[test]
fn what_platforms_set_for_opentelemetry_lies_beneath_what_is_written_for_us() {
    let written = toml("[traces]\nservice_name = 'edge'\n")
        .variable("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
        .variable("OTEL_SERVICE_NAME", "theirs")
        .variable("OTEL_TRACES_SAMPLER", "traceidratio")
        .variable("OTEL_TRACES_SAMPLER_ARG", "0.5")
        .variable("PORTCULLIS__TRACES__SAMPLE_RATIO", "0.25");
    let traces = written.settings().traces;
    assert_eq!(traces.endpoint, "http://collector:4318/v1/traces");
    assert_eq!((traces.service_name.as_str(), traces.sample_ratio), ("edge", 0.25));
    assert!(traces.is_on() && !traces.parent_based);

    let off = toml("[traces]\nendpoint = 'http://127.0.0.1:4318'\n");
    assert!(off.settings().traces.is_on());
    assert!(!off.variable("OTEL_SDK_DISABLED", "true").settings().traces.is_on());
}

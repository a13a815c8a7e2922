//! What is wrong, told all at once, each with its place and remedy.

use super::*;

#[test]
fn a_form_that_no_log_has_is_refused() {
    assert_eq!(
        toml("[server]\nlog_format = \"xml\"\n").faults(),
        ["p.toml:2:1: server.log_format: the value is none of json, ecs, combined"]
    );
}

#[test]
fn an_audit_log_that_goes_nowhere_good_is_refused() {
    assert_eq!(
        toml("[server]\naudit_log = \"file:audit.log\"\n").faults(),
        ["p.toml:2:1: server.audit_log: `file:audit.log` is no place for the audit log"]
    );
}

#[test]
fn an_audit_log_that_is_gone_at_once_is_refused() {
    assert_eq!(
        toml("[server]\naudit_retention = \"59m\"\n").faults(),
        ["p.toml:2:1: server.audit_retention: entries would be gone before anybody can read them"]
    );
    assert!(toml("[server]\naudit_retention = \"1h\"\n").load().is_ok());
    assert!(toml("[server]\naudit_retention = \"never\"\n").load().is_ok());
}

#[test]
fn one_file_with_many_faults_yields_all_of_them_with_their_lines() {
    let written = toml(
        r#"secret_key = "hunter2"
acounts = 1

[server]
listen = ["127.0.0.1:8000", "localhost:80", "nowhere"]
treads = 4
threads = "many"
auth_prefix = "auth"

[database]
pool = "sesion"
migrate = 1

[tokens.jwt]
algorithm = "none"
access_lifetime = 300
refresh_lifetime = "1 fortnight"

[accounts]
serializers = { user = "x" }
password_similarity = 2
argon2 = { memory_kib = 5000000000 }

[identity_headers]
user = "Host"

[[upstreams]]
name = "app"
servers = ["127.0.0.1:3000", "127.0.0.1"]

[[routes]]
access = "anonymous"
upstream = "app"

[[routes]]
path = "/a/../b"
access = "everybody"
upstream = "ap"

[limits]
login_per_account = "10"
exempt = ["10.0.0.0/8", 7, "10.0.0.0/99"]
"#,
    );
    assert_eq!(
        written.faults(),
        [
            "p.toml:1:1: secret_key: it is shorter than 32 bytes",
            "p.toml:2:1: acounts: unknown key",
            "p.toml:5:29: server.listen: `localhost:80` is not an address with a port",
            "p.toml:5:45: server.listen: `nowhere` is not an address with a port",
            "p.toml:6:1: server.treads: unknown key",
            "p.toml:7:1: server.threads: a whole number is expected here, not a text",
            "p.toml:8:1: server.auth_prefix: `auth` does not begin with a slash",
            "p.toml:11:1: database.pool: the value is none of session, transaction",
            "p.toml:12:1: database.migrate: true or false is expected here, not a whole number",
            "p.toml:15:1: tokens.jwt.algorithm: `none` is no algorithm for tokens",
            "p.toml:16:1: tokens.jwt.access_lifetime: a text is expected here, not a whole number",
            "p.toml:17:1: tokens.jwt.refresh_lifetime: `1 fortnight` is not a length of time",
            "p.toml:20:1: accounts.serializers: this setting does not exist here",
            "p.toml:21:1: accounts.password_similarity: is not from 0 to 1",
            "p.toml:22:12: accounts.argon2.memory_kib: 5000000000 is out of range",
            "p.toml:25:1: identity_headers.user: `Host` means something else in every request",
            "p.toml:29:30: upstreams[0].servers: `127.0.0.1` is not a server: no port from 1 to 65535",
            "p.toml:31:1: routes[0].path: is missing",
            "p.toml:36:1: routes[1].path: `/a/../b` has a dot segment",
            "p.toml:37:1: routes[1].access: the value is none of anonymous, optional, authenticated, staff, superuser, deny",
            "p.toml:38:1: routes[1].upstream: there is no upstream `ap`",
            "p.toml:41:1: limits.login_per_account: `10` is not a rate",
            "p.toml:42:25: limits.exempt: a text is expected here, not a whole number",
            "p.toml:42:28: limits.exempt: `10.0.0.0/99` is not a network",
        ]
    );
}

#[test]
fn every_fault_has_a_remedy() {
    let faults = toml("[server]\ntreads = 4\nlisten = 5\n[tokens.jwt]\naccess_lifetime = 300\n")
        .load()
        .unwrap_err();
    let remedies: Vec<_> = faults.0.iter().map(|fault| fault.remedy.as_str()).collect();
    assert_eq!(
        remedies,
        [
            "did you mean `server.threads`?",
            "write it in brackets: [\"…\", \"…\"]",
            "write it in quotes, such as \"50ms\"",
        ]
    );
}

#[test]
fn an_unknown_key_is_told_where_it_belongs() {
    let remedy = |text: &str| toml(text).load().unwrap_err().0.remove(0).remedy;
    assert_eq!(remedy("[accounts]\nLOGIN_FIELD = 'x'"), "did you mean `accounts.login_field`?");
    assert_eq!(
        remedy("[accounts]\nrotate_refresh_tokens = true"),
        "did you mean `tokens.jwt.rotate_refresh_tokens`?"
    );
    assert_eq!(remedy("[sever]\nx = 1"), "did you mean `server`?");
    assert_eq!(remedy("secret_key_fiel = 'x'"), "did you mean `secret_key_file`?");
    assert_eq!(remedy("[server]\nqqq = 1"), "`portcullis config example` shows every key there is");
    assert_eq!(
        remedy("'server.listen' = []"),
        "`portcullis config example` shows every key there is"
    );
}

#[test]
fn a_misspelt_variable_is_a_fault() {
    let written = Written::nothing()
        .variable("PORTCULLIS__SERVER__TREADS", "hunter2")
        .variable("PORTCULLIS__SECRET__KEY", "hunter2")
        .variable("PORTCULLIS__ROUTES__0__PATH", "/");
    let faults = written.load().unwrap_err();
    assert!(!faults.to_string().contains("hunter2"));
    let told: Vec<_> =
        faults.0.iter().map(|fault| (fault.key.as_str(), fault.remedy.as_str())).collect();
    assert_eq!(
        told,
        [
            ("routes", "write the list as a whole: PORTCULLIS__ROUTES='[…]'"),
            ("secret", "`portcullis config example` shows every key there is"),
            ("server.treads", "did you mean PORTCULLIS__SERVER__THREADS?"),
        ]
    );
}

#[test]
fn faults_in_yaml_have_lines_too() {
    let written = Written::nothing().file(
        "p.yaml",
        "server:\n  threads: many\n  treads: 1\nroutes:\n  - path: x\n    access: deny\n  - 5\nsecret_key: 12\n",
    );
    assert_eq!(
        written.faults(),
        [
            "p.yaml:2:3: server.threads: a whole number is expected here, not a text",
            "p.yaml:3:3: server.treads: unknown key",
            "p.yaml:5:5: routes[0].path: `x` does not begin with a slash",
            "p.yaml:7:5: routes[1]: a table is expected here, not a whole number",
            "p.yaml:8:1: secret_key: a text is expected here, not a whole number",
        ]
    );
}

#[test]
fn a_file_that_cannot_be_read_is_a_fault_beside_those_of_others() {
    let mut written = toml("[server]\ntreads = 1\n")
        .file("q.toml", "a = \nb = 1\n[c\n")
        .file("r.conf", "")
        .file("s.toml", "database.url = 'postgres://h/d'");
    written.files.push(written.folder.path().join("missing.toml"));
    let faults = written.faults();
    assert_eq!(faults.len(), 5, "{faults:#?}");
    assert_eq!(faults[0], "p.toml:2:1: server.treads: unknown key");
    assert!(faults[1].starts_with("q.toml:1:5: "), "{}", faults[1]);
    assert!(faults[2].starts_with("q.toml:3:"), "{}", faults[2]);
    assert_eq!(faults[3], "r.conf: the file's ending does not tell its format");
    assert!(faults[4].starts_with("missing.toml: the file cannot be read: "), "{}", faults[4]);
}

#[test]
fn a_secret_given_twice_or_not_readable_is_a_fault_at_its_file_key() {
    let written = toml("").extra("key", LONG);
    let text = format!(
        "secret_key = '{LONG}'\nsecret_key_file = '{}'\n[database]\nurl_file = '/does/not/exist'\n\
         [redis]\nurl_file = 5\n",
        written.path("key")
    );
    let faults = written.file("p.toml", &text).faults();
    // The first file of that name was written over: both are read.
    assert_eq!(faults.len(), 3, "{faults:#?}");
    assert_eq!(faults[0], "p.toml:2:1: secret_key_file: `secret_key` is set as well");
    assert!(
        faults[1].starts_with(
            "p.toml:4:1: database.url_file: the file /does/not/exist cannot be read: "
        )
    );
    assert_eq!(faults[2], "p.toml:6:1: redis.url_file: a path is expected here");
}

#[test]
fn no_fault_or_debug_shows_a_secret() {
    let written = toml(
        "secret_key = 'hunter2'\n[database]\nurl = 'mysql://u:hunter2@h'\ndirect_url = ['hunter2']\n\
         [redis]\nurl = 'hunter2'\n[mail]\nurl = 'smtp://u:hunter2@'\nurll = 'hunter2'\n\
         [tokens.jwt]\nalgorithm = 'HS256'\nsigning_key = 'hunter2'\n\
         [[tokens.jwt.trusted]]\nname = 'a'\nalgorithm = 'RS256'\nsecret = 'hunter2'\n\
         [[upstreams]]\nname = 'app'\nservers = ['http://u:hunter2@app']\n",
    )
    .variable("PORTCULLIS__SECRET_KEEY", "hunter2")
    .variable("PORTCULLIS__DATABASE__MIGRATE", "hunter2");
    let faults = written.load().unwrap_err();
    assert_eq!(faults.0.len(), 11, "{faults}");
    assert!(!format!("{faults} {faults:?}").contains("hunter2"), "{faults}");

    let written = toml(&format!("secret_key = '{LONG}'\nredis.url = 'redis://:hunter2{LONG}@h'"));
    let loaded = written.load().unwrap();
    assert!(!format!("{loaded:?}").contains(LONG));
}

#[test]
fn what_is_missing_is_told_at_what_asks_for_it() {
    let faults = toml("[database]\nurl = 'postgres://h/d'\n").faults();
    assert_eq!(faults, ["p.toml:2:1: secret_key: it is required with PostgreSQL"]);
}

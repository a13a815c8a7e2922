//! Every setting, the schema, and text that nobody meant as a configuration.

use proptest::prelude::*;

use super::*;

#[test]
fn a_settings_that_follows_from_others_is_filled_in() {
    let site = |text: &str| toml(&format!("[accounts]\n{text}")).settings().accounts.site_url;
    let frontend = "email_frontend_domain = 'app.example'\nemail_frontend_protocol = 'https'\n";
    assert_eq!(site(frontend), "https://app.example");
    assert_eq!(site(&format!("{frontend}site_url = 'https://b.example'")), "https://b.example");
    assert_eq!(site("email_frontend_domain = 'app.example'"), "");
}

#[test]
fn every_setting_of_djoser_and_simplejwt_is_read_or_refused() {
    // API.md section 8, in lower case.
    let written = toml(&format!(
        "[accounts]\nlogin_field = 'email'\nuser_id_field = 'username'\n\
         password_reset_confirm_url = 'p/{{uid}}/{{token}}'\nusername_reset_confirm_url = 'u/{{uid}}/{{token}}'\n\
         activation_url = 'a/{{uid}}/{{token}}'\nuser_create_password_retype = true\nset_password_retype = true\n\
         password_reset_confirm_retype = true\nset_username_retype = true\nusername_reset_confirm_retype = true\n\
         send_activation_email = true\nsend_confirmation_email = true\npassword_changed_email_confirmation = true\n\
         username_changed_email_confirmation = true\npassword_reset_show_email_not_found = true\n\
         username_reset_show_email_not_found = true\nlogout_on_password_change = true\nhide_users = false\n\
         email_frontend_domain = 'a.example'\nemail_frontend_protocol = 'https'\nemail_frontend_site_name = 'A'\n\
         password_reset_timeout = '1d'\n\
         [tokens.jwt]\naccess_lifetime = '1m'\nrefresh_lifetime = '2d'\nrotate_refresh_tokens = true\n\
         blacklist_after_rotation = true\nupdate_last_login = true\nalgorithm = 'HS512'\nsigning_key = '{LONG}'\n\
         verifying_key = 'x'\naudience = ['a']\nissuer = 'i'\njwk_url = 'https://a.example'\nleeway = '5s'\n\
         auth_header_types = ['JWT']\nuser_id_field = 'username'\nuser_id_claim = 'sub'\ntoken_type_claim = 'typ'\n\
         jti_claim = 'id'\ncheck_revoke_token = true\ncheck_user_is_active = false\n"
    ));
    let loaded = written.load().unwrap_or_else(|faults| panic!("{faults}"));
    let warned: Vec<_> = loaded.warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(
        warned,
        ["tokens.jwt.user_id_field", "tokens.jwt.verifying_key", "tokens.jwt.jwk_url",]
    );

    let refused = toml(
        "[accounts]\ntoken_model = 'x'\ncreate_session_on_login = false\npermissions = {}\nserializers = {}\n\
         email = {}\nsocial_auth_token_strategy = 'x'\nwebauthn = {}\n\
         [tokens.jwt]\naccess_token_lifetime = '5m'\nrefresh_token_lifetime = '1d'\n",
    );
    let faults = refused.faults();
    assert_eq!(faults.len(), 9);
    assert!(faults.iter().all(|fault| fault.ends_with(": this setting does not exist here")));
}

#[test]
fn the_schema_is_json_and_says_what_is_required() {
    let schema: serde_json::Value = serde_json::from_str(&schema()).unwrap();
    assert_eq!(schema["$defs"]["Route"]["required"], serde_json::json!(["path"]));
    assert_eq!(schema["$defs"]["Route"]["additionalProperties"], false);
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["secret_key"]["default"], "");
    assert_eq!(schema["properties"]["secret_key_file"]["type"], "string");
    assert_eq!(schema["$defs"]["Limits"]["properties"]["head_bytes"]["default"], 32_768);
}

/// The example with all its keys, the value of one of them changed.
fn damaged() -> impl Strategy<Value = String> {
    let lines: Vec<String> = example::uncommented()
        .lines()
        .filter(|line| !line.starts_with('#') && line.contains(" = "))
        .map(str::to_owned)
        .collect();
    let all = example::uncommented();
    let value = prop_oneof![
        "[ -~]{0,12}",
        Just("[[[]]]".to_owned()),
        Just("-1".to_owned()),
        Just("[{}, 1, '']".to_owned()),
        Just("{ a = 1 }".to_owned()),
        Just("'\u{0}ü%2f'".to_owned()),
    ];
    (0..lines.len(), value).prop_map(move |(damaged, value)| {
        let line = &lines[damaged];
        let key = line.split(" = ").next().unwrap_or_default();
        all.replacen(&format!("\n{line}\n"), &format!("\n{key} = {value}\n"), 1)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// And every fault is placed: one without a place would be a schema that serde disagrees with.
    #[test]
    fn whatever_is_written_is_good_or_a_fault_with_a_place(text in damaged()) {
        if let Err(faults) = toml(&text).load() {
            for fault in faults.0 {
                prop_assert!(!fault.place.is_empty(), "{fault}");
            }
        }
    }

    #[test]
    fn no_text_at_all_makes_a_reader_panic(text in "(?s).{0,80}", key in "[A-Z_]{0,12}") {
        let _ = toml(&text).file("q.yaml", &text).variable(&format!("PORTCULLIS__{key}"), &text).load();
    }
}

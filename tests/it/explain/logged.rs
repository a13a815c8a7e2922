//! A request that was made, by its id.

use portcullis::config::LogFormat;

use super::{Desk, Told};

async fn told(desk: &Desk, form: LogFormat) -> (String, Told) {
    desk.subject.register("ada").await;
    let token = desk.subject.opaque("ada").await;
    let answer = desk.subject.get_as("/managers/x?secret=1", &token).await;
    assert_eq!(answer.status, 403);
    let id = answer.header("x-request-id").unwrap().to_owned();
    let wanted = if form == LogFormat::Combined { "/managers/x" } else { &id };
    desk.subject.logged(&[wanted]).await;
    let log = desk.subject.folder.path().join("requests.log");
    std::fs::write(&log, desk.subject.log()).unwrap();
    let told = desk.explain(&["--request", &id, "--log", log.to_str().unwrap()], "").await;
    (id, told)
}

async fn in_form(form: LogFormat) -> (Desk, String, Told) {
    let desk = Desk::with("", |settings| settings.server.log_format = form).await;
    let (id, told) = told(&desk, form).await;
    (desk, id, told)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_told_from_its_line_in_either_form_with_json() {
    for form in [LogFormat::Json, LogFormat::Ecs] {
        let (desk, id, told) = in_form(form).await;
        let (time, at) = (told.line("time")[0], desk.at("/managers/"));
        let expected = format!(
            "\
Refused with 403 Forbidden; forbidden: the user was known, but the rule did not let him through

request     GET /managers/x
            id {id}, from 127.0.0.1
time        {time}
route       /managers/ ({at})
            access = \"authenticated\", credentials = [\"bearer\"], groups = [\"managers\"]
credential  opaque, found in the database
user        ada (1)
decision    deny
"
        );
        assert_eq!((told.code, &told.out, &*told.errors), (1, &expected, ""));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_form_combined_is_named_as_what_is_missing() {
    let (_desk, _, told) = in_form(LogFormat::Combined).await;
    assert_eq!((told.code, &*told.out), (2, ""));
    assert!(told.errors.contains("set server.log_format"), "{}", told.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_can_come_from_standard_input_and_may_not_have_the_request() {
    let desk = Desk::open().await;
    let line = r#"{"http.request.id":"00ff","http.request.method":"GET","url.path":"/gone/","portcullis.route":"/gone/","portcullis.decision":"allow","portcullis.reason":"anonymous","portcullis.credential":"none","http.response.status_code":200,"event.duration":1500000,"@timestamp":"2023-11-14T22:13:20Z"}"#;
    let told = desk.explain(&["--request", "00ff", "--log", "-"], line).await;
    assert_eq!(told.code, 0, "{told:?}");
    assert_eq!(
        told.line("route"),
        ["none", "/gone/, which the present configuration does not have"]
    );
    let told = desk.explain(&["--request", "ff00", "--log", "-", "--json"], line).await;
    assert_eq!((told.code, &*told.out), (2, ""));
    assert!(told.errors.contains("no line of the log is about the request ff00"));
}

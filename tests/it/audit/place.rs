//! An empty database, a file for the lines, and what both hold in the end.

use std::path::PathBuf;
use std::time::Duration;

use portcullis::config::{AuditTarget, SecretText, Settings};
use portcullis::model::Deed;
use portcullis::store::{DatabaseOptions, DeedFilter, Store};
use portcullis::telemetry::audit_line;
use serde_json::Value;
use tempfile::TempDir;

use crate::servers::PostgresDatabase;
use crate::subject::Subject;

pub(super) struct Place {
    url: String,
    folder: TempDir,
}

pub(super) async fn on_sqlite(test: impl AsyncFn(&Place)) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("portcullis.db").display());
    Box::pin(test(&Place { url, folder })).await;
}

pub(super) async fn on_postgres(test: impl AsyncFn(&Place)) {
    let database = PostgresDatabase::create().await;
    let folder = tempfile::tempdir().unwrap();
    Box::pin(test(&Place { url: database.url(), folder })).await;
    database.remove().await;
}

impl Place {
    /// A gateway that tells everything, in lines and in the table.
    pub(super) async fn gateway(&self, change: impl FnOnce(&mut Settings)) -> Subject {
        Subject::with(|settings| {
            self.point(settings);
            change(settings);
        })
        .await
    }

    /// The same settings for a command.
    pub(super) fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        self.point(&mut settings);
        settings
    }

    fn point(&self, settings: &mut Settings) {
        settings.secret_key = SecretText::from("a secret of this installation, long enough");
        settings.database.url = SecretText::from(&*self.url);
        settings.server.audit_log = AuditTarget::File(self.lines_file());
        settings.server.audit_table = true;
    }

    fn lines_file(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The database, whose handle keeps the table.
    pub(super) async fn store(&self) -> Store {
        let (url, direct_url) = (self.url.clone(), String::new());
        let store = Store::open(&DatabaseOptions { url, direct_url, pooler: false }).await.unwrap();
        store.migrate().await.unwrap();
        store.with_audit_log(true)
    }

    /// What was told, line by line: the table holds the very same.
    pub(super) async fn told(&self) -> Vec<Value> {
        let store = self.store().await;
        let mut kept: Vec<_> = deeds(&store).await.iter().map(audit_line).collect();
        store.close().await;
        let lines = self.lines(kept.len()).await;
        let mut told: Vec<_> = lines.split_inclusive('\n').map(str::to_owned).collect();
        let values = told.iter().map(|line| timeless(line)).collect();
        kept.sort_unstable();
        told.sort_unstable();
        assert_eq!(kept, told);
        values
    }

    /// The text of the lines, once there are so many: they are written by a thread.
    async fn lines(&self, count: usize) -> String {
        let all = async {
            loop {
                let text = std::fs::read_to_string(self.lines_file()).unwrap_or_default();
                if text.lines().count() >= count && (text.is_empty() || text.ends_with('\n')) {
                    return text;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), all).await.expect("all lines")
    }

    /// No secret is anywhere, in the lines or in the table, which hold the same.
    pub(super) fn tells_none_of(&self, secrets: &[&str]) {
        let text = std::fs::read_to_string(self.lines_file()).unwrap();
        for secret in secrets {
            assert!(!text.contains(secret), "{secret} in\n{text}");
        }
    }
}

/// Everything in the table, the earliest first.
pub(super) async fn deeds(store: &Store) -> Vec<Deed> {
    let page = store.deeds_after(0, &DeedFilter::default()).await.unwrap();
    page.map(|(_, deeds)| deeds).unwrap_or_default()
}

/// Without what differs from run to run: the time, the request and the client where there was
/// one, the operator at a shell.
fn timeless(line: &str) -> Value {
    let mut value: Value = serde_json::from_str(line).unwrap();
    let fields = value.as_object_mut().unwrap();
    assert!(fields.remove("@timestamp").is_some());
    assert_eq!(fields.remove("event.dataset").unwrap(), "portcullis.audit");
    if fields["portcullis.actor"] == "shell" {
        let operator = fields.remove("user.id").unwrap();
        assert!(operator.as_str().unwrap().starts_with("uid:"), "{line}");
        fields.remove("user.name");
        return value;
    }
    assert!(fields.remove("http.request.id").is_some(), "{line}");
    assert_eq!(fields.remove("client.ip").unwrap(), "127.0.0.1");
    value
}

//! A changed configuration is taken over while requests are served: whole, or not at all.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use portcullis::app::{self, Options, Running, Source};
use portcullis::config;
use tempfile::TempDir;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::gateway::get;
use crate::raw::{Act, App, Client};

/// A gateway whose configuration is a file that a test changes.
struct Reloaded {
    running: Running,
    wake: Arc<Notify>,
    file: PathBuf,
    folder: TempDir,
}

impl Reloaded {
    async fn start(routing: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("portcullis.toml");
        write(&file, &folder, routing);
        let again = file.clone();
        let source = Source::new(std::slice::from_ref(&file), move || {
            config::load(std::slice::from_ref(&again), Vec::new())
        });
        let settings = config::load(std::slice::from_ref(&file), Vec::new()).unwrap().settings;
        let wake = source.waker();
        let options = Options { source: Some(source), ..Options::default() };
        let running = app::start_with(settings, options).await.unwrap();
        Self { running, wake, file, folder }
    }

    /// Writes the file anew and has it read at once, as SIGHUP does.
    fn change(&self, routing: &str) {
        write(&self.file, &self.folder, routing);
        self.wake.notify_one();
    }

    async fn ask(&self, target: &str) -> u16 {
        Client::connect(self.running.address).await.ask(get(target, "")).await.status
    }

    async fn until(&self, target: &str, wanted: u16) {
        let asked = async { while self.ask(target).await != wanted {} };
        timeout(Duration::from_secs(20), asked).await.expect("it is taken over");
    }

    async fn metric(&self, line: &str) {
        let found = async {
            loop {
                let mut client = Client::connect(self.running.telemetry.unwrap()).await;
                if client.ask(get("/metrics", "")).await.text().lines().any(|found| found == line) {
                    return;
                }
            }
        };
        timeout(Duration::from_secs(20), found).await.expect(line);
    }
}

fn write(file: &PathBuf, folder: &TempDir, routing: &str) {
    let database = folder.path().join("portcullis.db");
    let text = format!(
        "[server]\nlisten = [\"127.0.0.1:0\"]\ntelemetry_listen = \"127.0.0.1:0\"\n\
         [database]\nurl = \"sqlite://{}\"\n{routing}",
        database.display()
    );
    std::fs::write(file, text).unwrap();
}

fn leading_to(app: &App, path: &str) -> String {
    format!(
        "[[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n[[routes]]\npath = \"{path}\"\n\
         access = \"anonymous\"\nupstream = \"app\"\n",
        app.address
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_route_opens_and_an_old_one_closes() {
    let app = App::plain().await;
    let gateway = Reloaded::start(&leading_to(&app, "/old/")).await;
    assert_eq!((gateway.ask("/old/").await, gateway.ask("/new/").await), (200, 404));
    gateway.change(&leading_to(&app, "/new/"));
    gateway.until("/new/", 200).await;
    assert_eq!(gateway.ask("/old/").await, 404);
    gateway.metric("portcullis_config_last_reload_success 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_noticed_without_a_signal() {
    let app = App::plain().await;
    let gateway = Reloaded::start(&leading_to(&app, "/old/")).await;
    write(&gateway.file, &gateway.folder, &leading_to(&app, "/new/"));
    gateway.until("/new/", 200).await;
    assert_eq!(gateway.ask("/old/").await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_a_fault_changes_nothing_and_shows() {
    let app = App::plain().await;
    let gateway = Reloaded::start(&leading_to(&app, "/old/")).await;
    let faulty = format!("{}acces = \"deny\"\n", leading_to(&app, "/new/"));
    gateway.change(&faulty);
    gateway.metric("portcullis_config_last_reload_success 0").await;
    assert_eq!((gateway.ask("/old/").await, gateway.ask("/new/").await), (200, 404));
    gateway.change(&leading_to(&app, "/new/"));
    gateway.until("/new/", 200).await;
    gateway.metric("portcullis_config_last_reload_success 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_swapped_counts_as_a_change() {
    let app = App::plain().await;
    let gateway = Reloaded::start(&leading_to(&app, "/old/")).await;
    // As a mounted ConfigMap changes: the file's name leads to another folder.
    let (next, link) =
        (gateway.folder.path().join("next.toml"), gateway.folder.path().join("link"));
    write(&next, &gateway.folder, &leading_to(&app, "/new/"));
    std::os::unix::fs::symlink(&next, &link).unwrap();
    std::fs::rename(&link, &gateway.file).unwrap();
    gateway.until("/new/", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_pause_lose_none_while_the_upstream_is_exchanged() {
    let (one, other) = (answering("one").await, answering("other").await);
    let gateway = Arc::new(Reloaded::start(&leading_to(&one, "/")).await);
    let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (gateway, over, asked) =
                (Arc::clone(&gateway), Arc::clone(&over), Arc::clone(&asked));
            tokio::spawn(async move {
                let mut client = Client::connect(gateway.running.address).await;
                while !over.load(Ordering::SeqCst) {
                    let answer = client.ask(get("/", "")).await;
                    assert_eq!(answer.status, 200);
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let turns = [(&other, "other"), (&one, "one")];
    for (to, name) in turns.into_iter().cycle().take(5) {
        gateway.change(&leading_to(to, "/"));
        let taken_over = async {
            let mut client = Client::connect(gateway.running.address).await;
            while client.ask(get("/", "")).await.text() != name {}
        };
        timeout(Duration::from_secs(20), taken_over).await.expect("it is taken over");
    }
    over.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    assert!(asked.load(Ordering::SeqCst) > 20);
}

async fn answering(name: &'static str) -> App {
    App::start(move |_| Act::ok(name)).await
}

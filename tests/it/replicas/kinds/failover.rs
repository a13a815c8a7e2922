//! Sentinel and Cluster: a server dies, another takes its place, nobody helps.

use std::time::Duration;

use http::StatusCode;
use redis::aio::MultiplexedConnection;
use tokio::time::sleep;

use super::server::{Server, they_share, world};
use crate::replicas::world::{get_opaque, until, wait_for};
use crate::subject::Subject;

/// Known credentials pass all the while; then Redis is used as before.
async fn survived(one: &Subject, other: &Subject, trouble: impl AsyncFnOnce()) {
    they_share(one, other, "ada").await;
    let token = one.opaque("ada").await;
    trouble().await;
    for replica in [one, other] {
        assert_eq!(get_opaque(replica, "/", &token).await.status, StatusCode::OK);
    }
    for replica in [one, other] {
        wait_for(replica, "redis", 1).await;
        wait_for(replica, "redis_hints", 1).await;
    }
    they_share(one, other, "ada").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_under_sentinel_dies_and_its_replica_is_found() {
    let mut master = Server::start(&[]).await;
    let port = master.port.to_string();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &port]).await;
    let watch = format!("sentinel monitor main 127.0.0.1 {port} 1\n");
    let sentinel = sentinel(&watch).await;
    let mut asked = sentinel.connect().await;
    until("the sentinel knows the replica", async || {
        let mut ask = redis::cmd("SENTINEL");
        let known: Vec<redis::Value> =
            ask.arg("replicas").arg("main").query_async(&mut asked.clone()).await.unwrap();
        sleep(Duration::from_millis(50)).await;
        !known.is_empty()
    })
    .await;
    let world = world(format!("redis+sentinel://127.0.0.1:{}/main", sentinel.port)).await;
    let (one, other) = (world.replica().await, world.replica().await);
    one.register("ada").await;
    survived(&one, &other, async || {
        master.kill();
        wait_for(&one, "redis", 0).await;
        wait_for(&other, "redis", 0).await;
        until("the replica was promoted", async || {
            sleep(Duration::from_millis(50)).await;
            let mut ask = redis::cmd("SENTINEL");
            ask.arg("get-master-addr-by-name").arg("main");
            let (_, now): (String, u16) = ask.query_async(&mut asked.clone()).await.unwrap();
            now == replica.port
        })
        .await;
    })
    .await;
    asked = sentinel.connect().await;
    let _: String = redis::cmd("PING").query_async(&mut asked).await.unwrap();
    world.remove().await;
}

/// It keeps its state in the file of its settings.
async fn sentinel(watch: &str) -> Server {
    let quick = "sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 1000\n";
    Server::start_by(&["--sentinel"], |port, folder| {
        let file = folder.join("sentinel.conf");
        std::fs::write(&file, format!("port {port}\n{watch}{quick}")).unwrap();
        vec![file.display().to_string()]
    })
    .await
}

async fn cluster(node: &mut MultiplexedConnection, arguments: &[&str]) -> String {
    let answer: redis::RedisResult<redis::Value> =
        redis::cmd("CLUSTER").arg(arguments).query_async(node).await;
    match answer {
        Ok(redis::Value::Okay) => "OK".to_owned(),
        Ok(value) => redis::from_redis_value(value).unwrap(),
        Err(error) => error.to_string(),
    }
}

/// Three masters and a replica of the first, which is the one that a gateway asks first.
async fn cluster_of_four() -> Vec<Server> {
    let mut servers = Vec::new();
    for _ in 0..4 {
        let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000"];
        servers.push(Server::start(&options).await);
    }
    let mut nodes = Vec::new();
    for server in &servers {
        nodes.push(server.connect().await);
    }
    for (at, slots) in [(0, 0..5461), (1, 5461..10923), (2, 10923..16384)] {
        let slots: Vec<String> = slots.map(|slot: u32| slot.to_string()).collect();
        let mut arguments = vec!["ADDSLOTS"];
        arguments.extend(slots.iter().map(String::as_str));
        assert_eq!(cluster(&mut nodes[at], &arguments).await, "OK");
    }
    for server in &servers[1..] {
        let port = server.port.to_string();
        assert_eq!(cluster(&mut nodes[0], &["MEET", "127.0.0.1", &port]).await, "OK");
    }
    let first = cluster(&mut nodes[0], &["MYID"]).await;
    let last = nodes[3].clone();
    until("the replica follows", async || {
        sleep(Duration::from_millis(100)).await;
        cluster(&mut last.clone(), &["REPLICATE", &first]).await == "OK"
    })
    .await;
    until("the cluster is whole", async || {
        sleep(Duration::from_millis(100)).await;
        let mut whole = true;
        for node in &nodes {
            let info = cluster(&mut node.clone(), &["INFO"]).await;
            whole &= info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:4");
        }
        let mut ask = redis::cmd("INFO");
        let info: String = ask.arg("replication").query_async(&mut last.clone()).await.unwrap();
        whole && info.contains("master_link_status:up")
    })
    .await;
    servers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_a_cluster_dies_and_its_replica_is_found() {
    let mut servers = cluster_of_four().await;
    let nodes: Vec<_> = servers.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    let world = world(format!("redis+cluster://{}", nodes.join(","))).await;
    let (one, other) = (world.replica().await, world.replica().await);
    one.register("ada").await;
    let last = servers[3].connect().await;
    survived(&one, &other, async || {
        servers[0].kill();
        until("the replica was promoted", async || {
            sleep(Duration::from_millis(100)).await;
            let info = cluster(&mut last.clone(), &["INFO"]).await;
            let role = redis::cmd("ROLE");
            let role: Vec<redis::Value> = role.query_async(&mut last.clone()).await.unwrap();
            let role: String = redis::from_redis_value(role[0].clone()).unwrap();
            role == "master" && info.contains("cluster_state:ok")
        })
        .await;
    })
    .await;
    world.remove().await;
}

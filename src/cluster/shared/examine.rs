//! What can be said about a Redis from outside, for `portcullis doctor`.
//!
//! Runs every command that the gateway uses, on a key of its own that is gone after ten seconds:
//! only so is it known what the user may do. It must not know what is good and what is not.

use std::time::{Duration, Instant};

use redis::{Cmd, FromRedisValue, RedisError, RedisResult, Script, Value, cmd};

use super::address::{Address, AddressError, Connection, Dialer};
use crate::model::Timestamp;

/// Questions of which the fastest answer counts.
const QUESTIONS: usize = 5;

/// How long the key lives that commands are tried on.
const KEY_TIME: u64 = 10_000;

/// What a Redis says of itself.
#[derive(Debug, Clone)]
pub struct RedisExamination {
    /// How long the smallest question takes.
    pub latency: Duration,
    /// The time there.
    pub now: Option<Timestamp>,
    /// What `INFO` tells; nothing if the user may not ask.
    pub info: Option<RedisInfo>,
    /// Commands that were refused, each with the kind of refusal.
    pub refused: Vec<(&'static str, String)>,
}

/// What `INFO` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisInfo {
    /// The version.
    pub version: String,
    /// Bytes that it may use; 0: no limit.
    pub most_memory: u64,
    /// What goes when they are used up.
    pub policy: String,
    /// Whether it writes to a disk.
    pub is_persistent: bool,
}

/// Asks a Redis about itself.
///
/// # Errors
/// It cannot be reached. The text never holds the address, which may hold a password.
pub async fn examine_redis(
    url: &str,
    ca: Option<&[u8]>,
    timeout: Duration,
) -> Result<RedisExamination, AddressError> {
    let mut dialer = Address::parse(url)?.dialer(timeout, ca)?;
    let mut connection = dialer.dial().await.map_err(refused)?;
    let mut latency = Duration::MAX;
    for _ in 0..QUESTIONS {
        let began = Instant::now();
        cmd("PING").query_async::<()>(&mut connection).await.map_err(refused)?;
        latency = latency.min(began.elapsed());
    }
    let now = cmd("TIME").query_async::<(i64, i64)>(&mut connection).await.ok();
    let info = cmd("INFO").query_async::<Value>(&mut connection).await.ok();
    Ok(RedisExamination {
        latency,
        now: now.map(|(seconds, micros)| Timestamp::from_micros(seconds * 1_000_000 + micros)),
        info: info.and_then(first_text).map(|text| read_info(&text)),
        refused: refused_commands(&mut connection, &mut dialer).await,
    })
}

#[expect(clippy::needless_pass_by_value, reason = "so that map_err can name it")]
fn refused(error: RedisError) -> AddressError {
    AddressError::Refused(error.category().to_owned())
}

/// Of a cluster every node answers; one is enough.
fn first_text(value: Value) -> Option<String> {
    match value {
        Value::Map(nodes) => nodes.into_iter().next().and_then(|(_, value)| first_text(value)),
        one => String::from_redis_value(one).ok(),
    }
}

fn read_info(text: &str) -> RedisInfo {
    let of = |name: &str| {
        let value = |line: &str| line.strip_prefix(name)?.strip_prefix(':').map(str::to_owned);
        text.lines().find_map(|line| value(line.trim_end())).unwrap_or_default()
    };
    RedisInfo {
        version: of("redis_version"),
        most_memory: of("maxmemory").parse().unwrap_or_default(),
        policy: of("maxmemory_policy"),
        // Whether snapshots are taken by themselves stands in CONFIG only, which few may ask for.
        is_persistent: of("aof_enabled") == "1",
    }
}

/// In the order in which they need each other.
async fn refused_commands(
    connection: &mut Connection,
    dialer: &mut Dialer,
) -> Vec<(&'static str, String)> {
    let mut name = [0; 8];
    if aws_lc_rs::rand::fill(&mut name).is_err() {
        return vec![("all", "this machine has no random numbers".to_owned())];
    }
    // One slot of a cluster for both.
    let key = format!("portcullis:doctor:{{{}}}", hex::encode(name));
    let hash = format!("{key}:hash");
    let channel = "portcullis:doctor";
    let of = |name: &str, arguments: &[&str]| {
        let mut command = cmd(name);
        command.arg(arguments);
        command
    };
    let time = KEY_TIME.to_string();
    let commands: [(&'static str, Cmd); 11] = [
        ("set", of("SET", &[&key, "1", "PX", &time])),
        ("get", of("GET", &[&key])),
        ("getrange", of("GETRANGE", &[&key, "0", "-1"])),
        ("exists", of("EXISTS", &[&key])),
        ("del", of("DEL", &[&key])),
        ("hset", of("HSET", &[&hash, "field", "1"])),
        ("pexpire", of("PEXPIRE", &[&hash, &time])),
        ("hget", of("HGET", &[&hash, "field"])),
        ("hmget", of("HMGET", &[&hash, "field"])),
        ("time", of("TIME", &[])),
        ("publish", of("PUBLISH", &[channel, "1"])),
    ];
    let mut refused = Vec::new();
    let mut note = |name, outcome: RedisResult<()>| {
        if let Err(error) = outcome {
            let kind = error.code().unwrap_or_else(|| error.category()).to_owned();
            refused.push((name, kind));
        }
    };
    for (name, command) in commands {
        note(name, command.query_async::<()>(connection).await);
    }
    let script = Script::new("return redis.call('EXISTS', KEYS[1])");
    note("evalsha script|load", script.key(&key).invoke_async::<()>(connection).await);
    note("subscribe", subscribe(dialer, channel).await);
    note("del", cmd("DEL").arg(&hash).query_async::<()>(connection).await);
    refused
}

async fn subscribe(dialer: &mut Dialer, channel: &str) -> RedisResult<()> {
    dialer.listen().await?.subscribe(channel).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_info_tells_is_read_line_by_line() {
        let text = "# Server\r\nredis_version:7.2.4\r\n# Memory\r\nmaxmemory:1048576\r\n\
                    maxmemory_policy:volatile-ttl\r\n# Persistence\r\naof_enabled:1\r\n";
        let expected = RedisInfo {
            version: "7.2.4".to_owned(),
            most_memory: 1_048_576,
            policy: "volatile-ttl".to_owned(),
            is_persistent: true,
        };
        assert_eq!(read_info(text), expected);
        let nodes = vec![(Value::Nil, Value::BulkString(text.into()))];
        assert_eq!(first_text(Value::Map(nodes)).map(|text| read_info(&text)), Some(expected));
    }

    #[tokio::test]
    async fn a_redis_that_is_not_there_is_told_without_its_password() {
        let away = examine_redis("redis://:hunter2@127.0.0.1:1", None, Duration::from_millis(50));
        let error = away.await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

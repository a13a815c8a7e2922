//! Every kind of Redis that `redis.url` can name, as real servers: Sentinel and Cluster with a
//! fail-over, TLS with a certificate of one's own, and a user who may do only what the
//! documents say.

mod access;
mod failover;
mod server;

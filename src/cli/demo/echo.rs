//! The demo's back end: an app that shows what reached it.
//!
//! Stands where a team's own application would. It checks nothing; that is the point.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Json;
use axum::extract::Request;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

/// Serves on a free port of the loopback interface until the process ends.
pub(super) async fn start() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let app = axum::Router::new().fallback(show);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

async fn show(request: Request) -> Json<Value> {
    let headers: Map<String, Value> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned().into())
        })
        .collect();
    Json(json!({
        "app": "this is the back end; it received:",
        "method": request.method().as_str(),
        "path": request.uri().to_string(),
        "headers": headers,
    }))
}

//! Serves what is the gateway's own: the API, the key set, and what other proxies ask.
//!
//! It must not know what the API does, nor what is decided.

use bytes::Bytes;
use http::{Response, StatusCode};
use pingora::Result;
use pingora::protocols::http::ServerSession;

use super::local::{self, LocalLimits};
use super::phases::Phases;
use super::request::{Request, caller};
use super::respond;
use crate::api::Answered;
use crate::gate::Local;

impl Phases {
    pub(super) async fn serve(
        &self,
        session: &mut ServerSession,
        request: &mut Request,
        served: Local,
    ) -> Result<()> {
        let head = session.req_header();
        let target = match served {
            Local::Api(target) => {
                if let Some(headers) = request.live.cors.preflight(&head.method, &head.headers) {
                    let mut answer = Response::new(Bytes::new());
                    *answer.status_mut() = StatusCode::NO_CONTENT;
                    respond::share(answer.headers_mut(), headers);
                    return respond::send(session, answer, request.name(), self.after()).await;
                }
                target
            }
            Local::Reserved(rest) => return self.answer_asked(session, request, &rest).await,
            Local::KeySet => "/.well-known/jwks.json".to_owned(),
        };
        let settings = &request.live.settings;
        let limits = LocalLimits {
            body_bytes: settings.limits.auth_body_bytes,
            time: settings.limits.auth_timeout.0,
        };
        let caller = caller(session.req_header(), request);
        match local::ask(session, &request.live.api, &target, caller, limits).await? {
            Ok(mut answer) => {
                if let Some(Answered(endpoint)) = answer.extensions().get() {
                    self.recorder.metrics.identity_request(endpoint, answer.status().as_u16());
                    if let Some(trace) = &mut request.trace {
                        trace.is_for(endpoint);
                    }
                }
                let headers = request.live.cors.headers(&session.req_header().headers);
                respond::share(answer.headers_mut(), headers);
                respond::stream(session, answer, request.name(), self.after()).await
            }
            Err(failure) => self.fail(session, request, failure).await,
        }
    }
}

//! Routes that differ in their methods only.
//!
//! It must not know paths or hosts.

use http::Method;

/// Routes of one path and host.
#[derive(Debug, Default)]
pub(super) struct Choice {
    by_method: Vec<(Method, usize)>,
    any_method: Option<usize>,
}

impl Choice {
    /// The first to claim a method keeps it.
    pub(super) fn add(&mut self, methods: &[Method], route: usize) {
        if methods.is_empty() {
            self.any_method.get_or_insert(route);
        }
        for method in methods {
            if !self.by_method.iter().any(|(known, _)| known == method) {
                self.by_method.push((method.clone(), route));
            }
        }
    }

    /// A listed method comes before any; `HEAD` is a `GET` where it is not listed.
    pub(super) fn pick(&self, method: &Method) -> Option<usize> {
        let listed = |method: &Method| self.by_method.iter().find(|(m, _)| m == method);
        let found = listed(method)
            .or_else(|| if *method == Method::HEAD { listed(&Method::GET) } else { None });
        found.map(|(_, route)| *route).or(self.any_method)
    }
}

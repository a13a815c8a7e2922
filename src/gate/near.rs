//! Which routes a request just missed, and by what: for somebody who wonders about a 404.
//!
//! Asks the table itself, with another host or method in the request's place; so nothing is
//! decided here in a second way. It is far too slow for requests, and must not be asked by any.

use http::Method;

use super::Gate;
use super::host::Authority;
use super::path::CanonicalPath;
use super::reading::laxest;
use super::routes::{Found, RouteTable};
use crate::config;

/// By what a route was missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Miss {
    /// It takes other methods.
    Method,
    /// It is for other hosts.
    Host,
    /// Both.
    HostAndMethod,
    /// A lax server could read the path as one of this route's.
    Reading,
    /// Its path begins in the same way, for so many segments.
    Path(usize),
}

impl Gate {
    /// The routes that the request just missed, the nearest first: by their place in `routes`,
    /// which must be those that the gate was built from.
    #[must_use]
    pub fn near(
        &self,
        routes: &[config::Route],
        path: &CanonicalPath<'_>,
        host: &Authority<'_>,
        method: &Method,
    ) -> Vec<(usize, Miss)> {
        near(&self.rules.routes, routes, path, host, method)
    }
}

fn near(
    table: &RouteTable,
    routes: &[config::Route],
    path: &CanonicalPath<'_>,
    host: &Authority<'_>,
    method: &Method,
) -> Vec<(usize, Miss)> {
    let found = table.find(path, host, method);
    let depth = match found {
        Found::Route(index) => segments(&routes[index].path).count(),
        Found::Nothing | Found::Ambiguous => 0,
    };
    let asked = Asked { table, path, host, method, is_ambiguous: found == Found::Ambiguous };
    // Where a route matched, only one that would have come before it is of interest.
    let is_of_interest = |index: usize, miss: Miss| match found {
        Found::Route(_) => {
            !matches!(miss, Miss::Path(_)) && segments(&routes[index].path).count() > depth
        }
        Found::Nothing | Found::Ambiguous => true,
    };
    let mut missed: Vec<_> = routes
        .iter()
        .enumerate()
        .filter(|(index, _)| found != Found::Route(*index))
        .filter_map(|(index, route)| Some((index, asked.miss(index, route)?)))
        .filter(|(index, miss)| is_of_interest(*index, *miss))
        .collect();
    // The more segments it shares, the nearer it is.
    missed.sort_by_key(|(_, miss)| match miss {
        Miss::Path(shared) => Miss::Path(usize::MAX - shared),
        other => *other,
    });
    missed
}

/// A request, to be asked about again and again.
struct Asked<'a> {
    table: &'a RouteTable,
    path: &'a CanonicalPath<'a>,
    host: &'a Authority<'a>,
    method: &'a Method,
    is_ambiguous: bool,
}

impl Asked<'_> {
    /// By what it misses a route; `None` if by everything.
    fn miss(&self, index: usize, route: &config::Route) -> Option<Miss> {
        let host = route.hosts.first().map(|pattern| pattern.replacen("*.", "x.", 1));
        let host = host.as_deref().and_then(Authority::parse).unwrap_or(*self.host);
        let method = route.methods.first().map(|name| name.to_ascii_uppercase());
        let method = method.and_then(|name| Method::from_bytes(name.as_bytes()).ok());
        let method = method.as_ref().unwrap_or(self.method);
        let would = |host, method| self.table.find(self.path, host, method) == Found::Route(index);
        if would(self.host, method) {
            return Some(Miss::Method);
        }
        if would(&host, self.method) {
            return Some(Miss::Host);
        }
        if would(&host, method) {
            return Some(Miss::HostAndMethod);
        }
        if self.is_ambiguous {
            return self.is_read_as(route).then_some(Miss::Reading);
        }
        let own = segments(self.path.as_str());
        let shared = own.zip(segments(&route.path)).take_while(|(own, other)| own == other).count();
        (shared > 0).then_some(Miss::Path(shared))
    }

    fn is_read_as(&self, route: &config::Route) -> bool {
        let (own, other) = (laxest(self.path.as_str()), laxest(&route.path));
        let is_below = own.strip_prefix(&other);
        !other.is_empty() && is_below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Route;

    fn route(path: &str, host: &str, methods: &[&str]) -> Route {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Route {
            path: path.to_owned(),
            hosts: if host.is_empty() { Vec::new() } else { vec![host.to_owned()] },
            methods: texts(methods),
            upstream: Some("app".to_owned()),
            ..Route::default()
        }
    }

    fn asked(routes: &[Route], host: &str, path: &str) -> Vec<(usize, Miss)> {
        let table = RouteTable::new(routes).unwrap();
        let path = CanonicalPath::parse(path.as_bytes()).unwrap();
        near(&table, routes, &path, &Authority::parse(host).unwrap(), &Method::GET)
    }

    #[test]
    fn what_was_missed_is_told_with_the_nearest_first() {
        let routes = [
            route("/elsewhere/", "", &[]),
            route("/api/v2/", "", &[]),
            route("/api/v1/orders/", "*.example.org", &["POST"]),
            route("/api/v1/", "shop.example.org", &[]),
            route("/api/", "", &["POST"]),
        ];
        assert_eq!(
            asked(&routes, "localhost", "/api/v1/orders/7"),
            [(4, Miss::Method), (3, Miss::Host), (2, Miss::HostAndMethod), (1, Miss::Path(1))]
        );
        assert_eq!(asked(&routes, "localhost", "/other"), []);
    }

    #[test]
    fn behind_a_match_only_longer_paths_are_told() {
        let routes = [
            route("/", "", &[]),
            route("/items/", "", &["POST"]),
            route("/items/7/", "", &[]),
            route("/it/", "", &[]),
            route("/items/", "", &["GET"]),
        ];
        assert_eq!(asked(&routes[..4], "localhost", "/items/8"), [(1, Miss::Method)]);
        assert_eq!(asked(&routes, "localhost", "/items/8"), []);
    }

    #[test]
    fn the_other_reading_of_an_ambiguous_path_is_told() {
        let routes = [route("/", "", &[]), route("/admin/", "", &[]), route("/b/", "", &[])];
        assert_eq!(asked(&routes, "localhost", "/ADMIN/x"), [(1, Miss::Reading)]);
    }
}

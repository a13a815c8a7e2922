//! Which route does a request belong to?
//!
//! The table is built once, as a tree of path segments, so that matching costs what the
//! path costs and not what the number of routes costs. It must not know who asks.
//!
//! Among the routes that match by path, host and method, the one wins that has
//! 1. the longest path: `/public/` and `/public` match `/public` and what lies below it,
//!    never `/publicx`; `/` matches everything;
//! 2. the most particular host: a name before `*.example.org` (which matches every name
//!    below `example.org`, not itself) before none; ports do not count;
//! 3. its method in a list before none; `HEAD` counts as `GET` where it is not listed itself;
//! 4. the earlier place in the configuration.
//!
//! A path that lax servers could read as one of a longer route (other case of letters, an
//! encoded `?`, a space at the end) belongs to neither: [`Found::Ambiguous`].

use foldhash::HashMap;
use http::Method;
use percent_encoding::{CONTROLS, utf8_percent_encode};

use super::BuildError;
use super::choice::Choice;
use super::host::Authority;
use super::hosts::{HostId, HostTable};
use super::path::{CanonicalPath, Spelling};
use super::reading::laxest;
use super::route::Route;
use crate::config;

/// What the table says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The route of this number ([`RouteTable::get`]).
    Route(usize),
    /// No route matches.
    Nothing,
    /// Another reading of the path belongs to another, longer route.
    Ambiguous,
}

/// All routes.
#[derive(Debug)]
pub struct RouteTable {
    routes: Vec<Route>,
    nodes: Vec<Node>,
    hosts: HostTable,
    /// Some route's path is not its own laxest reading: then every path is looked at twice.
    spelled_variably: bool,
}

/// One path prefix.
#[derive(Debug, Default)]
struct Node {
    /// By segment. Not sorted: among ten thousand a search by halves goes where no cache is warm.
    children: HashMap<Box<str>, usize>,
    /// By the segment's laxest reading, sorted; several may read alike.
    lax_children: Vec<(Box<str>, usize)>,
    by_host: Vec<(HostId, Choice)>,
    any_host: Choice,
}

impl RouteTable {
    /// Builds the table.
    pub fn new(routes: &[config::Route]) -> Result<Self, BuildError> {
        let hosts = HostTable::new(routes)?;
        let mut table = Self {
            routes: Vec::new(),
            nodes: vec![Node::default()],
            hosts,
            spelled_variably: false,
        };
        for (index, route) in routes.iter().enumerate() {
            table.add(index, route)?;
        }
        for node in &mut table.nodes {
            node.by_host.sort_unstable_by_key(|(host, _)| *host);
            node.lax_children = node
                .children
                .iter()
                .map(|(segment, child)| (laxest(segment).into(), *child))
                .collect();
            node.lax_children.sort_unstable();
            table.spelled_variably |=
                node.children.keys().any(|segment| laxest(segment) != **segment);
        }
        Ok(table)
    }

    fn add(&mut self, index: usize, route: &config::Route) -> Result<(), BuildError> {
        let fault = |what| BuildError::Route { origin: route.origin.clone(), what };
        let path = utf8_percent_encode(&route.path, CONTROLS).to_string();
        let path = CanonicalPath::parse(path.as_bytes()).map_err(|e| fault(e.to_string()))?;
        let methods = route
            .methods
            .iter()
            .map(|name| Method::from_bytes(name.to_ascii_uppercase().as_bytes()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| fault("a method is not a word".into()))?;

        let mut node = 0;
        for segment in path.as_str().split('/').filter(|s| !s.is_empty()) {
            node = self.child_or_new(node, segment);
        }
        let node = &mut self.nodes[node];
        if route.hosts.is_empty() {
            node.any_host.add(&methods, index);
        }
        for host in &route.hosts {
            // Every pattern of the routes is in the table, it was built from them.
            let Some(id) = self.hosts.id(host) else { continue };
            let place =
                node.by_host.iter().position(|(other, _)| *other == id).unwrap_or_else(|| {
                    node.by_host.push((id, Choice::default()));
                    node.by_host.len() - 1
                });
            node.by_host[place].1.add(&methods, index);
        }
        self.routes.push(Route::new(index, route)?);
        Ok(())
    }

    fn child_or_new(&mut self, node: usize, segment: &str) -> usize {
        if let Some(child) = self.nodes[node].child(segment) {
            return child;
        }
        let child = self.nodes.len();
        self.nodes.push(Node::default());
        self.nodes[node].children.insert(segment.into(), child);
        child
    }

    /// Finds the route of a request. Allocates nothing for paths with one spelling.
    #[must_use]
    pub fn find(&self, path: &CanonicalPath<'_>, host: &Authority<'_>, method: &Method) -> Found {
        let host = self.hosts.most_particular(host.name());
        let (mut best, mut depth) = (self.pick(0, host, method), 0);
        let mut node = 0;
        for (at, segment) in path.as_str().split('/').skip(1).enumerate() {
            let Some(child) = self.nodes[node].child(segment) else { break };
            node = child;
            if let Some(route) = self.pick(node, host, method) {
                (best, depth) = (Some(route), at + 1);
            }
        }
        let variable = self.spelled_variably || path.spelling() == Spelling::Variable;
        if variable && self.lax_depth(path, host, method) > depth {
            return Found::Ambiguous;
        }
        best.map_or(Found::Nothing, Found::Route)
    }

    /// How long the longest route is that any reading of the path belongs to.
    fn lax_depth(&self, path: &CanonicalPath<'_>, host: Option<HostId>, method: &Method) -> usize {
        let reading = laxest(path.as_str());
        let mut deepest = 0;
        let mut open = vec![(0, 0, Some(reading.as_str()).filter(|r| !r.is_empty()))];
        while let Some((node, depth, rest)) = open.pop() {
            if depth > deepest && self.pick(node, host, method).is_some() {
                deepest = depth;
            }
            let Some(rest) = rest else { continue };
            let (segment, rest) = match rest.split_once('/') {
                Some((segment, rest)) => (segment, Some(rest)),
                None => (rest, None),
            };
            open.extend(
                self.nodes[node].lax_children(segment).map(|child| (child, depth + 1, rest)),
            );
        }
        deepest
    }

    fn pick(&self, node: usize, host: Option<HostId>, method: &Method) -> Option<usize> {
        let node = &self.nodes[node];
        if !node.by_host.is_empty() {
            let mut host = host;
            while let Some(id) = host {
                let choice = node.by_host.binary_search_by_key(&id, |(other, _)| *other);
                if let Some(route) = choice.ok().and_then(|at| node.by_host[at].1.pick(method)) {
                    return Some(route);
                }
                host = self.hosts.less_particular(id);
            }
        }
        node.any_host.pick(method)
    }

    /// The route of a number that [`RouteTable::find`] gave out.
    ///
    /// # Panics
    /// If the number is another table's.
    #[must_use]
    pub fn get(&self, index: usize) -> &Route {
        &self.routes[index]
    }

    /// All routes in the order of the configuration.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }
}

impl Node {
    fn child(&self, segment: &str) -> Option<usize> {
        self.children.get(segment).copied()
    }

    fn lax_children(&self, segment: &str) -> impl Iterator<Item = usize> {
        let from = self.lax_children.partition_point(|(s, _)| **s < *segment);
        self.lax_children[from..].iter().take_while(move |(s, _)| **s == *segment).map(|(_, c)| *c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Access;

    fn route(path: &str) -> config::Route {
        config::Route {
            path: path.into(),
            access: Access::Authenticated,
            upstream: Some("app".into()),
            origin: "portcullis.toml:1:1".into(),
            ..config::Route::default()
        }
    }

    fn hosted(path: &str, host: &str) -> config::Route {
        config::Route { hosts: vec![host.into()], ..route(path) }
    }

    fn for_methods(path: &str, methods: &[&str]) -> config::Route {
        config::Route { methods: methods.iter().map(|m| (*m).to_owned()).collect(), ..route(path) }
    }

    fn find_all(table: &RouteTable, method: &Method, host: &str, path: &str) -> String {
        let path = CanonicalPath::parse(path.as_bytes()).unwrap();
        match table.find(&path, &Authority::parse(host).unwrap(), method) {
            Found::Route(index) => table.get(index).label.name.clone(),
            Found::Nothing => "nothing".into(),
            Found::Ambiguous => "ambiguous".into(),
        }
    }

    fn find(table: &RouteTable, path: &str) -> String {
        find_all(table, &Method::GET, "localhost", path)
    }

    #[test]
    fn prefixes_match_on_segment_borders_only() {
        let table = RouteTable::new(&[route("/public/"), route("/api/v1")]).unwrap();
        for path in ["/public", "/public/", "/public/x", "/public/x/y"] {
            assert_eq!(find(&table, path), "/public/", "{path}");
        }
        for path in ["/api/v1", "/api/v1/", "/api/v1/x"] {
            assert_eq!(find(&table, path), "/api/v1", "{path}");
        }
        for path in ["/", "/publicx", "/publi", "/api", "/api/", "/api/v11", "/x/public"] {
            assert_eq!(find(&table, path), "nothing", "{path}");
        }
    }

    #[test]
    fn the_longest_path_wins_wherever_it_stands() {
        let table = RouteTable::new(&[route("/"), route("/a/b"), route("/a")]).unwrap();
        assert_eq!(find(&table, "/"), "/");
        assert_eq!(find(&table, "/x/a"), "/");
        assert_eq!(find(&table, "/a/x"), "/a");
        assert_eq!(find(&table, "/a/b/c"), "/a/b");
    }

    #[test]
    fn the_more_particular_host_wins_among_equal_paths() {
        let table = RouteTable::new(&[
            route("/"),
            hosted("/", "*.example.org"),
            hosted("/", "a.example.org"),
            hosted("/", "*.b.example.org"),
            hosted("/only", "a.example.org"),
        ])
        .unwrap();
        let find = |host, path| find_all(&table, &Method::GET, host, path);
        assert_eq!(find("a.example.org", "/"), "a.example.org/");
        assert_eq!(find("A.Example.Org.:8443", "/"), "a.example.org/");
        assert_eq!(find("c.example.org", "/"), "*.example.org/");
        assert_eq!(find("x.y.example.org", "/"), "*.example.org/");
        assert_eq!(find("x.b.example.org", "/"), "*.b.example.org/");
        assert_eq!(find("b.example.org", "/"), "*.example.org/");
        assert_eq!(find("example.org", "/"), "/");
        assert_eq!(find("notexample.org", "/"), "/");
        assert_eq!(find("a.example.org", "/only"), "a.example.org/only");
        assert_eq!(find("c.example.org", "/only"), "*.example.org/");
    }

    #[test]
    fn listed_methods_win_and_head_counts_as_get() {
        let table = RouteTable::new(&[
            route("/"),
            for_methods("/items", &["GET"]),
            for_methods("/items", &["post"]),
            for_methods("/made", &["GET"]),
            for_methods("/made", &["HEAD"]),
        ])
        .unwrap();
        let find = |method, path| find_all(&table, &method, "localhost", path);
        assert_eq!(find(Method::GET, "/items"), "GET /items");
        assert_eq!(find(Method::HEAD, "/items/1"), "GET /items");
        assert_eq!(find(Method::POST, "/items"), "post /items");
        assert_eq!(find(Method::DELETE, "/items"), "/");
        assert_eq!(find(Method::HEAD, "/made"), "HEAD /made");
    }

    #[test]
    fn the_first_of_two_equal_routes_wins() {
        let deny = config::Route { access: Access::Deny, upstream: None, ..route("/a") };
        let table = RouteTable::new(&[deny, route("/a/")]).unwrap();
        assert_eq!(find(&table, "/a"), "/a");
    }

    #[test]
    fn paths_match_in_their_canonical_form() {
        let table = RouteTable::new(&[route("/%63af%c3%a9"), route("/münchen")]).unwrap();
        assert_eq!(find(&table, "/caf%C3%A9/x"), "/%63af%c3%a9");
        assert_eq!(find(&table, "/m%c3%bcnchen"), "/münchen");
    }

    #[test]
    fn a_path_that_reads_like_a_longer_route_belongs_to_none() {
        let table = RouteTable::new(&[route("/"), route("/admin"), route("/a/b/c")]).unwrap();
        for path in [
            "/ADMIN",
            "/Admin/users",
            "/admin%20",
            "/admin.",
            "/admin%3Fx",
            "/admin%23/x",
            "/%20/admin",
            "/adm%2569n",
            "/%EF%BD%81dmin",
            "/a/B/c",
            "/A/b/c/d",
        ] {
            assert_eq!(find(&table, path), "ambiguous", "{path}");
        }
        for path in ["/Administrator", "/x/ADMIN", "/C%23/x", "/a/B", "/search/hello%20"] {
            assert_eq!(find(&table, path), "/", "{path}");
        }
        assert_eq!(find(&table, "/admin/Users%20/x."), "/admin");
    }

    #[test]
    fn spellings_that_are_routes_themselves_are_not_ambiguous() {
        let table = RouteTable::new(&[route("/"), route("/Files"), route("/files")]).unwrap();
        assert_eq!(find(&table, "/Files/x"), "/Files");
        assert_eq!(find(&table, "/files/x"), "/files");
        assert_eq!(find(&table, "/FILES/x"), "ambiguous");
        let table = RouteTable::new(&[route("/"), route("/Admin/x"), route("/admin")]).unwrap();
        assert_eq!(find(&table, "/Admin/y"), "ambiguous");
    }

    #[test]
    fn a_lower_case_path_is_held_against_routes_with_capitals() {
        let table = RouteTable::new(&[route("/"), route("/Admin")]).unwrap();
        assert_eq!(find(&table, "/admin"), "ambiguous");
        assert_eq!(find(&table, "/Admin"), "/Admin");
    }

    #[test]
    fn ten_thousand_routes_are_told_apart() {
        let routes: Vec<_> = (0..10_000)
            .map(|i| hosted(&format!("/s{i}/x/"), &format!("h{i}.example.org")))
            .collect();
        let table = RouteTable::new(&routes).unwrap();
        let get = |host, path| find_all(&table, &Method::GET, host, path);
        assert_eq!(get("h7777.example.org", "/s7777/x/y"), "h7777.example.org/s7777/x/");
        assert_eq!(get("h7776.example.org", "/s7777/x/y"), "nothing");
    }

    #[test]
    fn routes_that_cannot_be_are_refused() {
        for bad in [
            route("admin"),
            route("/a//b"),
            route("/a/../b"),
            route("/a;b"),
            hosted("/", "exa mple.org"),
            hosted("/", "a.*.org"),
            hosted("/", "*"),
            for_methods("/", &["GE T"]),
            config::Route { access: Access::Anonymous, groups: vec!["g".into()], ..route("/") },
        ] {
            assert!(RouteTable::new(std::slice::from_ref(&bad)).is_err(), "{bad:?}");
        }
    }
}

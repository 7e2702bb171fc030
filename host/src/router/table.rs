//! The routes of all services, ready to be searched.

use std::collections::HashMap;
use std::fmt;

use thiserror::Error;

use super::host::{HostPattern, canonical};
use super::pattern::{Pattern, Segment, normalized};
use crate::config::ServiceName;

/// Which target gets a request. Immutable; the order of precedence is in the
/// [module's description](super).
#[derive(Debug, Clone)]
pub struct Table<T> {
    routes: Vec<Route>,
    targets: Vec<T>,
    /// By the text of a host, and by that of an address.
    hosts: HashMap<Box<str>, Node>,
    /// By what stands behind `*.`.
    wildcards: HashMap<Box<str>, Node>,
    anywhere: Node,
}

/// The same pattern, named twice.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub struct Conflict {
    /// What both name.
    pub pattern: Pattern,
    /// Whose it is already.
    pub first: ServiceName,
    /// Who names it as well. The same as [`first`](Self::first) if one service names it twice.
    pub second: ServiceName,
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            pattern,
            first,
            second,
        } = self;
        if first == second {
            write!(
                f,
                "the route \"{pattern}\" is named twice by {first}; remove one"
            )
        } else {
            write!(
                f,
                "the route \"{pattern}\" is claimed by both {first} and {second}; give one of them \
                 other routes in its manifest"
            )
        }
    }
}

#[derive(Debug, Clone)]
struct Route {
    pattern: Pattern,
    service: ServiceName,
    /// Index into the targets.
    target: usize,
}

/// A place in the tree of segments. The routes that end here are indices into the table's.
#[derive(Debug, Clone, Default)]
struct Node {
    literals: HashMap<Box<str>, Node>,
    any: Option<Box<Node>>,
    prefix: Option<usize>,
    exact: Option<usize>,
}

/// What a search has found: ordered by precedence, without the route itself.
#[derive(Clone, Copy)]
struct Found {
    exact: bool,
    depth: usize,
    route: usize,
}

impl<T> Table<T> {
    /// Builds a table of services, each with its patterns and what a search for them finds.
    pub fn build(
        entries: impl IntoIterator<Item = (ServiceName, Vec<Pattern>, T)>,
    ) -> Result<Self, Conflict> {
        let mut table = Self::default();
        for (service, patterns, target) in entries {
            let index = table.targets.len();
            table.targets.push(target);
            for pattern in patterns {
                table.insert(Route {
                    pattern,
                    service: service.clone(),
                    target: index,
                })?;
            }
        }
        Ok(table)
    }

    /// The target of a request. `host` is that of the request's authority, without the port, if
    /// it has one; `path` is the path as it came, without the query.
    ///
    /// A path that doesn't start with a slash, such as that of `OPTIONS *`, is nobody's.
    pub fn find(&self, host: Option<&str>, path: &str) -> Option<&T> {
        self.find_route(host, path).map(|(_, target)| target)
    }

    /// The same, with the pattern that the request matches.
    pub fn find_route(&self, host: Option<&str>, path: &str) -> Option<(&Pattern, &T)> {
        let path = path.strip_prefix('/')?;
        let named = host.and_then(|host| self.find_on_host(host, path));
        let route = self
            .routes
            .get(named.or_else(|| self.anywhere.find(path))?)?;
        Some((&route.pattern, self.targets.get(route.target)?))
    }

    /// Whether there is a pattern that asks for a host.
    pub fn names_hosts(&self) -> bool {
        !(self.hosts.is_empty() && self.wildcards.is_empty())
    }

    /// All patterns, and whose each is, service by service in the order given.
    pub fn routes(&self) -> impl Iterator<Item = (&Pattern, &ServiceName)> {
        self.routes
            .iter()
            .map(|route| (&route.pattern, &route.service))
    }

    /// Searches the routes that name this host, or one below which it is.
    fn find_on_host(&self, host: &str, path: &str) -> Option<usize> {
        let host = canonical(host)?;
        if let Some(route) = self.hosts.get(&*host).and_then(|tree| tree.find(path)) {
            return Some(route);
        }
        if self.wildcards.is_empty() {
            return None;
        }
        // The first dot leaves the longest suffix. Before it there must be a label.
        host.match_indices('.')
            .filter(|(dot, _)| *dot > 0)
            .find_map(|(dot, _)| self.wildcards.get(&host[dot + 1..])?.find(path))
    }

    fn insert(&mut self, route: Route) -> Result<(), Conflict> {
        let tree = match &route.pattern.host {
            None => &mut self.anywhere,
            Some(HostPattern::Below(suffix)) => self.wildcards.entry(suffix.clone()).or_default(),
            Some(host) => self.hosts.entry(host.to_string().into()).or_default(),
        };
        let node = route
            .pattern
            .segments
            .iter()
            .fold(tree, |node, segment| match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Any => node.any.get_or_insert_default(),
            });
        let place = if route.pattern.exact {
            &mut node.exact
        } else {
            &mut node.prefix
        };
        if let Some(first) = *place {
            return Err(Conflict {
                first: self.routes[first].service.clone(),
                second: route.service,
                pattern: route.pattern,
            });
        }
        *place = Some(self.routes.len());
        self.routes.push(route);
        Ok(())
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            routes: Vec::new(),
            targets: Vec::new(),
            hosts: HashMap::new(),
            wildcards: HashMap::new(),
            anywhere: Node::default(),
        }
    }
}

impl Node {
    /// The route with most precedence for a path without its first slash.
    fn find(&self, path: &str) -> Option<usize> {
        let mut best = None;
        self.search(Some(path), 0, &mut best);
        best.map(|found: Found| found.route)
    }

    /// Looks at this node and all below it that match `rest`, which is `None` behind the last
    /// segment. Since literals come first, of two routes that are equal otherwise the right one
    /// is found first, and stays. Visits no node twice, and goes no deeper than the patterns do.
    fn search(&self, rest: Option<&str>, depth: usize, best: &mut Option<Found>) {
        if let Some(route) = self.prefix {
            improve(
                best,
                Found {
                    exact: false,
                    depth,
                    route,
                },
            );
        }
        let Some(rest) = rest else {
            if let Some(route) = self.exact {
                improve(
                    best,
                    Found {
                        exact: true,
                        depth,
                        route,
                    },
                );
            }
            return;
        };
        let (segment, rest) = match rest.split_once('/') {
            Some((segment, rest)) => (segment, Some(rest)),
            None => (rest, None),
        };
        if !self.literals.is_empty()
            && let Some(node) = self.literals.get(&*normalized(segment))
        {
            node.search(rest, depth + 1, best);
        }
        if let Some(node) = &self.any
            && !segment.is_empty()
        {
            node.search(rest, depth + 1, best);
        }
    }
}

fn improve(best: &mut Option<Found>, found: Found) {
    let precedence = |found: &Found| (found.exact, found.depth);
    if best
        .as_ref()
        .is_none_or(|best| precedence(&found) > precedence(best))
    {
        *best = Some(found);
    }
}

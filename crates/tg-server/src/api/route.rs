//! The list of routes: one line gives the handlers of a path, the rule who may call them, and their
//! entry in the API's document. A route without a rule cannot be written, because every way to add one
//! names the rule. Holds no handler.

use std::collections::BTreeMap;

use axum::http::Method;
use utoipa::openapi::{
    HttpMethod, PathItem, extensions::Extensions, path::Operation, security::SecurityRequirement,
};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::{Door, document};

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everybody, without a token.
    Open,
    /// A project's token within its project, and the admin.
    Member,
    /// The admin only.
    Admin,
}

impl Access {
    /// The word in the API's document (`x-access`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Member => "member",
            Self::Admin => "admin",
        }
    }
}

/// Rules by path template and method.
pub type Rules = BTreeMap<String, Vec<(Method, Access)>>;

/// Routes with their rules.
#[derive(Default)]
pub struct Routes {
    router: OpenApiRouter<Door>,
    rules: Rules,
}

impl Routes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Handlers of one path that everybody may call.
    #[must_use]
    pub fn open(self, route: UtoipaMethodRouter<Door>) -> Self {
        self.add(Access::Open, route)
    }

    /// Handlers of one path for a project's token and the admin.
    #[must_use]
    pub fn member(self, route: UtoipaMethodRouter<Door>) -> Self {
        self.add(Access::Member, route)
    }

    /// Handlers of one path for the admin.
    #[must_use]
    pub fn admin(self, route: UtoipaMethodRouter<Door>) -> Self {
        self.add(Access::Admin, route)
    }

    /// The same routes under a further prefix, each with a name of its own.
    #[must_use]
    pub fn under(self, prefix: &str) -> Self {
        let mut router = OpenApiRouter::new().nest(prefix, self.router);
        for (path, item) in &mut router.get_openapi_mut().paths.paths {
            for (method, operation) in operations(item) {
                operation.operation_id = Some(name_of(&method, path));
            }
        }
        let rules = self.rules.into_iter().map(|(path, rules)| (format!("{prefix}{path}"), rules)).collect();
        Self { router, rules }
    }

    /// Takes in the routes of a resource.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        for (path, rules) in other.rules {
            self.rules.entry(path).or_default().extend(rules);
        }
        self
    }

    /// The router, its rules and its document.
    pub fn split(self) -> (axum::Router<Door>, Rules, utoipa::openapi::OpenApi) {
        let (router, document) = self.router.split_for_parts();
        (router, self.rules, document)
    }

    fn add(mut self, access: Access, (schemas, mut paths, router): UtoipaMethodRouter<Door>) -> Self {
        for (path, item) in &mut paths.paths {
            for (method, operation) in operations(item) {
                describe(operation, &method, access);
                operation.operation_id = Some(name_of(&method, path));
                self.rules.entry(path.clone()).or_default().push((method, access));
            }
        }
        self.router = self.router.routes((schemas, paths, router));
        self
    }
}

/// Operations of a path with their methods.
pub fn operations(item: &mut PathItem) -> Vec<(Method, &mut Operation)> {
    let slots = [
        (HttpMethod::Get, &mut item.get),
        (HttpMethod::Post, &mut item.post),
        (HttpMethod::Put, &mut item.put),
        (HttpMethod::Patch, &mut item.patch),
        (HttpMethod::Delete, &mut item.delete),
    ];
    slots
        .into_iter()
        .filter_map(|(method, slot)| slot.as_mut().map(|operation| (http_method(&method), operation)))
        .collect()
}

const fn http_method(method: &HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Delete => Method::DELETE,
        HttpMethod::Head => Method::HEAD,
        HttpMethod::Options => Method::OPTIONS,
        HttpMethod::Trace => Method::TRACE,
    }
}

/// A name that no other operation has: method and path in words, e.g. `get_projects_id`.
fn name_of(method: &Method, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(method.as_str().to_ascii_lowercase(), |name, word| name + "_" + word)
}

/// Adds to an operation what its rule and its method say of every such route.
fn describe(operation: &mut Operation, method: &Method, access: Access) {
    let rule = Extensions::builder().add("x-access", access.as_str()).build();
    operation.extensions.get_or_insert_with(Extensions::default).merge(rule);
    let needs_token = access != Access::Open;
    operation.security = Some(if needs_token {
        ["bearer", "project_token", "session"]
            .into_iter()
            .map(|scheme| SecurityRequirement::new(scheme, Vec::<String>::new()))
            .collect()
    } else {
        Vec::new()
    });
    document::common_answers(operation, method, access);
}

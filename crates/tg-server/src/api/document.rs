//! The API's document (`OpenAPI` 3.1), made from the same lines that route.

use axum::{extract::State, http::Method, response::Response};
use tg_core::{job::JobStatus, wire::Problem};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, Ref, RefOr, ResponseBuilder,
        path::{Operation, ParameterBuilder, ParameterIn},
        schema::{ObjectBuilder, Type},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{
    Door, answer,
    route::{Access, Routes},
};

/// Routes of the document itself.
pub fn routes() -> Routes {
    Routes::new().open(utoipa_axum::routes!(openapi))
}

/// The API's document
#[utoipa::path(get, path = "/openapi.json", tag = "meta", responses((status = 200, description = "OpenAPI 3.1", body = Object)))]
async fn openapi(State(door): State<Door>) -> Response {
    answer::json_response(door.document().to_vec())
}

/// Answers that every such operation may give beside its own.
pub fn common_answers(operation: &mut Operation, method: &Method, access: Access) {
    let mut statuses = vec![("429", "Too many requests"), ("503", "Cannot be answered now")];
    if access != Access::Open {
        statuses.push(("401", "No token, or a wrong one"));
        statuses.push(("403", "Not for this token"));
        statuses.push(("404", "No such object in this scope"));
        statuses.push(("422", "A field does not hold"));
    }
    if *method == Method::DELETE {
        statuses.push(("400", "Something has to be confirmed first"));
    }
    if *method != Method::GET {
        statuses.extend([
            ("408", "The body did not arrive in time"),
            ("409", "Not possible as things are"),
            ("412", "The object has changed"),
            ("413", "The body is too long"),
            ("415", "The body is not JSON"),
            ("422", "A field does not hold"),
        ]);
    }
    for (status, description) in statuses {
        let answer = || {
            let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            ResponseBuilder::new()
                .description(description)
                .content("application/problem+json", content)
                .build()
        };
        operation.responses.responses.entry(status.to_owned()).or_insert_with(|| RefOr::T(answer()));
    }
    if *method == Method::POST && access != Access::Open {
        let key = ParameterBuilder::new()
            .name("Idempotency-Key")
            .parameter_in(ParameterIn::Header)
            .description(Some("Kept for 24 h: the same key and body give the first answer again."))
            .schema(Some(
                ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(255)),
            ))
            .build();
        operation.parameters.get_or_insert_with(Vec::new).push(RefOr::T(key));
    }
}

/// Finishes the document that the routes made.
pub fn finish(mut document: OpenApi) -> OpenApi {
    document.info = InfoBuilder::new()
        .title("TasksGodzilla")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("Ships work through AI coding agents under a contract."))
        .build();
    document.servers = None;
    let components = document.components.take().unwrap_or_else(|| ComponentsBuilder::new().build());
    let mut components = components;
    // Words that only stand in queries.
    components.schemas.insert(JobStatus::name().into_owned(), JobStatus::schema());
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    components
        .schemas
        .insert(tg_core::wire::FieldError::name().into_owned(), tg_core::wire::FieldError::schema());
    components.add_security_scheme(
        "bearer",
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
    );
    components.add_security_scheme(
        "project_token",
        SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-Project-Token"))),
    );
    components.add_security_scheme(
        "session",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("tgz_session"))),
    );
    document.components = Some(components);
    document
}

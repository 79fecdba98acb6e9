//! The API's document (`OpenAPI` 3.1), made from the same lines that route.

use std::time::Duration;

use axum::{
    extract::State,
    http::{Method, StatusCode},
    response::Response,
};
use serde_json::json;
use tg_core::{job::JobStatus, lifecycle::Refused, wire::Problem};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        self, ComponentsBuilder, ContentBuilder, Header, HeaderBuilder, InfoBuilder, OpenApi, Ref, RefOr,
        ResponseBuilder,
        path::{Operation, ParameterBuilder, ParameterIn},
        schema::{ObjectBuilder, Type},
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use super::{
    Door, answer,
    error::ApiError,
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

/// Answers that every such operation may give beside its own, and the headers of a page.
pub fn common_answers(operation: &mut Operation, method: &Method, access: Access) {
    for status in refused_with(method, access) {
        let answer = || RefOr::Ref(Ref::from_response_name(name_of(status)));
        operation.responses.responses.entry(status.as_str().to_owned()).or_insert_with(answer);
    }
    let mut parameters = operation.parameters.iter().flatten();
    let is_list = parameters.any(|one| matches!(one, RefOr::T(one) if one.name == "cursor"));
    if let (true, Some(RefOr::T(page))) = (is_list, operation.responses.responses.get_mut("200")) {
        page.headers.extend(page_headers());
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

/// Statuses of the refusals that any such operation may give.
fn refused_with(method: &Method, access: Access) -> Vec<StatusCode> {
    let mut statuses = vec![StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
    if access != Access::Open {
        statuses.extend([
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::NOT_FOUND,
            StatusCode::UNPROCESSABLE_ENTITY,
        ]);
    }
    if *method == Method::DELETE {
        statuses.push(StatusCode::BAD_REQUEST);
    }
    if *method != Method::GET {
        statuses.extend([
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::CONFLICT,
            StatusCode::PRECONDITION_FAILED,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            StatusCode::UNPROCESSABLE_ENTITY,
        ]);
    }
    statuses
}

/// What these refusals mean, each with one as it is really sent.
fn refusals() -> [(StatusCode, &'static str, ApiError); 12] {
    let detail = "a run is archived for good; send {\"confirm\": true} when you mean it".to_owned();
    let demand = ApiError::Demand { code: "confirm_required", detail };
    let illegal = Refused::IllegalTransition {
        entity: "protocol_run",
        id: 1,
        current: "completed",
        requested: "pause",
        legal_from: vec!["pending", "planning", "planned", "running", "blocked"],
    };
    let invalid = ApiError::invalid(&["body", "step_index"], "must be from 0 to 9999");
    let limited = ApiError::RateLimited { after: Duration::from_secs(1) };
    [
        (StatusCode::BAD_REQUEST, "Something has to be confirmed first", demand),
        (StatusCode::UNAUTHORIZED, "No token, or a wrong one", ApiError::Unauthorized),
        (StatusCode::FORBIDDEN, "Not for this token", ApiError::Forbidden),
        (StatusCode::NOT_FOUND, "No such object in this scope", ApiError::missing("protocol run", 42)),
        (StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time", ApiError::Slow),
        (StatusCode::CONFLICT, "Not possible as things are", illegal.into()),
        (StatusCode::PRECONDITION_FAILED, "The object has changed", ApiError::Precondition),
        (StatusCode::PAYLOAD_TOO_LARGE, "The body is too long", ApiError::TooLarge),
        (StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body is not JSON", ApiError::MediaType),
        (StatusCode::UNPROCESSABLE_ENTITY, "A field does not hold", invalid),
        (StatusCode::TOO_MANY_REQUESTS, "Too many requests", limited),
        (StatusCode::SERVICE_UNAVAILABLE, "Cannot be answered now", ApiError::Unavailable),
    ]
}

/// Name of a refusal among the components, e.g. `NotFound`.
fn name_of(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or_default().replace(' ', "")
}

/// The refusals as components, so that each stands in the document once.
fn refused_answers() -> impl Iterator<Item = (String, RefOr<openapi::Response>)> {
    refusals().into_iter().map(|(status, description, error)| {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Problem")))
            .example(Some(json!(error.problem("019c1a2b-2b3c-7d4e-8f5a-6b7c8d9e0f1a"))))
            .build();
        let answer =
            ResponseBuilder::new().description(description).content("application/problem+json", content);
        (name_of(status), RefOr::T(answer.build()))
    })
}

/// What a page says of the next one.
fn page_headers() -> [(String, RefOr<Header>); 2] {
    let header = |description: &str, example: &str| {
        let header = HeaderBuilder::new()
            .description(Some(description))
            .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
            .example(Some(json!(example)));
        RefOr::T(header.build())
    };
    let cursor = header("`cursor` of the next page; absent on the last one.", "event-992");
    let link = "</events?limit=50&cursor=event-992>; rel=\"next\"";
    let link = header("Address of the next page; absent on the last one.", link);
    [("X-Next-Cursor".to_owned(), cursor), ("Link".to_owned(), link)]
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
    components.responses.extend(refused_answers());
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

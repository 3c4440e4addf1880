//! The doors in the OpenAPI document: what SDKs and whoever writes one send to, made from the paths that `kith-collect` serves.

use kith_collect::{Door, paths};
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, ParameterStyle, PathItem,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{AdditionalProperties, Components, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Content, OpenApi as Document, Ref, Required, Response, ResponseBuilder};

const TAG: &str = "collecting";
const JSON: &str = "application/json";
/// The scheme of the write key.
const WRITE_KEY: &str = "write_key";

/// Adds the paths of the doors, and the shapes that they answer with.
pub(super) fn describe(document: &mut Document) {
    let components = document.components.get_or_insert_default();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Basic)
        .description(Some("The write key of a source as the user name, without a password."));
    components
        .security_schemes
        .insert(WRITE_KEY.to_owned(), SecurityScheme::Http(scheme.build()));
    add_shapes(components);
    for (path, door) in paths() {
        let (method, operation) = operation(path, door);
        let operation = operation
            .operation_id(Some(format!(
                "collect{}",
                path.replace(|symbol: char| !symbol.is_ascii_alphanumeric(), "_")
            )))
            .tag(TAG);
        document
            .paths
            .paths
            .insert(path.to_owned(), PathItem::new(method, operation));
    }
}

fn operation(path: &str, door: Door) -> (HttpMethod, OperationBuilder) {
    let operation = OperationBuilder::new();
    match door {
        Door::Body(route) => {
            let what = match (route.as_str(), path) {
                (_, "/v1/merge") => {
                    "a batch, of which RudderStack's calls of the type merge are kept as rejects".to_owned()
                }
                ("batch", _) => "a batch of calls".to_owned(),
                (call, _) => format!("one call of the type {call}"),
            };
            let operation = operation
                .summary(Some(format!("Takes {what}.")))
                .description(Some(
                    "Answered once the body is on disk. A slash at the end of the path changes nothing. The write key may stand in the \
                     body or in the query as `writeKey` instead; what else stands in the query is not looked at.",
                ))
                .request_body(Some(body()))
                .securities(Some(by_key_or_as_sent()));
            (HttpMethod::Post, answered(operation, true))
        }
        Door::Pixel(route) => {
            let operation = operation
                .summary(Some(format!(
                    "Takes one call of the type {} from its query.",
                    route.as_str()
                )))
                .parameter(write_key_of_query())
                .parameter(fields_of_query())
                .securities(Some(by_key_or_as_sent()))
                .response("200", image());
            (HttpMethod::Get, answered(operation, false))
        }
        Door::Metrics => {
            let operation = operation
                .summary(Some("Takes what an SDK reports of itself, and forgets it."))
                .securities(Some(Vec::<SecurityRequirement>::new()))
                .response("200", shape("It was taken.", "CollectedBody"));
            (HttpMethod::Post, operation)
        }
        Door::Settings => {
            let operation = operation
                .summary(Some("Segment's settings, as its browser and mobile SDKs load them."))
                .parameter(
                    ParameterBuilder::new()
                        .name("write_key")
                        .parameter_in(ParameterIn::Path)
                        .required(Required::True)
                        .description(Some("The write key of a source."))
                        .schema(Some(text())),
                )
                .securities(Some(Vec::<SecurityRequirement>::new()))
                .response("200", settings());
            (HttpMethod::Get, unknown_sources(operation))
        }
        Door::SourceConfig => {
            let operation = operation
                .summary(Some("RudderStack's source configuration, as its SDKs load it."))
                .parameter(write_key_of_query())
                .securities(Some(by_key_or_as_sent()))
                .response("200", settings());
            (HttpMethod::Get, unknown_sources(operation))
        }
    }
}

/// The answers to a call, beside that to one by its query.
fn answered(operation: OperationBuilder, is_body: bool) -> OperationBuilder {
    let operation = match is_body {
        false => operation,
        true => operation
            .response(
                "200",
                shape(
                    "The body is on disk. Events of a batch that cannot be taken are told, and kept as rejects.",
                    "CollectedBody",
                ),
            )
            .response(
                "408",
                shape("The body did not arrive in time: send it again.", "CollectRefusalBody"),
            )
            .response(
                "415",
                shape(
                    "The content encodings taken are gzip, deflate and none.",
                    "CollectRefusalBody",
                ),
            ),
    };
    let refusals = [
        (
            "400",
            "The call cannot be taken, and is kept as a reject; or the body broke off.",
        ),
        ("413", "The body is larger than it may be: send smaller batches."),
        (
            "429",
            "Too much is under way, or the space has sent as much as it may: come back after `Retry-After`.",
        ),
        (
            "503",
            "Nothing can be made durable at present: come back after `Retry-After`.",
        ),
    ];
    let told = |operation: OperationBuilder, (status, why): (&str, &str)| {
        operation.response(status, shape(why, "CollectRefusalBody"))
    };
    unknown_sources(refusals.into_iter().fold(operation, told))
}

fn unknown_sources(operation: OperationBuilder) -> OperationBuilder {
    operation
        .response(
            "401",
            shape("No write key was sent, or no source has it.", "CollectRefusalBody"),
        )
        .response(
            "404",
            shape("The source of this write key is disabled.", "CollectRefusalBody"),
        )
}

/// The key in its header, or somewhere else.
fn by_key_or_as_sent() -> Vec<SecurityRequirement> {
    let by_key = SecurityRequirement::new(WRITE_KEY, Vec::<String>::new());
    vec![by_key, SecurityRequirement::default()]
}

fn write_key_of_query() -> Parameter {
    ParameterBuilder::new()
        .name("writeKey")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some("The write key, where no header has it."))
        .schema(Some(text()))
        .build()
}

fn fields_of_query() -> Parameter {
    let fields = ObjectBuilder::new().additional_properties(Some(AdditionalProperties::from(text())));
    ParameterBuilder::new()
        .name("fields")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(
            "The fields of the call, a parameter each; a dot in a name opens an object: `event=Opened&context.page.url=/a`.",
        ))
        .style(Some(ParameterStyle::Form))
        .explode(Some(true))
        .schema(Some(Schema::from(fields.build())))
        .build()
}

fn body() -> RequestBody {
    let call = || Content::new(Some(Schema::from(ObjectBuilder::new().build())));
    RequestBodyBuilder::new()
        .description(Some(
            "JSON as the SDKs of Segment and RudderStack send it, whatever the content type; gzip and deflate are unpacked.",
        ))
        .required(Some(Required::True))
        .content(JSON, call())
        .content("text/plain", call())
        .build()
}

fn image() -> Response {
    let bytes = ObjectBuilder::new().schema_type(SchemaType::new(Type::String));
    ResponseBuilder::new()
        .description("The call is on disk. The body is a transparent pixel.")
        .content("image/gif", Content::new(Some(Schema::from(bytes.build()))))
        .build()
}

fn settings() -> Response {
    let document = Schema::from(ObjectBuilder::new().build());
    ResponseBuilder::new()
        .description("The document, in the SDK's own shape.")
        .content(JSON, Content::new(Some(document)))
        .build()
}

fn shape(description: &str, name: &str) -> Response {
    ResponseBuilder::new()
        .description(description)
        .content(JSON, Content::new(Some(Ref::from_schema_name(name))))
        .build()
}

fn text() -> Schema {
    Schema::from(ObjectBuilder::new().schema_type(SchemaType::new(Type::String)).build())
}

fn add_shapes(components: &mut Components) {
    let whole = || ObjectBuilder::new().schema_type(SchemaType::new(Type::Integer)).build();
    let truth = || ObjectBuilder::new().schema_type(SchemaType::new(Type::Boolean)).build();
    let told = || {
        ObjectBuilder::new()
            .property("code", text())
            .property("message", text())
            .required("code")
            .required("message")
    };
    let rejected = told()
        .description(Some("An event that was not taken, and is kept as a reject."))
        .property("index", whole())
        .property("path", text())
        .required("index");
    let rejects = || Ref::from_schema_name("CollectRejectedBody").to_array_builder().build();
    let collected = ObjectBuilder::new()
        .description(Some("A body that was taken, and which of its events were not."))
        .property("success", truth())
        .property("rejected", rejects())
        .required("success");
    let refused = told()
        .description(Some("Why a call or a body was not taken."))
        .property("rejected", rejects());
    let shapes = [
        ("CollectRejectedBody", rejected),
        ("CollectedBody", collected),
        ("CollectRefusalBody", refused),
    ];
    for (name, shape) in shapes {
        components
            .schemas
            .insert(name.to_owned(), Schema::from(shape.build()).into());
    }
}

//! `/docs`: the API's document as a page for people. Plain HTML without a script and without anything
//! from outside; every text is escaped.

mod example;
mod kind;

use std::fmt::Write as _;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use serde_json::Value;
use utoipa_axum::routes;

use self::kind::{kind, link};
use super::{Door, route::Routes};

/// What the page may load: its own style and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; frame-ancestors 'none'";

const STYLE: &str = "\
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}
h2{margin-top:3rem;border-bottom:1px solid}
h3{margin:2rem 0 .25rem;font-size:1rem}
code,pre,h3{font-family:ui-monospace,monospace}
pre{white-space:pre-wrap;overflow-wrap:anywhere;padding:.75rem;border:1px solid;border-radius:.25rem}
table{border-collapse:collapse;width:100%}
td,th{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8884}
nav a{margin-right:1rem}
small{opacity:.75}
";

/// Routes of the page.
pub fn routes() -> Routes {
    Routes::new().open(routes!(page)).open(routes!(style))
}

/// Shows this reference.
#[utoipa::path(get, path = "/docs", tag = "meta",
    responses((status = 200, description = "A page for people", content_type = "text/html", body = String)))]
async fn page(State(door): State<Door>) -> Response {
    let mut response = text("text/html; charset=utf-8", door.reference().to_vec());
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// Gives the style of the reference.
#[utoipa::path(get, path = "/docs/style.css", tag = "meta",
    responses((status = 200, description = "Style", content_type = "text/css", body = String)))]
async fn style() -> Response {
    text("text/css; charset=utf-8", STYLE.as_bytes().to_vec())
}

fn text(kind: &'static str, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// An operation with its address.
struct Entry<'a> {
    method: String,
    path: &'a str,
    operation: &'a Value,
}

/// The page of this document.
pub fn render(document: &Value) -> String {
    let entries = entries(document);
    let mut tags: Vec<&str> = entries.iter().map(tag).collect();
    tags.sort_unstable();
    tags.dedup();
    let mut page = Page { document, text: String::new() };
    page.html(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>TasksGodzilla API</title>\
         <link rel=\"stylesheet\" href=\"/docs/style.css\"><h1>TasksGodzilla API</h1>\
         <p>Machine-readable: <a href=\"/openapi.json\">/openapi.json</a></p><nav>",
    );
    for tag in tags.iter().copied().chain(["refusals", "schemas"]) {
        page.html(&format!("<a href=\"#{0}\">{0}</a>", escape(tag)));
    }
    page.html("</nav>");
    for wanted in tags {
        page.html(&format!("<h2 id=\"{0}\">{0}</h2>", escape(wanted)));
        for entry in entries.iter().filter(|entry| tag(entry) == wanted) {
            page.operation(entry);
        }
    }
    page.html("<h2 id=\"refusals\">refusals</h2>");
    for (name, answer) in members(&document["components"]["responses"]) {
        page.html(&format!("<h3>{}</h3><p>{}</p>", escape(name), text_of(&answer["description"])));
        page.answer_examples(name, answer);
    }
    page.html("<h2 id=\"schemas\">schemas</h2>");
    for (name, schema) in members(&document["components"]["schemas"]) {
        page.schema(name, schema);
    }
    page.html("</html>");
    page.text
}

fn entries(document: &Value) -> Vec<Entry<'_>> {
    let mut found = Vec::new();
    for (path, item) in members(&document["paths"]) {
        for (method, operation) in members(item) {
            found.push(Entry { method: method.to_uppercase(), path, operation });
        }
    }
    found
}

fn tag<'a>(entry: &Entry<'a>) -> &'a str {
    entry.operation["tags"][0].as_str().unwrap_or("other")
}

fn members(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

struct Page<'a> {
    document: &'a Value,
    text: String,
}

impl Page<'_> {
    fn html(&mut self, html: &str) {
        self.text.push_str(html);
        self.text.push('\n');
    }

    fn operation(&mut self, entry: &Entry<'_>) {
        let Entry { method, path, operation } = entry;
        let said = |key: &str| escape(operation[key].as_str().unwrap_or_default());
        self.html(&format!("<h3>{} {}</h3>", escape(method), escape(path)));
        self.html(&format!("<p>{} <small>access: {}</small></p>", said("summary"), said("x-access")));
        if operation["description"] != operation["summary"] && operation["description"].is_string() {
            self.html(&format!("<p>{}</p>", said("description")));
        }
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !parameters.is_empty() {
            self.html("<table><tr><th>parameter<th>in<th>type<th>meaning");
            for one in parameters {
                self.html(&format!(
                    "<tr><td><code>{}</code><td>{}<td>{}<td>{}",
                    text_of(&one["name"]),
                    text_of(&one["in"]),
                    escape(&kind(&one["schema"])),
                    text_of(&one["description"])
                ));
                if !one["example"].is_null() {
                    self.html(&format!("<code>{}</code>", text_of(&one["example"])));
                }
            }
            self.html("</table>");
        }
        self.body(entry);
        self.answers(&operation["responses"]);
    }

    /// What is sent: a `curl` line for each example of the body.
    fn body(&mut self, entry: &Entry<'_>) {
        let content = &entry.operation["requestBody"]["content"];
        for (media, content) in members(content) {
            self.html(&format!("<p>body: {} <small>{}</small></p>", link(&content["schema"]), escape(media)));
            for example in example::of_body(self.document, content) {
                self.pre(&example::shown(media, &example));
                self.pre(&example::curl(entry, Some((media, &example))));
            }
        }
        if content.is_null() {
            self.pre(&example::curl(entry, None));
        }
    }

    fn pre(&mut self, text: &str) {
        self.html(&format!("<pre>{}</pre>", escape(text)));
    }

    fn answers(&mut self, answers: &Value) {
        self.html("<table><tr><th>status<th>answer<th>meaning");
        for (status, answer) in members(answers) {
            let answer = resolved(self.document, answer);
            let shapes: Vec<String> =
                members(&answer["content"]).map(|(_, content)| link(&content["schema"])).collect();
            self.html(&format!(
                "<tr><td>{}<td>{}<td>{}",
                escape(status),
                shapes.join(", "),
                text_of(&answer["description"])
            ));
            for (name, header) in members(&answer["headers"]) {
                self.html(&format!(
                    "<tr><td><td><code>{}</code><td>{} <code>{}</code>",
                    escape(name),
                    text_of(&header["description"]),
                    text_of(&header["example"])
                ));
            }
        }
        self.html("</table>");
        for (status, answer) in members(answers) {
            self.answer_examples(status, answer);
        }
    }

    /// Examples of an operation's own answers; refusals that many share stand in a chapter of their own.
    fn answer_examples(&mut self, status: &str, answer: &Value) {
        for (media, content) in members(&answer["content"]) {
            for example in example::of_body(self.document, content) {
                self.html(&format!("<details><summary>{} {}</summary>", escape(status), escape(media)));
                self.pre(&example::shown(media, &example));
                self.html("</details>");
            }
        }
    }

    fn schema(&mut self, name: &str, schema: &Value) {
        self.html(&format!(
            "<h3 id=\"schema-{0}\">{0}</h3><p>{1}</p>",
            escape(name),
            text_of(&schema["description"])
        ));
        if let Some(words) = schema["enum"].as_array() {
            let words: Vec<String> =
                words.iter().map(|word| format!("<code>{}</code>", text_of(word))).collect();
            self.html(&format!("<p>{}</p>", words.join(" ")));
        }
        let required = schema["required"].as_array();
        let is_required =
            |field: &str| required.is_some_and(|names| names.iter().any(|name| name.as_str() == Some(field)));
        if schema["properties"].is_object() {
            self.html("<table><tr><th>field<th>type<th>meaning");
            for (field, value) in members(&schema["properties"]) {
                let mark = if is_required(field) { " *" } else { "" };
                self.html(&format!(
                    "<tr><td><code>{}</code>{mark}<td>{}<td>{}",
                    escape(field),
                    link(value),
                    text_of(&value["description"])
                ));
            }
            self.html("</table>");
        }
    }
}

/// What stands in the document, where a reference stands for it.
fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let pointer = value["$ref"].as_str().and_then(|place| place.strip_prefix('#'));
    pointer.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

fn text_of(value: &Value) -> String {
    escape(
        &value
            .as_str()
            .map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned),
    )
}

fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            plain if plain.is_control() && plain != '\n' => {
                write!(out, "&#x{:x};", u32::from('\u{fffd}')).expect("writing to a String cannot fail");
            }
            plain => out.push(plain),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whatever_the_document_says_stays_text() {
        let document = json!({
            "paths": {"/x<script>": {"get": {"summary": "a \"<b>\" & 'c'", "tags": ["<t>"], "x-access": "open",
                "parameters": [{"name": "<i>", "in": "query", "schema": {"type": "string"}, "description": "<u>"}],
                "responses": {"200": {"description": "<s>"}}}}},
            "components": {"schemas": {"A": {"properties": {"<f>": {"type": ["array", "null"], "items": {"$ref": "#/c/B"}}}}}}
        });
        let page = render(&document);
        for hostile in ["<script>", "<b>", "<i>", "<u>", "<s>", "<f>", "<t>"] {
            assert!(!page.contains(hostile), "{hostile} in {page}");
        }
        assert!(page.contains("#schema-B"), "{page}");
        assert!(page.contains("B[]"), "{page}");
    }
}

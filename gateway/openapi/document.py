"""The document as a whole: info, operations, problems, security."""

from __future__ import annotations

import re
from collections.abc import Mapping

import orjson
from google.protobuf.descriptor import ServiceDescriptor

from gateway.contracts import FILES, IMAGE, route_table
from gateway.openapi.comments import read_comments
from gateway.openapi.examples import EXAMPLES, example_of
from gateway.openapi.names import Names
from gateway.openapi.problem_responses import ACCESS_STATUSES, COMMON_STATUSES, problem_components, problem_reference
from gateway.openapi.rules import JsonValue, Schema
from gateway.openapi.schemas import SchemaBook
from gateway.problems import STATUS_OF_REASON
from gateway.transcoding.routes import Route, RouteTable
from gateway.transcoding.templates import Variable

KEY_SCHEME = "apiKey"
TOKEN_SCHEME = "userToken"  # noqa: S105  # the scheme's name

_REASON = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")

_DESCRIPTION = """REST in front of the brandmesh services.

Every path is scoped to one brand, and an API key works for the brands and scopes that it was made for. Users of a brand
call for themselves with a token where an operation says so, and then only about themselves. A request that
creates or spends something carries a `requestId` of the caller's choice: repeating the same request gets the first
answer again, so a request whose answer was lost may always be repeated. Credits and fen are whole numbers, prices and
coins are yuan as text with two decimals, times are RFC 3339 in UTC. Refusals are `application/problem+json` (RFC 9457);
programs branch on `reason`."""


def build_document() -> Schema:
    """Build the document. Deterministic: the same contracts give the same bytes."""
    table = route_table()
    names = Names(table)
    book = SchemaBook(read_comments(IMAGE), names)
    paths: dict[str, JsonValue] = {}
    for route in table.routes:
        path = paths.setdefault(_path(route), {})
        if isinstance(path, dict):
            path[route.http_method.lower()] = _operation(route, book, names)
    return {
        "openapi": "3.1.0",
        "info": {"title": "brandmesh", "version": "v1", "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [_tag(service, book) for service in _services(table)],
        "paths": paths,
        "components": {
            "schemas": {**dict(sorted(book.schemas.items())), **problem_components()["schemas"]},
            "responses": problem_components()["responses"],
            "securitySchemes": _security_schemes(),
        },
    }


def _security_schemes() -> Schema:
    return {
        KEY_SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key, `bm_...`, made with `python -m gateway.keys create`.",
        },
        TOKEN_SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "The access token of a user, as `logIn` answers it. It works for some minutes, and where "
            "the brand of the path, and its user if there is one, are the token's.",
        },
    }


def render_document(document: Mapping[str, JsonValue]) -> bytes:
    """Write the document as it is committed and served."""
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"


def reasons_of(comment: str) -> list[str]:
    """The reasons that a service's comment names."""
    return list(dict.fromkeys(_REASON.findall(comment)))


def _services(table: RouteTable) -> list[ServiceDescriptor]:
    used = {route.method.containing_service.full_name for route in table.routes}
    services = [service for file in FILES for service in file.services_by_name.values()]
    return [service for service in services if service.full_name in used]


def _tag(service: ServiceDescriptor, book: SchemaBook) -> JsonValue:
    comment = book.comment(service.full_name)
    return {"name": service.name, "description": comment, "x-reasons": list(reasons_of(comment))}


def _path(route: Route) -> str:
    fields = route.method.input_type.fields_by_name
    segments = [
        f"{{{fields[segment.field].json_name}}}" if isinstance(segment, Variable) else segment
        for segment in route.template.segments
    ]
    return "/" + "/".join(segments) + (f":{route.template.verb}" if route.template.verb else "")


def _operation(route: Route, book: SchemaBook, names: Names) -> Schema:
    comment = book.comment(route.rpc)
    summary, _, rest = comment.partition(". ")
    service = route.method.containing_service
    operation: Schema = {
        "operationId": names.operation_id(route.method),
        "tags": [service.name],
        "summary": summary.removesuffix("."),
        "description": f"{rest}\n\n{_access(route)}".strip(),
        "security": _security(route),
        "parameters": _parameters(route, book),
    }
    if body := _request_body(route, book, names):
        operation["requestBody"] = body
    operation["responses"] = _responses(route, book, "requestBody" in operation)
    return operation


def _access(route: Route) -> str:
    if route.open_to_all:
        return "Open to all, without a key or a token."
    return f"Scope: `{route.scope}`." + (" Open to users with their token." if route.open_to_users else "")


def _security(route: Route) -> list[JsonValue]:
    """Say what a caller shows: one of these, or nothing where there are none."""
    if route.open_to_all:
        return []
    key: Schema = {KEY_SCHEME: [route.scope]}
    token: Schema = {TOKEN_SCHEME: []}
    return [key, token] if route.open_to_users else [key]


def _parameters(route: Route, book: SchemaBook) -> list[JsonValue]:
    fields = route.method.input_type.fields_by_name
    parameters: list[JsonValue] = []
    for place, names in (("path", route.template.fields), ("query", route.query_fields)):
        for name in names:
            schema = book.field_schema(fields[name], is_request=True)
            parameter: Schema = {
                "name": fields[name].json_name,
                "in": place,
                "required": place == "path",
                "description": schema.pop("description"),
                "schema": schema,
            }
            if place == "path" and fields[name].json_name in EXAMPLES:
                parameter["example"] = EXAMPLES[fields[name].json_name]
            parameters.append(parameter)
    return parameters


def _request_body(route: Route, book: SchemaBook, names: Names) -> Schema | None:
    if not route.has_body:
        return None
    schema = book.request_schema(route.method.input_type, route.template.fields)
    properties = schema["properties"]
    if not isinstance(properties, dict) or not properties:
        return None
    example = example_of(properties, names.operation_id(route.method))
    return {
        "required": "required" in schema,
        "content": {"application/json": {"schema": schema, "example": example}},
    }


def _responses(route: Route, book: SchemaBook, has_body: bool) -> Schema:
    reference = book.message_reference(route.method.output_type, is_request=False)
    described = book.comment(route.method.output_type.full_name)
    responses: Schema = {"200": {"description": described, "content": {"application/json": {"schema": reference}}}}
    reasons = reasons_of(book.comment(route.method.containing_service.full_name))
    own = {STATUS_OF_REASON[reason] for reason in reasons if reason in STATUS_OF_REASON and route.has_body}
    access = () if route.open_to_all else ACCESS_STATUSES
    for status in sorted({*COMMON_STATUSES, *access, *own, *((413, 415) if has_body else ())}):
        responses[str(status)] = problem_reference(status)
    return responses

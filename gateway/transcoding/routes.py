"""The REST paths of the contracts: one `Route` an rpc with a google.api.http annotation.

Supported: get, put, post, patch and delete; paths as in templates.py over scalar fields; `body: "*"` or none; the
other fields of a request without a body as query parameters. Everything else is refused here, before the gateway
serves, with the rpc and the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import Descriptor, FileDescriptor, MethodDescriptor

from brandmesh.options.v1 import options_pb2
from gateway.transcoding.faults import ContractError
from gateway.transcoding.scalars import is_integer, text_decoder
from gateway.transcoding.templates import PathTemplate, PathTree, TemplateError, parse_template

BRAND_JSON_NAME = "brandId"
"""JSON name of the field, and the path's variable, that an API key's brands are checked against: `brand_id`, or the
`brandId` of contracts that were here before the naming rule."""

USER_JSON_NAME = "userId"
"""JSON name of the field, and the path's variable, that a user's token is checked against."""

_BODY_METHODS = frozenset({"post", "put", "patch"})


@dataclass(frozen=True, slots=True)
class Route:
    """One rpc as a REST operation.

    `scope` is what an API key needs; empty where the operation is open to all and takes no keys.
    """

    method: MethodDescriptor
    http_method: str
    template: PathTemplate
    has_body: bool
    scope: str
    open_to_users: bool
    open_to_all: bool
    batch: MethodDescriptor | None

    @property
    def rpc(self) -> str:
        """The rpc's full name, for messages to people."""
        return str(self.method.full_name)

    @property
    def brand_field(self) -> str | None:
        """The request's field that names the brand."""
        return _field_named(self.method.input_type, BRAND_JSON_NAME)

    @property
    def user_field(self) -> str | None:
        """The request's field that names the user."""
        return _field_named(self.method.input_type, USER_JSON_NAME)

    @property
    def query_fields(self) -> tuple[str, ...]:
        """Fields of the request that come as query parameters."""
        if self.has_body:
            return ()
        bound = self.template.fields
        return tuple(field.name for field in self.method.input_type.fields if field.name not in bound)


class RouteTable:
    """All routes."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Raises ContractError when two rpcs have one method and path."""
        self.routes = tuple(routes)
        paths: PathTree[Route] = PathTree()
        for route in self.routes:
            other = paths.add(route.http_method, route.template, route)
            if other is not None:
                raise ContractError(route.rpc, f"{route.http_method} {route.template.text} is the path of {other.rpc}")


def build_routes(files: Iterable[FileDescriptor]) -> RouteTable:
    """Read the routes of all services in `files`. Raises ContractError."""
    return RouteTable(route for file in files for route in _routes_of(file))


def _routes_of(file: FileDescriptor) -> Iterator[Route]:
    for service in file.services_by_name.values():
        for method in service.methods:
            options = method.GetOptions()
            if options.HasExtension(annotations_pb2.http):
                yield _build_route(method, options.Extensions[annotations_pb2.http])


def _build_route(method: MethodDescriptor, rule: http_pb2.HttpRule) -> Route:
    rpc = method.full_name
    if method.client_streaming or method.server_streaming:
        raise ContractError(rpc, "streams have no REST form")
    options = method.GetOptions()
    http_method, template = _http_method_and_path(rpc, rule)
    route = Route(
        method=method,
        http_method=http_method.upper(),
        template=template,
        has_body=rule.body == "*",
        scope=options.Extensions[options_pb2.required_scope],
        open_to_users=options.Extensions[options_pb2.open_to_users],
        open_to_all=options.Extensions[options_pb2.open_to_all],
        batch=_batch_of(method, options.Extensions[options_pb2.batched_by]),
    )
    _check_fields(route)
    _check_brand(route)
    _check_access(route)
    return route


def _http_method_and_path(rpc: str, rule: http_pb2.HttpRule) -> tuple[str, PathTemplate]:
    http_method = rule.WhichOneof("pattern")
    if http_method is None or http_method == "custom":
        raise ContractError(rpc, "google.api.http needs one of get, put, post, patch, delete")
    if rule.additional_bindings:
        raise ContractError(rpc, "additional_bindings are not supported: an rpc has one path")
    if rule.response_body:
        raise ContractError(rpc, "response_body is not supported: the whole response is the body")
    if rule.body not in {"", "*"}:
        raise ContractError(rpc, f'body: "{rule.body}" is not supported, use "*" or none')
    if (rule.body == "*") != (http_method in _BODY_METHODS):
        raise ContractError(rpc, 'post, put and patch take body: "*", get and delete take none')
    try:
        return http_method, parse_template(getattr(rule, http_method))
    except TemplateError as error:
        raise ContractError(rpc, str(error)) from error


def _check_fields(route: Route) -> None:
    fields = route.method.input_type.fields_by_name
    for name in route.template.fields:
        if name not in fields:
            raise ContractError(route.rpc, f"path field {name} is not a field of {route.method.input_type.full_name}")
        if fields[name].is_repeated or text_decoder(fields[name]) is None:
            raise ContractError(route.rpc, f"path field {name} is not a single scalar")
    for name in route.query_fields:
        if text_decoder(fields[name]) is None:
            raise ContractError(route.rpc, f"query field {name} is neither a scalar nor an enum")


def _check_brand(route: Route) -> None:
    """A key is checked against the path's brand alone, so no other brand may get in by another way."""
    request, brand_field = route.method.input_type, route.brand_field
    if brand_field in route.template.fields:
        if not is_integer(request.fields_by_name[brand_field]):
            raise ContractError(route.rpc, f"{brand_field} is not a whole number")
    elif brand_field is not None or "brands" in route.template.segments:
        raise ContractError(route.rpc, f"is about a brand and its path has no {{{brand_field or 'brand_id'}}}")
    for field in request.fields:
        if field.message_type is not None and _holds(field.message_type, BRAND_JSON_NAME, set()):
            raise ContractError(route.rpc, f"{field.name} holds a brand_id that no key is checked against")


def _check_access(route: Route) -> None:
    """A scope or open_to_all tells who may ask, never both; a user's token is checked against the path alone."""
    if not route.scope and not route.open_to_all:
        raise ContractError(route.rpc, "has a path and no (brandmesh.options.v1.required_scope)")
    if route.open_to_all and (route.scope or route.open_to_users):
        raise ContractError(route.rpc, "is open to all, and so has neither a scope nor is it open to users")
    if route.open_to_users:
        _check_user(route)


def _check_user(route: Route) -> None:
    if route.brand_field not in route.template.fields:
        raise ContractError(route.rpc, "is open to users and its path has no {brand_id}")
    user_field = route.user_field
    if user_field is not None and user_field not in route.template.fields:
        raise ContractError(route.rpc, f"is open to users and its path has no {{{user_field}}}")
    for field in route.method.input_type.fields:
        if field.message_type is not None and _holds(field.message_type, USER_JSON_NAME, set()):
            raise ContractError(route.rpc, f"{field.name} holds a user_id that no token is checked against")


def _field_named(message: Descriptor, json_name: str) -> str | None:
    return next((field.name for field in message.fields if field.json_name == json_name), None)


def _holds(message: Descriptor, json_name: str, seen: set[str]) -> bool:
    """Whether a message, or one inside it, has such a field."""
    if message.full_name in seen:
        return False
    seen.add(message.full_name)
    return _field_named(message, json_name) is not None or any(
        field.message_type is not None and _holds(field.message_type, json_name, seen) for field in message.fields
    )


def _batch_of(method: MethodDescriptor, name: str) -> MethodDescriptor | None:
    """Find the Batch rpc that (brandmesh.options.v1.batched_by) names, and check its form."""
    if not name:
        return None
    batch = method.containing_service.methods_by_name.get(name)
    if batch is None:
        raise ContractError(method.full_name, f"batched_by names {name}, which its service does not have")
    requests = batch.input_type.fields_by_name.get("requests")
    if requests is None or requests.message_type is not method.input_type:
        raise ContractError(method.full_name, f"{name} does not take `repeated {method.input_type.name} requests`")
    results = batch.output_type.fields_by_name.get("results")
    result = results.message_type if results is not None else None
    response = result.fields_by_name.get("response") if result is not None else None
    if result is None or "outcome" not in result.oneofs_by_name or "error" not in result.fields_by_name:
        raise ContractError(method.full_name, f"{name} does not answer `repeated` results with a oneof outcome")
    if response is None or response.message_type is not method.output_type:
        raise ContractError(method.full_name, f"{name} does not answer {method.output_type.name} as `response`")
    return batch

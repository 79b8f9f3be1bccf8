import pytest
from google.protobuf import descriptor_pb2

from gateway.contracts import FILES, IMAGE, known_scopes, route_table
from gateway.transcoding.binding import RequestBinder
from gateway.transcoding.faults import ContractError
from gateway.transcoding.json_encoding import response_encoder
from gateway.transcoding.routes import build_routes
from tests.gateway.harness import CompileProto

MESSAGES = """
message Ask {
  int64 brand_id = 1;
  string name = 2;
  repeated string tags = 3;
  Part part = 4;
  bytes raw = 5;
  double ratio = 6;
}
message Part { string word = 1; }
message Plain { int64 brand_id = 1; string name = 2; }
message Holder { int64 brand_id = 1; repeated Plain plain = 2; }
message Whole { int64 brand_id = 1; Whole inner = 2; }
message Answer { string text = 1; }
message Elder { int64 brandId = 1; string name = 2; }
message Grouped { int64 brand_id = 1; Elder elder = 2; }
message Floating { double ratio = 1; }
message Loose { google.protobuf.Any any = 1; }
message Owned { int64 brand_id = 1; string user_id = 2; string name = 3; }
message Nested { int64 brand_id = 1; Owner owner = 2; }
message Owner { string user_id = 1; }
message Homeless { string user_id = 1; }
"""

SCOPE = 'option (brandmesh.options.v1.required_scope) = "trial:use";'


def service(rule: str, request: str = "Plain", response: str = "Answer", scope: str = SCOPE, more: str = "") -> str:
    rpc = f"rpc Try({request}) returns ({response}) {{ option (google.api.http) = {{{rule}}}; {scope} }}"
    return f"{MESSAGES} service Trial {{ {rpc} {more} }}"


USERS = "option (brandmesh.options.v1.open_to_users) = true;"
ALL = "option (brandmesh.options.v1.open_to_all) = true;"
OWN = 'get: "/v1/brands/{brand_id}/users/{user_id}/{name}"'
GET = 'get: "/v1/brands/{brand_id}/{name}"'
POST = 'post: "/v1/brands/{brand_id}/asks" body: "*"'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (service(GET, scope=""), "no \\(brandmesh.options.v1.required_scope\\)"),
        (service('get: "/v1/brands/{brand_id}/**"'), "neither a literal"),
        (service('get: "/v1/brands/{brand_id}/{part.word}"', "Ask"), "neither a literal"),
        (service('get: "/v1/brands/{brand_id}/{other}"'), "path field other is not a field"),
        (service('get: "/v1/brands/{brand_id}/{tags}"', "Ask"), "path field tags is not a single scalar"),
        (service('get: "/v1/brands/{brand_id}/{part}"', "Ask"), "path field part is not a single scalar"),
        (service('get: "/v1/brands/{brand_id}/{raw}"', "Ask"), "path field raw is not a single scalar"),
        (service(GET, "Ask"), "query field part is neither a scalar nor an enum"),
        (service('get: "/v1/brands/{brand_id}/a" additional_bindings { get: "/v1/b" }'), "additional_bindings"),
        (service(GET + ' response_body: "text"'), "response_body"),
        (service('post: "/v1/brands/{brand_id}/a" body: "name"'), 'body: "name" is not supported'),
        (service('post: "/v1/brands/{brand_id}/a"'), 'take body: "\\*"'),
        (service(GET + ' body: "*"'), "get and delete take none"),
        (service('custom { kind: "HEAD" path: "/v1/a" }'), "one of get, put, post, patch, delete"),
        (service('get: "/v1/{name}"'), "its path has no {brand_id}"),
        (service('get: "/v1/brands/{text}"', "Answer"), "its path has no {brand_id}"),
        (service('post: "/v1/{name}" body: "*"', "Elder"), "its path has no {brandId}"),
        (service(POST, "Grouped"), "elder holds a brand_id that no key is checked against"),
        (service(POST, "Holder"), "plain holds a brand_id that no key is checked against"),
        (service(POST, "Whole"), "inner holds a brand_id"),
        (service(GET, "Owned", scope=SCOPE + USERS), "is open to users and its path has no {user_id}"),
        (service(POST, "Owned", scope=SCOPE + USERS), "is open to users and its path has no {user_id}"),
        (service(POST, "Nested", scope=SCOPE + USERS), "owner holds a user_id that no token is checked against"),
        (service('get: "/v1/answers/{text}"', "Answer", scope=SCOPE + USERS), "its path has no {brand_id}"),
        (service('get: "/v1/users/{user_id}"', "Homeless", scope=SCOPE + USERS), "its path has no {brand_id}"),
        (service(OWN, "Owned", scope=USERS), "no \\(brandmesh.options.v1.required_scope\\)"),
        (service(OWN, "Owned", scope=SCOPE + ALL), "is open to all, and so has neither a scope"),
        (service(OWN, "Owned", scope=USERS + ALL), "is open to all, and so has neither a scope"),
        (service(GET, "stream Plain"), "streams have no REST form"),
        (
            service(GET, more=f"rpc Again(Plain) returns (Answer) {{ option (google.api.http) = {{{GET}}}; {SCOPE} }}"),
            "is the path of trial.v1.Trial.Try",
        ),
        (
            service(GET, scope=SCOPE + 'option (brandmesh.options.v1.batched_by) = "Many";'),
            "batched_by names Many, which its service does not have",
        ),
        (
            service(
                GET,
                scope=SCOPE + 'option (brandmesh.options.v1.batched_by) = "Many";',
                more="rpc Many(Holder) returns (Answer);",
            ),
            "does not take `repeated Plain requests`",
        ),
    ],
)
def test_contract_that_asks_for_more_is_refused_with_rpc_and_reason(
    compile_proto: CompileProto, text: str, reason: str
) -> None:
    with pytest.raises(ContractError, match=reason.replace("{", r"\{")) as refusal:
        build_routes([compile_proto(text)])
    assert str(refusal.value).startswith("trial.v1.Trial.")


@pytest.mark.parametrize(
    ("request_type", "reason"),
    [("Ask", "trial.v1.Ask.raw has a type without a JSON mapping"), ("Whole2", "contains itself")],
)
def test_body_without_a_json_mapping_is_refused(compile_proto: CompileProto, request_type: str, reason: str) -> None:
    text = (
        service(POST, request_type)
        + "message Whole2 { int64 brand_id = 1; Ring ring = 2; } message Ring { Ring r = 1; }"
    )
    (route,) = build_routes([compile_proto(text)]).routes
    with pytest.raises(ContractError, match=reason):
        RequestBinder(route)


@pytest.mark.parametrize("response", ["Floating", "Loose"])
def test_response_without_a_json_mapping_is_refused(compile_proto: CompileProto, response: str) -> None:
    (route,) = build_routes([compile_proto(service(GET, response=response))]).routes
    with pytest.raises(ContractError, match="without a JSON mapping"):
        response_encoder(route.method.output_type, route.rpc)


def test_who_may_use_a_route_is_read_from_its_options(compile_proto: CompileProto) -> None:
    own = build_routes([compile_proto(service(OWN, "Owned", scope=SCOPE + USERS))]).routes[0]
    assert (own.scope, own.open_to_users, own.open_to_all, own.user_field) == ("trial:use", True, False, "user_id")
    brands = build_routes([compile_proto(service(GET, scope=SCOPE + USERS))]).routes[0]
    assert (brands.open_to_users, brands.user_field) == (True, None)
    everybodys = build_routes([compile_proto(service(OWN, "Owned", scope=ALL))]).routes[0]
    assert (everybodys.scope, everybodys.open_to_users, everybodys.open_to_all) == ("", False, True)


def test_path_of_an_rpc_without_a_brand_is_allowed(compile_proto: CompileProto) -> None:
    (route,) = build_routes([compile_proto(service('get: "/v1/answers/{text}"', "Answer"))]).routes
    assert route.template.fields == ("text",)


def test_every_file_of_the_contracts_with_paths_is_served() -> None:
    image = descriptor_pb2.FileDescriptorSet.FromString(IMAGE.read_bytes())
    with_paths = {
        file.name
        for file in image.file
        if file.name.startswith("brandmesh/") and "google/api/annotations.proto" in file.dependency
    }
    assert {file.name for file in FILES} == with_paths


def test_routes_of_the_contracts() -> None:
    routes = {(route.http_method, route.template.text): route for route in route_table().routes}
    send = routes["POST", "/v1/brands/{brand_id}/sms"]
    assert send.scope == "sms:send"
    assert send.batch is not None
    assert send.batch.name == "BatchSendSms"
    listing = routes["GET", "/v1/brands/{brand_id}/sms"]
    assert listing.query_fields == ("task_id", "phone", "status", "page_size", "page_token")
    assert known_scopes() == {
        f"{subject}:{action}"
        for subject, actions in {
            "account": ["read"],
            "carts": ["read", "write"],
            "coupons": ["read", "write"],
            "flashsales": ["read", "write"],
            "goods": ["read", "write"],
            "im": ["send", "read", "admin"],
            "orders": ["read", "write", "ship", "refund"],
            "packages": ["read", "write"],
            "sms": ["send", "read"],
            "users": ["read", "write"],
            "wallets": ["read", "write"],
        }.items()
        for action in actions
    }
    assert {route.rpc for route in route_table().routes if route.open_to_all} == {
        f"brandmesh.user.v1.UserService.{name}" for name in ("RegisterUser", "LogIn", "RefreshTokens", "LogOut")
    }

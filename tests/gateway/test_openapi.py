import json
from pathlib import Path
from typing import Any

import protovalidate
import pytest
from google.protobuf.message_factory import GetMessageClass
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.contracts import FILES, route_table
from gateway.docs_page.html import escape, inline, prose, tag
from gateway.docs_page.page import render_page
from gateway.openapi import build_document, render_document
from gateway.openapi.names import Names
from gateway.refusals import REASONS
from gateway.transcoding.binding import RequestBinder
from gateway.transcoding.routes import Route
from mesh.errors import DomainError
from tests.gateway.harness import BRAND, Served

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(render_document(build_document()))
    return parsed


def test_committed_document_is_what_the_contracts_say() -> None:
    assert COMMITTED.read_bytes() == render_document(build_document()), (
        "run `python -m gateway.openapi > docs/openapi.json`"
    )


def test_document_is_valid(document: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_every_rpc_with_a_path_is_described(document: dict[str, Any]) -> None:
    operations = {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert len(operations) == len(route_table().routes)
    for operation in operations.values():
        assert operation["summary"]
        assert operation["responses"]["200"]["description"]
        assert {"401", "429", "503"} <= operation["responses"].keys()
        assert ("403" in operation["responses"]) == bool(operation["security"])
    send = operations["POST", "/v1/brands/{brandId}/sms"]
    assert send["security"] == [{"apiKey": ["sms:send"]}]
    assert "402" in send["responses"]
    cart = operations["GET", "/v1/brands/{brandId}/users/{userId}/cart"]
    assert cart["security"] == [{"apiKey": ["carts:read"]}, {"userToken": []}]
    assert "Open to users with their token." in cart["description"]
    login = operations["POST", "/v1/brands/{brandId}/users:logIn"]
    assert login["security"] == []
    assert "Open to all" in login["description"]
    assert len({operation["operationId"] for operation in operations.values()}) == len(operations)


def test_what_contracts_call_alike_is_led_by_the_service(document: dict[str, Any]) -> None:
    package_order = document["paths"]["/v1/brands/{brandId}/smsPackageOrders"]["post"]
    order = document["paths"]["/v1/brands/{brandId}/users/{userId}/orders"]["post"]
    assert (package_order["operationId"], order["operationId"]) == ("smsPackageCreateOrder", "createOrder")
    assert "package" in document["components"]["schemas"]["SmsPackageOrder"]["properties"]
    assert "consignee" in document["components"]["schemas"]["Order"]["properties"]


def test_rules_and_comments_of_the_contracts_are_there(document: dict[str, Any]) -> None:
    send = document["paths"]["/v1/brands/{brandId}/sms"]["post"]
    body = send["requestBody"]["content"]["application/json"]["schema"]
    assert "brandId" not in body["properties"]
    assert body["additionalProperties"] is False
    assert set(body["required"]) == {"requestId", "type", "phones", "content", "signature"}
    phones, content = body["properties"]["phones"], body["properties"]["content"]
    assert (phones["minItems"], phones["maxItems"], phones["items"]) == (1, 100_000, {"type": "string"})
    assert (content["minLength"], content["maxLength"]) == (1, 532)
    assert content["description"].startswith("The text without the signature.")
    assert "536" in content["description"]
    assert body["properties"]["requestId"]["pattern"] == "^[A-Za-z0-9._:/@+-]+$"
    assert body["properties"]["type"]["enum"] == ["verification", "notification", "marketing"]
    (brand,) = send["parameters"]
    assert brand["schema"]["maximum"] == 9_007_199_254_740_991
    status = document["components"]["schemas"]["SmsStatus"]
    assert "delivered" in status["enum"]
    assert "`delivered`: The handset has it. Terminal." in status["description"]


def test_everything_has_a_description(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert schema["description"], name
        for field, described in schema.get("properties", {}).items():
            assert described.get("description") or "$ref" in described, f"{name}.{field}"


@pytest.mark.parametrize("route", [route for route in route_table().routes if route.has_body], ids=lambda r: r.rpc)
def test_examples_are_requests_that_the_contracts_allow(document: dict[str, Any], route: Route) -> None:
    operation = _operation_of(document, route)
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {"example": {}})
    examples = {parameter["name"]: parameter["example"] for parameter in operation["parameters"]}
    binder = RequestBinder(route)
    fields = route.method.input_type.fields_by_name
    values = [str(examples[fields[field].json_name]) for field in route.template.fields]
    request = binder.bind(binder.bind_path(values), b"", json.dumps(content["example"]).encode())
    assert isinstance(request, GetMessageClass(route.method.input_type))
    protovalidate.validate(request)


def test_what_a_schema_requires_is_what_the_rules_refuse(document: dict[str, Any]) -> None:
    """Leaving out a required field breaks the contract's rules, and leaving out any other does not."""
    for route in route_table().routes:
        if not route.has_body or not route.template.fields:
            continue
        body = _operation_of(document, route).get("requestBody")
        if body is None:
            continue
        content = body["content"]["application/json"]
        for left_out in content["schema"]["properties"]:
            rest = {name: value for name, value in content["example"].items() if name != left_out}
            assert _breaks_rules(route, rest) == (left_out in content["schema"].get("required", [])), left_out


def _operation_of(document: dict[str, Any], route: Route) -> dict[str, Any]:
    name = Names(route_table()).operation_id(route.method)
    (operation,) = [
        operation
        for methods in document["paths"].values()
        for operation in methods.values()
        if operation["operationId"] == name
    ]
    found: dict[str, Any] = operation
    return found


def _breaks_rules(route: Route, body: dict[str, Any]) -> bool:
    binder = RequestBinder(route)
    values = [str(BRAND) if name == "brand_id" else "1" for name in route.template.fields]
    try:
        protovalidate.validate(binder.bind(binder.bind_path(values), b"", json.dumps(body).encode()))
    except (protovalidate.ValidationError, DomainError):
        return True
    return False


def test_page_names_every_operation_schema_and_reason(document: dict[str, Any]) -> None:
    page = render_page(document)
    for file in FILES:
        assert file.package.split(".")[1] in page.lower()
    for methods in document["paths"].values():
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in page
    for name in document["components"]["schemas"]:
        assert f'id="schema-{name}"' in page
    for reason in [*REASONS, "INSUFFICIENT_CREDIT", "SMS_NOT_FOUND"]:
        assert page.count(f'id="error-{reason}"') == 1
    assert "src=" not in page
    assert "<script" not in page
    assert "://" not in page.replace("https://www.w3.org", "")


def test_links_of_the_page_lead_somewhere(document: dict[str, Any]) -> None:
    page = render_page(document)
    targets = {part.split('"')[0] for part in page.split('href="#')[1:]}
    assert targets
    for target in targets:
        assert f'id="{target}"' in page, target


def test_text_cannot_become_markup() -> None:
    assert escape('<b>&"') == "&lt;b&gt;&amp;&quot;"
    assert tag("a", "<i>", href='"><script>') == '<a href="&quot;&gt;&lt;script&gt;">&lt;i&gt;</a>'
    assert inline("`<a>` & b") == "<code>&lt;a&gt;</code> &amp; b"
    assert prose("a\nb\n\n- <c>\n- d") == "<p>a b</p><ul><li>&lt;c&gt;</li><li>d</li></ul>"


@pytest.mark.asyncio(loop_scope="session")
async def test_documentation_is_served(served: Served) -> None:
    async with served.http.get("/openapi.json") as response:
        assert response.content_type == "application/json"
        assert await response.read() == COMMITTED.read_bytes()
    async with served.http.get("/docs") as response:
        assert response.content_type == "text/html"
        assert response.headers["content-security-policy"].startswith("default-src 'none'")
    async with served.http.get("/docs/errors/INSUFFICIENT_CREDIT", allow_redirects=False) as response:
        assert response.headers["location"] == "/docs#error-INSUFFICIENT_CREDIT"
    for hostile in ("x", "A%0d%0aset-cookie:a", "%3Cscript%3E"):
        async with served.http.get(f"/docs/errors/{hostile}", allow_redirects=False) as response:
            assert response.status == 404
            assert "set-cookie" not in response.headers

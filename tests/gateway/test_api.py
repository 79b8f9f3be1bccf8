import asyncio
import io
import json
import time
from typing import Any

import pytest

from brandmesh.sms.v1 import sms_pb2
from tests.gateway.harness import BRAND, Served, ServeGateway

pytestmark = pytest.mark.asyncio(loop_scope="session")

SEND = {
    "requestId": "a-1",
    "type": "notification",
    "phones": ["13800138000"],
    "content": "Your table is ready",
    "signature": "Cloud Baths",
}
SMS = f"/v1/brands/{BRAND}/sms"


async def ask(served: Served, method: str, path: str, **request: Any) -> tuple[int, dict[str, Any], Any]:
    """Make one request; answer status, body and headers."""
    request.setdefault("headers", served.headers())
    async with served.http.request(method, path, **request) as response:
        text = await response.text()
        return response.status, json.loads(text) if text else {}, response.headers


async def ask_large(served: Served, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any], Any]:
    headers = {**served.headers(), "content-type": "application/json"}
    return await ask(served, "POST", path, data=io.BytesIO(json.dumps(body).encode()), headers=headers)


async def refusal(served: Served, method: str, path: str, **request: Any) -> tuple[int, str, dict[str, Any]]:
    """Make a request that must be refused as a problem; answer status, reason and the problem."""
    status, problem, headers = await ask(served, method, path, **request)
    assert headers["content-type"] == "application/problem+json", problem
    assert problem["status"] == status
    assert problem["type"] == f"/docs/errors/{problem['reason']}"
    assert problem["requestId"] == headers["x-request-id"]
    assert problem["title"]
    assert problem["detail"]
    assert "Traceback" not in json.dumps(problem)
    return status, problem["reason"], problem


def get_head(served: Served, path: str) -> bytes:
    head = f"GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {served.key}\r\nconnection: close\r\n\r\n"
    return head.encode()


async def test_send_goes_to_its_rpc_and_back(served: Served) -> None:
    request = {**SEND, "requestId": "there-and-back", "scheduleTime": "2027-01-31T08:30:00+08:00"}
    status, answer, headers = await ask(served, "POST", SMS, json=request)
    assert status == 200
    assert answer == {
        "taskId": "7",
        "messages": [],
        "acceptedCount": 1,
        "blockedCount": 0,
        "frozen": 1,
        "freezeId": f"{BRAND}-1",
    }
    assert headers["content-type"] == "application/json"
    assert headers["cache-control"] == "no-store"
    ((sent,),) = [batch for batch in served.sms.batches if batch[0].request_id == "there-and-back"]
    assert sent.brand_id == BRAND
    assert sent.type == sms_pb2.SMS_TYPE_NOTIFICATION
    assert sent.schedule_time.ToJsonString() == "2027-01-31T00:30:00Z"


async def test_query_parameters_are_read_by_both_names(served: Served) -> None:
    path = f"{SMS}?pageSize=5&page_token=a%20b&status=DELIVERED&phone=%2B8613800138000"
    status, answer, _ = await ask(served, "GET", path)
    assert (status, answer["nextPageToken"]) == (200, "more")
    listing = served.sms.listings[-1]
    assert (listing.page_size, listing.page_token, listing.phone) == (5, "a b", "+8613800138000")
    assert listing.status == sms_pb2.SMS_STATUS_DELIVERED


async def test_path_values_are_read(served: Served) -> None:
    _, answer, _ = await ask(served, "GET", f"{SMS}/42")
    assert answer["sms"]["messageId"] == "42"
    assert answer["sms"]["createTime"] == "2023-11-14T22:13:20.000Z"
    assert answer["sms"]["segments"] == 0
    _, answer, _ = await ask(served, "POST", f"{SMS}/42:cancel")
    assert answer["sms"]["messageId"] == "42"
    _, answer, _ = await ask(served, "DELETE", f"/v1/brands/{BRAND}/smsBlocks/+8613800138000")
    assert answer == {}
    assert served.sms.unblocked[-1] == "+8613800138000"


async def test_head_is_get_without_a_body(served: Served) -> None:
    status, answer, headers = await ask(served, "HEAD", f"{SMS}/42")
    assert (status, answer) == (200, {})
    assert int(headers["content-length"]) > 0


async def test_peers_other_than_sms_are_called(served: Served) -> None:
    status, answer, _ = await ask(served, "GET", f"/v1/brands/{BRAND}/smsAccount")
    assert (status, answer["brandId"], answer["available"]) == (200, BRAND, 0)


async def test_refusal_of_a_service_keeps_reason_figures_and_words(served: Served) -> None:
    request = {**SEND, "requestId": "no-credit", "content": "no credit"}
    status, reason, problem = await refusal(served, "POST", SMS, json=request)
    assert (status, reason) == (402, "INSUFFICIENT_CREDIT")
    assert problem["metadata"] == {"available": "3", "required": "5"}
    assert problem["title"] == "Insufficient credit"
    assert problem["detail"] == "buy a package first"
    assert problem["instance"] == SMS
    status, reason, _ = await refusal(served, "GET", f"{SMS}/404")
    assert (status, reason) == (404, "SMS_NOT_FOUND")


async def test_violations_of_a_contract_are_told_in_json_names(served: Served) -> None:
    request = {"requestId": "", "type": "notification", "phones": ["1"], "content": "a", "signature": "ab"}
    status, reason, problem = await refusal(served, "POST", SMS, json=request)
    assert (status, reason) == (400, "INVALID_REQUEST")
    assert [violation["field"] for violation in problem["violations"]] == ["requestId", "requestId"]
    assert problem["detail"].startswith("requestId: ")
    _, _, problem = await refusal(served, "GET", f"{SMS}?pageSize=5000")
    assert problem["violations"][0]["field"] == "pageSize"


@pytest.mark.parametrize(
    ("request_options", "path", "said"),
    [
        ({"data": b"{"}, "", "not JSON"),
        ({"data": b'{"brandId": 1}'}, "brandId", "given by the path"),
        ({"data": b'{"phones": [1]}'}, "phones[0]", "string"),
        ({"data": b'{"type": null}'}, "type", "one of"),
        ({"data": b'{"requestId": "a", "requestId": "b"}'}, "requestId", "twice"),
        ({"data": b'{"content": NaN}'}, "", "not JSON"),
        ({"data": b"[" * 100_000}, "", "not JSON"),
        ({"data": b'{"content": "\\ud800"}'}, "", "not JSON"),
        ({"data": b"{}", "params": {"requestId": "a"}}, "requestId", "not a query parameter"),
    ],
)
async def test_bad_bodies(served: Served, request_options: dict[str, Any], path: str, said: str) -> None:
    headers = {**served.headers(), "content-type": "application/json"}
    status, _, problem = await refusal(served, "POST", SMS, headers=headers, **request_options)
    assert status == 400
    assert [violation["field"] for violation in problem.get("violations", [])] == ([path] if path else [])
    assert said in problem["detail"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("pageSize=a", "pageSize"),
        ("pageSize=", "pageSize"),
        ("pageSize=1.5", "pageSize"),
        ("pageSize=1&pageSize=2", "pageSize"),
        ("pageSize=1&page_size=2", "pageSize"),
        ("status=gone", "status"),
        ("brandId=2", "brandId"),
        ("other=1", "other"),
        ("%zz=1", "%zz"),
        ("phone=%ff", ""),
        ("&".join(["phone=1"] * 101), ""),
    ],
)
async def test_bad_queries(served: Served, query: str, field: str) -> None:
    answer = await served.raw(get_head(served, f"{SMS}?{query}"))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["violations"][0]["field"] == field


async def test_body_where_none_is_taken(served: Served) -> None:
    status, reason, _ = await refusal(served, "GET", SMS, json={"a": 1})
    assert (status, reason) == (400, "INVALID_REQUEST")


@pytest.mark.parametrize(
    ("method", "path", "status", "reason"),
    [
        ("GET", "/", 404, "ROUTE_NOT_FOUND"),
        ("GET", "/v1/brands", 404, "ROUTE_NOT_FOUND"),
        ("GET", f"/v1/brands/{BRAND}/sms/", 404, "ROUTE_NOT_FOUND"),
        ("GET", f"/v1/brands/{BRAND}/sms/1/2", 404, "ROUTE_NOT_FOUND"),
        ("DELETE", SMS, 405, "METHOD_NOT_ALLOWED"),
        ("OPTIONS", SMS, 405, "METHOD_NOT_ALLOWED"),
        ("GET", f"{SMS}/1:cancel", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/healthz", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/webhooks/payment", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/brands/x/sms", 400, "INVALID_REQUEST"),
        ("GET", "/v1/brands/1001%00/sms", 400, "INVALID_REQUEST"),
        ("GET", "/v1/brands/10011001100110011001100110011001/sms", 400, "INVALID_REQUEST"),
    ],
)
async def test_other_paths_and_methods(served: Served, method: str, path: str, status: int, reason: str) -> None:
    found = await refusal(served, method, path)
    assert found[:2] == (status, reason)


async def test_method_not_allowed_names_those_that_are(served: Served) -> None:
    _, _, headers = await ask(served, "PUT", SMS)
    assert headers["allow"] == "GET, HEAD, POST"
    _, _, headers = await ask(served, "PUT", "/docs")
    assert headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/v1/brands/{BRAND}/../1002/sms", 404),
        (f"//v1/brands/{BRAND}/sms", 404),
        (f"/v1/brands/{BRAND}%2F..%2F1002/sms", 400),
        ("/v1/brands/%2e%2e/sms", 400),
        (f"/v1/../v1/brands/{BRAND}/sms", 404),
        (f"/v1/brands/{BRAND}/sms/..%2f..%2f1002", 400),
        (f"/v1/brands/{BRAND}/sms/%ff", 400),
        (f"/%76%31/brands/{BRAND}/sms", 200),
        (f"/v1/brands/{BRAND}/sms/%0d%0aset-cookie:a", 400),
    ],
)
async def test_paths_are_taken_as_they_are(served: Served, path: str, status: int) -> None:
    answer = await served.raw(get_head(served, path))
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
    assert b"\r\nset-cookie" not in answer


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", ""]
)
async def test_other_content_types(served: Served, content_type: str) -> None:
    headers = {**served.headers(), "content-type": content_type}
    found = await refusal(served, "POST", SMS, data=json.dumps(SEND).encode(), headers=headers)
    assert found[:2] == (415, "CONTENT_TYPE_NOT_JSON")


async def test_compressed_bodies_are_not_taken(served: Served) -> None:
    headers = {**served.headers(), "content-type": "application/json", "content-encoding": "gzip"}
    found = await refusal(served, "POST", SMS, data=b"\x1f\x8b", headers=headers)
    assert found[0] == 415


async def test_json_with_a_charset_is_taken(served: Served) -> None:
    headers = {**served.headers(), "content-type": "Application/JSON; charset=utf-8"}
    status, _, _ = await ask(served, "POST", SMS, data=json.dumps(SEND).encode(), headers=headers)
    assert status == 200


async def test_request_id_is_taken_over_or_made(served: Served) -> None:
    _, _, headers = await ask(served, "GET", SMS, headers={**served.headers(), "x-request-id": "mine-1.A_b"})
    assert headers["x-request-id"] == "mine-1.A_b"
    for hostile in ("a b", "x" * 65, "ü", "<script>", "a\t"):
        _, _, headers = await ask(served, "GET", SMS, headers={**served.headers(), "x-request-id": hostile})
        assert headers["x-request-id"] != hostile
        assert len(headers["x-request-id"]) == 16


async def test_trace_context_goes_on_to_the_peer(served: Served) -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    for trace_state in (b"a=b", b"\xff\xfe"):
        head = (
            f"POST {SMS} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {served.key}\r\nconnection: close\r\n"
            f"traceparent: 00-{trace_id}-b7ad6b7169203331-01\r\ncontent-type: application/json\r\n"
        )
        body = json.dumps(SEND).encode()
        request = head.encode() + b"tracestate: " + trace_state + f"\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        answer = await served.raw(request + body)
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert trace_id in served.sms.metadata[-1]["traceparent"]


async def test_malformed_trace_context_is_replaced(served: Served) -> None:
    headers = {**served.headers(), "traceparent": "00-zz-yy-01"}
    status, _, _ = await ask(served, "POST", SMS, json=SEND, headers=headers)
    assert status == 200
    assert len(served.sms.metadata[-1]["traceparent"]) == 55


async def test_large_list_of_messages_does_not_hold_up_others(served: Served) -> None:
    recipients = [{"phone": f"138{number:08d}", "params": ["Li", "4"]} for number in range(50_000)]
    body = {"requestId": "v", "type": "marketing", "content": "Hi {$var}{$var}", "signature": "ab"}
    large = asyncio.create_task(ask_large(served, f"{SMS}:variable", {**body, "recipients": recipients}))
    await asyncio.sleep(0)
    while not large.done():
        status, _, _ = await ask(served, "GET", f"{SMS}/1")
        assert status == 200
    status, answer, _ = await large
    assert (status, answer["acceptedCount"]) == (200, 50_000)


async def test_peer_that_is_away_is_told_without_its_address(serve: ServeGateway) -> None:
    served = await serve(peer_sms="127.0.0.1:1", request_timeout_seconds=3)
    started_at = time.monotonic()
    status, reason, problem = await refusal(served, "GET", f"{SMS}/1")
    assert (status, reason) == (503, "UNAVAILABLE")
    assert "127.0.0.1" not in json.dumps(problem)
    assert time.monotonic() - started_at < 5
    _, _, headers = await ask(served, "GET", f"{SMS}/1")
    assert headers["retry-after"] == "1"

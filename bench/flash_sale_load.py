"""The load of a flash sale over REST, in a process of its own: each connection buys, one request after the other.

It reads its plan as JSON from standard input and writes what it saw to standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from bench.http_load import LoadError, play

_ANSWERS = (b"HTTP/1.1 200 ", b"HTTP/1.1 409 ")
"""Bought, or sold out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """So many users from `first_user_id` on try to buy one each."""

    host: str
    port: int
    brand_id: int
    api_key: str
    flash_sale_id: str
    first_user_id: int
    connections: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What the load saw. Times are Unix seconds; each latency is from the request to the whole of its answer."""

    began_at: float
    ended_at: float
    latencies_ms: list[float]


def main() -> None:
    """Carry out the plan on standard input."""
    plan = Plan(**json.loads(sys.stdin.read()))
    try:
        played = play(plan.host, plan.port, plan.connections, list(rendered(plan)), _ANSWERS)
    except LoadError as error:
        sys.exit(f"load: {error}")
    json.dump(asdict(Seen(played.began_at, played.ended_at, played.latencies_ms)), sys.stdout)


def rendered(plan: Plan) -> Iterator[bytes]:
    """Yield whole requests, head and body."""
    body = b'{"requestId": "bench"}'
    for user_id in range(plan.first_user_id, plan.first_user_id + plan.attempts):
        path = f"/v1/brands/{plan.brand_id}/users/{user_id}/flashSales/{plan.flash_sale_id}:buy"
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {plan.host}\r\nAuthorization: Bearer {plan.api_key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        yield head.encode() + body


if __name__ == "__main__":
    main()

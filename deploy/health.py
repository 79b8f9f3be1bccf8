# ruff: noqa: INP001  # a script that the image holds beside the package
"""Ask a process of the mesh whether it is well; the exit status tells. For health checks inside its container.

python health.py grpc://127.0.0.1:7101           its gRPC health service says SERVING
python health.py http://127.0.0.1:8080/readyz    it answers 200
"""

from __future__ import annotations

import sys
import urllib.request
from http import HTTPStatus
from urllib.error import URLError
from urllib.parse import urlsplit

ANSWER_SECONDS_MAX = 3.0


def is_serving(address: str) -> bool:
    """Ask the gRPC health service about the server as a whole."""
    import grpc  # noqa: PLC0415  # half a second that a check of HTTP need not spend
    from grpc_health.v1 import health_pb2  # noqa: PLC0415  # likewise

    with grpc.insecure_channel(address) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(), timeout=ANSWER_SECONDS_MAX)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS_MAX) as answer:  # noqa: S310  # http alone, see `main`
            return bool(answer.status == HTTPStatus.OK)
    except (URLError, TimeoutError, ConnectionError):
        return False


def main(url: str) -> None:
    """Exit with status 0 when the process is well, 1 when it is not, 2 when the URL is not one of the two kinds."""
    parts = urlsplit(url)
    if parts.scheme == "grpc":
        sys.exit(not is_serving(parts.netloc))
    if parts.scheme == "http":
        sys.exit(not answers(url))
    sys.stderr.write(f"{url!r} is neither grpc://HOST:PORT nor http://HOST:PORT/PATH\n")
    sys.exit(2)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")  # noqa: PLR2004  # the program and its one argument

"""JSON over HTTP, both ways, for the endpoints that are the sandbox's own."""

import json
from collections.abc import Mapping

from aiohttp import web
from pydantic import ValidationError

JsonObject = dict[str, object]


class BadRequestError(Exception):
    """A request that cannot be carried out; the text says what is wrong and what to do."""


def parse_json_object(body: bytes) -> JsonObject:
    """Read a JSON object.

    Raises:
        BadRequestError: the body is not UTF-8, not JSON, or not an object.

    """
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadRequestError(f"the body must be a JSON object, not {type(value).__name__}")
    return value


def json_response(body: Mapping[str, object], *, status: int = 200) -> web.Response:
    """Answer with JSON, Chinese text unescaped as the vendors do."""
    encoded = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return web.Response(body=encoded, status=status, content_type="application/json", charset="utf-8")


def explain(error: ValidationError) -> str:
    """Name each wrong field and what is wrong with it, without the values."""
    return "; ".join(
        f"{'.'.join(str(step) for step in problem['loc']) or 'body'}: {problem['msg']}" for problem in error.errors()
    )

"""RFC 9457 problems as they appear in the document."""

from __future__ import annotations

from http import HTTPStatus

from gateway.openapi.rules import JsonValue, Schema
from gateway.problems import MEDIA_TYPE, STATUS_OF_REASON, TYPE_BASE
from gateway.refusals import REASONS

COMMON_STATUSES = (400, 401, 404, 409, 429, 500, 503, 504)
"""What any operation may answer; those with a body 413 and 415 besides."""

ACCESS_STATUSES = (403,)
"""What one may answer that is not open to all. 401 is also said of a wrong password."""

_STATUSES = sorted({*COMMON_STATUSES, *ACCESS_STATUSES, 413, 415, *STATUS_OF_REASON.values()})

_DETAILS = {
    402: "INSUFFICIENT_CREDIT: `metadata.available` and `metadata.required` tell the figures.",
    404: "There is nothing at this path, or what it names does not exist.",
    409: "It cannot be done as things stand, or the requestId was used with another body; `reason` says which.",
}


def problem_reference(status: int) -> Schema:
    """Refer to the response of one HTTP status."""
    return {"$ref": f"#/components/responses/{_name(status)}"}


def problem_components() -> dict[str, dict[str, JsonValue]]:
    """The schema of a problem, and one response a status."""
    return {
        "schemas": {"Problem": _problem_schema(), "Violation": _violation_schema()},
        "responses": {_name(status): _response(status) for status in _STATUSES},
    }


def _name(status: int) -> str:
    return f"Problem{status}"


def _response(status: int) -> Schema:
    own = [f"{reason}: {text}" for reason, (of_status, text) in REASONS.items() if of_status == status]
    response: Schema = {
        "description": "\n\n".join([text for text in (_DETAILS.get(status),) if text] + own),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        description = "Seconds after which the same request may succeed."
        response["headers"] = {"Retry-After": {"description": description, "schema": {"type": "integer"}}}
    return response


def _problem_schema() -> Schema:
    def text(description: str) -> Schema:
        return {"type": "string", "description": description}

    metadata: Schema = {
        "type": "object",
        "additionalProperties": {"type": "string"},
        "description": "Figures that belong to the reason, for example `available` and `required`.",
    }
    violations: Schema = {
        "type": "array",
        "items": {"$ref": "#/components/schemas/Violation"},
        "description": "The fields that are wrong, 20 at most.",
    }
    return {
        "type": "object",
        "description": "Why a request was refused (RFC 9457).",
        "properties": {
            "type": text(f"`{TYPE_BASE}` and the reason: where this documentation explains it."),
            "title": text("The reason in words."),
            "status": {"type": "integer", "description": "The HTTP status."},
            "detail": text("What happened and what to do, for a person."),
            "instance": text("The path of the request."),
            "reason": text("UPPER_SNAKE and stable: what a program branches on."),
            "requestId": text("The X-Request-Id of the request: quote it in a support case."),
            "metadata": metadata,
            "violations": violations,
        },
        "required": ["type", "title", "status", "detail", "reason"],
    }


def _violation_schema() -> Schema:
    return {
        "type": "object",
        "description": "One field that is wrong.",
        "properties": {
            "field": {"type": "string", "description": "Its path, for example `recipients[3].phone`."},
            "description": {"type": "string", "description": "What is wrong with it."},
        },
        "required": ["field", "description"],
    }

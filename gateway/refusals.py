"""What the gateway itself refuses, each with its reason; the documentation page and OpenAPI list them from here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.problems import Problem, ProblemError
from mesh.errors import FieldViolation

REASONS: Mapping[str, tuple[int, str]] = {
    "INVALID_REQUEST": (400, "A field is missing, of the wrong type or outside its bounds; `violations` names it."),
    "JSON_MALFORMED": (400, "The body is not JSON in UTF-8."),
    "HTTP_MALFORMED": (400, "What came is not a request of HTTP/1.1."),
    "PATH_MALFORMED": (400, "The path is not percent-encoded UTF-8."),
    "KEY_MISSING": (401, "There is no Authorization: Bearer header with an API key or a user's token."),
    "KEY_INVALID": (401, "The API key is not known, or it was revoked."),
    "KEY_EXPIRED": (401, "The API key's time is over."),
    "TOKEN_INVALID": (401, "The token is none of a user's, or none that may still be used; log in again."),
    "TOKEN_EXPIRED": (401, "The access token's time is over; refresh it."),
    "SCOPE_MISSING": (403, "The API key may not do this; `metadata.scope` names what it lacks."),
    "BRAND_NOT_ALLOWED": (403, "The API key or the token does not belong to the brand of the path."),
    "USER_NOT_ALLOWED": (403, "The token is not of the user of the path."),
    "TOKEN_NOT_ALLOWED": (403, "Users may not do this; it takes an API key with the scope `metadata.scope`."),
    "WEBHOOK_REFUSED": (403, "A webhook was called by somebody else than its provider."),
    "ROUTE_NOT_FOUND": (404, "There is nothing at this path."),
    "METHOD_NOT_ALLOWED": (
        405,
        "The path exists and does not take this method; the Allow header names those it takes.",
    ),
    "BODY_TIMEOUT": (408, "The body did not arrive in time."),
    "BODY_TOO_LARGE": (413, "The body is larger than the gateway takes."),
    "CONTENT_TYPE_NOT_JSON": (415, "The Content-Type of the body is not application/json."),
    "HEAD_TOO_LARGE": (431, "Path and headers together are larger than 32 KiB."),
    "RATE_LIMITED": (
        429,
        "The API key, the user, or the address where nobody is known, makes too many requests; see Retry-After.",
    ),
    "OVERLOADED": (503, "The gateway is full; come again after Retry-After. A service behind it answers 429."),
    "INTERNAL": (500, "A defect, logged under the request id; the same request may be tried again."),
    "UNAVAILABLE": (503, "A service behind the gateway is away; come again after Retry-After."),
    "DEADLINE_EXCEEDED": (504, "Not done in time; whether it happened is not known. Repeat with the same requestId."),
}
"""Reasons that the gateway can give by itself: HTTP status, and what they mean."""

_CHALLENGE = 'Bearer realm="brandmesh"'


def refuse(
    reason: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
    violations: Sequence[FieldViolation] = (),
    retry_after_seconds: float | None = None,
) -> ProblemError:
    """Build the refusal for one of REASONS."""
    return ProblemError(
        Problem(
            REASONS[reason][0],
            reason,
            detail,
            headers=headers or {},
            metadata=metadata or {},
            violations=violations,
            retry_after_seconds=retry_after_seconds,
        )
    )


def route_not_found() -> ProblemError:
    return refuse("ROUTE_NOT_FOUND", "there is nothing at this path; /docs lists the paths there are")


def path_malformed() -> ProblemError:
    return refuse("PATH_MALFORMED", "the path is not percent-encoded UTF-8")


def method_not_allowed(method: str, allowed: Iterable[str]) -> ProblemError:
    given = set(allowed)
    # HEAD is taken wherever GET is.
    names = ", ".join(sorted(given | {"HEAD"} if "GET" in given else given))
    return refuse("METHOD_NOT_ALLOWED", f"{method} is not taken here, use {names}", headers={"allow": names})


def body_too_large(limit_bytes: int) -> ProblemError:
    # The rest of the body is on its way and nobody will read it.
    headers = {"connection": "close"}
    return refuse("BODY_TOO_LARGE", f"the body may have at most {limit_bytes} bytes", headers=headers)


def body_timeout(limit_seconds: float) -> ProblemError:
    headers = {"connection": "close"}
    return refuse("BODY_TIMEOUT", f"the body did not arrive within {limit_seconds:g} s", headers=headers)


def content_type_not_json() -> ProblemError:
    return refuse("CONTENT_TYPE_NOT_JSON", "send the body as application/json")


def key_missing() -> ProblemError:
    detail = "send an API key, or a user's token, as Authorization: Bearer <key or token>"
    return refuse("KEY_MISSING", detail, headers={"www-authenticate": _CHALLENGE})


def credential_refused(reason: str, detail: str) -> ProblemError:
    challenge = f'{_CHALLENGE}, error="invalid_token"'
    return refuse(reason, detail, headers={"www-authenticate": challenge})


def scope_missing(scope: str) -> ProblemError:
    return refuse("SCOPE_MISSING", f"this API key lacks the scope {scope}", metadata={"scope": scope})


def brand_not_allowed(brand_id: int | None, credential: str) -> ProblemError:
    return _field_not_allowed("BRAND_NOT_ALLOWED", "brandId", f"this {credential} does not belong to brand {brand_id}")


def user_not_allowed() -> ProblemError:
    return _field_not_allowed("USER_NOT_ALLOWED", "userId", "this token does not belong to this user")


def token_not_allowed(scope: str) -> ProblemError:
    detail = f"users may not do this; it takes an API key with the scope {scope}"
    return refuse("TOKEN_NOT_ALLOWED", detail, metadata={"scope": scope})


def _field_not_allowed(reason: str, field: str, description: str) -> ProblemError:
    violation = FieldViolation(field, description)
    return refuse(reason, f"{field}: {description}", violations=[violation])


def rate_limited(retry_after_seconds: float) -> ProblemError:
    detail = f"too many requests, come again in {retry_after_seconds:.2f} s"
    return refuse("RATE_LIMITED", detail, retry_after_seconds=retry_after_seconds)


def too_many_at_once(what: str, places_max: int) -> ProblemError:
    detail = f"{what} that one caller may have at once is {places_max}; end one of them, or wait until one has ended"
    return refuse("RATE_LIMITED", detail, retry_after_seconds=1)


def overloaded(what: str) -> ProblemError:
    return refuse("OVERLOADED", f"{what} is full, come again in 1 s", retry_after_seconds=1)

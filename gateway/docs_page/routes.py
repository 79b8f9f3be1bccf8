"""`/docs`, `/docs/errors/{reason}` and `/openapi.json`: built once, served from memory."""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.docs_page.page import render_page
from gateway.exchange import Answer, Endpoint, Request, endpoint
from gateway.openapi import build_document, render_document
from gateway.refusals import route_not_found

_REASON = re.compile(r"[A-Z][A-Z0-9_]{1,63}")

_HEADERS = (
    (b"cache-control", b"max-age=300"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)
_HTML = "text/html; charset=utf-8"
_TEMPORARY_REDIRECT = 307


def documentation_endpoints() -> list[Endpoint]:
    """Build the document and the page. Raises FileNotFoundError when the contracts' comments are missing."""
    document = build_document()
    openapi, page = render_document(document), render_page(document).encode()

    async def serve_openapi(_: Request, __: Sequence[str]) -> Answer:
        return Answer(openapi, headers=_HEADERS)

    async def serve_page(_: Request, __: Sequence[str]) -> Answer:
        return Answer(page, media_type=_HTML, headers=_HEADERS)

    async def explain_error(_: Request, values: Sequence[str]) -> Answer:
        """Lead the `type` of a problem to its place on the page."""
        (reason,) = values
        if not _REASON.fullmatch(reason):
            raise route_not_found()
        location = (b"location", f"/docs#error-{reason}".encode())
        return Answer(b"", _TEMPORARY_REDIRECT, _HTML, (*_HEADERS, location))

    return [
        endpoint("GET", "/openapi.json", serve_openapi),
        endpoint("GET", "/docs", serve_page),
        endpoint("GET", "/docs/errors/{reason}", explain_error),
    ]

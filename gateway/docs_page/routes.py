"""`/docs`, `/docs/errors/{reason}` and `/openapi.json`: built once, served from memory."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.docs_page.page import render_page
from gateway.edge import record_of
from gateway.openapi import build_document, render_document
from gateway.refusals import route_not_found

_REASON = re.compile(r"[A-Z][A-Z0-9_]{1,63}")

_HEADERS = {
    "cache-control": "max-age=300",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}


def documentation_routes() -> list[Route]:
    """Build the document and the page. Raises FileNotFoundError when the contracts' comments are missing."""
    document = build_document()
    openapi, page = render_document(document), render_page(document).encode()

    async def serve_openapi(request: Request) -> Response:
        record_of(request.scope).route = "/openapi.json"
        return Response(openapi, headers=_HEADERS, media_type="application/json")

    async def serve_page(request: Request) -> Response:
        record_of(request.scope).route = "/docs"
        return Response(page, headers=_HEADERS, media_type="text/html")

    async def explain_error(request: Request) -> Response:
        """Lead the `type` of a problem to its place on the page."""
        record_of(request.scope).route = "/docs/errors/{reason}"
        reason = request.path_params["reason"]
        if not _REASON.fullmatch(reason):
            raise route_not_found()
        return RedirectResponse(f"/docs#error-{reason}", headers=_HEADERS)

    return [
        Route("/openapi.json", serve_openapi),
        Route("/docs", serve_page),
        Route("/docs/errors/{reason}", explain_error),
    ]

"""The HTTP application: its routes, and how refusals are answered."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway import problems
from gateway.api import Api
from gateway.bodies import ClientGoneError
from gateway.docs_page.routes import documentation_routes
from gateway.edge import Edge, record_of
from gateway.health import Readiness
from gateway.problems import Problem, ProblemError
from gateway.refusals import method_not_allowed, route_not_found
from gateway.webhooks import chuanglan, payment
from gateway.webhooks.chuanglan import ChuanglanWebhook
from gateway.webhooks.payment import PaymentWebhook
from mesh.errors import DomainError

_METHOD_NOT_ALLOWED = 405
_CLIENT_CLOSED_REQUEST = 499


def build_app(
    api: Api, readiness: Readiness, chuanglan_webhook: ChuanglanWebhook, payment_webhook: PaymentWebhook
) -> ASGIApp:
    """Build the application. Paths that none of these routes names go to the transcoded operations."""
    routes = [
        Route("/healthz", readiness.healthz),
        Route("/readyz", readiness.readyz),
        Route(chuanglan.PATH, chuanglan_webhook.handle, methods=["GET", "POST"]),
        Route(payment.PATH, payment_webhook.handle, methods=["POST"]),
        *documentation_routes(),
    ]
    handlers = {
        ProblemError: _answer_problem,
        DomainError: _answer_domain_error,
        HTTPException: _answer_http_exception,
        ClientGoneError: _answer_client_gone,
        Exception: _answer_defect,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    app.router.default = api
    return Edge(app)


# Coroutines all: Starlette would run a plain function in a thread.


async def _answer_problem(request: Request, error: Exception) -> Response:
    return _render(request, error.problem if isinstance(error, ProblemError) else problems.internal_problem())


async def _answer_domain_error(request: Request, error: Exception) -> Response:
    problem = problems.from_domain_error(error) if isinstance(error, DomainError) else problems.internal_problem()
    return _render(request, problem)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's own refusals: the wrong method on one of the routes above."""
    if isinstance(error, HTTPException) and error.status_code == _METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "").split(", ")
        return await _answer_problem(request, method_not_allowed(request.method, allowed))
    return await _answer_problem(request, route_not_found())


async def _answer_client_gone(request: Request, error: Exception) -> Response:  # noqa: ARG001  # Starlette's signature
    return Response(status_code=_CLIENT_CLOSED_REQUEST)


async def _answer_defect(request: Request, error: Exception) -> Response:  # noqa: ARG001  # Edge logs it
    return _render(request, problems.internal_problem())


def _render(request: Request, problem: Problem) -> Response:
    return problems.render(problem, request.scope["raw_path"].decode("ascii"), record_of(request.scope).request_id)

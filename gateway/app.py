"""The application: who answers a request, and how refusals are told."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.bodies import ClientGoneError
from gateway.exchange import Answer, Endpoint, Request
from gateway.problems import Problem, ProblemError, from_domain_error, internal_problem, render
from gateway.refusals import method_not_allowed, path_malformed, route_not_found
from gateway.transcoding.templates import PathTree
from mesh import telemetry
from mesh.errors import DomainError

_CLIENT_CLOSED_REQUEST = 499

log = telemetry.logger()


class App:
    """Answers every request: by the endpoint that has its path and method, or with the problem that there is."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        """Raises ValueError when two endpoints have one method and path."""
        self._endpoints: PathTree[Endpoint] = PathTree()
        for endpoint in endpoints:
            if self._endpoints.add(endpoint.method, endpoint.path, endpoint) is not None:
                raise ValueError(f"{endpoint.method} {endpoint.path.text} is taken already")

    async def answer(self, request: Request) -> Answer:
        """Answer a request, whatever happens."""
        try:
            endpoint, values = self._find(request)
            request.route = endpoint.path.text
            return await endpoint.handle(request, values)
        except ProblemError as error:
            return _tell(request, error.problem)
        except DomainError as error:
            return _tell(request, from_domain_error(error))
        except ClientGoneError:
            return Answer(b"", _CLIENT_CLOSED_REQUEST)
        except Exception:
            log.exception("request failed")
            return _tell(request, internal_problem())

    def _find(self, request: Request) -> tuple[Endpoint, tuple[str, ...]]:
        try:
            match = self._endpoints.match(request.raw_path)
        except UnicodeDecodeError:
            raise path_malformed() from None
        if match is None:
            raise route_not_found()
        # The server writes no body in answer to HEAD.
        found = match.targets.get("GET" if request.method == "HEAD" else request.method)
        if found is None:
            raise method_not_allowed(request.method, match.targets)
        return found, match.values


def _tell(request: Request, problem: Problem) -> Answer:
    return render(problem, request.raw_path.decode("ascii"), request.request_id)

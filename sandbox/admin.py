"""Admin routes that concern the whole sandbox: faults, push addresses, statistics, health."""

from collections.abc import Callable

from aiohttp import web

from sandbox.json_http import JsonObject, json_response, parse_json_object
from sandbox.world import World


class Admin:
    """Routes under /admin, and /healthz."""

    def __init__(self, world: World, stats: Callable[[], JsonObject]) -> None:
        """Take what is administered, and where the vendors' statistics come from."""
        self._world = world
        self._stats = stats

    def routes(self) -> list[web.RouteDef]:
        """Return the routes."""
        return [
            web.get("/healthz", self._health),
            web.get("/admin/stats", self._show_stats),
            web.get("/admin/faults", self._show_faults),
            web.post("/admin/faults", self._add_fault),
            web.delete("/admin/faults/{fault_id}", self._remove_fault),
            web.post("/admin/reset", self._reset),
            web.get("/admin/targets", self._show_targets),
            web.post("/admin/targets", self._change_targets),
        ]

    async def _health(self, _: web.Request) -> web.Response:
        return json_response({"status": "ok"})

    async def _show_stats(self, _: web.Request) -> web.Response:
        return json_response({**self._stats(), "pushes_waiting": self._world.queue.pending})

    async def _show_faults(self, _: web.Request) -> web.Response:
        return json_response({"faults": self._world.board.describe()})

    async def _add_fault(self, request: web.Request) -> web.Response:
        """Switch one fault on; the answer holds its id."""
        active = self._world.board.add(parse_json_object(await request.read()))
        return json_response(active.describe(), status=201)

    async def _remove_fault(self, request: web.Request) -> web.Response:
        if not self._world.board.remove(request.match_info["fault_id"]):
            return json_response({"error": "no fault of this id is on: see GET /admin/faults"}, status=404)
        return await self._show_faults(request)

    async def _reset(self, request: web.Request) -> web.Response:
        """Switch every fault off and start chance anew from the seed; records and counts stay."""
        self._world.board.reset()
        return await self._show_faults(request)

    async def _show_targets(self, _: web.Request) -> web.Response:
        return json_response(self._world.targets.model_dump())

    async def _change_targets(self, request: web.Request) -> web.Response:
        self._world.targets.update(parse_json_object(await request.read()))
        return await self._show_targets(request)

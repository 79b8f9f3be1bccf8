"""What the operator of the sandbox sees and does of the SMS provider: messages, uplinks."""

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.chuanglan.journal import Filter
from sandbox.chuanglan.platform import Platform
from sandbox.chuanglan.uplinks import Uplink
from sandbox.clock import now_ms
from sandbox.json_http import BadRequestError, explain, json_response, parse_json_object

PAGE_DEFAULT = 100
PAGE_MAX = 1000


class _MessagesQuery(BaseModel):
    """Query of GET /admin/messages."""

    model_config = ConfigDict(extra="forbid")

    phone: str = ""
    msgid: str = ""
    uid: str = ""
    account: str = ""
    before: int = Field(0, ge=0)
    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE_MAX)


class _UplinkBody(BaseModel):
    """Body of POST /admin/uplink. `emshead` makes the text one part, "id,total,n"; `parts` cuts it into parts."""

    model_config = ConfigDict(extra="forbid")

    mobile: str = Field(pattern=r"^1[3-9][0-9]{9}$")
    msg: str = Field(min_length=1, max_length=2000)
    destcode: str = Field("10690000", pattern=r"^[0-9]{1,20}$")
    account: str = ""
    parts: int = Field(1, ge=1, le=20)
    emshead: str = Field("", pattern=r"^([0-9]{1,5},[0-9]{1,3},[0-9]{1,3})?$")


class ChuangLanAdmin:
    """Admin routes of the SMS provider."""

    def __init__(self, platform: Platform) -> None:
        """Take the provider."""
        self._platform = platform

    def routes(self) -> list[web.RouteDef]:
        """Return the routes under /admin."""
        return [web.get("/admin/messages", self._messages), web.post("/admin/uplink", self._uplink)]

    async def _messages(self, request: web.Request) -> web.Response:
        """Show messages, newest first; `next_before` asks for the next page and is 0 on the last."""
        try:
            query = _MessagesQuery.model_validate(dict(request.query))
        except ValidationError as error:
            raise BadRequestError(explain(error)) from error
        wanted = Filter(query.phone, query.msgid, query.uid, query.account, query.before)
        found = self._platform.journal.find(wanted, query.limit)
        next_before = found[-1].sequence if len(found) == query.limit else 0
        return json_response({"messages": [message.describe() for message in found], "next_before": next_before})

    async def _uplink(self, request: web.Request) -> web.Response:
        """Take a handset's message for an account, the first one unless named."""
        try:
            body = _UplinkBody.model_validate(parse_json_object(await request.read()))
        except ValidationError as error:
            raise BadRequestError(explain(error)) from error
        names = self._platform.accounts.names
        account = body.account or names[0]
        if account not in names:
            raise BadRequestError(f"account: must be one of {', '.join(names)}")
        if body.emshead and body.parts > 1:
            raise BadRequestError("emshead: makes the text one part, so parts must be absent")
        uplink = Uplink(account, body.mobile, body.msg, body.destcode, now_ms(), body.emshead)
        parts = self._platform.take_uplink(uplink, body.parts)
        return json_response({"parts": [{"msg": part.text, "emshead": part.emshead} for part in parts]})

"""What the operator of the sandbox sees and does of Tencent Cloud IM: messages, accounts, online states."""

from itertools import islice
from typing import TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.json_http import BadRequestError, JsonObject, explain, json_response, parse_json_object
from sandbox.txim.accounts import OnlineState
from sandbox.txim.codes import RefusalError
from sandbox.txim.feed import Change
from sandbox.txim.journal import Message
from sandbox.txim.platform import Platform

PAGE_DEFAULT = 100
PAGE_MAX = 1000


class _MessagesQuery(BaseModel):
    """Query of GET /admin/txim/messages."""

    model_config = ConfigDict(extra="forbid")

    account: str = ""
    before: int = Field(0, ge=0)
    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE_MAX)


class _AccountsQuery(BaseModel):
    """Query of GET /admin/txim/accounts."""

    model_config = ConfigDict(extra="forbid")

    account: str = ""
    skip: int = Field(0, ge=0)
    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE_MAX)


class _AccountBody(BaseModel):
    """Body of POST /admin/txim/accounts; `nick` "" and `state` null leave those of a known account."""

    model_config = ConfigDict(extra="forbid")

    account: str
    nick: str = ""
    state: OnlineState | None = None


QueryT = TypeVar("QueryT", bound=BaseModel)


class TxImAdmin:
    """Admin routes of Tencent Cloud IM."""

    def __init__(self, platform: Platform) -> None:
        """Take the platform."""
        self._platform = platform

    def routes(self) -> list[web.RouteDef]:
        """Return the routes under /admin/txim."""
        return [
            web.get("/admin/txim/messages", self._messages),
            web.get("/admin/txim/accounts", self._accounts),
            web.post("/admin/txim/accounts", self._put_account),
            web.delete("/admin/txim/accounts", self._forget_all),
            web.delete("/admin/txim/accounts/{account}", self._forget_one),
        ]

    async def _messages(self, request: web.Request) -> web.Response:
        """Show messages, newest first; `next_before` asks for the next page and is 0 on the last."""
        query = _read(_MessagesQuery, dict(request.query))
        found = self._find(query)
        next_before = found[-1].sequence if len(found) == query.limit else 0
        return json_response({"messages": [message.describe() for message in found], "next_before": next_before})

    def _find(self, query: _MessagesQuery) -> list[Message]:
        journal = self._platform.journal
        if not query.account:
            return journal.latest(query.before, query.limit)
        account = self._platform.accounts.find(query.account)
        return [] if account is None else journal.of_account(account, query.before, query.limit)

    async def _accounts(self, request: web.Request) -> web.Response:
        """Show accounts in the order in which they were imported."""
        query = _read(_AccountsQuery, dict(request.query))
        book = self._platform.accounts
        named = book.find(query.account)
        wanted = iter(book) if not query.account else iter([] if named is None else [named])
        page = islice(wanted, query.skip, query.skip + query.limit)
        return json_response({"accounts": [account.describe() for account in page], "count": len(book)})

    async def _put_account(self, request: web.Request) -> web.Response:
        """Import an account or change it: its nick, whether a device is logged in."""
        body = _read(_AccountBody, parse_json_object(await request.read()))
        try:
            account = self._platform.put_account(body.account, body.nick, body.state)
        except RefusalError as refusal:
            raise BadRequestError(f"account: {refusal.text}") from refusal
        return json_response(account.describe())

    async def _forget_one(self, request: web.Request) -> web.Response:
        """Make an account unknown until it is imported again."""
        return self._forget([request.match_info["account"]])

    async def _forget_all(self, _: web.Request) -> web.Response:
        """Make all accounts unknown until they are imported again."""
        return self._forget([account.user_id for account in self._platform.accounts])

    def _forget(self, user_ids: list[str]) -> web.Response:
        forgotten = self._platform.accounts.forget(user_ids)
        for user_id in user_ids:
            self._platform.feed.publish(Change(user_id))
        return json_response({"forgotten": forgotten})


def _read(model: type[QueryT], fields: JsonObject) -> QueryT:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise BadRequestError(explain(error)) from error

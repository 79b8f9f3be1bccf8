"""Texts with places to fill."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import grpc
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from mesh import pages
from mesh.control_characters import is_plain_name
from mesh.database import Database
from mesh.errors import DomainError, FieldViolation, invalid_request
from mesh.ids import IdAllocator
from mesh.statements import read_in, select_in
from mesh.text_template import TemplateError, parse_template
from messagecenter_rpc.control_characters import is_plain_text
from messagecenter_rpc.domain import Channel, Event
from messagecenter_rpc.tables import broadcast_config, template


@dataclass(frozen=True, slots=True)
class Template:
    """One text. `body_hash` tells two creations with the same request id apart."""

    template_id: int
    brand_id: int
    request_id: str
    body_hash: str
    name: str
    content: str
    created_at_ms: int
    updated_at_ms: int
    deleted_at_ms: int = 0

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of its places, in the order of their first use."""
        return parse_template(self.content).parameters


class Templates:
    """What operators do with texts."""

    def __init__(self, database: Database, ids: IdAllocator) -> None:
        self._database = database
        self._ids = ids

    async def create(self, brand_id: int, request_id: str, body_hash: str, name: str, content: str) -> Template:
        """Make a template; a repeat answers as the first request did. Raises INVALID_REQUEST, KEY_REUSED."""
        _check(name, content)
        known = await self._read_by_request(brand_id, request_id)
        if known is None:
            try:
                return await self._insert(brand_id, request_id, body_hash, name, content)
            except IntegrityError:
                # The same request was being done at the same time.
                known = await self._read_by_request(brand_id, request_id)
                if known is None:
                    raise
        if known.body_hash != body_hash:
            raise key_reused(request_id)
        return replace(known, name=name, content=content, updated_at_ms=known.created_at_ms)

    async def _insert(self, brand_id: int, request_id: str, body_hash: str, name: str, content: str) -> Template:
        template_id = await self._ids.allocate(1)
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            made = Template(template_id, brand_id, request_id, body_hash, name, content, now_ms, now_ms)
            row = {field: getattr(made, field) for field in made.__slots__}
            await connection.execute(sa.insert(template), [row])
        return made

    async def _read_by_request(self, brand_id: int, request_id: str) -> Template | None:
        statement = sa.select(template).where(template.c.brand_id == brand_id, template.c.request_id == request_id)
        async with self._database.read() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return _template(row) if row else None

    async def update(self, brand_id: int, template_id: int, name: str, content: str) -> Template:
        """Change a template. Raises INVALID_REQUEST, IM_TEMPLATE_NOT_FOUND."""
        _check(name, content)
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            found = await lock_template(connection, brand_id, template_id)
            if found is None:
                raise _not_found(template_id)
            if (found.name, found.content) == (name, content):
                return found
            changed = {"name": name, "content": content, "updated_at_ms": now_ms}
            await connection.execute(sa.update(template).where(_is(template_id)).values(changed))
        return replace(found, name=name, content=content, updated_at_ms=now_ms)

    async def get(self, brand_id: int, template_id: int) -> Template:
        """Read a template. Raises IM_TEMPLATE_NOT_FOUND, for another brand's too."""
        async with self._database.read() as connection:
            found = (await read_templates(connection, [template_id])).get(template_id)
        if found is None or found.brand_id != brand_id:
            raise _not_found(template_id)
        return found

    async def list(self, brand_id: int, page: pages.PageRequest) -> tuple[Sequence[Template], str]:
        """Read a page of templates, oldest first, and the token of the next."""
        (after,) = page.after(1) or (0,)
        statement = (
            sa.select(template)
            .where(template.c.brand_id == brand_id, template.c.template_id > after, template.c.deleted_at_ms == 0)
            .order_by(template.c.template_id)
            .limit(page.size + 1)
        )
        async with self._database.read() as connection:
            found = [_template(row) for row in await connection.execute(statement)]
        return pages.cut(found, page.size, lambda one: (one.template_id,))

    async def delete(self, brand_id: int, template_id: int) -> None:
        """Remove a template, if it is there. Raises IM_TEMPLATE_IN_USE, saying where."""
        async with self._database.write() as connection:
            now_ms = await self._database.now_ms(connection)
            if await lock_template(connection, brand_id, template_id) is None:
                return
            statement = sa.select(broadcast_config).where(
                broadcast_config.c.brand_id == brand_id, broadcast_config.c.template_id == template_id
            )
            user = (await connection.execute(statement.limit(1))).one_or_none()
            if user is not None:
                raise _in_use(template_id, user)
            await connection.execute(sa.update(template).where(_is(template_id)).values(deleted_at_ms=now_ms))


_STANDING = select_in(template, "template_id").where(template.c.deleted_at_ms == 0)


async def read_templates(connection: AsyncConnection, template_ids: Iterable[int]) -> dict[int, Template]:
    """Read the templates that stand, of any brands."""
    rows = await read_in(connection, _STANDING, template_ids)
    return {row.template_id: _template(row) for row in rows}


async def lock_template(connection: AsyncConnection, brand_id: int, template_id: int) -> Template | None:
    """Lock a template of a brand, so that its use and its removal come one after the other."""
    statement = sa.select(template).where(
        _is(template_id), template.c.brand_id == brand_id, template.c.deleted_at_ms == 0
    )
    row = (await connection.execute(statement.with_for_update())).one_or_none()
    return _template(row) if row else None


def key_reused(request_id: str) -> DomainError:
    """Say that a request id was used for something else."""
    return DomainError(
        grpc.StatusCode.ALREADY_EXISTS,
        "KEY_REUSED",
        f"request id {request_id} was used before with another body",
    )


def _check(name: str, content: str) -> None:
    violations = []
    if not is_plain_name(name):
        violations.append(FieldViolation("name", "has a control character"))
    if not is_plain_text(content):
        violations.append(FieldViolation("content", "has a control character other than a line break"))
    try:
        parse_template(content)
    except TemplateError as error:
        violations.append(FieldViolation("content", str(error)))
    if violations:
        raise invalid_request(*violations)


def _is(template_id: int) -> sa.ColumnElement[bool]:
    return template.c.template_id == template_id


def _template(row: Any) -> Template:
    return Template(**row._mapping)  # noqa: SLF001  # SQLAlchemy's public name


def _not_found(template_id: int) -> DomainError:
    return DomainError(grpc.StatusCode.NOT_FOUND, "IM_TEMPLATE_NOT_FOUND", f"no template {template_id}")


def _in_use(template_id: int, user: Any) -> DomainError:
    where = {"shop_id": str(user.shop_id), "event": Event(user.event).name, "channel": Channel(user.channel).name}
    owner = f"shop {user.shop_id}" if user.shop_id else "the brand"
    return DomainError(
        grpc.StatusCode.FAILED_PRECONDITION,
        "IM_TEMPLATE_IN_USE",
        f"template {template_id} is named by the broadcast configuration of {owner} for {where['event']} to"
        f" {where['channel']}; change or remove that first",
        metadata=where,
    )

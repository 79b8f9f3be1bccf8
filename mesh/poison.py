"""Finding the item that spoils a batch, so that it fails alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from mesh import telemetry
from mesh.outage import is_outage

Item = TypeVar("Item")
Result = TypeVar("Result")

log = telemetry.logger()


async def handle_apart(
    handle: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
    items: Sequence[Item],
    failed: Callable[[Exception], Result],
) -> list[Result]:
    """Call `handle`, which answers one result an item, in order; where it raises, call it again with each half.

    So one item that cannot be handled does not spend the attempts of its neighbours. An outage is no item's fault:
    then the whole batch fails without further calls. The result of an item that failed is `failed(error)`.
    """
    try:
        results = await handle(items)
        if len(results) == len(items):
            return list(results)
        error: Exception = RuntimeError(f"handler answered {len(results)} results for {len(items)} items")
    except Exception as raised:  # noqa: BLE001  # whatever a handler raises becomes the result of its items
        error = raised
    if len(items) == 1 or is_outage(error):
        return [failed(error)] * len(items)
    middle = len(items) // 2
    first = await handle_apart(handle, items[:middle], failed)
    return first + await handle_apart(handle, items[middle:], failed)


def tell_failures(errors: Sequence[Exception], **where: str) -> None:
    """Log what `handle_apart` met: a defect with its trace, and an outage as one line, for nobody can mend it here."""
    defects = [error for error in errors if not is_outage(error)]
    if defects:
        log.error("handler failed", **where, failures=len(defects), exc_info=defects[0])
    elif errors:
        log.warning("handler postponed", **where, error=str(errors[0]))

"""One batch: keep it hidden, hand it to the handler, settle each message as the handler says."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from mesh import telemetry
from mesh.alongside import alongside
from mesh.bus.port import Bus, BusUnavailableError, Delivery
from mesh.poison import handle_apart, tell_failures
from mesh.worker import metrics
from mesh.worker.route import Dead, Done, Outcome, Retry, Route

log = telemetry.logger(part="worker")


async def work(bus: Bus, route: Route, queue: str, deliveries: Sequence[Delivery]) -> None:
    """Handle and settle one batch of one queue.

    Raises `BusUnavailableError` when it cannot be settled; what is not settled is delivered again, and a handler finds
    its row moved on.
    """
    in_flight = metrics.in_flight.labels(route.name)
    in_flight.inc(len(deliveries))
    metrics.age_seconds.labels(route.name).observe(max(_age_seconds(delivery) for delivery in deliveries))
    try:
        # A batch has one trace: that of its first message.
        with telemetry.from_headers(deliveries[0].headers):
            async with alongside(_keep_hidden(bus, route, deliveries)):
                outcomes = await _handle(route, queue, deliveries)
            await _settle(bus, route, deliveries, outcomes)
    finally:
        in_flight.dec(len(deliveries))


async def _handle(route: Route, queue: str, deliveries: Sequence[Delivery]) -> Sequence[Outcome]:
    """Call the handler; whatever it raises becomes a retry of the messages that are to blame."""
    errors: list[Exception] = []

    async def call(batch: Sequence[Delivery]) -> Sequence[Outcome]:
        with metrics.handler_seconds.labels(route.name).time():
            async with asyncio.timeout(route.timeout_seconds):
                return await route.handler(queue, batch)

    def failed(error: Exception) -> Outcome:
        errors.append(error)
        return Retry(f"{type(error).__name__}: {error}")

    outcomes = await handle_apart(call, deliveries, failed)
    tell_failures(errors, route=route.name, queue=queue)
    return outcomes


async def _keep_hidden(bus: Bus, route: Route, deliveries: Sequence[Delivery]) -> None:
    while True:
        await asyncio.sleep(route.visibility_seconds / 3)
        try:
            await bus.extend(deliveries, route.visibility_seconds)
        except BusUnavailableError as error:
            log.info("could not keep messages hidden", route=route.name, error=str(error))


async def _settle(bus: Bus, route: Route, deliveries: Sequence[Delivery], outcomes: Sequence[Outcome]) -> None:
    done: list[Delivery] = []
    retried: list[tuple[Delivery, Retry]] = []
    dead: list[tuple[Delivery, Dead]] = []
    for delivery, said in zip(deliveries, outcomes, strict=True):
        outcome = _final(route, delivery, said)
        if isinstance(outcome, Done):
            done.append(delivery)
        elif isinstance(outcome, Retry):
            retried.append((delivery, outcome))
        else:
            dead.append((delivery, outcome))
    if done:
        await bus.ack(done)
        metrics.messages.labels(route.name, "done").inc(len(done))
    if retried:
        await _retry(bus, route, retried)
    for delivery, last_word in dead:
        await _bury(bus, route, delivery, last_word)


def _final(route: Route, delivery: Delivery, said: Outcome) -> Outcome:
    """Turn a retry that the policy no longer allows into a dead letter."""
    if isinstance(said, Retry) and route.retry.is_exhausted(delivery.attempt):
        return Dead(f"given up after attempt {delivery.attempt}: {said.reason}")
    return said


async def _retry(bus: Bus, route: Route, retried: Sequence[tuple[Delivery, Retry]]) -> None:
    for delivery, retry in retried:
        delay_seconds = retry.after_seconds
        if delay_seconds is None:
            delay_seconds = route.retry.delay_seconds(delivery.attempt)
        await bus.nack(delivery, delay_seconds)
    metrics.messages.labels(route.name, "retried").inc(len(retried))
    first, why = retried[0]
    described = log.bind(route=route.name, queue=first.queue, attempt=first.attempt, reason=why.reason)
    described.info("messages retried", messages=len(retried))
    overdue = sum(_age_seconds(delivery) > route.retry.alert_age_seconds for delivery, _ in retried)
    if overdue:
        metrics.overdue.labels(route.name).inc(overdue)
        described.error("messages overdue", messages=overdue)


async def _bury(bus: Bus, route: Route, delivery: Delivery, dead: Dead) -> None:
    await bus.dead(delivery, dead.reason)
    metrics.messages.labels(route.name, "dead").inc()
    log.error(
        "message dead",
        queue=delivery.queue,
        message_id=delivery.message_id,
        attempt=delivery.attempt,
        reason=dead.reason,
    )


def _age_seconds(delivery: Delivery) -> float:
    return max(0.0, time.time() - delivery.published_at_ms / 1000)

"""The queues on which services hear of each other's messages: one for each kind of message and service."""

from __future__ import annotations

QUEUE_PREFIX = "message."


def queue_of(topic: str, tag: str, service: str) -> str:
    """Name the queue on which a service hears of what happened: each has its own."""
    return f"{QUEUE_PREFIX}{topic}.{tag}.{service}"


def service_of(queue: str) -> str:
    """Answer the service that a queue is for."""
    return queue.rpartition(".")[2]

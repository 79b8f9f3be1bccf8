"""The messages and the stub of RocketMQ's gRPC protocol, out of the project's own Python client.

Importing that client makes a directory and a log file below HOME, and keeps the file open. It is imported here alone,
with HOME somewhere else for that moment, and its logger then does what every other does.

It says nothing of its types, so this is also where `Any` ends.
"""

from __future__ import annotations

import importlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

_LOGGER = "rocketmq-python-client"


@contextmanager
def _home_elsewhere() -> Iterator[None]:
    home = os.environ.get("HOME")
    with TemporaryDirectory() as elsewhere:
        os.environ["HOME"] = elsewhere
        try:
            yield
        finally:
            if home is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = home
            _quiet()


def _quiet() -> None:
    """Let go of the client's log file, and hand what it says to the root logger."""
    logger = logging.getLogger(_LOGGER)
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    logger.propagate = True


def _load(module: str) -> Any:
    try:
        with _home_elsewhere():
            return importlib.import_module(f"rocketmq.grpc_protocol.{module}")
    except ImportError as error:
        raise ImportError(f"a bus on RocketMQ needs its client: install brandmesh[rocketmq] ({error})") from error


definition: Any = _load("definition_pb2")
service: Any = _load("service_pb2")
MessagingServiceStub: Any = _load("service_pb2_grpc").MessagingServiceStub

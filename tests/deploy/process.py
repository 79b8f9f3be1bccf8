"""A process as a file under deploy/ starts it, and the settings that it would read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from unittest.mock import patch

from pydantic import SecretStr
from pydantic_settings import BaseSettings, CliApp

from meshctl import queue_exporter
from meshctl.local import _PROCESSES
from messagecenter_rmq.queues import QueueSelection as ImSelection
from messagecenter_rmq.settings import Settings as MessageCenterRmq
from sms_rmq.queues import QueueSelection as SmsSelection
from sms_rmq.settings import Settings as SmsRmq
from tools.generate_settings_reference import SECTIONS

MODULES = {process.module for process in _PROCESSES.values()}
"""Every process that `make run` starts, the sandbox included."""

SMS_TYPES = ("verification", "notification", "marketing")
SMS_MODES = ("single", "batch")
SAMPLE_BRANDS = (1001, 1002)
SAMPLE_QUEUES = (
    *(f"sms.send.{brand}.{kind}.{mode}" for brand in SAMPLE_BRANDS for kind in SMS_TYPES for mode in SMS_MODES),
    *(f"im.call.{brand}" for brand in SAMPLE_BRANDS),
)

MODELS: dict[str, type[BaseSettings]] = {
    "meshctl.queue_exporter": queue_exporter.Settings,
    **{
        section.heading: section.model
        for section in SECTIONS
        if section.heading in MODULES and issubclass(section.model, BaseSettings)
    },
}


@dataclass(frozen=True, slots=True)
class Process:
    """`environment` is what it is given alone, `shared` what all are given."""

    name: str
    module: str
    environment: Mapping[str, str]
    shared: Mapping[str, str]
    arguments: tuple[str, ...] = ()

    def settings(self) -> BaseSettings:
        """Read its settings as it would. Raises ValidationError."""
        bare = {name: value for name, value in os.environ.items() if not name.startswith("BRANDMESH_")}
        with patch.dict(os.environ, {**bare, **self.shared, **self.environment}, clear=True):
            return CliApp.run(MODELS[self.module], cli_args=list(self.arguments))

    def takes(self) -> set[str]:
        """Name the sample queues that it consumes."""
        if self.module not in {"sms_rmq", "messagecenter_rmq"}:
            return set()
        settings = self.settings()
        if isinstance(settings, SmsRmq):
            sms = SmsSelection(settings.brands, settings.except_brands, settings.types, settings.modes)
            return {queue for queue in SAMPLE_QUEUES for mode in SMS_MODES if sms.takes(queue, mode)}
        assert isinstance(settings, MessageCenterRmq)
        im = ImSelection(settings.brands, settings.except_brands)
        return {queue for queue in SAMPLE_QUEUES if im.takes(queue)}


def takers(processes: Mapping[str, Process]) -> dict[str, list[str]]:
    """Name the processes that consume each sample queue."""
    taken = {name: process.takes() for name, process in processes.items()}
    return {queue: [name for name, queues in taken.items() if queue in queues] for queue in SAMPLE_QUEUES}


def variables_of(module: str) -> set[str]:
    """Name the variables that a process reads."""
    model = MODELS[module]
    return {f"{model.model_config.get('env_prefix', '')}{name}".upper() for name in model.model_fields}


def secrets_of(module: str) -> set[str]:
    """Name those of its variables that are secret, or hold a secret."""
    model = MODELS[module]
    prefix = model.model_config.get("env_prefix", "")
    return {
        f"{prefix}{name}".upper()
        for name, field in model.model_fields.items()
        if field.annotation is SecretStr or name in {"database_url", "provider_accounts"}
    }

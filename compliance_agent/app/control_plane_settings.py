"""Settings of the control plane, of the outbox and of snapshots."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from compliance_agent.app.alert_settings import check_url
from compliance_agent.domain.outbox import OutboxLimits
from compliance_agent.domain.runbook import Model
from compliance_agent.domain.uplink import SendPolicy
from compliance_agent.wire.way_entry import PathText

APPLIANCE_ID: Final = r"^[a-z0-9][a-z0-9-]{0,62}$"
_LIMITS: Final = OutboxLimits()
_POLICY: Final = SendPolicy()
_DAY_S: Final = 86_400


class ControlPlaneSettings(Model):
    """Where reports go. Without this table nothing is reported and nothing waits to be."""

    url: Annotated[str, Field(max_length=2_000), AfterValidator(check_url)] = Field(
        description="Base address of the control plane; https, or http to this very machine."
    )
    appliance_id: str = Field(pattern=APPLIANCE_ID, description="This appliance, as the control plane knows it.")
    token_file: PathText = Field(description="Path of a file that holds the bearer token; read at each sending.")
    ca_file: PathText | None = Field(
        default=None, description="Path of the PEM file to trust instead of the well-known authorities."
    )
    timeout_s: int = Field(default=30, ge=1, le=300, description="For one batch, from connecting to the answer's end.")
    heartbeat_interval_s: int = Field(default=60, ge=10, le=86_400, description="Between two signs of life.")
    sync_rules: bool = Field(
        default=True, description="Take up signed rules from the control plane, once a root is pinned (enroll)."
    )
    sync_interval_s: int = Field(
        default=45, ge=10, le=86_400, description="Between two looks for rules, a tenth more or less."
    )
    batch_rows_max: int = Field(
        default=_POLICY.batch_rows_max, ge=1, le=1_000, description="Most entries in one batch."
    )
    batch_bytes_max: int = Field(
        default=_POLICY.batch_bytes_max,
        ge=1_024,
        le=16_777_216,
        description="Most bytes of their bodies together; a larger single entry travels alone.",
    )
    retry_base_s: int = Field(
        default=int(_POLICY.retry_base_s),
        ge=1,
        le=3_600,
        description="Upper end of the first wait after a failure; it doubles with each further one.",
    )
    retry_max_s: int = Field(
        default=int(_POLICY.retry_max_s), ge=1, le=86_400, description="Most that this upper end grows to."
    )
    late_after_s: int = Field(
        default=int(_POLICY.late_after_s), ge=1, le=2_592_000, description="Age at delivery that counts as late."
    )

    def policy(self) -> SendPolicy:
        """Return how the sender goes about it."""
        return SendPolicy(
            batch_rows_max=self.batch_rows_max,
            batch_bytes_max=self.batch_bytes_max,
            retry_base_s=self.retry_base_s,
            retry_max_s=self.retry_max_s,
            late_after_s=self.late_after_s,
        )


class OutboxSettings(Model):
    """How much may wait for the control plane. Beyond it heartbeats go first, then telemetry, then evidence."""

    rows_max: int = Field(default=_LIMITS.rows_max, ge=1, le=1_000_000, description="Most entries, dead ones included.")
    bytes_max: int = Field(
        default=_LIMITS.bytes_max, ge=65_536, le=1_073_741_824, description="Most bytes of their bodies together."
    )
    heartbeat_age_max_s: int = Field(
        default=_LIMITS.heartbeat_age_max_s, ge=60, le=_DAY_S, description="Age at which a heartbeat is dropped unsent."
    )
    telemetry_age_max_s: int = Field(
        default=_LIMITS.telemetry_age_max_s,
        ge=3_600,
        le=366 * _DAY_S,
        description="Age at which telemetry is dropped unsent.",
    )
    evidence_age_max_s: int = Field(
        default=_LIMITS.evidence_age_max_s,
        ge=366 * _DAY_S,
        le=3_660 * _DAY_S,
        description="Age at which evidence is dropped unsent.",
    )

    def limits(self) -> OutboxLimits:
        """Return the limits."""
        return OutboxLimits(**self.model_dump())


class SnapshotSettings(Model):
    """The copy of the state file from which the agent goes on when the file is damaged."""

    interval_s: int = Field(default=3_600, ge=60, le=604_800, description="Between two snapshots: what a damage costs.")

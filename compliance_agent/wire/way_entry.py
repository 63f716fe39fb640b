"""How to reach and log in to a machine: what targets and jump hosts write alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

from pydantic import AfterValidator, Field

from compliance_agent.domain.runbook import Model
from compliance_agent.domain.target import Target, TransportKind
from compliance_agent.wire.validation import RefusedError

if TYPE_CHECKING:
    from pydantic import ValidationInfo

BASE: Final = "base"
"""Key of the validation context: the absolute folder that relative paths are relative to."""

TARGET_ID: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"
FINGERPRINT: Final = r"^SHA256:[A-Za-z0-9+/]{43}$"


def place_path(text: str, info: ValidationInfo) -> str:
    """Return a path as an absolute one, relative ones taken from the context's base.

    Raises:
        RefusedError: It is empty, holds a line break or NUL (a key pasted in?), or begins with ``~``.

    """
    if not text or any(character in text for character in "\n\r\0"):
        raise RefusedError("a path is one line of text", "name a file; its content does not stand here")
    if text.startswith("~"):
        raise RefusedError("~ is not expanded, since the service has no home", "write the path from / on")
    base = str((info.context or {}).get(BASE, "/"))
    return text if text.startswith("/") else f"{base.rstrip('/')}/{text.removeprefix('./')}"


PathText = Annotated[str, AfterValidator(place_path)]


class JumpHostEntry(Model):
    """A machine that is only gone through, never checked."""

    id: str = Field(pattern=TARGET_ID, description="Name for via; shares its name space with the targets.")
    host: str = Field(min_length=1, max_length=253, description="Name or address.")
    port: int = Field(default=22, ge=1, le=65_535, description="TCP port.")
    user: str = Field(min_length=1, max_length=64, description="Login name.")
    identity_file: PathText | None = Field(default=None, description="Path of the private key.")
    certificate_file: PathText | None = Field(default=None, description="Path of that key's OpenSSH certificate.")
    password_file: PathText | None = Field(default=None, description="Path of a file that holds the login password.")
    host_key: str = Field(
        default="", pattern=f"^$|{FINGERPRINT}", description="The only host key to trust; else known_hosts counts."
    )
    via: str = Field(default="", pattern=f"^$|{TARGET_ID}", description="Jump host before this one, by its id.")

    def target(self, site_id: str, via: Target | None) -> Target:
        """Return the domain's target; it is spoken to only to get further."""
        return Target(
            target_id=self.id,
            site_id=site_id,
            transport=TransportKind.SSH,
            host=self.host,
            port=self.port,
            user=self.user,
            identity_file=self.identity_file,
            certificate_file=self.certificate_file,
            password_file=self.password_file,
            host_key=self.host_key,
            via=via,
        )

"""Target entries, as the settings file and the managed ``targets.yaml`` both write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from compliance_agent.domain.runbook import RUNBOOK_ID, Model
from compliance_agent.domain.target import Become, CheckSelection, Mode, Platform, Target, TransportKind, WinRmLogin
from compliance_agent.errors import InputError
from compliance_agent.wire.validation import names_a_secret, problems_of
from compliance_agent.wire.way_entry import BASE, FINGERPRINT, TARGET_ID, PathText

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from compliance_agent.domain.json_value import JsonValue
    from compliance_agent.errors import InputProblem
    from compliance_agent.wire.located import Located, Path

RunbookId = Annotated[str, Field(pattern=RUNBOOK_ID.pattern)]
ParameterTable = dict[RunbookId, dict[str, Any]]
Wildcard = Annotated[str, Field(min_length=1, max_length=128)]
SSH_PORT: Final = 22
HTTP_PORT: Final = 5985
HTTPS_PORT: Final = 5986
ModeText = Annotated[Mode, Field(strict=False)]


class ChecksEntry(Model):
    """Which checks a target gets."""

    include: tuple[Wildcard, ...] | None = Field(
        default=None, strict=False, description="Check ids or wildcards (LIN-SSH-*); null means all that fit."
    )
    exclude: tuple[Wildcard, ...] = Field(
        default=(), strict=False, description="Check ids or wildcards taken away from those."
    )


class TargetEntry(Model):
    """One machine."""

    id: str = Field(
        pattern=TARGET_ID, description="Stable name within the site; history and incidents hang on it, not on the host."
    )
    host: str = Field(default="", max_length=253, description="Name or address.")
    port: int | None = Field(
        default=None,
        ge=1,
        le=65_535,
        description="TCP port; null for 22 (ssh), 5986 (winrm), 5985 (winrm, tls: false).",
    )
    user: str = Field(default="", max_length=104, description="Login name; for winrm also DOMAIN\\name or name@domain.")
    transport: Literal["ssh", "winrm", "local"] | None = Field(
        default=None, description="ssh, winrm, or local for this very machine; null takes it from the platform."
    )
    platform: Literal["linux", "windows"] = Field(default="linux", description="Kind of system.")
    identity_file: PathText | None = Field(default=None, description="Path of the private key; for ssh only.")
    password_file: PathText | None = Field(default=None, description="Path of a file that holds the login password.")
    certificate_file: PathText | None = Field(
        default=None, description="Path of the private key's OpenSSH certificate; for ssh only."
    )
    host_key: str = Field(
        default="",
        pattern=f"^$|{FINGERPRINT}",
        description="Fingerprint of the only host key to trust (SHA256:...), instead of known_hosts; for ssh only.",
    )
    via: str = Field(
        default="", pattern=f"^$|{TARGET_ID}", description="Go through this jump host or target, by its id; ssh only."
    )
    login: Literal["ntlm", "kerberos"] = Field(default="ntlm", description="How to log in; for winrm only.")
    tls: bool = Field(
        default=True, description="HTTPS; false seals each message over HTTP by the login's key. For winrm only."
    )
    ca_file: PathText | None = Field(
        default=None, description="Path of the certificates that may vouch for the server; for winrm only."
    )
    certificate_sha256: str = Field(
        default="",
        pattern="^$|^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$",
        description="SHA-256 of the only server certificate to trust, hex; for winrm only.",
    )
    become: Literal["none", "sudo"] = Field(default="none", description="How to gain root after the login.")
    become_password_file: PathText | None = Field(
        default=None, description="Path of a file that holds the sudo password."
    )
    mode: ModeText = Field(
        default=Mode.ENFORCE, description="observe never changes this machine; observe anywhere wins."
    )
    tags: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = Field(
        default=(), strict=False, description="Free labels."
    )
    checks: ChecksEntry = Field(default_factory=ChecksEntry, description="Which checks this target gets.")
    parameters: ParameterTable = Field(
        default_factory=dict, description="Parameter values for this target: runbook id, then name and value."
    )

    @property
    def way(self) -> TransportKind:
        """Return how it is spoken to."""
        if self.transport is not None:
            return TransportKind(self.transport)
        return TransportKind.WINRM if self.platform == "windows" else TransportKind.SSH

    @property
    def way_port(self) -> int:
        """Return the TCP port, the usual one where none is named."""
        if self.port is not None:
            return self.port
        if self.way is TransportKind.WINRM:
            return HTTPS_PORT if self.tls else HTTP_PORT
        return SSH_PORT

    def target(self, site_id: str, via: Target | None = None) -> Target:
        """Return the domain's target; ``via`` is the jump host that the entry names."""
        return Target(
            target_id=self.id,
            site_id=site_id,
            platform=Platform(self.platform),
            transport=self.way,
            host=self.host,
            port=self.way_port,
            user=self.user,
            identity_file=self.identity_file,
            password_file=self.password_file,
            certificate_file=self.certificate_file,
            host_key=self.host_key,
            via=via,
            become=Become(self.become),
            become_password_file=self.become_password_file,
            login=WinRmLogin(self.login),
            tls=self.tls,
            ca_file=self.ca_file,
            certificate_sha256=self.certificate_sha256.replace(":", "").lower(),
            mode=self.mode,
            tags=self.tags,
            checks=CheckSelection(self.checks.include, self.checks.exclude),
            parameters=self.parameters,
        )


class ManagedTargets(Model):
    """The file that ``targets add`` keeps."""

    targets: tuple[TargetEntry, ...] = Field(default=(), strict=False, description="The managed machines.")


def read_managed(document: Located, *, base: str) -> tuple[TargetEntry, ...]:
    """Return the entries of a managed targets file; ``base`` is its folder, absolute.

    Raises:
        InputError: With every problem.

    """
    problems = [*secret_problems(document), *target_problems(document)]
    try:
        managed = ManagedTargets.model_validate(document.value, context={BASE: base})
    except ValidationError as error:
        problems = without_repeats([*problems, *problems_of(error, document, model=ManagedTargets)])
        raise InputError(problems) from None
    if problems:
        raise InputError(problems)
    return managed.targets


def target_problems(document: Located, *, taken: Mapping[str, str] | None = None) -> list[InputProblem]:
    """Return what is wrong with the list ``targets`` of a document beyond the types of its keys.

    Args:
        document: The settings, or a managed targets file.
        taken: Ids that stand elsewhere already, with their places.

    """
    entries = document.value.get("targets") if isinstance(document.value, Mapping) else None
    problems: list[InputProblem] = []
    places = dict(taken or {})
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if not isinstance(entry, Mapping):
            continue
        path: Path = ("targets", index)
        problems += _entry_problems(document, path, entry)
        target_id = entry.get("id")
        if isinstance(target_id, str) and target_id in places:
            message = f"the id {target_id} stands twice, first at {places[target_id]}"
            problems.append(document.problem((*path, "id"), message, "give one of the machines another id"))
        elif isinstance(target_id, str):
            places[target_id] = document.place((*path, "id"))
    return problems


_WINRM_ONLY: Final = ("login", "tls", "ca_file", "certificate_sha256")
_NOT_WINRM: Final = ("identity_file", "certificate_file", "host_key", "via", "become", "become_password_file")
_SSH_ONLY: Final = ("host", "port", "user", "identity_file", "password_file", "certificate_file", "host_key", "via")


def _entry_problems(document: Located, path: Path, entry: Mapping[str, JsonValue]) -> list[InputProblem]:
    problems: list[InputProblem] = []
    windows = entry.get("platform") == "windows"
    transport = entry.get("transport") or ("winrm" if windows else "ssh")
    if windows != (transport == "winrm"):
        message = "winrm and platform: windows go together"
        hint = "write platform: windows beside winrm, and no other transport beside it"
        problems.append(document.problem((*path, "platform" if windows else "transport"), message, hint))
    if transport == "winrm":
        problems += _winrm_problems(document, path, entry)
    else:
        surplus = [key for key in _WINRM_ONLY if entry.get(key) is not None]
        hint = "remove it, or write platform: windows"
        problems += [document.problem((*path, key), f"{key} is for winrm only", hint) for key in surplus]
    if transport == "ssh":
        missing = [key for key in ("host", "user") if not entry.get(key)]
        problems += [document.problem(path, f"a target over ssh needs {key}", f"add {key}") for key in missing]
        if not entry.get("identity_file") and not entry.get("password_file"):
            hint = "add identity_file (path of a private key), or password_file"
            problems.append(document.problem(path, "a target over ssh needs a credential", hint))
    if transport == "local":
        surplus = [key for key in _SSH_ONLY if entry.get(key) is not None]
        hint = "remove it, or write transport: ssh"
        problems += [document.problem((*path, key), f"a local target takes no {key}", hint) for key in surplus]
    if entry.get("certificate_file") and not entry.get("identity_file"):
        message = "a certificate is of no use without its private key"
        problems.append(document.problem((*path, "certificate_file"), message, "add identity_file"))
    if entry.get("become_password_file") and entry.get("become", "none") == "none":
        message = "a sudo password without become: sudo is never used"
        problems.append(document.problem((*path, "become_password_file"), message, "add become: sudo, or remove it"))
    problems += [
        document.problem((*path, key), "holds a space or a control character", "remove it")
        for key in ("host", "user")
        if any(not character.isprintable() or character.isspace() for character in _text(entry.get(key)))
    ]
    return problems


def _winrm_problems(document: Located, path: Path, entry: Mapping[str, JsonValue]) -> list[InputProblem]:
    missing = [key for key in ("host", "user") if not entry.get(key)]
    problems = [document.problem(path, f"a target over winrm needs {key}", f"add {key}") for key in missing]
    surplus = [key for key in _NOT_WINRM if entry.get(key) not in {None, "none"}]
    problems += [document.problem((*path, key), f"a target over winrm takes no {key}", "remove it") for key in surplus]
    if not entry.get("password_file") and entry.get("login") != "kerberos":
        problems.append(document.problem(path, "a target over winrm needs a credential", "add password_file"))
    if entry.get("tls") is False:
        for key in ("ca_file", "certificate_sha256"):
            if entry.get(key):
                message = f"{key} says whom to trust over TLS, and tls is false"
                problems.append(document.problem((*path, key), message, "remove one of them"))
    return problems


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else ""


def secret_problems(document: Located) -> list[InputProblem]:
    """Return a problem for every key, at any depth, that asks for a secret's value. Never shows the value."""
    return list(_secrets(document, document.value, ()))


def _secrets(document: Located, value: JsonValue, path: Path) -> Iterable[InputProblem]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            if names_a_secret(key) and not isinstance(item, bool) and item is not None:
                message = f"{key} holds a secret, and secrets do not stand in settings"
                yield document.problem((*path, key), message, f"name a file: {_file_key(key)}")
            else:
                yield from _secrets(document, item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _secrets(document, item, (*path, index))
    elif isinstance(value, str) and "-----BEGIN" in value:
        yield document.problem(path, "a key or certificate stands here", "name the file that holds it")


def _file_key(key: str) -> str:
    return "identity_file" if key.lower().endswith("key") else f"{key.lower()}_file"


def without_repeats(problems: Sequence[InputProblem]) -> list[InputProblem]:
    """Return the problems in the document's order, one for each secret: the unknown key is the same thing."""
    secrets = {(problem.source, problem.path) for problem in problems if "secrets do not stand" in problem.message}
    kept = [
        problem
        for problem in dict.fromkeys(problems)
        if "secrets do not stand in settings" in problem.message or (problem.source, problem.path) not in secrets
    ]
    return sorted(kept, key=lambda problem: (problem.source, problem.line, problem.column))

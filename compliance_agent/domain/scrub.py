"""The scrubber: takes secrets and personal data out of what machines print, before it is kept, logged or signed.

It must remove these and nothing else: IP addresses, ports, versions, clock offsets, SHA-256
fingerprints and digests stay, since people decide by them. It is the last of several guards (no
secret should be there at all), so where a value *might* be one, it goes. What is personal is told by
:mod:`compliance_agent.domain.personal`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from compliance_agent.domain.personal import REMOVED, names_personal_data, remove_personal

if TYPE_CHECKING:
    from compliance_agent.domain.json_value import JsonValue


# A block whose end was cut off is removed to the end of the text.
_PEM: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----.*?(?:-----END \1-----|\Z)", re.DOTALL)
_HEADER: Final = re.compile(
    r"((?:authorization|x-api-key|x-auth-token|(?:set-)?cookie)[\"']?[ \t]*[:=][ \t]*+)[^\r\n]+",
    re.IGNORECASE,
)
_SCHEME: Final = re.compile(r"\b(bearer|basic)[ \t]+(?=[^\s]*[0-9=])[A-Za-z0-9+/=._~-]{6,}", re.IGNORECASE)
_USER_INFO: Final = re.compile(r"(://[^\s/:@]{0,256}:)[^\s/@]{1,256}@")
_CRYPT: Final = re.compile(r"\$(?:1|2[abxy]?|5|6|7|y|gy|md5|apr1|argon2[a-z]{1,2})\$[^\s:\"']{8,}")
_NAMED: Final = re.compile(
    r"((?:password|passphrase|secret|token|api[_-]?key|private[_-]?key|access[_-]?key|credential"
    r"|account[_-]?key|shared[_-]?key|pre-?shared-?key|encryption[_-]?key|master[_-]?key|(?<![A-Za-z])psk)s?[\"']?"
    r"[ \t]*[:=][ \t]*+|(?:passwd|pwd|(?<![A-Za-z])pass|\bsig)=)"
    r"(\[removed\]|\"[^\"\r\n]*\"|'[^'\r\n]*'|[^\s,;&\"'\]}]+)",
    re.IGNORECASE,
)
# A password that a command line or a line of snmpd.conf gives without a name of its own.
_GIVEN: Final = re.compile(
    r"(\bsshpass[ \t]+-p[ \t]*|\bmysql(?:dump|admin|import|show|check)?\b[^\r\n|;]{0,200}?[ \t]-p(?=\S)"
    r"|[ \t]/(?:pass|rp)(?::|[ \t]+)"
    r"|\bDefaultPassword[ \t]+REG_SZ[ \t]+|<(?:c|admin|default|user)?password>[ \t]*|\bKey Content[ \t]+:[ \t]*"
    r"|\bConvertTo-SecureString[ \t]+(?:-String[ \t]+)?(?=[\"'])|^[ \t]*(?:requirepass|bindpw|masterauth)[ \t]+"
    r"|^[ \t]*com2sec6?[ \t]+\S+[ \t]+\S+[ \t]+|\bsnmp-server[ \t]+community[ \t]+|[ \t]--?password[ \t]+(?=[^\s-])"
    r"|\b(?:curl|wget)\b[^\r\n|;]*?[ \t](?:-u|--user)[ \t=]+[^\s:]{1,256}:"
    r"|^[ \t]*r[ow]community6?[ \t]+)(?!\[removed\])[^\s<]+",
    re.IGNORECASE | re.MULTILINE,
)
_KNOWN: Final = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|(?:AKIA|ASIA)[0-9A-Z]{16}|hvs\.[\w-]{20,}|npm_[A-Za-z0-9]{30,}|sk-(?:ant|proj)-[\w-]{16,}|ya29\.[\w-]{12,}|xox[abeprs]-[\w-]{10,}"
    r"|AIza[\w-]{30,}|[sr]k_live_[A-Za-z0-9]{16,}|https://hooks\.slack\.com/services/[\w/]+|AGE-SECRET-KEY-1[0-9A-Z]{20,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
# BitLocker's recovery password: eight groups of six digits.
_RECOVERY: Final = re.compile(r"(?<![\w-])\d{6}(?:-\d{6}){7}(?![\w-])")
# Password hashes of Windows (LM and NTLM), as dumps print them.
_NTLM: Final = re.compile(
    r"(?<![0-9A-Fa-f:])[0-9A-Fa-f]{32}:[0-9A-Fa-f]{32}(?![0-9A-Fa-f])|(?<=:)[0-9A-Fa-f]{32}:[0-9A-Fa-f]{32}(?=:::)"
)
_LONG: Final = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{32,}={0,2}")
_DIGEST_NAMES: Final = ("SHA256:", "SHA512:", "SHA1:", "MD5:", "sha256-", "sha384-", "sha512-", "AAAA")
_OF_EACH_MIN: Final = 4
PASSES_MAX: Final = 8
CUT: Final = " [cut]"
FLOOD_TIMES: Final = 4
"""How many times the length that is kept is looked at; scrubbing all of a flood would take for ever."""

# What stands after "password:" or "token=" and is no secret: switches, small numbers and paths.
_HARMLESS: Final = re.compile(
    r"^[\"']?(?:yes|no|on|off|true|false|none|null|never|set|unset|missing|empty|required|locked|prohibit-password"
    r"|without-password|[0-9]{1,5}|/[\w./@-]+|\[removed\]|\*+|)[\"']?[.)]?$",
    re.IGNORECASE,
)
_SECRET_KEY: Final = re.compile(
    r"(?:^|[_.-])(?:passwords?|passwd|passphrase|secrets?|tokens?|authorization|cookie|api_?key|private_?key|access_?key"
    r"|secret_?key|credentials?|pkey)$",
    re.IGNORECASE,
)


class ScrubError(Exception):
    """The scrubber cannot vouch for its own result. What it was given must not be signed or sent."""


def scrub(text: str) -> str:
    """Return ``text`` with secrets and personal data replaced by ``[removed]``. Scrubbing twice changes nothing."""
    return _settle(text)[0]


def scrub_surely(text: str) -> str:
    """Return :func:`scrub`, or refuse: for text that will be signed, which cannot be taken back.

    Raises:
        ScrubError: However often it is scrubbed, another scrubbing would take out more.

    """
    settled, sure = _settle(text)
    if not sure:
        raise ScrubError(f"this text is still not clean after {PASSES_MAX} scrubbings")
    return settled


def _settle(text: str) -> tuple[str, bool]:
    """Scrub until nothing changes: what one pattern took out may have hidden something from an earlier one."""
    for _ in range(PASSES_MAX):
        cleaned = _scrub_once(text)
        if cleaned == text:
            return text, True
        text = cleaned
    return text, False


def _scrub_once(text: str) -> str:
    text = _PEM.sub(REMOVED, text)
    text = _HEADER.sub(rf"\1{REMOVED}", text)
    text = _SCHEME.sub(rf"\1 {REMOVED}", text)
    text = _USER_INFO.sub(rf"\1{REMOVED}@", text)
    text = _CRYPT.sub(REMOVED, text)
    text = _GIVEN.sub(rf"\1{REMOVED}", text)
    text = _NAMED.sub(_scrub_named, text)
    text = _KNOWN.sub(REMOVED, text)
    text = _RECOVERY.sub(REMOVED, text)
    text = _NTLM.sub(REMOVED, text)
    text = _LONG.sub(_scrub_long, text)
    return remove_personal(text)


def scrub_document(document: Mapping[str, JsonValue], *, length_max: int) -> dict[str, JsonValue]:
    """Return a JSON object as it may be signed: every text in it scrubbed, then cut.

    A field whose *name* says that it holds a secret or personal data loses its text, whatever that
    looks like. Half a surrogate pair, which is no character, becomes U+FFFD.

    Args:
        document: Any JSON object.
        length_max: Most characters of one text; longer ones end in `` [cut]``.

    Raises:
        ScrubError: A text of which the scrubber is not sure.

    """
    return {_text(key, length_max): _value(value, length_max, key) for key, value in document.items()}


def _value(value: JsonValue, length_max: int, name: str) -> JsonValue:
    if isinstance(value, str):
        if value and (names_a_secret(name) or names_personal_data(name)) and not _HARMLESS.match(value):
            return REMOVED
        return _text(value, length_max)
    if isinstance(value, Mapping):
        return scrub_document(value, length_max=length_max)
    if isinstance(value, Sequence):
        return [_value(item, length_max, name) for item in value]
    return value


def _text(text: str, length_max: int) -> str:
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")
    head = whole if len(whole) <= FLOOD_TIMES * length_max else _head(whole, FLOOD_TIMES * length_max)
    safe = scrub_surely(head)
    return safe if len(safe) <= length_max else safe[: length_max - len(CUT)] + CUT


def _head(text: str, length: int) -> str:
    """Return the start of a flood, cut at a space, so that no half of a secret is left at its end."""
    head = text[:length]
    return head[: max(head.rfind(" "), head.rfind("\n"), length // 2)]


def names_a_secret(key: str) -> bool:
    """Tell whether a field of this name holds a secret: ``db_password`` does, ``password_file`` does not."""
    return _SECRET_KEY.search(key) is not None


def _scrub_named(found: re.Match[str]) -> str:
    name, value = found.groups()
    return found.group(0) if _HARMLESS.match(value) else f"{name}{REMOVED}"


def _scrub_long(found: re.Match[str]) -> str:
    """Keep digests, paths and names; remove what is as mixed as a random token."""
    token, before = found.group(0), found.string[max(0, found.start() - 7) : found.start()]
    if token.startswith(_DIGEST_NAMES) or before.endswith(_DIGEST_NAMES):
        return token
    upper = sum(letter.isupper() for letter in token)
    lower = sum(letter.islower() for letter in token)
    digits = sum(letter.isdigit() for letter in token)
    return REMOVED if min(upper, lower, digits) >= _OF_EACH_MIN else token

"""The scrubber: takes secret-looking text out of what machines print, before the store or a log sees it.

It must remove secrets and nothing else: IP addresses, ports, versions, clock offsets, SHA-256
fingerprints and digests stay, since people decide by them. It is the last of several guards (no
secret should be there at all), so where a value *might* be one, it goes.
"""

from __future__ import annotations

import re
from typing import Final

REMOVED: Final = "[removed]"

# A block whose end was cut off is removed to the end of the text.
_PEM: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]{1,40})-----.*?(?:-----END \1-----|\Z)", re.DOTALL)
_HEADER: Final = re.compile(
    r"((?:authorization|x-api-key|x-auth-token|(?:set-)?cookie)[\"']?[ \t]*[:=][ \t]*+)[^\r\n]+",
    re.IGNORECASE,
)
_SCHEME: Final = re.compile(r"\b(bearer|basic)[ \t]+(?=[^\s]*[0-9=])[A-Za-z0-9+/=._~-]{6,}", re.IGNORECASE)
_USER_INFO: Final = re.compile(r"(://[^\s/:@]{0,256}:)[^\s/@]{1,256}@")
_CRYPT: Final = re.compile(r"\$(?:1|2[abxy]?|5|6|7|y|gy|md5|argon2[a-z]{1,2})\$[^\s:\"']{8,}")
_NAMED: Final = re.compile(
    r"((?:password|passphrase|secret|token|api[_-]?key|private[_-]?key|access[_-]?key|credential)s?[\"']?"
    r"[ \t]*[:=][ \t]*+|(?:passwd|pwd|\bpass)=)"
    r"(\[removed\]|\"[^\"\r\n]*\"|'[^'\r\n]*'|[^\s,;&\"'\]}]+)",
    re.IGNORECASE,
)
_KNOWN: Final = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|AKIA[0-9A-Z]{16}|xox[abeprs]-[\w-]{10,}"
    r"|AGE-SECRET-KEY-1[0-9A-Z]{20,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
_LONG: Final = re.compile(r"(?<![A-Za-z0-9+/_=-])[A-Za-z0-9+/_-]{32,}={0,2}")
_DIGEST_NAMES: Final = ("SHA256:", "SHA512:", "SHA1:", "MD5:", "sha256-", "sha384-", "sha512-", "AAAA")
_OF_EACH_MIN: Final = 4

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


def scrub(text: str) -> str:
    """Return ``text`` with what looks like a secret replaced by ``[removed]``. Scrubbing twice changes nothing."""
    text = _PEM.sub(REMOVED, text)
    text = _HEADER.sub(rf"\1{REMOVED}", text)
    text = _SCHEME.sub(rf"\1 {REMOVED}", text)
    text = _USER_INFO.sub(rf"\1{REMOVED}@", text)
    text = _CRYPT.sub(REMOVED, text)
    text = _NAMED.sub(_scrub_named, text)
    text = _KNOWN.sub(REMOVED, text)
    return _LONG.sub(_scrub_long, text)


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

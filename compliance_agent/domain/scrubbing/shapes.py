"""Keys, hashes and tokens that are known by their form, wherever they stand.

Certificates, public keys and fingerprints look as random as secrets do, and are none: they stay.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

from compliance_agent.domain.scrubbing.detectors import BLANK, NEWLINE, Detector, by_pattern, compiled, decoded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compliance_agent.domain.scrubbing.detectors import Span

_PUBLIC_LABEL: Final = (
    r"(?:(?:X509 |TRUSTED |NEW )?CERTIFICATE(?: REQUEST)?|X509 CRL|(?:[A-Z0-9]+ )?PUBLIC KEY(?: BLOCK)?"
    r"|PGP SIGNATURE|SSH SIGNATURE"
    r"|(?:DH|DSA|EC|X9\.42 DH) PARAMETERS|PKCS7|CMS|PGP SIGNED MESSAGE)"
)
_BEGIN: Final[Any] = compiled(r"-{4,5} ?BEGIN ([A-Z0-9][A-Z0-9 .]{0,60}?) ?-{4,5}")
_END: Final[Any] = compiled(r"-{4,5} ?END [A-Z0-9 .]{1,60}-{4,5}")
_PUBLIC: Final[Any] = compiled(rf"\A{_PUBLIC_LABEL}\z", exact=True)
_PUBLIC_BLOCK: Final[Any] = compiled(
    rf"-{{4,5}} ?BEGIN {_PUBLIC_LABEL} ?-{{4,5}}(?:[A-Za-z0-9+/=\s]|\\[nr])*", exact=True
)


def _key_blocks(text: bytes) -> Iterator[Span]:
    """Find every PEM block that is not known to be public; one whose end was cut off goes to the end of the text."""
    if b"begin" not in text.lower():
        return
    position = 0
    while (begin := _BEGIN.search(text, position)) is not None:
        position = begin.end()
        if not _PUBLIC.search(begin.group(1)):
            end = _END.search(text, position)
            position = len(text) if end is None else end.end()
            yield (begin.start(), position)


_RUN: Final[Any] = compiled(
    r"(?:^|[^A-Za-z0-9+/_=-])((?i:SHA-?(?:1|256|384|512)|MD5)(?:[:-]|[ \t]{0,4}[:=][ \t]{0,4}))?"
    r"([A-Za-z0-9+/_-]{32,}={0,2})",
    exact=True,
)
_SSH_TYPES: Final = (b"ssh-", b"ecdsa-", b"sk-")
_OF_EACH_MIN: Final = 4
_LONG: Final = 32
_AWS_LENGTH: Final = 40
_LETTER_RUNS: Final[Any] = compiled(r"[A-Za-z][a-z]{3,}", exact=True)


def _random_runs(text: bytes) -> Iterator[Span]:
    if len(text) < _LONG:
        return
    position = 0
    public = [found.span() for found in _PUBLIC_BLOCK.finditer(text)] if b"BEGIN" in text else []
    while (found := _RUN.search(text, position)) is not None:
        start, end = found.span(2)
        position = end
        public = [span for span in public[:1] if span[1] > start] + public[1:]
        while public and public[0][1] <= start:
            public.pop(0)
        if public and public[0][0] <= start:
            continue
        token = decoded(found.group(2))
        if found.span(1)[0] < 0 and not _is_public_key(token) and _is_random(token):
            yield (start, end)


def _is_public_key(token: str) -> bool:
    """Tell whether this is an SSH public key: the type that it names is its first field (RFC 4253, section 6.6)."""
    if not token.startswith("AAAA"):
        return False
    try:
        return base64.b64decode(token[:24])[4:].startswith(_SSH_TYPES)
    except (binascii.Error, ValueError):
        return False


def _is_random(token: str) -> bool:
    """Tell what is as mixed as a random token from digests, paths and names."""
    upper = sum(letter.isupper() for letter in token)
    lower = sum(letter.islower() for letter in token)
    digits = sum(letter.isdigit() for letter in token)
    if min(upper, lower, digits) >= _OF_EACH_MIN:
        return True
    # A secret key of AWS: 40 characters of base64. Random letters hardly ever make words of four.
    of_words = sum(len(run) for run in _LETTER_RUNS.findall(token.encode()))
    others = digits + token.count("+") + token.count("/")
    plain = len(token) == _AWS_LENGTH and "_" not in token and "-" not in token
    return plain and min(upper, lower) >= _OF_EACH_MIN and others > 0 and 2 * of_words < len(token)


def _one_class(_before: str, value: str) -> bool:
    """Tell whether a word of 13 letters is too plain for a hash: those mix capitals, small letters and digits."""
    kinds = [any(test(letter) for letter in value) for test in (str.isupper, str.islower, str.isdigit)]
    return sum(kinds) < len(kinds) - 1 or not kinds[0]


def _is_port(_before: str, value: str) -> bool:
    """Tell whether what looks like the password of an address is the port of one that has an `@` in its path."""
    return value.partition("/")[0].isdecimal() and "/" in value


def _is_no_login(_before: str, value: str) -> bool:
    """Tell whether this is not base64 of `name:password`."""
    try:
        return b":" not in base64.b64decode(value)
    except (binascii.Error, ValueError):
        return True


def _is_no_scheme(_before: str, value: str) -> bool:
    return not any(letter.isdigit() or letter in "=+/" for letter in value)


_TOKENS: Final = (
    r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|gl(?:pat|rt|dt|ptt|soat|agent|cbt)-[\w-]{16,}"
    r"|(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}|hv[sbr]\.[\w-]{20,}|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{30,}"
    r"|sk-(?:ant|proj|svcacct|or)-[\w-]{16,}|sk-[A-Za-z0-9]{32,}|ya29\.[\w-]{12,}|xox[abeoprs]-[\w-]{10,}"
    r"|xapp-[\w-]{20,}"
    r"|AIza[\w-]{30,}|GOCSPX-[\w-]{20,}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9+/=]{16,}"
    r"|https://hooks\.slack\.com/services/[\w/]+|https://[\w.-]*webhook\.office\.com/\S+|https://discord"
    r"(?:app)?\.com/api/webhooks/\S+"
    r"|AGE-SECRET-KEY-1[0-9A-Z]{20,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|SG\.[\w-]{16,}\.[\w-]{16,}|hf_[A-Za-z0-9]{30,}"
    r"|do[opr]_v1_[a-f0-9]{40,}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|dckr_(?:pat|oat)_[\w-]{20,}|ATATT3[\w=-]{20,}"
    r"|ATCTT3[\w=-]{20,}"
    r"|tskey-[a-z]+-[\w-]{16,}|gls[ac]_[\w]{20,}|PMAK-[a-f0-9-]{40,}|NRAK-[A-Z0-9]{20,}|LTAI[A-Za-z0-9]{12,}"
    r"|[0-9]{8,10}:AA[\w-]{32,}"
    r"|key-[0-9a-f]{32}|SK[0-9a-f]{32}|rubygems_[a-f0-9]{40,}|dapi[a-f0-9]{32}|vault:v1:[A-Za-z0-9+/=]{16,}"
    r"|nvapi-[\w-]{40,}"
)

_TOKENS_HAVE: Final = (
    "gh github_pat gl akia asia abia acca hv npm_ pypi- sk ya29 xox xapp- aiza gocspx- k_live k_test whsec_ hooks.slack"
    " webhook age-secret eyj sg. hf_ _v1_ shp dckr_ atatt3 atctt3 tskey- pmak- nrak- ltai :aa key- rubygems_ dapi"
    " vault:v1 nvapi-"
)

SHAPES: Final = (
    Detector("key-block", _key_blocks),
    by_pattern(
        "putty-key",
        "private-lines",
        rf"Private-Lines:[ \t]*[0-9]+{NEWLINE}((?:[A-Za-z0-9+/]+={{0,2}}{NEWLINE})*[A-Za-z0-9+/]+={{0,2}})(?:\r"
        rf"|\n|\\|$)",
    ),
    by_pattern("putty-mac", "private-", r"\bPrivate-(?:MAC|Hash):[ \t]*([0-9a-f]+)"),
    by_pattern(
        "header",
        "authorization x- cookie",
        rf"(?:authorization|x-[\w-]*(?:key|token|secret|password)|"
        rf"(?:set-)?cookie)\\*[\"']?{BLANK}*[:=]{BLANK}*([^\s][^\r\n]*)",
    ),
    by_pattern(
        "scheme",
        "bearer basic negotiate ntlm",
        rf"\b(?:bearer|basic|negotiate|ntlm){BLANK}+([A-Za-z0-9+/=._~-]{{6,}})",
        spares=_is_no_scheme,
    ),
    by_pattern("address-token", "://", r"://([\w-]{16,256})@"),
    by_pattern(
        "docker-auth",
        "auth",
        rf"\b_?auth\\*[\"']?{BLANK}*[:=]{BLANK}*\\*[\"']?([A-Za-z0-9+/]{{8,}}={{0,2}})",
        spares=_is_no_login,
    ),
    by_pattern("address-password", "://", r"://[^\s/:@\"'<>?#\[]*:([^\s/\"'<>?#]+)@"),
    by_pattern("address-password-slash", "://", r"://[^\s/:@\"'<>?#\[]*:([^\s@\"'<>]+)@", spares=_is_port),
    by_pattern(
        "oracle-login",
        "oracle sqlplus imp exp sqlldr",
        rf"\b(?:jdbc:oracle:\w+:|sqlplus(?:{BLANK}+-\w+)*{BLANK}+|(?:imp|exp|sqlldr)(?:dp)?{BLANK}+"
        rf"(?:userid=)?)[^\s/@\"':]+/([^\s@]+)",
    ),
    by_pattern(
        "crypt-hash",
        "$",
        r"(?:^|[^\w$])(\$(?:[1-9PHSy]|2[abxy]|gy|md5|apr1|sm3|argon2(?:id?|d)|scrypt|bcrypt(?:-sha256)?|pbkdf2"
        r"(?:-sha\d+)?|sha1)[$,][A-Za-z0-9./$=,+_-]{8,})",
    ),
    by_pattern(
        "django-hash",
        "$",
        r"\b((?:pbkdf2|bcrypt|scrypt|argon2|md5|sha1)(?:_sha(?:1|256|512)|[:_]sha\d+)?\$[^\s:\"',;]{12,}"
        r"|pbkdf2:sha\d+:\d+\$\S+|scrypt:\d+:\d+:\d+\$\S+)",
    ),
    by_pattern("grub-hash", "grub.", r"\bgrub\.(pbkdf2\.sha\d+\.\d+\.[0-9A-F]+\.[0-9A-F]+)"),
    by_pattern("scram-hash", "scram-", r"(SCRAM-SHA-\d+\$\d+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/=]+:[A-Za-z0-9+/=]+)"),
    by_pattern(
        "directory-hash", "{", r"(\{(?:S?SHA(?:256|384|512)?|S?MD5|CRYPT|PBKDF2[\w-]*|ARGON2)\}[A-Za-z0-9+/=$.,]{8,})"
    ),
    by_pattern(
        "des-crypt",
        ":",
        r"(?:^|[\s:\"'])[A-Za-z_][\w.-]{0,32}:!{0,2}(_?[./0-9A-Za-z]{13}(?:[./0-9A-Za-z]{6})?):[0-9]{0,7}:[0-9]{0,7}:",
    ),
    by_pattern(
        "des-crypt-htpasswd",
        ":",
        r"^[A-Za-z_][\w.-]{0,32}:([./0-9A-Za-z]{13})[ \t]*\r?$",
        exact=True,
        spares=_one_class,
    ),
    by_pattern("mysql-hash", "*", r"(?:^|[\s\"'=(])(\*[0-9A-F]{40})(?:$|[^0-9A-Za-z])"),
    by_pattern("mssql-hash", "0x0", r"\b(0x0[12]00[0-9A-F]{48,140})\b"),
    by_pattern("ntlm-hash", ":", r"(?:^|[^0-9A-Fa-f:])([0-9A-F]{32}:[0-9A-F]{32})(?:$|[^0-9A-Fa-f])"),
    by_pattern("ntlm-dump", ":::", r":([0-9A-F]{32}:[0-9A-F]{32}):::"),
    by_pattern(
        "mimikatz",
        ":",
        rf"\b(?:ntlm|lm|sha1|aes(?:128|256)(?:_hmac)?|rc4(?:_hmac)?(?:_nt)?|des_cbc_md5"
        rf"|hash ntlm){BLANK}*:{BLANK}+([0-9a-f]{{16,64}})\b",
    ),
    by_pattern("bitlocker", "-", r"(?:^|[^\w-])(\d{6}(?:-\d{6}){7})(?:$|[^\w-])"),
    by_pattern(
        "query-signature",
        "=",
        r"(?:[?&;]|\bsas[^\s=]{0,20}[?&=])(?:sig|signature|x-amz-signature|x-amz-security-token|code"
        r"|sharedaccesssignature)=([^\s&\"'<>]{8,})",
    ),
    by_pattern("product-key", "-", r"(?:^|[^\w-])([A-Z0-9]{5}(?:-[A-Z0-9]{5}){4})(?:$|[^\w-])", exact=True),
    by_pattern("known-token", _TOKENS_HAVE, rf"\b({_TOKENS})", exact=True),
    Detector("random-token", _random_runs),
)

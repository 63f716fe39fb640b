"""Which names of fields, variables and options say that a secret follows, and which values are none all the same.

A name is taken apart into words first, so that ``dbPassword``, ``DB_PASS``, ``x-api-key`` and
``client.secret`` need no pattern each. To teach it a new word, add it to a set below.
"""

from __future__ import annotations

from typing import Any, Final

from compliance_agent.domain.scrubbing.detectors import compiled, words

_WORDS: Final[Any] = compiled(r"[A-Z]+[a-z]+|[A-Z]+|[a-z]+", exact=True)

SECRET_WORDS: Final = words(
    "password passwords passwd passphrase passphrases passcode passwort kennwort pass pwd pw psk secret secrets token"
    " tokens credential credentials creds apikey apikeys pkey authorization cookie jsessionid phpsessid sessionid"
)
SECRET_ENDINGS: Final = (
    *("password", "passwords", "passwd", "passphrase", "pwd", "secret", "token", "pass", "credentials"),
    *("bindpw", "rootpw", "adminpw", "userpw", "dbpw", "authtok"),
    *("apikey", "secretkey", "accesskey", "privatekey", "sharedkey", "accountkey", "masterkey", "psk"),
)
"""How words end that were glued together: ``dbpassword``, ``PGPASSWORD``."""
NO_SECRETS: Final = words("bypass compass encompass surpass trespass overpass underpass oldpwd getpwd")
BEFORE_KEY: Final = words(
    "api access private secret shared preshared encryption encrypt decryption master account auth authentication"
    " signing sign storage service webhook deploy client app hmac aes jwt cookie wpa wep wifi network wireless"
    " recovery consumer subscription registry functions session license licence product"
)
"""``private_key`` is one; ``public_key``, ``host_key`` and ``key`` alone are none."""
ABOUT_SECRETS: Final = words(
    "file files filename path paths dir directory folder store location name names count counts length len size min max"
    " minimum maximum days age ages aging ageing policy policies expiry expire expires expired expiring expiration"
    " history complexity quality strength rule rules type types kind ttl lifetime timeout attempts tries retries"
    " limit limits authentication required enabled disabled allowed changed change changes date last since url uri"
    " endpoint manager provider version format encoding algorithm algorithms alg algo method methods mode status state"
    " check checks checked prompt reset support supported hasher iterations rounds cost char chars characters class"
    " never not empty locked protected warn warning inactive config settings module fingerprint digest bucket budget"
    " rotation rotated generator generation validator validity hint index used usage per rate through entry entries"
    " meter screen keyid vault id ids map maps encoder when"
)
"""Words after the secret one that make a name be about secrets without holding one: ``password_max_days``."""

_CODE: Final = frozenset({"pin", "otp", "puk", "mfa"})
_LEAST_DIGITS: Final = 4

_PLAIN: Final = words(
    "yes no on off true false none null nil never always set unset missing empty required optional requisite"
    " sufficient include substack locked unlocked enabled disabled present absent unknown invalid incorrect wrong valid"
    " expired expires expiring changed unchanged accepted rejected denied failed failure ok good bad weak strong hidden"
    " masked redacted encrypted hashed n/a prohibit-password without-password prompt ask bearer basic"
    " must should may can cannot will was were is are has have had be been being to too not for and or of in from the a"
    " an that this it by with at as on if when policy policies hash change changes history age length minimum maximum"
    " authentication login prompts complexity mismatch option options argument field file manager management"
    " optional[str] secretstr undefined blank unsupported supported needs aging updated reset successfully"
    " only protected stored left characters chars digits days attempts tries x ! * !! !* *lk* np lk configured exists"
    " rotated verified checked found matched skipped passed warn warning error"
    " hashes hashing amd64 arm64 armhf i386 files compat systemd sss winbind ldap nis nisplus"
)
_HARMLESS: Final[Any] = compiled(
    r"\A(?:[*•.#_-]*|x{2,12}|%[a-z]|\$\{?[A-Z_][A-Z0-9_]*\}?|\$\(.*|\{\{.*|<[a-z _-]*>|%\(?[A-Za-z_]+\)?s?%?"
    r"|/(?:etc|run|var|home|root|opt|usr|nix|tmp|mnt|srv|dev|proc|sys|data|boot|lib|bin|sbin|media)(?:/[\w.@+-]*)*"
    r"|(?:[a-z]:\\(?:users|windows|program|temp)|%[a-z]+%\\|~/|\./)[\w.\\/ ()@+-]*"
    r"|[0-9]{1,5}/(?:tcp|udp|sctp|dccp)|sha-?[0-9]+(?:[-_]?crypt)?|scram-sha-[0-9]+(?:-plus)?|md5|bcrypt|yescrypt"
    r"|argon2[a-z]*|scrypt|pbkdf2"
    r"|pam_[a-z0-9_]+\.so|(?:convertto|convertfrom|read|get|new|import)-[a-z]+)\z"
)
_DONE: Final[Any] = compiled(r"\A\[?\[removed\](?:\W|\z)")
_DIRECTORY: Final[Any] = compiled(r"\A(?:/[\w./@+ -]*|[a-z]:\\.*|~.*)\z")
_RULE_ID: Final[Any] = compiled(r"\A[A-Z]+(?:[-_][A-Z]+)*[-_][0-9]+\z", exact=True)
_CODE_DIGITS: Final[Any] = compiled(r"\A[0-9]{4,12}\z")
_MARKS: Final = " \t\"'`.,;:)]}>"


def words_of(name: str) -> list[str]:
    """Return the words of a name in lower case: ``x-apiKey2`` gives ``["x", "api", "key"]``."""
    return [word.decode().lower() for word in _WORDS.findall(_split_capitals(name))]


def _split_capitals(name: str) -> bytes:
    """Put a space where an abbreviation ends and a word begins: ``DBPassword`` is ``DB Password``."""
    letters = []
    for here, after in zip(name, f"{name[1:]} ", strict=False):
        starts = here.isupper() and after.islower()
        letters.append(f" {here}" if starts else here)
    return "".join(letters).encode("ascii", "replace")


def _is_secret(word: str) -> bool:
    return word in SECRET_WORDS or (word.endswith(SECRET_ENDINGS) and word not in NO_SECRETS)


def _last_secret(parts: list[str]) -> int:
    """Return the place of the last word that names a secret, or -1."""
    for place in range(len(parts) - 1, -1, -1):
        if _is_secret(parts[place]):
            return place
        if parts[place] in {"key", "keys"} and place and parts[place - 1] in BEFORE_KEY:
            return place
    return -1


def names_a_secret(key: str) -> bool:
    """Tell whether a field of this name holds a secret: ``dbPassword`` does, ``password_file`` does not."""
    parts = words_of(key)
    place = _last_secret(parts)
    if parts[place:] == ["secret", "id"]:  # the password of Vault's AppRole
        return True
    return place >= 0 and not ABOUT_SECRETS.intersection(parts[place + 1 :])


def ends_in_a_secret(phrase: str) -> bool:
    """Tell the same of several words of prose, of which the last one counts: ``Password policy`` does not."""
    parts = words_of(phrase)
    return bool(parts) and _last_secret(parts) == len(parts) - 1


def names_a_code(key: str) -> bool:
    """Tell whether a name is that of a number that lets someone in, like ``pin``."""
    parts = words_of(key)
    return bool(parts) and parts[-1] in _CODE


def is_harmless(name: str, value: str) -> bool:
    """Tell whether what stands behind the name of a secret is none: a switch, a small number, a path, a placeholder."""
    if _finds(_DONE, value):
        return True
    bare = value.strip(_MARKS)
    if not bare or bare.lower() in _PLAIN or _finds(_HARMLESS, bare):
        return True
    parts = words_of(name) or [""]
    if names_a_code(name):
        return not _finds(_CODE_DIGITS, bare)
    if parts[-1] in {"pwd", "oldpwd"} and _finds(_DIRECTORY, bare):
        return True
    if parts[-1] == "pass" and _finds(_RULE_ID, bare):
        return True
    return bare.isdecimal() and (len(bare) < _LEAST_DIGITS or parts[-1] in {"passwords", "tokens", "secrets"})


def _finds(expression: Any, value: str) -> bool:  # noqa: ANN401 - re2 is untyped
    return expression.search(value.encode("utf-8", "replace")) is not None

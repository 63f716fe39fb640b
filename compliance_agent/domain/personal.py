"""Personal and health data in text that machines print: what it looks like, and what only seems to be it.

An administrator's checks have no reason to meet any of it; a log line, a banner or a file name may
still bring some. So what is certain by its form goes (a formatted telephone or social security
number, an e-mail address), and what is certain by its label goes (a medical record number, a date
of birth, a patient's name). Bare digits stay: they are ports, sizes, clock offsets and versions, and
taking those for telephone numbers once got 99 reports refused.
"""

from __future__ import annotations

import re
from typing import Final

REMOVED: Final = "[removed]"

_BEFORE: Final = r"(?<![\w.:/+-])"
_AFTER: Final = r"(?![\w:/-]|\.\d)"

_SOCIAL_SECURITY: Final = re.compile(rf"{_BEFORE}\d{{3}}-\d{{2}}-\d{{4}}{_AFTER}")
# North American numbers need their usual separators and a possible area code and exchange; international
# ones a plus and groups. Dots alone do not make one: 212.555.0100 may be a version.
_TELEPHONE: Final = re.compile(
    rf"{_BEFORE}(?:(?:1[ -])?(?:\([2-9]\d\d\) ?|[2-9]\d\d-)[2-9]\d\d-\d{{4}}{_AFTER})"
    rf"|(?<![\w.:/+-])\+[1-9]\d{{0,2}}(?:[ -]\(?\d{{1,4}}\)?){{2,5}}{_AFTER}"
)
_EMAIL: Final = re.compile(
    r"(?<![\w.%+@-])[\w.%+-]{1,64}@(?P<host>(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24})(?![\w@-])"
)
_UNIT_SUFFIXES: Final = frozenset(
    ["service", "socket", "target", "timer", "mount", "automount", "path", "slice", "scope", "device", "swap", "conf"]
)
_ALGORITHM_HOSTS: Final = frozenset({"openssh.com", "libssh.org", "lysator.liu.se", "hostbound.openssh.com"})
"""SSH names algorithms of its own like ``umac-64-etm@openssh.com`` (RFC 4251, section 6)."""

_TO: Final = r"[\"']?[ \t]*(?:[:=#]++|\bis\b)[ \t]*+[\"']?+"
_DATE: Final = (
    r"(?:\d{1,4}[-/. ]\d{1,2}[-/. ]\d{1,4}|\d{8}"
    r"|\d{1,2}[ -]?[A-Za-z]{3,9}\.?[ ,-]*\d{2,4}|[A-Za-z]{3,9}\.? \d{1,2},? \d{4})"
)
_BIRTH: Final = re.compile(
    rf"\b((?:d\.?o\.?b\.?|(?:patient_?)?(?:date[ _-]?of[ _-]?birth|birth[ _-]?date|birth[ _-]?day))(?:{_TO}|[ \t]+)"
    rf"|\bborn(?:[ \t]+on)?[ \t]+){_DATE}",
    re.IGNORECASE,
)
_IDENTIFIER: Final = re.compile(
    r"\b((?:mrn|ssn|npi|social[ _-]?security(?:[ _-]?(?:number|no))?"
    r"|(?:medical|patient|health|chart)[ _-]?(?:record[ _-]?)?"
    r"(?:number|num|no|id|identifier)|(?:member|subscriber|beneficiary|insured|policy|insurance|medicare|medicaid)"
    r"[ _-]?(?:id|number|no))\.?"
    rf"(?:{_TO}|[ \t]+(?=[A-Za-z]{{0,4}}[-]?\d)))(?!\[removed\])[A-Za-z0-9][A-Za-z0-9-]*(?: \d{{2,4}}(?!\S))*",
    re.IGNORECASE,
)
_NUMBER_BY_LABEL: Final = re.compile(
    rf"\b((?:tele)?(?:phone|fax|mobile|cell)(?:[ _-]?(?:number|no))?\.?{_TO}|\btel\.?{_TO})"
    r"\+?\(?\d[\d().\- ]{5,}\d",
    re.IGNORECASE,
)
_PERSON: Final = re.compile(
    r"\b((?i:(?:patient|subscriber|insured|guarantor|next[ _-]of[ _-]kin)(?:'s)?[ _-]?"
    r"(?:full[ _-]?|first[ _-]?|last[ _-]?)?(?:name)?)"
    rf"{_TO})(?!\[removed\])[^\s,;|\"'=:]+(?:[ \t]+(?:[A-Z][\w.'-]*|\^))*(?:,[ \t]*[A-Z][\w'-]*)?"
)
_PERSON_AFTER: Final = re.compile(
    r"\b((?i:patient|pt\.)[ \t]+)(?:(?:Mr|Mrs|Ms|Dr)\.?[ \t]+)?[A-Z][a-z'-]+,?[ \t]+[A-Z][\w'-]+"
)
_ADDRESS: Final = re.compile(
    rf"\b((?:street|home|mailing|postal|patient)[ _-]?address{_TO})[^\r\n;|\"']+", re.IGNORECASE
)
_CLINICAL: Final = re.compile(
    rf"\b((?:diagnosis|diagnoses|icd-?10(?:-cm)?|allerg(?:y|ies)|medications?|prescriptions?){_TO})(?!\[removed\])[^\r\n;|\"']+",
    re.IGNORECASE,
)
_HL7: Final = re.compile(r"\b(PID|NK1|GT1|IN1|PV1|DG1|OBX|AL1)\|[^\r\n]*")
_FIELD: Final = re.compile(
    r"(?:^|[_.-])(?:mrn|ssn|dob|date_?of_?birth|birth_?date|patient_?(?:name|id|number)?|medical_?record(?:_?number)?"
    r"|e_?mail(?:_?address)?|phone(?:_?number)?|diagnos[ei]s|member_?id|subscriber_?id)$",
    re.IGNORECASE,
)


def remove_personal(text: str) -> str:
    """Return ``text`` with what is personal or health data replaced by ``[removed]``."""
    text = _HL7.sub(rf"\1|{REMOVED}", text)
    for pattern in (_BIRTH, _IDENTIFIER, _NUMBER_BY_LABEL, _CLINICAL, _ADDRESS, _PERSON, _PERSON_AFTER):
        text = pattern.sub(rf"\g<1>{REMOVED}", text)
    text = _SOCIAL_SECURITY.sub(REMOVED, text)
    text = _TELEPHONE.sub(REMOVED, text)
    return _EMAIL.sub(_mail, text)


def names_personal_data(key: str) -> bool:
    """Tell whether a field of this name holds personal or health data: ``patient_name`` does, ``name`` does not."""
    return _FIELD.search(key) is not None


def _mail(found: re.Match[str]) -> str:
    host = found["host"].lower()
    if host in _ALGORITHM_HOSTS or host.rpartition(".")[2] in _UNIT_SUFFIXES:
        return found.group()
    return REMOVED

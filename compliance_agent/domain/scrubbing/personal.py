"""Personal and health data in text that machines print: what it looks like, and what only seems to be it.

An administrator's checks have no reason to meet any of it; a log line, a banner or a file name may
still bring some. So what is certain by its form goes (a formatted telephone or social security
number, an e-mail address), and what is certain by its label goes (a medical record number, a date
of birth, a patient's name). Bare digits stay: they are ports, sizes, clock offsets and versions, and
taking those for telephone numbers once got 99 reports refused.
"""

from __future__ import annotations

from typing import Any, Final

from compliance_agent.domain.scrubbing.detectors import BLANK, by_pattern, compiled, words

_DIGITS: Final = "0 1 2 3 4 5 6 7 8 9"
_BEFORE: Final = r"(?:^|[^\w.:/+-])"
_AFTER: Final = r"(?:$|[^\w.:/-]|[.:](?:$|[^\w]))"
_DASH: Final = r"[\x{2010}-\x{2015}\x{2212}\x{ad}]"
_TO: Final = rf"\\*[\"']?{BLANK}*(?:[:=#]+>?|\bis\b){BLANK}*\\*[\"']?"
_NOT_DONE: Final = r"[^\s,;|\"'=:\[]"

_UNIT_SUFFIXES: Final = frozenset(
    ["service", "socket", "target", "timer", "mount", "automount", "path", "slice", "scope", "device", "swap", "conf"]
)
_ALGORITHM_HOSTS: Final = frozenset({"openssh.com", "libssh.org", "lysator.liu.se", "hostbound.openssh.com"})
"""SSH names algorithms of its own like ``umac-64-etm@openssh.com`` (RFC 4251, section 6)."""


def _is_no_mail(_before: str, value: str) -> bool:
    host = value.rpartition("@")[2].lower()
    return host in _ALGORITHM_HOSTS or host.rpartition(".")[2] in _UNIT_SUFFIXES


def _is_unissued(_before: str, value: str) -> bool:
    """Tell whether no such social security number is given out: area 000, 666, 900 to 999; group 00; serial 0000."""
    area, group, serial = value[:3], value[4:6], value[-4:]
    return area in {"000", "666"} or area >= "900" or group == "00" or serial == "0000"


_DIGITS_MIN: Final = 4
_DOTS_OF_ADDRESS: Final = 3
_PAPER_WORDS: Final = words(
    "list lists record records data database export exports import report reports guide guides form forms intake portal"
    " consent consents info information name names id ids table index backup archive archives file files folder policy"
    " registration schedule schedules scheduling monitor monitoring care safety summary template test tests sample"
    " survey manual room ward management system service server client app billing education discharge history privacy"
    " rights handout handbook access tracker count counts view chart charts device devices north south east west wing"
    " first last middle all new old monthly weekly daily january february march april may june july august september"
    " october november december quality unit floor clinic hospital lab labs"
)


def _is_paper(_before: str, value: str) -> bool:
    """Tell whether the words behind `patient_` in a file's name are those of a paper and not of a person."""
    parts = value.lower().replace("-", "_").replace(" ", "_").replace(".", "_").split("_")
    return bool(_PAPER_WORDS.intersection(parts))


def _is_short(before: str, value: str) -> bool:
    """Tell whether a number without a separator is too short for a label to mean it: `netbios-ssn 139`."""
    return not any(mark in before for mark in ":=#") and sum(letter.isdigit() for letter in value) < _DIGITS_MIN


def _finds_address(value: str) -> bool:
    return value.replace(".", "").isdecimal() and value.count(".") == _DOTS_OF_ADDRESS


def _is_no_name(_before: str, value: str) -> bool:
    return (
        value.startswith("[")
        or _finds_address(value)
        or value.lower().strip(".,")
        in {
            "no",
            "none",
            "null",
            "yes",
            "true",
            "false",
            "unknown",
        }
    )


_DATE: Final = (
    r"(?:\d{1,4}[-/. ]\d{1,2}[-/. ]\d{1,4}|\d{8}"
    r"|\d{1,2}(?:st|nd|rd|th)?[ -]?[A-Za-z]{3,9}\.?[ ,-]{0,3}\d{2,4}|[A-Za-z]{3,9}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4})"
)
_NAME: Final = r"[A-Z\x{c0}-\x{de}][\w.'\x{2019}\x{c0}-\x{24f}-]*"
_CLINICAL_PAPER: Final = (
    r"(?:scan|x-?ray|mri|ct|ultrasound|labs?|results?|report|chart|referral|letter|consent|discharge|records?"
    r"|bill|invoice"
    r"|prescription|photo|images?|note|notes|summary|history|biopsy|ekg|ecg|file|documents?)"
)
_DOCUMENT: Final = r"\.(?:pdf|docx?|rtf|jpe?g|png|tiff?|dcm|hl7|txt|xml|xlsx?|csv|msg|eml|zip)"

PERSONAL: Final = (
    by_pattern(
        "social-security-dash", _DIGITS, rf"(?:^|[^\w])(\d{{3}} ?{_DASH} ?\d{{2}} ?{_DASH} ?\d{{4}})(?:$|[^\w])"
    ),
    by_pattern(
        "dicom-element",
        "(0010,",
        r"\(0010,[0-9a-f]{4}\)[ \t]+\w\w[ \t]+\[([^\]\r\n]+)\]",
        spares=lambda _before, value: value.lstrip("[") == "removed",
    ),
    by_pattern("hl7-segment", "|", r"\b(?:PID|NK1|GT1|IN1|PV1|DG1|OBX|AL1)\|([^\r\n]+)", exact=True),
    by_pattern(
        "date-of-birth",
        "ob o.b birth born",
        r"(?:^|[^A-Za-z])(?:(?:d\.?o\.?b\.?|(?:patient_?)?(?:date[ _-]?of[ _-]?birth|birth[ _-]?date"
        r"|birth[ _-]?day)|birthdt|born)"
        rf"(?:{_TO}|{BLANK}+(?:on{BLANK}+)?|_)|\bborn(?:{BLANK}+on)?{BLANK}+)({_DATE})",
    ),
    by_pattern(
        "identifier",
        "mrn ssn npi mbi hicn social num no id",
        r"(?:^|[^A-Za-z])(?:mrn|ssn|npi|mbi|hicn|social[ _-]?security(?:[ _-]?(?:number|no|#))?"
        r"|(?:medical|patient|health|chart|pt|encounter|visit)[ _-]?(?:record[ _-]?)?(?:number|num|no|id|identifier)"
        r"|(?:member|subscriber|beneficiary|insured|policy|insurance|medicare|medicaid|dea)[ _-]?(?:id|number|no))\.?"
        rf"(?:{_TO}|{BLANK}+(?:number|no\.?|\#)?{BLANK}*)([A-Za-z]{{0,4}}-?\d[A-Za-z0-9-]*(?: \d{{2,4}}\b)*)",
        spares=_is_short,
    ),
    by_pattern(
        "identifier-of-letters",
        "mrn ssn num no id",
        r"\b(?:mrn|ssn|(?:medical|patient|health|chart)[ _-]?(?:record[ _-]?)?(?:number|num|no|id|identifier)"
        rf"|(?:member|subscriber|beneficiary|insured|insurance)[ _-]?(?:id|number|no))\.?{_TO}"
        rf"([A-Za-z0-9][A-Za-z0-9-]*)",
        spares=_is_no_name,
    ),
    by_pattern("record-number", "mrn patid ptid", r"(?:^|[^A-Za-z])(?:MRN|MRNO?|PATID|PTID)[-_#]?(\d{4,})"),
    by_pattern(
        "number-by-label",
        "phone fax mobile cell tel ph",
        rf"(?:^|[^A-Za-z])(?:(?:tele)?(?:phone|fax|mobile|cell)(?:[ _-]?(?:number|no|phone))?\.?{_TO}|(?:tel"
        rf"|ph)\.?{_TO})"
        r"(\+?\(?\d[\d().\x{a0} \x{2010}-\x{2015}-]{5,18}\d)",
    ),
    by_pattern(
        "telephone-after-word",
        "phone fax mobile cell tel ph",
        rf"(?:^|[^A-Za-z])(?:tele)?(?:phone|fax|mobile|cell|tel|ph)\.?(?:{BLANK}+(?:number|no\.?|phone|is|at"
        rf"|to))?{BLANK}+"
        r"((?:\+?1[ .-]?)?\(?[2-9]\d\d\)?[ .-]?[2-9]\d\d[ .-]?\d{4})(?:$|[^\w])",
    ),
    by_pattern(
        "clinical",
        "diagnos icd allerg medication prescription complaint symptom",
        r"\b(?:diagnosis|diagnoses|icd-?10(?:-cm)?|allerg(?:y|ies)|medications?|prescriptions?|chief complaint"
        r"|symptoms?)"
        rf"{_TO}([^\s\[\r\n;|\"'][^\r\n;|\"']*)",
    ),
    by_pattern(
        "address-of-person",
        "address",
        rf"\b(?:street|home|mailing|postal|patient)[ _-]?address{_TO}([^\s\[\r\n;|\"'][^\r\n;|\"']*)",
    ),
    by_pattern(
        "person",
        "pat subscriber insured guarantor kin guardian",
        r"(?:^|[^A-Za-z])(?i:(?:patient|pat[ _-]?name|subscriber|insured|guarantor|next[ _-]of[ _-]kin|guardian)"
        r"(?:'s)?[ _-]?"
        rf"(?:full[ _-]?|first[ _-]?|last[ _-]?)?(?:name)?){_TO}({_NOT_DONE}+(?:[ \t]+(?:{_NAME}|\^))*"
        rf"(?:,[ \t]*{_NAME})?)",
        exact=True,
        spares=_is_no_name,
    ),
    by_pattern(
        "personal-element",
        "<",
        r"<(?:[\w-]+:)?[A-Za-z_][\w.-]*(?:>|[ \t]+value=[\"'])([^<>\"'\r\n]+)(?:</|[\"'])",
        spares=lambda before, _value: (
            not names_personal_data(before.strip("<>'\"= ").removesuffix("value=").split("=")[0].split()[0])
        ),
    ),
    by_pattern(
        "person-beside-label",
        "name",
        rf"\b(?i:name){BLANK}*[:=]{BLANK}*({_NAME}(?:,?[ \t]+{_NAME}){{1,3}}?)[ \t,;|()]{{1,6}}(?i:dob|d\.o\.b"
        rf"|mrn|ssn|date of birth|born)\b",
        exact=True,
    ),
    by_pattern(
        "person-in-short",
        "pt patient resident",
        rf"(?:^|[^A-Za-z.])(?:[Pp]t|PT|[Pp]t\.|PATIENT|[Rr]esident|[Pp]t'?s?[ _-]?[Nn]ame){BLANK}*[:=]{BLANK}*"
        rf"({_NAME},?[ \t]+{_NAME}(?:[ \t]+{_NAME})?|{_NAME}\^{_NAME})",
        exact=True,
    ),
    by_pattern(
        "person-after-word",
        "patient pt",
        rf"\b(?i:patient|pt\.|pt){BLANK}+(?:(?:Mr|Mrs|Ms|Dr)\.?{BLANK}+)?"
        rf"([A-Z][a-z\x{{e0}}-\x{{24f}}'\x{{2019}}-]+,?[ \t]+{_NAME})",
        exact=True,
        spares=_is_paper,
    ),
    by_pattern(
        "person-in-file-name",
        "patient pt name",
        r"(?:^|[^A-Za-z])(?i:patient|pt|name)s?[_-]+("
        r"(?:[A-Z][A-Za-z'\x{c0}-\x{24f}]+[_-]+)+[A-Z][A-Za-z'\x{c0}-\x{24f}]*|[A-Z][a-z]+[A-Z][a-z]+)(?:$|[^A-Za-z])",
        exact=True,
        spares=_is_paper,
    ),
    by_pattern(
        "person-in-document-name",
        "patient pt",
        rf"(?:^|[^A-Za-z])(?:patient|pt)[ _-]+([a-z']+(?:[ _-]+[a-z']+){{1,2}})(?:[ _-]*[\d-]*){_DOCUMENT}\b",
        spares=_is_paper,
    ),
    by_pattern(
        "person-of-paper",
        "of for",
        rf"(?:^|[^A-Za-z])(?i:{_CLINICAL_PAPER})[ _-]+(?i:of|for)[ _-]+"
        rf"([A-Z][a-z'\x{{e0}}-\x{{24f}}]+[ _-]+[A-Z][A-Za-z'\x{{c0}}-\x{{24f}}]+)(?:[ _-]*[\d-]*)(?i:{_DOCUMENT})",
        exact=True,
        spares=_is_paper,
    ),
    by_pattern("social-security", "-", rf"{_BEFORE}(\d{{3}}-\d{{2}}-\d{{4}})(?:$|[^\w:/.-]|[.](?:$|\D)|:(?:$|\s))"),
    # With blanks it is told from columns of numbers by its neighbours: words, not numbers.
    by_pattern(
        "social-security-blank",
        _DIGITS,
        r"(?:^[ \t]*|(?:^|[\s(\[\"'])[^\s\d]+[ \t]*[ \t(\"'=:])(\d{3}[ \x{a0}]\d{2}[ \x{a0}]\d{4})"
        r"(?:[ \t]*\r?$|[.,;)\"']+(?:[ \t]+[^\s\d]+|[ \t]*\r?$))",
        spares=_is_unissued,
    ),
    by_pattern(
        "social-security-in-words",
        _DIGITS,
        r"(?:^|[\s(\[\"'])[^\s\d]*[a-z:][^\s\d]*[ \t]+(\d{3}[ \x{a0}]\d{2}[ \x{a0}]\d{4})[ \t]+[A-Za-z][^\s\d]*"
        r"(?:\s|$)",
        spares=_is_unissued,
    ),
    # North American numbers need their usual separators and a possible area code and exchange; international
    # ones a plus and groups. Dots alone do not make one: 212.555.0100 may be a version.
    by_pattern(
        "telephone",
        _DIGITS,
        rf"{_BEFORE}((?:\+?1[ -])?(?:\([2-9]\d\d\)[ \x{{a0}}]?[2-9]\d\d[ \x{{a0}}-]|[2-9]\d\d-[2-9]\d\d-"
        rf"|[2-9]\d\d{_DASH}[2-9]\d\d{_DASH})\d{{4}})(?:$|[^\w:/.-]|[.](?:$|\D)|:(?:$|\s))",
    ),
    by_pattern(
        "telephone-international",
        "+",
        rf"{_BEFORE}(\+[1-9]\d{{0,2}}(?:[ -]\(?\d{{1,4}}\)?){{2,5}})(?:$|[^\w:/.-]|[.](?:$|\D)|:(?:$|\s))",
    ),
    by_pattern(
        "e-mail",
        "@",
        r"(?:^|[^\w.%+@/-]|(?:^|[^/])/)([\w.%+-]+@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})(?:$|[^\w@-])",
        spares=_is_no_mail,
    ),
)

_FIELD: Final[Any] = compiled(
    r"(?:^|[_.-])(?:mrn|ssn|dob|date_?of_?birth|birth_?date|patient_?(?:full_?|first_?|last_?)?(?:name|id"
    r"|number)?|patient"
    r"|medical_?record(?:_?number)?|e_?mail(?:_?address)?|phone(?:_?number)?|diagnos[ei]s|member_?id|subscriber_?id)$"
)
_HUMP: Final[Any] = compiled(r"([a-z0-9])([A-Z])", exact=True)


def names_personal_data(key: str) -> bool:
    """Tell whether a field of this name holds personal or health data: ``patientName`` does, ``name`` does not."""
    snake = _HUMP.sub(rb"\1_\2", key.encode("utf-8", "replace"))
    return _FIELD.search(snake) is not None

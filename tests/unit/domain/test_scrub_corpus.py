"""The scrubber against its corpus in tests/golden/scrub: every detector both ways, and laws that hold for all of it."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import Any, Final

import pytest
import re2
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance_agent.domain import scrub as scrubber
from compliance_agent.domain.scrub import DETECTORS, PASSES_MAX, ScrubError, scrub, scrub_document, scrub_surely
from compliance_agent.domain.scrubbing.detectors import REMOVED, Table, by_pattern, remove

GOLDEN: Final = Path(__file__).parents[2] / "golden" / "scrub"
TABLES: Final = ("shapes", "commands", "values", "personal")
NAMES: Final = {detector.name: detector for detector in DETECTORS}
HOSTILE_SIZE: Final = 1 << 20

pytestmark = pytest.mark.unmeasured


def corpus(name: str) -> dict[str, Any]:
    loaded = yaml.safe_load((GOLDEN / f"{name}.yaml").read_text())
    assert isinstance(loaded, dict)
    return loaded


CORPUS: Final = {name: examples for table in TABLES for name, examples in corpus(table).items()}
GOES: Final = [(name, marked) for name, examples in CORPUS.items() for marked in examples["goes"]]
STAYS: Final = [(name, text) for name, examples in CORPUS.items() for text in examples["stays"]]
OUTPUTS: Final = [(kind, marked) for kind, outputs in corpus("outputs").items() for marked in outputs]


def given_text(marked: str) -> str:
    return marked.replace("«", "").replace("»", "")


def wanted_text(marked: str) -> str:
    return re.sub("«[^»]+»", REMOVED, marked).replace("«»", "")


@pytest.mark.parametrize(("name", "marked"), GOES)
def test_exactly_what_is_marked_goes(name, marked) -> None:
    assert given_text(marked) != marked
    assert scrub(given_text(marked)) == wanted_text(marked)


@pytest.mark.parametrize(("name", "marked"), GOES)
def test_an_example_is_found_by_the_detector_that_it_stands_under(name, marked) -> None:
    text = given_text(marked).encode()
    assert remove(NAMES[name], text) != text


@pytest.mark.parametrize(("name", "text"), STAYS)
def test_what_only_seems_to_be_one_stays(name, text) -> None:
    assert scrub(text) == text


@pytest.mark.parametrize(("kind", "marked"), OUTPUTS)
def test_of_a_whole_output_only_what_is_marked_goes(kind, marked) -> None:
    assert scrub(given_text(marked)) == wanted_text(marked)


def test_every_detector_has_examples_of_both_kinds() -> None:
    assert {name for name, examples in CORPUS.items() if examples["goes"] and examples["stays"]} == set(NAMES)


def test_no_two_detectors_have_one_name() -> None:
    assert len(NAMES) == len(DETECTORS)


@given(st.lists(st.sampled_from([given_text(marked) for _, marked in [*GOES, *OUTPUTS]]), max_size=5), st.data())
def test_however_outputs_are_put_together_scrubbing_twice_changes_nothing_more(texts, data) -> None:
    text = data.draw(st.sampled_from(["\n", " ", "", ",", '"', "\\n"])).join(texts)
    once = scrub_surely(text)
    assert scrub_surely(once) == once


@given(
    st.lists(st.sampled_from([*(given_text(marked) for _, marked in GOES), *(text for _, text in STAYS)]), max_size=3)
)
def test_no_detector_is_passed_over_that_would_have_found_something(texts) -> None:
    text = "\n".join(texts).encode()
    assert Table(DETECTORS).remove(text) == functools.reduce(lambda left, one: remove(one, left), DETECTORS, text)


WORDS = st.sampled_from("the backup of ward failed after three tries on host because disk is full".split())  # noqa: SIM905
RANDOM_SECRETS = st.text("ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789+!", min_size=8, max_size=20).filter(
    lambda text: text[0].isalnum() and any(letter.isdigit() for letter in text)
)
HOLDERS = st.sampled_from(
    [
        "password={}",
        'DB_PASS="{}"',
        "'apiKey' => '{}'",
        '{{"client_secret": "{}"}}',
        "net user joe {} /add",
        "psexec \\\\h -u j -p {} cmd",
        "curl -u joe:{} https://h",
        "mysql -uroot -p{} ehr",
        "https://joe:{}@host/",
        "machine h login joe password {}",
        "password: |\n  {}\nport: 22",
        "UID=sa;PWD={{{}}};Server=db1",
        "jdbc:oracle:thin:ehr/{}@db1:1521",
        "sshpass -p '{}' ssh h",
        "ldapsearch -x -w {} -b dc=x",
        "<Password>{}</Password>",
        "- name: API_TOKEN\n  value: {}",
    ]
)


@given(RANDOM_SECRETS, HOLDERS, st.lists(WORDS, max_size=5), st.lists(WORDS, max_size=5))
def test_a_secret_in_a_known_place_never_survives(secret, holder, before, after) -> None:
    text = f"{' '.join(before)}\n{holder.format(secret)}\n{' '.join(after)}"
    assert secret not in scrub(text)


KEPT = st.one_of(
    st.sampled_from([text for _, text in STAYS]),
    st.ip_addresses().map(str),
    st.integers(1, 65_535).map("port {}".format),
    st.floats(-1, 1, allow_nan=False).map("offset {:.9f} s".format),
    st.datetimes().map("{:%Y-%m-%dT%H:%M:%S.%fZ}".format),
    st.uuids().map(str),
    st.binary(min_size=32, max_size=32).map(bytes.hex),
    st.binary(min_size=6, max_size=6).map(lambda octets: octets.hex(":")),
    st.integers(0, 255).map("exit code {}".format),
    st.integers(0, 0o777).map("mode {:04o}".format),
    st.tuples(*[st.integers(0, 99)] * 3).map("1:{0[0]}.{0[1]}p1-2+deb12u{0[2]}".format),
)


@given(st.lists(KEPT, max_size=8))
def test_a_text_of_what_must_stay_is_unchanged(lines) -> None:
    text = "\n".join(lines)
    assert scrub(text) == text


@given(RANDOM_SECRETS, st.integers(0, 4))
def test_a_secret_under_its_name_goes_in_every_depth_of_a_document(secret, depth) -> None:
    document: dict[str, Any] = {"dbPassword": [secret], "note": f"password={secret}", f"token={secret}": 1}
    for _ in range(depth):
        document = {"in": [document]}
    assert secret not in str(scrub_document(document, length_max=10_000))


def test_a_key_of_a_document_is_scrubbed_as_its_values_are() -> None:
    assert scrub_document({"user=joe password=hunter2x": {"MRN00123456": 1}}, length_max=100) == {
        "user=joe password=[removed]": {"MRN[removed]": 1}
    }


def test_a_number_under_the_name_of_a_secret_goes_and_a_switch_stays() -> None:
    document: dict[str, Any] = {"pin": 4711, "password": 12345, "password_max_days": 99_999, "tokens": 12_000, "x": 5}
    expected = {**document, "pin": REMOVED, "password": REMOVED}
    assert scrub_document(document, length_max=100) == expected
    assert scrub_document({"password": True, "secret": 0}, length_max=100) == {"password": True, "secret": 0}


def test_half_a_surrogate_pair_hides_no_part_of_a_secret() -> None:
    assert scrub("password=ab\ud800cd") == "password=[removed]"
    assert scrub_document({"password": "ab\ud800cd"}, length_max=100) == {"password": REMOVED}


def test_a_text_that_scrubbing_does_not_settle_goes_as_a_whole(monkeypatch) -> None:
    monkeypatch.setattr(scrubber, "_scrub_once", lambda text: text + "!")
    assert scrub("anything") == REMOVED
    with pytest.raises(ScrubError, match=f"after {PASSES_MAX} scrubbings"):
        scrub_surely("anything")


def test_every_expression_is_of_re2_so_that_none_can_take_exponential_time() -> None:
    domain = Path(scrubber.__file__).parent
    for path in [domain / "scrub.py", *(domain / "scrubbing").glob("*.py")]:
        imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Import)]
        assert "re" not in [name.name for node in imports for name in node.names], path


def test_an_expression_of_a_detector_cannot_look_around() -> None:
    with pytest.raises(re2.error):
        remove(by_pattern("x", "", r"(?<=a)(b)"), b"ab")


@pytest.mark.parametrize("name", NAMES)
def test_a_megabyte_made_to_be_slow_is_searched_in_steps_that_each_lead_on(name) -> None:
    """Each part that is found begins behind the one before; what leads to it, over and over, leads nowhere."""
    heads = [marked.partition("«")[0].replace("\n", " ") for marked in CORPUS[name]["goes"]]
    texts = [given_text(marked).replace("\n", " ") for marked in CORPUS[name]["goes"]]
    for unit, size in ((" ".join([*heads, ""]), HOSTILE_SIZE), (" ".join([*texts, ""]), HOSTILE_SIZE >> 4)):
        text = (unit * (size // len(unit) + 1)).encode()[:size]
        last = 0
        for start, end in NAMES[name].find(text):
            assert last <= start < end
            last = end


@settings(max_examples=20)
@given(
    st.sampled_from([' "', "'", "{", "[", "(", "password=", "password: |\n", "-p ", "-----BEGIN X-----", "://a:", "@"])
)
def test_a_megabyte_of_one_opening_ends(opening) -> None:
    assert scrub(opening * (HOSTILE_SIZE // 8 // len(opening))) is not None

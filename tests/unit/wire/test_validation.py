"""Errors of typed models, said for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import pytest
from pydantic import Field, ValidationError, model_validator

from compliance_agent.domain.runbook import Model
from compliance_agent.wire.validation import RefusedError, names_a_secret, problems_of
from compliance_agent.wire.yaml_document import read_yaml

if TYPE_CHECKING:
    from compliance_agent.errors import InputProblem


class Inner(Model):
    port: int = Field(default=22, ge=1, le=65_535)
    from_: str | None = Field(default=None, alias="from")
    key_file: str | None = None

    @model_validator(mode="after")
    def _own(self) -> Inner:
        if self.port == 7:
            raise RefusedError("7 is echo", "take another")
        return self


class Outer(Model):
    name: str = Field(min_length=1, max_length=5)
    kind: Literal["one", "two"] = "one"
    inner: Inner = Field(default_factory=Inner)
    many: Annotated[tuple[Inner, ...], Field(min_length=1, strict=False)] = (Inner(),)
    table: dict[Annotated[str, Field(pattern="^[a-z]+$")], str | int | bool] = Field(default_factory=dict)


def judge(text: str) -> list[InputProblem]:
    document = read_yaml(text, source="f.yaml")
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate(document.value)
    return problems_of(caught.value, document, model=Outer)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\ninner: {port: 0}", "f.yaml:2:9: inner.port: got 0, need 1 or more"),
        ("name: a\ninner: {port: 70000}", "f.yaml:2:9: inner.port: got 70000, need 65535 or less"),
        ("name: a\ninner: {port: x}", 'f.yaml:2:9: inner.port: got "x", need an integer'),
        ("name: a\ninner: {port: 1.5}", "f.yaml:2:9: inner.port: got 1.5, need an integer"),
        ("name: a\ninner: {port: true}", "f.yaml:2:9: inner.port: got true, need an integer"),
        ("name: a\ninner: {prot: 1}", "f.yaml:2:9: inner.prot: unknown key prot (did you mean port?)"),
        ("name: a\ninner: {zzz: 1}", "f.yaml:2:9: inner.zzz: unknown key zzz (known: from, key_file, port)"),
        ("name: a\nmany:\n  - {form: x}", "f.yaml:3:6: many[0].form: unknown key form (did you mean from?)"),
        ("name: a\ninner: {port: 7}", "f.yaml:2:1: inner: 7 is echo (take another)"),
        ("name: a\ninner: 5", "f.yaml:2:1: inner: got 5, need a table of keys and values"),
        ("name: a\nmany: 5", "f.yaml:2:1: many: got 5, need a list"),
        ("name: a\nmany: []", "f.yaml:2:1: many: is empty (write at least one entry)"),
        ("name: ''", "f.yaml:1:1: name: is empty (write at least one character)"),
        ("name: abcdef", 'f.yaml:1:1: name: got "abcdef", need at most 5 characters'),
        ("name: 5", "f.yaml:1:1: name: got 5, need text (quote it)"),
        ("name: [a]", "f.yaml:1:1: name: got a list, need text"),
        ("name: a\nkind: tow", 'f.yaml:2:1: kind: got "tow", need one of one, two (did you mean two?)'),
        ("kind: one", "f.yaml:1:1: name: the key name is missing (add it)"),
        ("5", "f.yaml:1:1: got 5, need a table of keys and values"),
        ("name: a\ntable: {A: 1}", 'f.yaml:2:9: table.A: got "A", need text that matches ^[a-z]+$'),
        (
            "name: a\ntable: {a: [1]}",
            "f.yaml:2:9: table.a: got a list, need text or an integer or true or false",
        ),
        ("name: a\ninner: {key_file: 12345}", "f.yaml:2:9: inner.key_file: got a value that is not shown, need text"),
    ],
)
def test_an_error_names_place_value_and_need(text: str, said: str) -> None:
    (problem,) = judge(text)
    assert str(problem).startswith(said)


def test_every_error_is_reported_in_the_order_of_the_document() -> None:
    assert [problem.line for problem in judge("kind: x\nname: 5\nfoo: 1\ninner: {port: 0}")] == [1, 2, 3, 4]


def test_the_value_of_an_unknown_secret_is_never_shown() -> None:
    (problem,) = judge("name: a\npassword: hunter2")
    assert "hunter2" not in str(problem)
    assert problem.hint == "name a file: password_file"


def test_a_list_is_not_called_too_short_because_its_elements_are_wrong() -> None:
    assert [problem.path for problem in judge("name: a\nmany: [{port: 0}]")] == ["many[0].port"]


def test_a_part_of_a_document_is_judged_at_its_own_place() -> None:
    document = read_yaml("rules:\n  - {port: 0}\n", source="f.yaml")
    with pytest.raises(ValidationError) as caught:
        Inner.model_validate({"port": 0})
    (problem,) = problems_of(caught.value, document, ("rules", 0))
    assert (problem.path, problem.line) == ("rules[0].port", 2)


@pytest.mark.parametrize("key", ["password", "Token", "api_key", "private-key", "become_password", "passphrase"])
def test_a_key_that_asks_for_a_secret_is_known(key: str) -> None:
    assert names_a_secret(key)


@pytest.mark.parametrize("key", ["password_file", "token_file", "identity_file", "password_max_days", "key", "monkey"])
def test_a_key_that_asks_for_no_secret_is_known_too(key: str) -> None:
    assert not names_a_secret(key)

"""The settings file: every key documented, every error at once, every value with its origin."""

from __future__ import annotations

import re
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from compliance_agent.adapters.runbook_files import builtin_runbooks_path, load_catalogue
from compliance_agent.adapters.target_files import add_managed_target
from compliance_agent.app.settings import Settings, catalogue_problems, default_settings_for_local, load_settings
from compliance_agent.domain.gate import GatePolicy
from compliance_agent.domain.outbox import OutboxLimits
from compliance_agent.domain.target import Become, Mode, TransportKind
from compliance_agent.domain.uplink import SendPolicy
from compliance_agent.errors import InputError
from compliance_agent.wire.validation import _model_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compliance_agent.domain.runbook import Model
    from compliance_agent.errors import InputProblem

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"

FULL = """\
site_id: clinic-7
mode: observe
state_dir: {state}
known_hosts: pins/known_hosts
rules: {{paths: [rules, /etc/rules.yaml]}}
runbooks:
  paths: [./runbooks]
  modes: {{LIN-SSH-001: observe}}
  parameters: {{LIN-SSH-003: {{limit: 3}}}}
gate: {{cooldown_s: 60}}
schedule: {{linux_interval_s: 5, jitter: 0.25, workers: 1}}
alerts:
  repeat_s: 3600
  webhook: {{url: "https://alerts.example.org/hook", token_file: token}}
  smtp: {{host: mail.example.org, from: a@example.org, to: [b@example.org], user: a, password_file: pw}}
  syslog: {{}}
targets:
  - id: web-1
    host: 192.0.2.5
    port: 2222
    user: admin
    identity_file: id_ed25519
    become: sudo
    become_password_file: /run/sudo
    checks: {{include: ["LIN-*"], exclude: [LIN-SSH-001]}}
    tags: [front]
  - id: me
    transport: local
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "s.yaml"
    path.write_text(FULL.format(state=tmp_path / "state"))
    return path


def problems_of(tmp_path: Path, text: str) -> list[InputProblem]:
    path = tmp_path / "bad.yaml"
    path.write_text(text if "state_dir" in text else f"{text}state_dir: {tmp_path}\n")  # not this machine's own
    with pytest.raises(InputError) as caught:
        load_settings(path)
    return list(caught.value.problems)


def test_a_full_file_is_read(file: Path) -> None:
    settings = load_settings(file)
    assert (settings.site_id, settings.mode, settings.gate_policy().cooldown_s) == ("clinic-7", Mode.OBSERVE, 60)
    assert settings.runbooks.modes == {"LIN-SSH-001": Mode.OBSERVE}
    assert settings.schedule.jitter == Decimal("0.25")
    assert settings.alerts.syslog is not None
    assert settings.alerts.syslog.address == "/dev/log"
    assert settings.alerts.smtp is not None
    assert (settings.alerts.smtp.from_, settings.alerts.smtp.port) == ("a@example.org", 587)


def test_relative_paths_are_relative_to_the_file(file: Path) -> None:
    settings = load_settings(file)
    here = file.parent
    assert settings.known_hosts_paths == (here / "pins/known_hosts", here / "state/known_hosts")
    assert settings.rule_paths == (here / "rules", Path("/etc/rules.yaml"))
    assert settings.runbook_paths == (here / "runbooks",)
    assert settings.targets()[0].identity_file == f"{here}/id_ed25519"
    assert settings.alerts.webhook is not None
    assert settings.alerts.webhook.token_file == f"{here}/token"


def test_a_relative_settings_path_gives_absolute_paths(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert load_settings(Path("s.yaml")).known_hosts == file.parent / "pins/known_hosts"


def test_targets_become_the_domains_targets(file: Path) -> None:
    web, me = load_settings(file).targets()
    assert (web.site_id, web.address, web.user, web.become) == ("clinic-7", "192.0.2.5:2222", "admin", Become.SUDO)
    assert (web.checks.include, web.checks.exclude, web.tags) == (("LIN-*",), ("LIN-SSH-001",), ("front",))
    assert (me.transport, me.host, me.address) == (TransportKind.LOCAL, "", "this machine")


def test_a_target_goes_through_the_jump_host_that_it_names_and_that_one_through_its_own(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    key = f"SHA256:{'A' * 43}"
    path.write_text(
        f"site_id: a\nstate_dir: {tmp_path}\nknown_hosts: k\n"
        f"ssh: {{jump_hosts: [{{id: gate, host: g, user: j, identity_file: jk, via: inner, host_key: '{key}'}}]}}\n"
        "targets:\n  - {id: inner, host: i, port: 2222, user: u, identity_file: k}\n"
        f"  - {{id: last, host: l, user: u, identity_file: k, certificate_file: c, via: gate, host_key: '{key}'}}\n"
    )
    inner, last = load_settings(path).targets()
    assert (inner.via, last.host_key, last.certificate_file) == (None, key, str(tmp_path / "c"))
    assert last.via is not None
    assert (last.via.target_id, last.via.identity_file, last.via.host_key) == ("gate", str(tmp_path / "jk"), key)
    assert last.via.via == inner


def test_a_target_that_names_its_host_key_needs_no_known_hosts(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    entry = f"{{id: x, host: h, user: u, identity_file: k, host_key: 'SHA256:{'A' * 43}'}}"
    path.write_text(f"site_id: a\nstate_dir: {tmp_path}\ntargets: [{entry}]\n")
    assert load_settings(path).known_hosts is None


def test_the_least_file_names_the_site_and_has_every_default(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"site_id: a\nstate_dir: {tmp_path}\n")
    settings = load_settings(path)
    assert settings.mode is Mode.ENFORCE
    assert settings.gate_policy() == GatePolicy()
    assert settings.targets() == ()
    assert Settings.model_fields["state_dir"].default == Path("/var/lib/compliance-agent")


def test_json_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(f'{{"site_id": "a", "state_dir": "{tmp_path}", "schedule": {{"jitter": 0.2}}}}')
    assert load_settings(path).schedule.jitter == Decimal("0.2")


def test_a_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + f"site_id: a\nstate_dir: {tmp_path}\n".encode())
    assert load_settings(path).site_id == "a"


def test_the_local_default_has_this_machine_and_no_state() -> None:
    settings = default_settings_for_local()
    (target,) = settings.targets()
    assert (settings.site_id, target.target_id, target.transport) == ("local", "this-machine", TransportKind.LOCAL)
    assert settings.state_dir is None
    assert settings.known_hosts_paths == ()
    assert {origin for _, _, origin in settings.origins()} == {"default"}


REMOTE = "site_id: a\nknown_hosts: k\ntargets:\n  - "
WRONG = [
    ("mode: observe\n", "site_id: the key site_id is missing"),
    ("site_id: Clinic 7\n", "bad.yaml:1:1: site_id: got"),
    ("site_id: a\nmod: observe\n", "bad.yaml:2:1: mod: unknown key mod (did you mean mode?)"),
    ("site_id: a\nmode: enforced\n", "did you mean enforce?"),
    ("site_id: a\nmode: on\n", "on without quotes"),
    ("site_id: a\nstate_dir: var\n", "need an absolute path"),
    ("site_id: a\nstate_dir: null\n", "bad.yaml:2:1: state_dir: needs a folder"),
    ("site_id: a\nknown_hosts: ~/k\n", "~ is not expanded"),
    ("site_id: a\nknown_hosts: ''\n", "a path is one line of text"),
    ("site_id: a\ngate: {attempts_max: 0}\n", "gate.attempts_max: got 0, need 1 or more"),
    ("site_id: a\ngate: {window_s: 59}\n", "need 60 or more"),
    ("site_id: a\nschedule: {linux_interval_s: 4}\n", "need 5 or more"),
    ("site_id: a\nschedule: {workers: 257}\n", "need 256 or less"),
    ("site_id: a\nssh: {idle_limit_s: -1}\n", "ssh.idle_limit_s: got -1, need 0 or more"),
    ("site_id: a\nssh: {jump_hosts: [{id: j, host: h, user: u}]}\n", "a jump host needs a credential"),
    (
        "site_id: a\nssh: {jump_hosts: [{id: j, host: h, user: u, identity_file: k, via: j}]}\n",
        "ssh.jump_hosts[0].via: the way through j leads back to where it began",
    ),
    (REMOTE + "{id: x, host: h, user: u, identity_file: k, via: zz}\n", "targets[0].via: zz is no target and no jump"),
    (
        REMOTE + "{id: x, host: h, user: u, identity_file: k, via: zz}\n  - {id: zz, transport: local}\n",
        "zz is not reached over ssh",
    ),
    (
        REMOTE + "{id: x, host: h, user: u, identity_file: k, via: x}\n",
        "targets[0].via: the way through x leads back to where it began",
    ),
    (REMOTE + "{id: x, host: h, user: u, identity_file: k, host_key: 'MD5:aa'}\n", "targets[0].host_key: got"),
    (REMOTE + "{id: x, host: h, user: u, password_file: k, certificate_file: c}\n", "of no use without its private"),
    (REMOTE + "{id: x, transport: local, via: zz}\n", "a local target takes no via"),
    ("site_id: a\nschedule: {jitter: 0.51}\n", "schedule.jitter: got 0.51, need 0.5 or less"),
    ("site_id: a\nschedule: {jitter: '0.1'}\n", "schedule.jitter: needs a number"),
    ("site_id: a\nschedule: {jitter: true}\n", "schedule.jitter: needs a number"),
    ("site_id: a\nruntime: 5\n", "unknown key runtime"),
    ("site_id: a\nrunbooks: {modes: {lin: observe}}\n", "runbooks.modes.lin: got"),
    ("site_id: a\nalerts: {webhook: {url: 'http://x.example/h'}}\n", "use https"),
    ("site_id: a\nalerts: {webhook: {url: 'ftp://x.example/h'}}\n", "is no https URL"),
    ("site_id: a\nalerts: {webhook: {url: 'https://[x/h'}}\n", "is no URL"),
    ("site_id: a\nalerts: {webhook: {url: 'https://u:p@x.example/h'}}\n", "token_file"),
    ("site_id: a\nalerts: {smtp: {host: m, from: a@b, to: []}}\n", "alerts.smtp.to: is empty"),
    ("site_id: a\nalerts: {smtp: {host: m, from: a@b, to: [a@b], user: u}}\n", "a login needs user and password_file"),
    (
        "site_id: a\nalerts: {smtp: {host: m, from: a@b, to: [a@b], user: u, password_file: p, starttls: false}}\n",
        "clear text",
    ),
    ("site_id: a\nalerts: {syslog: {address: host}}\n", "need a socket's path or host:port"),
    ("site_id: a\nalerts: {syslog: {address: 'host:99999'}}\n", "need a socket's path or host:port"),
    ("site_id: a\nalerts: {syslog: {facility: local9}}\n", "facility"),
    (REMOTE + "{id: x, user: u, identity_file: k}\n", "bad.yaml:4:5: targets[0]: a target over ssh needs host"),
    (REMOTE + "{id: x, host: h, identity_file: k}\n", "a target over ssh needs user"),
    (REMOTE + "{id: x, host: h, user: u}\n", "a target over ssh needs a credential"),
    (REMOTE + "{id: x, host: 'h h', user: u, identity_file: k}\n", "targets[0].host: holds a space"),
    (REMOTE + "{id: x, transport: local, host: h}\n", "targets[0].host: a local target takes no host"),
    (REMOTE + "{id: x, transport: local, become_password_file: p}\n", "without become: sudo"),
    (REMOTE + "{id: x, host: h, platform: windows, password_file: p}\n", "a target over winrm needs user"),
    (REMOTE + "{id: x, host: h, user: u, identity_file: k, prot: 1}\n", "did you mean port?"),
    (REMOTE + "{id: x, transport: local}\n  - {id: x, transport: local}\n", "targets[1].id: the id x stands twice"),
    (REMOTE + "{id: -x, transport: local}\n", "targets[0].id: got"),
    (REMOTE + "5\n", "targets[0]: got 5, need a table"),
    ("site_id: a\ntargets: {}\n", "targets: got a table, need a list"),
    ("site_id: a\nstate_dir: /nonexistent\ntargets:\n  - {id: x, host: h, user: u, identity_file: k}\n", "known_hosts"),
]


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_a_mistake_is_named_with_its_place_and_remedy(tmp_path: Path, text: str, expected: str) -> None:
    found = [str(problem) for problem in problems_of(tmp_path, text)]
    assert len(found) == 1, found
    assert expected in found[0]


@pytest.mark.parametrize(
    "text",
    [
        "alerts: {webhook: {url: 'http://127.0.0.1:8080/h'}}",
        "alerts: {webhook: {url: 'http://[::1]/h'}}",
        "alerts: {smtp: {host: localhost, from: a@b, to: [a@b], user: u, password_file: p, starttls: false}}",
        "alerts: {syslog: {address: '[2001:db8::1]:514'}}",
        "schedule: {jitter: 0}",
        "targets: [{id: x, transport: local, become: sudo, become_password_file: p}]",
    ],
)
def test_what_lies_on_the_good_side_of_an_edge_is_accepted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(f"site_id: a\nstate_dir: {tmp_path}\n{text}\n")
    assert load_settings(path).site_id == "a"


def test_every_mistake_is_reported_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        "site_id: A\nmod: x\ngate: {cooldown_s: -1}\nlog: {level: loud}\ntargets:\n  - {id: x}\n  - {id: x, port: 0}\n"
    )
    lines = [problem.line for problem in problems_of(tmp_path, text)]
    assert lines == sorted(lines)
    assert set(lines) == {1, 2, 3, 4, 6, 7}


@pytest.mark.parametrize(
    "text",
    [
        "password: hunter2\n",
        "alerts: {webhook: {url: 'https://x.example', token: hunter2}}\n",
        "targets: [{id: x, transport: local, become_password: hunter2}]\n",
        "targets: [{id: x, transport: local, private_key: hunter2}]\n",
        "runbooks: {parameters: {LIN-A-001: {password: hunter2}}}\n",
        "known_hosts: |\n  -----BEGIN OPENSSH PRIVATE KEY-----\n  hunter2\n",
        "alerts: {webhook: {url: 'https://u:hunter2@x.example'}}\n",
        "alerts: {webhook: {url: 'http://x.example/?t=hunter2'}}\n",
        "alerts: {webhook: {url: 'https://x.example', token_file: [hunter2]}}\n",
        "alerts: {webhook: {url: 'https://x.example', timeout_s: 5, tokenn: hunter2}}\n",
    ],
)
def test_a_secret_in_the_settings_is_refused_and_never_shown(tmp_path: Path, text: str) -> None:
    found = problems_of(tmp_path, f"site_id: a\n{text}")
    assert found
    assert not any("hunter2" in str(problem) for problem in found)


def test_a_secret_is_reported_once_with_its_remedy(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, "site_id: a\npassword: hunter2\n")
    assert problem.hint == "name a file: password_file"


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        load_settings(tmp_path / "none.yaml")


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder"):
        load_settings(tmp_path)


def test_each_value_has_its_origin(file: Path) -> None:
    rows = {path: (value, origin) for path, value, origin in load_settings(file).origins()}
    assert rows["site_id"] == ("clinic-7", f"{file}:1")
    assert rows["runbooks.modes.LIN-SSH-001"] == ("observe", f"{file}:8")
    assert rows["targets[0].port"] == ("2222", f"{file}:20")
    assert rows["targets[1].port"] == ("null", "default")
    assert rows["gate.attempts_max"] == ("3", "default")
    assert rows["targets[1].checks.include"] == ("null", "default")
    assert rows["alerts.smtp.starttls"] == ("true", "default")


def managed(state: Path, target_id: str) -> None:
    add_managed_target(state, {"id": target_id, "host": "h", "user": "u", "identity_file": "key"})


def test_managed_targets_follow_those_of_the_file(file: Path) -> None:
    state = file.parent / "state"
    managed(state, "added")
    settings = load_settings(file)
    assert [target.target_id for target in settings.targets()] == ["web-1", "me", "added"]
    assert settings.targets()[2].identity_file == f"{state}/key"
    rows = {path: (value, origin) for path, value, origin in settings.origins()}
    assert rows["targets[2].id"] == ("added", f"{state}/targets.yaml:3")
    assert rows["targets[2].port"] == ("null", "default")


def test_a_managed_target_with_the_id_of_another_is_refused(file: Path) -> None:
    managed(file.parent / "state", "me")
    with pytest.raises(InputError) as caught:
        load_settings(file)
    (problem,) = caught.value.problems
    assert problem.source.endswith("targets.yaml")
    assert f"first at {file}:27" in problem.message


def test_a_broken_managed_file_is_reported(file: Path) -> None:
    (file.parent / "state").mkdir()
    (file.parent / "state" / "targets.yaml").write_text("targets: 5\n")
    with pytest.raises(InputError, match=r"targets\.yaml:1:1: targets: got 5, need a list"):
        load_settings(file)


def test_pinned_keys_of_targets_add_are_enough(tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text("")
    path = tmp_path / "s.yaml"
    path.write_text(f"site_id: a\nstate_dir: {tmp_path}\ntargets: [{{id: x, host: h, user: u, identity_file: k}}]\n")
    assert load_settings(path).known_hosts_paths == (tmp_path / "known_hosts",)


def test_runbooks_and_parameters_that_the_catalogue_does_not_know_are_named(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        f"site_id: a\nstate_dir: {tmp_path}\nrunbooks:\n  modes: {{LIN-SSH-999: observe}}\n"
        "  parameters: {LIN-SSH-001: {nothing: 1}}\n"
        "targets: [{id: x, transport: local, parameters: {LIN-NONE-001: {}}}]\n"
    )
    problems = catalogue_problems(load_settings(path), load_catalogue([builtin_runbooks_path()]))
    assert [problem.path for problem in problems] == [
        "runbooks.modes.LIN-SSH-999",
        "runbooks.parameters.LIN-SSH-001.nothing",
        "targets[0].parameters.LIN-NONE-001",
    ]


RESTRICTED = """\
schema: runbook/v1
id: LIN-X-001
version: 1
title: X
check_type: x
severity: low
platforms: [linux]
controls: {hipaa: ["164.312(b)"]}
parameters:
  limit: {type: integer, description: L., default: 5}
  name: {type: string, description: N., default: a}
detect:
  steps:
    - {resource: narrow, with: {limit: {$param: limit}}}
pass_when: {found: {$regex: {$param: name}}}
fail_reason: f
no_remedy_reason: a person decides
"""
NARROW = """\
schema: resource/v1
id: narrow
platforms: [linux]
description: N.
parameters:
  limit: {type: integer, description: L., max: 9}
facts:
  found: {type: string}
get: {script: "echo found=x"}
"""


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("{limit: 9, name: b}", ""),
        ("{limit: 10}", "LIN-X-001 cannot work with these values: parameter limit got 10, need 9 or less"),
        ("{name: '('}", "cannot work with these values: found.$regex: not a regular expression"),
        ("{limit: x}", "the value is no integer"),
    ],
)
def test_values_are_tried_where_a_runbook_uses_them(tmp_path: Path, values: str, message: str) -> None:
    (tmp_path / "extra" / "resources").mkdir(parents=True)
    (tmp_path / "extra" / "LIN-X-001.yaml").write_text(RESTRICTED)
    (tmp_path / "extra" / "resources" / "narrow.yaml").write_text(NARROW)
    path = tmp_path / "s.yaml"
    path.write_text(
        f"site_id: a\nstate_dir: {tmp_path}\n"
        f"targets: [{{id: x, transport: local, parameters: {{LIN-X-001: {values}}}}}]\n"
    )
    catalogue = load_catalogue([builtin_runbooks_path(), tmp_path / "extra"])
    problems = [str(problem) for problem in catalogue_problems(load_settings(path), catalogue)]
    assert len(problems) == bool(message)
    assert all(message in problem and f"{path}:3" in problem for problem in problems)


def known_keys(model: type[Model], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in model.model_fields.items():
        key = f"{prefix}{field.alias or name}"
        inner = _model_in(field.annotation)
        if inner is None:
            yield key, field
        else:
            yield from known_keys(inner, f"{key}[]." if "tuple" in str(field.annotation) else f"{key}.")


def documented_rows() -> dict[str, str]:
    rows = re.findall(r"^\| `([^`]+)` \|[^|]*\|[^|]*\| ([^|]+) \|", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(rows)


def test_every_key_is_documented_and_every_documented_key_is_known() -> None:
    assert set(documented_rows()) == {key for key, _field in known_keys(Settings)}


def test_the_documented_example_is_a_settings_file(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(.*?)```", REFERENCE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    path = tmp_path / "s.yaml"
    path.write_text(f"{found[1]}state_dir: {tmp_path}\n")
    assert [target.target_id for target in load_settings(path).targets()] == ["reception", "this-machine"]


def as_documented(field: Any) -> set[str]:
    if field.is_required():
        return {"(required)"}
    value = field.get_default(call_default_factory=True)
    if isinstance(value, Enum):
        value = value.value
    if value in (None, ""):
        return {"(none)", "`null`"}
    shown = {"()": "[]", "True": "true", "False": "false"}.get(str(value), str(value))
    return {f"`{shown}`"}


@pytest.mark.parametrize(("key", "field"), [pytest.param(key, field, id=key) for key, field in known_keys(Settings)])
def test_the_documented_default_is_the_real_one(key: str, field: Any) -> None:
    assert documented_rows()[key] in as_documented(field)


@pytest.mark.parametrize(("key", "field"), [pytest.param(key, field, id=key) for key, field in known_keys(Settings)])
def test_every_key_says_what_it_means(key: str, field: Any) -> None:
    assert field.description, key


# --- the control plane

PLANE = "control_plane: {url: https://central.example.org, appliance_id: a1, token_file: token}\n"


def read(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "settings.yaml"
    path.write_text(f"site_id: clinic-7\nstate_dir: {tmp_path}\n{text}", encoding="utf-8")
    return load_settings(path)


def test_without_the_table_nothing_is_reported(tmp_path: Path) -> None:
    assert read(tmp_path, "").control_plane is None


def test_the_token_is_a_path_relative_to_the_file(tmp_path: Path) -> None:
    control_plane = read(tmp_path, PLANE).control_plane
    assert control_plane is not None
    assert control_plane.token_file == str(tmp_path / "token")


def test_the_defaults_are_those_of_the_sender_and_of_the_outbox(tmp_path: Path) -> None:
    settings = read(tmp_path, PLANE)
    assert settings.control_plane is not None
    assert settings.control_plane.policy() == SendPolicy()
    assert settings.outbox.limits() == OutboxLimits()


def test_what_is_set_reaches_the_sender_and_the_outbox(tmp_path: Path) -> None:
    text = PLANE.replace("}", ", batch_rows_max: 7, retry_base_s: 2, late_after_s: 60}")
    settings = read(tmp_path, f"{text}outbox: {{rows_max: 10, evidence_age_max_s: 40000000}}\n")
    assert settings.control_plane is not None
    assert settings.control_plane.policy() == SendPolicy(batch_rows_max=7, retry_base_s=2, late_after_s=60)
    assert settings.outbox.limits() == OutboxLimits(rows_max=10, evidence_age_max_s=40_000_000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(PLANE.replace("https", "http"), "plain http", id="clear text"),
        pytest.param(PLANE.replace("central", "user:pw@central"), "holds a login", id="a login in the address"),
        pytest.param(PLANE.replace("token_file", "token"), "token", id="a secret as a value"),
        pytest.param(PLANE.replace("appliance_id: a1, ", ""), "appliance_id", id="no appliance"),
        pytest.param("outbox: {evidence_age_max_s: 86400}\n", "evidence_age_max_s", id="evidence for a day"),
        pytest.param("snapshot: {interval_s: 0}\n", "interval_s", id="no snapshots"),
    ],
)
def test_what_would_be_unsafe_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(tmp_path, text)

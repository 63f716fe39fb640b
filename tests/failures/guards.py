"""The guards: what in the code stops each failure, and how to take it out so that its test fails.

``test_guards.py`` takes out each of them in turn. A guard that moves in the code is moved here, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard.

    Attributes:
        failure: ``01`` to ``40``, or ``also``.
        file: Where it stands, from the repository's root.
        old: Its text; stands exactly once in the file.
        new: What takes its place: the guard removed or turned round.
        test: The test that then fails, from ``tests/failures``: ``file.py::test``, with ``[case]`` where there are
            several.

    """

    failure: str
    file: str
    old: str
    new: str
    test: str

    def __str__(self) -> str:
        """Return the name of the check of this guard."""
        return f"{self.failure} {self.file.rpartition('/')[2]} {self.test.partition('::')[2][:60]}"


_ENGINE: Final = "compliance_agent/engine"
_DOMAIN: Final = "compliance_agent/domain"
_STORE: Final = "compliance_agent/adapters/store"
_SSH: Final = "compliance_agent/adapters/transports"
_APP: Final = "compliance_agent/app"

GUARDS: Final = (
    Guard(
        "01",
        f"{_SSH}/elevation.py",
        """return Launch(f"exec /bin/sh -c '{shell}'", body)""",
        'return Launch(body.decode(), b"")',
        "test_01_script_too_long_for_a_command_line.py"
        "::test_what_stands_on_the_command_line_does_not_grow_with_the_script[none-None]",
    ),
    Guard(
        "02",
        f"{_DOMAIN}/bundle.py",
        '/bin/sh -c "$1" sh </dev/null 3>&- 4>&-;',
        '{ f=$(mktemp) && printf %s "$1" >"$f"; /bin/sh "$f" </dev/null 3>&- 4>&-; r=$?; rm -f "$f"; (exit $r); };',
        "test_02_temporary_script_files.py::test_the_shell_of_a_step_reads_no_file",
    ),
    Guard(
        "02",
        "compliance_agent/adapters/transports/winrm.py",
        '"-NonInteractive", "-EncodedCommand", encoded]',
        '"-NonInteractive", "-File", "run.ps1"]',
        "test_02_temporary_script_files.py::test_powershell_reads_no_file",
    ),
    Guard(
        "03",
        f"{_DOMAIN}/parameters.py",
        'f"PARAM_{name.upper()}"',
        'f"{name.upper()}"',
        "test_03_names_that_shadow.py::test_a_parameter_is_named_like_no_variable_that_the_shell_goes_by",
    ),
    Guard(
        "03",
        "runbooks/linux/lib/detect.sh",
        "ca_have() {",
        "R() { :; }\nca_have() {",
        "test_03_names_that_shadow.py::test_every_helper_has_a_name_that_no_command_has",
    ),
    Guard(
        "04",
        f"{_ENGINE}/scan.py",
        "with engine.open(target, fresh=fresh) as session:",
        'with scan_target.__dict__.setdefault("kept", engine.open(target)) as session:',
        "test_04_stale_session.py::test_after_a_session_broke_the_next_turn_has_one_of_its_own",
    ),
    Guard(
        "05",
        f"{_ENGINE}/scan.py",
        "timeout_s=min(timeout_s, sum(step.timeout_s for step in steps) + slack_s),",
        "timeout_s=60,",
        "test_05_limits_too_short.py::test_a_slow_machine_is_waited_for_as_long_as_its_step_says[110-120]",
    ),
    Guard(
        "06",
        f"{_ENGINE}/scan.py",
        "with engine.open(target, fresh=fresh) as session:",
        "if session := engine.open(target, fresh=fresh):",
        "test_06_a_shell_for_every_command.py::test_a_session_that_broke_is_closed_too",
    ),
    Guard(
        "07",
        f"{_APP}/daemon.py",
        "slot.running = pool.submit(self._turn, self.work.engine, slot.target)",
        "self._turn(self.work.engine, slot.target)",
        "test_07_one_slow_machine_starves_all.py::test_while_one_machine_hangs_the_other_has_turn_after_turn",
    ),
    Guard(
        "08",
        f"{_DOMAIN}/bundle.py",
        'ending = " || exit 0" if stop_on_failure else ""',
        'ending = " || exit 0"',
        "test_08_scan_eats_the_time_to_heal.py::test_a_check_that_hangs_leaves_time_to_heal_what_another_found",
    ),
    Guard(
        "09",
        f"{_SSH}/network.py",
        "            TransportFault.UNRESOLVED,",
        "            TransportFault.REFUSED,",
        "test_09_repair_needs_what_is_broken.py::test_a_name_that_does_not_resolve_is_told_as_that",
    ),
    Guard(
        "10",
        f"{_APP}/daemon.py",
        "pause_s = min(_REFUSED_MAX_S, 2 * (before.pause_s if before else self.work.schedule.interval_s))",
        "pause_s = 0.0 * (before.pause_s if before else _REFUSED_MAX_S)",
        "test_10_refused_logins_pile_up.py::test_the_machine_beside_it_is_asked_as_often_as_ever",
    ),
    Guard(
        "11",
        f"{_DOMAIN}/gate/chain.py",
        "mine = (past for past in self.memory.tries if past.target_id == self.wish.target_id)",
        "mine = iter(self.memory.tries)",
        "test_11_per_target_breaker.py::test_one_dead_target_holds_up_no_other",
    ),
    Guard(
        "11",
        f"{_DOMAIN}/gate/tries.py",
        "if len(row) < policy.breaker_failures or now.elapsed_s >= row[-1].last_s + policy.breaker_pause_s:",
        "if True:",
        "test_11_per_target_breaker.py::test_one_dead_target_holds_up_no_other",
    ),
    Guard(
        "12",
        f"{_SSH}/handshake.py",
        "with WATCHDOG.limit(sock, timeout_s) as guard:",
        "with WATCHDOG.limit(sock, 3_600) as guard:",
        "test_12_ssh_handshake_without_timeout.py"
        "::test_a_frozen_machine_ends_by_itself_and_does_not_hold_up_the_others",
    ),
    Guard(
        "13",
        f"{_SSH}/connector.py",
        "            except BaseException:\n                connection.close()\n                raise",
        "            except BaseException:\n                raise",
        "test_13_leaked_sessions.py::test_logins_that_fail_leave_nothing_open[wrong key]",
    ),
    Guard(
        "14",
        f"{_SSH}/channel.py",
        "if self._channel.recv_stderr_ready():",
        "if self._channel.recv_stderr_ready() and self._channel.exit_status_ready():",
        "test_14_stdout_then_stderr_deadlock.py::test_a_stream_that_nobody_reads_first_does_not_hold_up_the_other",
    ),
    Guard(
        "15",
        f"{_SSH}/connector.py",
        "if not target.host or not target.user:",
        "if not target.host:",
        "test_15_failure_with_empty_error_text.py::test_a_target_without_a_user_is_not_tried_as_root",
    ),
    Guard(
        "16",
        f"{_SSH}/login.py",
        "if target.identity_file is None and target.password_file is None:",
        "if False:",
        "test_16_missing_credentials_are_no_failed_heals.py"
        "::test_a_missing_credential_is_told_apart_and_nothing_is_tried_without_it[None]",
    ),
    Guard(
        "17",
        f"{_ENGINE}/heal.py",
        "        session = engine.open(target)\n",
        '        session = engine.open(replace(target, target_id="the-first"))\n',
        "test_17_no_fallback_to_another_machine.py::test_a_turn_speaks_to_the_machine_of_its_incident_alone",
    ),
    Guard(
        "18",
        f"{_DOMAIN}/incident.py",
        r'f"{site_id}\x1f{target_id}\x1f{check_id}"',
        r"""f'{site_id}\x1f{target_id.split(".")[0]}\x1f{check_id}'""",
        "test_18_addresses_split_on_dots.py::test_two_addresses_are_two_machines",
    ),
    Guard(
        "19",
        f"{_DOMAIN}/pattern.py",
        "    if not source:\n",
        "    if source is None:\n",
        "test_19_empty_conditions_match_everything.py::test_a_rule_that_names_nothing_is_set_aside[an empty pattern]",
    ),
    Guard(
        "20",
        f"{_ENGINE}/dispatch.py",
        "if argument.startswith(PLACEHOLDER):",
        "if False:",
        "test_20_placeholder_rules.py::test_a_placeholder_does_not_stand_in_front_of_a_good_rule[run_runbook]",
    ),
    Guard(
        "20",
        f"{_DOMAIN}/gate/tries.py",
        "if len(failed) < policy.attempts_max:",
        "if True:",
        "test_20_straight_failures.py::test_after_three_failures_a_person_is_told_instead",
    ),
    Guard(
        "21",
        f"{_ENGINE}/dispatch.py",
        'return f"there is no runbook {argument} on this appliance"',
        'return ""',
        "test_21_runbooks_that_do_not_exist.py::test_a_rule_for_an_unknown_runbook_is_set_aside_and_uses_up_nothing",
    ),
    Guard(
        "22",
        "compliance_agent/rules/linux.yaml",
        "check_id: LIN-FW-001,",
        "check_id: LIN-FIREWALL-001,",
        "test_22_names_differ.py::test_every_check_that_is_shipped_has_a_rule_that_matches_its_incidents",
    ),
    Guard(
        "22",
        f"{_DOMAIN}/rule_vocabulary.py",
        "        yield from self._of_context(rule.pattern.root, place)\n",
        "",
        "test_22_names_differ.py::test_a_rule_for_a_check_that_nobody_emits_is_found[lin-fw-001]",
    ),
    Guard(
        "23",
        f"{_APP}/reload.py",
        "self._engine = rebuild(self._agent, settings)",
        "self._agent.rules = rebuild(self._agent, settings)",
        "test_23_rules_saved_and_never_loaded.py::test_a_rule_that_is_put_into_a_file_matches_in_the_next_turn",
    ),
    Guard(
        "24",
        f"{_DOMAIN}/outcome.py",
        "return self is OutcomeKind.REMEDIATED",
        "return self in {OutcomeKind.REMEDIATED, OutcomeKind.WOULD_CHANGE}",
        "test_24_dry_run_loops.py::test_a_dry_run_is_no_success_and_uses_nothing_up",
    ),
    Guard(
        "25",
        "runbooks/linux/LIN-FW-001.yaml",
        """printf '%s\\n' "$rules" | iptables_closed || continue""",
        "continue",
        "test_25_firewall_false_alarm.py::test_whichever_tool_holds_the_rules_they_count[iptables alone]",
    ),
    Guard(
        "26",
        f"{_ENGINE}/context.py",
        "any(fnmatchcase(check_id, pattern) for pattern in patterns)",
        "any(pattern in check_id for pattern in patterns)",
        "test_26_substrings_match.py::test_a_check_is_chosen_by_its_whole_id_or_by_a_wildcard[TEST-FILE-00-found1]",
    ),
    Guard(
        "27",
        "runbooks/linux/LIN-SSH-003.yaml",
        "    - when: {host: {os_id: nixos}}\n",
        "    - when: {host: {os_id: none}}\n",
        "test_27_read_only_etc_and_empty_remedies.py"
        "::test_on_nixos_no_remedy_touches_what_is_generated_and_the_option_is_named",
    ),
    Guard(
        "27",
        f"{_DOMAIN}/runbook.py",
        "steps: Annotated[tuple[Step, ...], Field(min_length=1, strict=False)]",
        "steps: Annotated[tuple[Step, ...], Field(strict=False)]",
        "test_27_read_only_etc_and_empty_remedies.py::test_a_remedy_that_does_nothing_is_not_loaded[[]]",
    ),
    Guard(
        "27",
        f"{_DOMAIN}/runbook.py",
        'if all(not line.strip() or line.strip().startswith("#") for line in script.splitlines()):',
        "if False:",
        "test_27_read_only_etc_and_empty_remedies.py::test_a_remedy_that_does_nothing_is_not_loaded[[{script: '   '}]]",
    ),
    Guard(
        "28",
        f"{_STORE}/migrations/m0001_turns.py",
        ",\n      CHECK ((outcome IS NULL) = (finished_at IS NULL) AND (outcome IS NULL) = (reason IS NULL))",
        "",
        "test_28_silence_is_not_success.py"
        "::test_the_state_file_itself_refuses_an_end_that_says_nothing[an end without an outcome]",
    ),
    Guard(
        "29",
        f"{_STORE}/writes.py",
        "    if changed != 1:\n",
        "    if changed > 1:\n",
        "test_29_counted_twice.py::test_an_attempt_ends_once",
    ),
    Guard(
        "29",
        f"{_STORE}/writes.py",
        "        if changed:\n            return False\n",
        "        if changed:\n            return True\n",
        "test_29_counted_twice.py::test_an_outcome_that_repeats_is_reported_once",
    ),
    Guard(
        "30",
        f"{_STORE}/migrations/m0001_turns.py",
        "      message TEXT NOT NULL\n    ) STRICT, WITHOUT ROWID",
        "      message TEXT NOT NULL\n    ) WITHOUT ROWID",
        "test_30_triggers_and_generated_columns.py"
        "::test_no_trigger_of_the_state_file_writes_no_column_is_generated_and_every_table_is_strict",
    ),
    Guard(
        "31",
        "compliance_agent/wire/evidence/entry.py",
        '"body": scrub_document(body, length_max=length_max),',
        '"body": body,',
        "test_31_scrubbing_after_signing.py"
        "::test_what_is_signed_was_scrubbed_before_and_no_later_scrubbing_would_change_it",
    ),
    Guard(
        "32",
        f"{_DOMAIN}/scrub.py",
        "DETECTORS: Final = (*SHAPES, *COMMANDS, *VALUES, *PERSONAL)\n",
        "from compliance_agent.domain.scrubbing.detectors import by_pattern\n\n"
        'ADDRESS = by_pattern("address", "", r"([0-9]{1,3}(?:[.][0-9]{1,3}){3})")\n'
        "DETECTORS: Final = (*SHAPES, *COMMANDS, *VALUES, *PERSONAL, ADDRESS)\n",
        "test_32_scrubbed_addresses.py::test_an_address_stays[192.168.1.10]",
    ),
    Guard(
        "33",
        "compliance_agent/adapters/evidence_key.py",
        "self._key = self._find(wanted)",
        "self._key = self.first()",
        "test_33_two_bundles_one_place.py::test_without_the_key_nothing_is_signed_and_nothing_is_written",
    ),
    Guard(
        "34",
        f"{_STORE}/outbox.py",
        "remove(connection, [_held_of(row)], OutboxFate.DELIVERED)",
        "pass",
        "test_34_orders_that_nobody_polls.py"
        "::test_whatever_is_put_into_the_outbox_is_fetched_and_its_delivery_is_kept[telemetry]",
    ),
    Guard(
        "35",
        f"{_SSH}/connector.py",
        "credentials = read_credentials(target, self._credentials, self._identities)",
        'credentials = self.__dict__.setdefault("kept", read_credentials(target, self._credentials, self._identities))',
        "test_35_cached_credentials_and_the_first_timer.py"
        "::test_each_machine_is_logged_in_to_with_its_own_key_in_any_order",
    ),
    Guard(
        "35",
        f"{_APP}/daemon.py",
        "_Slot(target, self.monotonic(), old.running if old else None)",
        "_Slot(target, latest_s, old.running if old else None)",
        "test_35_cached_credentials_and_the_first_timer.py"
        "::test_a_target_that_comes_to_an_empty_appliance_has_its_turn_at_once",
    ),
    Guard(
        "36",
        f"{_STORE}/memory_outbox.py",
        "order = sorted(waiting, key=_sending_order)[:rows_max]",
        "order = waiting[:rows_max]",
        "test_36_telemetry_bursts_and_checkins.py::test_a_sign_of_life_goes_before_a_burst_of_telemetry",
    ),
    Guard(
        "36",
        f"{_STORE}/reads.py",
        "ORDER BY rank = 0 DESC, rank DESC, sequence LIMIT ?2",
        "ORDER BY sequence LIMIT ?2",
        "test_36_telemetry_bursts_and_checkins.py::test_the_state_file_hands_it_out_first_too",
    ),
    Guard(
        "37",
        f"{_SSH}/local.py",
        'return {"PATH": SEARCH_PATH,',
        'return {"PATH": os.environ["PATH"],',
        "test_37_sandbox_and_restart.py::test_scripts_find_programs_without_the_services_path",
    ),
    Guard(
        "37",
        f"{_ENGINE}/recover.py",
        "attachments = reporter.of_conclusion(Conclusion(outcome, attempt=attempt))",
        "attachments = SILENT.of_conclusion(Conclusion(outcome, attempt=attempt))",
        "test_37_sandbox_and_restart.py::test_what_a_restart_cut_off_is_ended_and_told_and_never_run_again",
    ),
    Guard(
        "38",
        f"{_DOMAIN}/bundle.py",
        "tail -c 1000; }",
        "cat >/dev/null; }",
        "test_38_error_cut_off.py::test_the_cause_at_the_end_of_a_long_text_is_what_people_read[5000]",
    ),
    Guard(
        "38",
        f"{_STORE}/database.py",
        'hint=_HINTS.get(family, ""),',
        'hint="",',
        "test_38_error_cut_off.py::test_a_full_disk_is_told_as_that_and_nothing_that_was_kept_is_lost",
    ),
    Guard(
        "39",
        f"{_STORE}/writes.py",
        "        if changed:\n            return False\n",
        "",
        "test_39_incident_database_fills_the_disk.py::test_an_incident_that_is_held_for_hours_does_not_grow_the_file",
    ),
    Guard(
        "40",
        f"{_APP}/daemon.py",
        "slot.running = pool.submit(self._turn, self.work.engine, slot.target)",
        "self._turn(self.work.engine, slot.target)",
        "test_40_watchdog_kills_the_busy.py::test_while_every_worker_is_busy_house_is_kept_and_reports_are_sent",
    ),
    Guard(
        "40",
        "nix/modules/compliance-agent.nix",
        '        Restart = "on-failure";\n',
        '        Restart = "on-failure";\n        WatchdogSec = 60;\n',
        "test_40_watchdog_kills_the_busy.py::test_nothing_in_the_unit_kills_an_agent_that_is_merely_busy",
    ),
    Guard(
        "also",
        "compliance_agent/wire/text.py",
        'return data.decode("utf-8").removeprefix("\\ufeff")',
        'return data.decode("utf-8")',
        "test_also_byte_order_mark.py::test_every_file_of_a_site_may_begin_with_one",
    ),
    Guard(
        "also",
        f"{_ENGINE}/plan.py",
        "print_ = fingerprint(target.site_id, target.target_id, seen.check_id)",
        "print_ = fingerprint(target.site_id, host.hostname, seen.check_id)",
        "test_also_hostname_is_no_identity.py::test_a_machine_that_is_renamed_keeps_its_incident",
    ),
    Guard(
        "also",
        f"{_STORE}/writes.py",
        "THEN opened_at ELSE ?5 END, closed_at = NULL",
        "THEN opened_at ELSE ?5 END",
        "test_also_reopened_not_duplicated.py::test_what_comes_back_opens_the_incident_again",
    ),
    Guard(
        "also",
        f"{_STORE}/database.py",
        "            except BaseException:\n                if self._connection.in_transaction:\n"
        '                    self._connection.execute("ROLLBACK")\n                raise\n',
        "            except BaseException:\n                raise\n",
        "test_also_poisoned_transaction.py"
        "::test_after_a_write_that_failed_halfway_nothing_of_it_is_left_and_the_next_one_works",
    ),
    Guard(
        "also",
        f"{_SSH}/elevation.py",
        "'exec sudo -k -n /bin/sh",
        "'exec pkexec /bin/sh",
        "test_also_sudo_without_a_session.py::test_root_is_gained_without_a_terminal_and_without_a_session",
    ),
    Guard(
        "also",
        f"{_SSH}/host_trust.py",
        "if offered in pinned.keys:",
        "if True:",
        "test_also_pinned_key_rotated.py"
        "::test_a_changed_key_is_refused_and_told_and_one_pinned_before_the_change_is_not",
    ),
    Guard(
        "also",
        f"{_DOMAIN}/bundle.py",
        'exports.append(f"{name}={shlex.quote(value)}; export {name}; ")',
        """exports.append(f'{name}="{value}"; export {name}; ')""",
        "test_also_injected_names.py::test_what_a_parameter_holds_is_never_run[$(touch {f})]",
    ),
    Guard(
        "also",
        f"{_STORE}/database.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        "test_also_two_at_once.py::test_a_second_process_that_wants_to_heal_is_refused_and_changes_nothing",
    ),
)

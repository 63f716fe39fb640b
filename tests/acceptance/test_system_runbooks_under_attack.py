"""Services, logs, telnet and the network before a local user's tricks, and odd but real configurations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.support.healing import change, look
from tests.support.overlay import overlay_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.overlay import OverlayMachine

pytestmark = pytest.mark.root

GUEST: Final = "setpriv --reuid 2003 --regid 2003 --clear-groups"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverlayMachine]:
    with overlay_machine(tmp_path_factory.mktemp("overlay")) as started:
        started.run(
            "rm -rf /etc/logrotate.d /etc/cron.d /etc/inetd.conf /etc/xinetd.d; mkdir -p /etc/cron.d", check=True
        )
        yield started


@pytest.fixture
def machine(running: OverlayMachine) -> Iterator[OverlayMachine]:
    """The machine, and all of its files and processes as they were afterwards."""
    running.run(
        "rm -rf /run/kept && mkdir /run/kept && cp -a /etc /var/log /run/kept/ && ls /usr/local/sbin >/run/sbin",
        check=True,
    )
    yield running
    running.run("for id in $(cat /run/started 2>/dev/null); do kill -9 $id; done; rm -f /run/started /root/owned")
    running.run(
        "find /etc -mindepth 1 -delete; cp -a /run/kept/etc/. /etc/; rm -rf /var/log; cp -a /run/kept/log /var/log"
    )
    running.run("cd /usr/local/sbin && ls | grep -vxF -f /run/sbin | xargs -r rm -f --")
    running.run("rm -rf /var/lib/compliance-agent /home/guest/* /var/lib/aide")


def start(machine: OverlayMachine, command: str, *, as_guest: bool = True) -> None:
    user = GUEST if as_guest else ""
    machine.run(f"setsid {user} {command} </dev/null >/dev/null 2>&1 & echo $! >>/run/started; sleep 0.3", check=True)


def disguised(machine: OverlayMachine, name: str) -> None:
    """A guest's process of that name."""
    machine.run(f"chmod 0755 /home/guest; cp /bin/sleep /home/guest/{name}; chmod 755 /home/guest/{name}", check=True)
    start(machine, f"/home/guest/{name} 600")


# ---- processes that call themselves something


@pytest.mark.parametrize(
    ("runbook_id", "name", "fact", "value"),
    [
        ("LIN-SVC-001", "sshd", "server", "none"),
        ("LIN-SVC-001", "dropbear", "server", "none"),
        ("LIN-SVC-002", "auditd", "running", False),
        ("LIN-SVC-004", "telnetd", "daemons", []),
        ("LIN-INTEGRITY-001", "wazuh-syscheckd", "tool", "none"),
        ("LIN-INTEGRITY-001", "crond", "cron", False),
        ("LIN-LOG-001", "rsyslogd", "files", []),
        ("LIN-NET-001", "dockerd", "forwards_for", []),
        ("LIN-IR-001", "rsyslogd", "auth_log", "none"),
    ],
)
def test_an_ordinary_users_process_is_no_daemon(
    machine: OverlayMachine, runbook_id: str, name: str, fact: str, value: object
) -> None:
    machine.run("echo line | tee /var/log/auth.log >/var/log/syslog", check=True)
    disguised(machine, name)
    assert machine.run(f"cat /proc/[0-9]*/comm | grep -cx '{name}'").stdout == "1\n"
    assert look(machine, runbook_id)[0].facts[fact] == value


def test_a_guests_process_named_after_a_container_engine_does_not_keep_forwarding_on(machine: OverlayMachine) -> None:
    disguised(machine, "dockerd")
    machine.run("echo 1 >/proc/sys/net/ipv4/ip_forward", check=True)
    assert change(machine, "LIN-NET-001", "remediate", "attempt-1") == ""
    assert machine.run("cat /proc/sys/net/ipv4/ip_forward").stdout == "0\n"


# ---- telnet: what counts as an entry


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("telnet stream tcp nowait root /usr/sbin/in.telnetd in.telnetd", True),
        ("telnets stream tcp nowait root /usr/sbin/x x", True),
        ("10.0.0.1:telnet stream tcp nowait root /usr/sbin/x x", True),
        ("2323 stream tcp nowait root /usr/sbin/in.telnetd in.telnetd", True),
        ("  23 stream tcp6 nowait root /bin/login login", True),
        ("#telnet stream tcp nowait root /usr/sbin/in.telnetd in.telnetd", False),
        ("  # telnet stream tcp nowait root /usr/sbin/in.telnetd in.telnetd", False),
        ("finger stream tcp nowait nobody /usr/sbin/fingerd fingerd", False),
        ("230 stream tcp nowait nobody /usr/sbin/x x", False),
    ],
)
def test_a_line_of_inetd_counts_by_its_service_or_its_daemon(machine: OverlayMachine, line: str, found: bool) -> None:
    machine.write("/etc/inetd.conf", f"{line}\n")
    assert look(machine, "LIN-SVC-004")[0].facts["entries"] == (["/etc/inetd.conf"] if found else [])
    assert change(machine, "LIN-SVC-004", "remediate", "attempt-1") == ""
    left = machine.read("/etc/inetd.conf")
    assert left == (f"#<compliance-agent># {line}\n" if found else f"{line}\n")


@pytest.mark.parametrize(
    ("block", "found", "mended"),
    [
        (
            "service telnet\n{\n\tdisable = no\n}\n",
            True,
            "service telnet\n{\n\tdisable = yes # by compliance-agent\n}\n",
        ),
        ("service telnet\n{\n}\n", True, "service telnet\n{\n\tdisable = yes # by compliance-agent\n}\n"),
        ("service telnet\n{\n\t# disable = yes\n}\n", True, None),
        ("service telnet\n{\n\tdisable = yes\n}\n", False, None),
        ("service telnet\n{\n\tdisable = no\n\tdisable = yes\n}\n", True, None),
        ("service login\n{\n\tserver = /usr/sbin/in.telnetd\n}\n", True, None),
        ("service ftp\n{\n\tdisable = no\n}\n", False, None),
        ("service ftp\n{\n\tdisable = yes\n}\nservice telnet\n{\n\tport = 23\n}\n", True, None),
    ],
)
def test_a_block_of_xinetd_counts_when_it_is_not_switched_off(
    machine: OverlayMachine, block: str, found: bool, mended: str | None
) -> None:
    machine.run("mkdir -p /etc/xinetd.d", check=True)
    machine.write("/etc/xinetd.d/a b", block)
    assert look(machine, "LIN-SVC-004")[0].facts["entries"] == (["/etc/xinetd.d/a b"] if found else [])
    assert change(machine, "LIN-SVC-004", "remediate", "attempt-1") == ""
    assert look(machine, "LIN-SVC-004")[0].facts["entries"] == []
    if mended is not None:
        assert machine.read("/etc/xinetd.d/a b") == mended
    if found:
        assert change(machine, "LIN-SVC-004", "rollback", "attempt-1") == ""
    assert machine.read("/etc/xinetd.d/a b") == block


def test_what_a_user_listens_with_on_the_port_is_seen_and_left_alone(machine: OverlayMachine) -> None:
    listener = "import socket, time; s = socket.create_server(('127.0.0.1', 23)); time.sleep(600)"
    start(machine, f'python3 -c "{listener}"', as_guest=False)
    judgement, guard = look(machine, "LIN-SVC-004")
    assert (judgement.verdict, judgement.facts["listening"], "ss -ltnp" in guard) == ("fail", True, True)


def test_a_file_name_with_a_command_in_it_is_a_name(machine: OverlayMachine) -> None:
    machine.run("mkdir -p /etc/xinetd.d /etc/logrotate.d", check=True)
    name = "$(id >/root/owned);x\\n`id`"
    for folder in ("/etc/xinetd.d", "/etc/logrotate.d", "/etc/cron.d", "/etc/modprobe.d"):
        machine.run(
            f"mkdir -p {folder}; cd {folder}; printf 'service telnet\\n{{\\n}}\\n' >'{name.replace('/', '_')}'",
            check=True,
        )
    for runbook_id in ("LIN-SVC-004", "LIN-LOG-001", "LIN-INTEGRITY-001", "LIN-KERN-002"):
        assert look(machine, runbook_id)[0].verdict != "error"
    assert change(machine, "LIN-SVC-004", "remediate", "attempt-1") == ""
    assert machine.run("cat /root/owned").stdout == ""


# ---- records of logins


@pytest.mark.parametrize("plant", ["ln -sf /etc/shadow /var/log/wtmp", "rm -f /var/log/btmp; mkdir /var/log/btmp"])
def test_a_record_of_logins_that_is_no_plain_file_is_left_alone(machine: OverlayMachine, plant: str) -> None:
    before = machine.run("stat -c '%a %U %G' /etc/shadow").stdout
    machine.run(plant, check=True)
    machine.run("echo line >/var/log/auth.log", check=True)
    assert "unlike" in (look(machine, "LIN-IR-001")[0].facts["wtmp"], look(machine, "LIN-IR-001")[0].facts["btmp"])
    assert "it is left alone" in change(machine, "LIN-IR-001", "remediate", "attempt-1")
    assert machine.run("stat -c '%a %U %G' /etc/shadow").stdout == before


def test_what_was_recorded_since_stays_when_the_record_is_undone(machine: OverlayMachine) -> None:
    machine.run("rm -f /var/log/btmp; : >/var/log/wtmp; chmod 664 /var/log/wtmp", check=True)
    assert change(machine, "LIN-IR-001", "remediate", "attempt-1") == ""
    assert machine.run("stat -c '%a %U' /var/log/btmp").stdout == "660 root\n"
    machine.run("echo tried >>/var/log/btmp", check=True)
    assert change(machine, "LIN-IR-001", "rollback", "attempt-1") == ""
    assert machine.read("/var/log/btmp") == "tried\n"


# ---- the database of AIDE


def test_values_of_aides_own_macros_are_followed(machine: OverlayMachine) -> None:
    machine.write("/usr/local/sbin/aide", "#!/bin/sh\nid >>/root/owned\n", 0o755)
    machine.run("mkdir -p /etc/aide /var/lib/aide/deep; echo db >/var/lib/aide/deep/x.db", check=True)
    machine.write(
        "/etc/aide/aide.conf", "@@define D /var/lib/aide\ndatabase_in=file:/none\ndatabase_in=file:@@{D}/deep/x.db\n"
    )
    assert look(machine, "LIN-INTEGRITY-001")[0].facts["database"] is True
    assert machine.run("cat /root/owned").stdout == ""


@pytest.mark.parametrize(
    ("job", "planned"),
    [
        ("0 3 * * * root /usr/bin/aide --config /etc/aide/aide.conf --check", True),
        ("0 3 * * * root aide.wrapper-of-mine", False),
        ("# 0 3 * * * root aide --check", False),
        ("0 3 * * * root aide --init", False),
    ],
)
def test_a_job_counts_when_it_compares(machine: OverlayMachine, job: str, planned: bool) -> None:
    machine.write("/usr/local/sbin/aide", "#!/bin/sh\n", 0o755)
    machine.write("/etc/cron.d/site", f"{job}\n")
    machine.run("cp /bin/sleep /usr/local/sbin/crond", check=True)
    start(machine, "/usr/local/sbin/crond 600", as_guest=False)
    assert look(machine, "LIN-INTEGRITY-001")[0].facts["schedule"] == ("cron" if planned else "none")


# ---- where logs go


@pytest.mark.parametrize(
    ("text", "forwards"),
    [
        ("*.* @@logs.example:6514", ["logs.example:6514"]),
        ("*.* @logs.example", ["logs.example"]),
        ("auth,authpriv.* @@(o)logs.example:514;RSYSLOG_Format", ["logs.example:514"]),
        ('*.* action(type="omfwd" target="logs.example" port="6514" protocol="tcp")', ["logs.example:6514"]),
        ('action(type="omrelp"\n  target="logs.example"\n  port="2514")', ["logs.example:2514"]),
        ("#*.* @@logs.example:6514", []),
        ("*.* /var/log/all.log", []),
        ("*.* :omusrmsg:root@example", []),
    ],
)
def test_where_rsyslog_forwards_is_read(machine: OverlayMachine, text: str, forwards: list[str]) -> None:
    machine.run("mkdir -p /etc/rsyslog.d; : >/etc/rsyslog.conf; cp /bin/sleep /usr/local/sbin/rsyslogd", check=True)
    machine.write("/etc/rsyslog.d/10-forward.conf", f"{text}\n")
    start(machine, "/usr/local/sbin/rsyslogd 600", as_guest=False)
    judgement, _ = look(machine, "LIN-LOG-001", forward_to="logs.example")
    assert (judgement.facts["forwards"], judgement.facts["forwarded"]) == (forwards, bool(forwards))

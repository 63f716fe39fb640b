"""Services, logs, modules and the network, for real: plant drift, heal, verify, heal again, undo byte for byte.

The machine is a Debian of its own files, processes and network behind a real OpenSSH server; it has no systemd, so
services are started by their init scripts. What stands in for something else says so.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.cli import Site, outcomes, verdicts
from tests.support.healing import change, files, look
from tests.support.overlay import overlay_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.overlay import OverlayMachine

pytestmark = [pytest.mark.root, pytest.mark.needs("modprobe"), pytest.mark.needs("logrotate")]

# An init script as Debian's old ones are. A copy of sleep stands in for the daemon: what is tested is who starts it.
INIT: Final = """#!/bin/sh
### BEGIN INIT INFO
# Provides:          {name}
# Required-Start:
# Required-Stop:
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
### END INIT INFO
pid=/run/{name}.stand-in
running() {{ [ -f $pid ] && kill -0 "$(cat $pid)" 2>/dev/null; }}
case $1 in
  start | restart)
    running && exit 0
    setsid {program} 3600 </dev/null >/dev/null 2>&1 &
    echo $! >$pid
    ;;
  stop) running && kill -9 "$(cat $pid)"; rm -f $pid; sleep 0.2 ;;
  status) running ;;
esac
"""

RSYSLOG_ROTATION: Final = """/var/log/syslog
/var/log/mail.log
/var/log/auth.log
{
\trotate 4
\tweekly
\tmissingok
\tnotifempty
\tcompress
\tsharedscripts
\tpostrotate
\t\trotate 4 is no setting here
\tendscript
}

/var/log/other.log {
\trotate 2
\tdaily
}
"""
"""As Debian's package rsyslog brings it, and a neighbour that is none of ours."""

MODULES: Final = ("cramfs", "sctp", "usb-storage")


def install(machine: OverlayMachine, name: str, program: str) -> None:
    machine.run(f"mkdir -p '{program.rpartition('/')[0]}' && cp /bin/sleep '{program}'", check=True)
    machine.write(f"/etc/init.d/{name}", INIT.format(name=name, program=program), 0o755)


def prepare(machine: OverlayMachine) -> None:
    """The machine as it should be, by all checks of this module."""
    # The machine runs on the kernel of a real one, which may be a container.
    machine.write("/usr/local/bin/systemd-detect-virt", "#!/bin/sh\nexit 1\n", 0o755)
    machine.run("rm -rf /run/systemd/system /etc/logrotate.d/* /etc/cron.d /etc/aide; mkdir -p /etc/cron.d", check=True)
    for name, program in (
        ("auditd", "/usr/local/sbin/auditd"),
        ("rsyslog", "/usr/local/sbin/rsyslogd"),
        ("cron", "/usr/local/sbin/cron"),
    ):
        install(machine, name, program)
        machine.run(f"update-rc.d {name} defaults && /etc/init.d/{name} start", check=True)
    machine.write("/etc/logrotate.d/rsyslog", RSYSLOG_ROTATION.replace("rotate 4\n", "rotate 13\n", 1))
    machine.write("/etc/cron.daily/logrotate", "#!/bin/sh\n/usr/sbin/logrotate /etc/logrotate.conf\n", 0o755)
    machine.run("echo line | tee /var/log/syslog >/var/log/auth.log; rm -rf /var/log/journal", check=True)
    for name in ("lsof", "ps", "ss", "last"):
        machine.write(f"/usr/local/bin/{name}", "#!/bin/sh\n", 0o755)
    machine.run(
        "mkdir -p /var/log; : >/var/log/wtmp; : >/var/log/btmp; chmod 664 /var/log/wtmp; chmod 660 /var/log/btmp"
    )
    machine.run("chown 0:utmp /var/log/wtmp /var/log/btmp", check=True)
    # AIDE itself would read the whole disk; only its schedule is ours.
    machine.write("/usr/local/bin/aide", "#!/bin/sh\n", 0o755)
    machine.run("mkdir -p /etc/aide /var/lib/aide /var/log/aide; echo db >/var/lib/aide/aide.db", check=True)
    machine.write("/etc/aide/aide.conf", "@@define DB /var/lib/aide\ndatabase_in=file:@@{DB}/aide.db\n")
    machine.write("/etc/cron.d/local-aide", "1 1 * * * root aide --check\n")
    modules(machine)
    machine.run("printf 'install %s /bin/false\\n' cramfs sctp usb_storage >/etc/modprobe.d/local.conf", check=True)
    network(machine)
    machine.run("mkdir -p /run/sshd && /etc/init.d/ssh start && update-rc.d ssh defaults", check=True)


def modules(machine: OverlayMachine) -> None:
    """Give the running kernel a module folder, for the real modprobe; the modules themselves are empty object files."""
    machine.run(
        "m=/lib/modules/$(uname -r); rm -rf $m; mkdir -p $m/kernel /etc/modprobe.d; rm -f /etc/modprobe.d/*;"
        " : >$m/modules.order; : >$m/modules.builtin; echo kernel/fs/builtin_fs.ko >>$m/modules.builtin; cd $m/kernel",
        check=True,
    )
    for name in MODULES:
        machine.run(f"python3 - /lib/modules/$(uname -r)/kernel/{name}.ko", stdin=EMPTY_MODULE, check=True)
    machine.run("depmod -a", check=True)


EMPTY_MODULE: Final = """
import struct, sys
names = b"\\0.shstrtab\\0.modinfo\\0"
info = b"license=GPL\\0"
header = struct.pack("<16sHHIQQQIHHHHHH", b"\\x7fELF\\x02\\x01\\x01", 1, 62, 1, 0, 0, 64 + 64, 0, 64, 0, 0, 64, 3, 1)
body = names.ljust(32, b"\\0") + info.ljust(32, b"\\0")
sections = bytes(64)
sections += struct.pack("<IIQQQQIIQQ", 1, 3, 0, 0, 64, len(names), 0, 0, 1, 0)
sections += struct.pack("<IIQQQQIIQQ", 11, 1, 2, 0, 96, len(info), 0, 0, 1, 0)
open(sys.argv[1], "wb").write(header + body + sections)
"""


def network(machine: OverlayMachine) -> None:
    """One interface beside lo, strict everywhere, nothing passed on."""
    machine.run(
        "ip netns add far 2>/dev/null; ip link show lan0 >/dev/null 2>&1 ||"
        " { ip link add lan0 type veth peer name lan1 && ip link set lan1 netns far; };"
        " ip link set lan0 up; echo 0 >/proc/sys/net/ipv4/ip_forward;"
        " echo 0 >/proc/sys/net/ipv6/conf/all/forwarding; rm -f /etc/sysctl.d/* /etc/sysctl.conf /usr/lib/sysctl.d/*;"
        " for d in /proc/sys/net/ipv4/conf/*; do for k in accept_redirects send_redirects accept_source_route; do"
        " echo 0 >$d/$k; done; echo 1 >$d/rp_filter; done;"
        " for d in /proc/sys/net/ipv6/conf/*; do echo 0 >$d/accept_redirects; echo 0 >$d/accept_source_route; done;"
        " cd /proc/sys/net/ipv4; echo 1 >icmp_echo_ignore_broadcasts; echo 1 >icmp_ignore_bogus_error_responses;"
        " echo 1 >tcp_syncookies",
    )


@dataclass(frozen=True, slots=True)
class Drift:
    """A way to spoil a machine that one runbook mends, and how what it spoilt is brought back after the test."""

    runbook_id: str
    plant: str
    name: str = "plain"
    clean: str = "true"

    def __str__(self) -> str:
        return f"{self.runbook_id} {self.name}"


STOP_SSHD: Final = "kill $(cat /run/sshd.pid); sleep 0.3; rm -f /run/sshd.pid"
DRIFTS: Final = [
    Drift("LIN-SVC-001", STOP_SSHD, "stopped", "/etc/init.d/ssh start"),
    Drift("LIN-SVC-001", "update-rc.d ssh disable", "not started at boot", "update-rc.d ssh enable"),
    Drift("LIN-SVC-002", "/etc/init.d/auditd stop", "stopped", "/etc/init.d/auditd start"),
    Drift("LIN-SVC-002", "update-rc.d auditd disable", "not started at boot", "update-rc.d auditd enable"),
    Drift(
        "LIN-SVC-004",
        "printf '#x\\ntelnet stream tcp nowait root /usr/sbin/tcpd in.telnetd\\n' >/etc/inetd.conf",
        "inetd",
    ),
    Drift(
        "LIN-SVC-004",
        "mkdir -p /etc/xinetd.d; printf 'service telnet\\n{\\n\\tserver = /usr/sbin/in.telnetd\\n\\tdisable = no\\n}' "
        ">/etc/xinetd.d/telnet; chmod 640 /etc/xinetd.d/telnet",
        "xinetd, a file without a last line end",
    ),
    Drift("LIN-SVC-004", "echo '23 stream tcp nowait root /bin/busybox busybox login' >>/etc/inetd.conf", "by number"),
    Drift("LIN-LOG-001", "sed -i 's/rotate 13/rotate 4/' /etc/logrotate.d/rsyslog", "four weeks"),
    Drift("LIN-LOG-001", "sed -i '/rotate 13/d' /etc/logrotate.d/rsyslog", "by the system's default"),
    Drift("LIN-LOG-001", "sed -i 's/missingok/maxage 30/' /etc/logrotate.d/rsyslog", "maxage"),
    Drift("LIN-LOG-001", "sed -i '1i maxage 20' /etc/logrotate.conf", "maxage of the system"),
    Drift("LIN-IR-001", "rm /var/log/btmp", "no record of failed logins"),
    Drift("LIN-IR-001", "chmod 0666 /var/log/wtmp; chmod 0644 /var/log/btmp", "open"),
    Drift(
        "LIN-INTEGRITY-001", "rm /etc/cron.d/local-aide; touch -d '60 days ago' /var/lib/aide/aide.db", "no schedule"
    ),
    Drift("LIN-INTEGRITY-001", "sed -i 's/^/#/' /etc/cron.d/local-aide", "a schedule that is a comment"),
    Drift("LIN-NET-001", "echo 1 >/proc/sys/net/ipv4/conf/lan0/accept_redirects", "one interface"),
    Drift(
        "LIN-NET-001", "for k in all default lan0; do echo 1 >/proc/sys/net/ipv4/conf/$k/send_redirects; done", "send"
    ),
    Drift("LIN-NET-001", "echo 1 >/proc/sys/net/ipv4/ip_forward", "forwarding for nothing"),
    Drift(
        "LIN-NET-001",
        "cd /proc/sys/net/ipv4; for k in all default lan0; do echo 0 >conf/$k/rp_filter; done; echo 0 >tcp_syncookies",
        "paths and floods",
    ),
]
FOLDERS: Final = ("/etc", "/home", "/var/log", "/var/lib/aide")
# What the kernel holds of its own accord, init scripts' pid files aside.
KERNEL: Final = (
    "cd /proc/sys/net; grep -H . ipv[46]/conf/*/* ipv4/ip_forward ipv4/icmp_* ipv4/tcp_syncookies 2>/dev/null |"
    " grep -v -e stable_secret -e temp_"
)
FORWARD_RULE: Final = """table ip f {
\tchain forward {
\t\ttype filter hook forward priority filter; policy drop;
\t\tiifname "lan0" accept
\t}
}
"""
FIREWALLD: Final = """table inet firewalld {
\tchain filter_FORWARD {
\t\ttype filter hook forward priority filter + 10; policy accept;
\t\tct state { established, related } accept
\t\tct status dnat accept
\t\tiifname "lo" accept
\t\tjump filter_FORWARD_POLICIES
\t\treject with icmpx admin-prohibited
\t}
}
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverlayMachine]:
    with overlay_machine(tmp_path_factory.mktemp("overlay")) as running:
        prepare(running)
        yield running


@pytest.fixture
def spoiled(machine: OverlayMachine, request: pytest.FixtureRequest) -> Iterator[tuple[OverlayMachine, Drift]]:
    """A machine with one drift planted, and clean again afterwards."""
    drift: Drift = request.param
    machine.run("rm -rf /run/kept && mkdir /run/kept && cp -a /etc /var/log /var/lib/aide /run/kept/", check=True)
    machine.run(drift.plant, check=True)
    yield machine, drift
    machine.run("find /etc -mindepth 1 -delete; cp -a /run/kept/etc/. /etc/", check=True)
    machine.run(
        "rm -rf /var/log /var/lib/aide; cp -a /run/kept/log /var/log; cp -a /run/kept/aide /var/lib/aide", check=True
    )
    machine.run(f"rm -rf /var/lib/compliance-agent; {drift.clean}")
    network(machine)


def state(machine: OverlayMachine) -> str:
    """Return the files and the kernel's settings, and which of the services run."""
    services = "for s in ssh auditd; do /etc/init.d/$s status >/dev/null && echo $s; done; true"
    return files(machine, *FOLDERS) + machine.run(f"{KERNEL}; {services}").stdout


@pytest.mark.parametrize("runbook_id", sorted({drift.runbook_id for drift in DRIFTS}))
def test_the_machine_passes_before_anything_is_planted(machine: OverlayMachine, runbook_id: str) -> None:
    judgement, _ = look(machine, runbook_id)
    assert judgement.verdict == "pass", judgement.reason


@pytest.mark.parametrize("spoiled", DRIFTS, ids=str, indirect=True)
def test_drift_is_healed_once_and_undone_byte_for_byte(spoiled: tuple[OverlayMachine, Drift]) -> None:
    machine, drift = spoiled
    before = state(machine)
    assert look(machine, drift.runbook_id)[0].verdict == "fail"
    assert look(machine, drift.runbook_id)[1] == ""
    assert state(machine) == before

    assert change(machine, drift.runbook_id, "remediate", "attempt-1") == ""
    judgement, _ = look(machine, drift.runbook_id)
    assert judgement.verdict == "pass", judgement.reason
    healed = state(machine)
    assert healed != before

    assert change(machine, drift.runbook_id, "remediate", "attempt-2") == ""
    assert state(machine) == healed

    assert change(machine, drift.runbook_id, "rollback", "attempt-1") == ""
    assert state(machine) == before
    assert change(machine, drift.runbook_id, "rollback", "attempt-1") == ""
    assert state(machine) == before


# ---- kernel modules: whether a kernel loads modules at all is not ours to choose, so the facts are looked at


def test_modules_that_modprobe_would_load_are_blocked_and_let_go_again(machine: OverlayMachine) -> None:
    machine.run(
        "mv /etc/modprobe.d/local.conf /run/local.conf; echo 'blacklist sctp' >/etc/modprobe.d/b.conf", check=True
    )
    before = files(machine, "/etc/modprobe.d")
    try:
        judgement, _ = look(machine, "LIN-KERN-002")
        assert judgement.facts["open"] == ["cramfs", "sctp", "usb_storage"]
        assert change(machine, "LIN-KERN-002", "remediate", "attempt-1") == ""
        judgement, _ = look(machine, "LIN-KERN-002")
        assert (judgement.verdict, judgement.facts["open"]) == ("pass", [])
        assert machine.run("modprobe -n -v usb-storage").stdout.strip() == "install /bin/false"
        healed = files(machine, "/etc/modprobe.d")
        assert change(machine, "LIN-KERN-002", "remediate", "attempt-2") == ""
        assert files(machine, "/etc/modprobe.d") == healed
        assert change(machine, "LIN-KERN-002", "rollback", "attempt-1") == ""
        assert files(machine, "/etc/modprobe.d") == before
    finally:
        machine.run("rm -f /etc/modprobe.d/*; mv /run/local.conf /etc/modprobe.d/", check=True)


def test_a_module_that_is_part_of_the_kernel_cannot_be_blocked_and_is_said_to_be(machine: OverlayMachine) -> None:
    judgement, guard = look(machine, "LIN-KERN-002", modules="builtin_fs cramfs")
    assert (judgement.verdict, judgement.facts["builtin"]) == ("fail", ["builtin_fs"])
    assert "part of this kernel" in guard


# ---- forwarding is never taken from a machine that is there to forward


@pytest.mark.parametrize(
    ("plant", "reason", "clean"),
    [
        ("ip link add br0 type bridge", "interface br0 (bridge)", "ip link del br0"),
        (
            "mkdir -p /dev/net; mknod /dev/net/tun c 10 200; ip tuntap add vpn0 mode tun",
            "interface vpn0 (tun)",
            "ip tuntap del vpn0 mode tun",
        ),
        (
            "cp /bin/sleep /usr/local/sbin/dockerd; setsid /usr/local/sbin/dockerd 300 >/dev/null 2>&1 </dev/null &",
            "program dockerd",
            "kill -9 $(grep -lx dockerd /proc/[0-9]*/comm | cut -d/ -f3); rm /usr/local/sbin/dockerd",
        ),
        (
            "printf '#!/bin/sh\\n' >/usr/local/sbin/wg-quick; chmod 755 /usr/local/sbin/wg-quick",
            "installed wg-quick",
            "rm /usr/local/sbin/wg-quick",
        ),
        (
            (
                f"cat >/run/rules <<'EOF'\n{FORWARD_RULE}EOF\n"
                "printf '#!/bin/sh\\ncat /run/rules\\n' >/usr/local/sbin/nft; chmod 755 /usr/local/sbin/nft"
            ),
            "firewall nft",
            "rm /usr/local/sbin/nft",
        ),
    ],
    ids=["bridge", "tunnel", "docker", "wireguard tools", "a forwarding rule"],
)
def test_forwarding_stays_where_there_is_a_reason_for_it(
    machine: OverlayMachine, plant: str, reason: str, clean: str
) -> None:
    machine.run(plant, check=True)
    machine.run("sleep 0.3; echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv4/conf/lan0/send_redirects")
    try:
        judgement, _ = look(machine, "LIN-NET-001")
        assert reason in str(judgement.facts["forwards_for"])
        assert (judgement.verdict, judgement.facts["weak"]) == ("fail", ["net/ipv4/conf/lan0/send_redirects=1"])
        assert change(machine, "LIN-NET-001", "remediate", "attempt-1") == ""
        judgement, _ = look(machine, "LIN-NET-001")
        assert judgement.verdict == "pass", judgement.reason
        assert machine.run("cat /proc/sys/net/ipv4/ip_forward").stdout == "1\n"
    finally:
        machine.run(f"{clean}; rm -rf /var/lib/compliance-agent")
        network(machine)


def test_rules_that_every_firewalld_has_are_no_reason_to_forward(machine: OverlayMachine) -> None:
    machine.write("/run/rules", FIREWALLD)
    machine.write("/usr/local/sbin/nft", "#!/bin/sh\ncat /run/rules\n", 0o755)
    machine.run("echo 1 >/proc/sys/net/ipv4/ip_forward", check=True)
    try:
        judgement, guard = look(machine, "LIN-NET-001")
        assert (judgement.verdict, judgement.facts["forwards_for"], guard) == ("fail", [], "")
    finally:
        machine.run("rm /usr/local/sbin/nft")
        network(machine)


# ---- by the command line, over the real SSH server, as root and by sudo


@pytest.mark.parametrize(
    ("login", "become"), [("user: root", "none"), ("user: operator", "sudo")], ids=["root", "sudo"]
)
def test_drift_is_healed_over_ssh_and_undone(tmp_path, machine: OverlayMachine, login: str, become: str) -> None:
    chosen = {
        "LIN-SVC-002": "/etc/init.d/auditd stop",
        "LIN-SVC-004": "echo 'telnet stream tcp nowait root /usr/sbin/in.telnetd in.telnetd' >/etc/inetd.conf",
        "LIN-LOG-001": "sed -i 's/rotate 13/rotate 4/' /etc/logrotate.d/rsyslog",
        "LIN-IR-001": "chmod 0666 /var/log/wtmp",
        "LIN-INTEGRITY-001": "rm /etc/cron.d/local-aide",
        "LIN-NET-001": "echo 1 >/proc/sys/net/ipv4/conf/lan0/accept_redirects",
    }
    # Logins of the test itself write to the records of logins.
    looked_at = "/etc /var/lib/aide"
    machine.run("rm -rf /run/kept && mkdir /run/kept && cp -a /etc /run/kept/", check=True)
    site = Site(tmp_path, machine, checks=json.dumps(sorted(chosen)), login=login, become=become)
    site.extra = "runbooks: {}"
    site.write()
    try:
        for plant in chosen.values():
            machine.run(plant, check=True)
        before = files(machine, *looked_at.split()) + machine.run(KERNEL).stdout
        planned, code = site.json("plan")
        assert (outcomes(planned), code) == (dict.fromkeys(chosen, "would_change"), 2)
        healed, code = site.json("apply", "--yes")
        assert (outcomes(healed), code) == (dict.fromkeys(chosen, "remediated"), 0)
        again, code = site.json("apply", "--yes")
        assert (outcomes(again), verdicts(again), code) == ({}, dict.fromkeys(chosen, "pass"), 0)
        for check in healed["targets"][0]["checks"]:
            done = site("undo", check["attempt"], "--reason", "the auditor asked", "--yes")
            assert done.returncode == 0, done.stderr
        assert files(machine, *looked_at.split()) + machine.run(KERNEL).stdout == before
        assert machine.run("stat -c %a /var/log/wtmp").stdout == "666\n"
    finally:
        machine.run("find /etc -mindepth 1 -delete; cp -a /run/kept/etc/. /etc/; chmod 664 /var/log/wtmp")
        machine.run("/etc/init.d/auditd start; rm -rf /var/lib/compliance-agent")
        network(machine)

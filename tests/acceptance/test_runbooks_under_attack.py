"""What a local user, or an odd but real configuration, does to the checks: nothing runs for them, nothing passes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.content import run_steps, shipped
from tests.support.overlay import overlay_machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compliance_agent.domain.bundle import StepResult
    from compliance_agent.domain.catalogue import CompiledRunbook
    from tests.support.overlay import OverlayMachine

pytestmark = pytest.mark.root

CATALOGUE: Final = shipped()
SSHD: Final = "HostKey /etc/ssh/ssh_host_ed25519_key\nUsePAM no\n"
GUEST: Final = "setpriv --reuid 2003 --regid 2003 --clear-groups"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OverlayMachine]:
    with overlay_machine(tmp_path_factory.mktemp("overlay")) as started:
        yield started


@pytest.fixture
def machine(running: OverlayMachine) -> Iterator[OverlayMachine]:
    """The machine, and all of its files and processes as they were afterwards."""
    running.run(
        "rm -rf /run/kept && mkdir /run/kept && cp -a /etc /run/kept/ && ls /usr/local/sbin >/run/sbin", check=True
    )
    yield running
    running.run("for id in $(cat /run/started 2>/dev/null); do kill -9 $id; done; rm -rf /run/started /run/systemd")
    running.run("find /etc -mindepth 1 -delete; cp -a /run/kept/etc/. /etc/", check=True)
    running.run(
        "cd /usr/local/sbin && ls | grep -vxF -f /run/sbin | xargs -r rm -f --; rm -f /usr/sbin/ufw /root/owned"
    )
    running.run("rm -rf /var/lib/compliance-agent /home/guest/* /srv/attack /srv/victim /srv/helper /srv/plain")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check concluded."""

    verdict: str
    reason: str
    guard: str
    facts: dict[str, object]


def get(runbook_id: str) -> CompiledRunbook:
    compiled = CATALOGUE.get(runbook_id)
    assert compiled is not None
    return compiled


def look(machine: OverlayMachine, runbook_id: str, *, login_user: str = "operator", **given: object) -> Seen:
    compiled = get(runbook_id)
    parameters = compiled.parameters(given)
    results = execute(machine, [CATALOGUE.host_step(), *compiled.detect_steps(parameters)])
    host = replace(CATALOGUE.host_facts(results["@host"]), container=False, login_user=login_user)
    judgement = compiled.judge(results, parameters, host)
    guard = compiled.guard_reason(judgement.facts, parameters, host) if judgement.verdict == "fail" else ""
    return Seen(str(judgement.verdict), judgement.reason, guard, dict(judgement.facts))


def execute(machine: OverlayMachine, steps: list[object], **how: bool) -> dict[str, StepResult]:
    return run_steps(steps, lambda script: machine.run("exec /bin/sh -s", stdin=script).stdout.encode(), **how)  # type: ignore[arg-type] # bundle steps


def change(machine: OverlayMachine, runbook_id: str, phase: str, attempt_id: str, **given: object) -> str:
    """Run a phase; return what went wrong, empty when nothing did."""
    compiled = get(runbook_id)
    build = {"remediate": compiled.remediate_steps, "rollback": compiled.rollback_steps}[phase]
    results = execute(machine, list(build(compiled.parameters(given), attempt_id=attempt_id)), stop_on_failure=True)
    return " ".join(result.trouble() for result in results.values()).strip()


def start(machine: OverlayMachine, command: str, *, as_guest: bool = True) -> None:
    """Start a program that goes on, under another name when the command says so."""
    user = GUEST if as_guest else ""
    machine.run(f"setsid {user} {command} </dev/null >/dev/null 2>&1 & echo $! >>/run/started; sleep 0.3", check=True)


def configure(machine: OverlayMachine, text: str) -> None:
    machine.write("/etc/ssh/sshd_config", SSHD + text, 0o600)


@pytest.mark.parametrize("user", ["", GUEST], ids=["root", "an ordinary user"])
def test_a_fresh_machine_without_an_ssh_server_gives_no_error(machine: OverlayMachine, user: str) -> None:
    machine.run("rm -rf /etc/ssh", check=True)
    for compiled in CATALOGUE:
        parameters = compiled.parameters({})
        if user and compiled.runbook.detect.privilege == "root":
            continue
        steps = [CATALOGUE.host_step(), *compiled.detect_steps(parameters)]
        results = run_steps(steps, lambda script: machine.run(f"exec {user} /bin/sh -s", stdin=script).stdout.encode())
        host = replace(CATALOGUE.host_facts(results["@host"]), container=False)
        judgement = compiled.judge(results, parameters, host)
        assert judgement.verdict != "error", judgement.reason


# ---- processes that call themselves something


@pytest.mark.parametrize(
    ("plant", "as_guest"),
    [("cp /bin/sh", True), ("cp /bin/sh", False), ("ln -s /bin/sh", False)],
    ids=["a user's process", "a program of root's with a name in the user's folder", "a symbolic link to one"],
)
def test_nothing_that_a_local_user_names_is_run_as_root(machine: OverlayMachine, plant: str, as_guest: bool) -> None:
    """A process may call itself sshd, with any command line; one of a set-user-ID program even has root's user ids."""
    configure(machine, "PermitRootLogin yes\n")
    machine.write("/home/guest/evil", "#!/bin/sh\nid >>/root/owned\necho 'permitrootlogin no'\n", 0o755)
    machine.write("/home/guest/config", "PermitRootLogin no\n")
    machine.run(f"chmod 0755 /home/guest; {plant} /home/guest/sshd", check=True)
    fake = '/home/guest/sshd -c "sleep 600; :" x -f /home/guest/config'
    start(machine, f"bash -c 'exec -a /home/guest/evil {fake}'", as_guest=as_guest)
    assert machine.run("cat /proc/[0-9]*/comm | grep -c '^sshd$'").stdout == "1\n"
    seen = look(machine, "LIN-SSH-001")
    assert machine.run("cat /root/owned").stdout == ""
    assert (seen.verdict, seen.facts["value"], seen.facts["sshd"]) == ("fail", "yes", "idle")


def test_the_program_of_a_daemon_is_what_runs_not_what_its_command_line_says(machine: OverlayMachine) -> None:
    machine.run("mkdir -p /srv/attack", check=True)
    machine.write("/srv/attack/sshd", "#!/bin/sh\nid >>/root/owned\necho 'permitrootlogin no'\n", 0o755)
    configure(machine, "PermitRootLogin yes\nListenAddress 127.0.0.1:2299\n")
    start(machine, "bash -c 'exec -a /srv/attack/sshd /usr/sbin/sshd -D'", as_guest=False)
    seen = look(machine, "LIN-SSH-001")
    assert machine.run("cat /root/owned").stdout == ""
    assert (seen.verdict, seen.facts["value"], seen.facts["sshd"]) == ("fail", "yes", "running")


def test_a_running_daemons_own_configuration_is_read(machine: OverlayMachine) -> None:
    configure(machine, "PermitRootLogin no\n")
    machine.write("/etc/ssh/other", SSHD + "PermitRootLogin yes\nListenAddress 127.0.0.1:2299\n")
    start(machine, "/usr/sbin/sshd -D -f /etc/ssh/other", as_guest=False)
    seen = look(machine, "LIN-SSH-001")
    assert (seen.facts["sshd"], seen.facts["config"], seen.verdict) == ("running", "/etc/ssh/other", "fail")


@pytest.mark.parametrize("spoil", ["chown guest", "chmod 0646"])
def test_a_daemons_configuration_that_others_may_write_is_refused(machine: OverlayMachine, spoil: str) -> None:
    machine.write("/etc/ssh/other", SSHD + "PermitRootLogin no\nListenAddress 127.0.0.1:2299\n")
    start(machine, "/usr/sbin/sshd -D -f /etc/ssh/other", as_guest=False)
    machine.run(f"{spoil} /etc/ssh/other", check=True)
    seen = look(machine, "LIN-SSH-001")
    assert (seen.verdict, "others than root may write /etc/ssh/other" in seen.reason) == ("error", True)


@pytest.mark.parametrize(
    ("runbook_id", "name", "fact", "value"),
    [
        ("LIN-SVC-003", "rsyslogd", "kept_by", "none"),
        ("LIN-NTP-001", "chronyd", "daemon", "none"),
        ("LIN-FW-001", "firewalld", "firewalld", "off"),
    ],
)
def test_an_ordinary_users_process_is_no_daemon(
    machine: OverlayMachine, runbook_id: str, name: str, fact: str, value: str
) -> None:
    machine.write("/usr/local/sbin/firewall-cmd", "#!/bin/sh\necho public\n", 0o755)
    machine.run(f"chmod 0755 /home/guest; cp /bin/sleep /home/guest/{name}", check=True)
    start(machine, f"/home/guest/{name} 600")
    assert look(machine, runbook_id).facts[fact] == value
    start(machine, f"/home/guest/{name} 600", as_guest=False)
    assert look(machine, runbook_id).facts[fact] != value


# ---- the SSH server's configuration


@pytest.mark.parametrize(
    ("text", "value", "overrides"),
    [
        ("PermitRootLogin yes\nMatch Address 127.0.0.1,::1\n  PermitRootLogin no\n", "yes", 0),
        ("PermitRootLogin yes\nMatch User root\n  PermitRootLogin no\n", "yes", 0),
        ("PermitRootLogin yes\nMatch LocalPort 22\n  PermitRootLogin no\n", "yes", 0),
        ("PermitRootLogin no\nMatch Address 10.0.0.0/8\n  PermitRootLogin yes\n", "no", 1),
        ('PermitRootLogin no\nMatch\tAddress 10.0.0.0/8\n  "PermitRootLogin" yes\n', "no", 1),
        ("PermitRootLogin no\nMatch=Address 10.0.0.0/8\n  PermitRootLogin=yes\n", "no", 1),
        ("PermitRootLogin no\nInclude /etc/ssh/policy.conf\n", "no", 1),
        ('PermitRootLogin no\nInclude "policy.conf" # ours\n', "no", 1),
        ("PermitRootLogin no\nMatch Address 10.0.0.0/8\n  Include /etc/ssh/plain.conf\n", "no", 1),
        ("PermitRootLogin no\nMatch Address 10.0.0.0/8\n  Include /etc/ssh/nested.conf\n", "no", 1),
        ("PermitRootLogin no\nInclude /etc/ssh/harmless.conf\n", "no", 0),
        ("PermitRootLogin no\nInclude /etc/ssh/harmless.conf\nPermitRootLogin yes\n", "no", 0),
        ("PermitRootLogin no\nInclude /etc/ssh/none-of-it/*.conf\n", "no", 0),
    ],
)
def test_match_blocks_neither_hide_the_setting_nor_are_overlooked(
    machine: OverlayMachine, text: str, value: str, overrides: int
) -> None:
    machine.write("/etc/ssh/policy.conf", "Match Address 10.0.0.0/8\n  PermitRootLogin yes\n")
    machine.write("/etc/ssh/plain.conf", "PermitRootLogin yes\n")
    machine.write("/etc/ssh/nested.conf", "Match all\nInclude /etc/ssh/pl*.conf\n")
    machine.write("/etc/ssh/harmless.conf", "Match User guest\n  PermitRootLogin no\n")
    configure(machine, text)
    seen = look(machine, "LIN-SSH-001")
    assert (seen.facts["value"], seen.facts["match_overrides"]) == (value, overrides), seen
    assert seen.verdict == ("pass" if (value, overrides) == ("no", 0) else "fail")


def test_a_limit_that_a_match_block_keeps_for_root_alone_is_not_the_limit(machine: OverlayMachine) -> None:
    configure(machine, "MaxAuthTries 30\nMatch User root\n  MaxAuthTries 3\n")
    assert look(machine, "LIN-SSH-003").facts["number"] == 30


def test_an_include_that_cannot_be_followed_is_an_error_and_no_silence(machine: OverlayMachine) -> None:
    machine.write("/etc/ssh/a b.conf", "Match Address 10.0.0.0/8\n  PermitRootLogin yes\n")
    configure(machine, 'PermitRootLogin no\nInclude "/etc/ssh/a b.conf"\n')
    seen = look(machine, "LIN-SSH-001")
    assert (seen.verdict, "cannot follow Include" in seen.reason) == ("error", True)


def test_an_include_is_not_run_by_a_shell(machine: OverlayMachine) -> None:
    configure(machine, "PermitRootLogin no\nInclude /etc/ssh/$(id>/root/owned).conf\n")
    assert look(machine, "LIN-SSH-001").verdict == "error"
    assert machine.run("cat /root/owned").stdout == ""


def test_root_login_is_not_closed_where_no_other_login_was_seen_to_work(machine: OverlayMachine) -> None:
    configure(machine, "PermitRootLogin yes\n")
    assert "nobody's SSH login can be tested" in look(machine, "LIN-SSH-001", login_user="").guard
    assert look(machine, "LIN-SSH-001", login_user="operator").guard == ""


# ---- the firewall

NFT: Final = (
    "table {table} {{\n\tchain input {{\n"
    "\t\ttype filter hook input priority filter; policy {policy};\n{rules}\t}}\n}}\n"
)


def nft(machine: OverlayMachine, ruleset: str) -> object:
    machine.write("/run/ruleset", ruleset)
    machine.write("/usr/local/sbin/nft", '#!/bin/sh\n[ "$*" = "list ruleset" ] && cat /run/ruleset\n', 0o755)
    return look(machine, "LIN-FW-001").facts["ipv4"]


@pytest.mark.parametrize(
    ("table", "policy", "rule", "ipv4"),
    [
        ("inet f", "drop", "ct state established,related accept", "closed"),
        ("inet f", "drop", "tcp dport 22 ct state new accept", "closed"),
        ("inet f", "drop", "ct state new tcp dport 22 accept", "closed"),
        ("inet f", "drop", 'iifname "lo" accept', "closed"),
        ("inet f", "drop", "meta l4proto ipv6-icmp accept", "closed"),
        ("inet f", "drop", "meta nfproto ipv6 accept", "closed"),
        ("inet f", "accept", 'counter packets 1 bytes 2 log prefix "x" drop', "closed"),
        (
            "inet f",
            "accept",
            'log prefix "a b" level info flags all counter packets 0 bytes 0 reject with icmpx admin-prohibited',
            "closed",
        ),
        ("inet f", "accept", "meta nfproto ipv6 drop", "open"),
        ("inet f", "accept", "tcp dport 22 drop", "open"),
        ("arp f", "drop", "", "open"),
        ("bridge f", "drop", "", "open"),
        ("ip6 f", "drop", "", "open"),
        ("inet f", "drop", "meta nfproto ipv4 accept", "open"),
        ("inet f", "drop", 'iifname "*" accept', "open"),
        ("inet f", "drop", 'iifname != "lo" accept', "open"),
        ("inet f", "drop", "ip saddr 0.0.0.0/0 accept", "open"),
        ("inet f", "drop", "ct state { established, related, new, untracked } accept", "open"),
        ("inet f", "drop", "ct state new,established accept", "open"),
        ("inet f", "drop", "ct state vmap { established : accept, new : accept }", "open"),
        ("inet f", "drop", "ct state vmap { established : accept, invalid : drop }", "closed"),
        ("inet f", "drop", "counter packets 0 bytes 0 log accept", "open"),
        ("inet f", "drop", 'counter packets 0 bytes 0 accept comment "for now"', "open"),
        ("inet f", "drop", "meta l4proto { tcp, udp } accept", "open"),
    ],
)
def test_nft_rules_are_judged_by_what_they_let_in(
    machine: OverlayMachine, table: str, policy: str, rule: str, ipv4: str
) -> None:
    rules = f"\t\t{rule}\n" if rule else ""
    assert nft(machine, NFT.format(table=table, policy=policy, rules=rules)) == ipv4


def test_a_dormant_table_refuses_nothing(machine: OverlayMachine) -> None:
    ruleset = NFT.format(table="inet f", policy="drop", rules="")
    assert nft(machine, ruleset) == "closed"
    assert nft(machine, ruleset.replace("{\n", "{\n\tflags dormant\n", 1)) == "open"


@pytest.mark.parametrize(
    ("policy", "rule", "ipv4"),
    [
        ("DROP", "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "closed"),
        ("DROP", "-p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT", "closed"),
        ("DROP", "-p icmp -j ACCEPT", "closed"),
        ("ACCEPT", '-m comment --comment "all else" -j DROP', "closed"),
        ("ACCEPT", "-p tcp -j DROP", "open"),
        ("DROP", "-m conntrack --ctstate NEW,RELATED,ESTABLISHED -j ACCEPT", "open"),
        ("DROP", "-m state --state NEW -j ACCEPT", "open"),
        ("DROP", "-p tcp -m conntrack --ctstate NEW -j ACCEPT", "open"),
        ("DROP", "! -i lo -j ACCEPT", "open"),
    ],
)
def test_iptables_rules_are_judged_by_what_they_let_in(
    machine: OverlayMachine, policy: str, rule: str, ipv4: str
) -> None:
    machine.write("/run/ruleset", f"*filter\n:INPUT {policy} [0:0]\n:FORWARD ACCEPT [0:0]\n-A INPUT {rule}\nCOMMIT\n")
    tool = '#!/bin/sh\nif [ "$1" = -V ]; then echo "v1.8.9 (nf_tables)"; else cat /run/ruleset; fi\n'
    for name in ("iptables-save", "ip6tables-save"):
        machine.write(f"/usr/local/sbin/{name}", tool, 0o755)
    assert look(machine, "LIN-FW-001").facts["ipv4"] == ipv4


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        ("### tuple ### deny any any 0.0.0.0/0 any 10.0.0.0/8 in", True),
        ("### tuple ### reject tcp 22 0.0.0.0/0 any 0.0.0.0/0 in", True),
        ("### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in", False),
    ],
)
def test_ufw_is_not_switched_on_over_rules_that_refuse(machine: OverlayMachine, rule: str, refused: bool) -> None:
    machine.write("/usr/sbin/ufw", '#!/bin/sh\necho "$*" >>/run/ufw.calls\n', 0o755)
    machine.run("mkdir -p /etc/ufw; echo ENABLED=no >/etc/ufw/ufw.conf; rm -f /run/ufw.calls", check=True)
    machine.write("/etc/ufw/user.rules", f"*filter\n{rule}\nCOMMIT\n")
    assert ("ufw is off but holds rules" in look(machine, "LIN-FW-001").guard) is refused
    trouble = change(machine, "LIN-FW-001", "remediate", "attempt-1")
    assert ("ufw is off but holds rules" in trouble) is refused
    assert ("enable" in machine.run("cat /run/ufw.calls").stdout) is not refused


# Sockets of one kind each (1 stream, 2 datagram), kept open.
LISTEN: Final = """python3 -c "
import socket, time
kept = []
for kind, address, port in {where}:
    kept.append(socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, kind))
    kept[-1].bind((address, port))
    if kind == 1: kept[-1].listen()
time.sleep(600)" """


@pytest.mark.parametrize(
    ("where", "rules", "served"),
    [
        ("[(1, '0.0.0.0', 5432), (1, '::', 4433), (2, '0.0.0.0', 161)]", "", ["tcp 4433", "tcp 5432", "udp 161"]),
        ("[(1, '127.0.0.1', 5432), (1, '::1', 4433), (1, '::ffff:127.0.0.1', 81)]", "", []),
        ("[(2, '0.0.0.0', 68), (2, '0.0.0.0', 40000), (1, '0.0.0.0', 22)]", "", []),
        ("[(1, '0.0.0.0', 5432)]", "### tuple ### allow tcp 80,5432 0.0.0.0/0 any 10.0.0.0/8 in", []),
        ("[(1, '0.0.0.0', 5432)]", "### tuple ### allow any 5000:6000 0.0.0.0/0 any 0.0.0.0/0 in", []),
        ("[(1, '0.0.0.0', 5432)]", "### tuple ### allow udp 5432 0.0.0.0/0 any 0.0.0.0/0 in", ["tcp 5432"]),
    ],
    ids=["others", "the loopback", "clients, and SSH", "a list of ports", "a range", "another protocol"],
)
def test_a_firewall_is_not_closed_over_what_the_clinic_serves(
    machine: OverlayMachine, where: str, rules: str, served: list[str]
) -> None:
    configure(machine, "")
    machine.write("/usr/sbin/ufw", '#!/bin/sh\necho "$*" >>/run/ufw.calls\n', 0o755)
    machine.run("mkdir -p /etc/ufw; echo ENABLED=no >/etc/ufw/ufw.conf; rm -f /run/ufw.calls", check=True)
    machine.write("/etc/ufw/user.rules", f"*filter\n{rules}\nCOMMIT\n")
    start(machine, LISTEN.format(where=where), as_guest=False)
    seen = look(machine, "LIN-FW-001")
    assert sorted(seen.facts.get("served", [])) == served  # type: ignore[call-overload] # a list
    assert ("the firewall would cut off" in seen.guard) is bool(served)
    assert ("would cut off" in change(machine, "LIN-FW-001", "remediate", "attempt-1")) is bool(served)
    assert ("enable" in machine.run("cat /run/ufw.calls").stdout) is (not served)


# ---- audit

AUDITCTL: Final = "#!/bin/sh\ncase $1 in -s) echo 'enabled 1' ;; -l) cat /run/audit.listed ;; esac\n"
WATCHES: Final = "".join(
    f"-w {file} -p wa -k identity\n"
    for file in ("/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/security/opasswd")
)


@pytest.mark.parametrize(
    ("rules", "verdict"),
    [
        (WATCHES, "pass"),
        ("-a always,exit -S all -F dir=/etc -F perm=wa -F key=x\n", "pass"),
        (
            "".join(f"-a always,exit -F arch={arch} -S all -F dir=/etc -F perm=wa\n" for arch in ("b64", "b32")),
            "pass",
        ),
        ("-a never,exit -F auid=1000\n" + WATCHES, "pass"),
        ("-a always,exclude -F msgtype=CWD\n" + WATCHES, "pass"),
        ("-a never,task\n" + WATCHES, "fail"),
        ("-a never,exit -S all\n" + WATCHES, "fail"),
        ("-a never,exit -S all -F dir=/etc\n" + WATCHES, "fail"),
        ("-a always,exclude -F msgtype=SYSCALL\n" + WATCHES, "fail"),
        ("-a never,exclude -F msgtype=PATH\n" + WATCHES, "fail"),
        ("-a always,exit -F arch=b64 -S all -F dir=/etc -F perm=wa -F key=x\n", "fail"),
        ("-a always,exit -S open -F dir=/etc -F perm=wa -F key=x\n", "fail"),
        ("-a always,exit -S all -F dir=/etc -F perm=wa -F ppid=1 -F key=x\n", "fail"),
        ("-a always,exit -S all -F dir=/etc -F perm=wa -F euid=1000 -F key=x\n", "fail"),
        ("-a always,exit -S all -F dir=/etc -F perm=wa -C auid!=uid -F key=x\n", "fail"),
    ],
)
def test_audit_rules_count_when_they_record_every_write(machine: OverlayMachine, rules: str, verdict: str) -> None:
    machine.run("mkdir -p -m 0750 /etc/audit/rules.d", check=True)
    machine.write("/run/audit.listed", rules)
    machine.write("/usr/local/sbin/auditctl", AUDITCTL, 0o755)
    seen = look(machine, "LIN-AUDIT-001")
    assert seen.verdict == verdict, seen
    assert bool(seen.facts["silenced"]) == ("on purpose" in seen.guard)


# ---- patches, clock, banner


@pytest.mark.parametrize(("index", "verdict"), [("touch", "pass"), ("touch -d '30 days ago'", "fail"), (":", "fail")])
def test_an_installation_does_not_make_alpines_index_recent(machine: OverlayMachine, index: str, verdict: str) -> None:
    """What is installed without a look at the branch writes the list of packages, and no index."""
    machine.write("/usr/local/sbin/apk", "#!/bin/sh\nexit 0\n", 0o755)
    machine.run("mv /usr/lib/apt/apt-helper /usr/lib/apt/away; mkdir -p /lib/apk/db /var/cache/apk", check=True)
    machine.run(f"touch /lib/apk/db/installed; {index} /var/cache/apk/APKINDEX.x.tar.gz", check=True)
    try:
        seen = look(machine, "LIN-PATCH-001")
    finally:
        machine.run("mv /usr/lib/apt/away /usr/lib/apt/apt-helper; rm -rf /lib/apk /var/cache/apk", check=True)
    assert (seen.facts["manager"], seen.verdict) == ("apk", verdict)


def test_lists_of_other_archives_do_not_make_the_security_lists_recent(machine: OverlayMachine) -> None:
    lists = "/var/lib/apt/lists"
    security = f"{lists}/mirror.example_debian-security_dists_bookworm-security"
    machine.run(f"mkdir -p /run/apt && mv {lists} /run/apt/lists; mkdir -p {lists}/partial", check=True)
    try:
        machine.write(f"{security}_main_binary-amd64_Packages", "Package: bash\nArchitecture: amd64\nVersion: 1\n\n")
        machine.run(f"touch -d '200 days ago' {security}_InRelease", check=True)
        machine.write(f"{lists}/download.example_linux_debian_dists_bookworm_InRelease", "")
        machine.run("rm -f /var/lib/apt/periodic/update-success-stamp")
        assert look(machine, "LIN-PATCH-001").facts["age_days"] == 200
        machine.run(f"touch -d '2 days ago' {security}_InRelease", check=True)
        assert look(machine, "LIN-PATCH-001").facts["age_days"] == 2
    finally:
        machine.run(f"rm -rf {lists} && mv /run/apt/lists {lists}", check=True)


@pytest.mark.parametrize(("age_min", "synchronised"), [(60, True), (60 * 24 * 40, False)])
def test_an_old_stamp_of_timesyncd_does_not_say_that_the_clock_is_right(
    machine: OverlayMachine, age_min: int, synchronised: bool
) -> None:
    machine.run("cp /bin/sleep /home/guest/systemd-timesyncd; mkdir -p /run/systemd/timesync", check=True)
    machine.run(f"touch -d '{age_min} minutes ago' /run/systemd/timesync/synchronized", check=True)
    start(machine, "/home/guest/systemd-timesyncd 600", as_guest=False)
    assert look(machine, "LIN-NTP-001").facts["synchronised"] is synchronised


@pytest.mark.parametrize(
    ("text", "config", "verdict"),
    [
        ("Authorized use only", "Banner /etc/issue.net\n", "pass"),
        ("Authorized use only", "Banner /etc/ssh/nothing-here\n", "fail"),
        ("Authorized use only", "Banner /etc/hostname\n", "fail"),
        ("Authorized use only", "Banner /etc/issue.net\nMatch Address 10.0.0.0/8\n  Banner none\n", "fail"),
        ("Authorized use only. \\\\S", "Banner /etc/issue.net\n", "fail"),
        ("Authorized use only. \\\\o", "Banner /etc/issue.net\n", "fail"),
    ],
)
def test_a_banner_counts_when_people_get_to_see_it(
    machine: OverlayMachine, text: str, config: str, verdict: str
) -> None:
    machine.run(f"printf '{text}\\n' | tee /etc/issue >/etc/issue.net", check=True)
    configure(machine, config)
    assert look(machine, "LIN-BANNER-001").verdict == verdict


def test_a_warning_in_the_clinics_own_language_is_written_and_passes(machine: OverlayMachine) -> None:
    text = "Zugang nur für Befugte\nund nur im Dienst"
    assert look(machine, "LIN-BANNER-001", text=text).verdict == "fail"
    assert change(machine, "LIN-BANNER-001", "remediate", "attempt-1", text=text) == ""
    assert look(machine, "LIN-BANNER-001", text=text).verdict == "pass"


# ---- files: access lists, links, line ends

ACL: Final = """
import os, struct, sys
path, group = sys.argv[1], os.stat(sys.argv[1]).st_mode >> 3 & 7
entries = [(1, 6, 0xffffffff), (2, 4, 2003), (4, group, 0xffffffff), (0x10, 4, 0xffffffff), (0x20, 0, 0xffffffff)]
packed = b"".join(struct.pack("<HHI", kind, bits, who) for kind, bits, who in entries)
os.setxattr(path, "system.posix_acl_access", struct.pack("<I", 2) + packed)
"""
SHOW_ACL: Final = "import os, sys; print(os.getxattr(sys.argv[1], 'system.posix_acl_access').hex())"


def open_to_guest(machine: OverlayMachine, path: str) -> None:
    """Add an access list by which the guest may read the file (setfacl need not be there)."""
    machine.run(f"python3 - {path}", stdin=ACL, check=True)


@pytest.mark.parametrize(
    ("runbook_id", "path", "mode"),
    [("LIN-PERM-001", "/etc/shadow", "0640"), ("LIN-PERM-002", "/etc/ssh/sshd_config", "0600")],
)
def test_a_file_that_an_access_list_opens_does_not_pass(
    machine: OverlayMachine, runbook_id: str, path: str, mode: str
) -> None:
    machine.run(f"chmod {mode} {path}", check=True)
    assert look(machine, runbook_id).verdict == "pass"
    open_to_guest(machine, path)
    seen = look(machine, runbook_id)
    assert (seen.verdict, seen.facts["acl"], "getfacl" in seen.guard) == ("fail", True, True)


def test_an_access_list_outlives_the_remedy_and_its_undo(machine: OverlayMachine) -> None:
    configure(machine, "PermitRootLogin yes\n")
    open_to_guest(machine, "/etc/ssh/sshd_config")

    def shown() -> str:
        return machine.run("python3 - /etc/ssh/sshd_config", stdin=SHOW_ACL, check=True).stdout

    before = shown()
    assert change(machine, "LIN-SSH-001", "remediate", "attempt-1") == ""
    assert "permitrootlogin no" in machine.read("/etc/ssh/sshd_config")
    assert shown() == before
    assert change(machine, "LIN-SSH-001", "rollback", "attempt-1") == ""
    assert shown() == before


def test_a_file_with_a_second_name_is_left_alone(machine: OverlayMachine) -> None:
    machine.run("ln /etc/issue /etc/issue-too", check=True)
    assert "other names" in change(machine, "LIN-BANNER-001", "remediate", "attempt-1")
    assert "Debian" in machine.read("/etc/issue")


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n", "\n\n# the end"])
def test_undo_of_either_of_two_attempts_leaves_every_line_end(machine: OverlayMachine, end: str) -> None:
    configure(machine, f"PermitRootLogin yes\nMaxAuthTries 9{end}")
    before = machine.read("/etc/ssh/sshd_config")
    assert change(machine, "LIN-SSH-001", "remediate", "attempt-1") == ""
    assert change(machine, "LIN-SSH-003", "remediate", "attempt-2") == ""
    assert machine.read("/etc/ssh/sshd_config").endswith(f"MaxAuthTries 9{end}")
    assert change(machine, "LIN-SSH-001", "rollback", "attempt-1") == ""
    assert change(machine, "LIN-SSH-003", "rollback", "attempt-2") == ""
    assert machine.read("/etc/ssh/sshd_config") == before


# ---- kernel settings


@pytest.mark.parametrize(
    ("file", "line", "overridden"),
    [
        ("/etc/sysctl.conf", "kernel.kptr_restrict = 0", True),
        ("/etc/sysctl.conf", "-kernel/kptr_restrict=0", True),
        ("/etc/sysctl.conf", "#kernel.kptr_restrict = 0", False),
        ("/etc/sysctl.conf", "kernel.kptr_restrict = 2", False),
        ("/etc/sysctl.d/99-local.conf", "kernel.kptr_restrict = 0", False),
        ("/etc/sysctl.d/zzz-local.conf", "kernel.kptr_restrict = 0", True),
    ],
)
def test_a_file_that_would_win_over_ours_at_boot_is_seen(
    machine: OverlayMachine, file: str, line: str, overridden: bool
) -> None:
    machine.write(file, f"{line}\n")
    facts = look(machine, "LIN-KERN-001").facts["kptr_restrict"]
    assert isinstance(facts, dict)
    assert facts["overridden"] is overridden


# ---- special bits in temporary folders: everybody may write there, so every path may become another file

SWAP: Final = (
    "while :; do cp /bin/true /tmp/own/x; chmod 4755 /tmp/own/x; ln -sf {victim} /tmp/own/y;"
    " mv -f /tmp/own/y /tmp/own/x; rm -f /tmp/own/x; done"
)


@pytest.fixture
def clean_tmp(machine: OverlayMachine) -> Iterator[OverlayMachine]:
    yield machine
    machine.run("find /tmp /var/tmp -mindepth 1 -delete")


def mode(machine: OverlayMachine, path: str) -> str:
    return machine.run(f"stat -L -c '%a %U' {path}", check=True).stdout.strip()


def test_another_name_of_a_program_of_the_system_is_left_to_a_person(clean_tmp: OverlayMachine) -> None:
    machine = clean_tmp
    machine.run("cp /bin/true /srv/helper && chmod 4755 /srv/helper && ln /srv/helper /tmp/helper", check=True)
    seen = look(machine, "LIN-SUID-001")
    assert (seen.verdict, seen.facts["doubtful"]) == ("fail", ["/tmp/helper"])
    assert "could break a program of the system" in seen.guard
    assert "became something else" in change(machine, "LIN-SUID-001", "remediate", "attempt-1")
    assert mode(machine, "/srv/helper") == "4755 root"


def test_a_file_that_a_user_keeps_exchanging_never_makes_root_touch_another(clean_tmp: OverlayMachine) -> None:
    machine = clean_tmp
    machine.run(
        "cp /bin/true /srv/victim && chmod 4755 /srv/victim; mkdir /tmp/own && chown guest /tmp/own", check=True
    )
    start(machine, f"sh -c '{SWAP.format(victim='/srv/victim')}'")
    for number in range(10):
        change(machine, "LIN-SUID-001", "remediate", f"attempt-{number}")
        change(machine, "LIN-SUID-001", "rollback", f"attempt-{number}")
    assert mode(machine, "/srv/victim") == "4755 root"


@pytest.mark.parametrize(
    ("exchange", "trouble"),
    [
        ("ln -sf /srv/plain /tmp/tool", ""),
        ("rm /tmp/tool; cp /srv/plain /tmp/tool", "is something else now"),
        ("cp /srv/plain /tmp/tool", "is something else now"),
        ("chown guest /tmp/tool", "is something else now"),
        ("ln /tmp/tool /tmp/second", "is something else now"),
        ("rm /tmp/tool", ""),
    ],
)
def test_undo_gives_special_bits_to_the_very_same_file_alone(
    clean_tmp: OverlayMachine, exchange: str, trouble: str
) -> None:
    machine = clean_tmp
    machine.run("cp /bin/true /tmp/tool && chmod 4755 /tmp/tool; cp /bin/sh /srv/plain", check=True)
    assert change(machine, "LIN-SUID-001", "remediate", "attempt-1") == ""
    assert mode(machine, "/tmp/tool") == "755 root"
    machine.run(exchange, check=True)
    assert trouble in change(machine, "LIN-SUID-001", "rollback", "attempt-1")
    assert machine.run("find /tmp /srv/plain -perm /6000").stdout == ""


def test_undo_gives_no_special_bits_to_what_others_may_write(clean_tmp: OverlayMachine) -> None:
    machine = clean_tmp
    machine.run("cp /bin/true /tmp/tool && chmod 4777 /tmp/tool", check=True)
    assert change(machine, "LIN-SUID-001", "remediate", "attempt-1") == ""
    assert "others than its owner may write" in change(machine, "LIN-SUID-001", "rollback", "attempt-1")
    assert mode(machine, "/tmp/tool") == "777 root"


ODD: Final = "'x\n/srv/victim'"


def test_a_name_with_a_line_end_hides_nothing_and_steers_nothing(clean_tmp: OverlayMachine) -> None:
    machine = clean_tmp
    machine.run("cp /bin/true /srv/victim && chmod 4755 /srv/victim", check=True)
    machine.run(f"mkdir -p '/tmp/x\n/srv' && cp /bin/true /tmp/{ODD} && chmod 4755 /tmp/{ODD}", check=True)
    seen = look(machine, "LIN-SUID-001")
    assert (seen.verdict, seen.facts["count"], len(seen.facts["doubtful"])) == ("fail", 1, 1)  # type: ignore[arg-type] # a list
    assert "odd name" in seen.guard
    change(machine, "LIN-SUID-001", "remediate", "attempt-1")
    assert mode(machine, "/srv/victim") == "4755 root"


# ---- /etc


def test_what_lies_in_a_users_own_folder_is_left_to_a_person(machine: OverlayMachine) -> None:
    machine.run("mkdir /etc/own && touch /etc/own/x && chmod 0666 /etc/own/x && chown guest /etc/own", check=True)
    seen = look(machine, "LIN-PERM-003")
    assert (seen.verdict, seen.facts["doubtful"]) == ("fail", ["/etc/own/x"])
    assert "look at it by hand" in seen.guard
    assert "others than root may write in a folder above" in change(machine, "LIN-PERM-003", "remediate", "attempt-1")
    assert mode(machine, "/etc/own/x") == "666 root"


def test_a_file_in_a_folder_open_to_all_is_closed_after_the_folder_and_opened_before_it(
    machine: OverlayMachine,
) -> None:
    machine.run("mkdir -m 0777 /etc/app && touch /etc/app/x && chmod 0666 /etc/app/x", check=True)
    assert look(machine, "LIN-PERM-003").guard == ""
    assert change(machine, "LIN-PERM-003", "remediate", "attempt-1") == ""
    assert (mode(machine, "/etc/app"), mode(machine, "/etc/app/x")) == ("775 root", "664 root")
    assert change(machine, "LIN-PERM-003", "rollback", "attempt-1") == ""
    assert (mode(machine, "/etc/app"), mode(machine, "/etc/app/x")) == ("777 root", "666 root")


def test_undo_opens_nothing_that_a_user_could_have_put_there(machine: OverlayMachine) -> None:
    machine.run("mkdir /etc/app && touch /etc/app/x && chmod 0666 /etc/app/x", check=True)
    assert change(machine, "LIN-PERM-003", "remediate", "attempt-1") == ""
    machine.run("chmod 0777 /etc/app; rm /etc/app/x; cp /etc/shadow /etc/app/x; chmod 0600 /etc/app/x", check=True)
    assert "others than root may write in a folder above" in change(machine, "LIN-PERM-003", "rollback", "attempt-1")
    assert mode(machine, "/etc/app/x") == "600 root"


@pytest.mark.parametrize(
    ("prepare", "trusted"),
    [
        ("chmod 0755 /srv/plain", True),
        ("chgrp crew /srv/plain; chmod 0775 /srv/plain", True),  # Ubuntu's /var/log is the group's of its log daemon
        ("usermod -aG crew guest; chgrp crew /srv/plain; chmod 0775 /srv/plain", False),
        ("usermod -g crew guest; chgrp crew /srv/plain; chmod 0775 /srv/plain", False),
        ("chgrp guest /srv/plain; chmod 0775 /srv/plain", False),
        ("chgrp 54321 /srv/plain; chmod 0775 /srv/plain", False),
        ("usermod -aG root guest; chmod 0775 /srv/plain", False),
        ("python3 - /srv/plain", False),  # an access list that lets guest write
    ],
)
def test_a_folder_that_an_ordinary_user_may_write_is_not_roots_own(
    machine: OverlayMachine, prepare: str, trusted: bool
) -> None:
    writable = ACL.replace("(2, 4, 2003)", "(2, 6, 2003)").replace("(0x10, 4,", "(0x10, 6,")
    machine.run(f"rm -rf /srv/plain; mkdir -p /srv/plain; groupadd -r crew; {prepare}", stdin=writable, check=True)
    done = machine.run("/bin/sh -s", stdin=f"{CATALOGUE.library.detect}\nca_roots_path /srv/plain/x && echo yes\n")
    assert (done.stdout == "yes\n") is trusted, done.stderr


@pytest.mark.parametrize("name", ["a\nb", "c\td", "e f", "-g", "h'i\"j$(id)"])
def test_odd_names_in_etc_are_seen(machine: OverlayMachine, name: str) -> None:
    machine.run('touch -- "$(cat; echo x)"', stdin=f"/etc/{name}")
    machine.run("find /etc -maxdepth 1 -name '*x' -newer /run/sbin -exec chmod 0666 {} +", check=True)
    seen = look(machine, "LIN-PERM-003")
    assert (seen.verdict, seen.facts["count"]) == ("fail", 1)
    assert bool(seen.guard) is any(sign in name for sign in "\n\t")


def test_a_job_that_somebody_else_owns_does_not_become_roots(machine: OverlayMachine) -> None:
    machine.run("mkdir -p -m 0700 /etc/cron.d && echo x >/etc/cron.d/job && chown guest /etc/cron.d/job", check=True)
    seen = look(machine, "LIN-CRON-001")
    assert "look at what it does" in seen.guard
    assert seen.facts["foreign"] == ["/etc/cron.d/job"]


RULE: Final = "guest ALL=(ALL) NOPASSWD: /bin/sh\n"


@pytest.mark.parametrize(
    ("runbook_id", "path", "text", "file_mode"),
    [
        ("LIN-CRON-001", "/etc/cron.d/job", "* * * * * root id\n", 0o666),
        ("LIN-CRON-001", "/etc/cron.d/job", "* * * * * root id\n", 0o664),
        ("LIN-CRON-001", "/etc/crontab", "* * * * * root id\n", 0o666),
        ("LIN-PERM-003", "/etc/cron.d/job", "* * * * * root id\n", 0o666),
        ("LIN-PERM-003", "/etc/logrotate.d/app", "/var/log/x {\n}\n", 0o666),
        ("LIN-PERM-003", "/etc/sudoers.d/app", RULE, 0o666),
        ("LIN-PERM-004", "/etc/sudoers.d/app", RULE, 0o666),
        ("LIN-PERM-004", "/etc/sudoers.d/app", RULE, 0o664),
    ],
)
def test_what_its_reader_refuses_while_it_is_open_is_not_brought_into_force(
    machine: OverlayMachine, runbook_id: str, path: str, text: str, file_mode: int
) -> None:
    machine.run(f"mkdir -p {path.rpartition('/')[0]}; chmod 0755 {path.rpartition('/')[0]}", check=True)
    machine.write("/etc/sudoers", "root ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n", 0o440)
    machine.write(path, text, file_mode)
    machine.run(f"chmod {file_mode:o} {path}; chown root:guest {path}", check=True)
    seen = look(machine, runbook_id)
    assert (seen.verdict, path in [*seen.facts.get("suspect", []), *seen.facts.get("doubtful", [])]) == ("fail", True)  # type: ignore[misc] # lists
    assert seen.guard
    assert "would come into force" in change(machine, runbook_id, "remediate", "attempt-1")
    assert mode(machine, path) == f"{file_mode:o} root"


def test_a_job_that_is_put_there_after_the_look_does_not_become_roots(machine: OverlayMachine) -> None:
    machine.run("rm -rf /etc/cron*; mkdir /etc/cron.d; cd /etc; chown root:guest cron.d; chmod 0775 cron.d", check=True)
    assert look(machine, "LIN-CRON-001").guard == ""
    machine.run(f"{GUEST} sh -c 'umask 022; echo \"* * * * * root id\" >/etc/cron.d/job'", check=True)
    assert "somebody else than root owns" in change(machine, "LIN-CRON-001", "remediate", "attempt-1")
    assert mode(machine, "/etc/cron.d/job") == "644 guest"


# ---- sudo


@pytest.mark.parametrize(
    ("rules", "free"),
    [
        ("alice ALL=(ALL) NOPASSWD: ALL", ["alice"]),
        ("alice, bob ALL = (root) NOPASSWD:ALL", ["alice", "bob"]),
        ("%admin ALL=(ALL:ALL) NOPASSWD: /bin/ls, ALL", ["%admin"]),
        ("alice ALL=NOPASSWD: /bin/ls, PASSWD: ALL", []),
        ("alice ALL=(ALL) NOPASSWD: /usr/bin/apt", []),
        ("alice ALL=(ALL) NOPASSWD:SETENV: ALL", ["alice"]),
        ("alice ALL=(ALL) \\\n  NOPASSWD: ALL", ["alice"]),
        ("# alice ALL=(ALL) NOPASSWD: ALL", []),
        ("User_Alias OPS = alice, bob\nCmnd_Alias ANY = ALL\nOPS ALL=(ALL) NOPASSWD: ANY", ["alice", "bob"]),
        ("Defaults !authenticate", ["ALL"]),
        ("Defaults:alice !authenticate", ["alice"]),
        ("Defaults env_reset, !authenticate", ["ALL"]),
        ("#includedir /etc/sudoers.more", ["carol"]),
        ("operator ALL=(ALL) NOPASSWD: ALL", []),
    ],
)
def test_who_may_do_everything_without_a_password_is_found(
    machine: OverlayMachine, rules: str, free: list[str]
) -> None:
    machine.run("mkdir -p /etc/sudoers.more", check=True)
    machine.write("/etc/sudoers.more/carol", "carol ALL=(ALL) NOPASSWD: ALL\n", 0o440)
    machine.write("/etc/sudoers.more/old.bak", "mallory ALL=(ALL) NOPASSWD: ALL\n", 0o440)
    machine.write("/etc/sudoers", f"root ALL=(ALL:ALL) ALL\n{rules}\n", 0o440)
    seen = look(machine, "LIN-PERM-004", allowed="operator")
    assert (seen.facts["valid"], seen.facts["passwordless"]) == (True, free)
    assert (seen.verdict == "pass") is (free == [])


def test_broken_rules_of_sudo_are_left_to_a_person(machine: OverlayMachine) -> None:
    machine.write("/etc/sudoers", "root ALL=(ALL:ALL) ALL\nthis is no rule\n", 0o444)
    seen = look(machine, "LIN-PERM-004")
    assert (seen.facts["valid"], "visudo finds an error" in seen.guard) == (False, True)
    assert "visudo finds an error" in change(machine, "LIN-PERM-004", "remediate", "attempt-1")
    assert mode(machine, "/etc/sudoers") == "444 root"


# ---- the boot loader


@pytest.mark.parametrize(
    ("files", "password"),
    [
        ({"grub.cfg": 'set superusers="root"\npassword_pbkdf2 root grub.pbkdf2.sha512.10000.AB\n'}, True),
        ({"grub.cfg": "menuentry x {\n}\n"}, False),
        ({"grub.cfg": '# set superusers="root"\n# password_pbkdf2 root grub.pbkdf2.sha512.10000.AB\n'}, False),
        ({"grub.cfg": 'set superusers=""\npassword_pbkdf2 root grub.pbkdf2.sha512.10000.AB\n'}, False),
        ({"grub.cfg": '  set superusers="root"\n  password_pbkdf2 root ${GRUB2_PASSWORD}\n'}, False),
        (
            {
                "grub.cfg": '  set superusers="root"\n  password_pbkdf2 root ${GRUB2_PASSWORD}\n',
                "user.cfg": "GRUB2_PASSWORD=grub.pbkdf2.sha512.10000.AB\n",
            },
            True,
        ),
    ],
)
def test_a_boot_loader_password_counts_when_it_is_one(
    machine: OverlayMachine, files: dict[str, str], password: bool
) -> None:
    machine.run("mkdir -p /boot/grub2", check=True)
    try:
        for name, text in files.items():
            machine.write(f"/boot/grub2/{name}", text, 0o600)
        seen = look(machine, "LIN-BOOT-001")
    finally:
        machine.run("rm -rf /boot/grub2", check=True)
    assert (seen.facts["loader"], seen.facts["password"], seen.verdict == "pass") == ("grub", password, password)


# ---- passwords and keys

HASH: Final = "$6$salt$hash"
TODAY: Final = "$(($(date +%s) / 86400))"


@pytest.mark.parametrize(
    ("entry", "shell", "user_id", "fact"),
    [
        (f"{HASH}:{TODAY}:0:99999:7:::", "/bin/sh", 2001, "unaged"),
        (f"{HASH}:{TODAY}:0::7:::", "/bin/sh", 2001, "unaged"),
        (f"{HASH}:{TODAY}:0:300:3:::", "/bin/sh", 2001, "unaged"),
        (f"{HASH}:{TODAY}:0:300:7:::", "/bin/sh", 2001, ""),
        (f"{HASH}:$(({TODAY} - 360)):0:99999:7:::", "/bin/sh", 2001, "overdue"),
        (f"{HASH}::0:99999:7:::", "/bin/sh", 2001, "overdue"),
        (f"{HASH}:{TODAY}:0:99999:7:::", "/usr/sbin/nologin", 2001, "exempt"),
        (f"{HASH}:{TODAY}:0:99999:7:::", "/bin/sh", 500, "exempt"),
        (f"!{HASH}:{TODAY}:0:99999:7:::", "/bin/sh", 2001, ""),
        (f"*:{TODAY}:0:99999:7:::", "/bin/sh", 2001, ""),
    ],
)
def test_whose_password_has_to_grow_old(
    machine: OverlayMachine, entry: str, shell: str, user_id: int, fact: str
) -> None:
    machine.run(
        "grep -v '^clerk:' /etc/shadow >/etc/s && cat /etc/s >/etc/shadow && rm /etc/s;"
        f" echo 'service:x:{user_id}:100::/:{shell}' >>/etc/passwd",
        check=True,
    )
    machine.run(f"printf 'service:%s:' '{entry.split(':', maxsplit=1)[0]}' >>/etc/shadow", check=True)
    machine.run(f'echo "{":".join(entry.split(":")[1:])}" >>/etc/shadow', check=True)
    machine.write("/etc/login.defs", "PASS_MAX_DAYS 365\nPASS_WARN_AGE 7\n")
    seen = look(machine, "LIN-ACCT-002")
    named = [name for name in ("overdue", "unaged", "exempt") if "service" in seen.facts[name]]  # type: ignore[operator] # lists
    assert named[:1] == ([fact] if fact else [])
    before = machine.run("cat /etc/shadow").stdout
    assert change(machine, "LIN-ACCT-002", "remediate", "attempt-1") == ""
    assert (machine.run("cat /etc/shadow").stdout != before) is (fact == "unaged")


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        ("true", False),
        ("rm /etc/ssh/authorized_keys.d/clerk", True),
        ("sed -i 's/^/# /' /etc/ssh/authorized_keys.d/clerk", True),
        ("chmod 0666 /etc/ssh/authorized_keys.d/clerk", True),
        ("chown guest /etc/ssh/authorized_keys.d/clerk", True),
        ("sed -i 's/^/no-pty,environment=\"A=x y\" /' /etc/ssh/authorized_keys.d/clerk", False),
        ("sed -i 's/^/no-pty,command=\"x y\" /' /etc/ssh/authorized_keys.d/clerk", True),
        ("sed -i 's/^/from=\"192.0.2.9\" /' /etc/ssh/authorized_keys.d/clerk", True),
        ("sed -i 's/^/expiry-time=\"20200101\" /' /etc/ssh/authorized_keys.d/clerk", True),
        ("sed -i 's/^/cert-authority /' /etc/ssh/authorized_keys.d/clerk", True),
        ("sed -i 's/^[^ ]*/ssh-dss/' /etc/ssh/authorized_keys.d/clerk", True),
        ("chmod 0777 /etc/ssh/authorized_keys.d", True),
        ("chmod 0777 /etc/ssh/authorized_keys.d; sed -i '1iStrictModes no' /etc/ssh/sshd_config", False),
        ("printf 'Match User clerk\\n  PubkeyAuthentication no\\n' >>/etc/ssh/sshd_config", True),
        ("printf 'Match Group clerk\\n  AuthorizedKeysFile none\\n' >>/etc/ssh/sshd_config", True),
        ("printf 'Match User stranger\\n  PubkeyAuthentication no\\n' >>/etc/ssh/sshd_config", False),
        ("sed -i '/^clerk:/s/:$6/:!$6/' /etc/shadow; rm /etc/ssh/authorized_keys.d/clerk", False),
        ("sed -i '/^clerk:/s,/bin/sh,/usr/sbin/nologin,' /etc/passwd; rm /etc/ssh/authorized_keys.d/clerk", False),
    ],
)
def test_who_would_be_shut_out_without_passwords_is_named(machine: OverlayMachine, spoil: str, named: bool) -> None:
    machine.run(spoil, check=True)
    assert look(machine, "LIN-SSH-002").facts["password_only"] == (["clerk"] if named else [])


def test_the_agents_own_key_may_be_bound_to_its_address(machine: OverlayMachine) -> None:
    machine.run("sed -i 's/^/from=\"192.0.2.7\" /' /etc/ssh/authorized_keys.d/operator", check=True)
    machine.run("usermod -p \"$(sed -n 's/^clerk:\\([^:]*\\):.*/\\1/p' /etc/shadow)\" operator", check=True)
    compiled = get("LIN-SSH-002")
    steps = compiled.detect_steps(compiled.parameters({}))
    results = run_steps(steps, lambda text: machine.run(f"exec env {ADMITS} /bin/sh -s", stdin=text).stdout.encode())
    seen = "".join(result.stdout for result in results.values()).splitlines()
    assert ("agent_key=true" in seen, "password_only=operator" in seen) == (True, False)


@pytest.mark.parametrize("methods", ["keyboard-interactive", "publickey keyboard-interactive"])
def test_a_match_block_that_lets_in_by_password_alone_does_not_pass(machine: OverlayMachine, methods: str) -> None:
    text = "PasswordAuthentication no\nKbdInteractiveAuthentication yes\n"
    text += "AuthenticationMethods publickey,keyboard-interactive\n"
    configure(machine, text)
    assert look(machine, "LIN-SSH-002").verdict == "pass"
    configure(machine, f"{text}Match Address 10.0.0.0/8\n  AuthenticationMethods {methods}\n")
    assert look(machine, "LIN-SSH-002").verdict == "fail"


# ---- the way in: what a reload would bring into force

ADMITS: Final = "SSH_CONNECTION='192.0.2.7 50000 192.0.2.1 22' SUDO_USER=operator"


@pytest.mark.parametrize(
    ("text", "admitted"),
    [
        ("", True),
        ("AllowUsers operator\n", True),
        ("AllowUsers stranger oper*\n", True),
        ("AllowUsers operator@192.0.2.*\n", True),
        ("AllowUsers operator@198.51.100.*\n", False),
        ("AllowUsers stranger\n", False),
        ("DenyUsers oper*\n", False),
        ("AllowGroups operator\n", True),
        ("AllowGroups wheel\n", False),
        ("DenyGroups operator\n", False),
        ("PubkeyAuthentication no\nPasswordAuthentication no\n", False),
        ("Match Address 192.0.2.0/24\n  AllowUsers stranger\n", False),
        ("Match Address 198.51.100.0/24\n  AllowUsers stranger\n", True),
        ("this is no option\n", False),
    ],
)
def test_a_configuration_that_would_not_let_us_in_again_is_told(
    machine: OverlayMachine, text: str, admitted: bool
) -> None:
    configure(machine, f"KbdInteractiveAuthentication no\n{text}")
    library = CATALOGUE.library.detect + CATALOGUE.library.change
    done = machine.run(f"{ADMITS} /bin/sh -s", stdin=f"{library}\nca_sshd_find\nca_sshd_admits && echo yes\n")
    assert (done.stdout == "yes\n") is admitted, done.stderr


def test_the_last_algorithm_is_not_taken_away(machine: OverlayMachine) -> None:
    configure(machine, "MACs hmac-sha1\n")
    before = machine.read("/etc/ssh/sshd_config")
    assert "nothing would be left of macs" in change(machine, "LIN-CRYPTO-001", "remediate", "attempt-1")
    assert machine.read("/etc/ssh/sshd_config") == before


@pytest.mark.parametrize(("value", "overrides"), [("5m", 0), ("10m", 1), ("1h30m", 1), ("300", 0), ("0", 1)])
def test_a_time_in_a_match_block_is_understood(machine: OverlayMachine, value: str, overrides: int) -> None:
    configure(machine, f"ClientAliveInterval 300\nMatch User guest\n  ClientAliveInterval {value}\n")
    facts = look(machine, "LIN-SSH-004").facts["interval"]
    assert isinstance(facts, dict)
    assert (facts["number"], facts["match_overrides"]) == (300, overrides)

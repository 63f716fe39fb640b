"""A dry run writes nothing: proved from outside, by the kernel's record of every system call and by the file system."""

from __future__ import annotations

import hashlib
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.cli import Site, command, environment, outcomes
from tests.support.overlay import LOGIN_RECORDS, overlay_machine

if TYPE_CHECKING:
    from pathlib import Path

WRITES = re.compile(
    r"\b(?:open|openat|openat2|creat)\(.*(?:O_WRONLY|O_RDWR|O_CREAT|O_TRUNC|O_APPEND|O_TMPFILE)"
    r"|\b(?:mkdir|mkdirat|rmdir|unlink|unlinkat|rename|renameat|renameat2|link|linkat|symlink|symlinkat|mknod|mknodat"
    r"|truncate|ftruncate|chmod|fchmod|fchmodat|chown|lchown|fchown|fchownat|utime|utimes|utimensat|futimesat"
    r"|setxattr|lsetxattr|fsetxattr|removexattr|lremovexattr|fremovexattr|mount|umount2|pivot_root|sethostname"
    r"|settimeofday|clock_settime|adjtimex|init_module|finit_module|delete_module|reboot|swapon|swapoff)\("
)
HARMLESS = re.compile(
    r"/dev/(?:null|tty|pts/|full|zero)"
    r"|/proc/(?:self|thread-self|\d+)/(?:oom_score_adj|attr/|fd/)"
    r"|\badjtimex\(\{modes=0\b"  # reads the kernel's clock, as a time check does
)


def writing_calls(trace: str) -> list[str]:
    """Return the system calls of a trace that changed something, or tried to."""
    return [line for line in trace.splitlines() if WRITES.search(line) and not HARMLESS.search(line)]


def unmeasured(variables: dict[str, str]) -> dict[str, str]:
    """Without the variables by which coverage would follow into the process and write its own file."""
    return {name: value for name, value in variables.items() if not name.startswith("COV")}


def tree(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Every path below a folder with mode, modification time and digest."""
    found = {}
    for path in [folder, *sorted(folder.rglob("*"))]:
        status = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, digest)
    return found


@pytest.mark.needs("strace")
def test_no_process_of_a_local_dry_run_makes_a_system_call_that_writes(tmp_path):
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-qq", "-s", "200", "-e", "trace=%file,%desc,%clock,%process", "-o", str(trace)]
    done = subprocess.run(
        [*strace, *command("plan", "--local", "-o", "json")],
        capture_output=True,
        text=True,
        env=unmeasured(environment()),
        timeout=300,
        check=False,
    )
    assert done.returncode in {0, 2}, done.stderr
    text = trace.read_text(errors="replace")
    assert text.count("execve(") > 20, "the trace must hold the checks' own processes"
    assert writing_calls(text) == []


@pytest.mark.needs("strace")
def test_the_trace_would_have_shown_a_write(tmp_path):
    trace = tmp_path / "trace"
    script = f"echo x >{tmp_path}/a; mkdir {tmp_path}/b; rm {tmp_path}/a; chmod 700 {tmp_path}/b; : 2>/dev/null"
    subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=%file,%desc", "-o", str(trace), "/bin/sh", "-c", script], check=True
    )
    calls = "\n".join(writing_calls(trace.read_text()))
    assert all(name in calls for name in ("O_CREAT", "mkdir(", "unlink", "chmod"))


@pytest.fixture
def site(tmp_path):
    with overlay_machine(tmp_path) as machine:
        found = Site(tmp_path, machine, checks="['*']")
        found.write()
        yield found


@pytest.mark.root
def test_a_plan_over_ssh_leaves_no_trace_on_the_target_but_sshds_login_records(site):
    site("plan")  # logins before the mark make what the server makes once only
    site.machine.mark()
    document, code = site.json("plan")
    assert code == 2
    assert outcomes(document), "there must be something that would change"
    assert site.machine.changed_files() <= {*LOGIN_RECORDS, "/var/log", "/run"}


@pytest.mark.root
def test_an_apply_over_ssh_shows_in_the_same_place(site):
    """The proof above can fail: the same look at the file system sees what apply changed."""
    site.machine.mark()
    site("apply", "--yes")
    assert "/etc/issue" in site.machine.changed_files()


@pytest.mark.root
@pytest.mark.parametrize("name", ["plan", "scan", "status", "doctor"])
def test_the_store_stays_as_it_was(site, name):
    site("apply", "--yes")
    before = tree(site.state)
    site(name)
    assert tree(site.state) == before


@pytest.mark.root
def test_without_a_store_none_is_made(site):
    site("plan")
    site("status")
    assert not site.state.exists()


@pytest.mark.root
def test_a_dry_run_daemon_writes_nothing_anywhere(site):
    site("run", "--dry-run", "--once")
    site.machine.mark()
    done = site("run", "--dry-run", "--once")
    assert done.returncode == 2
    assert '"would_change"' in done.stderr
    assert site.machine.changed_files() <= {*LOGIN_RECORDS, "/var/log", "/run"}
    assert not site.state.exists()

"""The peers' side of the fleet benchmark, run by the Python of .venv-fleet: ``fleet_peer.py FOLDER NAME``.

Each runs our very bundle from fresh connections, 50 at once, and counts the targets whose every frame came back.
Prints JSON. Imports nothing of ours: that environment has another paramiko.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

FOLDER = Path(sys.argv[1])
WORK = json.loads((FOLDER / "work.json").read_text())
BUNDLE = (FOLDER / "bundle.sh").read_text()
KEY = str(FOLDER / "user_key")
KNOWN_HOSTS = str(FOLDER / "known_hosts")


def is_good(output: str) -> bool:
    """Tell whether every frame was closed with success."""
    closed = [line for line in output.splitlines() if line.startswith(f"F {WORK['nonce']}q E ")]
    return len(closed) == WORK["frames"] and all(line.endswith(" 0") for line in closed)


async def _asyncssh() -> int:
    import asyncssh  # noqa: PLC0415 - each peer pays for its own imports

    places = asyncio.Semaphore(WORK["at_once"])

    async def one(host: str) -> bool:
        async with (
            places,
            asyncssh.connect(
                host, username="root", client_keys=[KEY], known_hosts=KNOWN_HOSTS, config=None, agent_path=None
            ) as connection,
        ):
            done = await connection.run("/bin/sh -s", input=BUNDLE)
            return is_good(str(done.stdout))

    return sum(await asyncio.gather(*(one(host) for host in WORK["hosts"])))


def _parallel_ssh() -> int:
    from pssh.clients import ParallelSSHClient  # noqa: PLC0415 - as above

    client = ParallelSSHClient(
        WORK["hosts"], user="root", pkey=KEY, pool_size=WORK["at_once"], allow_agent=False, identity_auth=False
    )
    outputs = client.run_command("/bin/sh -s", use_pty=False)
    for output in outputs:
        output.stdin.write(BUNDLE)
        output.stdin.flush()
        output.client.eof(output.channel) if hasattr(output.client, "eof") else output.channel.send_eof()
    client.join(outputs)
    return sum(is_good("\n".join(output.stdout)) for output in outputs)


def _fabric() -> int:
    from fabric import Config, Connection  # noqa: PLC0415 - as above

    def one(host: str) -> bool:
        config = Config(overrides={"load_ssh_configs": False})
        kwargs = {"key_filename": KEY, "look_for_keys": False, "allow_agent": False}
        # By standard input Fabric would send a character every hundredth of a second.
        with Connection(host, user="root", config=config, connect_kwargs=kwargs) as connection:
            return is_good(connection.run(BUNDLE, hide=True, in_stream=False).stdout)

    with ThreadPoolExecutor(WORK["at_once"]) as pool:
        return sum(pool.map(one, WORK["hosts"]))


def _openssh() -> int:
    options = ["-F", "none", "-i", KEY, "-o", f"UserKnownHostsFile={KNOWN_HOSTS}", "-o", "StrictHostKeyChecking=yes"]
    options += ["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes"]

    def one(host: str) -> bool:
        command = ["ssh", *options, f"root@{host}", "/bin/sh -s"]
        done = subprocess.run(command, input=BUNDLE, capture_output=True, text=True, check=False)
        return is_good(done.stdout)

    with ThreadPoolExecutor(WORK["at_once"]) as pool:
        return sum(pool.map(one, WORK["hosts"]))


def _ansible(kind: str) -> int:
    python = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable
    lines = [
        f"{host} ansible_user=root ansible_ssh_private_key_file={KEY} ansible_python_interpreter={python}"
        for host in WORK["hosts"]
    ]
    (FOLDER / "inventory.ini").write_text("\n".join(lines) + "\n")
    module = {"shell": "ansible.builtin.shell", "raw": "ansible.builtin.raw"}
    if kind == "script":
        tasks: list[dict[str, Any]] = [
            {
                "ansible.builtin.script": {"cmd": f"{FOLDER}/bundle.sh", "executable": "/bin/sh"},
                "register": "said",
            }
        ]
        frames = "said.stdout_lines | select('match', 'F " + WORK["nonce"] + "q E .* 0$') | list | length"
        tasks.append({"ansible.builtin.assert": {"that": f"({frames}) == {WORK['frames']}", "quiet": True}})
    else:
        tasks = [{module[kind]: command} for command in WORK["commands"]]
    play = [{"hosts": "all", "gather_facts": False, "tasks": tasks}]
    (FOLDER / "play.yml").write_text(json.dumps(play))
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(FOLDER),
        "LC_ALL": "C.UTF-8",
        "ANSIBLE_FORKS": str(WORK["at_once"]),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.minimal",
        "ANSIBLE_SSH_ARGS": f"-F none -o ControlMaster=auto -o ControlPersist=60s -o IdentitiesOnly=yes "
        f"-o UserKnownHostsFile={KNOWN_HOSTS}",
        "ANSIBLE_HOST_KEY_CHECKING": "1",
        "ANSIBLE_LOCAL_TEMP": str(FOLDER / "ansible"),
    }
    command = [f"{Path(sys.executable).parent}/ansible-playbook", "-i", str(FOLDER / "inventory.ini"), "play.yml"]
    done = subprocess.run(command, cwd=FOLDER, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        print((done.stdout + done.stderr)[-2_000:], file=sys.stderr)
        return 0
    return len(WORK["hosts"])


def _pyinfra() -> int:
    data = {
        "ssh_user": "root",
        "ssh_key": KEY,
        "ssh_known_hosts_file": KNOWN_HOSTS,
        "ssh_strict_host_key_checking": "yes",
        "ssh_allow_agent": False,
        "ssh_look_for_keys": False,
    }
    hosts = [(host, data) for host in WORK["hosts"]]
    (FOLDER / "inventory.py").write_text(f"fleet = {hosts!r}\n")
    lines = ["from pyinfra.operations import server"]
    lines += [
        f"server.shell(name='check {number}', commands=[{command!r}])"
        for number, command in enumerate(WORK["commands"])
    ]
    (FOLDER / "deploy.py").write_text("\n".join(lines) + "\n")
    command = [f"{Path(sys.executable).parent}/pyinfra", "-y", "--parallel", str(WORK["at_once"])]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(FOLDER), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [*command, "inventory.py", "deploy.py"],
        cwd=FOLDER,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        print((done.stdout + done.stderr)[-2_000:], file=sys.stderr)
        return 0
    return len(WORK["hosts"])


def main() -> None:
    """Run the one that is named."""
    name = sys.argv[2]
    ways: dict[str, Any] = {
        "asyncssh": lambda: asyncio.run(_asyncssh()),
        "parallel-ssh": _parallel_ssh,
        "fabric": _fabric,
        "openssh": _openssh,
        "pyinfra": _pyinfra,
        "ansible-shell": lambda: _ansible("shell"),
        "ansible-raw": lambda: _ansible("raw"),
        "ansible-script": lambda: _ansible("script"),
    }
    print(json.dumps({"good": ways[name]()}), flush=True)


if __name__ == "__main__":
    main()

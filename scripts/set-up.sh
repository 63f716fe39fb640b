#!/bin/sh
# Sets .venv up from the locked requirements. Usage: scripts/set-up.sh runtime|dev|bench (bench goes on top of dev)
#
# What was set up is remembered by content (lock files, this checkout's path, the Python found), not
# by file times, and is written down last. So a second call returns at once, and a set-up that was
# interrupted, a moved checkout, a new lock or a new Python starts over from an empty .venv.
set -eu
cd "$(dirname "$0")/.."
wanted=$1
venv=.venv
python_oldest="3, 11"

say() { echo "set-up: $*"; }
fail() {
  echo "set-up: $*" >&2
  exit 1
}

find_python() {
  for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
    if "$name" -c "import sys; sys.exit(sys.version_info < ($python_oldest))" 2>/dev/null; then
      command -v "$name"
      return
    fi
  done
  fail "Python 3.11 or newer was not found (tried ${PYTHON:-python3, python3.14 ... python3.11}). Install it, or name it: make PYTHON=/path/to/python3"
}

quietly() { # COMMAND...: prints its output only when it fails
  log=$(mktemp)
  if "$@" >"$log" 2>&1 </dev/null; then
    rm -f "$log"
  else
    cat "$log" >&2
    rm -f "$log"
    fail "failed: $*"
  fi
}

# Debian and Ubuntu split ensurepip off Python. Root installs the package; anybody else unpacks the
# distribution's own pip into .venv, which needs no right to install anything.
make_venv() {
  say "virtual environment in $venv ($("$python" --version), $python)"
  rm -rf "$venv"
  if "$python" -c 'import ensurepip' 2>/dev/null; then
    quietly "$python" -m venv "$venv"
    return
  fi
  package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
  if ! command -v apt-get >/dev/null; then
    fail "$python has no ensurepip. Install the part of Python that makes virtual environments, then try again."
  elif [ "$(id -u)" = 0 ]; then
    scripts/system-packages.sh "$package"
    quietly "$python" -m venv "$venv"
  else
    quietly "$python" -m venv --without-pip "$venv"
    borrow_pip || fail "$python has no ensurepip, and pip could not be fetched without root. As root: apt-get update && apt-get install -y $package"
  fi
}

borrow_pip() {
  say "pip, unpacked from the distribution's package python3-pip-whl (no root needed)"
  nest=$PWD/$venv/pip-nest
  mkdir -p "$nest/lists/partial" "$nest/cache/archives/partial"
  (
    cd "$nest"
    options="-o Dir::State::lists=$nest/lists -o Dir::Cache=$nest/cache"
    # shellcheck disable=SC2086 # several words on purpose; a path with blanks falls to the message
    { apt-get download python3-pip-whl || { apt-get $options update && apt-get $options download python3-pip-whl; }; }
    dpkg-deb --extract python3-pip-whl_*.deb .
  ) >"$nest/log" 2>&1 </dev/null || {
    cat "$nest/log" >&2
    return 1
  }
  wheel=$(ls "$nest"/usr/share/python-wheels/pip-*.whl)
  quietly "$venv/bin/python" "$wheel/pip" install --no-index "$wheel"
  rm -rf "$nest"
}

# A lock names all that is needed, so nothing is resolved (--no-deps): pip's resolver looks past a pin for the
# newest release of what another package asks for with an extra, and then fails for want of its hash.
install_locked() { # runtime|dev|bench
  say "locked dependencies ($1)"
  quietly "$venv/bin/python" -m pip install --disable-pip-version-check --no-deps --require-hashes -r "requirements/$1.lock"
}

install_project() {
  say "this project (editable)"
  quietly "$venv/bin/python" -m pip install --disable-pip-version-check --no-build-isolation --no-deps --no-index --editable .
}

python=$(find_python)
base=$(printf '%s\n' "$PWD" "$("$python" -c 'import sys; print(sys.version, sys.base_prefix)')")
digest() { { echo "$base"; cat "$@"; } | sha256sum | cut -d' ' -f1; }
key_runtime=$(digest requirements/runtime.lock)
key_dev=$(digest requirements/runtime.lock requirements/dev.lock)
key_bench=$(digest requirements/runtime.lock requirements/bench.lock)
key_project=$(digest pyproject.toml)
stamp=$venv/set-up
holds() { [ "$(cat "$stamp.$1" 2>/dev/null)" = "$2" ]; }

if [ -e "$stamp.busy" ] || ! holds runtime "$key_runtime" || ! "$venv/bin/python" -c '' 2>/dev/null; then
  make_venv
  : > "$stamp.busy"
  first=$wanted
  [ "$wanted" != bench ] || first=dev
  install_locked "$first"
  [ "$first" = runtime ] || echo "$key_dev" > "$stamp.dev"
  echo "$key_runtime" > "$stamp.runtime"
  rm -f "$stamp.busy"
fi
if [ "$wanted" != runtime ] && ! holds dev "$key_dev"; then
  : > "$stamp.busy"
  install_locked dev
  echo "$key_dev" > "$stamp.dev"
  rm -f "$stamp.busy"
fi
if [ "$wanted" = bench ] && ! holds bench "$key_bench"; then
  : > "$stamp.busy"
  install_locked bench
  echo "$key_bench" > "$stamp.bench"
  rm -f "$stamp.busy"
fi
if ! holds project "$key_project"; then
  rm -f "$stamp.project"
  install_project
  echo "$key_project" > "$stamp.project"
fi
# The agent writes no byte code itself (a dry run writes nothing), so it is made here; it keeps starts quick.
"$venv/bin/python" -m compileall -q compliance_agent

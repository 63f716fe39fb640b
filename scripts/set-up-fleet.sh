#!/bin/sh
# Sets .venv-fleet up from requirements/fleet.lock: what benchmarks/fleet.py compares with. A second call returns at once.
set -eu
cd "$(dirname "$0")/.."
venv=.venv-fleet
key=$({ pwd; .venv/bin/python -VV; cat requirements/fleet.lock; } | sha256sum | cut -d' ' -f1)
[ "$(cat "$venv/set-up" 2>/dev/null)" != "$key" ] || exit 0
echo "set-up: the peers of bench-fleet in $venv"
rm -rf "$venv"
.venv/bin/python -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements/fleet.lock
echo "$key" >"$venv/set-up"

#!/bin/sh
# Re-locks requirements/*.lock. Usage: scripts/lock.sh [further pip-compile options, e.g. --upgrade]
#
# The locks name no index, host or file folder: whoever installs uses the index that their own pip
# is set up for, and the hashes say whether it served the right files.
set -eu
cd "$(dirname "$0")/.."

CUSTOM_COMPILE_COMMAND="make lock"
export CUSTOM_COMPILE_COMMAND

compile() {
  .venv/bin/python -m piptools compile --quiet --generate-hashes --strip-extras --allow-unsafe \
    --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options "$@"
}

compile "$@" --output-file requirements/runtime.lock requirements/build.in pyproject.toml
compile "$@" --constraint requirements/runtime.lock --extra central --extra dev \
  --output-file requirements/dev.lock requirements/build.in pyproject.toml
compile "$@" --output-file requirements/fleet.lock requirements/fleet.in
compile "$@" --constraint requirements/dev.lock --extra bench \
  --output-file requirements/bench.lock requirements/build.in pyproject.toml

# Every target sets up what it needs; a second run finds that done. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help run test lint set-up set-up-dev set-up-bench set-up-fleet set-up-system bench-flywheel bench-heal bench-matching bench-central bench-fleet \
	chaos distros playground demo-central simulate lock clean

BIN := .venv/bin
# Commands that tests start for real; scripts/system-packages.sh knows which package brings each.
TEST_COMMANDS := sshd ssh ssh-keygen sudo unshare strace ip ps busybox nix-instantiate modprobe logrotate
# Options for pytest, e.g. make test PYTEST="-k bundle"
PYTEST ?=

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 24

run: set-up ## set up, then plan this very machine: read-only, nothing is changed
	@$(BIN)/compliance-agent plan --local; code=$$?; case $$code in \
	0) ;; \
	2|3) echo "make run: done. (plan exited with $$code: 2 means that something would change, 3 that something is held; make counts both as success.)" ;; \
	*) exit $$code ;; esac

# Three workers on two CPUs: much of the time tests wait, for servers and for what must not happen.
test: set-up-system lint ## set up, lint, type-check, and run every test
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest -n 3 --dist worksteal --cov --cov-report=term $(PYTEST)

lint: set-up-dev ## ruff, mypy and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

set-up: ## .venv with what the agent needs
	@scripts/set-up.sh runtime

set-up-dev: ## .venv with what developers need
	@scripts/set-up.sh dev

set-up-bench: ## .venv with what developers need and the engines that benchmarks compare with
	@scripts/set-up.sh bench

set-up-fleet: ## .venv-fleet with the peers of bench-fleet (one of them needs another paramiko than ours)
	@scripts/set-up-fleet.sh

set-up-system: ## the system packages of the tests (as root; anybody else is told what is missing)
	@scripts/system-packages.sh $(TEST_COMMANDS)

chaos: set-up-system set-up-dev ## kill the agent 2,000 times at random, and have every single write fail (about 8 minutes; CHAOS_KILLS, CHAOS_SEED)
	@CHAOS_KILLS=$${CHAOS_KILLS:-2000} CHAOS_EVERY_WRITE=1 $(BIN)/pytest -n 2 --dist worksteal -rP tests/chaos $(PYTEST)

distros: set-up-system set-up-dev ## as root: every Linux runbook on whole systems of other distributions (about 5 minutes, and 2 more to make the root once)
	@scripts/system-packages.sh debootstrap nsenter setpriv
	@DISTROS=1 $(BIN)/pytest -n 2 --dist worksteal -ra tests/distros $(PYTEST)

bench-heal: set-up-system set-up-dev ## as root: from planting a drift to the verified fix, at default settings (about 6 minutes)
	@$(BIN)/python -m benchmarks.time_to_heal

bench-matching: set-up-bench ## rules and incidents: ours and the peers side by side (about 8 minutes; MATCHING="--quick": 1)
	@$(BIN)/python -m benchmarks.matching $(MATCHING)

bench-flywheel: set-up-dev ## what the flywheel promotes and demotes, by simulation (about 2 minutes)
	@$(BIN)/python -m benchmarks.flywheel $(FLYWHEEL)

bench-central: set-up-system set-up-bench ## Central Command: ingest, growth to millions of rows, embedded start (about 20 minutes; CENTRAL="--quick": 1)
	@$(BIN)/python -m benchmarks.central $(CENTRAL)

bench-fleet: set-up-system set-up-bench set-up-fleet ## as root: a fleet scanned by us and by Ansible and others (about an hour; FLEET="--quick": 2 minutes)
	@$(BIN)/python -m benchmarks.fleet $(FLEET)

playground: set-up-system set-up-dev ## as root: a scratch machine behind its own SSH server, to try the agent on
	@$(BIN)/python -m scripts.playground

demo-central: set-up-dev ## the flywheel: three appliances, what people mend becomes a signed rule and heals by itself (2 minutes)
	@$(BIN)/python -m scripts.demo_central

simulate: set-up-dev ## a week of a clinic in simulated time: what was healed, held and why (half a minute)
	@$(BIN)/python -m scripts.simulate

lock: set-up-dev ## re-lock requirements/*.lock after a change of dependencies (LOCK=--upgrade: newest of all)
	@scripts/lock.sh $(LOCK)

clean: ## remove .venv and every cache
	rm -rf .venv .venv-fleet .coverage .coverage.* .hypothesis .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

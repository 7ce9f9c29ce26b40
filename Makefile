# `make` alone prints what there is.

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
CHAOS_DRIVERS := kill resume stalled revoke lives drain watch tape

.PHONY: help run test chaos bench bench-counts docs fmt clean fmt-check lint test-rust test-e2e deny build-tools test-tools \
	bench-tools counts-tools

TARGET_DIR := $(abspath $(or $(CARGO_TARGET_DIR),target))
E2E := tests/e2e
LOCAL_POSTGRES := postgres://postgres@127.0.0.1:5432/postgres

# On a build machine nothing is debugged and nothing is built twice: smaller, and sooner done.
ifeq ($(CI),true)
export CARGO_PROFILE_DEV_DEBUG := 0
export CARGO_INCREMENTAL := 0
endif

# A faster linker, where there is one that works with this C compiler.
LINKER := $(shell for name in mold lld; do \
	if $(CC) -fuse-ld=$$name -Wl,--version >/dev/null 2>&1; then echo $$name; break; fi; done)
ifneq ($(LINKER),)
export RUSTFLAGS := $(strip $(RUSTFLAGS) -C link-arg=-fuse-ld=$(LINKER))
endif

help:
	@echo 'make run    build it, make the demo database, and serve it (more options: ARGS="...")'
	@echo 'make test   everything: format, lints, tests, end to end with the Socket.IO client, dependencies'
	@echo 'make chaos  hours of it: kills, resets, stalls, restarts, revocations, drains, a tape at its own speed (CHAOS_SCALE=2 CHAOS_SEED=…)'
	@echo 'make bench  measures it beside its peers and writes docs/benchmarks.md (BENCH_QUICK=1 is a trial of some minutes)'
	@echo 'make bench-counts   instruction counts of what is done for every mark, compared with what is committed'
	@echo 'make docs   docs/events.md and the golden tables, from the code'
	@echo 'make fmt    format the code'
	@echo 'make clean  remove what was built'
	@echo
	@echo 'parts of make test: fmt-check lint test-rust test-e2e deny'

run: build-tools
	cargo build --release --locked --bin scorecast
	exec '$(TARGET_DIR)/release/scorecast' demo $(ARGS)

# Every missing tool is named before anything is built.
test: test-tools fmt-check lint test-rust test-e2e deny
	@echo 'All tests passed.'

fmt: build-tools
	cargo fmt --all

fmt-check: build-tools
	cargo fmt --all --check

docs: build-tools
	UPDATE_GOLDEN=1 cargo test --locked --test it -- golden tidy

lint: build-tools
	cargo clippy --workspace --all-targets --locked -- -D warnings

# One driver after the other, so that none takes the machine from another; each prints what it came to, or its seed.
chaos: build-tools
	@export CHAOS_SCALE='$(or $(CHAOS_SCALE),1)' $(if $(CHAOS_SEED),CHAOS_SEED='$(CHAOS_SEED)'); \
	log=$$(mktemp); trap 'rm -f "$$log"' EXIT; failed=; \
	cargo test --locked --profile chaos --test it --no-run; \
	for driver in $(CHAOS_DRIVERS); do \
		cargo test --locked --profile chaos --test it -- --ignored --exact --nocapture "chaos::$$driver::long_$$driver" \
			2>&1 | tee -a "$$log" || true; \
		grep -q "TOTAL chaos $$driver:" "$$log" || failed="$$failed $$driver"; \
	done; \
	echo; grep -o 'TOTAL .*' "$$log" || true; \
	[ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }

# An hour on a quiet machine; what it can be told: BENCH_ONLY, BENCH_PEERS, BENCH_REPEATS, BENCH_QUICK=1. The program is
# built as `make run` builds it; peers that cannot be installed are named and left out.
bench: build-tools bench-tools
	cargo build --release --locked --bin scorecast
	cargo build --release --locked -p scorecast-bench -p scorecast-bench-servers
	'$(TARGET_DIR)/release/scorecast-bench'

# WRITE=1 keeps the counts of now; COUNTS_TOLERANCE=3 is how many percent more are let pass.
bench-counts: build-tools counts-tools
	cargo build --release --locked -p scorecast-bench-micro
	'$(TARGET_DIR)/release/scorecast-bench-counts' $(if $(WRITE),--write)

# The schema is tried on PostgreSQL too: on the server of TEST_POSTGRES, else on one of this machine that lets us in.
test-rust: build-tools
	@if [ -z "$${TEST_POSTGRES:-}" ] && psql -qtAc 'select 1' '$(LOCAL_POSTGRES)' >/dev/null 2>&1; then \
		TEST_POSTGRES='$(LOCAL_POSTGRES)'; export TEST_POSTGRES; \
	fi; \
	[ -n "$${TEST_POSTGRES:-}" ] || echo 'skipped: the schema on PostgreSQL; TEST_POSTGRES=postgres://… names a server'; \
	set -x; cargo test --workspace --locked

# The debug binary comes with the build of the tests: a build of its own would compile the dependencies once more.
test-e2e: test-tools $(E2E)/node_modules/.package-lock.json
ifeq ($(SCORECAST_BIN),)
	cargo test --workspace --locked --no-run --quiet
endif
	cd $(E2E) && SCORECAST_BIN='$(or $(SCORECAST_BIN),$(TARGET_DIR)/debug/scorecast)' node --test

$(E2E)/node_modules/.package-lock.json: $(E2E)/package-lock.json
	cd $(E2E) && npm ci --ignore-scripts --no-audit --no-fund
	@touch $@

# Advisories come over the network; without it the rest is still checked.
deny: build-tools
	@if ! cargo deny --version >/dev/null 2>&1; then \
		echo 'skipped: cargo deny (advisories, licences and sources of the dependencies).'; \
		echo '    get: cargo install cargo-deny --locked'; \
	elif cargo deny fetch db; then \
		cargo deny check; \
	else \
		echo 'skipped: the advisories could not be fetched'; \
		cargo deny check bans licenses sources; \
	fi

clean: build-tools
	cargo clean
	rm -rf $(E2E)/node_modules

build-tools:
	@.ci/tools build

test-tools:
	@.ci/tools test

bench-tools:
	@.ci/tools bench

counts-tools:
	@.ci/tools counts

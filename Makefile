# Every target sets up what it needs. `make demo` shows the mesh, `make test` proves it.
SHELL  := /bin/bash
PYTHON ?= python3
BIN    := .venv/bin
# What tests and demo run besides Python packages, as `command:debian-package`.
NODE_TOOLS := nft:nftables ip:iproute2 nsenter:util-linux
TEST_TOOLS := $(NODE_TOOLS) curl:curl nghttp:nghttp2-client ps:procps
BENCH_TOOLS := $(NODE_TOOLS) iperf3:iperf3 redis-benchmark:redis-tools redis-server:redis-server

# Gateway API's conformance cases are read from beside the project; only CI insists on having them.
LEFT_OUT := $(if $(or $(CI),$(wildcard ../shared/gateway-api)),,-m "not upstream_data")

.PHONY: help demo test bench bench-scale check format generate lock venv clean node-tools test-tools bench-tools
help:
	@echo "make demo      a mesh on this machine: two nodes, mTLS, policies, a waypoint (add ARGS=--keep to look around)"
	@echo "make test      every test tier; the network tier needs root or user namespaces"
	@echo "make bench     the shipped programs beside a real Envoy, in one lab; a table with goals, and bench/results.json"
	@echo "make bench-scale  10,000 tunnels on a worker, 200 workers on a node, 50,000 workloads in the mesh"
	@echo "make check     ruff, mypy --strict, import rules, generated code up to date"
	@echo "make generate  Python from the .proto files"
	@echo "make lock      pin the newest versions that pyproject.toml allows"

demo: venv node-tools
	@$(BIN)/python -m demo $(ARGS)

test: venv test-tools
	@[ -z '$(LEFT_OUT)' ] || echo "No Gateway API conformance data in ../shared/gateway-api: its cases are left out."
	$(BIN)/python -m pytest $(LEFT_OUT) $(ARGS)

bench: venv bench-tools
	@$(BIN)/python -m bench $(ARGS)

bench-scale: venv bench-tools
	@$(BIN)/python -m bench --only scale. --results bench/results-scale.json $(ARGS)

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m mesh.xds.proto --check

format: venv
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: venv
	$(BIN)/python -m mesh.xds.proto

lock: venv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --extra test \
		--python-version 3.11 --output-file requirements.lock pyproject.toml

venv: .venv/installed
.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ambit needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Say make PYTHON=/path/to/python3.11")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python lacks its venv module: install python3-venv, then run make again."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

node-tools: TOOLS := $(NODE_TOOLS)
test-tools: TOOLS := $(TEST_TOOLS)
bench-tools: TOOLS := $(BENCH_TOOLS)
node-tools test-tools bench-tools:
	@missing=""; for pair in $(TOOLS); do \
		PATH="$$PATH:/usr/sbin:/sbin" command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; done; \
	[ -z "$$missing" ] && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing >/dev/null; \
	else echo "Please install:$$missing (on Debian or Ubuntu: sudo apt-get install$$missing), then run make again."; exit 1; fi

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

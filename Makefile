PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint format clean
.DELETE_ON_ERROR:

# Creates the environment, makes "a red mushroom", says where the files are.
demo: .venv/installed
	$(BIN)/score3d generate "a red mushroom" --out runs/demo --overwrite

# Style and the whole test suite.
test: .venv/installed-dev
	$(BIN)/ruff check score3d tests scripts
	$(BIN)/python -m pytest

lint: .venv/installed-dev
	$(BIN)/ruff check score3d tests scripts
	$(BIN)/ruff format --check score3d tests scripts
	$(BIN)/pyright --pythonpath $(BIN)/python score3d

format: .venv/installed-dev
	$(BIN)/ruff format score3d tests scripts
	$(BIN)/ruff check --fix score3d tests scripts

# The tests compare our files with what other programs make of them; those come from npm, with the
# Node.js that the dev extra installs. warm_up compiles the CPU rasterizer once, so that the first run does not wait for it.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[video]"
	$(BIN)/python -c "from score3d.render import warm_up; warm_up()"
	touch $@

.venv/installed-dev: .venv/installed tests/tools/package-lock.json
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	mkdir -p .venv/node
	cp tests/tools/package.json tests/tools/package-lock.json .venv/node
	cd .venv/node && PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --no-audit --no-fund \
	  || echo "npm failed: tests with other people's readers will be skipped"
	touch $@

clean:
	rm -rf .venv runs

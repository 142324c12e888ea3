PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint format models clean
.DELETE_ON_ERROR:

# Creates the environment, makes "a red mushroom", says where the files are.
demo: .venv/installed
	$(BIN)/score3d generate "a red mushroom" --out runs/demo --overwrite

# Style and the whole test suite, on two processes of a thread each.
test: .venv/installed-dev
	$(BIN)/ruff check score3d tests scripts
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

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

# Every model that ships, from scratch, into MODELS; many hours on two cores. docs/training.md
MODELS ?= .cache/models
NOUNS := scripts/teacher_nouns.txt
TRAIN := --nouns $(NOUNS) --real .cache/real-models
models: .venv/installed-dev
	test -f .cache/real-models/index.json || $(BIN)/python scripts/fetch_real_models.py --folder .cache/real-models
	$(BIN)/python scripts/train_teacher.py --out $(MODELS)/training-teacher $(TRAIN) --shards 28 --real-shards 10 \
	  --batch 64 --steps 40000
	$(BIN)/python scripts/export_teacher.py --out $(MODELS)/training-teacher --export $(MODELS)/teacher
	$(BIN)/python scripts/train_judge.py --out $(MODELS)/training-judge --export $(MODELS)/judge $(TRAIN) \
	  --real-shards 10 --shards 28 --steps 13000
	$(BIN)/python scripts/train_judge.py --out $(MODELS)/training-third-judge --export $(MODELS)/third-judge $(TRAIN) \
	  --real-shards 10 --shards 28 --steps 7000 --seed 11
	$(BIN)/python scripts/train_judge.py --out $(MODELS)/training-second-judge --export $(MODELS)/second-judge $(TRAIN) \
	  --network attention --first-shard 30000 --shards 28 --real-shards 10 --seed 2 --lr 1e-3 --steps 28700
	$(BIN)/python scripts/train_two_tower.py --export $(MODELS)/two-tower $(TRAIN) --steps 5000
	$(BIN)/python scripts/train_instruct.py --out $(MODELS)/training-instruct --init $(MODELS)/teacher --steps 8000
	$(BIN)/python scripts/train_instruct.py --out $(MODELS)/training-instruct --init $(MODELS)/teacher \
	  --export $(MODELS)/teacher-instruct
	$(BIN)/python scripts/train_depth.py --out $(MODELS)/training-depth --export $(MODELS)/depth
	$(BIN)/python scripts/train_prior.py --out $(MODELS)/training-prior --export $(MODELS)/prior $(TRAIN) \
	  --shards 59 --real-shards 16 --steps 22296
	$(BIN)/python scripts/train_detail.py --out $(MODELS)/training-detail --prior $(MODELS)/prior --real .cache/real-models \
	  --shards 22 --real-shards 9 --steps 5100

clean:
	rm -rf .venv runs

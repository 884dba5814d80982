# lab · run · train · test · check · benchmark · store · index · lock · clean
# Each target makes what it needs: `make lab` and `make test` need no prior step.

PYTHON ?= python3
BIN := .venv/bin
UV := uv==0.13.9
WORKERS ?= 2

.PHONY: lab run train test check benchmark store index samples lock clean

lab: .venv                     ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

run: .venv                     ## make run NB=04.2: execute one notebook, write its HTML
	$(BIN)/python tests/tools/execute.py --html $(NB)

train: .venv                   ## make train NB=04.2: train its models anew; without NB, all of them
	$(BIN)/python tests/tools/execute.py --train $(NB)

test: .venv                    ## everything: style, unit tests, rules, smoke, all notebooks compared
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/python -m pytest --nbval --nbval-current-env --dist loadfile -n $(WORKERS) tests notebooks

check: .venv                   ## the part of it that takes under two minutes
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/python -m pytest -m "not slow" --dist loadfile -n $(WORKERS) tests

benchmark: .venv               ## ours against the plain implementation, in one run
	$(BIN)/python -m pytest tests/benchmarks -s --benchmark-disable-gc

store: .venv                   ## make store NB=04.2: execute and keep the outputs in the notebook
	$(BIN)/python tests/tools/execute.py $(NB)

index: .venv                   ## README's index, zoo/README.md and data/README.md, from list, cards, manifest
	$(BIN)/python tests/tools/index.py

samples: .venv                 ## make the samples of data/ again
	$(BIN)/python tests/tools/samples.py

lock: .venv                    ## requirements.txt from requirements.in, for Python 3.11 to 3.13
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --fork-strategy fewest \
		--no-annotate --no-header requirements.in -o requirements.txt

.venv: requirements.txt
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install -q --disable-pip-version-check $(UV)
	$(BIN)/uv pip install -q --python $(BIN)/python --require-hashes -r requirements.txt
	touch .venv

clean:                         ## remove what the notebooks wrote
	git clean -fdXq generated

# Everything a developer does daily. Each target installs what it needs by itself.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements.lock

.PHONY: help env demo test test-long fuzz lint bench vectors lock clean

help:               ## what there is
	@grep -hE '^[a-z-]+: .*##|^[a-z-]+:  .*##' Makefile | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

env: $(VENV)/.ready ## the environment: .venv with everything of requirements.lock

$(VENV)/.ready: $(LOCK) pyproject.toml scripts/make-env
	PYTHON="$(PYTHON)" scripts/make-env $(VENV) $(LOCK)
	@touch $@

demo: env           ## one node, 100,000 products imported, resolved, verified
	@$(BIN)/python -m bench.demo

test: env lint      ## the whole suite, three files at a time: most of it waits
	$(BIN)/python -m pytest -n 3 --dist loadfile

test-long: env      ## soak, kill loops, large data; SHARE=0.1 for a tenth of it
	BIAOSHI_TEST_SHARE=$(or $(SHARE),1) $(BIN)/python -m pytest -m long --timeout 3600

fuzz: env           ## search for bytes that break a decoder; EACH=600 seconds, TARGET=receipt
	$(BIN)/python -m tests.fuzz.run --seconds $(or $(EACH),60) $(TARGET)

lint: env           ## ruff, formatting, strict mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: env          ## the figures of the README; QUICK=1 for smaller sizes
	$(BIN)/python -m bench.run $(if $(QUICK),--quick)

vectors: env        ## write tests/vectors anew
	$(BIN)/python -m tests.vectors.generate

lock: env           ## pin what is installed now
	$(BIN)/python -m pip freeze --all --exclude-editable --exclude pip | sort -f > $(LOCK)

clean:              ## remove the environment and everything built
	rm -rf $(VENV) build .hypothesis .mypy_cache .ruff_cache .pytest_cache

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

repro: $(STAMP) ## run the whole pipeline on the demo and print the result
	$(BIN)/dvc repro
	@echo
	@$(BIN)/gen-fedsd results

test: $(STAMP) ## run the test suite
	$(BIN)/python -m pytest

check: $(STAMP) ## what CI runs: format, lint, types, import contract, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest

fuzz: $(STAMP) ## try foreign files at random for hours (FUZZ=examples of each test)
	GEN_FEDSD_FUZZ=$(or $(FUZZ),20000) $(BIN)/python -m pytest -m hypothesis

audit: ## compare the installed versions with known weaknesses (needs the network)
	test -x .audit/bin/pip-audit || (python3 -m venv .audit && .audit/bin/pip install --quiet pip-audit)
	.audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

format: $(STAMP) ## format the code and sort its imports
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

install: $(STAMP) ## create .venv and install everything

demo-data: $(STAMP) ## build data/demo/images (needs the Debian package dataset-fashion-mnist)
	$(BIN)/python data/demo/make_data.py

demo-model: $(STAMP) ## train data/demo/model from scratch and measure it (half an hour on two cores)
	$(BIN)/python data/demo/make_data.py --public data/demo/public
	$(BIN)/python data/generators/train.py data/generators/demo.yaml --out data/models/demo
	cp -r data/models/demo/at-100/. data/demo/model/
	$(BIN)/python data/demo/measure_model.py

presets: $(STAMP) ## write data/presets from params.yaml and data/presets/differences.py
	$(BIN)/python data/presets/make_presets.py

niid-bench: $(STAMP) ## run NIID-Bench's table on CIFAR-10 (CIFAR10=folder of its Parquet files)
	$(BIN)/python benchmarks/niid_bench.py --data $(or $(CIFAR10),data/cifar10)

peers: ## install the simulators that benchmarks/federated.py compares with
	python3 -m venv .peers
	.peers/bin/pip install --quiet torch==2.14.1 torchvision==0.29.1
	.peers/bin/pip install --quiet -r benchmarks/peers/requirements.txt

constraints: $(STAMP) ## write the installed versions to constraints.txt
	$(BIN)/pip freeze --exclude-editable --exclude gen-fedsd | grep -vE '^(nvidia-|cuda-|triton)' > constraints.txt

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || python3 -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

.PHONY: help repro test check fuzz audit format install demo-data demo-model presets niid-bench peers constraints

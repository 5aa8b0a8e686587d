# Every target goes through `venv`, which installs the project with the versions in constraints.txt.
# pip is called directly: it finds local builds of torch where other installers do not look.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
export MPLBACKEND := Agg
STUDY ?= short
RELEASED ?= ../released

.PHONY: $(shell grep -oE '^[a-z-]+:' $(firstword $(MAKEFILE_LIST)) | tr -d :)

help:  ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, found " + sys.version.split()[0] + ". Next: make PYTHON=python3.11 venv")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

venv: $(STAMP)  ## create .venv and install the project into it

demo: venv  ## the whole pipe on phantom data, in minutes
	$(BIN)/bench quickstart

# one process a core, one thread a process; tests of one file stay together, because they share what they have run; the hash
# seed is fixed, so that all processes name their tests alike
test: venv  ## the default suite: no network, no GPU
	OMP_NUM_THREADS=1 PYTHONHASHSEED=0 $(BIN)/python -m pytest -n auto --dist loadfile

test-slow: venv  ## the tests that take longer
	$(BIN)/python -m pytest -m slow

test-gpu: venv  ## the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu

check: venv  ## style, types, import floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: venv  ## rewrite in the house style
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

grid: venv  ## every method on every task, on phantoms; resumable
	$(BIN)/bench grid

study: venv  ## does pre-training help? STUDY=short takes about an hour, full a night, long (ten times the pre-training) five hours
	$(BIN)/bench study --size $(STUDY) --yes

notebooks: export MPLBACKEND := module://matplotlib_inline.backend_inline
notebooks: venv  ## run every notebook into build/notebooks, with its figures
	$(BIN)/jupyter nbconvert --log-level WARN --to notebook --execute --output-dir build/notebooks notebooks/*.ipynb

bench-metrics: venv  ## surface metrics beside MONAI's in one run
	$(BIN)/python -m tests.benchmarks.metrics --out results/benchmarks/metrics.json

bench-data: venv  ## random patches beside MONAI's datasets in one run
	$(BIN)/python -m tests.benchmarks.data --out results/benchmarks/data.json

bench-store: venv  ## reading 10,000 results as one dataset and one by one
	$(BIN)/python -m tests.benchmarks.store --out results/benchmarks/store.json

bench-methods: venv  ## parts of methods beside what one would write instead, in one run
	$(BIN)/python -m tests.benchmarks.attention --out results/benchmarks/attention.json
	$(BIN)/python -m tests.benchmarks.anisotropy --out results/benchmarks/anisotropy.json
	$(BIN)/python -m tests.benchmarks.masked --out results/benchmarks/masked.json
	$(BIN)/python -m tests.benchmarks.networks --out results/benchmarks/networks.json

bench-gpu: venv  ## every network at its paper's batch shape on a CUDA device: volumes a second, share of its bf16 rate, memory
	$(BIN)/python -m tests.benchmarks.paper_scale --out results/benchmarks/paper_scale.json

bench-start: venv  ## start-up of the command line beside the same program importing everything
	$(BIN)/python -m tests.benchmarks.start --out results/benchmarks/start.json

parity: venv  ## the papers' released code beside ours, with equal weights; its checkouts lie in RELEASED
	$(BIN)/python -m tests.parity.ar $(RELEASED)/AR-SSL4M --out results/parity/ar.json
	$(BIN)/python -m tests.parity.spad $(RELEASED)/PUMIT --out results/parity/spad.json
	$(BIN)/python -m tests.parity.mim $(RELEASED)/MiM --out results/parity/mim.json
	$(BIN)/python -m tests.parity.mg3d $(RELEASED)/MG-3D --out results/parity/mg3d.json

bench-coverage: venv  ## how often 95 % intervals hold the true mean, at 20, 50 and 200 cases
	$(BIN)/python -m tests.benchmarks.coverage --out results/benchmarks/coverage.json

bench-ladder: venv  ## how hard the phantoms are: headers, raw voxels, intensity alone, latent factors
	$(BIN)/python -m tests.benchmarks.ladder --out results/benchmarks/ladder.json

bench-phantoms: venv  ## smoke phantoms of all tasks: seconds and MB
	$(BIN)/python -m tests.benchmarks.phantoms --out results/benchmarks/phantoms.json

bench-page: venv  ## a page of 10,000 cells and a million case rows: seconds, memory, and how it feels in a browser
	$(BIN)/python -m tests.benchmarks.page --out results/benchmarks/page.json

clean:  ## remove what tests and builds left; results stay
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# Each command first installs what it needs (scripts/setup.sh), and is quick if all of it is there.
SHELL := /bin/bash
RUN := runs/tetrominoes
CONFIGURED := build/build.ninja
OSC_FUZZ_SECONDS ?= 60
OSC_FUZZ_RUNS ?= 0

.PHONY: help setup build train test lint format fuzz sanitize bench ablation docs clean
help:
	@echo 'make train     build, learn objects from images, and write $(RUN)/report.html'
	@echo 'make test      build and run all the tests, 20,000 inputs of each fuzz target among them'
	@echo 'make lint      check the format and the style of the sources; make format mends what it can'
	@echo 'make fuzz      the fuzz targets alone (OSC_FUZZ_SECONDS=60 each)'
	@echo 'make sanitize  the kernel tests under sanitizers and memcheck, by clang, and on 64-bit Arm'
	@echo 'make build     build/bin/osc, the libraries, and the Python package for .venv/bin/python'
	@echo 'make bench     benchmarks, as ratios measured side by side in one run'
	@echo 'make ablation  train with and without each part; writes the table of docs/learning.md'
	@echo 'make docs      the documentation as a site, in build/docs'
	@echo 'make clean     remove what was built (runs/ and .venv/ stay)'

setup: .venv/.ready
.venv/.ready: requirements.txt scripts/debian-packages.txt scripts/setup.sh \
    scripts/install-packages.sh
	scripts/setup.sh
	touch $@

$(CONFIGURED): .venv/.ready CMakePresets.json
	cmake --preset release

build: $(CONFIGURED)
	cmake --build build --target osc_cli osc_python

train: build
	@if [ -e $(RUN)/report.html ]; then \
	  echo '$(RUN) holds a finished run. Its report: $(RUN)/report.html'; \
	  echo 'To score it again:  build/bin/osc eval $(RUN)'; \
	  echo 'To train again:     build/bin/osc train --out $(RUN) --overwrite'; \
	  echo 'Another seed:       build/bin/osc train --out runs/seed1 --seed 1'; \
	elif [ -e $(RUN)/checkpoint ]; then \
	  echo '$(RUN) holds an unfinished run; resuming it'; build/bin/osc train --resume $(RUN); \
	else \
	  build/bin/osc train --out $(RUN); \
	fi

test: lint $(CONFIGURED) .venv/.docs-ready
	cmake --build build
	ctest --test-dir build --output-on-failure -j $$(nproc)
	.venv/bin/python -m pytest tests
	$(MAKE) --no-print-directory fuzz OSC_FUZZ_RUNS=20000

lint: .venv/.ready
	scripts/lint.sh

format: .venv/.ready
	scripts/lint.sh --fix

fuzz: .venv/.ready
	scripts/install-packages.sh scripts/debian-packages-fuzz.txt
	cmake --preset fuzz -DOSC_FUZZ_SECONDS=$(OSC_FUZZ_SECONDS) \
	  -DOSC_FUZZ_RUNS=$(OSC_FUZZ_RUNS) >/dev/null
	cmake --build build-fuzz
	ctest --test-dir build-fuzz --output-on-failure -j $$(nproc)

sanitize: .venv/.ready
	scripts/install-packages.sh scripts/debian-packages-sanitize.txt
	scripts/sanitize.sh

bench: $(CONFIGURED) .venv/.bench-ready
	cmake --build build
	.venv/bin/python bench/run.py

.venv/.bench-ready: bench/requirements.txt .venv/.ready
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

ablation: build
	.venv/bin/python bench/ablation.py

.venv/.docs-ready: .venv/.ready docs/requirements.txt
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r docs/requirements.txt
	touch $@

docs: $(CONFIGURED) .venv/.docs-ready
	cmake --build build --target osc_python
	.venv/bin/python -m sphinx -q -E -W --keep-going docs build/docs
	@echo 'build/docs/index.html'

clean:
	rm -rf build build-*

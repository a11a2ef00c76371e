# The two commands: `make train` (the main job) and `make test`. Each makes its own environment in .venv.
PYTHON ?= python3
SOURCES := pyproject.toml CMakeLists.txt $(wildcard src/optcore/* src/optcore/*/*)

.PHONY: train embed test test-core docs lint bench trainers stubs check-installs check-flags sanitize clean

train: .venv/train.stamp
	.venv/bin/python examples/train_charlm.py --out build/train_charlm.png

test: .venv/test.stamp
	.venv/bin/python -m pytest

# The tests of all but optcore.torch, in an environment of their own that has no torch.
test-core: .venv-core/test-core.stamp
	.venv-core/bin/python -m pytest --ignore=tests/torch

# Word vectors by rows, beside a dense Adam, torch's SparseAdam and gensim: about 2 minutes.
embed: .venv/embed.stamp
	.venv/bin/python examples/train_embed.py --out build/train_embed.png

# The site, in build/docs/index.html. -W: warnings are errors; -a -E: pages are read anew, as an old reading hides warnings.
docs: .venv/docs.stamp
	.venv/bin/sphinx-build -W --keep-going -q -a -E -j auto -d build/doctrees docs build/docs
	@echo "the site is in build/docs/index.html"

lint: .venv/lint.stamp .venv/test.stamp
	.venv/bin/ruff check src tests bench examples tools docs
	.venv/bin/mypy

bench: .venv/bench.stamp
	.venv/bin/python bench/run.py

# optcore.torch under Hugging Face's Trainer and Lightning. Not in `make test`: 255 MB to download, 35 MB after `make test`.
trainers: .venv/trainers.stamp
	.venv/bin/python examples/torch_trainers.py

# After a change of the table: rewrites functional.pyi, reference.pyi, optimizers.pyi and torch/__init__.pyi.
stubs: .venv/test.stamp
	.venv/bin/python tools/make_stubs.py

# Installs from an sdist, from the tree and editable under each interpreter named, and runs tests on each.
check-installs:
	tools/check_installs.sh $(PYTHONS)

# Builds with fast-math in CFLAGS and LDFLAGS: it must reach neither the kernels nor whoever imports them.
check-flags: .venv/test.stamp
	tools/check_flags.sh

# The kernels under AddressSanitizer and UndefinedBehaviorSanitizer, then ThreadSanitizer: builds of their own, the tests that
# need no torch.
sanitize: .venv-core/test-core.stamp
	tools/sanitize.sh .venv-core/bin/python

.venv/%.stamp: $(SOURCES) tools/setup_env.sh
	PYTHON="$(PYTHON)" tools/setup_env.sh $*
	@touch $@

.venv-core/%.stamp: $(SOURCES) tools/setup_env.sh
	PYTHON="$(PYTHON)" tools/setup_env.sh $* .venv-core
	@touch $@

clean:
	rm -rf build .venv .venv-core

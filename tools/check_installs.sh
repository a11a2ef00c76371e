#!/bin/sh
# Shows that the package installs, and works, under each interpreter named (default: those of 3.11 to 3.13 on the
# PATH): from an sdist, from the tree, and editable. Runs the tests that need no torch, and a serial build.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- python3.11 python3.12 python3.13
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tests="tests/kernels/test_bits.py tests/rules/test_oracle.py tests/optimizers/test_classes.py"
run="-q -p no:cacheprovider"

"$1" -m venv "$work/build"
"$work/build/bin/pip" install -q build
"$work/build/bin/python" -m build -q --sdist --outdir "$work" .
sdist=$(ls "$work"/optcore-*.tar.gz)
echo "== sdist: $(tar tzf "$sdist" | wc -l) files"

for python in "$@"; do
    echo "== $("$python" --version)"
    for source in "$sdist" . "-e ."; do
        rm -rf "$work/venv"
        "$python" -m venv "$work/venv"
        "$work/venv/bin/pip" install -q pytest hypothesis
        "$work/venv/bin/pip" install -q $source
        "$work/venv/bin/python" -m pytest $run $tests
        echo "ok: pip install ${source##*/}"
    done
done

echo "== a serial build, asked for"
rm -rf "$work/venv"
"$1" -m venv "$work/venv"
"$work/venv/bin/pip" install -q pytest hypothesis
"$work/venv/bin/pip" install -q . -C cmake.define.OPTCORE_OPENMP=OFF
"$work/venv/bin/python" -c 'import optcore; i = optcore.build_info(); assert i["openmp"] is None and i["threads"] == 1, i; print(i)'
"$work/venv/bin/python" -m pytest $run $tests

#!/bin/sh
# Shows that flags which a user's environment hands to compiler and linker do not reach the kernels: builds one instruction
# set with fast-math in CFLAGS and LDFLAGS, and looks for GCC's crtfastmath, which would switch whoever imports the module to
# flush-to-zero. Needs the environment of `make test`: tools/check_flags.sh [PYTHON]
set -eu
cd "$(dirname "$0")/.."
root=$(pwd)
python=$(cd "$(dirname "${1:-.venv/bin/python}")" && pwd)/python
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. tools/build_kernels.sh
isa=$(uname -m | sed 's/x86_64/baseline/;t;s/.*/generic/')

bits='
import hashlib, numpy as np
tiny = np.full(1, 1e-40, np.float32)
import optcore as oc
assert (tiny * np.float32(0.5) != 0).all(), "the import switched to flush-to-zero"
from tests.support.children import all_rules
print(hashlib.sha256(repr(all_rules()).encode()).hexdigest(), oc.build_info()["isa"], oc._kernels.__file__)
'

for flags in "-ffast-math" "-Ofast -funsafe-math-optimizations -ffinite-math-only"; do
    rm -rf "$work/build"
    # A program without our options, to know that this compiler would be affected.
    echo 'int f(void) { return 0; }' >"$work/bare.c"
    ${CC:-cc} $flags -shared -fPIC "$work/bare.c" -o "$work/bare.so"
    echo "== $flags: $(nm "$work/bare.so" | grep -c set_fast_math || true) crtfastmath without our options"
    build_kernels build "${CC:-cc}" "$flags"
    module=$(ls "$work"/build/_kernels_*.so)
    if nm "$module" | grep set_fast_math; then
        echo "crtfastmath was linked into $module" >&2
        exit 1
    fi
    # The same bits as the installed build, of every rule: the compiler was not affected, either.
    want=$(cd "$work" && PYTHONPATH=$root "$python" -c "$bits")
    got=$(cd "$work" && PYTHONPATH=$work/build-package:$root "$python" -c "$bits")
    echo "installed: $want"
    echo "built:     $got"
    [ "${want%% *}" = "${got%% *}" ] && echo "$got" | grep -q "$work" || exit 1
done

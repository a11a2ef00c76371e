#!/bin/sh
# The kernels under GCC's AddressSanitizer and UndefinedBehaviorSanitizer, then under Clang's ThreadSanitizer: a build of its
# own for each, in a folder of its own, and the tests that need no torch. tools/sanitize.sh [PYTHON [address|thread]]
# On Debian or Ubuntu, as root, it installs what is missing. ThreadSanitizer knows nothing of GCC's OpenMP and would report
# every barrier of it; Clang's tells it by a tool named Archer.
set -eu
cd "$(dirname "$0")/.."
root=$(pwd)
python=$(cd "$(dirname "${1:-.venv-core/bin/python}")" && pwd)/python
which=${2:-all}
case $(uname -m) in x86_64) isa=v3 ;; *) isa=generic ;; esac    # v4 under a sanitizer takes minutes to compile

need_apt=
command -v gcc >/dev/null 2>&1 || need_apt="$need_apt gcc"
[ "$which" = address ] || command -v clang >/dev/null 2>&1 || need_apt="$need_apt clang"
[ "$which" = address ] || ls /usr/lib/llvm-*/lib/libarcher.so >/dev/null 2>&1 || need_apt="$need_apt libomp-dev"
if [ -n "$need_apt" ]; then
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        apt-get update -q && apt-get install -y -q $need_apt
    else
        echo "missing here:$need_apt (on Debian or Ubuntu: sudo apt-get install$need_apt)" >&2
        exit 1
    fi
fi
work=$root/build/sanitize
mkdir -p "$work"
. tools/build_kernels.sh

report() {      # Sanitizers write a file for each process that had something to say.
    for file in "$work/$1-report".*; do
        [ -e "$file" ] || return 0
        cat "$file"
        failed=1
    done
}

failed=0
run="-m pytest -q -p no:cacheprovider"
if [ "$which" != thread ]; then
    # frame-pointer: readable stacks. recover: every report of undefined behaviour is seen, not the first one alone.
    build_kernels address gcc "-g1 -fno-omit-frame-pointer -fsanitize=address,undefined"
    echo "== address and undefined behaviour: $(ls "$work"/address-package/optcore/_kernels_*.so)"
    rm -f "$work"/address-report.*
    # detect_leaks=0: the interpreter frees little at its end. Left out: what looks at the installed files of the package,
    # a test whose child is to end by SIGSEGV, and limits of memory and stack, which the sanitizer's own shadow and frames exceed.
    # (libstdc++ is preloaded as well: exceptions of other modules are intercepted by what the runtime found at its start.)
    PYTHONPATH=$work/address-package PYTHONMALLOC=malloc \
        ASAN_OPTIONS=detect_leaks=0:log_path=$work/address-report UBSAN_OPTIONS=print_stacktrace=1:log_path=$work/address-report \
        LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libstdc++.so)" \
        "$python" $run tests/kernels tests/formats tests/step tests/optimizers \
        --ignore=tests/kernels/test_environment.py \
        --deselect tests/kernels/test_memory.py::test_the_guard_pages_do_guard \
        -k "not smallest_stack and not too_small_for_a_walk and not does_not_suffice" || failed=1
    report address
fi
if [ "$which" != address ]; then
    build_kernels thread clang "-g1 -fsanitize=thread"
    echo "== threads: $(ls "$work"/thread-package/optcore/_kernels_*.so)"
    rm -f "$work"/thread-report.*
    # The runtime has to be there before the interpreter's own threads, and preloaded it crashes (LLVM 14); so the interpreter
    # is started by a program that is linked with it. That program knows nothing of the environment, whose packages it is told.
    echo "#include <Python.h>
int main(int n, char** words) { return Py_BytesMain(n, words); }" >"$work/python.c"
    embedding='import sysconfig as s
v = s.get_config_vars()
print("-I" + s.get_path("include"), "-L" + v["LIBDIR"], "-Wl,-rpath," + v["LIBDIR"], "-lpython" + v["LDVERSION"], v["LIBS"])'
    clang -g1 -fsanitize=thread "$work/python.c" -o "$work/thread-python" $("$python" -c "$embedding") -lm -ldl
    packages=$("$python" -c 'import os, numpy, pytest, hypothesis
print(":".join({os.path.dirname(os.path.dirname(m.__file__)) for m in (numpy, pytest, hypothesis)}))')
    # Not tests that start processes of their own: these take the OMP_ variables away, and with them Archer.
    # ignore_noninstrumented_modules: Python, NumPy and the C library are not built for it.
    PYTHONPATH=$work/thread-package:$packages \
        OMP_TOOL_LIBRARIES=$(ls /usr/lib/llvm-*/lib/libarcher.so | tail -1) \
        TSAN_OPTIONS=ignore_noninstrumented_modules=1:log_path=$work/thread-report \
        "$work/thread-python" $run tests/step/test_python_threads.py tests/step/test_stages.py \
        tests/optimizers/test_held_memory.py tests/kernels/test_bits.py || failed=1
    report thread
fi
[ $failed = 0 ] && echo "ok: nothing reported" || { echo "something was reported or failed, see above" >&2; exit 1; }

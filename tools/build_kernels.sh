# Read by check_flags.sh and sanitize.sh, in the root of the repository: a build of the kernels with flags of one's own.
# They set: work, a folder; python, an interpreter; isa, the instruction set.
[ -d "$work/tools" ] || "$python" -m pip install -q --disable-pip-version-check --target "$work/tools" \
    "cython>=3.1" "cmake>=3.21" ninja

# Name, compiler, flags: the module is in $work/NAME, and the package with this module alone in $work/NAME-package.
# The tools are on the path of the two commands only: the tests that follow run with the interpreter's own packages.
build_kernels() {
    CFLAGS=$3 LDFLAGS=$3 CC=$2 PYTHONPATH=$work/tools PATH=$work/tools/bin:$PATH cmake -S . -B "$work/$1" -G Ninja \
        -DCMAKE_BUILD_TYPE=Release -DSKBUILD_PROJECT_VERSION=0 -DOPTCORE_ISAS="$isa" -DPython_EXECUTABLE="$python" \
        >"$work/$1.log" 2>&1 || { cat "$work/$1.log"; exit 1; }
    PYTHONPATH=$work/tools PATH=$work/tools/bin:$PATH cmake --build "$work/$1" >"$work/$1.log" 2>&1 \
        || { cat "$work/$1.log"; exit 1; }
    rm -rf "$work/$1-package"
    mkdir "$work/$1-package"
    cp -r src/optcore "$work/$1-package/"
    rm -f "$work/$1-package"/optcore/_kernels_*.so
    cp "$work/$1"/_kernels_*.so "$work/$1-package/optcore/"
}

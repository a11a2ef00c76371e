#!/bin/sh
# Makes an environment and installs this package into it with one of its extras: tools/setup_env.sh EXTRA [FOLDER]
# The folder is .venv unless another is named.
# On a bare Debian or Ubuntu, as root, it also installs what Python there lacks (venv, headers).
set -eu
cd "$(dirname "$0")/.."
extra=$1
folder=${2:-.venv}
python=${PYTHON:-python3}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "optcore needs Python 3.11 or newer; $python is $("$python" --version 2>&1). Name another: make PYTHON=python3.12" >&2
    exit 1
}

need_apt=
"$python" -c 'import ensurepip, venv' 2>/dev/null || need_apt="$need_apt python3-venv"
"$python" -c 'import os, sysconfig, sys; sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' \
    || need_apt="$need_apt python3-dev"
command -v "${CC:-cc}" >/dev/null 2>&1 || need_apt="$need_apt gcc"
if [ -n "$need_apt" ]; then
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        apt-get update -q && apt-get install -y -q $need_apt
    else
        echo "missing here:$need_apt (on Debian or Ubuntu: sudo apt-get install$need_apt)" >&2
        exit 1
    fi
fi

[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
echo "== installing optcore[$extra] into $folder (compiles the kernels: about half a minute)"
"$folder/bin/python" -m pip install --quiet --disable-pip-version-check ".[$extra]"

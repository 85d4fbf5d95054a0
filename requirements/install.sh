#!/bin/sh
# Installs locked requirements into a virtual environment, by uv if it is there, else by pip.
# usage: install.sh PYTHON VENV LOCK...
set -eu
python=$1 venv=$2
shift 2

"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))' || {
    echo "Lanternpipe needs Python 3.11 to 3.14, and $python is $("$python" -V 2>&1): try make PYTHON=python3.12" >&2
    exit 1
}
uv=$(command -v uv || true)
if [ ! -x "$venv/bin/python" ]; then
    echo "preparing $venv (once)"
    if [ -n "$uv" ]; then
        uv venv --quiet --python "$python" "$venv"
    else
        "$python" -m venv "$venv" || {
            rm -rf "$venv"
            echo "$python cannot make virtual environments: install the package python3-venv (Debian, Ubuntu) or uv" >&2
            exit 1
        }
    fi
fi
locks= project=
for name; do
    locks="$locks -r requirements/$name.lock"
    [ "$name" = build ] && project=yes
done
# shellcheck disable=SC2086 # the list of locks is meant to be split
if [ -n "$uv" ]; then
    uv pip install --quiet --python "$venv/bin/python" --require-hashes $locks
    [ -z "$project" ] || uv pip install --quiet --python "$venv/bin/python" --no-build-isolation --no-deps -e .
else
    pip="$venv/bin/python -m pip --quiet --disable-pip-version-check install"
    $pip --only-binary :all: --require-hashes $locks
    [ -z "$project" ] || $pip --no-build-isolation --no-deps -e .
fi

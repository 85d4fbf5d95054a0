#!/bin/sh
# Resolves the dependencies for all supported Pythons and platforms, with hashes and without the
# address of any index. usage: lock.sh BIN (the folder that has uv)
set -eu
compile="$1/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate"
$compile pyproject.toml -o requirements/runtime.lock
echo 'setuptools>=80' | $compile - -o requirements/build.lock
$compile --group pyproject.toml:dev -c requirements/runtime.lock -o requirements/dev.lock
$compile --group pyproject.toml:load -c requirements/dev.lock -o requirements/load.lock
$compile pyproject.toml --group pyproject.toml:stock -o requirements/stock.lock
$compile --group pyproject.toml:quix -o requirements/quix.lock

#!/bin/sh
# Builds the wheel of the project in the current folder and installs it, with exactly the versions
# that pyproject.toml names, into a new virtual environment:
#
#   sh deploy/image/build.sh TARGET
#
# A step of the Dockerfile; tests/repository/test_dockerfile.py runs it without Docker.
# PYTHON: the interpreter of the environment, `python3` unless given.
# UV: a uv that is there already; else one is installed for the length of this script.
set -eu

target=$1
python=$(command -v "${PYTHON:-python3}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ -z "${UV:-}" ]; then
  "$python" -m venv "$work/tools"
  "$work/tools/bin/pip" install --quiet --no-cache-dir uv==0.13.9
  UV=$work/tools/bin/uv
fi

"$UV" build --quiet --python "$python" --wheel --out-dir "$work/wheel" .
"$UV" venv --quiet --no-project --python "$python" "$target"
# Run in the project's folder, `uv pip` takes the exact versions from pyproject.toml.
"$UV" pip install --quiet --python "$target/bin/python" --compile-bytecode \
  "$work"/wheel/*.whl
install -m 0644 deploy/image/healthcheck.py "$target/healthcheck.py"

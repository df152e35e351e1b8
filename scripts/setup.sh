#!/bin/sh
# Installs what the build needs and nothing more: Debian packages (as root, only those missing) and
# .venv with the packages of requirements.txt. docs/dependencies.md says what each one is for.
set -eu
cd "$(dirname "$0")/.."
scripts/install-packages.sh scripts/debian-packages.txt
[ -x .venv/bin/python ] || /usr/bin/python3 -m venv .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt

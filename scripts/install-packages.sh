#!/bin/sh
# install-packages.sh LIST: installs the Debian packages of a list, as root, only those missing.
set -eu
missing=
for package in $(sed 's/#.*//' "$1"); do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
    missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
  echo "setup: these Debian packages are missing; install them as root and call make again:" >&2
  echo "  apt-get update && apt-get install --no-install-recommends$missing" >&2
  exit 1
fi
echo "setup: installing$missing"
apt-get update -q
# shellcheck disable=SC2086  # a list of names
DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing

#!/bin/sh
# lint.sh [--fix]: formats or checks every source file that git knows.
set -eu
cd "$(dirname "$0")/.."
bin=.venv/bin
sources() { git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
  [ ! -e "$file" ] || echo "$file"
done; }
cpp=$(sources '*.cpp' '*.hpp' '*.h' '*.c' '*.cu' '*.cuh')

if [ "${1:-}" = --fix ]; then
  echo "$cpp" | xargs "$bin/clang-format" -i
  "$bin/ruff" check --quiet --fix .
  "$bin/ruff" format --quiet .
  exit
fi
echo "$cpp" | xargs "$bin/clang-format" --dry-run -Werror
"$bin/ruff" format --quiet --check . || { echo 'run make format' >&2; exit 1; }
"$bin/ruff" check --quiet .
# Tables of Markdown cannot be wrapped; links and images must not be.
long=$(sources '*.md' '*.html' '*.css' '*.cmake' '*CMakeLists.txt' '*.sh' Makefile .ci/run |
  xargs awk '{ gsub(/[\200-\277]/, "") }  # bytes that only continue a character
    length > 100 && !/^ *\|/ && !/https?:\/\// { print FILENAME ":" FNR ": " length " columns" }')
[ -z "$long" ] || { echo "$long" >&2; echo 'lint: lines of more than 100 columns' >&2; exit 1; }
echo 'lint: all clean'

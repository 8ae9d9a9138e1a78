#!/usr/bin/env bash
# Checks that the C++ sources are formatted as .clang-format says.
#
#   scripts/format.sh [--fix]
#
# Exit code 1 when a file is not; --fix formats them instead.
set -euo pipefail
. "$(dirname "$0")/common.sh"

mode=(--dry-run --Werror)
case "${1:-}" in
  "") ;;
  --fix) mode=(-i) ;;
  -h|--help) usage; exit 0 ;;
  *) die "unknown argument '$1'; accepted: --fix" ;;
esac
command -v clang-format >/dev/null || die "clang-format is missing: apt-get install clang-format"
cd "$root"
find src variants tests docs/templates bench \( -name '*.h' -o -name '*.cpp' \) -print0 2>/dev/null |
  sort -z | xargs -0 clang-format "${mode[@]}" || exit 1

#!/usr/bin/env bash
# Runs clang-tidy with the checks of .clang-tidy over the C++ sources; any finding is an error.
#
#   scripts/tidy.sh [FILE...]     (default: all of src/ and variants/)
#
# Uses the compilation database of the preset ci, which is configured when it is not there.
set -euo pipefail
. "$(dirname "$0")/common.sh"

case "${1:-}" in -h|--help) usage; exit 0 ;; esac
command -v clang-tidy >/dev/null || die "clang-tidy is missing: apt-get install clang-tidy"
cd "$root"
mkdir -p build
build=${ATTNBENCH_TIDY_BUILD:-$root/build/ci}
if [ ! -e "$build/compile_commands.json" ]; then
  find_cmake
  "$cmake" --preset ci >build/ci.configure.log 2>&1 || { cat build/ci.configure.log >&2; exit 2; }
fi
files=("$@")
if [ ${#files[@]} -eq 0 ]; then
  mapfile -t files < <(find src variants -name '*.cpp' | sort)
fi
# The database is GCC's: its warning flags are not Clang's, and Clang 14 cannot read its omp.h.
arguments=(--quiet -p "$build" --extra-arg=-Wno-error --extra-arg=-Wno-unknown-warning-option
  --extra-arg=-UATTNBENCH_HAVE_OPENMP)
printf '%s\0' "${files[@]}" |
  xargs -0 -n 1 -P "$(nproc)" clang-tidy "${arguments[@]}" 2> >(grep -vE '^[0-9]+ warnings?' >&2)

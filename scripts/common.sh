# Shared by the scripts beside it; sourced, not run. Expects `set -euo pipefail`.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf '\n==> %s\n' "$*"; }
die() { echo "${0##*/}: $*" >&2; exit 2; }

# Seconds since START (a value of EPOCHREALTIME), with one decimal.
seconds_since() { LC_ALL=C awk -v a="$1" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.1f", b - a}'; }

# The comment block at the top of a script is its help.
usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }

# Sets `cmake` to one that works and knows our presets (3.22 or newer). The distribution's comes
# first: a cmake put on PATH by pip may be a launcher whose Python is gone, or too old.
find_cmake() {
  local candidate version
  for candidate in "${CMAKE:-}" /usr/bin/cmake "$(command -v cmake || true)"; do
    [ -n "$candidate" ] || continue
    version=$("$candidate" --version 2>/dev/null | sed -n 's/^cmake version \([0-9.]*\).*/\1/p') ||
      continue
    if [ -n "$version" ] && [ "$(printf '%s\n3.22\n' "$version" | sort -V | head -n1)" = 3.22 ]; then
      cmake=$candidate
      return 0
    fi
  done
  die "no working cmake of version 3.22 or newer (looked at /usr/bin/cmake and PATH)"
}

# Sets `python` to a Python that can import the given modules. Distribution's first.
find_python() {
  local candidate imports
  imports=$(IFS=,; echo "$*")
  for candidate in "${ATTNBENCH_PYTHON:-}" "$root/.venv/bin/python" /usr/bin/python3 \
    "$(command -v python3 || true)"; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c "import $imports" >/dev/null 2>&1; then
      python=$candidate
      return 0
    fi
  done
  return 1
}

# Configures PRESET and builds TARGETS (all when none is given).
build_preset() {
  local preset=$1
  shift
  find_cmake
  (cd "$root" && "$cmake" --preset "$preset" >"$root/build/$preset.configure.log" 2>&1) || {
    cat "$root/build/$preset.configure.log" >&2
    die "configuring failed. Missing packages? bash scripts/install_packages.sh --dry-run build"
  }
  (cd "$root" && "$cmake" --build --preset "$preset" ${1:+--target "$@"})
}

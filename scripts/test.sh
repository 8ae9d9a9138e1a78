#!/usr/bin/env bash
# Installs what is missing, builds everything and runs all tests: ctest and pytest.
#
#   scripts/test.sh [--no-install] [--preset ci|asan|tsan|release]
#
#   --no-install  install nothing; the packages are there already
#   --preset      ci (default): Release, warnings are errors; asan: AddressSanitizer and
#                 UndefinedBehaviorSanitizer; tsan: ThreadSanitizer
#
# The last line counts the tests. Exit code 0 only when all of them passed.
set -euo pipefail
. "$(dirname "$0")/common.sh"

install=yes
preset=ci
while [ $# -gt 0 ]; do
  case "$1" in
    -h|--help) usage; exit 0 ;;
    --no-install) install=no ;;
    --preset) [ $# -ge 2 ] || die "--preset needs a name"; preset=$2; shift ;;
    --preset=*) preset=${1#--preset=} ;;
    *) die "unknown argument '$1'; accepted: --no-install, --preset NAME" ;;
  esac
  shift
done
case "$preset" in
  ci|asan|tsan|release) ;;
  *) die "unknown preset '$preset'; accepted: ci, asan, tsan, release" ;;
esac

# A Python with what the tests import: the distribution's, or a virtual environment in .venv.
ensure_python() {
  find_python numpy matplotlib pytest && return 0
  [ "$install" = yes ] || die "no Python here has numpy, matplotlib and pytest"
  say "Python environment in .venv"
  python3 -m venv "$root/.venv"
  "$root/.venv/bin/python" -m pip install --quiet -r "$root/plot/requirements.txt" pytest
  find_python numpy matplotlib pytest || die "the environment in .venv does not work"
}

start=$EPOCHREALTIME
say "Packages"
[ "$install" = no ] || bash "$root/scripts/install_packages.sh" build run test
ensure_python

say "Build ($preset)"
mkdir -p "$root/build"
build_preset "$preset"
build=$root/build/$preset
build_s=$(seconds_since "$start")

export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export LSAN_OPTIONS=${LSAN_OPTIONS:-suppressions=$root/tests/lsan.supp:print_suppressions=0}
export ATTNBENCH_BINARY=$build/attnbench
export ATTNBENCH_PYTHON=$python
status=0

say "ctest, and pytest meanwhile"
ctest=$(dirname "$cmake")/ctest
rm -f "$build"/ctest.xml "$build"/pytest-*.xml
# None of them asserts a time, so that they may share the cores. Every other file of Python tests is
# one process's: one process for all of them would be busy long after ctest.
cd "$root"
pytests=()
for half in 0 1; do
  files=()
  number=0
  for file in tests/python/test_*.py; do
    [ $((number++ % 2)) -ne "$half" ] || files+=("$file")
  done
  "$python" -m pytest -q -p no:cacheprovider --junitxml="$build/pytest-$half.xml" "${files[@]}" \
    >"$build/pytest-$half.log" 2>&1 &
  pytests+=($!)
done
trap 'kill "${pytests[@]}" 2>/dev/null || true' EXIT
(cd "$build" && "$ctest" --output-on-failure --no-tests=error -j 2 \
  --output-junit "$build/ctest.xml") || status=1

say "pytest"
for half in 0 1; do
  wait "${pytests[$half]}" || status=1
  cat "$build/pytest-$half.log"
done
trap - EXIT

say "Tests done: build and packages $build_s s, all $(seconds_since "$start") s"
"$python" - "$build"/ctest.xml "$build"/pytest-{0,1}.xml <<'END' || status=1
import sys
import xml.etree.ElementTree as xml

total = failed = skipped = 0
for path in sys.argv[1:]:
    try:
        suites = list(xml.parse(path).getroot().iter("testsuite"))
    except (OSError, xml.ParseError) as error:
        print(f"{path}: {error}")
        failed += 1
        total += 1
        continue
    for suite in suites:
        total += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0)) + int(suite.get("disabled", 0))
print(f"{total - failed - skipped} passed, {failed} failed, {skipped} skipped")
sys.exit(failed > 0 or total == 0)
END
exit "$status"

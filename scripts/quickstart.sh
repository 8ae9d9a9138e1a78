#!/usr/bin/env bash
# From a fresh machine to complexity curves: installs what is missing, builds, measures six
# attention variants on this machine and draws the figures.
#
#   scripts/quickstart.sh [--no-install] [--out DIR] [--again]
#
#   --no-install  install nothing; the packages are there already
#   --out DIR     where the run goes (default: results/quickstart)
#   --again       measure again although DIR holds a finished run, which is replaced
#
# Interrupted anywhere, it goes on where it was when started again: finished cells of the sweep are
# kept, and the build is incremental.
set -euo pipefail
. "$(dirname "$0")/common.sh"

install=yes
again=no
out=$root/results/quickstart
while [ $# -gt 0 ]; do
  case "$1" in
    -h|--help) usage; exit 0 ;;
    --no-install) install=no ;;
    --again) again=yes ;;
    --out) [ $# -ge 2 ] || die "--out needs a directory"; out=$2; shift ;;
    --out=*) out=${1#--out=} ;;
    *) die "unknown argument '$1'; accepted: --no-install, --out DIR, --again" ;;
  esac
  shift
done

case "$out" in /*) ;; *) out=$PWD/$out ;; esac

start=$EPOCHREALTIME
say "Packages"
[ "$install" = no ] || bash "$root/scripts/install_packages.sh" build run
install_s=$(seconds_since "$start")

say "Build"
mkdir -p "$root/build"
step=$EPOCHREALTIME
build_preset release attnbench
build_s=$(seconds_since "$step")
attnbench=$root/build/release/attnbench

say "Sweep"
step=$EPOCHREALTIME
# True when DIR holds a run that was finished.
finished() { grep -Eq '"complete": *true' "$out/manifest.json" 2>/dev/null; }
sweep_status=0
if finished && [ "$again" = no ]; then
  echo "$out holds a finished run, which is kept; --again measures anew"
else
  flags=()
  if finished; then
    flags=(--overwrite)
  elif [ -e "$out/manifest.json" ]; then
    flags=(--resume)
  fi
  "$attnbench" run "$root/configs/quickstart.toml" --out "$out" "${flags[@]}" || sweep_status=$?
  # 1: some cells failed; they are rows, and are marked in the figures.
  [ "$sweep_status" -le 1 ] || exit "$sweep_status"
fi
sweep_s=$(seconds_since "$step")

say "Figures"
step=$EPOCHREALTIME
"$attnbench" plot "$out" >/dev/null
plots_s=$(seconds_since "$step")

say "Done"
if find_python numpy matplotlib; then
  (cd "$root" && "$python" -m plot.table "$out" 2>/dev/null) || true
  echo
fi
cat <<END
table     $out/summary.csv (columns: docs/csv_schema.md)
figures   $out/time.png, growth.png, crossovers.png, roofline.png, pareto.png, ... (and .svg)
tool      $attnbench --help
seconds   install $install_s, build $build_s, sweep $sweep_s, plots $plots_s, all $(seconds_since "$start")
END
exit "$sweep_status"

#!/usr/bin/env bash
# The distribution packages that attnbench needs, in one place, and how they get installed.
#
#   scripts/install_packages.sh [--dry-run] GROUP...
#
#   GROUP      build (compiler and libraries), run (figures), test (what the tests use besides)
#   --dry-run  only say what is missing
#
# Debian 12, Debian 13 and Ubuntu 24.04 (and others that have these names). Installs what is missing
# through apt-get, as root or with sudo. Exit codes: 0 all there; 2 something could not be installed.
set -euo pipefail

# Boost: only headers (Boost.Math). OpenCL: the CMake file of oneDNN 2.6 (Debian 12) insists on it.
# GoogleTest: the configuration of the build looks for it.
BUILD_PACKAGES=(
  g++ cmake ninja-build
  libdnnl-dev ocl-icd-opencl-dev libtbb-dev libhwy-dev
  libbenchmark-dev libboost-dev
  libcli11-dev libfmt-dev libtomlplusplus-dev nlohmann-json3-dev
  libgtest-dev
)
RUN_PACKAGES=(python3 python3-matplotlib python3-numpy)
TEST_PACKAGES=(python3-pytest git)

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
die() { echo "install_packages: $*" >&2; exit 2; }

dry_run=no
wanted=()
for argument in "$@"; do
  case "$argument" in
    -h|--help) usage; exit 0 ;;
    --dry-run) dry_run=yes ;;
    build) wanted+=("${BUILD_PACKAGES[@]}") ;;
    run) wanted+=("${RUN_PACKAGES[@]}") ;;
    test) wanted+=("${TEST_PACKAGES[@]}") ;;
    *) die "unknown group '$argument'; accepted: build, run, test, --dry-run" ;;
  esac
done
[ ${#wanted[@]} -gt 0 ] || { usage >&2; exit 2; }

command -v dpkg-query >/dev/null ||
  die "this is no Debian or Ubuntu. Install the equivalents of: ${wanted[*]}; then use --no-install"

missing=()
for package in "${wanted[@]}"; do
  state=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$state" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  echo "packages: all ${#wanted[@]} are installed"
  exit 0
fi
echo "packages missing: ${missing[*]}"
[ "$dry_run" = no ] || exit 0

command -v apt-get >/dev/null || die "there is no apt-get to install them with"
as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null ||
    die "neither root nor sudo here. As root: apt-get install ${missing[*]}"
  as_root=(sudo)
  [ -t 0 ] || as_root+=(-n)  # Nobody could type a password.
  "${as_root[@]}" true ||
    die "sudo does not let this user install. As root: apt-get install ${missing[*]}"
fi

# What apt-get says goes to a file that is shown when it fails: it is a thousand lines.
log=$(mktemp "${TMPDIR:-/tmp}/attnbench-apt.XXXXXX")
trap 'rm -f "$log"' EXIT
apt() {
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" >"$log" 2>&1 || {
    tail -n 30 "$log" >&2
    return 1
  }
}
install_missing() { apt install -y --no-install-recommends "${missing[@]}" </dev/null; }

# The packages that apt knows no version of.
unknown_to_apt() {
  local package policy
  for package in "${missing[@]}"; do
    policy=$(LC_ALL=C apt-cache policy "$package" 2>/dev/null) || true
    [[ $policy == *"Candidate: "[!\(]* ]] || printf '%s ' "$package"
  done
}

echo "installing them and what they need with apt-get; this takes a minute or two"
# Package lists are refreshed when they lack a package, or when they turn out to be stale.
if [ -n "$(unknown_to_apt)" ]; then
  apt update || die "apt-get update failed; is the network there?"
  unknown=$(unknown_to_apt)
  [ -z "$unknown" ] || die "this distribution has no package ${unknown% }; known to work: Debian 12," \
    "Debian 13, Ubuntu 24.04 (with 'universe' enabled)"
fi
install_missing || { apt update && install_missing; } || die "apt-get install failed"
echo "packages: installed"

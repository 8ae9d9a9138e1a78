#!/usr/bin/env bash
# Proves set-up on a bare system: makes a minimal Debian root in a folder with debootstrap, copies
# this repository into it and runs a command there.
#
#   scripts/fresh_root.sh SUITE DIR [COMMAND...]
#
#   SUITE    bookworm (Debian 12), trixie (Debian 13), or any other suite of the host's mirror
#   DIR      where the root goes; one that is there already is used again as it is
#   COMMAND  run by bash in the copy of the repository, e.g. 'bash scripts/quickstart.sh'; without
#            one the root is only made
#
# Needs root (chroot, mounts) and the package debootstrap. The mirror is the first http source of
# the host's apt configuration, or MIRROR when that is set.
set -euo pipefail

usage() { sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"; }
die() { echo "fresh_root: $*" >&2; exit 2; }

case "${1:-}" in -h|--help) usage; exit 0 ;; esac
[ $# -ge 2 ] || { usage >&2; exit 2; }
suite=$1
root=$2
shift 2
[ "$(id -u)" = 0 ] || die "needs root: chroot and mounts are not allowed otherwise"
command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
source_dir=$(cd "$(dirname "$0")/.." && pwd)
inside=/root/attnbench

# The URI of the first entry that serves the distribution itself (not security, not third parties).
host_mirror() {
  {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
      sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\(https\{0,1\}:[^ ]*\) .*/\2/p'
    cat /etc/apt/sources.list.d/*.sources 2>/dev/null | sed -n 's/^URIs: *\([^ ]*\).*/\1/p'
  } | grep -E '/debian/?$' | head -n 1
}

if [ ! -e "$root/.attnbench-root" ]; then
  mirror=${MIRROR:-$(host_mirror)}
  [ -n "$mirror" ] || die "no Debian mirror in the host's apt sources; set MIRROR=http://..."
  echo "fresh_root: making a $suite root in $root"
  mkdir -p "$root"
  debootstrap --variant=minbase "$suite" "$root" "$mirror"
  touch "$root/.attnbench-root"
fi
root=$(cd "$root" && pwd)
[ $# -gt 0 ] || exit 0

# The working tree as git sees it: tracked files and new ones, no build output.
rm -rf "${root:?}$inside"
mkdir -p "$root$inside"
(cd "$source_dir" && git ls-files -z --cached --others --exclude-standard |
  while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
  tar --null --files-from=- -cf -) | tar -C "$root$inside" -xf -

# What the host needs to reach its mirror, so does the root.
cp /etc/resolv.conf "$root/etc/resolv.conf" 2>/dev/null || true
apt-config dump 2>/dev/null | grep -iE '^Acquire::(https?)::(Proxy|CAInfo)' \
  > "$root/etc/apt/apt.conf.d/90host" || true

mounted=()
cleanup() {
  for ((i = ${#mounted[@]} - 1; i >= 0; --i)); do umount "${mounted[$i]}" || true; done
}
trap cleanup EXIT
mount -t proc proc "$root/proc" && mounted+=("$root/proc")
mount --bind /sys "$root/sys" && mounted+=("$root/sys")
for device in null zero full random urandom tty; do
  [ -c "$root/dev/$device" ] && continue
  rm -f "$root/dev/$device" && touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device" && mounted+=("$root/dev/$device")
done
mkdir -p "$root/dev/shm"
mount -t tmpfs tmpfs "$root/dev/shm" && mounted+=("$root/dev/shm")

status=0
env -i HOME=/root TERM="${TERM:-dumb}" LANG=C.UTF-8 CI="${CI:-}" \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
  chroot "$root" /bin/bash -c "cd $inside && $*" || status=$?
exit "$status"

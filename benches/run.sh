#!/usr/bin/env bash
# benches/run.sh [all]
#
# Commands in the guest, against their peers in the same run, on the test base:
#
#   --run-command true   virt-customize under TCG
#   --install jq         virt-customize under TCG
#   a tar of 50,000 files through `imgraft mount`, against a kernel loop mount with its sync
#   nodejs and npm       the same commands in a chroot on a kernel loop mount, with their fsyncs
#   all: nodejs and npm over fuse2fs, too, which takes minutes
#
# Prints seconds, the ratio and our peak memory. Packages come from the network: a first run fills the proxies' caches.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/steps.sh
source scripts/steps.sh
# shellcheck source=benches/measure.sh
source benches/measure.sh
mode=${1:-short}
[[ $mode == short || $mode == all ]] || fail "no mode \`$mode\`" "usage: benches/run.sh [all]"
[[ $EUID -eq 0 ]] || fail "the peers mount, which needs root" "run it as root"
for tool in virt-customize qemu-img python3; do
    has "$tool" || fail "$tool is not installed" "scripts/install-tools judges"
done
[[ $mode == short ]] || has fuse2fs || fail "fuse2fs is not installed" "apt-get install fuse2fs"

# A program that is built already can be named in IMGRAFT.
imgraft=${IMGRAFT:-}
[[ -n $imgraft ]] || build_imgraft
base=$(scripts/base-image)
work=$(mktemp -d)
cleanup() {
    for place in dev proc boot/efi boot ''; do umount -q "$work/loop/$place" 2>/dev/null || true; done
    umount -q "$work/mnt" 2>/dev/null || true
    [[ -z ${loop:-} ]] || losetup -d "$loop" || true
    rm -rf "$work"
}
trap cleanup EXIT
mkdir "$work/loop" "$work/mnt"
prepare_appliance "$work"

# timed COMMAND…: seconds
timed() {
    local begin=$EPOCHREALTIME
    "$@" >"$work/log" 2>&1 || { cat "$work/log" >&2; fail "$* failed"; }
    seconds_since "$begin"
}
# peak COMMAND…: our peak memory in MiB
peak() { /usr/bin/time -f %M -o "$work/peak" "$@" >"$work/log" 2>&1 && awk '{ printf "%.0f MiB", $1 / 1024 }' "$work/peak"; }
# told NAME OURS PEER-NAME PEER
told() { printf '%-28s %8.2f s   %s %8.2f s\n' "$1" "$2" "$3" "$4"; }
fresh() { cp --reflink=auto "$base" "$work/$1"; }

step "--run-command true"
fresh ours.img && fresh peer.img
timed "$imgraft" customize "$work/ours.img" --run true >/dev/null
ours=$(timed "$imgraft" customize "$work/ours.img" --run true)
peer=$(timed virt-customize -a "$work/peer.img" --no-network --run-command true)
told "--run-command true" "$ours" virt-customize "$peer"
target "times faster than virt-customize: --run-command true" "$(ratio "$peer" "$ours")" at-least 80

step "--install jq"
fresh ours.img && fresh peer.img
peer=$(timed virt-customize -a "$work/peer.img" --install jq)
ours=$(timed "$imgraft" customize "$work/ours.img" --network --install jq)
told "--install jq" "$ours" virt-customize "$peer"
target "times faster than virt-customize: --install jq" "$(ratio "$peer" "$ours")" at-least 5

step "a tar of 50,000 files"
python3 - "$work/files.tar" <<'EOF'
import io, random, sys, tarfile
random.seed(1)
blob = random.randbytes(1 << 20)
with tarfile.open(sys.argv[1], "w") as tar:
    for folder in range(500):
        entry = tarfile.TarInfo(f"tree/d{folder // 25}/s{folder}")
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(entry)
        for file in range(100):
            size, at = random.choice([200, 1500, 4000, 9000, 30000]), random.randrange(0, 900000)
            entry = tarfile.TarInfo(f"tree/d{folder // 25}/s{folder}/f{file}")
            entry.size, entry.mtime = size, 1600000000
            tar.addfile(entry, io.BytesIO(blob[at:at + size]))
EOF
cat "$work/files.tar" >/dev/null
mount_ours() {
    "$imgraft" -q mount --discard "$1" "$work/mnt" &
    server=$!
    while ! mountpoint -q "$work/mnt"; do kill -0 $server && sleep 0.05; done
}
unmount_ours() { "$imgraft" -q umount "$work/mnt" && wait $server; }
loop_mount() {
    qemu-img convert -O raw "$base" "$work/disk.raw"
    qemu-img resize -q -f raw "$work/disk.raw" +2G
    loop=$(losetup --find --show --offset $(($(partx -g -o START -n 1 "$work/disk.raw") * 512)) \
        --sizelimit $(($(partx -g -o SECTORS -n 1 "$work/disk.raw") * 512)) "$work/disk.raw")
    mount "$loop" "$work/loop"
}
loop_unmount() {
    umount "$work/loop"
    losetup -d "$loop"
    loop=
}
mount_ours "$base"
ours=$(timed tar -C "$work/mnt/srv" -xf "$work/files.tar")
unmount_ours
loop_mount
unpack_and_sync() { tar -C "$work/loop/srv" -xf "$work/files.tar" && sync -f "$work/loop"; }
peer=$(timed unpack_and_sync)
told "a tar of 50,000 files" "$ours" "a loop mount" "$peer"
target "of a loop mount's time: a tar of 50,000 files" "$(ratio "$ours" "$peer")" at-most 2
rm -rf "$work/loop/srv/tree"

step "nodejs and npm"
packages=(apt-get install -y -q --no-install-recommends nodejs npm)
in_chroot() {
    local root=$1
    # The guest's own may be a link to what is not there.
    rm -f "$root/etc/resolv.conf"
    cat /etc/resolv.conf >"$root/etc/resolv.conf"
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" && chmod 755 "$root/usr/sbin/policy-rc.d"
    mount --bind /dev "$root/dev" && mount -t proc proc "$root/proc"
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive chroot "$root" sh -ec \
        "apt-get -q update && ${packages[*]} && node --version" || return 1
    sync -f "$root"
    umount "$root/dev" "$root/proc"
}
install_ours() {
    "$imgraft" build --base "$base" --size +2G --network \
        --run "apt-get -q update && ${packages[*]} && node --version" -o "$work/node.img" "$@"
}
peer=$(timed in_chroot "$work/loop")
loop_unmount
ours=$(timed install_ours --compress none)
told "nodejs npm" "$ours" "a loop mount" "$peer"
target "of a loop mount's time: nodejs npm" "$(ratio "$ours" "$peer")" at-most 1.0
rm -f "$work/node.img"
printf 'peak memory of nodejs npm: %s\n' "$(peak "$imgraft" build --base "$base" --size +2G --network \
    --run "apt-get -q update && ${packages[*]}" -o "$work/node.img")"
if [[ $mode == all ]]; then
    step "nodejs and npm over fuse2fs"
    rm -f "$work/disk.raw"
    qemu-img convert -O raw "$base" "$work/disk.raw"
    dd if="$work/disk.raw" of="$work/root.raw" bs=512 skip="$(partx -g -o START -n 1 "$work/disk.raw")" \
        count="$(partx -g -o SECTORS -n 1 "$work/disk.raw")" conv=sparse status=none
    truncate -s +2G "$work/root.raw"
    e2fsck -fp "$work/root.raw" >"$work/log" || true
    resize2fs "$work/root.raw" >"$work/log" 2>&1
    fuse2fs "$work/root.raw" "$work/loop" -o fakeroot,allow_other
    peer=$(timed in_chroot "$work/loop")
    umount "$work/loop"
    told "nodejs npm" "$ours" fuse2fs "$peer"
    target "times faster than fuse2fs: nodejs npm" "$(ratio "$peer" "$ours")" at-least 10
fi
machine

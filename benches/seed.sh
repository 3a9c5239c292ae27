#!/usr/bin/env bash
# benches/seed.sh [RUNS]
#
# `imgraft seed iso` and `cloud-localds` as this binary has it, against the real cloud-localds: seconds for
# each, the middle of RUNS (default 21), taken in turns.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/steps.sh
source "$root/scripts/steps.sh"
cd "$root"
# shellcheck source=benches/measure.sh
source benches/measure.sh
runs=${1:-21}
[[ $runs =~ ^[1-9][0-9]*$ ]] || fail "not a number of runs: $runs" "usage: benches/seed.sh [RUNS]"
scripts/install-tools judges

build_imgraft
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
ln -s "$imgraft" ours
printf '#cloud-config\nhostname: seeded\npackages: [nodejs, npm]\n' >user-data

# seconds NAME COMMAND…: adds what it took
declare -A walls
seconds() {
    local name=$1 started=$EPOCHREALTIME
    shift
    "$@" >out 2>&1 || fail "$name: $(tail -n 5 out)"
    walls[$name]+="$(seconds_since "$started") "
}

step "make seeds, $runs times each"
for ((run = 0; run < runs; run++)); do
    seconds theirs-iso cloud-localds theirs.iso user-data
    seconds seed-iso ./ours seed iso --user-data user-data -o ours.iso
    seconds cloud-localds ./ours cloud-localds ours.iso user-data
    seconds theirs-vfat cloud-localds -f vfat theirs.img user-data
    seconds seed-vfat ./ours seed vfat --user-data user-data -o ours.img
done
for name in seed-iso cloud-localds theirs-iso seed-vfat theirs-vfat; do
    printf '%-14s %s s\n' "$name" "$(median "${walls[$name]}")"
done
speed_up() { ratio "$(median "${walls[$1]}")" "$(median "${walls[$2]}")"; }
target 'speed-up of seed iso over the real cloud-localds' "$(speed_up theirs-iso seed-iso)" at-least 10
target 'speed-up of cloud-localds by our binary' "$(speed_up theirs-iso cloud-localds)" at-least 10
target 'speed-up of seed vfat' "$(speed_up theirs-vfat seed-vfat)" at-least 10

#!/usr/bin/env bash
# benches/boot.sh [--runs N] [--base IMAGE] [--binary IMGRAFT] [--json FILE]
#
# How long a first boot takes, from start to cloud-init's closing line on the console: by `imgraft boot` and
# `imgraft test` as they choose by themselves, with `--direct-kernel`, and by the line that cloud-init's documentation
# has, `qemu-system-x86_64 -m 2048 -drive … -drive … -nographic`. Same image, same seed, taken in turns; the median of
# N runs (default 3). The documented line writes to a copy, which is not counted; no way out is left to any of them,
# for nobody's network is to be measured. A missed target is printed and is no failure.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/steps.sh
source "$root/scripts/steps.sh"
cd "$root"
# shellcheck source=benches/measure.sh
source benches/measure.sh

runs=3 base='' imgraft='' json=''
while [[ $# -gt 0 ]]; do
    [[ $# -ge 2 ]] || fail "\`$1\` needs a value" "read the head of benches/boot.sh"
    case $1 in
        --runs) runs=$2 ;;
        --base) base=$(realpath "$2") ;;
        --binary) imgraft=$(realpath "$2") ;;
        --json) json=$(realpath -m "$2") ;;
        *) fail "no option \`$1\`" "read the head of benches/boot.sh" ;;
    esac
    shift 2
done
[[ $runs =~ ^[1-9][0-9]*$ ]] || fail "not a number of runs: $runs" "usage: benches/boot.sh [--runs N]"
has qemu-system-x86_64 || scripts/install-tools boot
[[ -n $imgraft ]] || build_imgraft
[[ -n $base ]] || base=$(scripts/base-image)

work=$(mktemp -d)
pid=''
finish() {
    [[ -z $pid ]] || kill "$pid" 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT
printf '#cloud-config\nhostname: booted\nusers:\n  - default\nruncmd:\n  - echo it ran\n' >"$work/user-data"
"$imgraft" -q seed iso --user-data "$work/user-data" -o "$work/seed.iso"

# first_boot NAME CLOSING COMMAND…: adds how long it took until a line that CLOSING matches, by which cloud-init is
# done, and what it took of the processors
declare -A walls cpus
on_console='Cloud-init v\..* finished at'
first_boot() {
    local name=$1 closing=$2 started=$EPOCHREALTIME line said='' ticks
    shift 2
    exec {console}< <(exec "$@" 2>"$work/stderr" </dev/null)
    pid=$!
    while IFS= read -r -t 1800 -u "$console" line; do
        [[ ! $line =~ $closing ]] || { said=1 && break; }
    done
    [[ -n $said ]] || fail "$name: it ended before cloud-init did: $(tail -n 5 "$work/stderr")"
    walls[$name]+="$(seconds_since "$started") "
    # imgraft's QEMU is its child.
    ticks=$(for each in "$pid" $(pgrep -P "$pid" || true); do
        sed 's/.*) //' "/proc/$each/stat"
    done | awk '{ sum += $12 + $13 } END { print sum }')
    cpus[$name]+="$(awk -v ticks="$ticks" -v rate="$(getconf CLK_TCK)" 'BEGIN { printf "%.1f", ticks / rate }') "
    kill "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    pid=''
    exec {console}<&-
    say "$name: $(awk '{ print $NF }' <<<"${walls[$name]}") s"
}

documented() {
    cp --reflink=auto "$base" "$work/disk.img"
    chmod u+w "$work/disk.img"
    first_boot documented "$on_console" qemu-system-x86_64 -m 2048 -drive "file=$work/disk.img,format=qcow2" \
        -drive "file=$work/seed.iso,format=raw" -nographic -nic user,restrict=on
}
ours=("$imgraft" boot "$base" --seed "$work/seed.iso" --network restricted)
# It keeps the console to itself, and says what it sees there as it sees it.
tested() {
    # shellcheck disable=SC2016  # for the shell that it starts
    first_boot tested 'cloud-init: finished' sh -c 'exec "$@" 2>&1' sh \
        "$imgraft" test "$base" --seed "$work/seed.iso" --network restricted
}

step "boot $base, $runs times each"
for ((run = 0; run < runs; run++)); do
    documented
    first_boot boot "$on_console" "${ours[@]}"
    tested
    first_boot direct-kernel "$on_console" "${ours[@]}" --direct-kernel
done
for name in documented boot tested direct-kernel; do
    printf '%-14s %7.1f s, %7.1f s of processors\n' "$name" "$(median "${walls[$name]}")" "$(median "${cpus[$name]}")"
done
"${ours[@]}" --print-command 2>&1 >/dev/null | grep -E '^(accelerator|firmware)'
against() { ratio "$(median "${walls[$1]}")" "$(median "${walls[documented]}")"; }
target 'imgraft boot against the documented line' "$(against boot)" at-most 0.7
target 'imgraft test against it' "$(against tested)" at-most 0.7
target 'imgraft boot --direct-kernel against it' "$(against direct-kernel)" at-most 0.7
machine
if [[ -n $json ]]; then
    cat >"$json" <<END
{
  "runs": $runs,
  "seconds": {
    "documented": [$(json_list "${walls[documented]}")],
    "boot": [$(json_list "${walls[boot]}")],
    "test": [$(json_list "${walls[tested]}")],
    "direct_kernel": [$(json_list "${walls["direct-kernel"]}")]
  },
  "targets": [
  $(json_targets)
  ]
}
END
fi

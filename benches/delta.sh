#!/usr/bin/env bash
# benches/delta.sh [--runs N] [--base IMAGE] [--binary IMGRAFT] [--json FILE] [--payload MIB] [--level N]
#
# An image that imgraft made of a stock cloud image and a payload (10 MiB of this machine's own programs), as what
# differs from that image: by `imgraft delta`, `xdelta3` (at its default level, or at --level) and `zstd --patch-from
# --long`, on one machine in one run. Prints wall and CPU time (medians of N interleaved runs; 3), peak memory and size, of
# making and of applying, and the ratios against what imgraft has to reach. A missed target is printed and is no failure;
# a result with other bytes is one.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/steps.sh
source "$root/scripts/steps.sh"
cd "$root"
# shellcheck source=benches/measure.sh
source benches/measure.sh

runs=3 base='' json='' imgraft='' payload_mib=10 level=()
while [[ $# -gt 0 ]]; do
    [[ $# -ge 2 ]] || fail "\`$1\` needs a value" "read the head of benches/delta.sh"
    case $1 in
        --runs) runs=$2 ;;
        --base) base=$(realpath "$2") ;;
        --binary) imgraft=$(realpath "$2") ;;
        --json) json=$(realpath -m "$2") ;;
        --payload) payload_mib=$2 ;;
        --level) level=("-$2") ;;
        *) fail "no option \`$1\`" "read the head of benches/delta.sh" ;;
    esac
    shift 2
done

if ! has xdelta3 || ! has zstd || [[ ! -x /usr/bin/time ]]; then scripts/install-tools delta; fi
[[ -n $imgraft ]] || build_imgraft
[[ -n $base ]] || base=$(scripts/base-image)

work=$target/bench-delta
mkdir -p "$work"
# shellcheck disable=SC2317  # reached by the trap
remove_outputs() { rm -f "$work"/*.{img,delta,time} "$work/payload" "$work/changed"; }
trap remove_outputs EXIT
trap 'exit 130' INT TERM

step "make the image"
make_payload "$target/bench-payload"
head -c "$((payload_mib << 20))" "$target/bench-payload" >"$work/payload"
"$imgraft" -q build --base "$base" --put "$work/payload:/opt/payload" -o "$work/app.img"
# What a delta cannot do without: the bytes that are put.
zstd -q -3 -c "$work/payload" >"$work/changed"
payload_zstd_bytes=$(stat -c %s "$work/changed")

program_make() {
    case $1 in
        imgraft) "${timed[@]}" "$imgraft" -q delta make "$base" "$work/app.img" -o "$2" ;;
        xdelta3) "${timed[@]}" xdelta3 "${level[@]}" -e -f -B "$window" -s "$base" "$work/app.img" "$2" ;;
        zstd) "${timed[@]}" zstd -q -f -3 --long=31 --patch-from="$base" "$work/app.img" -o "$2" ;;
    esac
}
program_apply() {
    case $1 in
        imgraft) "${timed[@]}" "$imgraft" -q delta apply "$base" "$2" -o "$3" ;;
        xdelta3) "${timed[@]}" xdelta3 -d -f -B "$window" -s "$base" "$2" "$3" ;;
        zstd) "${timed[@]}" zstd -q -f -d --long=31 --patch-from="$base" "$2" -o "$3" ;;
    esac
}
# The least that has all of the base in xdelta3's window: with less it finds next to nothing.
window=$(awk -v bytes="$(stat -c %s "$base")" 'BEGIN { size = 1; while (size < bytes) size *= 2; print size }')

programs=(imgraft xdelta3 zstd)
declare -A walls cpus peaks sizes
# measured NAME COMMAND…: runs it and takes down what it took
measured() {
    local name=$1 wall user system peak
    shift
    sync
    timed=(/usr/bin/time -f '%e %U %S %M' -o "$work/run.time")
    "$@" || fail "$name fails"
    read -r wall user system peak <"$work/run.time"
    walls[$name]+="$wall "
    cpus[$name]+="$(awk -v one="$user" -v other="$system" 'BEGIN { print one + other }') "
    [[ ${peaks[$name]:-0} -ge $peak ]] || peaks[$name]=$peak
}
for ((run = 1; run <= runs; run++)); do
    step "run $run of $runs"
    for program in "${programs[@]}"; do
        delta=$work/$program.delta
        measured "$program make" program_make "$program" "$delta"
        sizes[$program]=$(stat -c %s "$delta")
        measured "$program apply" program_apply "$program" "$delta" "$work/again.img"
        cmp "$work/app.img" "$work/again.img" || fail "$program gives other bytes"
        rm -f "$work/again.img"
    done
done

printf '%-10s %9s %9s %9s %9s %9s %9s %12s\n' program 'make s' 'CPU s' 'MiB' 'apply s' 'CPU s' 'MiB' 'bytes'
for program in "${programs[@]}"; do
    row=("$program")
    for what in make apply; do
        name="$program $what"
        row+=("$(median "${walls[$name]}")" "$(median "${cpus[$name]}")" "$(kib_as_mib "${peaks[$name]}")")
    done
    printf '%-10s %9s %9s %9s %9s %9s %9s %12s\n' "${row[@]}" "${sizes[$program]}"
done
"$imgraft" delta info "$work/imgraft.delta"
info=$("$imgraft" delta info "$work/imgraft.delta" --json)
image_bytes=$(stat -c %s "$work/app.img")
echo "base $(stat -c %s "$base") bytes, image $image_bytes, payload $((payload_mib << 20)), by zstd -3 $payload_zstd_bytes"
machine
echo
make=$(median "${cpus[imgraft make]}")
target 'size / what the base does not have' "$(ratio "${sizes[imgraft]}" "$(jq '.literal_bytes' <<<"$info")")" at-most 1.1
target 'size / the payload by zstd -3' "$(ratio "${sizes[imgraft]}" "$payload_zstd_bytes")" at-most 1.1
target 'size / that of xdelta3' "$(ratio "${sizes[imgraft]}" "${sizes[xdelta3]}")" at-most 1
target 'times as fast as xdelta3, making' "$(ratio "$(median "${walls[xdelta3 make]}")" "$(median "${walls[imgraft make]}")")" at-least 10
target 'the same by CPU time' "$(ratio "$(median "${cpus[xdelta3 make]}")" "$make")" at-least 10
target 'peak MiB, making' "$(kib_as_mib "${peaks[imgraft make]}")" at-most 128
target 'peak MiB, applying' "$(kib_as_mib "${peaks[imgraft apply]}")" at-most 128
[[ -z $json ]] || printf '{"targets": [\n  %s\n]}\n' "$(json_targets)" >"$json"

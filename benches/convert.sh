#!/usr/bin/env bash
# benches/convert.sh [--runs N] [--base IMAGE] [--binary IMGRAFT] [--json FILE]
#
# One disk from file to file, by `imgraft convert` and by `qemu-img convert`, on one machine in one run: a
# stock cloud image to raw, that raw disk to a compressed qcow2 with zlib and with zstd, and the image to
# another qcow2. Prints wall and CPU time (the medians of N interleaved runs; 5), peak memory, output size,
# and the ratios against what imgraft has to reach. A missed target is printed and is no failure; a result
# that `qemu-img compare` or `check` finds wrong is one.
#
# On a machine that does something else, too, CPU time is what tells: qemu-img has more threads than there are
# cores, and so a larger share of a busy machine.
#
# Every run starts with warm caches and with nothing left to be written. imgraft syncs its result before it
# gets its name, qemu-img does not: the sync of its result is counted, as `+ sync`.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/steps.sh
source "$root/scripts/steps.sh"
cd "$root"
# shellcheck source=benches/measure.sh
source benches/measure.sh

runs=5 base='' json='' imgraft=''
while [[ $# -gt 0 ]]; do
    [[ $# -ge 2 ]] || fail "\`$1\` needs a value" "read the head of benches/convert.sh"
    case $1 in
        --runs) runs=$2 ;;
        --base) base=$(realpath "$2") ;;
        --binary) imgraft=$(realpath "$2") ;;
        --json) json=$(realpath -m "$2") ;;
        *) fail "no option \`$1\`" "read the head of benches/convert.sh" ;;
    esac
    shift 2
done

if ! has qemu-img || [[ ! -x /usr/bin/time ]]; then scripts/install-tools bench; fi
[[ -n $imgraft ]] || build_imgraft
[[ -n $base ]] || base=$(scripts/base-image)

work=$target/bench-convert
mkdir -p "$work"
# shellcheck disable=SC2317  # reached by the trap
remove_outputs() { rm -f "$work"/*.{qcow2,raw,time}; }
trap remove_outputs EXIT
trap 'exit 130' INT TERM

step "make the raw disk"
qemu-img convert -O raw "$base" "$work/disk.raw"

# The jobs: what is read, and what each program is told.
jobs=(raw zlib zstd again)
declare -A about=([raw]='qcow2 to raw' [zlib]='raw to qcow2, zlib' [zstd]='raw to qcow2, zstd' [again]='qcow2 to qcow2')
declare -A input=([raw]=$base [zlib]=$work/disk.raw [zstd]=$work/disk.raw [again]=$base)
declare -A output=([raw]=raw [zlib]=qcow2 [zstd]=qcow2 [again]=qcow2)
declare -A ours=([raw]='' [zlib]='' [zstd]='--compression-type zstd' [again]='')
declare -A theirs=([raw]='-O raw' [zlib]='-c -W -m 8 -O qcow2' [zstd]='-c -W -m 8 -O qcow2 -o compression_type=zstd' [again]='-c -W -m 8 -O qcow2')
# How many times as fast as qemu-img it has to be.
declare -A wanted=([raw]=1 [zlib]=1.5 [zstd]=1 [again]=1.5)

run_imgraft() { # shellcheck disable=SC2086
    "${timed[@]}" "$imgraft" -q convert "${input[$1]}" "$2" ${ours[$1]}
}
run_qemu() { # shellcheck disable=SC2016  # for the shell inside
    "${timed[@]}" sh -c 'qemu-img convert $3 "$1" "$2" && sync "$2"' - "${input[$1]}" "$2" "${theirs[$1]}"
}

declare -A walls cpus peaks sizes
# measure PROGRAM JOB
measure() {
    local program=$1 job=$2 name=$1.$2 wall user system peak
    local result=$work/$name.${output[$2]}
    rm -f "$result"
    sync
    timed=(/usr/bin/time -f '%e %U %S %M' -o "$work/run.time")
    "run_$program" "$job" "$result" || fail "$program does not convert ${about[$job]}"
    read -r wall user system peak <"$work/run.time"
    walls[$name]+="$wall "
    cpus[$name]+="$(awk -v one="$user" -v other="$system" 'BEGIN { print one + other }') "
    [[ ${peaks[$name]:-0} -ge $peak ]] || peaks[$name]=$peak
    # What it takes of the disk: a raw file has holes.
    sizes[$name]=$(($(stat -c '%b * %B' "$result")))
    [[ ${output[$job]} == raw ]] || sizes[$name]=$(stat -c %s "$result")
}

for ((run = 1; run <= runs; run++)); do
    step "run $run of $runs"
    for job in "${jobs[@]}"; do
        measure qemu "$job"
        measure imgraft "$job"
        [[ $run -gt 1 ]] || {
            qemu-img compare -q "${input[$job]}" "$work/imgraft.$job.${output[$job]}" || fail "the result differs: ${about[$job]}"
            [[ ${output[$job]} == raw ]] || qemu-img check -q "$work/imgraft.$job.qcow2" || fail "the result is damaged: ${about[$job]}"
        }
        rm -f "$work/"{imgraft,qemu}".$job.${output[$job]}"
    done
done

mib() { awk -v bytes="$1" 'BEGIN { printf "%.1f", bytes / 1048576 }'; }
# verdict VALUE OPERATOR TARGET
verdict() { awk -v value="$1" -v operator="$2" -v target="$3" 'BEGIN { print (operator == ">=" ? value >= target : value <= target) ? "met" : "MISSED" }'; }

printf '%-22s %-9s %8s %8s %10s %12s\n' job program 'wall s' 'CPU s' 'peak MiB' 'result MiB'
for job in "${jobs[@]}"; do
    for program in qemu imgraft; do
        name=$program.$job
        printf '%-22s %-9s %8s %8s %10s %12s\n' "${about[$job]}" "$program" "$(median "${walls[$name]}")" "$(median "${cpus[$name]}")" \
            "$(kib_as_mib "${peaks[$name]}")" "$(mib "${sizes[$name]}")"
    done
done
echo
lines=()
for job in "${jobs[@]}"; do
    faster=$(ratio "$(median "${walls[qemu.$job]}")" "$(median "${walls[imgraft.$job]}")")
    cpu=$(ratio "$(median "${cpus[qemu.$job]}")" "$(median "${cpus[imgraft.$job]}")")
    size=$(ratio "${sizes[imgraft.$job]}" "${sizes[qemu.$job]}")
    peak=$(kib_as_mib "${peaks[imgraft.$job]}")
    printf '%-22s %sx as fast (target %sx: %s; by CPU time %sx), %sx the size (target 1: %s), %s MiB (target 64: %s)\n' "${about[$job]}" \
        "$faster" "${wanted[$job]}" "$(verdict "$faster" '>=' "${wanted[$job]}")" "$cpu" \
        "$size" "$(verdict "${sizes[imgraft.$job]}" '<=' "${sizes[qemu.$job]}")" \
        "$peak" "$(verdict "$peak" '<=' 64)"
    lines+=("\"$job\": {\"times_as_fast\": $faster, \"times_as_fast_by_cpu\": $cpu, \"times_the_size\": $size, \"peak_mib\": $peak}")
done
[[ -z $json ]] || (IFS=,; printf '{%s}\n' "${lines[*]}") >"$json"

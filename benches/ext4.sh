#!/usr/bin/env bash
# benches/ext4.sh [--kind xfs] [--small] [--runs N] [--timeout SECONDS] [--folder FOLDER] [--tools "NAME…"]
#                 [--workloads "NAME…"]
#
# Our ext4 engine against the kernel, debugfs, virt-customize and two libraries, on one machine and in one run; with
# --kind xfs, as benches/xfs.sh has it, our XFS engine against the kernel and virt-customize:
# a folder is put into the root of an empty file system of 2 GiB, or removed from it. The folders: `large`, one
# file of 1 GB; `tree`, 50,000 files of 0 to 8 KiB in 500 directories; `flat`, 100,000 small files in one;
# `flat10`, 10,000 of them. --small: a tenth of each.
#
# Every measurement has a fresh image, laid out as a stock cloud image's root is, in a folder on a disk
# (--folder; target/bench-ext4), with warm caches. It ends when the image is on the disk: with an fsync of it,
# and for the kernel with umount before that. Mounting is not counted. What takes longer than 10 s is run once,
# what takes longer than the timeout (60 s; virt-customize has five times that) is stopped, all else gives the median of
# N runs (3). CPU time is user and system time of the tool's processes; the kernel's own threads are not in it.
#
# Every result is judged by `e2fsck -fn` or `xfs_repair -n` and, over a mount, compared with the source: what is broken has no time.
# A missed target is printed and is no failure.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
# shellcheck source=scripts/steps.sh
source "$root/scripts/steps.sh"
cd "$root"

kind=ext4 tools=() workloads=({put,remove}-{large,tree,flat,flat10})
runs=3 timeout_s=60 tenth='' folder=${CARGO_TARGET_DIR:-$root/target}/bench-ext4
while [[ $# -gt 0 ]]; do
    [[ $1 == --small || $# -ge 2 ]] || fail "\`$1\` needs a value" "read the head of benches/ext4.sh"
    case $1 in
        --small) tenth=1 && shift && continue ;;
        --kind) kind=$2 ;;
        --runs) runs=$2 ;;
        --timeout) timeout_s=$2 ;;
        --folder) folder=$(realpath -m "$2") ;;
        --tools) read -ra tools <<<"$2" ;;
        --workloads) read -ra workloads <<<"$2" ;;
        *) fail "no option \`$1\`" "read the head of benches/ext4.sh" ;;
    esac
    shift 2
done
case $kind in
    ext4) ((${#tools[@]})) || tools=(ours kernel fstool rust-fs-ext4 debugfs virt-customize) ;;
    xfs) ((${#tools[@]})) || tools=(ours kernel virt-customize) ;;
    *) fail "no file system \`$kind\`" "ext4 and xfs are measured" ;;
esac

scripts/install-tools build bench
step "build ext4-bench"
target=${CARGO_TARGET_DIR:-$root/target}
export CARGO_TARGET_DIR=$target
cargo build --release --locked --manifest-path benches/ext4/Cargo.toml
bench=$target/release/ext4-bench

if [[ -n $tenth ]]; then scale=10 sources=$folder/small; else scale=1 sources=$folder/full; fi
image=$folder/image.$kind mount=$folder/mount
mkdir -p "$sources" "$mount"
declare -A files=([large]=1 [tree]=$((50000 / scale)) [flat]=$((100000 / scale)) [flat10]=$((10000 / scale)))
large_bytes=$((1000000000 / scale))

# shellcheck disable=SC2317  # reached by the trap
clean_up() {
    ! mountpoint -q "$mount" || as_root umount "$mount" || true
    rm -f "$image" "$folder"/{script,out,times,peak}
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# many_files FOLDER COUNT FILES-A-DIRECTORY LARGEST-BYTES: sizes from 0 up, evenly mixed
many_files() {
    local to=$1 count=$2 each=$3 largest=$4 i
    for ((i = 0; i < count; i += each)); do printf '%s/%03d\0' "$to" $((i / each)); done | xargs -0 mkdir -p
    awk -v to="$to" -v count="$count" -v each="$each" -v largest="$largest" 'BEGIN {
        while (length(text) < largest) text = text "what a small file of this bench holds, line " length(text) "\n"
        for (i = 0; i < count; i++) {
            name = sprintf("%s/%03d/file-%06d", to, i / each, i)
            printf "%s", substr(text, 1, i * 7919 % (largest + 1)) > name
            close(name)
        }
    }'
}

# A folder that was left half made is made again.
if [[ ! -e $sources/.made ]]; then
    step "make the sources: one file of $large_bytes bytes, ${files[tree]} files in directories, ${files[flat]} in one"
    rm -rf "${sources:?}"/*
    mkdir "$sources/large"
    head -c "$large_bytes" /dev/urandom >"$sources/large/file"
    many_files "$sources/tree" "${files[tree]}" 100 8192
    for name in flat flat10; do
        many_files "$sources/$name.in" "${files[$name]}" "${files[$name]}" 500
        mv "$sources/$name.in/000" "$sources/$name"
        rmdir "$sources/$name.in"
    done
    touch "$sources/.made"
fi

# A root file system by which virt-customize sees a guest, as empty as it can be.
step "make the image that all begin with"
skeleton=$folder/skeleton
mkdir -p "$skeleton"/{bin,etc,root,tmp,usr/bin,var/tmp}
echo "/dev/sda / $kind defaults 0 1" >"$skeleton/etc/fstab"
printf 'ID=debian\nVERSION_ID=13\nPRETTY_NAME="Debian"\n' >"$skeleton/etc/os-release"
echo 13.0 >"$skeleton/etc/debian_version"
copy_image() { cp --sparse=always "$1" "$image" && sync "$image"; }
kernel_mount() { as_root mount -o "loop,$1" "$image" "$mount"; }

rm -f "$sources/empty.$kind"
if [[ $kind == ext4 ]]; then
    mke2fs -q -t ext4 -b 4096 -N 163840 -O metadata_csum,64bit,^orphan_file,^metadata_csum_seed \
        -E root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0 -d "$skeleton" "$sources/empty.ext4" 2G >&2
else
    truncate -s 2G "$sources/empty.xfs"
    mkfs.xfs -q "$sources/empty.xfs" >&2
    copy_image "$sources/empty.xfs"
    kernel_mount rw
    as_root cp -a "$skeleton/." "$mount/"
    as_root umount "$mount"
    mv "$image" "$sources/empty.xfs"
fi

# filled NAME: the image from which NAME is to be removed, the kernel's work
filled() {
    [[ $sources/$1.$kind -nt $sources/empty.$kind ]] && return
    step "make the image from which $1 is removed"
    copy_image "$sources/empty.$kind"
    kernel_mount rw
    as_root cp -a "$sources/$1" "$mount/" && as_root umount "$mount"
    mv "$image" "$sources/$1.$kind"
}

# The tools. Each works on $image: prepare_TOOL JOB NAME is not measured, run_TOOL JOB NAME is.
measured=(/usr/bin/time -q -f %M -o "$folder/peak")
prepare_ours() { :; }
prepare_fstool() { :; }
prepare_rust-fs-ext4() { :; }
run_ours() {
    if [[ $kind == ext4 ]]; then run_library ours "$@"; else run_library ours-xfs "$@"; fi
}
run_fstool() { run_library fstool "$@"; }
run_rust-fs-ext4() { run_library rust-fs-ext4 "$@"; }
run_library() { "${measured[@]}" timeout "$timeout_s" "$bench" "$1" "$2" "$image" "$sources/$3"; }

prepare_kernel() { kernel_mount rw; }
# shellcheck disable=SC2016
run_kernel() {
    local change='cp -a "$1" "$2/"'
    [[ $1 == put ]] || change='rm -rf "$2/${1##*/}"'
    as_root "${measured[@]}" bash -c "$change"' && umount "$2" && sync "$3"' - "$sources/$2" "$mount" "$image"
}

# A directory comes before what is in it, and goes after it.
prepare_debugfs() {
    local order=() directory=mkdir file='write "'$sources'/%p"'
    [[ $1 == put ]] || order=(-depth) directory=rmdir file=rm
    (cd "$sources" && find "$2" "${order[@]}" -printf 'cd "/%h"\n' \( -type d -printf "$directory" -o -printf "$file" \) -printf ' "%f"\n') |
        awk '/^cd / { if ($0 == at) next; at = $0 } { print }' >"$folder/script"
}
# shellcheck disable=SC2016
run_debugfs() { "${measured[@]}" timeout "$timeout_s" bash -c 'debugfs -w -f "$1" "$2" && sync "$2"' - "$folder/script" "$image"; }

# As in seed-job.sh: emulated, with a kernel that this user can read, and with its appliance built before.
export LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg appliance_is_built=
prepare_virt-customize() {
    local kernel
    [[ -z $appliance_is_built ]] || return 0
    kernel=$(find /boot -name 'vmlinuz-*' | sort -V | tail -n 1)
    if [[ ! -r $kernel ]]; then
        as_root install -m 0644 "$kernel" "$folder/vmlinuz"
        export SUPERMIN_KERNEL=$folder/vmlinuz SUPERMIN_MODULES=/lib/modules/${kernel#/boot/vmlinuz-}
    fi
    guestfish -a /dev/null run
    appliance_is_built=1
}
# shellcheck disable=SC2016
run_virt-customize() {
    local change=(--copy-in "$sources/$2:/")
    [[ $1 == put ]] || change=(--delete "/$2")
    "${measured[@]}" timeout "$((timeout_s * 5))" bash -c 'virt-customize --format raw -a "$@" && sync "$1"' - \
        "$image" --quiet --no-network "${change[@]}"
}

# judge JOB NAME: says what is wrong with $image, if anything is
judge() {
    local finding
    local check=(e2fsck -fn)
    [[ $kind == ext4 ]] || check=(xfs_repair -n -f)
    if ! finding=$("${check[@]}" "$image" 2>&1); then
        grep -m 1 -vE '^(e2fsck |Pass |Phase |$)' <<<"$finding" || echo "${check[*]} fails"
        return
    fi
    kernel_mount ro
    if [[ $1 == put ]]; then
        finding=$(as_root diff -rq "$sources/$2" "$mount/$2" 2>&1 | head -n 1)
        [[ -z $finding ]] || echo "$finding"
    else
        [[ ! -e $mount/$2 ]] || echo "$2 is still there"
    fi
    as_root umount "$mount"
}

declare -A walls cpus peaks results
# measure TOOL JOB NAME: adds to the times of this workload, or says in $results why there are none
measure() {
    local tool=$1 job=$2 name=$3 key="$1 $2-$3" status=0 problem wall user system cpu peak
    local TIMEFORMAT='%3R %3U %3S'
    if [[ $job == put ]]; then copy_image "$sources/empty.$kind"; else copy_image "$sources/$name.$kind"; fi
    "prepare_$tool" "$job" "$name"
    { time "run_$tool" "$job" "$name" >"$folder/out" 2>&1 || status=$?; } 2>"$folder/times"
    read -r wall user system <"$folder/times"
    ! mountpoint -q "$mount" || as_root umount "$mount"
    if [[ $status -eq 124 ]]; then
        problem="> ${wall%.*} s"
    elif [[ $status -ne 0 ]]; then
        problem=$(grep -m 1 error: "$folder/out" || tail -n 1 "$folder/out")
        problem="exit status $status: ${problem#error: }"
    elif [[ -z ${walls[$key]:-} ]]; then
        problem=$(judge "$job" "$name")
        [[ -z $problem ]] || problem="broken after $wall s: $problem"
    fi
    if [[ -n ${problem:-} ]]; then
        results[$key]=$problem
        say "$key: $problem"
        return
    fi
    peak=$(tail -n 1 "$folder/peak")
    cpu=$(awk -v a="$user" -v b="$system" 'BEGIN { print a + b }')
    walls[$key]+="$wall " cpus[$key]+="$cpu "
    ((peak <= ${peaks[$key]:-0})) || peaks[$key]=$peak
    say "$key: $wall s, $cpu s of CPU, $((peak / 1024)) MiB"
}

for workload in "${workloads[@]}"; do
    job=${workload%%-*} name=${workload#*-}
    [[ $job == put ]] || filled "$name"
    find "$sources/$name" -type f -exec cat {} + >/dev/null
    for ((run = 1; run <= runs; run++)); do
        step "$workload, run $run of $runs"
        for tool in "${tools[@]}"; do
            key="$tool $workload"
            # Neither what failed nor what takes long is run again.
            [[ -z ${results[$key]:-} ]] || continue
            awk -v first="${walls[$key]:-0}" 'BEGIN { exit first + 0 > 10 }' || continue
            measure "$tool" "$job" "$name"
        done
    done
done

median() { tr ' ' '\n' <<<"$1" | grep . | sort -n | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.3f", a / b; else print "-" }'; }

printf '\n%s, %s CPUs, load %s at the end\n\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
    "$(nproc)" "$(cut -d ' ' -f 1 /proc/loadavg)"
row='%-14s %-15s %8s %8s %8s %8s %9s %9s\n'
# shellcheck disable=SC2059  # one format for all rows
printf "$row" workload tool 'wall s' 'CPU s' '/ ours' '/ ours' files/s 'peak MiB'
for workload in "${workloads[@]}"; do
    ours="ours $workload"
    for tool in "${tools[@]}"; do
        key="$tool $workload"
        if [[ -z ${walls[$key]:-} ]]; then
            printf '%-14s %-15s    %s\n' "$workload" "$tool" "${results[$key]}"
            continue
        fi
        wall=$(median "${walls[$key]}") cpu=$(median "${cpus[$key]}")
        wall_ratio=- cpu_ratio=-
        if [[ -n ${walls[$ours]:-} ]]; then
            wall_ratio=$(ratio "$wall" "$(median "${walls[$ours]}")") cpu_ratio=$(ratio "$cpu" "$(median "${cpus[$ours]}")")
        fi
        # shellcheck disable=SC2059
        printf "$row" "$workload" "$tool" "$(ratio "$wall" 1)" "$(ratio "$cpu" 1)" "$wall_ratio" "$cpu_ratio" \
            "$(ratio "${files[${workload#*-}]}" "$wall" | cut -d . -f 1)" "$((peaks[$key] / 1024))"
    done
done
echo

# target NAME VALUE BOUND: prints whether VALUE is at most BOUND, where both are known
target() {
    [[ -n $2 && -n $3 ]] || return 0
    awk -v name="$1" -v v="$2" -v b="$3" 'BEGIN {
        printf "%-50s %9.3f  at most %9.3f  %s\n", name, v, b, v <= b ? "reached" : "MISSED" }'
}
# wall_of KEY…: the least of their wall times
wall_of() { for key; do [[ -z ${walls[$key]:-} ]] || median "${walls[$key]}"; done | sort -n | head -n 1; }
peak=0
for workload in "${workloads[@]}"; do
    target "$workload: seconds, against the kernel" "$(wall_of "ours $workload")" "$(wall_of "kernel $workload")"
    target "$workload: seconds, against the faster library" "$(wall_of "ours $workload")" "$(wall_of {fstool,rust-fs-ext4}" $workload")"
    ((${peaks[ours $workload]:-0} <= peak)) || peak=${peaks[ours $workload]}
done
# Ten times the files are to take ten times the CPU time, and a little more where they no longer fit into caches.
for job in put remove; do
    [[ -n ${cpus[ours $job-flat]:-} && -n ${cpus[ours $job-flat10]:-} ]] || continue
    target "$job-flat: CPU time, in those of $job-flat10" \
        "$(ratio "$(median "${cpus[ours $job-flat]}")" "$(median "${cpus[ours $job-flat10]}")")" 15
done
target 'peak memory in MiB' "$(awk -v kib="$peak" 'BEGIN { print kib / 1024 }')" 64

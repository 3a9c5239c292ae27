# shellcheck shell=bash
# Sourced by the benchmarks here: what they measure with, and how they hold it against what is to be reached.
# It needs scripts/steps.sh, and the folder of the project as the current one.

# The folder for what cargo makes.
target=${CARGO_TARGET_DIR:-$PWD/target}
# What `target` printed, as JSON, one for each.
targets=()

# build_imgraft: a release as users have it, in $imgraft
build_imgraft() {
    local triple=x86_64-unknown-linux-gnu
    step "build imgraft"
    RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --locked --target "$triple" -p imgraft
    # shellcheck disable=SC2034  # for who sources this
    imgraft=$target/$triple/release/imgraft
}

# make_payload FILE: 110 MB that compress as programs do, made once
payload_bytes=110000000
make_payload() {
    [[ ! -s $1 ]] || return 0
    step "make a payload of $payload_bytes bytes out of this machine's own executables and libraries"
    mkdir -p "$(dirname "$1")"
    # head ends the pipe early, and that is no error.
    { find /usr/bin /usr/lib -type f -size +64k -perm -u+r \( -perm -u+x -o -name '*.so*' \) -print0 2>/dev/null |
        LC_ALL=C sort -z | xargs -0 cat 2>/dev/null || true; } | head -c "$payload_bytes" >"$1.part"
    [[ $(stat -c %s "$1.part") -eq $payload_bytes ]] ||
        fail "this machine has too few executables" "install some, such as those of scripts/install-tools"
    mv "$1.part" "$1"
}

# prepare_appliance FOLDER: libguestfs' own machine, built, emulated, and with a kernel that this user can read,
# of which a copy is put into FOLDER where it needs one
prepare_appliance() {
    local kernel
    step "start virt-customize's appliance once, so that it is built (a minute or two)"
    export LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg
    kernel=$(find /boot -name 'vmlinuz-*' | sort -V | tail -n 1)
    if [[ ! -r $kernel ]]; then
        as_root install -m 0644 "$kernel" "$1/vmlinuz"
        export SUPERMIN_KERNEL=$1/vmlinuz SUPERMIN_MODULES=/lib/modules/${kernel#/boot/vmlinuz-}
    fi
    guestfish -a /dev/null run >&2 ||
        fail "libguestfs does not start" "run libguestfs-test-tool; it needs a readable kernel in /boot and its modules"
}

# rss_kib PID: what this process and all below it hold now
rss_kib() {
    ps -e -o pid=,ppid=,rss= | awk -v top="$1" '
        { parent[$1] = $2; rss[$1] = $3 }
        END {
            for (pid in rss) {
                for (at = pid; at in parent && at != top; at = parent[at]);
                if (at == top) sum += rss[pid]
            }
            print sum + 0
        }'
}

# wait_for_peak PID: waits for it, and leaves in $peak the most KiB that it and all below it held, looked at
# five times a second
wait_for_peak() {
    local now
    peak=0
    while kill -0 "$1" 2>/dev/null; do
        now=$(rss_kib "$1")
        ((now <= peak)) || peak=$now
        sleep 0.2
    done
    wait "$1"
}

# seconds_since EPOCHREALTIME
seconds_since() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.3f", to - from }'; }
# median "NUMBER NUMBER…"
median() { tr ' ' '\n' <<<"$1" | grep . | sort -n | awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", (b > 0 ? a / b : 0) }'; }
kib_as_mib() { awk -v kib="$1" 'BEGIN { printf "%.1f", kib / 1024 }'; }
machine() { echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) CPUs, load $(cut -d ' ' -f 1 /proc/loadavg) at the end"; }

# target NAME VALUE at-least|at-most BOUND: a missed one is printed and is no failure
target() {
    local verdict
    verdict=$(awk -v v="$2" -v how="$3" -v b="$4" 'BEGIN { print (how == "at-least" ? v >= b : v <= b) ? "reached" : "MISSED" }')
    printf '%-58s %9s  %-8s %5s  %s\n' "$1" "$2" "$3" "$4" "$verdict"
    targets+=("$(printf '{"target": "%s", "value": %s, "%s": %s, "reached": %s}' "$1" "$2" "${3/-/_}" "$4" \
        "$([[ $verdict == reached ]] && echo true || echo false)")")
}

# json_list "NUMBER NUMBER…"; json_targets
json_list() { xargs <<<"$1" | sed 's/ /, /g'; }
json_targets() { (IFS=$'\n' && echo "${targets[*]}") | sed '$!s/$/,/; 2,$s/^/  /'; }

#!/usr/bin/env bash
# Looks for what the other steps need, lets commands in the guest run, and says what is to be cached.
set -euo pipefail
# shellcheck source=actions/build/common.sh
source "$GITHUB_ACTION_PATH/common.sh"

command -v imgraft >/dev/null ||
    fail "there is no imgraft on this runner" "install it in a step before this one: uses: imgraft/imgraft/actions/setup"
command -v jq >/dev/null || fail "there is no jq on this runner" "install the package jq in a step before this one"
if is_on test && ! compgen -c qemu-system- >/dev/null; then
    fail "the image is to be tested, and there is no QEMU on this runner" \
        "install it in a step before this one: sudo apt-get install qemu-system-x86 ovmf"
fi
work=$(mktemp -d "$RUNNER_TEMP/imgraft-build.XXXXXX")
output work "$work"

# Ubuntu lets no program make user namespaces that AppArmor has no profile of, and commands in the guest need one.
value_of() { sysctl -n "$1" 2>/dev/null || echo 0; }
restrictions=() allowing=()
for name in kernel.apparmor_restrict_unprivileged_userns kernel.apparmor_restrict_unprivileged_unconfined; do
    if [[ $(value_of "$name") != 0 ]]; then restrictions+=("$name") allowing+=("$name=0"); fi
done
if [[ ${#restrictions[@]} -gt 0 && $(id -u) -ne 0 ]]; then
    command=(sysctl -q -w "${allowing[@]}")
    # A runner of GitHub's is thrown away after the job, and another one may be somebody's machine.
    if [[ ${RUNNER_ENVIRONMENT:-} == github-hosted ]] && sudo -n "${command[@]}"; then
        echo "set ${allowing[*]}: commands in the guest need user namespaces, which this runner restricts"
    else
        annotate notice "this runner restricts user namespaces, and commands in the guest need them"$'\n'"hint: sudo ${command[*]}"
    fi
fi

if is_on cache; then
    lock=$(dirname "${INPUT_RECIPE:-imgraft.toml}")/imgraft.lock
    if [[ -f $lock ]]; then
        digest=$(sha256sum <"$lock")
        output cache-key "imgraft-$RUNNER_OS-$RUNNER_ARCH-${digest%% *}"
        output cache-path "${IMGRAFT_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/imgraft}"
    else
        echo "no base is cached: there is no $lock"
    fi
fi

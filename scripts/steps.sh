# shellcheck shell=bash
# Sourced by every script here: how a step is announced, how a failure reads, how root is reached.
# Everything goes to standard error; standard output is for what a script was asked for.

# Many of the tools are in sbin, which is not on an ordinary user's path.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
current_step=start
# One clock for a script and those that it calls.
export STEPS_SINCE=${STEPS_SINCE:-$EPOCHSECONDS}

step() {
    current_step=$*
    printf '==> [%3d s] %s\n' $((EPOCHSECONDS - STEPS_SINCE)) "$current_step" >&2
}

say() { printf '    %s\n' "$*" >&2; }

# fail WHAT [WHAT-TO-DO]
fail() {
    printf 'error: %s: at step: %s\n  cause: %s\n' "${0##*/}" "$current_step" "$1" >&2
    [[ $# -lt 2 ]] || printf 'hint: %s\n' "$2" >&2
    exit 1
}

# A command that nobody foresaw to fail is named with its place. Subshells leave the telling to their parent.
on_error() {
    [[ $BASH_SUBSHELL -gt 0 ]] ||
        printf 'error: %s: at step: %s\n  cause: line %s: %s: exit status %s\n' \
            "${0##*/}" "$current_step" "$2" "$3" "$1" >&2
    exit "$1"
}
set -E
trap 'on_error "$?" "$LINENO" "$BASH_COMMAND"' ERR

has() { command -v "$1" >/dev/null; }

# as_root COMMAND…
as_root() {
    if [[ $EUID -eq 0 ]]; then
        "$@"
    elif has sudo; then
        sudo env STEPS_SINCE="$STEPS_SINCE" "$@"
    else
        fail "this step needs root, and there is no sudo" "as root, run: ${ROOT_HINT:-$*}"
    fi
}

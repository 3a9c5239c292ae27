#!/bin/sh
# install.sh [--version VERSION] [--prefix DIR] [--from DIR] [--checksum SHA256]
#
# Installs imgraft from a release: the program, its manual pages and completions, under /usr/local for root and under
# ~/.local for everybody else. Nothing is put before the archive was found to be the one of SHA256SUMS and the program in
# it to run here, and all of it is put or nothing.
#
# --version 0.1.0       that release, and not the newest
# --prefix DIR          under DIR
# --from DIR            a folder that has the release's archive and SHA256SUMS: no network is used
# --checksum SHA256     the archive must be this one, whatever SHA256SUMS says
# IMGRAFT_RELEASES: a mirror in place of https://github.com/imgraft/imgraft/releases.
set -eu
umask 022

say() { printf '%s\n' "$*"; }
# fail WHAT [WHAT-TO-DO]
fail() {
    printf 'error: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf 'hint: %s\n' "$2" >&2
    exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }

target_of_this_machine() {
    [ "$(uname -s)" = Linux ] || fail "there is no release for $(uname -s)" "imgraft runs on Linux"
    case $(uname -m) in
        x86_64 | amd64) echo x86_64-unknown-linux-musl ;;
        aarch64 | arm64) echo aarch64-unknown-linux-musl ;;
        *) fail "there is no release for the processor $(uname -m)" "build it: cargo install imgraft" ;;
    esac
}

# download ADDRESS FILE
download() {
    if has curl; then
        curl -fsSL --retry 3 -o "$2" "$1" || fail "$1 could not be downloaded" "curl's message is above; without a network: --from DIR"
    elif has wget; then
        wget -q -O "$2" "$1" || fail "$1 could not be downloaded" "without a network: --from DIR"
    else
        fail "this machine has neither curl nor wget" "install one of them, or download the release elsewhere: --from DIR"
    fi
}

sha256_of() {
    if has sha256sum; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -d ' ' -f 1
}

# stage MODE SOURCE DESTINATION: everything that can fail is done before the first file gets its name
stage() {
    mkdir -p "$(dirname "$3")" || fail "the folder of $3 cannot be made" "choose another one with --prefix"
    [ ! -d "$3" ] || fail "$3 is a folder" "choose another prefix with --prefix"
    printf '%s\n' "$3" >>"$work/staged"
    { cp "$2" "$3.imgraft-new" && chmod "$1" "$3.imgraft-new"; } ||
        fail "$3 cannot be written" "choose a folder of yours with --prefix, or run this as root"
}

tidy_up() {
    [ -n "$work" ] || return 0
    if [ -f "$work/staged" ]; then
        while IFS= read -r file; do rm -f "$file.imgraft-new"; done <"$work/staged"
    fi
    rm -rf "$work"
}

main() {
    version='' prefix='' from='' checksum=''
    while [ $# -gt 0 ]; do
        case $1 in
            -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p;}' "$0" && exit 0 ;;
            --version | --prefix | --from | --checksum) [ $# -ge 2 ] || fail "\`$1\` needs a value" ;;
            *) fail "no option \`$1\`" "the options are --version, --prefix, --from, --checksum" ;;
        esac
        case $1 in
            --version) version=${2#v} ;;
            --prefix) prefix=$2 ;;
            --from) from=$2 ;;
            --checksum) checksum=$2 ;;
        esac
        shift 2
    done
    if [ -z "$prefix" ]; then
        if [ "$(id -u)" -eq 0 ]; then prefix=/usr/local; else prefix=$HOME/.local; fi
    fi
    target=$(target_of_this_machine)
    releases=${IMGRAFT_RELEASES:-https://github.com/imgraft/imgraft/releases}
    if [ -n "$version" ]; then place=$releases/download/v$version; else place=$releases/latest/download; fi
    has sha256sum || has shasum || fail "this machine has no sha256sum" "install coreutils"

    work=''
    trap tidy_up EXIT
    trap 'exit 130' INT TERM HUP
    work=$(mktemp -d)
    if [ -n "$from" ]; then
        [ -f "$from/SHA256SUMS" ] || fail "$from has no SHA256SUMS" "put it beside the archive"
        cp "$from/SHA256SUMS" "$work/SHA256SUMS"
    else
        download "$place/SHA256SUMS" "$work/SHA256SUMS"
    fi
    # A line is a digest, two characters, a name.
    archive=$(sed -n "s/^[0-9a-f]\{64\} [ *]\(imgraft-${version:-[0-9][^/]*}-$target\.tar\.gz\)\$/\1/p" "$work/SHA256SUMS")
    case $archive in
        '') fail "SHA256SUMS names no imgraft-${version:-VERSION}-$target.tar.gz" "look at what the release has" ;;
        *"
"*) fail "SHA256SUMS names several releases" "say which with --version" ;;
    esac
    digest=$(sed -n "s/^\([0-9a-f]\{64\}\) [ *]$archive\$/\1/p" "$work/SHA256SUMS")
    if [ -n "$from" ]; then
        cp "$from/$archive" "$work/$archive" || fail "$from has no $archive"
    else
        say "download $place/$archive"
        download "$place/$archive" "$work/$archive"
    fi
    found=$(sha256_of "$work/$archive")
    [ "$found" = "$digest" ] ||
        fail "$archive has the SHA-256 $found, and SHA256SUMS says $digest; nothing was installed" "download it again"
    [ -z "$checksum" ] || [ "$found" = "$checksum" ] ||
        fail "$archive has the SHA-256 $found, and not $checksum; nothing was installed" "see which release that is the checksum of"
    tar -xzf "$work/$archive" -C "$work"
    unpacked=$work/${archive%.tar.gz}
    says=$("$unpacked/imgraft" --version) || fail "the program of $archive does not run on this machine; nothing was installed"

    for page in "$unpacked"/man/*.1; do
        stage 644 "$page" "$prefix/share/man/man1/${page##*/}"
    done
    stage 644 "$unpacked/completions/imgraft.bash" "$prefix/share/bash-completion/completions/imgraft"
    stage 644 "$unpacked/completions/_imgraft" "$prefix/share/zsh/site-functions/_imgraft"
    stage 644 "$unpacked/completions/imgraft.fish" "$prefix/share/fish/vendor_completions.d/imgraft.fish"
    stage 644 "$unpacked/THIRD-PARTY-LICENSES" "$prefix/share/doc/imgraft/THIRD-PARTY-LICENSES"
    stage 644 "$unpacked/LICENSE-MIT" "$prefix/share/doc/imgraft/LICENSE-MIT"
    stage 644 "$unpacked/LICENSE-APACHE" "$prefix/share/doc/imgraft/LICENSE-APACHE"
    # The program comes last.
    stage 755 "$unpacked/imgraft" "$prefix/bin/imgraft"
    # Ctrl-C in the middle of this would leave some of the old release.
    trap '' INT TERM HUP
    while IFS= read -r file; do mv -f "$file.imgraft-new" "$file"; done <"$work/staged"

    say "installed $says as $prefix/bin/imgraft, manual pages and completions under $prefix/share"
    case :$PATH: in
        *":$prefix/bin:"*) ;;
        *) say "$prefix/bin is not on PATH: add it, such as with: export PATH=\"$prefix/bin:\$PATH\"" ;;
    esac
    if [ "$(cat /proc/sys/kernel/apparmor_restrict_unprivileged_userns 2>/dev/null)" = 1 ]; then
        say "AppArmor keeps programs without a profile from making user namespaces: \`imgraft doctor\` says what to run"
    fi
}

# Nothing of this is carried out before all of it was read.
main "$@"

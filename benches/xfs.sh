#!/usr/bin/env bash
# benches/xfs.sh [OPTION…]
#
# Our XFS engine against the kernel and virt-customize: benches/ext4.sh, whose options these are, with XFS.
set -euo pipefail
exec "$(dirname "$0")/ext4.sh" --kind xfs "$@"

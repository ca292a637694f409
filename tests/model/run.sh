#!/bin/bash
# run.sh doorbell|lanes|upgrade|carrier - checks that model with spin: the protocol holds, and without any one of its parts it does not.
# Returns 77 when spin is not installed (Debian package: spin).  Takes some seconds; leaves nothing behind.
set -euo pipefail

name=${1:?which model}
model=$(cd "${0%/*}" && pwd)/$name.pml
command -v spin >/dev/null || { echo "spin is not installed: skipped"; exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
failed=0

# check OPTIMIZATION DEFINES...: pan's report, in ./report
check() {
    local optimization=$1
    shift
    spin -a "$@" "$model" >spin.log 2>&1 || { cat spin.log; exit 1; }
    "${CC:-cc}" "$optimization" -w -DSAFETY -DMEMLIM=1024 -DVECTORSZ=4096 -o pan pan.c
    ./pan -m100000 >report 2>&1 || true
}

# All states were looked at, and nothing was found.
holds() {
    check -O1 "$@"
    if grep -q 'errors: 0$' report &&
        ! grep -Eq 'pan:[0-9]+:|error: |max search depth too small|Search not completed' report; then
        echo "holds: ${*:-(as it is)}:$(sed -n 's/ states, stored.*/ states/p' report | tr -s ' ')"
    else
        echo "FAILED: must hold: ${*:-(as it is)}"
        cat report
        failed=1
    fi
}

# refuted WORD FINDING DEFINES...: a run is found that ends in FINDING.
refuted() {
    check -O0 "-D$1" "${@:3}"
    if grep -Eq "^pan:1: $2" report && grep -q 'errors: 1$' report; then
        echo "refuted: $1: $(sed -n 's/^pan:1: //p' report)"
    else
        echo "FAILED: must be refuted: $1"
        cat report
        failed=1
    fi
}

if [ "$name" = lanes ]; then
    holds
    holds -DWORKERS=2 -DTASKS=4
    holds -DGOES_ON -DTASKS=1
    refuted HOLD_NOTHING 'assertion violated .*begun'
    refuted NO_MARKS 'assertion violated .*moving'
    refuted MARK_STRAIGHT 'assertion violated .*moving'
    refuted MARK_FIRST 'assertion violated .*moving' -DTASKS=1
    refuted DROP_LATE 'invalid end state'
    refuted STAYS_READY 'invalid end state'
    exit $failed
fi
if [ "$name" = upgrade ]; then
    holds
    refuted HOLD_SUBTASKS 'invalid end state'
    refuted MARK_FIRST 'invalid end state'
    refuted LOOK_BY_WORKER 'assertion violated .*version'
    refuted DROP_HELD 'invalid end state'
    refuted DONE_UNSEEN 'assertion violated .*version'
    exit $failed
fi
if [ "$name" = carrier ]; then
    holds
    holds -DMOVES=2 -DTASKS=0
    holds -DHELD -DTASKS=2
    refuted NO_CLAIM 'assertion violated .*turned_by'
    refuted NO_RING 'invalid end state'
    refuted LOOK_FIRST 'invalid end state'
    refuted NO_ORDER 'invalid end state'
    refuted DRAIN_LATE 'invalid end state'
    refuted SLEEP_FREE 'invalid end state'
    exit $failed
fi
holds
holds -DPUSHERS=1 -DTASKS=4 -DSLOTS=2
refuted NO_FENCE_SLEEPER 'invalid end state'
refuted NO_FENCE_PUSHER 'invalid end state'
refuted NO_SECOND_LOOK 'invalid end state'
refuted RING_FIRST 'invalid end state'
refuted NO_READY 'assertion violated .*ready'
refuted READY_TWICE 'assertion violated .*listed'
exit $failed

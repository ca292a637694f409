#!/bin/bash
# digest.sh PROGRAM... - the simulator, built in several ways: all print the same digest of the same seeds.  COMPILER:missing in place of
# a program: not all could be built; ends with 77 then, for ctest's "skipped".
set -u
seeds=60 from=5000001 first=
for program in "$@"; do
    case $program in
    *:missing)
        echo "${program%:missing} is not installed (tools/setup --tests): its digests are not compared"
        exit 77
        ;;
    esac
done
for program in "$@"; do
    out=$("$program" --seeds $seeds --from $from) || { echo "${program##*/}: $out"; exit 1; }
    digest=$(sed -n 's/.*; digest \([0-9a-f]\{16\}\);.*/\1/p' <<<"$out")
    echo "${program##*/}: ${digest:-none}"
    [ -n "$digest" ] && [ "$digest" = "${first:=$digest}" ] || { echo "the digests differ"; exit 1; }
done

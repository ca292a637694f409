#!/bin/bash
# wire_test.sh TREE BUILD - runs the example of docs/WIRE.md as it stands there, in a folder of its own.
set -u
TOOL=wire_test
. "$1/tools/lib.sh"
temp_make
stop() { for pid in $(jobs -p); do kill "$pid"; done; }
AT_EXIT=stop
awk '/^## Try it$/ { inside = 1; next } /^## / { inside = 0 } inside && /^    / { print substr($0, 5) }' "$1/docs/WIRE.md" |
    sed "s|^until \(.*\); do sleep .*|reached() { \1; }; wait_for 40 reached \|\| exit 1|; s|build/release/bin|$2/bin|; s|/run/chimaera|$TEMP|; s|tools/config|$1/tools/config|" >"$TEMP/example"
for name in alpha beta; do # sockets of this test, and a core that every machine has
    sed "s/cores: \[1\]/cores: [$((1 % $(nproc)))]/; s|/run/chimaera|$TEMP|" "$1/tools/config/$name.yaml" >"$TEMP/$name.source"
    sed -i "s|$1/tools/config/$name.yaml|$TEMP/$name.source|" "$TEMP/example"
done
grep -q 'chi-wire' "$TEMP/example" || die 1 "docs/WIRE.md has no example"
{
    . "$TEMP/example"
} >"$TEMP/out" 2>&1
failed=0
has() { grep -qE "$1" "$TEMP/out" || { echo "no '$1'"; failed=1; }; }
has '^chi-wire: is ready: a is net_memif0, b is net_memif1, seed 1, control socket '
has '^a-b: loss=1% burst=3 dup=0.5% reorder=1%/300us corrupt=0.1% .* delay=200us .* cut=no$'
has 'contents verified: 0 wrong'
has '^cut: no answer in time$'
has '^ *lost: +[1-9]'
has '^ *cut: +[1-9]'
for pid in $(jobs -p); do
    kill "$pid"
    wait "$pid" || { echo "$pid ended with $?"; failed=1; }
done
[ "$failed" -eq 0 ] && echo "the example of docs/WIRE.md does what it says" || cat "$TEMP/out"
exit $failed

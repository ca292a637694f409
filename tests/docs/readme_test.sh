#!/bin/bash
# readme_test.sh TREE BUILD CC [SANITIZE] - takes the two C programs out of README.md and compiles them without a warning: the
# first is a client and is linked with libchi, the second a ChiMod and must export its entry.  A damaged copy must not compile.
set -u
tree=$1 build=$2 cc=$3 sanitize=${4:-}
temp=$(mktemp -d "${TMPDIR:-/tmp}/chimaera.XXXXXX") || exit 1
trap 'rm -rf "$temp"' EXIT
flags=(-std=c11 -Wall -Wextra -Werror -I "$tree/include" -I "$tree")
[ -z "$sanitize" ] || flags+=("-fsanitize=$sanitize")

fail() { echo "README.md: $*"; exit 1; }

# The k-th block that begins with ```c becomes example-K.c.
awk -v out="$temp" '/^```c$/ { n++; inside = 1; next } /^```/ { inside = 0 } inside { print > (out "/example-" n ".c") }' "$tree/README.md"
[ -f "$temp/example-1.c" ] && [ -f "$temp/example-2.c" ] && [ ! -f "$temp/example-3.c" ] || fail "holds two C programs"

client() { "$cc" "${flags[@]}" -o "$temp/client" "$1" -L "$build/lib" -lchi -Wl,-rpath,"$build/lib"; }
module() { "$cc" "${flags[@]}" -fPIC -shared -fvisibility=hidden -o "$temp/module.so" "$1"; }

client "$temp/example-1.c" || fail "the client does not compile"
module "$temp/example-2.c" || fail "the ChiMod does not compile"
nm -D --defined-only "$temp/module.so" | grep -q ' chi_chimod_entry$' || fail "the ChiMod exports no entry"

# The client ends with an error, and not with a signal, where there is no daemon.
"$temp/client" "$temp/none" >/dev/null 2>&1
status=$?
[ "$status" -ge 1 ] && [ "$status" -lt 126 ] || fail "the client ended with $status without a daemon"

sed 's/chi_submit/chi_submitt/' "$temp/example-1.c" >"$temp/bad.c"
! client "$temp/bad.c" 2>/dev/null || fail "a client with an unknown call compiles: this test is blind"
sed 's/chi_complete\|CHI_STATUS_OK/chi_unknown_word/' "$temp/example-2.c" >"$temp/bad.c"
! module "$temp/bad.c" 2>/dev/null || fail "a ChiMod with an unknown word compiles: this test is blind"
echo "README.md: both programs compile"

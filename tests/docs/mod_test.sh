#!/bin/bash
# mod_test.sh TREE BUILD - what chi-mod makes, installed and from the tree: it builds, its tests pass, a daemon runs it, a client calls it, its fuzz
# target runs; and what is spoilt in it is found, for its reason.
set -u
TOOL=mod_test
. "$1/tools/lib.sh"
temp_make
failed=0
fail() {
    echo "$*"
    failed=1
}
PREFIX=$TEMP/prefix
cmake --install "$2" --prefix "$PREFIX" >"$TEMP/log" 2>&1 || { cat "$TEMP/log"; exit 1; }
BUILD=$PREFIX
BIN=$PREFIX/bin
export PKG_CONFIG_PATH=$PREFIX/lib/pkgconfig
tally=$TEMP/tally
"$BIN/chi-mod" new tally --dir "$tally" >"$TEMP/out" 2>&1 || { cat "$TEMP/out"; exit 1; }
(cd "$TEMP" && mkdir -p tree && cd tree && bash "$1/tools/chi-mod" new tally >/dev/null) || fail "chi-mod of the tree makes nothing"
diff -r "$tally" "$TEMP/tree/tally" || fail "chi-mod of the tree makes another module"
! grep -rn '@name@\|@NAME@' "$tally" || fail "a word was not replaced"

# checks STATUS TEXT [FOLDER]: chi-mod check ends so, and says so.
checks() {
    local got
    "$BIN/chi-mod" check "${3:-$tally}" >"$TEMP/out" 2>&1
    got=$?
    [ $got -eq "$1" ] && grep -qF -- "$2" "$TEMP/out" || fail "chi-mod check: ended with $got and said: $(cat "$TEMP/out"); right is $1 and '$2'"
}
checks 0 "tally.so: module tally, ABI 4, 1 method: valid"
grep -qx "    in values vec<16> u64" "$TEMP/out" && grep -q "^  1 TALLY_SUM: " "$TEMP/out" || fail "no fields: $(cat "$TEMP/out")"

# spoilt FILE SED STATUS TEXT: a copy with one thing changed.
spoilt() {
    rm -rf "$TEMP/bad"
    cp -r "$tally" "$TEMP/bad"
    sed -i "$2" "$TEMP/bad/$1"
    ! cmp -s "$tally/$1" "$TEMP/bad/$1" || fail "$2 changes nothing"
    checks "$3" "$4" "$TEMP/bad"
}
spoilt tally.c 's/t->sum = 0;/int unused; t->sum = 0;/' 1 "unused"
spoilt tally.c 's/t->sum +=/t->sum -=/' 1 "its tests fail"
spoilt tally_mod.c 's/\.abi = CHI_CHIMOD_ABI/.abi = CHI_CHIMOD_ABI - 1/' 1 "has ABI 3, this daemon has 4"
spoilt tally_mod.c 's/\.name = "tally"/.name = "other"/' 1 "its table lacks its size, its name, init or run"
spoilt tally_mod.c 's/{&tally_sum_method}/{\&tally_sum_method, \&tally_sum_method}/' 1 "method number 1 is there twice"
spoilt tally_mod.c 's/^static struct chi_method \*const methods/static struct chi_field bad[] = {CHI_ROW("low", 8, 1, CHI_DIR_IN, CHI_T_U8)};\nstatic struct chi_method bad_method = CHI_METHOD(2, struct tally_sum, bad);\n&/; s/{&tally_sum_method}/{\&tally_sum_method, \&bad_method}/' \
    1 "it lies in the head that all tasks share (2.low)"
spoilt CMakeLists.txt 's/MODULE/STATIC/' 1 "builds no module"
spoilt tally.h 's|<chi/archive.h>|<archive/form.h>|' 1 "archive/form.h" # a header that is not installed

# In a daemon: the installed one, with the module that is built as its README says.
cmake -S "$tally" -B "$TEMP/built" >"$TEMP/log" 2>&1 && cmake --build "$TEMP/built" >>"$TEMP/log" 2>&1 || { cat "$TEMP/log"; exit 1; }
node_config alpha 1 0 adaptive
sed -i "s|path: \[|path: [$TEMP/built, |" "$TEMP/alpha.yaml"
echo "  - {mod: tally, pool: 200.0, name: tally}" >>"$TEMP/alpha.yaml"
daemon_start alpha || exit 1
awk '/^```c$/ { inside = 1; next } /^```/ { inside = 0 } inside' "$tally/README.md" >"$TEMP/client.c"
gcc -Wall -Wextra -Werror -I "$tally" "$TEMP/client.c" $(pkg-config --cflags --libs chimaera) -Wl,-rpath,"$PREFIX/lib" -o "$TEMP/client" || exit 1
said=$("$TEMP/client" "$TEMP/alpha.sock") || fail "the client ended with $?"
[ "$said" = "OK: 42" ] || fail "the client said '$said'"
"$BIN/chictl" --socket "$TEMP/alpha.sock" mod show tally >"$TEMP/out" 2>&1
grep -q "out sum u64" "$TEMP/out" || fail "mod show tally: $(cat "$TEMP/out")"
daemons_stop || fail "the daemon did not end by itself: $(cat "$TEMP/alpha.log")"

if command -v clang >/dev/null; then
    CC=clang cmake -S "$tally" -B "$TEMP/fuzz" >"$TEMP/log" 2>&1 && cmake --build "$TEMP/fuzz" >>"$TEMP/log" 2>&1 &&
        (cd "$TEMP/fuzz" && ./fuzz_tally -max_total_time=1) >>"$TEMP/log" 2>&1 || fail "the fuzz target: $(cat "$TEMP/log")"
    grep -q "Done [1-9]" "$TEMP/log" || fail "the fuzz target ran nothing: $(cat "$TEMP/log")"
fi

[ "$failed" -eq 0 ] && echo "what chi-mod makes is built, tested, loaded, called and fuzzed; what is wrong is found"
exit $failed

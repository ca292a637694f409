#!/bin/bash
# self_test.sh ROOT - the list of mutants fits the sources; and a list that does not, and wrong arguments, end with 2 and say why.
set -u
run=$1/tests/mutants/run
temp=$(mktemp -d "${TMPDIR:-/tmp}/chimaera.XXXXXX") || exit 1
trap 'rm -rf "$temp"' EXIT
failed=0

# ends STATUS TEXT ARGUMENT...: so must it end, and say that.
ends() {
    local want=$1 text=$2 said status
    shift 2
    said=$("$run" "$@" 2>&1)
    status=$?
    [ $status -eq "$want" ] && [[ $said == *"$text"* ]] && return
    echo "run $*: ended with $status, not $want and '$text': $said"
    failed=1
}
# listed STATUS TEXT LIST: the same of a list.
listed() {
    printf "%b" "$3" >"$temp/list"
    ends "$1" "$2" --check --from "$temp/list"
}

ends 0 "stands once in the sources" --check
ends 0 "packet_threshold" --list --only packet_threshold
ends 2 "usage" --nonsense
ends 2 "usage" stray
ends 2 "--jobs wants a number" --jobs 0
ends 2 "--jobs wants a number" --jobs
ends 2 "--seeds wants a number" --seeds x
ends 2 "--only wants names" --only
ends 2 "--from wants a file" --from "$temp/none"
ends 2 "no mutant is called unheard_of" --only unheard_of

good='file dataplane/base/ranges.c\nmutant one: a rule\n- if (n == RANGES_MAX)\n+ if (0)\n'
listed 0 "1 mutants" "$good"
listed 2 "another one" "$good$good"
listed 2 "any more" 'file dataplane/base/ranges.c\nmutant one: a rule\n- if (n == RANGES_MAX + 7)\n+ if (0)\n'
listed 2 "more than once" 'file dataplane/base/ranges.c\nmutant one: a rule\n- return 0;\n+ return 1;\n'
listed 2 "changes nothing" 'file dataplane/base/ranges.c\nmutant one: a rule\n- return 0;\n+ return 0;\n'
listed 2 "changes nothing" 'file dataplane/base/ranges.c\nmutant one: a rule\n+ return 0;\n'
listed 2 "any more" 'file dataplane/base/none.c\nmutant one: a rule\n- return 0;\n+ return 1;\n'
listed 2 "list:1: cannot be read" '- return 0;\n'
listed 2 "list:2: cannot be read" 'file dataplane/base/ranges.c\nmutant without a rule\n'
listed 2 "names no mutant" '# nothing\n'
exit $failed

#!/bin/bash
# run.sh RULE|all TREE BUILD - checks one house rule, or all; ends with 1 when there is a breach.
set -u
. "$(dirname "$0")/rules.sh"
[ $# -eq 3 ] || { echo "usage: run.sh RULE|all TREE BUILD; rules: $RULES" >&2; exit 2; }
rules=$1
[ "$rules" != all ] || rules=$RULES
failed=0
for rule in $rules; do
    declare -F "rule_$rule" >/dev/null || { echo "no rule $rule; rules: $RULES" >&2; exit 2; }
    if "rule_$rule" "$2" "$3"; then
        echo "$rule: kept"
    else
        echo "$rule: BROKEN"
        failed=1
    fi
done
exit $failed

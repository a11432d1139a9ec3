#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Runs one cmocka program for the harness and makes its output proper TAP.
#
# usage: run-unit.sh PROGRAM [ARGUMENT...]
#
# cmocka's own TAP needs mending: each group of tests starts to count anew and prints a plan of its
# own, a skipped test is 'not ok # SKIP' (cmocka 1.1.5), what the tests print is mixed in, and a
# program that dies leaves tests unsaid. Here it is one count, one plan at the end, other output as
# comments, and a failure for a program that ended early or with an error nobody told of. What a
# test printed last before skip() is taken for its reason.

CMOCKA_MESSAGE_OUTPUT=TAP
export CMOCKA_MESSAGE_OUTPUT
limit_s=${PYCORE_UNIT_LIMIT_S:-300}
command -v timeout > /dev/null && set -- timeout -k 5 "$limit_s" "$@"

# Not beside a system test that wants the machine for itself (SERIAL, see tests/tap.py).
if [ -d "${builddir:-}/tests" ] && command -v flock > /dev/null; then
    exec 9> "$builddir/tests/suite.lock"
    flock -s 9
fi

{
    "$@" 9>&-
    printf '\n::status %d\n' $?
} | awk -v limit_s="$limit_s" '
    /^[ \t]*1\.\.[0-9]+/ {
        split($1, range, /\.\./)
        planned += range[2]
        next
    }
    /^(not )?ok [0-9]+/ {
        bad = /^not ok/
        name = $0
        sub(/^(not )?ok [0-9]+( - )?/, "", name)
        count++
        if (name ~ /^ *# SKIP/) {
            sub(/^ *# SKIP */, "", name)
            print "ok " count " - " name " # SKIP " (said ? said : "the test gave no reason")
        } else {
            failures += bad
            gsub(/#/, "\\#", name)
            print (bad ? "not ok " : "ok ") count " - " name
        }
        said = ""
        next
    }
    /^::status / { status = $2; next }
    /^$/ { next }
    { sub(/^(# *)?/, "# "); print; said = substr($0, 3) }
    END {
        if (status == 124) why = "took longer than " limit_s " s"
        else if (status > 128) why = "was ended by signal " (status - 128)
        else if (count < planned) why = "ended after " count + 0 " of " planned " tests"
        else if (planned == 0) why = "ran no test"
        else if (status && !failures) why = "ended with status " status
        if (why) print "not ok " ++count " - the program " why
        print "1.." count
    }'

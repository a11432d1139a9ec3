#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The source lists of Makefile.am, made from what is in the tree: --print them, --write them between
# the marker lines, or --check that they are what they should be (exit status 1 and a diff if not).
#
# usage: source-lists.sh --print|--write|--check [TOP]

set -eu
LC_ALL=C
export LC_ALL

mode=${1:-}
cd "${2:-$(dirname "$0")/../..}"

# The order of the layers is the order of their dependence, lowest first.
layers="util mem target image unwind cpython sample snapshot dump capture profile heap diagnose report cli"

# entry NAME FILE...: one list, one file a line
entry() {
    printf '%s =' "$1"
    shift
    for file; do printf ' \\\n\t%s' "$file"; done
    printf '\n'
}

# files_in FOLDER FIND-TEST...: sorted files below FOLDER, none when there is no such folder
files_in() {
    folder=$1
    shift
    [ -d "$folder" ] || return 0
    find "$folder" -type f "$@" ! -path '*/.*' ! -path '*/__pycache__/*' | sort
}

# The system tests that want to be begun before the others, see tests/tap.py
begun_early() {
    files_in tests/system -name 'test_*.py' | xargs grep -l '^EARLY = True$'
}

print_lists() {
    all=
    data=
    for layer in $layers; do
        all="$all \$(${layer}_sources)"
        # shellcheck disable=SC2046 # file names in this tree have no blanks
        entry "${layer}_sources" $(files_in "src/$layer" \( -name '*.c' -o -name '*.h' \) \
            ! -path src/cli/main.c; files_in "include/$layer" -name '*.h')
        data="$data $({
            files_in "src/$layer" -name '*.def'
            files_in "include/$layer" -name '*.def'
        } | tr '\n' ' ')"
    done
    # shellcheck disable=SC2086
    entry layer_sources $all
    # shellcheck disable=SC2086
    entry layer_data $data
    # shellcheck disable=SC2046
    {
        entry unit_tests $(files_in tests/unit -name 'test_*.c' | sed 's/\.c$//')
        entry unit_helpers $(files_in tests/unit -name '*.[ch]' ! -name 'test_*.c')
        entry unit_test_files $(files_in tests/unit -name '*.*' ! -name '*.[cho]' \
            ! -name '*.log' ! -name '*.trs' ! -name '*.a')
        entry test_tools $(files_in tests/tools -name '*.c' | sed 's/\.c$//')
        entry system_tests $(begun_early; files_in tests/system -name 'test_*.py' |
            grep -vxF -e "$(begun_early)")
        entry fuzz_sources $(files_in tests/fuzz -name '*.[ch]' ! -path '*/corpus/*')
        entry test_files $(files_in tests ! -path 'tests/unit/*' ! -path 'tests/system/test_*.py' \
            ! -path 'tests/fuzz/*.[ch]' ! -path 'tests/fuzz/corpus/*' ! -name 'crash-*' \
            ! -name '*.pyc' ! -name '*.log' ! -name '*.trs' ! -name '*.o' \
            ! -path tests/interpreters.json ! -path tests/suite.lock \
            ! -path 'tests/situations/*' ! -path 'tests/go/*' |
            while read -r file; do
                # Not what a build inside the source tree leaves, nor what automake takes by itself.
                case $file in tests/tools/*.c) continue ;; esac
                [ -e "$file.c" ] || echo "$file"
            done)
        entry asset_files $(files_in src/report/assets \( -name '*.js' -o -name '*.css' \
            -o -name '*.html' \))
        entry example_files $(files_in examples ! -name '*.pyc')
    }
}

# Makefile.am with the text between the markers replaced by standard input
merge() {
    lists=$(cat)
    sed -n '1,/^# BEGIN source lists/p' Makefile.am
    printf '%s\n' "$lists"
    sed -n '/^# END source lists/,$p' Makefile.am
}

case $mode in
--print) print_lists ;;
--check)
    expected=$(mktemp)
    trap 'rm -f "$expected"' EXIT
    print_lists | merge > "$expected"
    diff -u Makefile.am "$expected"
    ;;
--write)
    print_lists | merge > Makefile.am.new
    if cmp -s Makefile.am Makefile.am.new; then
        rm -f Makefile.am.new
    else
        mv Makefile.am.new Makefile.am
    fi
    ;;
*)
    sed -n 's/^# usage: /usage: /p' "$0" >&2
    exit 64
    ;;
esac

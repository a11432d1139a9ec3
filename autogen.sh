#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# From a fresh git checkout to a configure script, a first report, or a checked tree.
#
# usage: ./autogen.sh            make ./configure and Makefile.in (autoreconf)
#        ./autogen.sh demo       install what is missing, build, and look at a busy Python program
#        ./autogen.sh check [--free-threaded]
#                                install what is missing, build with gcc, with sanitizers and with
#                                clang, run the whole suite, and count
#        ./autogen.sh help
#
# demo and check build in ./build and ask nothing. Packages come from the system's package manager
# (through sudo when not root), and only when a look at the machine finds one missing.

set -eu
cd "$(dirname "$0")"
top=$(pwd)
jobs=$(getconf _NPROCESSORS_ONLN 2> /dev/null || echo 2)

say() {
    printf '== %s\n' "$*"
}

die() {
    printf 'autogen.sh: %s\n' "$*" >&2
    exit 1
}

# ---- Packages ------------------------------------------------------------------------------------

# What tells that a thing is there, and the package that brings it: apt, dnf, apk, pacman, zypper;
# '-' where the name is not known or nothing is needed.
#   cmd:NAME  a program       pc:NAME  a pkg-config module       cc:FLAGS  compiles and links so
#   py:NAME   a Python module
#   go:NAME   a tool that comes with a Go; later ones build it at its first use, which takes a minute
build_needs='
cmd:autoreconf autoconf         autoconf              autoconf     autoconf   autoconf
cmd:automake   automake         automake              automake     automake   automake
cmd:m4         m4               m4                    m4           m4         m4
cmd:make       make             make                  make         make       make
cmd:pkg-config pkg-config       pkgconf-pkg-config    pkgconf      pkgconf    pkgconf-pkg-config
cmd:gcc        gcc              gcc                   gcc          gcc        gcc
cc:-O2         libc6-dev        glibc-devel           musl-dev     glibc      glibc-devel
pc:libelf      libelf-dev       elfutils-libelf-devel elfutils-dev libelf     libelf-devel
pc:libdw       libdw-dev        elfutils-devel        elfutils-dev libelf     libdw-devel
pc:zlib        zlib1g-dev       zlib-devel            zlib-dev     zlib       zlib-devel
'
# pycore is built without these where they cannot be had: names of C++ and Rust are then shown as the
# compiler made them, symbols in .gnu_debugdata are not found, cores in zst, lz4 or xz must be unpacked
# by hand, and top prints tables in the place of its live view.
build_wants='
cc:-liberty    libiberty-dev    binutils-devel        binutils-dev binutils   binutils-devel
pc:liblzma     liblzma-dev      xz-devel              xz-dev       xz         xz-devel
pc:libzstd     libzstd-dev      libzstd-devel         zstd-dev     zstd       libzstd-devel
pc:liblz4      liblz4-dev       lz4-devel             lz4-dev      lz4        liblz4-devel
pc:ncursesw    libncurses-dev   ncurses-devel         ncurses-dev  ncurses    ncurses-devel
pc:capstone    libcapstone-dev  capstone-devel        capstone-dev capstone   libcapstone-devel
'
demo_needs='
cmd:python3    python3          python3               python3      python     python3
'
# Only some of the tests need these; where one cannot be had, those tests are skipped by name.
check_needs='
cmd:python3    python3          python3               python3      python     python3
py:pip         python3-pip      python3-pip           py3-pip      python-pip python3-pip
py:jsonschema  python3-jsonschema python3-jsonschema  py3-jsonschema python-jsonschema python3-jsonschema
pc:cmocka      libcmocka-dev    libcmocka-devel       cmocka-dev   cmocka     libcmocka-devel
cc:-fsanitize=address,undefined - libasan+libubsan    -            -          -
cmd:g++        g++              gcc-c++               g++          gcc        gcc-c++
cmd:clang      clang            clang                 clang        clang      clang
cmd:gdb        gdb              gdb                   gdb          gdb        gdb
cmd:valgrind   valgrind         valgrind              valgrind     valgrind   valgrind
cmd:protoc     protobuf-compiler protobuf-compiler    protoc       protobuf   protobuf-devel
go:pprof       golang-go        golang                go           go         go
cmd:eu-stack   elfutils         elfutils              elfutils     elfutils   elfutils
cmd:readelf    binutils         binutils              binutils     binutils   binutils
cmd:patchelf   patchelf         patchelf              patchelf     patchelf   patchelf
cmd:xz         xz-utils         xz                    xz           xz         xz
cmd:zstd       zstd             zstd                  zstd         zstd       zstd
cmd:lz4        lz4              lz4                   lz4          lz4        lz4
cmd:tmux       tmux             tmux                  tmux         tmux       tmux
cmd:groff      groff-base       groff-base            groff        groff      groff
cmd:fish       fish             fish                  fish         fish       fish
cmd:zsh        zsh              zsh                   zsh          zsh        zsh
cmd:flock      util-linux       util-linux-core       flock        util-linux util-linux
cmd:xmllint    libxml2-utils    libxml2               libxml2-utils libxml2   libxml2-tools
cmd:chromium   chromium         chromium              chromium     chromium   chromium
cmd:node       nodejs           nodejs                nodejs       nodejs     nodejs
cmd:npm        npm              npm                   npm          npm        npm
cmd:timeout    coreutils        coreutils             coreutils    coreutils  coreutils
'

is_there() {
    case $1 in
    cmd:*) command -v "${1#cmd:}" > /dev/null 2>&1 ;;
    py:*) python3 -c "import ${1#py:}" > /dev/null 2>&1 ;;
    go:*) echo "$PATH" | tr : '\n' | while read -r folder; do
        [ ! -e "$($folder/go env GOTOOLDIR 2> /dev/null)/${1#go:}" ] || echo there
    done | grep -q there ;;
    pc:*) pkg-config --exists "${1#pc:}" 2> /dev/null ;;
    cc:*) printf '#include <stdio.h>\nint main(void) { return puts("") < 0; }\n' |
        gcc "${1#cc:}" -x c - -o /dev/null 2> /dev/null ;;
    esac
}

# missing_in TABLE: 'what package' for each thing that is not on this machine
missing_in() {
    echo "$1" | while read -r what apt dnf apk pacman zypper; do
        [ -n "$what" ] && ! is_there "$what" || continue
        case $manager in
        apt-get) package=$apt ;;
        dnf) package=$dnf ;;
        apk) package=$apk ;;
        pacman) package=$pacman ;;
        zypper) package=$zypper ;;
        *) package=- ;;
        esac
        echo "$what $(echo "$package" | tr + ' ')"
    done
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo > /dev/null; then
        sudo "$@"
    else
        echo "autogen.sh: not root and no sudo here: cannot run: $*" >&2
        return 1
    fi
}

install_packages() {
    case $manager in
    apt-get)
        # One source that cannot be reached (a third party's, say) must not stop the rest.
        as_root apt-get -q update || :
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "$@"
        ;;
    dnf) as_root dnf install -y "$@" ;;
    apk) as_root apk add "$@" ;;
    pacman) as_root pacman -Sy --noconfirm --needed "$@" ;;
    zypper) as_root zypper --non-interactive install "$@" ;;
    *) return 1 ;;
    esac < /dev/null
}

# provide TABLE: installs what is missing of it, in one go, and one by one when that fails
provide() {
    manager=none
    for candidate in apt-get dnf apk pacman zypper; do
        if command -v "$candidate" > /dev/null; then
            manager=$candidate
            break
        fi
    done
    packages=$(missing_in "$1" | cut -d' ' -f2- | tr ' ' '\n' | grep -v '^-$' | sort -u) || :
    [ -n "$packages" ] || return 0
    say "installing $(echo "$packages" | tr '\n' ' ')with $manager"
    # shellcheck disable=SC2086
    install_packages $packages && return 0
    for package in $packages; do
        install_packages "$package" || say "could not install $package"
    done
}

# demand TABLE: ends with a list of what is still missing
demand() {
    still=$(missing_in "$1")
    [ -z "$still" ] || die "still missing: $(echo "$still" | awk '
        { printf "%s%s (%s)", sep, $1, $2 == "-" ? "package name unknown here" : "package " $2
          sep = ", " }')"
}

# ---- Steps ---------------------------------------------------------------------------------------

reconf() {
    autoreconf -fi
}

# build FOLDER [CONFIGURE-ARGUMENT...]
build() {
    folder=$1
    shift
    mkdir -p "$folder"
    (cd "$folder" && "$top/configure" "$@" && make -k -j"$jobs")
}

# The same with the suite's own programs, none of which is run.
build_with_tests() {
    build "$@" && (cd "$1" && make -k -j"$jobs" check TESTS=)
}

quietly() {
    log=$1
    shift
    "$@" > "$log" 2>&1 < /dev/null || {
        tail -n 40 "$log" >&2
        return 1
    }
}

# ---- demo ----------------------------------------------------------------------------------------

demo() {
    provide "$build_needs$build_wants$demo_needs"
    demand "$build_needs$demo_needs"
    mkdir -p build
    say "building in $top/build"
    quietly build/autoreconf.log reconf || die "autoreconf failed, see build/autoreconf.log"
    quietly build/build.log build build || die "the build failed, see build/build.log"

    say "starting examples/busy_service.py"
    sample=
    trap 'status=$?; [ -z "$sample" ] || { kill "$sample" && wait "$sample"; } 2> /dev/null
          exit $status' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # --seconds ends it also when this script is killed outright.
    python3 examples/busy_service.py --seconds 120 --allow-tracing > build/busy_service.log 2>&1 &
    sample=$!
    tries=0
    until grep -q READY build/busy_service.log; do
        kill -0 "$sample" 2> /dev/null || die "it ended: $(cat build/busy_service.log)"
        tries=$((tries + 1))
        [ "$tries" -le 30 ] || die "it did not get ready within 30 s"
        sleep 1
    done
    sleep 1

    say "build/pycore snap $sample -n 50 -i 100ms"
    build/pycore snap "$sample" -n 50 -i 100ms
}

# ---- check ---------------------------------------------------------------------------------------

# Beside the tests, each step counts as one: record STEP PASS|FAIL|SKIP [REASON]
record() {
    echo "$2 $1${3:+ # $3}" >> build/steps
    [ "$2" = PASS ] || say "$1: $2 ${3:-}"
}

# step NAME COMMAND...: runs it with its output in build/NAME.log
step() {
    step_name=$1
    shift
    started=$(date +%s)
    if quietly "build/$step_name.log" "$@"; then
        record "$step_name" PASS
        say "$step_name: done in $(($(date +%s) - started)) s"
    else
        record "$step_name" FAIL "see build/$step_name.log"
        return 1
    fi
}

# One interpreter for each way to keep frames and lines: under sanitizers tests that run on each
# interpreter run on these. PYCORE_LONG=1 takes all of them.
sanitized_pythons='3.6,3.9d,3.10,3.11,3.13,3.15'

# suite FOLDER [INTERPRETERS]: make check there; count() reads the results from the logs
suite() {
    rm -f "build/$1/test-suite.log"
    [ ! -d "build/$1/tests" ] || find "build/$1/tests" -name '*.trs' -exec rm -f {} + \
        -o -name '*.log' -exec rm -f {} +
    say "running the suite in build/$1${2:+ on $2}"
    started=$(date +%s)
    # Asked once what interpreters there are; each test file would ask them all.
    builddir=$top/build/$1 python3 tests/system/support.py > /dev/null || :
    # No -j above 2: the live tests measure time, and with more of them at once a snapshot of a busy program
    # comes seconds late. Tests that need the machine for themselves lock it.
    (cd "build/$1" && PYCORE_ONLY=${2:-${PYCORE_ONLY:-}} make -k -j2 check < /dev/null) \
        > "build/$1-suite.log" 2>&1 || :
    if [ ! -e "build/$1/test-suite.log" ]; then
        tail -n 40 "build/$1-suite.log"
        record "$1-suite" FAIL "make check did not get to the end, see build/$1-suite.log"
    fi
    grep -E '^(FAIL|ERROR|XPASS):' "build/$1-suite.log" || :
    say "suite in build/$1: $(($(date +%s) - started)) s"
}

# With the tarball's own build, which is what a packager gets: unpacked read-only, built out of tree.
distcheck_with() {
    compiler=$1
    mkdir -p build/dist
    (cd build/dist && "$top/configure" CC="$compiler" --enable-werror &&
        make -j"$jobs" distcheck TESTS= \
            AM_DISTCHECK_CONFIGURE_FLAGS="CC=$compiler --enable-werror")
}

# The interpreters that the suite will find, against those that should be here.
interpreters() {
    python3 tests/system/support.py > build/interpreters || {
        record interpreters FAIL "tests/system/support.py failed"
        return
    }
    say "interpreters: $(cut -d' ' -f1 build/interpreters | tr '\n' ' ')"
    absent=
    for minor in $(tests/tools/get-pythons --list); do
        grep -q "^$minor " build/interpreters || absent="$absent $minor"
    done
    # shellcheck disable=SC2086
    set -- $absent
    if [ $# -ge 3 ] && grep -q '^network yes' build/pythons/status 2> /dev/null; then
        record interpreters FAIL "there is a network, but no$absent"
    elif [ $# -gt 0 ]; then
        record interpreters SKIP "no$absent"
    else
        record interpreters PASS
    fi
}

# results: one line 'WORD build: test # reason' for each test and step. The TAP driver leaves the
# outcome of each test, by name, in the log of its file.
results() {
    sed 's/^\([A-Z]*\) /\1 autogen: /' build/steps
    for folder in check asan; do
        [ ! -d "build/$folder/tests" ] ||
            find "build/$folder/tests" -name 'test_*.log' -o -name 'no-*.log' | sort |
            while read -r log; do
                sed -nE "s/^(X?PASS|X?FAIL|SKIP|ERROR): (tests\/)?/\1 $folder: /p" "$log"
            done
    done
}

count() {
    results > build/results
    passed=$(grep -cE '^(PASS|XFAIL) ' build/results) || :
    failed=$(grep -cE '^(FAIL|ERROR|XPASS) ' build/results) || :
    skipped=$(grep -c '^SKIP ' build/results) || :
    if [ "$skipped" -gt 0 ]; then
        say skipped
        sed -n 's/^SKIP /  /p' build/results
    fi
    if [ "$failed" -gt 0 ]; then
        say "last lines of the logs of what failed"
        sed -nE 's/^(FAIL|ERROR|XPASS) (check|asan): ([^ ]*) .*/build\/\2\/tests\/\3/p' build/results |
            sed 's/\.py$//; s/$/.log/' | uniq | while read -r file; do
            echo "-- $file"
            grep -vE '^(ok |PASS: |SKIP: |XFAIL: |FAIL: |1\.\.)' "$file" | tail -n 100
        done
        say failed
        sed -nE 's/^(FAIL|ERROR|XPASS) /  /p' build/results
    fi
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

check() {
    free_threaded=${PYCORE_FREE_THREADED:-0}
    for option; do
        case $option in
        --free-threaded) free_threaded=1 ;;
        *) die "check: unknown option $option (see ./autogen.sh help)" ;;
        esac
    done
    mkdir -p build
    : > build/steps
    provide "$build_needs$build_wants$check_needs"
    demand "$build_needs"

    step readers tests/tools/get-readers build/readers || :
    # Interpreters, and packages for them, are fetched while the compilers work.
    {
        tests/tools/get-packages build/packages > build/packages.log 2>&1 || :
        tests/tools/get-pythons build/pythons > build/pythons.log 2>&1
    } < /dev/null &
    fetcher=$!
    trap 'kill "$fetcher" 2> /dev/null; exit 130' INT TERM HUP

    built=
    if step autoreconf reconf; then
        ! step gcc build_with_tests build/check CC=gcc --enable-werror || built=check
        if ! is_there cc:-fsanitize=address,undefined; then
            record sanitizers SKIP "gcc cannot link with them here"
        # With less optimization warnings are of less use; the build with gcc heeds them.
        elif step sanitizers build_with_tests build/asan CC=gcc CFLAGS='-g -O1' --enable-sanitizers; then
            built="$built asan"
        fi
        if is_there cmd:clang; then
            step distcheck-clang distcheck_with clang || :
        else
            record clang SKIP "clang is not on this machine"
            step distcheck-gcc distcheck_with gcc || :
        fi
    fi
    wait "$fetcher" || record get-pythons FAIL "see build/pythons.log"
    cat build/pythons.log build/packages.log
    if [ "$free_threaded" = 1 ]; then
        step free-threaded tests/tools/build-freethreaded build/pythons || :
    fi
    if is_there cmd:python3; then
        interpreters
    else
        record interpreters SKIP "no python3 on this machine"
    fi
    for folder in $built; do
        if [ "$folder" = asan ] && [ -z "${PYCORE_ONLY:-}${PYCORE_LONG:-}" ]; then
            suite "$folder" "$sanitized_pythons"
        else
            suite "$folder"
        fi
    done
    count
}

usage() {
    sed -n '/^# usage:/,/^#$/s/^# \{0,1\}//p' "$0"
}

command=${1:-}
[ $# -eq 0 ] || shift
case $command in
'') reconf ;;
demo) demo ;;
check) check "$@" ;;
help | --help | -h) usage ;;
*)
    usage >&2
    exit 64
    ;;
esac

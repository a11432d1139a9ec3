#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Scripts and styles of the HTML and SVG reports as C arrays, so that the program is one file:
# FOLDER/page.js becomes asset_page_js[] and asset_page_js_size (src/report/assets.h). Scripts and
# styles have asset_page_js_sha256[], too: the hash by which a Content-Security-Policy lets them in
# (CSP Level 3, 2.3.1: SHA-256 in base64).
#
# usage: embed.sh FILE... > report_assets.c

set -eu

# 64 hexadecimal digits as base64
base64_of_hex() {
    awk '{
        digits = "0123456789abcdef"
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        for (i = 1; i <= length($1); i += 6) {
            three = substr($1 "00", i, 6)
            bits = 0
            for (k = 1; k <= 6; k++)
                bits = bits * 16 + index(digits, substr(three, k, 1)) - 1
            for (power = 262144; power >= 1; power /= 64)
                text = text substr(letters, int(bits / power) % 64 + 1, 1)
        }
        print substr(text, 1, 43) "="
    }'
}

echo '// Made by src/report/assets/embed.sh; do not edit.'
echo '#include "report/assets.h"'
for file; do
    name=asset_$(basename "$file" | tr -c 'A-Za-z0-9\n' _)
    printf '\nconst char %s[] = {' "$name"
    od -An -v -tx1 "$file" | sed 's/ *\([0-9a-f][0-9a-f]\)/0x\1,/g'
    printf '0};\nconst size_t %s_size = sizeof(%s) - 1;\n' "$name" "$name"
    case $file in
    *.js | *.css)
        hash=$(sha256sum < "$file" | cut -c1-64 | base64_of_hex)
        printf 'const char %s_sha256[] = "%s";\n' "$name" "$hash"
        ;;
    esac
done

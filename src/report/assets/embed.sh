#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Scripts and styles of the HTML and SVG reports as C arrays, so that the program is one file:
# FOLDER/page.js becomes asset_page_js[] and asset_page_js_size (src/report/assets.h).
#
# usage: embed.sh FILE... > report_assets.c

set -eu
echo '// Made by src/report/assets/embed.sh; do not edit.'
echo '#include "report/assets.h"'
for file; do
    name=asset_$(basename "$file" | tr -c 'A-Za-z0-9\n' _)
    printf '\nconst char %s[] = {' "$name"
    od -An -v -tx1 "$file" | sed 's/ *\([0-9a-f][0-9a-f]\)/0x\1,/g'
    printf '0};\nconst size_t %s_size = sizeof(%s) - 1;\n' "$name" "$name"
done

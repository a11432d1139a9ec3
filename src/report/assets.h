// SPDX-License-Identifier: GPL-3.0-or-later
// Files of src/report/assets that the program carries in itself, NUL-terminated. What they hold is
// fixed text of ours: data of a report is never put into them.
#ifndef REPORT_ASSETS_H
#define REPORT_ASSETS_H

#include <stddef.h>

#define ASSET(name)           \
    extern const char name[]; \
    extern const size_t name##_size

ASSET(asset_flame_js); // html: the flame graph
ASSET(asset_svg_js);   // svg
ASSET(asset_svg_css);
ASSET(asset_page_js); // html
ASSET(asset_page_css);

#undef ASSET

#endif

// SPDX-License-Identifier: GPL-3.0-or-later
// Files of src/report/assets that the program carries in itself, NUL-terminated. What they hold is
// fixed text of ours: data of a report is never put into them.
#ifndef REPORT_ASSETS_H
#define REPORT_ASSETS_H

#include <stddef.h>

#define ASSET(name)           \
    extern const char name[]; \
    extern const size_t name##_size
// With the hash by which a Content-Security-Policy lets it in: SHA-256, base64.
#define HASHED_ASSET(name) \
    ASSET(name);           \
    extern const char name##_sha256[]

HASHED_ASSET(asset_svg_js); // svg
ASSET(asset_svg_css);
HASHED_ASSET(asset_page_css);     // html
HASHED_ASSET(asset_page_js);      // html: of every page
HASHED_ASSET(asset_model_js);     // html: the data of a profile, and what is chosen of it
HASHED_ASSET(asset_tree_js);      // html: the frames of the flame graph
HASHED_ASSET(asset_flame_js);     // html: the flame graph
HASHED_ASSET(asset_functions_js); // html: functions and lines
HASHED_ASSET(asset_moments_js);   // html: snapshot by snapshot
ASSET(asset_profile_html);        // html: where these scripts put what they make

#undef ASSET
#undef HASHED_ASSET

#endif

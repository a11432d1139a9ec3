// SPDX-License-Identifier: GPL-3.0-or-later
// The three formats of line tables. Input: which, first line, the table.
#include "cpython/code.h"
#include "fuzz.h"

static void run(const uint8_t *data, size_t size)
{
    static struct py_line (*const formats[])(const struct py_code *, uint32_t) = {
        py_line_lnotab, py_line_ranges, py_line_location};
    struct fuzz_input in = {data, size < 8192 ? size : 8192};
    unsigned format = (unsigned)fuzz_take(&in, 1) % ARRAY_SIZE(formats);
    struct py_code code = {.first_line = (int32_t)fuzz_take(&in, 4)};
    uint8_t *table = malloc(in.size ? in.size : 1);
    FUZZ_CHECK(table);
    memcpy(table, in.data, in.size);
    code.line_table = table;
    code.line_table_bytes = in.size;
    for (uint32_t offset = 0; offset < 512; offset += 2) {
        struct py_line line = formats[format](&code, offset);
        FUZZ_CHECK(line.column >= -1);
    }
    formats[format](&code, UINT32_MAX);
    formats[format](&code, INT32_MAX);
    free(table);
}

static void seeds(void)
{
    // Objects/lnotab_notes.txt; PEP 626; Objects/locations.md.
    static const uint8_t lnotab[] = {0, 10, 0, 0, 0, 0, 1, 6, 2, 255, 0, 2, 246, 8, 1};
    static const uint8_t ranges[] = {1, 10, 0, 0, 0, 0, 1, 6, 2, 4, 128, 8, 255, 2, 0};
    static const uint8_t location[] = {2, 10,   0, 0,    0,    0x80, 0x35, 0xd8, 5,
                                       9, 0xe9, 2, 0xf0, 0x42, 1,    3,    4,    0xf8};
    fuzz_seed(lnotab, sizeof(lnotab));
    fuzz_seed(ranges, sizeof(ranges));
    fuzz_seed(location, sizeof(location));
}

FUZZ_TARGET(lines, run, seeds, 20000)

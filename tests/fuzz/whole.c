// SPDX-License-Identifier: GPL-3.0-or-later
// See whole.h.
#include "whole.h"

#include "fake_core.h"
#include "fuzz.h"
#include "util/guard.h"

// Nothing of the target reaches a terminal: no control characters of either set, but line ends.
static void check_text(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)text[i];
        FUZZ_CHECK(byte >= 0x20 || byte == '\n');
        FUZZ_CHECK(byte != 0x7f);
        FUZZ_CHECK(byte != 0xc2 || i + 1 == size || (unsigned char)text[i + 1] >= 0xa0);
    }
}

static void check_run(int code, const char *out, size_t out_size, const char *err, size_t err_size)
{
    FUZZ_CHECK(code >= EXIT_COMPLETE && code <= EXIT_NO_REPORT);
    FUZZ_CHECK((out_size == 0) == (code == EXIT_NO_REPORT));
    check_text(out, out_size);
    check_text(err, err_size);
    // One line, when there is no report.
    if (code == EXIT_NO_REPORT)
        FUZZ_CHECK(err_size > 8 && strchr(err, '\n') == err + err_size - 1);
}

int whole_analyze(const struct options *options)
{
    static char *argv[] = {"analyze", "core", NULL};
    char *out = NULL, *err = NULL;
    size_t out_size = 0, err_size = 0;
    FILE *real_out = stdout, *real_err = stderr;
    FILE *own_out = open_memstream(&out, &out_size), *own_err = open_memstream(&err, &err_size);
    FUZZ_CHECK(own_out && own_err);
    stdout = own_out;
    stderr = own_err;
    int code = run_analyze(options, 2, argv);
    stdout = real_out;
    stderr = real_err;
    FUZZ_CHECK(fclose(own_out) == 0 && fclose(own_err) == 0);
    check_run(code, out, out_size, err, err_size);
    free(out);
    free(err);
    return code;
}

struct options whole_options(unsigned flags, char *path)
{
    static const char *const formats[] = {"text", "md", "json", "text"};
    static char *files[2];
    files[0] = files[1] = path;
    struct options options = {.pid = -1,
                              .sysroot = "/nowhere",
                              .source_root = "/nowhere",
                              .format = report_format_by_name(formats[flags & FORMAT_BITS]),
                              .no_native = flags & NO_NATIVE,
                              .raw_native = flags & RAW_NATIVE,
                              .files = files,
                              .file_count = flags & TWICE ? 2 : 1};
    options.report.full = flags & FULL;
    return options;
}

void whole_analyze_bytes(unsigned flags, const uint8_t *bytes, size_t size, uint64_t cut)
{
    char path[32];
    AUTO_CLOSE int fd = fuzz_file(bytes, size - size * cut / 65536, path);
    (void)fd; // clang does not take its guard for a use
    struct options options = whole_options(flags, path);
    whole_analyze(&options);
}

void whole_seeds(uint8_t first_changes)
{
    for (uint8_t kind = 0; kind < FAKE_CORE_KINDS; kind++) {
        const uint8_t formats[] = {0, 1, 2, TWICE, TWICE | 1, TWICE | 2, NO_NATIVE, RAW_NATIVE};
        uint8_t head[5] = {kind, formats[kind % sizeof(formats)], 0, 0, first_changes};
        fuzz_seed_changes(head, sizeof(head), 0);
        fuzz_seed_changes(head, sizeof(head), 10);
    }
}

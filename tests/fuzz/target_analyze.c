// SPDX-License-Identifier: GPL-3.0-or-later
// All of `pycore analyze`, from a core to the text of the report. Input: which Python, options, how
// much is cut off, how many of the changes are of headers and notes, changes.
#include "cli/cli.h"
#include "fake_core.h"
#include "fuzz.h"

enum { FORMAT_BITS = 3, NO_NATIVE = 4, RAW_NATIVE = 8, TWICE = 16, FULL = 32 };

static struct fake_core cores[FAKE_CORE_KINDS];

__attribute__((destructor)) static void free_cores(void)
{
    for (size_t i = 0; i < FAKE_CORE_KINDS; i++)
        free(cores[i].bytes);
}

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

static void analyze(const struct options *options)
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
}

static void run(const uint8_t *data, size_t size)
{
    static const char *const formats[] = {"text", "md", "json", "text"};
    struct fuzz_input in = {data, size};
    unsigned kind = (unsigned)fuzz_take(&in, 1) % FAKE_CORE_KINDS;
    unsigned flags = (unsigned)fuzz_take(&in, 1);
    uint64_t cut = fuzz_take(&in, 2);
    size_t in_head = fuzz_take(&in, 1) % 8;
    if (!cores[kind].bytes)
        fake_core(kind, &cores[kind]);
    const struct fake_core *core = &cores[kind];
    AUTO_FREE uint8_t *bytes = malloc(core->size);
    FUZZ_CHECK(bytes);
    memcpy(bytes, core->bytes, core->size);
    struct fuzz_input head = fuzz_take_bytes(&in, in_head * FUZZ_CHANGE_BYTES);
    fuzz_change(bytes, core->head_bytes, 0, &head);
    fuzz_change(bytes, core->size, FAKE_BASE, &in);
    char path[32], *files[2] = {path, path};
    AUTO_CLOSE int fd = fuzz_file(bytes, core->size - core->size * cut / 65536, path);
    struct options options = {.pid = -1,
                              .sysroot = "/nowhere",
                              .source_root = "/nowhere",
                              .format = report_format_by_name(formats[flags & FORMAT_BITS]),
                              .no_native = flags & NO_NATIVE,
                              .raw_native = flags & RAW_NATIVE,
                              .files = files,
                              .file_count = flags & TWICE ? 2 : 1};
    options.report.full = flags & FULL;
    analyze(&options);
}

static void seeds(void)
{
    for (uint8_t kind = 0; kind < FAKE_CORE_KINDS; kind++) {
        const uint8_t formats[] = {0, 1, 2, TWICE, TWICE | 1, TWICE | 2, NO_NATIVE, RAW_NATIVE};
        uint8_t head[5] = {kind, formats[kind % sizeof(formats)], 0, 0, 2};
        fuzz_seed_changes(head, sizeof(head), 0);
        fuzz_seed_changes(head, sizeof(head), 10);
    }
}

FUZZ_TARGET(analyze, run, seeds, 5000)

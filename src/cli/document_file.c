// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/document_file.h. zlib reads what is not packed as it stands.
#include "cli/document_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <zlib.h>

#include "util/guard.h"
#include "util/limits.h"
#include "util/vec.h"

#define FIRST_BYTES 4096
#define PIECE_BYTES (1u << 20)

struct text {
    VEC(char) bytes;
};

static void text_deinit(struct text *text)
{
    vec_deinit(&text->bytes);
}

static void close_gzip(gzFile *file)
{
    if (*file)
        gzclose_r(*file);
}

// Up to so many more bytes. False: the end was met.
static bool read_piece(gzFile file, struct text *text, unsigned want, struct err **ret_err)
{
    if (!vec_reserve(&text->bytes, text->bytes.count + want)) {
        *ret_err = err_create(ERR_NO_MEMORY, "no memory for the document");
        return false;
    }
    int got = gzread(file, text->bytes.items + text->bytes.count, want), code;
    if (got > 0)
        text->bytes.count += (size_t)got;
    const char *why = gzerror(file, &code);
    if (code == Z_ERRNO)
        *ret_err = err_os(errno, "cannot be read");
    else if (code == Z_BUF_ERROR) // zlib.h: the stream has no end
        *ret_err = err_create(ERR_BAD_DATA, "the gzip file is cut");
    else if (code != Z_OK)
        *ret_err = err_create(ERR_BAD_DATA, "damaged gzip file (%s)", why);
    return got == (int)want && !*ret_err;
}

static bool is_json(const struct text *text)
{
    size_t at = 0;
    while (at < text->bytes.count && strchr(" \t\r\n", text->bytes.items[at]) &&
           text->bytes.items[at])
        at++;
    return at < text->bytes.count && text->bytes.items[at] == '{';
}

static struct err *read_text(gzFile file, uint64_t file_bytes, struct text *text, bool *ret_is_json)
{
    struct err *err = NULL;
    bool more = read_piece(file, text, FIRST_BYTES, &err);
    *ret_is_json = is_json(text);
    if (!*ret_is_json) { // then it is somebody else's to say what is wrong with it
        err_destroy(err);
        return NULL;
    }
    // Of a file that is not packed there is no more to come.
    if (more && file_bytes < LIMIT_DOCUMENT_BYTES)
        (void)vec_reserve(&text->bytes, file_bytes + PIECE_BYTES);
    while (more && text->bytes.count <= LIMIT_DOCUMENT_BYTES)
        more = read_piece(file, text, PIECE_BYTES, &err);
    if (!err && text->bytes.count > LIMIT_DOCUMENT_BYTES)
        err = err_create(ERR_LIMIT, "a document of more than %llu MiB", LIMIT_DOCUMENT_BYTES >> 20);
    return err;
}

static struct err *read_file(const char *path, struct report_document **ret)
{
    GUARD(text_deinit) struct text text = {0};
    bool json = false;
    struct stat info;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    // What cannot be read, cores' reader says.
    if (fd < 0 || fstat(fd, &info) != 0 || S_ISDIR(info.st_mode))
        return NULL;
    GUARD(close_gzip) gzFile file = gzdopen(fd, "r");
    if (!file)
        return err_create(ERR_NO_MEMORY, "no memory for the document");
    fd = -1; // it is zlib's
    TRY(read_text(file, S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0, &text, &json));
    return json ? report_read_json(text.bytes.items, text.bytes.count, ret) : NULL;
}

struct err *document_file_read(const char *path, struct report_document **ret)
{
    *ret = NULL;
    return err_wrap(read_file(path, ret), "%s", path);
}

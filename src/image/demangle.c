// SPDX-License-Identifier: GPL-3.0-or-later
// Names of C++ and Rust as their authors wrote them: through libiberty, else through the C++
// runtime if there is one (C++ only). Both are bounded, because names come from the target.
#include "image/demangle.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "util/vec.h"

#if defined(HAVE_LIBIBERTY_DEMANGLE_H)
#include <libiberty/demangle.h>
#elif defined(HAVE_LIBIBERTY)
#include <demangle.h>
#else
#include <dlfcn.h>
#endif

#define MAX_MANGLED 4096
// A short mangled name can stand for gigabytes: each substitution may double what the last made.
#define MAX_DEMANGLED 65536

// Itanium C++ ABI 5.1 "External Names": _Z; Rust's legacy names are of that form, its v0 names
// begin with _R (RFC 2603). All else, a C name above all, is left alone.
static bool looks_mangled(const char *name)
{
    return name[0] == '_' && (name[1] == 'Z' || name[1] == 'R') &&
           strnlen(name, MAX_MANGLED + 1) <= MAX_MANGLED;
}

#ifdef HAVE_LIBIBERTY

#include <setjmp.h>

struct output {
    VEC(char) text;
    jmp_buf too_long;
};

// libiberty cannot be told to stop. What is left behind by jumping out is on its stack: it takes
// memory only for rare parts of Rust's names.
static void append(const char *bytes, size_t size, void *arg)
{
    struct output *output = arg;
    if (size > MAX_DEMANGLED || output->text.count + size > MAX_DEMANGLED ||
        !vec_reserve(&output->text, output->text.count + size + 1))
        longjmp(output->too_long, 1);
    memcpy(output->text.items + output->text.count, bytes, size);
    output->text.count += size;
    output->text.items[output->text.count] = '\0';
}

static bool demangle_into(const char *name, struct output *output)
{
    const int options = DMGL_PARAMS | DMGL_ANSI;
    if (setjmp(output->too_long))
        return false;
    // Rust first: its legacy names are valid C++ names, with a hash at their end.
    if (rust_demangle_callback(name, options, append, output))
        return output->text.count > 0;
    output->text.count = 0;
    return cplus_demangle_v3_callback(name, options, append, output) && output->text.count > 0;
}

char *image_demangle(const char *name)
{
    if (!looks_mangled(name))
        return NULL;
    struct output *output = calloc(1, sizeof(*output));
    if (!output)
        return NULL;
    char *ret = NULL;
    if (demangle_into(name, output))
        ret = output->text.items;
    else
        vec_deinit(&output->text);
    free(output);
    return ret;
}

#else

// Itanium C++ ABI 3.4 "Demangler API". Its output cannot be bounded, so that its input is: doubling
// a name takes two references to what was said before.
#define MAX_FOR_RUNTIME 512
#define MAX_REFERENCES 16

typedef char *cxa_demangle_fn(const char *name, char *buffer, size_t *length, int *status);

static bool is_modest(const char *name)
{
    size_t references = 0;
    for (const char *at = name; (at = strchr(at, 'S')); at++)
        references += at[1 + strspn(at + 1, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ")] == '_';
    return references <= MAX_REFERENCES && strlen(name) <= MAX_FOR_RUNTIME;
}

// Rust's legacy names end in "::h" and a hash, which tells nobody anything.
static char *without_hash(char *name)
{
    char *end = name ? strrchr(name, ':') : NULL;
    if (end && end > name && end[-1] == ':' && end[1] == 'h' && strlen(end + 2) == 16 &&
        strspn(end + 2, "0123456789abcdef") == 16)
        end[-1] = '\0';
    return name;
}

char *image_demangle(const char *name)
{
    static cxa_demangle_fn *demangle;
    static bool tried;
    if (!looks_mangled(name) || name[1] != 'Z' || !is_modest(name))
        return NULL;
    if (!tried) {
        tried = true;
        void *runtime = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_LOCAL);
        void *found = runtime ? dlsym(runtime, "__cxa_demangle") : NULL;
        memcpy(&demangle, &found, sizeof(demangle));
    }
    int status = -1;
    char *ret = demangle ? demangle(name, NULL, NULL, &status) : NULL;
    return status == 0 ? without_hash(ret) : NULL;
}

#endif

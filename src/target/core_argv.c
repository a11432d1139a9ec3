// SPDX-License-Identifier: GPL-3.0-or-later
// The command line of a dead process. NT_PRPSINFO keeps 80 bytes of it with spaces for NULs; the
// main stack keeps all of it, above the arrays the kernel lays out for a new program:
// argc, argv[], NULL, envp[], NULL, auxv (x86-64 ABI, "Initial Process Stack").
#include "target/core.h"

#include <stdlib.h>
#include <string.h>

#include "util/guard.h"

// Arguments and environment together take at most a quarter of the stack limit, 6 MiB at most
// (execve(2)); the rest of the stack is not searched.
#define SEARCH_BYTES (8u << 20)
#define MAX_WORDS 65536u
#define MAX_ARGV_BYTES (1u << 20)

// The auxiliary vector's address: the last place in the stack mapping where the note's first words
// stand. Searched downwards, so that a copy somewhere in a buffer is not met first.
static uint64_t find_auxv(struct target *target, const struct core_notes *notes, uint64_t start,
                          uint64_t end)
{
    const size_t want = sizeof(notes->auxv_head);
    uint8_t block[4096 + sizeof(notes->auxv_head)];
    uint64_t bottom = end - start > SEARCH_BYTES ? end - SEARCH_BYTES : start;
    for (uint64_t at = end & ~4095ull; at > bottom;) {
        at = at - bottom > 4096 ? at - 4096 : bottom;
        size_t got = mem_read_some(target->mem, at, block, sizeof(block));
        for (size_t i = got < want ? 0 : (got - want) / 8 * 8 + 8; i >= 8; i -= 8)
            if (memcmp(block + i - 8, notes->auxv_head, want) == 0)
                return at + i - 8;
    }
    return 0;
}

struct arrays {
    uint64_t argc;
    uint64_t first_arg; // address of argv[0]'s text
    uint64_t end;       // of the last argument's text, where the environment begins; 0: not known
};

// Walks down from the auxiliary vector: NULL, environment, NULL, arguments, their count. Every
// pointer must lie above the arrays, within the stack.
static bool find_arrays(struct target *target, uint64_t auxv, uint64_t stack_end,
                        struct arrays *ret)
{
    uint64_t at = auxv - 8, word;
    size_t in_array = 0, nulls = 0;
    uint64_t lowest = 0;
    *ret = (struct arrays){0};
    for (size_t i = 0; i < MAX_WORDS; i++, at -= 8) {
        AUTO_ERR struct err *err = mem_read_u64(target->mem, at, &word);
        if (err)
            return false;
        if (nulls == 2 && word == in_array) {
            ret->argc = word;
            ret->first_arg = lowest;
            target->args_start = at;
            return word > 0;
        }
        if (word == 0) {
            if (nulls == 1)
                ret->end = lowest;
            if (++nulls > 2)
                return false;
            in_array = 0;
            lowest = 0;
        } else {
            if (nulls == 0 || word <= auxv || word >= stack_end)
                return false;
            in_array++;
            lowest = word;
        }
    }
    return false;
}

static void free_argv(char ***argv)
{
    for (char **arg = *argv; arg && *arg; arg++)
        free(*arg);
    free(*argv);
}

// Splits at `separator`; empty pieces count only between NULs.
static struct err *split(const char *text, size_t size, char separator, char ***ret)
{
    size_t count = 0, capacity = 0;
    for (size_t i = 0; i < size; i++)
        capacity += text[i] == separator;
    GUARD(free_argv) char **argv = calloc(capacity + 2, sizeof(*argv));
    if (!argv)
        return err_create(ERR_NO_MEMORY, "out of memory");
    for (size_t at = 0; at < size;) {
        const char *end = memchr(text + at, separator, size - at);
        size_t piece = end ? (size_t)(end - text) - at : size - at;
        if (piece || separator == '\0') {
            argv[count] = strndup(text + at, piece);
            if (!argv[count++])
                return err_create(ERR_NO_MEMORY, "out of memory");
        }
        at += piece + 1;
    }
    if (count)
        *ret = TAKE(argv);
    return NULL;
}

// What /proc/PID/cmdline would have shown: the bytes from the first argument to the environment. A
// program that writes its title over them (setproctitle) leaves one string and NULs behind it.
static struct err *read_arguments(struct target *target, const struct arrays *arrays, char ***ret)
{
    uint64_t size = arrays->end - arrays->first_arg;
    AUTO_FREE char *text = malloc(size);
    if (!text)
        return err_create(ERR_NO_MEMORY, "out of memory");
    AUTO_ERR struct err *fault = mem_read(target->mem, arrays->first_arg, text, size);
    if (fault)
        return NULL;
    size_t strings = 0;
    for (size_t i = 0; i < size; i++)
        strings += text[i] == '\0';
    if (strings != arrays->argc || text[size - 1] != '\0') {
        while (size && text[size - 1] == '\0')
            size--;
        if (!size)
            return NULL;
    }
    return split(text, size, '\0', ret);
}

static struct err *argv_from_stack(struct target *target, const struct core_notes *notes,
                                   char ***ret)
{
    const struct target_mapping *stack =
        target_mapping_at(target, notes->random ? notes->random : notes->execfn);
    if (!notes->has_auxv || !stack)
        return NULL;
    uint64_t auxv = find_auxv(target, notes, stack->start, stack->end);
    struct arrays arrays;
    if (auxv)
        target->args_start = auxv; // below it if the arrays can be told
    if (!auxv || !find_arrays(target, auxv, stack->end, &arrays))
        return NULL;
    if (!arrays.end) // no environment: the program's own name is next (AT_EXECFN)
        arrays.end = notes->execfn;
    if (arrays.end <= arrays.first_arg || arrays.end - arrays.first_arg > MAX_ARGV_BYTES)
        return NULL;
    return read_arguments(target, &arrays, ret);
}

struct err *core_argv_read(struct target *target, const struct core_notes *notes)
{
    // The texts lie above these bytes (fs/binfmt_elf.c, create_elf_tables).
    target->args_start = notes->random ? notes->random : notes->execfn;
    TRY(argv_from_stack(target, notes, &target->argv));
    if (target->argv || !notes->has_psargs)
        return NULL;
    return split(notes->psargs, strlen(notes->psargs), ' ', &target->argv);
}

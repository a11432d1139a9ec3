// SPDX-License-Identifier: GPL-3.0-or-later
// An extension module that crashes in known ways. What it needs of Python's stable interface is declared
// here, so that no headers of any Python are needed. TRACE_REFS, FREE_THREADED: how objects begin.
#include <assert.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct object;
extern struct object *PyExc_ValueError, *PyExc_OSError, *PyExc_KeyError;
struct object *PyModule_Create2(void *definition, int api_version);
int PyModule_AddStringConstant(struct object *module, const char *name, const char *value);
struct object *PyObject_CallObject(struct object *callable, struct object *arguments);
void PyErr_SetString(struct object *type, const char *message);
void PyErr_SetObject(struct object *type, struct object *value);
struct object *Py_BuildValue(const char *format, ...);
void *PyObject_Malloc(size_t size);
void PyObject_Free(void *memory);

struct head { // PyObject
#ifdef TRACE_REFS
    void *next, *previous;
#endif
#ifdef FREE_THREADED
    uintptr_t owner;
    uint32_t bits, local_count;
    int64_t shared_count;
#else
    int64_t count;
#endif
    void *type;
};

typedef struct object *method(struct object *module, struct object *argument);
#define METHOD(name) static __attribute__((noinline)) struct object *name(struct object *module, \
                                                                         struct object *argument)
#define KEEP(value) __asm__ volatile("" ::"r"(value) : "memory")

struct node {
    long first, second;
    struct node *next;
    int (*function)(void);
};

static struct node *volatile nobody;
static struct node *volatile wild = (struct node *)0x123456789000;
static struct node *volatile nowhere = (struct node *)0x4142434445464748;

METHOD(null_read)
{
    (void)module, (void)argument;
    KEEP(nobody->second);
    return NULL;
}

METHOD(null_write)
{
    (void)module;
    struct node *node = nobody;
    node->next = (struct node *)argument;
    return argument;
}

METHOD(wild_write)
{
    (void)module;
    wild->second = 1;
    return argument;
}

METHOD(non_canonical)
{
    (void)module;
    nowhere->second = 1;
    return argument;
}

// By the frame pointer: that is a stack fault, which becomes SIGBUS (Intel SDM vol. 3, 6.15).
METHOD(non_canonical_frame)
{
    (void)module;
    __asm__ volatile("mov %0, %%rbp\n\tmov (%%rbp), %%rax"
                     : : "r"(0x4142434445464748) : "rbp", "rax", "memory");
    return argument;
}

METHOD(after_free)
{
    (void)module;
    struct node **node = PyObject_Malloc(sizeof(struct node));
    memset(node, 0, sizeof(struct node));
    KEEP(node);
    PyObject_Free(node);
    KEEP(node);
    KEEP((*node)->second);
    return argument;
}

METHOD(read_only)
{
    (void)module;
    static const char text[] = "it cannot be changed";
    volatile char *at = (volatile char *)(uintptr_t)text;
    *at = 'I';
    return argument;
}

METHOD(data_call)
{
    (void)module;
    static char data[16] = "\xc3";
    int (*volatile function)(void) = (int (*)(void))(void *)data;
    KEEP(function());
    return argument;
}

METHOD(null_call)
{
    (void)module;
    int (*volatile function)(void) = NULL;
    KEEP(function());
    return argument;
}

METHOD(divide)
{
    (void)module;
    volatile int zero = 0;
    KEEP(7 / zero);
    return argument;
}

METHOD(beyond)
{
    (void)module;
    char name[] = "/tmp/crash-native-XXXXXX";
    int fd = mkstemp(name);
    char *at = ftruncate(fd, 8192) ? NULL : mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
    unlink(name);
    if (ftruncate(fd, 0) == 0)
        KEEP(at[4096]);
    return argument;
}

static int sink(int depth)
{
    volatile char room[200];
    room[0] = (char)depth;
    int below = sink(depth + 1);
    return below + room[0];
}

METHOD(recurse)
{
    (void)module;
    KEEP(sink(0));
    return argument;
}

METHOD(call)
{
    (void)module;
    struct object *result = PyObject_CallObject(argument, NULL);
    KEEP(result);
    return result;
}

METHOD(assertion)
{
    (void)module;
    assert(argument == NULL);
    return argument;
}

METHOD(free_twice)
{
    (void)module;
    char *volatile block = malloc(100);
    free(block);
    free(block);
    return argument;
}

METHOD(give_up)
{
    (void)module, (void)argument;
    abort();
}

// An exception in flight, as text, as a tuple, and as an object.
METHOD(raise_text)
{
    (void)module;
    PyErr_SetString(PyExc_ValueError, "on its way");
    return null_read(module, argument);
}

METHOD(raise_os)
{
    PyErr_SetObject(PyExc_OSError, Py_BuildValue("(iss)", 2, "No such file or directory", "x"));
    return null_read(module, argument);
}

METHOD(raise_key)
{
    PyErr_SetObject(PyExc_KeyError, Py_BuildValue("s", "missing"));
    return null_read(module, argument);
}

static const struct {
    const char *name;
    method *function;
    int flags;
    const char *doc;
} methods[] = {
#define ROW(name) {#name, name, 8, NULL} // METH_O
    ROW(null_read), ROW(null_write), ROW(wild_write), ROW(non_canonical), ROW(after_free),
    ROW(non_canonical_frame), ROW(read_only), ROW(data_call),
    ROW(null_call), ROW(divide), ROW(beyond), ROW(recurse),
    ROW(call), ROW(assertion), ROW(free_twice), ROW(give_up), ROW(raise_text), ROW(raise_os),
    ROW(raise_key), {NULL, NULL, 0, NULL},
};

static struct {
    struct head head;
    void *init;
    ptrdiff_t index;
    void *copy;
    const char *name, *doc;
    ptrdiff_t size;
    const void *methods;
    void *rest[4];
} definition = {
#ifdef FREE_THREADED
    .head = {.local_count = UINT32_MAX},
#else
    .head = {.count = 1},
#endif
    .name = "crash_native", .size = -1, .methods = methods};

__attribute__((visibility("default"))) struct object *PyInit_crash_native(void)
{
    struct object *module = PyModule_Create2(&definition, 1013);
    if (module)
        PyModule_AddStringConstant(module, "__version__", "1.2.3+crash");
    return module;
}

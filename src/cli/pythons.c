// SPDX-License-Identifier: GPL-3.0-or-later
// See cli/pythons.h.
#include "cli/pythons.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "cpython/process.h"
#include "target/live.h"
#include "util/guard.h"
#include "util/redact.h"

// What every CPython has in its read-only data (Python/pylifecycle.c, fatal_error), however it was
// linked, stripped or renamed. Others may have it, too: whoever passes is opened and searched.
#define MARK "Fatal Python error"
#define CHUNK_BYTES (256u << 10)
#define FILE_BYTES_MAX (256ull << 20)

struct file_id { // of a mapped file: its device in /proc/PID/maps may be another than stat(2)'s
    uint64_t device, inode;
};

struct program { // a file that processes run
    struct proc_program file;
    bool has_mark;
};

struct home { // where the interpreter of a program lies
    struct proc_program exe;
    struct file_id module;
    uint64_t head_offset; // from the module's start: the word that points to the newest interpreter
    char version[24];
    const char *build;
};

struct pythons {
    struct strtab *strings;
    VEC(struct program) programs;
    VEC(struct home) homes;
};

struct pythons *pythons_create(void)
{
    struct pythons *pythons = calloc(1, sizeof(*pythons));
    if (pythons)
        pythons->strings = strtab_create();
    if (pythons && pythons->strings)
        return pythons;
    free(pythons);
    return NULL;
}

void pythons_destroy(struct pythons *pythons)
{
    if (!pythons)
        return;
    vec_deinit(&pythons->programs);
    vec_deinit(&pythons->homes);
    strtab_destroy(pythons->strings);
    free(pythons);
}

static bool same_program(struct proc_program a, struct proc_program b)
{
    return a.device == b.device && a.inode == b.inode;
}

// ---- Is it worth opening? ------------------------------------------------------------------------

static bool says_python(const char *name)
{
    return name && (strstr(name, "python") || strstr(name, "pypy"));
}

static bool file_has_mark(pid_t pid)
{
    char path[64];
    const size_t overlap = sizeof(MARK) - 2;
    snprintf(path, sizeof(path), "/proc/%d/exe", pid);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    AUTO_FREE char *chunk = malloc(CHUNK_BYTES);
    size_t kept = 0;
    for (uint64_t at = 0; fd >= 0 && chunk && at < FILE_BYTES_MAX;) {
        ssize_t got = read(fd, chunk + kept, CHUNK_BYTES - kept);
        if (got <= 0)
            return false;
        size_t there = kept + (size_t)got;
        if (memmem(chunk, there, MARK, sizeof(MARK) - 1))
            return true;
        kept = there < overlap ? there : overlap;
        memmove(chunk, chunk + there - kept, kept);
        at += (uint64_t)got;
    }
    return false;
}

static bool program_has_mark(struct pythons *pythons, pid_t pid, struct proc_program file)
{
    vec_foreach (program, &pythons->programs)
        if (same_program(program->file, file))
            return program->has_mark;
    struct program program = {file, file_has_mark(pid)};
    (void)vec_push(&pythons->programs, program);
    return program.has_mark;
}

// A mapped file whose name says it: libpython3.11.so.1.0, _ssl.cpython-311-x86_64-linux-gnu.so.
static bool maps_say_python(pid_t pid)
{
    static const char *const words[] = {"python", "pypy"};
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    AUTO_FREE char *text = NULL;
    AUTO_ERR struct err *err = proc_read_file(path, &text, NULL);
    for (size_t i = 0; !err && i < ARRAY_SIZE(words); i++)
        for (char *at = text; (at = strstr(at, words[i])); at++)
            if (!memchr(at, '/', strcspn(at, "\n")))
                return true;
    return false;
}

static bool words_say_python(pid_t pid)
{
    char **argv = proc_argv(pid);
    bool says = argv && argv[0] && says_python(argv[0]);
    for (char **arg = argv; arg && *arg; arg++)
        free(*arg);
    free(argv);
    return says;
}

enum python_guess pythons_guess(struct pythons *pythons, pid_t pid, const char *comm)
{
    struct proc_program file;
    if (!proc_program(pid, &file)) {
        if (errno != EACCES && errno != EPERM)
            return PYTHON_NONE;
        return says_python(comm) || words_say_python(pid) ? PYTHON_CLOSED : PYTHON_HIDDEN;
    }
    AUTO_FREE char *exe = proc_exe(pid);
    const char *slash = exe ? strrchr(exe, '/') : NULL;
    bool likely =
        says_python(slash) || program_has_mark(pythons, pid, file) || maps_say_python(pid);
    return likely ? PYTHON_LIKELY : PYTHON_NONE;
}

// ---- What is it? ---------------------------------------------------------------------------------

static void refuse(struct listed_process *to, const char *in_short, const char *why)
{
    to->why_not_in_short = in_short;
    to->why_not = strdup(why ? why : in_short);
}

static void refuse_err(struct listed_process *to, const struct err *err)
{
    refuse(to,
           err_code(err) == ERR_UNSUPPORTED ? "not supported"
           : err_code(err) == ERR_NOT_FOUND ? "no Python yet"
                                            : "not readable",
           err_message(err));
}

static void fill_program(struct listed_process *to, const struct target *target)
{
    size_t count = 0;
    while (target->argv && target->argv[count])
        count++;
    to->exe = target->exe ? redact_path(target->exe) : NULL;
    to->argv = count ? calloc(count + 1, sizeof(*to->argv)) : NULL;
    for (size_t i = 0; to->argv && i < count; i++)
        if (!(to->argv[i] = redact_argument(i ? target->argv[i - 1] : NULL, target->argv[i])))
            break;
}

static const struct target_mapping *module_mapping(const struct target *target, struct file_id file)
{
    vec_foreach (mapping, &target->mappings)
        if (mapping->inode == file.inode && mapping->device == file.device)
            return mapping;
    return NULL;
}

// Has its interpreter begun, and not ended?
static bool is_at_home(const struct home *home, const struct target *target)
{
    const struct target_mapping *module = module_mapping(target, home->module);
    uint64_t head = 0;
    AUTO_ERR struct err *err =
        module ? mem_read_u64(target->mem, module->start + home->head_offset, &head) : NULL;
    return !err && head;
}

static void remember(struct pythons *pythons, struct proc_program exe,
                     const struct py_process *process)
{
    struct module *module = image_module_at(process->image, process->head_addr);
    const struct target_mapping *first =
        module ? target_mapping_at(process->target, module->start) : NULL;
    if (!first || !first->inode)
        return;
    struct home home = {
        .exe = exe,
        .module = {first->device, first->inode},
        .head_offset = process->head_addr - first->start,
        .build = process->build_known ? py_build_name(process->dec.layout.build) : NULL,
    };
    snprintf(home.version, sizeof(home.version), "%s", process->version);
    (void)vec_push(&pythons->homes, home);
}

static struct err *search(struct pythons *pythons, struct proc_program exe, struct target *target,
                          struct listed_process *ret)
{
    struct image_options none = {0};
    struct image *image = NULL;
    struct py_process *process = NULL;
    TRY(image_open(target, &none, &image));
    struct err *err = py_process_open(target, image, pythons->strings, &process);
    if (!err) {
        snprintf(ret->version, sizeof(ret->version), "%s", process->version);
        ret->build = process->build_known ? py_build_name(process->dec.layout.build) : NULL;
        remember(pythons, exe, process);
        py_process_close(process);
    }
    image_destroy(image);
    return err;
}

// An interpreter's own program, in which Python is only just starting, is one all the same; another
// program that could run Python, and does not, is none.
static bool is_interpreter(const struct target *target)
{
    const char *slash = target->exe ? strrchr(target->exe, '/') : NULL;
    return slash && (strncmp(slash, "/python", 7) == 0 || strncmp(slash, "/pypy", 5) == 0);
}

static bool look_inside(struct pythons *pythons, pid_t pid, struct live *live,
                        struct listed_process *ret)
{
    struct proc_program exe = {0};
    (void)proc_program(pid, &exe);
    vec_foreach (home, &pythons->homes) {
        if (!same_program(home->exe, exe) || !is_at_home(home, live->target))
            continue;
        snprintf(ret->version, sizeof(ret->version), "%s", home->version);
        ret->build = home->build;
        return true;
    }
    AUTO_ERR struct err *err = live_tell_end(live, search(pythons, exe, live->target, ret));
    if (!err)
        return true;
    if (err_code(err) == ERR_GONE ||
        (err_code(err) == ERR_NOT_FOUND && !is_interpreter(live->target)))
        return false;
    refuse_err(ret, err);
    return true;
}

bool pythons_look(struct pythons *pythons, pid_t pid, enum python_guess guess,
                  struct listed_process *ret)
{
    struct live *live = NULL;
    AUTO_ERR struct err *err = live_open(pid, &live);
    if (err) {
        if (err_code(err) == ERR_GONE || err_code(err) == ERR_NOT_FOUND)
            return false;
        refuse_err(ret, err);
        return true;
    }
    fill_program(ret, live->target);
    bool listed = true;
    if (!live->can_read)
        refuse(ret, live->refused_by, live->refusal);
    else if (guess == PYTHON_LIKELY)
        listed = look_inside(pythons, pid, live, ret);
    live_close(live);
    return listed;
}

// SPDX-License-Identifier: GPL-3.0-or-later
// The extension module that a crash is in: the first module on the way from the fault to the Python code
// that called it which is neither the interpreter nor one of the system's basic libraries.
#include <string.h>

#include "cpython/modules.h"
#include "snapshot/crash_private.h"
#include "util/guard.h"

#define FRAMES_SEARCHED 512
#define PARENTS_MAX 6 // packages around a module

static const char *base_name(const char *path)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    return slash && slash[1] ? slash + 1 : path ? path : "";
}

static bool is_basic(struct image *image, struct module *module)
{
    static const char *const names[] = {"libc.",    "libc-",  "ld-",    "ld.",   "libpthread",
                                        "libm.",    "libm-",  "libdl",  "librt", "libstdc++",
                                        "libgcc_s", "libffi", "[vdso]", "libc++"};
    const char *name = base_name(module->path);
    uint64_t address, size;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (strncmp(name, names[i], strlen(names[i])) == 0)
            return true;
    return image_symbol(image, module, "_PyEval_EvalFrameDefault", &address, &size);
}

static bool is_loop(struct image *image, struct module *module, uint64_t pc)
{
    uint64_t start, size;
    return image_symbol(image, module, "_PyEval_EvalFrameDefault", &start, &size) && pc >= start &&
           pc < start + size;
}

static struct module *find_module(const struct crash_site *site)
{
    const struct unwind_frames *frames = &site->native->frames;
    for (size_t i = site->fault_frame; i < frames->count && i < FRAMES_SEARCHED; i++) {
        const struct unwind_frame *frame = &frames->items[i];
        uint64_t pc = frame->exact_pc ? frame->pc : frame->pc - 1;
        struct module *module = image_module_at(site->image, pc);
        if (!module)
            continue;
        if (!is_basic(site->image, module))
            return module;
        if (is_loop(site->image, module, pc))
            break;
    }
    return NULL;
}

// ---- Its version ---------------------------------------------------------------------------------

// Paths end in package/…/module.cpython-312-x86_64-linux-gnu.so. Which of the folders are packages is
// told by sys.modules: the module of that name was loaded from there.
static bool is_loaded_from(struct py_decoder *dec, uint64_t modules, const char *name,
                           const char *path)
{
    uint32_t file;
    AUTO_ERR struct err *err = py_module_text(dec, modules, name, "__file__", &file);
    const char *from = err || !file ? NULL : strtab_get(dec->strings, file);
    return from && strcmp(base_name(from), base_name(path)) == 0;
}

// Packages say their version as `__version__` of the outermost one.
static uint32_t version_of(const struct crash_site *site, const char *path)
{
    const struct snap_input *in = site->in;
    struct py_decoder *dec = in->process ? &in->process->dec : NULL;
    uint64_t modules = 0;
    AUTO_ERR struct err *err = dec && in->state && in->state->threads.count
                                   ? py_modules(dec, in->state->threads.items[0].interp, &modules)
                                   : NULL;
    AUTO_FREE char *dotted = strdup(path);
    if (err || !modules || !dotted)
        return 0;
    char *last = strrchr(dotted, '/');
    char *dot = strchr(last ? last : dotted, '.');
    if (!dot)
        return 0;
    *dot = '\0';
    for (int i = 0; i < PARENTS_MAX && last; i++) {
        if (is_loaded_from(dec, modules, last + 1, path)) {
            uint32_t version;
            char *end = strchr(last + 1, '.');
            if (end)
                *end = '\0';
            AUTO_ERR struct err *none =
                py_module_text(dec, modules, last + 1, "__version__", &version);
            return none ? 0 : version;
        }
        *last = '.';
        char *before = memrchr(dotted, '/', (size_t)(last - dotted));
        last = before;
    }
    return 0;
}

void crash_module(const struct crash_site *site, struct snap_crash *ret)
{
    char build_id[129];
    struct module *module = site->native ? find_module(site) : NULL;
    if (!module)
        return;
    ret->module = strtab_add_cstr(site->in->strings, base_name(module->path));
    module_build_id_text(module, build_id);
    if (build_id[0])
        ret->build_id = strtab_add_cstr(site->in->strings, build_id);
    if (!module->path)
        return;
    ret->module_path = strtab_add_cstr(site->in->strings, module->path);
    ret->module_version = version_of(site, module->path);
}

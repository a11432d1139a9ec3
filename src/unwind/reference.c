// SPDX-License-Identifier: GPL-3.0-or-later
// libdwfl over own callbacks (dwfl_attach_state): the reference that our rows must agree with, and
// the way on where they cannot be evaluated.
#include "unwind/reference.h"

#include <elfutils/libdwfl.h>
#include <elfutils/version.h>
#include <stdlib.h>
#include <unistd.h>

#include "image/elf.h"
#include "util/limits.h"

#define TID 1
// libdwfl goes round in circles where damaged tables lead it. The stack pointer may fall where a
// signal handler on an alternate stack returns, and stay where it was in code without a frame.
#define MAX_STALLS 8

struct reference {
    struct unwinder *unwinder;
    Dwfl *dwfl;
    const struct unwind_regs *regs; // of the walk in progress
    uint64_t start_pc;
    struct unwind_stack *out;
    unsigned stalls; // times that the stack pointer did not go up
    bool skip_first;
    bool all; // the first frame, too
};

// The module that find_elf asks for: libdwfl gives a pointer of ours back, and no context.
static int find_elf(Dwfl_Module *mod, void **userdata, const char *name, Dwarf_Addr base,
                    char **file_name, Elf **ret)
{
    (void)mod;
    (void)name;
    (void)base;
    (void)file_name;
    // libdwfl ends what it is given: a second reference to the same handle.
    Elf *elf = *userdata;
    static const Elf_Cmd commands[] = {ELF_C_READ_MMAP, ELF_C_READ_MMAP_PRIVATE, ELF_C_READ};
    for (size_t i = 0; elf && i < sizeof(commands) / sizeof(*commands); i++)
        if ((*ret = elf_begin(-1, commands[i], elf)))
            return -1;
    *ret = NULL;
    return -1;
}

static int find_debuginfo(Dwfl_Module *mod, void **userdata, const char *name, Dwarf_Addr base,
                          const char *file_name, const char *link, GElf_Word crc, char **ret)
{
    (void)mod;
    (void)userdata;
    (void)name;
    (void)base;
    (void)file_name;
    (void)link;
    (void)crc;
    (void)ret;
    return -1;
}

static const Dwfl_Callbacks callbacks = {.find_elf = find_elf, .find_debuginfo = find_debuginfo};

static pid_t next_thread(Dwfl *dwfl, void *dwfl_arg, void **thread_arg)
{
    (void)dwfl;
    if (*thread_arg)
        return 0;
    *thread_arg = dwfl_arg;
    return TID;
}

static bool get_thread(Dwfl *dwfl, pid_t tid, void *dwfl_arg, void **thread_arg)
{
    (void)dwfl;
    *thread_arg = dwfl_arg;
    return tid == TID;
}

static bool memory_read(Dwfl *dwfl, Dwarf_Addr addr, Dwarf_Word *result, void *dwfl_arg)
{
    struct reference *reference = dwfl_arg;
    (void)dwfl;
    return stack_read(reference->unwinder, addr, result);
}

static bool set_initial_registers(Dwfl_Thread *thread, void *thread_arg)
{
    struct reference *reference = thread_arg;
    const struct arch_unwind *arch = reference->unwinder->arch;
    for (int i = 0; i < arch->count; i++)
        if (reference->regs->known >> i & 1 &&
            !dwfl_thread_state_registers(thread, i, 1, &reference->regs->value[i]))
            return false;
    dwfl_thread_state_register_pc(thread, reference->start_pc);
    // x86_64 counts the pc among the registers.
    if (arch->ra >= arch->count)
        return dwfl_thread_state_registers(thread, arch->ra, 1, &reference->start_pc);
    return true;
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
    .next_thread = next_thread,
    .get_thread = get_thread,
    .memory_read = memory_read,
    .set_initial_registers = set_initial_registers,
};

void reference_destroy(struct reference *reference)
{
    if (!reference)
        return;
    if (reference->dwfl)
        dwfl_end(reference->dwfl);
    free(reference);
}

static bool report_modules(struct unwinder *unwinder, Dwfl *dwfl)
{
    dwfl_report_begin(dwfl);
    for (size_t i = 0; i < image_module_count(unwinder->image); i++) {
        struct module *module = image_module(unwinder->image, i);
        Dwfl_Module *mod = dwfl_report_module(dwfl, module->path, module->start, module->end);
        void **userdata;
        if (mod && dwfl_module_info(mod, &userdata, NULL, NULL, NULL, NULL, NULL, NULL))
            *userdata = image_elf(unwinder->image, module);
    }
    return dwfl_report_end(dwfl, NULL, NULL) == 0;
}

static struct reference *reference_of(struct unwinder *unwinder)
{
    if (unwinder->reference)
        return unwinder->reference;
    struct reference *reference = calloc(1, sizeof(*reference));
    if (!reference)
        return NULL;
    reference->unwinder = unwinder;
    reference->dwfl = dwfl_begin(&callbacks);
    if (!reference->dwfl || !report_modules(unwinder, reference->dwfl) ||
        !dwfl_attach_state(reference->dwfl, NULL, TID, &thread_callbacks, reference)) {
        reference_destroy(reference);
        return NULL;
    }
    return unwinder->reference = reference;
}

static uint64_t sp_of(struct reference *reference, Dwfl_Frame *state)
{
    Dwarf_Word sp = 0;
#if _ELFUTILS_PREREQ(0, 188)
    if (dwfl_frame_reg(state, reference->unwinder->arch->sp, &sp) != 0)
        sp = 0;
#else
    (void)reference;
    (void)state;
#endif
    return sp;
}

static int on_frame(Dwfl_Frame *state, void *arg)
{
    struct reference *reference = arg;
    struct unwind_frames *frames = &reference->out->frames;
    Dwarf_Addr pc;
    bool activation;
    if (!dwfl_frame_pc(state, &pc, &activation) || pc == 0)
        return DWARF_CB_ABORT;
    if (reference->skip_first) {
        reference->skip_first = false;
        return DWARF_CB_OK;
    }
    uint64_t sp = sp_of(reference, state);
    struct unwind_frame *last = frames->count ? &frames->items[frames->count - 1] : NULL;
    // Older ones do not tell the stack pointer.
    const bool tells_sp = _ELFUTILS_PREREQ(0, 188);
    if (last && tells_sp && sp <= last->sp &&
        (pc == last->pc || reference->stalls++ >= MAX_STALLS)) {
        reference->out->end = UNWIND_END_CORRUPT;
        return DWARF_CB_ABORT;
    }
    // Tables that keep the return address where it is read no memory, and end nowhere.
    uint64_t word;
    if (last && sp && !stack_read(reference->unwinder, sp - sizeof(word), &word)) {
        reference->out->end = UNWIND_END_MEMORY;
        return DWARF_CB_ABORT;
    }
    if (last && sp >= last->sp) // across a signal it may lie on another stack
        last->cfa = sp;
    if (frames->count >= LIMIT_NATIVE_FRAMES ||
        !vec_push(frames, (struct unwind_frame){.pc = pc,
                                                .sp = sp,
                                                .how = frames->count ? UNWIND_CFI : UNWIND_START,
                                                .exact_pc = activation})) {
        reference->out->end = UNWIND_END_LIMIT;
        return DWARF_CB_ABORT;
    }
    return DWARF_CB_OK;
}

enum step reference_walk(struct unwinder *unwinder, const struct unwind_regs *regs, bool exact,
                         struct unwind_stack *ret)
{
    struct reference *reference = reference_of(unwinder);
    if (!reference)
        return STEP_NONE;
    size_t before = ret->frames.count;
    reference->regs = regs;
    // The first frame's pc is always taken as it is.
    reference->start_pc = exact ? regs->pc : regs->pc - 1;
    reference->out = ret;
    reference->skip_first = !reference->all;
    reference->stalls = 0;
    ret->end = UNWIND_END_BASE;
    int result = dwfl_getthread_frames(reference->dwfl, TID, on_frame, reference);
    if (result < 0 && ret->frames.count == before)
        return STEP_NONE;
    ret->end_addr = ret->frames.count ? ret->frames.items[ret->frames.count - 1].pc : 0;
    if (result < 0)
        ret->end = UNWIND_END_NO_INFO;
    return STEP_END;
}

void reference_unwind(struct unwinder *unwinder, struct mem *stack,
                      const struct unwind_start *start, struct unwind_stack *ret)
{
    const struct arch_unwind *arch = unwinder->arch;
    struct unwind_regs regs = {.pc = start->regs.ip};
    for (unsigned i = 0; start->complete && i < arch->count; i++)
        regs.value[i] = start->regs.raw[arch->raw[i]];
    regs.value[arch->sp] = start->regs.sp;
    regs.known = start->complete ? (1ull << arch->count) - 1 : 1ull << arch->sp;
    unwinder->stack = stack;
    unwinder->window_usable = 0;
    vec_clear(&ret->frames);
    ret->recovered = false;
    struct reference *reference = reference_of(unwinder);
    if (!reference)
        return;
    reference->all = true;
    if (reference_walk(unwinder, &regs, true, ret) == STEP_NONE)
        ret->end = UNWIND_END_NO_INFO;
    reference->all = false;
}

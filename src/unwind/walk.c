// SPDX-License-Identifier: GPL-3.0-or-later
// The walk: row after row from the innermost activation to the outermost. See unwind/unwind.h.
#include "unwind/walk.h"

#include <string.h>

#include "unwind/expression.h"
#include "unwind/reference.h"
#include "util/guard.h"
#include "util/limits.h"

// A signal handler on an alternate stack returns to a stack that may lie lower: once, as the
// kernel does not switch again while that stack is in use. A coroutine library's may add another.
#define MAX_JUMPS 4
#define BELOW 256u // bytes below the first word of a window

// ---- Stack bytes --------------------------------------------------------------------------------

static bool fill_window(struct unwinder *unwinder, uint64_t addr)
{
    uint64_t rest = WINDOW_BYTES - (addr & (WINDOW_BYTES - 1));
    size_t got = mem_read_some(unwinder->stack, addr, unwinder->window, rest);
    unwinder->window_start = addr;
    unwinder->window_usable = got < sizeof(uint64_t) ? 0 : got - sizeof(uint64_t) + 1;
    return unwinder->window_usable > 0;
}

// Registers are saved below the return address, which is read first: the window begins somewhat
// lower. What lies lower may be absent while this is there, and a word may lie across two pages.
bool stack_read_slowly(struct unwinder *unwinder, uint64_t addr, uint64_t *ret)
{
    uint64_t in_page = addr & (WINDOW_BYTES - 1);
    uint64_t from = in_page >= BELOW ? addr - BELOW : addr - in_page;
    if (in_page > WINDOW_BYTES - sizeof(*ret) || addr > UINT64_MAX - sizeof(*ret))
        return mem_read_some(unwinder->stack, addr, ret, sizeof(*ret)) == sizeof(*ret);
    if ((!fill_window(unwinder, from) || addr - from >= unwinder->window_usable) &&
        (from == addr || !fill_window(unwinder, addr)))
        return false;
    memcpy(ret, unwinder->window + (addr - unwinder->window_start), sizeof(*ret));
    return true;
}

static bool read_for_expression(void *arg, uint64_t addr, uint64_t *ret)
{
    return stack_read(arg, addr, ret);
}

// ---- Rules --------------------------------------------------------------------------------------

enum got { GOT, GOT_NO_REGISTER, GOT_NO_MEMORY, GOT_UNSUPPORTED };

static enum got read_word(struct walk *walk, uint64_t addr, uint64_t *ret)
{
    if (stack_read(walk->unwinder, addr, ret))
        return GOT;
    *ret = addr;
    return GOT_NO_MEMORY;
}

static enum got evaluate(struct walk *walk, const struct rule *rule, uint64_t cfa, uint64_t *ret)
{
    // The program counter is no register that rows restore, but PLT entries ask for it.
    struct unwind_regs regs = walk->regs;
    unsigned column = walk->unwinder->arch->ra;
    if (column < ARCH_MAX_DWARF) {
        regs.value[column] = regs.pc;
        regs.known |= 1ull << column;
    }
    switch (
        expression_eval(rule->expression, &regs, cfa, read_for_expression, walk->unwinder, ret)) {
    case EXPRESSION_OK:
        return GOT;
    case EXPRESSION_REGISTER:
        return GOT_NO_REGISTER;
    case EXPRESSION_MEMORY:
        return GOT_NO_MEMORY;
    default:
        return GOT_UNSUPPORTED;
    }
}

// On GOT_NO_MEMORY *ret is the address that could not be read.
static enum got apply(struct walk *walk, const struct rule *rule, uint64_t cfa, uint64_t *ret)
{
    enum got got;
    switch (rule->kind) {
    case RULE_CFA_MEMORY:
        return read_word(walk, cfa + (uint64_t)(int64_t)rule->offset, ret);
    case RULE_CFA_VALUE:
        *ret = cfa + (uint64_t)(int64_t)rule->offset;
        return GOT;
    case RULE_REG_MEMORY:
    case RULE_REG_VALUE:
        if (!walk_knows(walk, rule->reg))
            return GOT_NO_REGISTER;
        *ret = walk->regs.value[rule->reg] + (uint64_t)(int64_t)rule->offset;
        return rule->kind == RULE_REG_MEMORY ? read_word(walk, *ret, ret) : GOT;
    case RULE_EXPR_MEMORY:
        got = evaluate(walk, rule, cfa, ret);
        return got == GOT ? read_word(walk, *ret, ret) : got;
    case RULE_EXPR_VALUE:
        return evaluate(walk, rule, cfa, ret);
    default:
        return GOT_UNSUPPORTED;
    }
}

static void set_register(struct walk *walk, struct unwind_regs *regs, unsigned column, enum got got,
                         uint64_t value)
{
    if (got == GOT) {
        regs->value[column] = value;
        regs->known |= 1ull << column;
        return;
    }
    regs->known &= ~(1ull << column);
    if (got == GOT_NO_MEMORY && column == walk->unwinder->arch->fp)
        walk->lost_fp = value;
}

// The caller's registers. Rules of rows that are not simple look at those of the callee.
static void restore(struct walk *walk, const struct row *row, uint64_t cfa)
{
    struct unwind_regs *regs = &walk->regs, next;
    uint64_t value;
    unsigned sp = walk->unwinder->arch->sp;
    if (row->simple) {
        regs->known &= row->keep;
        for (unsigned i = 0; i < row->rule_count; i++) {
            const struct rule *rule = &row->rules[i];
            uint64_t addr = cfa + (uint64_t)(int64_t)rule->offset;
            bool there = stack_read(walk->unwinder, addr, &value);
            set_register(walk, regs, rule->column, there ? GOT : GOT_NO_MEMORY,
                         there ? value : addr);
        }
        if (!(regs->known >> sp & 1))
            set_register(walk, regs, sp, GOT, cfa);
        return;
    }
    next = *regs;
    next.known &= row->keep;
    next.value[sp] = cfa;
    next.known |= 1ull << sp;
    for (unsigned i = 0; i < row->rule_count; i++) {
        enum got got = apply(walk, &row->rules[i], cfa, &value);
        set_register(walk, &next, row->rules[i].column, got, value);
    }
    *regs = next;
}

// ---- One step -----------------------------------------------------------------------------------

enum step walk_end(struct walk *walk, enum unwind_end end, uint64_t addr)
{
    walk->out->end = end;
    walk->out->end_addr = addr;
    return STEP_END;
}

static struct unwind_frame *last_frame(struct walk *walk)
{
    return &walk->out->frames.items[walk->out->frames.count - 1];
}

static enum step by_reference(struct walk *walk)
{
    if (walk->strict)
        return STEP_NONE;
    walk->unwinder->stats.reference_walks++;
    size_t before = walk->out->frames.count;
    enum step step = reference_walk(walk->unwinder, &walk->regs, walk->exact, walk->out);
    for (size_t i = before; walk->guessed && i < walk->out->frames.count; i++)
        walk->out->frames.items[i].how = UNWIND_SCAN;
    return step;
}

static enum step not_got(struct walk *walk, enum got got, uint64_t addr)
{
    switch (got) {
    case GOT_NO_MEMORY:
        return walk_end(walk, UNWIND_END_MEMORY, addr);
    case GOT_NO_REGISTER:
        if (walk->lost_fp)
            return walk_end(walk, UNWIND_END_MEMORY, walk->lost_fp);
        // Of a whole walk, a guess on the way lost it: no stop of the thread would bring it back.
        return walk_end(walk, walk->complete ? UNWIND_END_NO_INFO : UNWIND_END_REGISTER,
                        walk->regs.pc);
    default:
        return by_reference(walk);
    }
}

// The CFA; on the way the frame pointer is learnt from, or recovered.
static enum got find_cfa(struct walk *walk, struct row_slot *slot, uint64_t *ret)
{
    const struct row *row = slot->row;
    unsigned fp = walk->unwinder->arch->fp;
    if (row->cfa.kind != RULE_REG_VALUE)
        return apply(walk, &row->cfa, 0, ret);
    if (row->cfa.reg == fp) {
        if (walk->learn)
            recover_learn(slot, walk);
        if (!walk_knows(walk, fp) && !walk->lost_fp && !walk->strict &&
            recover_frame_pointer(walk, slot, &walk->regs.value[fp])) {
            walk->regs.known |= 1ull << fp;
            walk->out->recovered = true;
        }
    }
    if (!walk_knows(walk, row->cfa.reg))
        return GOT_NO_REGISTER;
    *ret = walk->regs.value[row->cfa.reg] + (uint64_t)(int64_t)row->cfa.offset;
    return GOT;
}

static bool was_here(const struct walk *walk, uint64_t pc, uint64_t sp)
{
    vec_foreach (frame, &walk->out->frames)
        if (frame->pc == pc && frame->sp == sp)
            return true;
    return false;
}

// The stack grows down on all machines: callers lie higher, except across a signal frame.
static bool goes_up(struct walk *walk, const struct row *row, uint64_t old_sp, uint64_t old_pc)
{
    uint64_t sp = walk->regs.value[walk->unwinder->arch->sp];
    if (sp > old_sp || (sp == old_sp && walk->regs.pc != old_pc && !row->signal))
        return true;
    return row->signal && walk->jumps++ < MAX_JUMPS && !was_here(walk, walk->regs.pc, sp);
}

// The same as by_row() for a row that is plain, when all that it reads is in the window. STEP_NONE:
// nothing was done.
static enum step by_plain_row(struct walk *walk, struct row_slot *slot)
{
    struct unwinder *unwinder = walk->unwinder;
    struct unwind_regs *regs = &walk->regs;
    const struct row *row = slot->row;
    unsigned sp = unwinder->arch->sp;
    uint64_t cfa = regs->value[row->cfa.reg] + (uint64_t)(int64_t)row->cfa.offset, ra;
    uint64_t first = cfa + (uint64_t)(int64_t)row->lowest;
    if (!walk_knows(walk, row->cfa.reg) || cfa <= regs->value[sp])
        return STEP_NONE;
    if (first - unwinder->window_start >= unwinder->window_usable ||
        unwinder->window_usable - (first - unwinder->window_start) <= row->span) {
        if (!stack_read_slowly(unwinder, first, &ra) ||
            first - unwinder->window_start >= unwinder->window_usable ||
            unwinder->window_usable - (first - unwinder->window_start) <= row->span)
            return STEP_NONE;
    }
    const unsigned char *words = unwinder->window + (first - unwinder->window_start);
    memcpy(&ra, words + (row->ra.offset - row->lowest), sizeof(ra));
    if (ra == 0)
        return STEP_NONE;
    if (walk->learn && row->cfa.reg == unwinder->arch->fp)
        recover_learn(slot, walk);
    for (unsigned i = 0; i < row->rule_count; i++)
        memcpy(&regs->value[row->rules[i].column], words + (row->rules[i].offset - row->lowest),
               sizeof(uint64_t));
    regs->known = (regs->known & row->keep) | row->saved | 1ull << sp;
    if (!(row->saved >> sp & 1))
        regs->value[sp] = cfa;
    last_frame(walk)->cfa = cfa;
    regs->pc = ra;
    walk->exact = false;
    walk->how = walk->guessed ? UNWIND_SCAN : row->stub ? UNWIND_STUB : UNWIND_CFI;
    return STEP_ON;
}

static enum step by_row(struct walk *walk, struct row_slot *slot)
{
    const struct row *row = slot->row;
    uint64_t cfa = 0, ra, old_pc = walk->regs.pc;
    uint64_t old_sp = walk->regs.value[walk->unwinder->arch->sp];
    if (row->plain && by_plain_row(walk, slot) == STEP_ON)
        return STEP_ON;
    if (row->unsupported)
        return by_reference(walk);
    if (row->base) {
        if (apply(walk, &row->cfa, 0, &cfa) == GOT && cfa >= old_sp)
            last_frame(walk)->cfa = cfa;
        return walk_end(walk, UNWIND_END_BASE, 0);
    }
    enum got got = find_cfa(walk, slot, &cfa);
    if (got != GOT)
        return not_got(walk, got, cfa);
    if (cfa < old_sp && !row->signal)
        return walk_end(walk, UNWIND_END_CORRUPT, walk->regs.pc);
    got = apply(walk, &row->ra, cfa, &ra);
    if (got != GOT)
        return not_got(walk, got, ra);
    last_frame(walk)->cfa = cfa;
    if (row->signal)
        last_frame(walk)->signal = last_frame(walk)->exact_pc = true;
    if (ra == 0 && !row->signal) // a signal may well have met a call of a null pointer
        return walk_end(walk, UNWIND_END_BASE, 0);
    restore(walk, row, cfa);
    walk->regs.pc = ra;
    walk->exact = row->signal;
    walk->how = walk->guessed ? UNWIND_SCAN : row->stub ? UNWIND_STUB : UNWIND_CFI;
    return goes_up(walk, row, old_sp, old_pc) ? STEP_ON : walk_end(walk, UNWIND_END_CORRUPT, ra);
}

static bool push_frame(struct walk *walk)
{
    const struct arch_unwind *arch = walk->unwinder->arch;
    if (walk->fps &&
        !vec_push(walk->fps, walk_knows(walk, arch->fp) ? walk->regs.value[arch->fp] : 0))
        return false;
    return vec_push(&walk->out->frames, (struct unwind_frame){
                                            .pc = walk->regs.pc,
                                            .sp = walk->regs.value[arch->sp],
                                            .how = walk->how,
                                            .exact_pc = walk->exact,
                                        });
}

void walk_run(struct walk *walk)
{
    struct unwinder *unwinder = walk->unwinder;
    for (;;) {
        struct row_slot *slot = row_cache_at(unwinder->rows, walk->regs.pc, walk->exact);
        if (!slot)
            slot = stub_at(unwinder, walk->regs.pc, walk->exact);
        if (!slot && !walk->exact && !code_is_executable(unwinder, walk->regs.pc)) {
            walk_end(walk, UNWIND_END_CORRUPT, walk->regs.pc);
            return;
        }
        if (walk->out->frames.count >= LIMIT_NATIVE_FRAMES || !push_frame(walk)) {
            walk_end(walk, UNWIND_END_LIMIT, walk->regs.pc);
            return;
        }
        enum step step = slot ? by_row(walk, slot) : STEP_NONE;
        if (step == STEP_NONE && !walk->strict)
            step = fallback_step(walk);
        if (step == STEP_NONE)
            step = walk_end(walk, UNWIND_END_NO_INFO, walk->regs.pc);
        if (step == STEP_ON && walk->stop && last_frame(walk)->cfa > walk->stop)
            step = walk_end(walk, UNWIND_END_BASE, 0);
        if (step == STEP_END)
            return;
    }
}

// ---- The interface ------------------------------------------------------------------------------

void unwind(struct unwinder *unwinder, struct mem *stack, const struct unwind_start *start,
            struct unwind_stack *ret)
{
    const struct arch_unwind *arch = unwinder->arch;
    struct walk walk = {
        .unwinder = unwinder,
        .regs = {.pc = start->regs.ip},
        .out = ret,
        .exact = true,
        .complete = start->complete,
        .learn = start->complete,
        .how = UNWIND_START,
    };
    for (unsigned i = 0; start->complete && i < arch->count; i++)
        walk.regs.value[i] = start->regs.raw[arch->raw[i]];
    walk.regs.value[arch->sp] = start->regs.sp;
    walk.regs.known = start->complete ? (1ull << arch->count) - 1 : 1ull << arch->sp;
    row_cache_make_room(unwinder->rows);
    unwinder->stack = stack;
    unwinder->window_usable = 0;
    vec_clear(&ret->frames);
    ret->end = UNWIND_END_BASE;
    ret->end_addr = 0;
    ret->recovered = false;
    ret->start = *start;
    walk_run(&walk);
    unwinder->stats.frames += ret->frames.count;
}

static bool all_called(struct unwinder *unwinder, const struct unwind_frames *frames)
{
    uint64_t target;
    vec_foreach (frame, frames)
        if (!frame->exact_pc && !code_follows_call(unwinder, frame->pc, &target))
            return false;
    return true;
}

bool unwind_suspended(struct unwinder *unwinder, struct mem *stack, const struct arch_regs *regs,
                      uint64_t stop, struct unwind_stack *ret)
{
    const struct arch_unwind *arch = unwinder->arch;
    struct walk walk = {
        .unwinder = unwinder,
        .regs = {.pc = regs->ip, .known = 1ull << arch->sp | 1ull << arch->fp},
        .out = ret,
        .exact = true,
        .strict = true,
        .stop = stop,
        .how = UNWIND_START,
    };
    walk.regs.value[arch->sp] = regs->sp;
    walk.regs.value[arch->fp] = regs->fp;
    row_cache_make_room(unwinder->rows);
    unwinder->stack = stack;
    unwinder->window_usable = 0;
    vec_clear(&ret->frames);
    ret->end_addr = 0;
    ret->recovered = false;
    ret->start = (struct unwind_start){.regs = *regs};
    walk_run(&walk);
    unwinder->window_usable = 0;
    unwinder->stats.frames += ret->frames.count;
    if (ret->end != UNWIND_END_BASE || !ret->frames.count)
        return false;
    const struct unwind_frame *last = last_frame(&walk);
    return (stop == UINT64_MAX || (last->sp <= stop && last->cfa > stop)) &&
           all_called(unwinder, &ret->frames);
}

void unwind_stack_deinit(struct unwind_stack *stack)
{
    vec_deinit(&stack->frames);
}

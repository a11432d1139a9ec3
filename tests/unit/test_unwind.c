// SPDX-License-Identifier: GPL-3.0-or-later
// The unwinder: this process's own stack against libgcc's and libdwfl's view of it, and made-up
// stacks over code whose bytes are known.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
// cmocka wants these four first.
#include <cmocka.h>

#include <dwarf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/user.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#include "target/proc.h"
#include "unwind/expression.h"
#include "unwind/reference.h"
#include "unwind/unwind.h"
#include "util/guard.h"

// ---- This process as a target -------------------------------------------------------------------

// Offsets of what lies in the code page.
enum { TRAMPOLINE = 0x100, SIGNAL = 0x200, CALL = 0x300, NOTHING = 0x400, CLONE = 0x500 };

static struct {
    int mem_fd;
    struct target target;
    struct image *image;
    struct unwinder *unwinder;
    unsigned char *code;
    unsigned char *data; // not executable
} self;

static size_t read_self(void *arg, uint64_t addr, void *buffer, size_t size)
{
    (void)arg;
    ssize_t got = pread(self.mem_fd, buffer, size, (off_t)addr);
    return got < 0 ? 0 : (size_t)got;
}

static void put(unsigned offset, const char *bytes, size_t size)
{
    memcpy(self.code + offset, bytes, size);
}
#define PUT(offset, text) put((offset), (text), sizeof(text) - 1)

static int setup(void **state)
{
    (void)state;
    self.code = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    self.data = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(self.code, 0x90, 4096);
    PUT(TRAMPOLINE, "\x48\x83\xec\x08\xff\xd1\x48\x83\xc4\x08\xc3");
    PUT(SIGNAL, "\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05");
    PUT(CALL, "\xff\xd0"); // call *%rax
    PUT(CLONE, "\x41\xff\xd1\x89\xc7\x31\xc0\xb0\x3c\x0f\x05");
    assert_int_equal(mprotect(self.code, 4096, PROT_READ | PROT_EXEC), 0);
    self.mem_fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    assert_true(self.mem_fd >= 0);
    self.target = (struct target){.kind = TARGET_LIVE, .pid = getpid(), .mem = mem_create()};
    assert_null(mem_add(self.target.mem, 0, 1ull << 47, MEM_LIVE, read_self, NULL, false));
    assert_null(proc_mappings(getpid(), &self.target.mappings));
    assert_null(image_open(&self.target, NULL, &self.image));
    assert_null(unwinder_create(&self.target, self.image, &self.unwinder));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unwinder_destroy(self.unwinder);
    image_destroy(self.image);
    mem_destroy(self.target.mem);
    vec_foreach (mapping, &self.target.mappings)
        free(mapping->path);
    vec_deinit(&self.target.mappings);
    vec_foreach (note, &self.target.notes)
        free(*note);
    vec_deinit(&self.target.notes);
    close(self.mem_fd);
    return 0;
}

static void regs_of(const ucontext_t *context, struct unwind_start *ret)
{
    const greg_t *gregs = context->uc_mcontext.gregs;
    struct user_regs_struct regs = {
        .r15 = (uint64_t)gregs[REG_R15],
        .r14 = (uint64_t)gregs[REG_R14],
        .r13 = (uint64_t)gregs[REG_R13],
        .r12 = (uint64_t)gregs[REG_R12],
        .rbp = (uint64_t)gregs[REG_RBP],
        .rbx = (uint64_t)gregs[REG_RBX],
        .rip = (uint64_t)gregs[REG_RIP],
        .rsp = (uint64_t)gregs[REG_RSP],
    };
    arch_host()->regs_from_gregset(&regs, &ret->regs);
    ret->complete = true;
}

static void assert_same(const struct unwind_stack *a, const struct unwind_stack *b)
{
    assert_int_equal(a->frames.count, b->frames.count);
    for (size_t i = 0; i < a->frames.count; i++) {
        assert_int_equal(a->frames.items[i].pc, b->frames.items[i].pc);
        if (b->frames.items[i].sp) // elfutils before 0.188 do not say
            assert_int_equal(a->frames.items[i].sp, b->frames.items[i].sp);
    }
}

VEC_DEFINE(addresses, uintptr_t);

static _Unwind_Reason_Code on_libgcc_frame(struct _Unwind_Context *context, void *arg)
{
    uintptr_t pc = _Unwind_GetIP(context);
    if (pc)
        assert_true(vec_push((struct addresses *)arg, pc));
    return _URC_NO_REASON;
}

// Three views of the caller's stack: ours, libdwfl's, and what libgcc says (`theirs`, of which the
// first is the call that asked, and differs from where the registers were taken).
static void compare_views(const struct unwind_start *start, const struct addresses *theirs,
                          struct unwind_stack *ret)
{
    struct unwind_stack reference = {0};
    unwind(self.unwinder, self.target.mem, start, ret);
    assert_int_equal(ret->end, UNWIND_END_BASE);
    reference_unwind(self.unwinder, self.target.mem, start, &reference);
    assert_same(ret, &reference);
    assert_true(theirs->count > 1);
    assert_int_equal(theirs->count, ret->frames.count);
    for (size_t i = 1; i < theirs->count; i++)
        assert_int_equal(ret->frames.items[i].pc, theirs->items[i]);
    unwind_stack_deinit(&reference);
}

// ---- Real stacks --------------------------------------------------------------------------------

static __attribute__((noinline)) void look_at_self(struct unwind_stack *ret)
{
    ucontext_t context;
    struct unwind_start start;
    struct addresses theirs = {0};
    getcontext(&context);
    regs_of(&context, &start);
    _Unwind_Backtrace(on_libgcc_frame, &theirs);
    compare_views(&start, &theirs, ret);
    vec_deinit(&theirs);
}

static int on_compare(const void *a, const void *b)
{
    (void)b;
    struct unwind_stack *ret = *(struct unwind_stack *const *)a;
    if (!ret->frames.count)
        look_at_self(ret);
    return 0;
}

static void test_own_stack(void **state)
{
    (void)state;
    struct unwind_stack stack = {0}, *items[4] = {&stack, &stack, &stack, &stack};
    qsort(items, 4, sizeof(*items), on_compare); // through the C library
    assert_true(stack.frames.count > 5);
    assert_int_equal(stack.frames.items[0].how, UNWIND_START);
    assert_true(stack.frames.items[0].exact_pc);
    for (size_t i = 1; i < stack.frames.count; i++) {
        const struct unwind_frame *frame = &stack.frames.items[i];
        assert_int_equal(frame->how, UNWIND_CFI);
        assert_false(frame->exact_pc);
        assert_int_equal(frame->sp, frame[-1].cfa);
    }
    struct unwind_stats before = unwinder_stats(self.unwinder);
    assert_true(before.rows_built > 0);
    look_at_self(&stack);
    look_at_self(&stack);
    struct unwind_stats middle = unwinder_stats(self.unwinder);
    unwinder_refresh(self.unwinder); // nothing changed: nothing is forgotten
    look_at_self(&stack);
    struct unwind_stats after = unwinder_stats(self.unwinder);
    assert_true(after.row_hits > before.row_hits);
    assert_true(after.rows_built - middle.rows_built <= 1); // this call's own pc
    assert_int_equal(after.reference_walks, 0);
    unwind_stack_deinit(&stack);
}

// Leaves the frame pointer as it is, which its caller's row needs.
static __attribute__((noinline)) void passes_on(struct unwind_stack *ret)
{
    look_at_self(ret);
    __asm__ volatile("" ::: "memory");
}

static __attribute__((noinline)) void test_kept_frame_pointer(void **state)
{
    struct unwind_stack stack = {0};
    char *varies = __builtin_alloca((uintptr_t)state % 64 + 16);
    __asm__ volatile("" ::"r"(varies) : "memory");
    passes_on(&stack);
    assert_true(stack.frames.count > 4);
    unwind_stack_deinit(&stack);
}

// ---- A piece of a stack ---------------------------------------------------------------------------

// What unwind_suspended() says of this call's stack up to `stop`.
static __attribute__((noinline)) bool look_up_to(uint64_t stop, uint64_t fp_off,
                                                 struct unwind_stack *ret)
{
    ucontext_t context;
    struct unwind_start start;
    getcontext(&context);
    regs_of(&context, &start);
    start.regs.fp += fp_off;
    return unwind_suspended(self.unwinder, self.target.mem, &start.regs, stop, ret);
}

static __attribute__((noinline)) bool inner_piece(uint64_t stop, uint64_t fp_off,
                                                  struct unwind_stack *ret)
{
    char *varies = __builtin_alloca(stop % 64 + 16); // its row needs the frame pointer
    __asm__ volatile("" ::"r"(varies) : "memory");
    return look_up_to(stop, fp_off, ret);
}

static __attribute__((noinline)) bool middle_piece(uint64_t stop, uint64_t fp_off,
                                                   struct unwind_stack *ret)
{
    bool arrived = inner_piece(stop, fp_off, ret);
    __asm__ volatile("" ::: "memory");
    return arrived;
}

static void test_piece_of_a_stack(void **state)
{
    (void)state;
    struct unwind_stack stack = {0}, whole = {0};
    volatile uint64_t mark = 0;
    uint64_t stop = (uintptr_t)&mark, start, end;
    assert_true(middle_piece(stop, 0, &stack));
    assert_true(stack.frames.count == 4);
    const struct unwind_frame *last = &stack.frames.items[3];
    assert_true(last->sp <= stop && last->cfa > stop);
    assert_true(unwind_function(self.unwinder, last->pc - 1, &start, &end));
    assert_true((uintptr_t)test_piece_of_a_stack >= start &&
                (uintptr_t)test_piece_of_a_stack < end);
    for (size_t i = 1; i < stack.frames.count; i++)
        assert_int_equal(stack.frames.items[i].how, UNWIND_CFI);
    // All of it.
    assert_true(middle_piece(UINT64_MAX, 0, &whole));
    assert_true(whole.frames.count > stack.frames.count);
    assert_int_equal(whole.frames.items[3].sp, last->sp);
    // Below all of it, above all of it, and a frame pointer that is another's.
    assert_false(middle_piece(stop - 65536, 0, &stack));
    assert_false(middle_piece((uint64_t)1 << 46, 0, &stack));
    assert_false(middle_piece(stop, 8, &stack));
    unwind_stack_deinit(&stack);
    unwind_stack_deinit(&whole);
}

static jmp_buf come_back;

static __attribute__((noinline, noreturn)) void never_returns(struct unwind_stack *ret)
{
    look_at_self(ret);
    longjmp(come_back, 1);
}

// Its last instruction is the call: the return address is another function's, with other rules.
static __attribute__((noinline)) void ends_in_a_call(struct unwind_stack *ret)
{
    char frame[200];
    __asm__ volatile("" ::"r"(frame) : "memory");
    never_returns(ret);
}

static void test_return_address_behind_the_function(void **state)
{
    (void)state;
    static struct unwind_stack stack;
    uint64_t start, end;
    if (!setjmp(come_back))
        ends_in_a_call(&stack);
    assert_true(stack.frames.count > 4);
    assert_true(unwind_function(self.unwinder, (uintptr_t)&ends_in_a_call, &start, &end));
    assert_true(stack.frames.items[2].pc > start && stack.frames.items[2].pc <= end);
    unwind_stack_deinit(&stack);
}

static struct unwind_stack in_handler;
static void on_signal(int number)
{
    (void)number;
    look_at_self(&in_handler);
}

static void test_signal_on_alternate_stack(void **state)
{
    (void)state;
    size_t bytes = 1 << 20;
    AUTO_FREE void *memory = malloc(bytes);
    stack_t alternate = {.ss_sp = memory, .ss_size = bytes}, off = {.ss_flags = SS_DISABLE};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    assert_int_equal(sigaltstack(&alternate, NULL), 0);
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    raise(SIGUSR1);
    sigaltstack(&off, NULL);
    size_t at = 0;
    while (at < in_handler.frames.count && !in_handler.frames.items[at].signal)
        at++;
    assert_true(at + 4 < in_handler.frames.count);
    const struct unwind_frame *frame = &in_handler.frames.items[at];
    assert_true(frame->exact_pc && frame[1].exact_pc && !frame[2].exact_pc && !frame[1].signal);
    assert_true(frame->sp - (uintptr_t)memory < bytes);
    assert_true(frame[1].sp - (uintptr_t)memory >= bytes);
    unwind_stack_deinit(&in_handler);
}

static __attribute__((noinline)) void with_frame_pointer(int depth, struct unwind_stack *whole,
                                                         struct unwind_stack *part, bool teach)
{
    // The address of the frame keeps the frame pointer in use.
    volatile uintptr_t keep = (uintptr_t)__builtin_frame_address(0);
    if (depth) {
        with_frame_pointer(depth - 1, whole, part, teach);
    } else {
        ucontext_t context;
        struct unwind_start start;
        getcontext(&context);
        regs_of(&context, &start);
        struct unwinder *other;
        assert_null(unwinder_create(&self.target, self.image, &other));
        unwind(teach ? other : self.unwinder, self.target.mem, &start, whole);
        start.complete = false;
        memset(start.regs.raw, 0x55, sizeof(start.regs.raw));
        start.regs.fp = 0;
        unwind(other, self.target.mem, &start, part);
        unwinder_destroy(other);
    }
    assert_true(keep);
}

static void test_incomplete_registers(void **state)
{
    (void)state;
    struct unwind_stack whole = {0}, part = {0};
    for (int depth = 0; depth < 6; depth++) {
        with_frame_pointer(depth, &whole, &part, true);
        assert_int_equal(whole.end, UNWIND_END_BASE);
        assert_false(whole.recovered);
        assert_int_equal(part.end, UNWIND_END_BASE);
        assert_true(part.recovered);
        assert_same(&part, &whole);
        // Without having seen it before: right, or not at all.
        with_frame_pointer(depth, &whole, &part, false);
        if (part.end == UNWIND_END_BASE)
            assert_same(&part, &whole);
        else
            assert_int_equal(part.end, UNWIND_END_REGISTER);
    }
    unwind_stack_deinit(&whole);
    unwind_stack_deinit(&part);
}

static void test_function(void **state)
{
    (void)state;
    uint64_t start = 0, end = 0;
    uintptr_t function = (uintptr_t)&look_at_self;
    assert_true(unwind_function(self.unwinder, function + 1, &start, &end));
    assert_int_equal(start, function);
    assert_true(end > start + 16);
    assert_true(unwind_function(self.unwinder, end - 1, &start, &end));
    assert_int_equal(start, function);
    assert_false(unwind_function(self.unwinder, (uintptr_t)self.code, &start, &end));
}

// ---- Made-up stacks -----------------------------------------------------------------------------

#define STACK 0x10000u // where they begin

struct made_up {
    uint64_t *words;
    size_t count;
};

static size_t read_made_up(void *arg, uint64_t addr, void *buffer, size_t size)
{
    const struct made_up *stack = arg;
    memcpy(buffer, (char *)stack->words + (addr - STACK), size);
    return size;
}

// Walks from `pc` with the stack pointer at its first word.
static void walk_words(uint64_t *words, size_t count, uint64_t pc, uint64_t fp,
                       struct unwind_stack *ret)
{
    struct made_up stack = {words, count};
    struct mem *mem = mem_create();
    struct user_regs_struct regs = {.rip = pc, .rsp = STACK, .rbp = fp};
    struct unwind_start start = {.complete = true};
    arch_host()->regs_from_gregset(&regs, &start.regs);
    assert_null(mem_add(mem, STACK, STACK + count * 8, MEM_COPY, read_made_up, &stack, false));
    unwind(self.unwinder, mem, &start, ret);
    mem_destroy(mem);
}
#define WALK(words, pc, fp, ret) walk_words((words), ARRAY_SIZE(words), (pc), (fp), (ret))

static uint64_t code_at(unsigned offset)
{
    return (uintptr_t)self.code + offset;
}

static void test_deep(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    struct unwind_stack stack = {0};
    AUTO_FREE uint64_t *words = calloc(2 * DEPTH, sizeof(*words));
    for (size_t i = 0; i + 1 < DEPTH; i++)
        words[2 * i + 1] = code_at(TRAMPOLINE + 6);
    walk_words(words, 2 * DEPTH, code_at(TRAMPOLINE + 6), 0, &stack);
    assert_int_equal(stack.end, UNWIND_END_BASE);
    assert_int_equal(stack.frames.count, DEPTH);
    const struct unwind_frame *last = &stack.frames.items[DEPTH - 1];
    assert_int_equal(last->how, UNWIND_STUB);
    assert_int_equal(last->sp, STACK + 16 * (DEPTH - 1));
    assert_int_equal(last->cfa, last->sp + 16);
    // The same stack, cut.
    walk_words(words, DEPTH, code_at(TRAMPOLINE + 6), 0, &stack);
    assert_int_equal(stack.end, UNWIND_END_MEMORY);
    assert_int_equal(stack.end_addr, STACK + 8 * DEPTH + 8);
    assert_int_equal(stack.frames.count, DEPTH / 2 + 1);
    unwind_stack_deinit(&stack);
}

static void test_damaged(void **state)
{
    (void)state;
    struct unwind_stack stack = {0};
    uint64_t no_code[] = {0, (uintptr_t)self.data, 0, 0};
    WALK(no_code, code_at(TRAMPOLINE + 6), 0, &stack);
    assert_int_equal(stack.end, UNWIND_END_CORRUPT);
    assert_int_equal(stack.end_addr, (uintptr_t)self.data);
    assert_int_equal(stack.frames.count, 1);
    uint64_t wild[] = {0, 0x4141414141414141, 0, 0};
    WALK(wild, code_at(TRAMPOLINE + 6), 0, &stack);
    assert_int_equal(stack.end, UNWIND_END_CORRUPT);
    // A stack pointer outside of the stack, at the ends of the address space, and odd.
    static const uint64_t places[] = {0, 8, STACK - 8, STACK + 32, UINT64_MAX - 6, UINT64_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        struct unwind_start start = {.complete = true};
        struct mem *nothing = mem_create();
        start.regs.ip = code_at(TRAMPOLINE + 6);
        start.regs.sp = places[i];
        start.regs.raw_count = 27;
        unwind(self.unwinder, nothing, &start, &stack);
        assert_int_equal(stack.frames.count, 1);
        assert_true(stack.end == UNWIND_END_MEMORY || stack.end == UNWIND_END_CORRUPT);
        start.complete = false;
        unwind(self.unwinder, nothing, &start, &stack);
        assert_int_equal(stack.frames.count, 1);
        mem_destroy(nothing);
    }
    unwind_stack_deinit(&stack);
}

// A signal frame (struct ucontext at the stack pointer) that says where it interrupted.
static void test_made_up_signal(void **state)
{
    (void)state;
    struct unwind_stack stack = {0};
    uint64_t words[64] = {0};
    words[160 / 8] = STACK + 8 * 40; // rsp
    words[168 / 8] = code_at(TRAMPOLINE);
    words[40] = code_at(CLONE + 3);
    WALK(words, code_at(SIGNAL), 0, &stack);
    assert_int_equal(stack.end, UNWIND_END_BASE);
    assert_int_equal(stack.frames.count, 3);
    assert_true(stack.frames.items[0].signal && stack.frames.items[1].exact_pc);
    assert_int_equal(stack.frames.items[2].pc, code_at(CLONE + 3));
    assert_false(stack.frames.items[2].exact_pc);
    // It says that it interrupted itself: an endless loop.
    words[160 / 8] = STACK;
    words[168 / 8] = code_at(SIGNAL);
    WALK(words, code_at(SIGNAL), 0, &stack);
    assert_int_equal(stack.end, UNWIND_END_CORRUPT);
    assert_true(stack.frames.count < 10);
    unwind_stack_deinit(&stack);
}

static void test_calls_of_no_code(void **state)
{
    (void)state;
    struct unwind_stack stack = {0};
    uint64_t words[] = {code_at(CALL + 2), 0, 0, 0};
    words[0] = code_at(TRAMPOLINE + 6);
    const uint64_t places[] = {0, (uintptr_t)self.data, 0x123456789};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        WALK(words, places[i], 0, &stack);
        assert_int_equal(stack.end, UNWIND_END_BASE);
        assert_int_equal(stack.frames.count, 2);
        assert_int_equal(stack.frames.items[0].pc, places[i]);
        assert_int_equal(stack.frames.items[1].pc, code_at(TRAMPOLINE + 6));
        assert_int_equal(stack.frames.items[1].how, UNWIND_STUB);
    }
    unwind_stack_deinit(&stack);
}

static void test_guesses(void **state)
{
    (void)state;
    struct unwind_stack stack = {0};
    // [4]: the next frame pointer, and the return address behind it.
    uint64_t chain[] = {1, 2, code_at(CALL + 2),  3, STACK + 64, code_at(CALL + 2), 4,
                        5, 0, code_at(CLONE + 3), 0, 0};
    WALK(chain, code_at(NOTHING), STACK + 32, &stack);
    assert_int_equal(stack.end, UNWIND_END_BASE);
    assert_int_equal(stack.frames.count, 3);
    assert_int_equal(stack.frames.items[1].how, UNWIND_FRAME_POINTER);
    assert_int_equal(stack.frames.items[1].sp, STACK + 48);
    assert_int_equal(stack.frames.items[2].how, UNWIND_FRAME_POINTER);
    assert_int_equal(stack.frames.items[2].pc, code_at(CLONE + 3));
    // A frame pointer that is none: odd, or below the stack pointer, or not in front of a return
    // address. Then the next word that follows a call.
    static const uint64_t wrong[] = {STACK + 33, STACK - 32, STACK + 8, 7, 0};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        WALK(chain, code_at(NOTHING), wrong[i], &stack);
        assert_true(stack.frames.count > 1);
        assert_int_equal(stack.frames.items[1].how, UNWIND_SCAN);
        assert_int_equal(stack.frames.items[1].sp, STACK + 24);
    }
    // An odd one in front of what would else be a return address.
    unsigned char *odd = (unsigned char *)chain + 33;
    const uint64_t pair[] = {0, code_at(CALL + 2)};
    memcpy(odd, pair, sizeof(pair));
    WALK(chain, code_at(NOTHING), STACK + 33, &stack);
    assert_int_equal(stack.frames.items[1].how, UNWIND_SCAN);
    // Nothing on the stack follows a call.
    AUTO_FREE uint64_t *empty = calloc(4096, sizeof(*empty));
    empty[3] = code_at(NOTHING);
    walk_words(empty, 4096, code_at(NOTHING), 0, &stack);
    assert_int_equal(stack.end, UNWIND_END_NO_INFO);
    assert_int_equal(stack.end_addr, code_at(NOTHING));
    assert_int_equal(stack.frames.count, 1);
    unwind_stack_deinit(&stack);
}

// ---- Damage by chance ---------------------------------------------------------------------------

static struct {
    uint64_t addr, value;
} damage[4];

static size_t read_damaged(void *arg, uint64_t addr, void *buffer, size_t size)
{
    size_t got = read_self(arg, addr, buffer, size);
    for (size_t i = 0; i < ARRAY_SIZE(damage); i++)
        if (damage[i].addr >= addr && got >= 8 && damage[i].addr - addr <= got - 8)
            memcpy((char *)buffer + (damage[i].addr - addr), &damage[i].value, 8);
    return got;
}

static uint64_t chance(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005ull + 1442695040888963407ull;
    return *seed >> 24;
}

// Words of a real stack are replaced by zero, noise, code and stack addresses: whatever comes out,
// it ends, and no frame that is said to be exact lies outside of code.
static void test_chance(void **state)
{
    (void)state;
    ucontext_t context;
    struct unwind_start start;
    struct unwind_stack stack = {0};
    struct mem *mem = mem_create();
    uint64_t seed = 1;
    size_t ends[8] = {0};
    getcontext(&context);
    regs_of(&context, &start);
    const uint64_t sp = start.regs.sp;
    assert_null(mem_add(mem, 0, 1ull << 47, MEM_LIVE, read_damaged, NULL, false));
    for (int round = 0; round < 1500; round++) {
        for (size_t i = 0; i < ARRAY_SIZE(damage); i++) {
            damage[i].addr = (sp & ~7ull) + chance(&seed) % 400 * 8;
            const uint64_t values[] = {0,
                                       chance(&seed),
                                       sp + chance(&seed) % 4096 * 8,
                                       sp - chance(&seed) % 4096,
                                       (uintptr_t)&test_chance + 9,
                                       code_at((unsigned)(chance(&seed) % 4096))};
            damage[i].value = values[chance(&seed) % ARRAY_SIZE(values)];
        }
        start.complete = round % 3 != 0;
        unwind(self.unwinder, mem, &start, &stack);
        assert_in_range(stack.frames.count, 1, 10000);
        vec_foreach (frame, &stack.frames)
            if (frame->how == UNWIND_CFI && !frame->exact_pc)
                assert_true(target_mapping_at(&self.target, frame->pc)->executable);
        ends[stack.end]++;
    }
    assert_true(ends[UNWIND_END_BASE] > 0 && ends[UNWIND_END_BASE] < 1500);
    mem_destroy(mem);
    unwind_stack_deinit(&stack);
}

// ---- Expressions --------------------------------------------------------------------------------

static bool read_word(void *arg, uint64_t addr, uint64_t *ret)
{
    (void)arg;
    *ret = addr * 0x0101010101010101ull;
    return addr != 0x66;
}

static enum expression_result eval(const Dwarf_Op *ops, size_t count, uint64_t *ret)
{
    AUTO_FREE struct expression *expression = malloc(sizeof(*expression) + count * sizeof(*ops));
    struct unwind_regs regs = {.known = 1 << 7 | 1 << 16};
    expression->count = count;
    memcpy(expression->ops, ops, count * sizeof(*ops));
    regs.value[7] = 0x1000;
    regs.value[16] = 0x40102b;
    return expression_eval(expression, &regs, 0x2000, read_word, NULL, ret);
}
#define OP(name, ...)             \
    {                             \
        DW_OP_##name, __VA_ARGS__ \
    }
#define EVAL(ret, ...) \
    eval((const Dwarf_Op[]){__VA_ARGS__}, ARRAY_SIZE(((const Dwarf_Op[]){__VA_ARGS__})), (ret))

static void test_expressions(void **state)
{
    (void)state;
    uint64_t value;
    // That of a linkage table: rsp + 8 + ((rip & 15) >= 11 ? 8 : 0).
    assert_int_equal(EVAL(&value, OP(breg7, 8, 0, 0), OP(breg16, 0, 0, 2), OP(lit15, 0, 0, 4),
                          OP(and, 0, 0, 5), OP(lit11, 0, 0, 6), OP(ge, 0, 0, 7), OP(lit3, 0, 0, 8),
                          OP(shl, 0, 0, 9), OP(plus, 0, 0, 10)),
                     EXPRESSION_OK);
    assert_int_equal(value, 0x1010);
    assert_int_equal(EVAL(&value, OP(call_frame_cfa, 0, 0, 0), OP(consts, (Dwarf_Word)-16, 0, 0),
                          OP(plus, 0, 0, 3)),
                     EXPRESSION_OK);
    assert_int_equal(value, 0x1ff0);
    assert_int_equal(EVAL(&value, OP(lit5, 0, 0, 0), OP(deref_size, 2, 0, 1)), EXPRESSION_OK);
    assert_int_equal(value, 0x0505);
    assert_int_equal(EVAL(&value, OP(const1u, 7, 0, 0), OP(lit2, 0, 0, 2), OP(swap, 0, 0, 3),
                          OP(minus, 0, 0, 4)),
                     EXPRESSION_OK);
    assert_int_equal(value, (uint64_t)-5);
    assert_int_equal(EVAL(&value, OP(lit1, 0, 0, 0), OP(lit2, 0, 0, 1), OP(lit3, 0, 0, 2),
                          OP(rot, 0, 0, 3), OP(drop, 0, 0, 4)),
                     EXPRESSION_OK);
    assert_int_equal(value, 1);
    // A branch over one operation, as bytes: lit1 0; bra 1..3 to 5; lit9 4; lit8 5.
    assert_int_equal(EVAL(&value, OP(lit1, 0, 0, 0), OP(bra, 1, 0, 1), OP(lit9, 0, 0, 4),
                          OP(lit8, 0, 0, 5), OP(neg, 0, 0, 6)),
                     EXPRESSION_OK);
    assert_int_equal(value, (uint64_t)-8);
}

static void test_bad_expressions(void **state)
{
    (void)state;
    uint64_t value;
    assert_int_equal(EVAL(&value, OP(breg3, 0, 0, 0)), EXPRESSION_REGISTER);
    assert_int_equal(EVAL(&value, OP(const1u, 0x66, 0, 0), OP(deref, 0, 0, 2)), EXPRESSION_MEMORY);
    assert_int_equal(value, 0x66);
    assert_int_equal(EVAL(&value, OP(plus, 0, 0, 0)), EXPRESSION_BAD);
    assert_int_equal(EVAL(&value, OP(lit1, 0, 0, 0), OP(lit0, 0, 0, 1), OP(div, 0, 0, 2)),
                     EXPRESSION_BAD);
    assert_int_equal(EVAL(&value, OP(skip, (Dwarf_Word)-3, 0, 0)), EXPRESSION_BAD); // for ever
    assert_int_equal(EVAL(&value, OP(lit1, 0, 0, 0), OP(skip, (Dwarf_Word)-4, 0, 1)),
                     EXPRESSION_BAD); // until the stack is full
    assert_int_equal(EVAL(&value, OP(lit1, 0, 0, 0), OP(form_tls_address, 0, 0, 1)),
                     EXPRESSION_UNKNOWN);
    assert_int_equal(EVAL(&value, OP(nop, 0, 0, 0)), EXPRESSION_BAD); // leaves nothing
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_stack),
        cmocka_unit_test(test_kept_frame_pointer),
        cmocka_unit_test(test_piece_of_a_stack),
        cmocka_unit_test(test_return_address_behind_the_function),
        cmocka_unit_test(test_signal_on_alternate_stack),
        cmocka_unit_test(test_incomplete_registers),
        cmocka_unit_test(test_function),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_made_up_signal),
        cmocka_unit_test(test_calls_of_no_code),
        cmocka_unit_test(test_guesses),
        cmocka_unit_test(test_chance),
        cmocka_unit_test(test_expressions),
        cmocka_unit_test(test_bad_expressions),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

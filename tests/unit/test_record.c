// SPDX-License-Identifier: GPL-3.0-or-later
// What was asked of modules' files is answered again without them: a child of this test is looked
// at with its files, then recorded, then replayed when it is gone and no file can be opened. All
// three say the same. Damaged records never harm.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <elf.h>
#include <elfutils/libdw.h>
#include <inttypes.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "core_builder.h"
#include "image/elf.h"
#include "image/image_private.h"
#include "image/record.h"
#include "image/symbols.h"
#include "target/live.h"
#include "unwind/unwind.h"
#include "util/guard.h"
#include "util/hash.h"

// ---- Something to find in this program ----------------------------------------------------------

struct jit_descriptor { // gdb manual, "JIT Interface"
    uint32_t version, action_flag;
    void *relevant_entry, *first_entry;
};

extern struct jit_descriptor __jit_debug_descriptor;
struct jit_descriptor __jit_debug_descriptor = {1, 0, NULL, NULL};

static volatile int counter;

static inline __attribute__((always_inline)) int inlined_in_recorded(int x)
{
    counter += x;
    return counter * x;
}

__attribute__((noinline)) static int recorded_function(int x)
{
    int sum = inlined_in_recorded(x);
    for (int i = 0; i < x; i++)
        sum += inlined_in_recorded(i) ^ counter;
    return sum;
}

// ---- The memory of a recording ------------------------------------------------------------------

#define PAGE 4096u
#define STEPS 200 // addresses of each module that are asked for

struct page {
    uint64_t addr;
    uint8_t bytes[PAGE], there[PAGE / 8];
};

struct memory {
    struct mem *from; // what is recorded; NULL: replaying
    VEC(struct page *) pages;
    struct mem *mem;
};

static struct page *page_at(struct memory *memory, uint64_t addr, bool make)
{
    size_t low = 0, high = memory->pages.count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memory->pages.items[middle]->addr < addr)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < memory->pages.count && memory->pages.items[low]->addr == addr)
        return memory->pages.items[low];
    if (!make)
        return NULL;
    struct page *page = calloc(1, sizeof(*page));
    assert_non_null(page);
    page->addr = addr;
    assert_true(vec_push(&memory->pages, NULL));
    memmove(memory->pages.items + low + 1, memory->pages.items + low,
            (memory->pages.count - 1 - low) * sizeof(page));
    memory->pages.items[low] = page;
    return page;
}

static size_t read_memory(void *arg, uint64_t addr, void *buffer, size_t size)
{
    struct memory *memory = arg;
    uint8_t *bytes = buffer;
    if (memory->from)
        size = mem_read_some(memory->from, addr, buffer, size);
    struct page *page = NULL;
    for (size_t i = 0; i < size; i++) {
        uint64_t at = addr + i;
        if (!page || page->addr != at / PAGE * PAGE)
            page = page_at(memory, at / PAGE * PAGE, memory->from != NULL);
        size_t in = at % PAGE;
        if (!page || (!memory->from && !(page->there[in / 8] & 1 << in % 8)))
            return i;
        if (memory->from) {
            page->bytes[in] = bytes[i];
            page->there[in / 8] |= (uint8_t)(1 << in % 8);
        } else {
            bytes[i] = page->bytes[in];
        }
    }
    return size;
}

static void open_memory(struct memory *memory, struct mem *from)
{
    memory->from = from;
    mem_destroy(memory->mem);
    memory->mem = mem_create();
    assert_non_null(memory->mem);
    assert_null(mem_add(memory->mem, 0, INT64_MAX, MEM_CORE, read_memory, memory, false));
}

static size_t memory_bytes(const struct memory *memory)
{
    size_t count = 0;
    vec_foreach (page, &memory->pages)
        for (size_t i = 0; i < PAGE; i++)
            count += (*page)->there[i / 8] >> i % 8 & 1;
    return count;
}

static void close_memory(struct memory *memory)
{
    mem_destroy(memory->mem);
    vec_foreach (page, &memory->pages)
        free(*page);
    vec_deinit(&memory->pages);
}

// ---- The three images ---------------------------------------------------------------------------

struct scene {
    pid_t child;
    struct live *live;
    struct target *core; // instead of the two
    struct image *source;
    struct image_record *record;
    struct memory memory;
    struct target target; // what is recorded, and replayed
    struct image *image;
};

static void copy_mappings(const struct target *from, struct target *ret)
{
    vec_foreach (mapping, &from->mappings) {
        struct target_mapping copy = *mapping;
        copy.path = mapping->path ? strdup(mapping->path) : NULL;
        assert_true(vec_push(&ret->mappings, copy));
    }
}

static void free_mappings(struct target *target)
{
    vec_foreach (mapping, &target->mappings)
        free(mapping->path);
    vec_deinit(&target->mappings);
}

static void *mapped_data; // a file mapped twice, one behind the other: it is no module

static void map_data(void)
{
    static const char zeros[PAGE] = "no ELF file";
    write_file(test_path("data"), zeros, sizeof(zeros));
    int fd = open(test_path("data"), O_RDONLY);
    assert_true(fd >= 0);
    char *place = mmap(NULL, 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(place != MAP_FAILED);
    int flags = MAP_PRIVATE | MAP_FIXED;
    mapped_data = mmap(place, PAGE, PROT_READ, flags, fd, 0);
    assert_ptr_equal(mapped_data, place);
    assert_true(mmap(place + PAGE, PAGE, PROT_READ | PROT_WRITE, flags, fd, 0) != MAP_FAILED);
    close(fd);
}

static pid_t start_child(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    assert_true(pid > 0);
    return pid;
}

static struct err *open_image(struct scene *scene)
{
    struct image_options options = {.record = scene->record};
    return image_open(&scene->target, &options, &scene->image);
}

static void begin_record(struct scene *scene, const struct target *from)
{
    scene->record = image_record_create();
    assert_non_null(scene->record);
    image_record_set_source(scene->record, scene->source);
    open_memory(&scene->memory, from->mem);
    scene->target.kind = TARGET_CORE;
    scene->target.mem = scene->memory.mem;
    copy_mappings(from, &scene->target);
}

static struct scene *record_scene(void)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    assert_non_null(scene);
    if (!mapped_data)
        map_data();
    scene->child = start_child();
    assert_null(live_open(scene->child, &scene->live));
    if (scene->live->refusal) {
        print_message("%s\n", scene->live->refusal);
        skip();
    }
    assert_null(image_open(scene->live->target, NULL, &scene->source));
    begin_record(scene, scene->live->target);
    return scene;
}

static void end_child(struct scene *scene)
{
    image_destroy(scene->source);
    scene->source = NULL;
    if (scene->live)
        live_close(scene->live);
    target_destroy(scene->core);
    scene->live = NULL;
    scene->core = NULL;
    if (scene->child) {
        kill(scene->child, SIGKILL);
        waitpid(scene->child, NULL, 0);
    }
    scene->child = 0;
}

static void write_record(const struct image_record *record, struct wire_out *ret)
{
    *ret = (struct wire_out){0};
    image_record_write(record, ret);
    assert_false(ret->failed);
}

static struct err *read_record(const unsigned char *bytes, size_t size, struct image_record **ret)
{
    struct wire_in in = {.next = bytes, .end = bytes + size};
    *ret = image_record_create();
    assert_non_null(*ret);
    return image_record_read(*ret, &in);
}

// The process is gone, the record went through its bytes.
static void replay_scene(struct scene *scene)
{
    struct wire_out out;
    image_destroy(scene->image);
    scene->image = NULL;
    end_child(scene);
    write_record(scene->record, &out);
    image_record_destroy(scene->record);
    struct err *err = read_record(out.bytes.items, out.bytes.count, &scene->record);
    if (err)
        print_message("%s\n", err_message(err));
    assert_null(err);
    print_message("%zu bytes of record, %zu of memory\n", out.bytes.count,
                  memory_bytes(&scene->memory));
    wire_out_deinit(&out);
    open_memory(&scene->memory, NULL);
    scene->target.mem = scene->memory.mem;
}

static void close_scene(struct scene *scene)
{
    image_destroy(scene->image);
    image_record_destroy(scene->record);
    end_child(scene);
    close_memory(&scene->memory);
    free_mappings(&scene->target);
    vec_foreach (note, &scene->target.notes)
        free(*note);
    vec_deinit(&scene->target.notes);
    free(scene);
}

// ---- Everything that can be asked, as text ------------------------------------------------------

static void tell_address(FILE *out, struct image *image, struct module *module, uint64_t addr,
                         size_t limit)
{
    struct image_symbol symbol;
    struct image_location locations[80];
    fprintf(out, "%" PRIx64 ":", addr);
    if (image_symbol_at(image, module, addr, &symbol))
        fprintf(out, " %s (%s) %" PRIx64 "+%" PRIu64, symbol.name, symbol.raw_name, symbol.start,
                symbol.size);
    size_t count = image_locations(image, module, addr, locations, limit);
    for (size_t i = 0; i < count; i++)
        fprintf(out, " [%s %s:%d%s]", locations[i].function ? locations[i].function : "-",
                locations[i].file ? locations[i].file : "-", locations[i].line,
                locations[i].inlined ? " inlined" : "");
    fputc('\n', out);
}

static void tell_module(FILE *out, struct image *image, struct module *module, size_t step_divisor)
{
    static const char *const names[] = {"main",
                                        "malloc",
                                        "_PyRuntime",
                                        "read",
                                        "recorded_function",
                                        "__jit_debug_descriptor",
                                        "__vdso_gettimeofday",
                                        ""};
    static const char *const sections[] = {".text", ".data", ".eh_frame", ".nowhere"};
    char id[129];
    uint64_t addr, size;
    module_build_id_text(module, id);
    fprintf(out, "%s %" PRIx64 "-%" PRIx64 " %" PRIx64 " %s %d %s\n", module->path, module->start,
            module->end, module->bias, id, (int)module->file_state,
            module->file ? module->file : "-");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (image_symbol(image, module, names[i], &addr, &size))
            fprintf(out, "symbol %s %" PRIx64 "+%" PRIu64 "\n", names[i], addr, size);
    for (size_t i = 0; i < ARRAY_SIZE(sections); i++)
        if (image_section(image, module, sections[i], &addr, &size))
            fprintf(out, "section %s %" PRIx64 "+%" PRIu64 "\n", sections[i], addr, size);
    fprintf(out, "jit %" PRIx64 "\n", image_jit_descriptor(image, (struct image_module *)module));
    uint64_t step = (module->end - module->start) / step_divisor + 1;
    for (addr = module->start; addr < module->end; addr += step)
        tell_address(out, image, module, addr, 80);
    tell_address(out, image, module, module->start - 1, 80);
    tell_address(out, image, module, module->end, 80);
}

static char *tell(struct image *image, size_t step_divisor)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    for (size_t i = 0; i < image_module_count(image); i++)
        tell_module(out, image, image_module(image, i), step_divisor);
    uint64_t function = (uint64_t)(uintptr_t)recorded_function;
    struct module *self = image_module_at(image, function);
    for (uint64_t addr = function; self && addr < function + 48; addr++)
        tell_address(out, image, self, addr, addr % 2 ? 80 : 1);
    fclose(out);
    return text;
}

static void assert_same(const char *want, const char *got)
{
    size_t line = 0;
    for (size_t i = 0; want[i] == got[i] && want[i]; i++)
        if (want[i] == '\n')
            line = i + 1;
    if (strcmp(want, got) != 0)
        print_message("want %.300s\ngot  %.300s\n", want + line, got + line);
    assert_true(strcmp(want, got) == 0);
}

// Bytes of all unwind tables that the image made of memory.
static uint64_t hash_tables(struct image *image, size_t *ret_count)
{
    uint64_t hash = HASH_SEED;
    *ret_count = 0;
    for (size_t i = 0; i < image_module_count(image); i++) {
        Elf *elf = image_elf(image, image_module(image, i));
        size_t size;
        assert_null(image_debug_elf(image, image_module(image, i)));
        assert_null(image_local_debug_elf(image, image_module(image, i)));
        const char *bytes = elf ? elf_rawfile(elf, &size) : NULL;
        if (!bytes)
            continue;
        hash = hash_bytes(hash, bytes, size);
        ++*ret_count;
    }
    return hash;
}

static void assert_no_files(const struct image *image)
{
    for (size_t i = 0; i < image_module_count(image); i++) {
        const struct image_module *module = image->modules.items[i];
        assert_int_equal(module->file.fd, -1);
        assert_null(module->elf);
        assert_null(module->debug);
        assert_null(module->place.path);
        assert_null(module->lines);
        assert_null(module->symbols);
        assert_int_equal(module->loans.count, 0);
    }
    assert_int_equal(image->target->notes.count, 0);
}

// ---- Tests --------------------------------------------------------------------------------------

static size_t count_lines(const char *text, const char *with)
{
    size_t count = 0;
    for (const char *at = text; (at = strstr(at, with)); at++)
        count++;
    return count;
}

// From here on each attempt to open a file ends this process.
static bool forbid_open(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 437 /* openat2 */, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {ARRAY_SIZE(code), code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

// In a process of its own: that it may open nothing is for good.
static void check_without_open(struct scene *scene, const char *want, uint64_t hash)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        size_t tables;
        if (!forbid_open())
            _exit(3);
        if (open_image(scene))
            _exit(1);
        bool same = hash_tables(scene->image, &tables) == hash;
        char *text = tell(scene->image, STEPS);
        _exit(same && strcmp(text, want) == 0 ? 0 : 2);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 3)
        print_message("no seccomp filters here\n");
    else
        assert_int_equal(status, 0);
}

static void test_round_trip(void **state)
{
    (void)state;
    struct scene *scene = record_scene();
    size_t tables, replayed_tables;
    AUTO_FREE char *want = tell(scene->source, STEPS);
    assert_null(open_image(scene));
    uint64_t hash = hash_tables(scene->image, &tables);
    AUTO_FREE char *recorded = tell(scene->image, STEPS);
    assert_same(want, recorded);
    assert_no_files(scene->image);
    // Names were found, or this would compare nothing with nothing.
    assert_non_null(strstr(want, "symbol recorded_function"));
    assert_non_null(strstr(want, "symbol malloc"));
    assert_non_null(strstr(want, "[vdso]"));
    assert_true(count_lines(want, " (") > STEPS);
    assert_int_equal(count_lines(want, "jit 0\n") + 1, image_module_count(scene->image));
    assert_true(count_lines(want, " inlined]") > 0);
    assert_true(tables >= 3);

    replay_scene(scene);
    check_without_open(scene, want, hash);
    assert_null(open_image(scene));
    assert_int_equal(hash_tables(scene->image, &replayed_tables), hash);
    assert_int_equal(tables, replayed_tables);
    AUTO_FREE char *replayed = tell(scene->image, STEPS);
    assert_same(want, replayed);
    assert_no_files(scene->image);
    close_scene(scene);
}

// Unwind tables end where they end: what lies behind them in their segment is not recorded.
static void test_no_more_than_needed(void **state)
{
    (void)state;
    struct scene *scene = record_scene();
    assert_null(open_image(scene));
    struct module *libc = NULL;
    for (size_t i = 0; i < image_module_count(scene->image); i++)
        if (strstr(image_module(scene->image, i)->path, "/libc.so.6"))
            libc = image_module(scene->image, i);
    uint64_t hdr, hdr_size, frames, frames_size;
    assert_non_null(libc);
    assert_true(image_section(scene->source, image_module_at(scene->source, libc->start),
                              ".eh_frame_hdr", &hdr, &hdr_size));
    assert_true(image_section(scene->source, image_module_at(scene->source, libc->start),
                              ".eh_frame", &frames, &frames_size));
    // As if its segment were longer than that: what lies there is readable.
    struct elf_headers *headers = &((struct image_module *)libc)->headers;
    for (size_t i = 0; i < headers->count; i++)
        if (headers->phdrs[i].p_type == PT_LOAD &&
            hdr - libc->bias - headers->phdrs[i].p_vaddr < headers->phdrs[i].p_filesz)
            headers->phdrs[i].p_filesz += 5 * PAGE;
    uint8_t behind[5 * PAGE];
    assert_int_equal(
        mem_read_some(scene->live->target->mem, frames + frames_size, behind, sizeof(behind)),
        sizeof(behind));
    size_t before = memory_bytes(&scene->memory);
    assert_non_null(image_elf(scene->image, libc));
    size_t read = memory_bytes(&scene->memory) - before;
    assert_true(read >= hdr_size + frames_size - PAGE);
    assert_true(read <= hdr_size + frames_size + 2 * PAGE);
    close_scene(scene);
}

// A core may lack the page with the headers, while the file is at hand.
static void test_headers_from_facts(void **state)
{
    (void)state;
    struct scene *scene = record_scene();
    uint64_t page = 0, function = (uint64_t)(uintptr_t)recorded_function;
    page = image_module_at(scene->source, function)->start;
    struct mem *view = scene->memory.mem;
    assert_null(mem_add(view, page, page + PAGE, MEM_ABSENT, NULL, NULL, false));
    AUTO_FREE char *want = tell(scene->source, 20);
    assert_null(open_image(scene));
    AUTO_FREE char *recorded = tell(scene->image, 20);
    assert_same(want, recorded);
    assert_non_null(image_elf(scene->image, image_module_at(scene->image, function)));
    replay_scene(scene);
    assert_null(mem_add(scene->memory.mem, page, page + PAGE, MEM_ABSENT, NULL, NULL, false));
    assert_null(open_image(scene));
    AUTO_FREE char *replayed = tell(scene->image, 20);
    assert_same(want, replayed);
    assert_non_null(image_elf(scene->image, image_module_at(scene->image, function)));
    close_scene(scene);
}

// Native stacks of a core's threads, with names.
static char *tell_stacks(struct target *target, struct image *image,
                         const struct target_threads *threads)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    struct unwinder *unwinder;
    struct unwind_stack stack = {0};
    assert_non_null(out);
    assert_null(unwinder_create(target, image, &unwinder));
    vec_foreach (thread, threads) {
        struct unwind_start start = {.regs = thread->regs, .complete = true};
        unwind(unwinder, target->mem, &start, &stack);
        fprintf(out, "thread %d ends %d at %" PRIx64 "\n", thread->tid, stack.end, stack.end_addr);
        vec_foreach (frame, &stack.frames) {
            uint64_t lookup = frame->exact_pc ? frame->pc : frame->pc - 1;
            struct module *module = image_module_at(image, lookup);
            fprintf(out, "%" PRIx64 " %" PRIx64 " %" PRIx64 " %d ", frame->pc, frame->sp,
                    frame->cfa, frame->how);
            if (module)
                tell_address(out, image, module, lookup, 80);
        }
    }
    unwind_stack_deinit(&stack);
    unwinder_destroy(unwinder);
    fclose(out);
    return text;
}

static void check_core(const char *const *args, const char *filter)
{
    const char *why = no_kernel_cores();
    if (access(args[0], X_OK) != 0)
        why = "no such program";
    if (!why && !make_kernel_core(args, filter, SIGABRT, test_path("core.kernel"), NULL))
        why = "the kernel wrote none";
    if (why) {
        print_message("no core of %s: %s\n", args[0], why);
        skip();
    }
    struct scene *scene = calloc(1, sizeof(*scene));
    assert_non_null(scene);
    assert_null(target_open_core(test_path("core.kernel"), &scene->core));
    assert_null(image_open(scene->core, NULL, &scene->source));
    begin_record(scene, scene->core);
    struct target_threads threads = scene->core->threads;
    AUTO_FREE struct target_thread *copies = calloc(threads.count, sizeof(*copies));
    assert_non_null(copies);
    memcpy(copies, threads.items, threads.count * sizeof(*copies));
    threads.items = copies;
    AUTO_FREE char *want = tell(scene->source, 3);
    AUTO_FREE char *want_stacks = tell_stacks(scene->core, scene->source, &threads);
    assert_null(open_image(scene));
    AUTO_FREE char *recorded_stacks = tell_stacks(&scene->target, scene->image, &threads);
    AUTO_FREE char *recorded = tell(scene->image, 3);
    assert_same(want, recorded);
    assert_same(want_stacks, recorded_stacks);
    assert_true(count_lines(want_stacks, "\n") > 3);
    replay_scene(scene);
    assert_null(open_image(scene));
    AUTO_FREE char *replayed_stacks = tell_stacks(&scene->target, scene->image, &threads);
    AUTO_FREE char *replayed = tell(scene->image, 3);
    assert_same(want, replayed);
    assert_same(want_stacks, replayed_stacks);
    assert_no_files(scene->image);
    close_scene(scene);
    unlink(test_path("core.kernel"));
}

static const char *const sleeping[] = {"/bin/sleep", "1000", NULL};
static const char *const python[] = {
    "/usr/bin/python3", "-c",
    "import threading, time\n"
    "threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\n"
    "time.sleep(1000)",
    NULL};

static void test_kernel_core(void **state)
{
    (void)state;
    check_core(sleeping, "0x33");
}

// Without the headers, which are then the file's.
static void test_core_without_headers(void **state)
{
    (void)state;
    check_core(sleeping, "0x23");
}

static void test_python_core(void **state)
{
    (void)state;
    check_core(python, "0x33");
}

static struct module *module_named(struct image *image, const char *part)
{
    for (size_t i = 0; i < image_module_count(image); i++)
        if (strstr(image_module(image, i)->path, part))
            return image_module(image, i);
    return NULL;
}

// ---- Tables that are in files alone -------------------------------------------------------------

static void load_library(const char *name, const char *options)
{
    char command[1024];
    static const char source[] = "#define F(n) int f##n(int x) { volatile int a[n + 9]; a[x] = n; "
                                 "return a[x + 1] + a[0]; }\n"
                                 "#define G(n) F(n##0) F(n##1) F(n##2) F(n##3) F(n##4) F(n##5)\n"
                                 "G(1) G(2) G(3) G(4) G(5) G(6) G(7) G(8) G(9)\n";
    write_file(test_path("frames.c"), source, sizeof(source) - 1);
    snprintf(command, sizeof(command),
             "cd '%s' && cc -g -O1 -fPIC -shared -fno-asynchronous-unwind-tables %s -o %s frames.c "
             "> cc.log 2>&1",
             test_dir, options, name);
    if (system(command) != 0) {
        print_message("no C compiler that makes such a library\n");
        skip();
    }
    assert_non_null(dlopen(test_path(name), RTLD_NOW));
}

// The offset from the stack pointer to the CFA, by .debug_frame alone; -1: not known.
static int64_t cfa_by_debug_frame(Elf *elf, uint64_t addr)
{
    Dwarf *dwarf = elf ? dwarf_begin_elf(elf, DWARF_C_READ, NULL) : NULL;
    Dwarf_CFI *cfi = dwarf ? dwarf_getcfi(dwarf) : NULL;
    Dwarf_Frame *frame = NULL;
    Dwarf_Op *ops;
    size_t count;
    int64_t ret = -1;
    if (cfi && dwarf_cfi_addrframe(cfi, addr, &frame) == 0 &&
        dwarf_frame_cfa(frame, &ops, &count) == 0 && count == 1)
        ret = (int64_t)(ops[0].number << 8 | ops[0].atom);
    free(frame);
    if (dwarf)
        dwarf_end(dwarf);
    return ret;
}

static size_t compare_frames(struct image *image, const char *name, const int64_t *want,
                             int64_t *ret)
{
    struct module *module = module_named(image, name);
    size_t known = 0;
    assert_non_null(module);
    Elf *elf = image->record ? image_debug_elf(image, module) : image_elf(image, module);
    assert_non_null(elf);
    assert_ptr_equal(elf, image->record ? image_debug_elf(image, module) : elf);
    for (int i = 10; i <= 95; i++) {
        char function[8];
        uint64_t addr, size;
        snprintf(function, sizeof(function), "f%d", i);
        ret[i] = 0;
        if (!image_symbol(image, module, function, &addr, &size))
            continue;
        ret[i] = cfa_by_debug_frame(elf, addr - module->bias + size - 1);
        known += ret[i] > 0;
        assert_true(!want || want[i] == ret[i]);
    }
    return known;
}

static void check_frames(const char *name, const char *options)
{
    int64_t want[100], got[100];
    load_library(name, options);
    struct scene *scene = record_scene();
    assert_null(open_image(scene));
    // First: libdw decompresses a section for good.
    assert_non_null(image_debug_elf(scene->image, module_named(scene->image, name)));
    assert_int_equal(compare_frames(scene->source, name, NULL, want), 54);
    assert_int_equal(compare_frames(scene->image, name, want, got), 54);
    // Most have none, and no debug file either.
    uint64_t function = (uint64_t)(uintptr_t)recorded_function;
    assert_null(image_debug_elf(scene->image, image_module_at(scene->image, function)));
    replay_scene(scene);
    assert_null(open_image(scene));
    assert_int_equal(compare_frames(scene->image, name, want, got), 54);
    assert_null(image_debug_elf(scene->image, image_module_at(scene->image, function)));
    close_scene(scene);
}

static void test_debug_frame(void **state)
{
    (void)state;
    check_frames("frames.so", "");
}

static void test_compressed_debug_frame(void **state)
{
    (void)state;
    check_frames("compressed.so", "-gz=zlib");
}

// A table of ten million remembered states, or of a column that nobody has, is refused.
static void test_hostile_debug_frame(void **state)
{
    (void)state;
    // One CIE: length, id, version 4, "", 8, 0, alignments, return address; a rule for a register.
    static const unsigned char good[] = {16, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 4, 0,
                                         8,  0, 1, 1, 16,   0x05, 3,    1,    0, 0};
    unsigned char bad[sizeof(good)];
    assert_true(image_debug_frames_sane(good, sizeof(good)));
    for (size_t size = 1; size < sizeof(good); size++)
        assert_false(image_debug_frames_sane(good, size));
    static const struct {
        size_t at;
        unsigned char byte;
    } rows[] = {
        {0, 15},    // something is left behind it
        {0, 17},    // it reaches over the end
        {4, 0},     // an FDE of itself
        {8, 9},     // no such version
        {10, 4},    // 32 bits
        {15, 0x3f}, // no such instruction
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        memcpy(bad, good, sizeof(bad));
        bad[rows[i].at] = rows[i].byte;
        assert_false(image_debug_frames_sane(bad, sizeof(bad)));
    }
    memcpy(bad, good, sizeof(bad));
    memcpy(bad + 16, "\xff\xff\x07\x01", 4); // register 131071
    assert_false(image_debug_frames_sane(bad, sizeof(bad)));
}

static bool is_named(struct scene *scene, uint64_t addr, const char *name)
{
    struct image_symbol symbol;
    struct module *module = image_module_at(scene->image, addr);
    return module && image_symbol_at(scene->image, module, addr, &symbol) &&
           strcmp(symbol.raw_name, name) == 0;
}

// libcmocka is unloaded after the first look.
static void drop_mappings(struct scene *scene, const char *part)
{
    size_t kept = 0;
    vec_foreach (mapping, &scene->target.mappings) {
        if (mapping->path && strstr(mapping->path, part))
            free(mapping->path);
        else
            scene->target.mappings.items[kept++] = *mapping;
    }
    scene->target.mappings.count = kept;
}

static void test_epochs(void **state)
{
    (void)state;
    uint64_t function = (uint64_t)(uintptr_t)recorded_function, addr, size;
    uint64_t other = (uint64_t)(uintptr_t)start_child;
    struct scene *scene = record_scene();
    assert_null(open_image(scene));
    assert_true(is_named(scene, function, "recorded_function"));
    assert_true(is_named(scene, other, "start_child"));
    assert_non_null(module_named(scene->image, "cmocka"));
    image_record_set_epoch(scene->record, 7);
    drop_mappings(scene, "cmocka");
    assert_null(image_refresh(scene->image));
    assert_null(module_named(scene->image, "cmocka"));
    assert_true(is_named(scene, function, "recorded_function"));
    struct module *self = image_module_at(scene->image, function);
    assert_true(image_symbol(scene->image, self, "main", &addr, &size));

    replay_scene(scene);
    // All of the process as it was at the end.
    assert_null(open_image(scene));
    assert_true(is_named(scene, function, "recorded_function"));
    assert_true(is_named(scene, other, "start_child"));
    self = image_module_at(scene->image, function);
    assert_false(image_symbol(scene->image, self, "main", &addr, &size));
    image_record_set_epoch(scene->record, 7);
    assert_true(is_named(scene, function, "recorded_function"));
    assert_true(image_symbol(scene->image, self, "main", &addr, &size));
    assert_false(is_named(scene, other, "start_child")); // was not asked then
    image_record_set_epoch(scene->record, 8);
    assert_false(is_named(scene, function, "recorded_function"));
    close_scene(scene);
}

// Modules' facts of a new epoch are there although their objects stayed.
static void test_open_in_later_epoch(void **state)
{
    (void)state;
    struct scene *scene = record_scene();
    assert_null(open_image(scene));
    image_record_set_epoch(scene->record, 1);
    drop_mappings(scene, "cmocka");
    assert_null(image_refresh(scene->image));
    AUTO_FREE char *want = tell(scene->image, 5);
    replay_scene(scene);
    image_record_set_epoch(scene->record, 1);
    assert_null(open_image(scene));
    AUTO_FREE char *replayed = tell(scene->image, 5);
    assert_same(want, replayed);
    close_scene(scene);
}

// The bytes depend on what was asked, not on when.
static void test_deterministic(void **state)
{
    (void)state;
    struct scene *scene = record_scene();
    static const char *const names[] = {"main", "start_child", "tell", "nowhere"};
    struct wire_out outs[3];
    uint64_t addr, size;
    assert_null(open_image(scene));
    struct module *self = image_module_at(scene->image, (uint64_t)(uintptr_t)recorded_function);
    struct image_record *first = scene->record;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        image_symbol(scene->image, self, names[i], &addr, &size);
    write_record(first, &outs[0]);
    write_record(first, &outs[1]);
    image_destroy(scene->image);
    scene->image = NULL;

    scene->record = image_record_create();
    image_record_set_source(scene->record, scene->source);
    assert_null(open_image(scene));
    self = image_module_at(scene->image, (uint64_t)(uintptr_t)recorded_function);
    for (size_t i = ARRAY_SIZE(names); i-- > 0;)
        image_symbol(scene->image, self, names[i], &addr, &size);
    write_record(scene->record, &outs[2]);
    for (size_t i = 1; i < ARRAY_SIZE(outs); i++) {
        assert_int_equal(outs[0].bytes.count, outs[i].bytes.count);
        assert_memory_equal(outs[0].bytes.items, outs[i].bytes.items, outs[0].bytes.count);
    }
    // Through the reader, and back.
    struct image_record *read;
    struct wire_out again;
    assert_null(read_record(outs[0].bytes.items, outs[0].bytes.count, &read));
    write_record(read, &again);
    assert_int_equal(outs[0].bytes.count, again.bytes.count);
    assert_memory_equal(outs[0].bytes.items, again.bytes.items, again.bytes.count);
    image_record_destroy(read);
    image_record_destroy(first);
    for (size_t i = 0; i < ARRAY_SIZE(outs); i++)
        wire_out_deinit(&outs[i]);
    wire_out_deinit(&again);
    close_scene(scene);
}

static void test_empty(void **state)
{
    (void)state;
    struct image_record *record = image_record_create(), *read;
    struct wire_out out;
    write_record(record, &out);
    assert_null(read_record(out.bytes.items, out.bytes.count, &read));
    // Without a source and without answers nothing is known, and nothing happens.
    struct target target = {.kind = TARGET_CORE, .mem = mem_create()};
    struct target_mapping mapping = {
        .start = 0x10000, .end = 0x20000, .executable = true, .path = (char *)"/proc/self/exe"};
    assert_true(vec_push(&target.mappings, mapping));
    struct image_options options = {.record = read};
    struct image *image;
    assert_null(image_open(&target, &options, &image));
    assert_int_equal(image_module_count(image), 1);
    AUTO_FREE char *text = tell(image, 3);
    assert_non_null(strstr(text, "/proc/self/exe 10000-20000 0  3 -\n"));
    assert_null(image_elf(image, image_module(image, 0)));
    assert_no_files(image);
    image_destroy(image);
    mem_destroy(target.mem);
    vec_deinit(&target.mappings);
    image_record_destroy(record);
    image_record_destroy(read);
    wire_out_deinit(&out);
}

// What may be believed of damaged bytes is used like any record.
static bool use_damaged(struct scene *scene, const unsigned char *bytes, size_t size)
{
    // Sanitizers see what is read behind the end.
    AUTO_FREE unsigned char *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    struct err *err = read_record(copy, size, &scene->record);
    bool good = !err;
    assert_true(good || err_code(err) == ERR_BAD_DATA);
    err_destroy(err);
    if (good) {
        struct wire_out out;
        size_t tables;
        assert_null(open_image(scene));
        char *text = tell(scene->image, 2);
        hash_tables(scene->image, &tables);
        free(text);
        image_destroy(scene->image);
        scene->image = NULL;
        write_record(scene->record, &out);
        wire_out_deinit(&out);
    }
    image_record_destroy(scene->record);
    scene->record = NULL;
    return good;
}

static void test_damaged(void **state)
{
    (void)state;
    struct scene *scene = record_scene();
    struct wire_out out;
    uint64_t function = (uint64_t)(uintptr_t)recorded_function, addr, size;
    // This program alone, its headers in the record.
    size_t kept = 0;
    uint64_t page = image_module_at(scene->source, function)->start;
    const char *own = image_module_at(scene->source, function)->path;
    vec_foreach (mapping, &scene->target.mappings) {
        if (mapping->path && strcmp(mapping->path, own) == 0)
            scene->target.mappings.items[kept++] = *mapping;
        else
            free(mapping->path);
    }
    scene->target.mappings.count = kept;
    assert_null(mem_add(scene->memory.mem, page, page + PAGE, MEM_ABSENT, NULL, NULL, false));
    assert_null(open_image(scene));
    struct module *self = image_module_at(scene->image, function);
    size_t tables;
    free(tell(scene->image, 2));
    hash_tables(scene->image, &tables);
    image_symbol(scene->image, self, "main", &addr, &size);
    write_record(scene->record, &out);
    replay_scene(scene);
    image_record_destroy(scene->record);
    assert_null(mem_add(scene->memory.mem, page, page + PAGE, MEM_ABSENT, NULL, NULL, false));
    unsigned char *bytes = out.bytes.items;
    assert_true(use_damaged(scene, bytes, out.bytes.count));
    size_t believed = 0;
    for (size_t cut = 0; cut < out.bytes.count; cut++)
        believed += use_damaged(scene, bytes, cut);
    print_message("%zu of %zu cuts believed\n", believed, out.bytes.count);
    assert_true(believed < 4); // between two of its parts
    believed = 0;
    static const uint8_t flips[] = {0x01, 0x80, 0xff, 0x10};
    for (size_t at = 0; at < out.bytes.count; at++)
        for (size_t i = 0; i < ARRAY_SIZE(flips); i++) {
            bytes[at] ^= flips[i];
            believed += use_damaged(scene, bytes, out.bytes.count);
            bytes[at] ^= flips[i];
        }
    print_message("%zu of %zu damaged ones believed\n", believed,
                  ARRAY_SIZE(flips) * out.bytes.count);
    wire_out_deinit(&out);
    close_scene(scene);
}

int main(void)
{
    counter = recorded_function(3) & 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_no_more_than_needed),
        cmocka_unit_test(test_headers_from_facts),
        cmocka_unit_test(test_kernel_core),
        cmocka_unit_test(test_core_without_headers),
        cmocka_unit_test(test_python_core),
        cmocka_unit_test(test_debug_frame),
        cmocka_unit_test(test_compressed_debug_frame),
        cmocka_unit_test(test_hostile_debug_frame),
        cmocka_unit_test(test_epochs),
        cmocka_unit_test(test_open_in_later_epoch),
        cmocka_unit_test(test_deterministic),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests(tests, make_test_dir, remove_test_dir);
}

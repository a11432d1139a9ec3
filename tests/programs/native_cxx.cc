// SPDX-License-Identifier: GPL-3.0-or-later
// Places in C++: exceptions on their way, templates, inlined functions, names that want demangling.
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <vector>

#define NOINLINE __attribute__((noinline, noclone))

using leaf_function = long (*)(long);

static volatile long sink;

namespace shapes
{

template <typename Number, int Times> struct Box {
    Number value;

    NOINLINE long visit(leaf_function leaf, const std::map<std::string, std::vector<Number>> &more)
    {
        sink = leaf((long)value) + (long)more.size();
        return sink * Times;
    }

    inline __attribute__((always_inline)) long enter(leaf_function leaf)
    {
        std::map<std::string, std::vector<Number>> more{{"a", {value}}};
        long result = visit(leaf, more) + 1;
        return result;
    }
};

struct Virtual {
    virtual ~Virtual() = default;
    virtual long operator()(leaf_function leaf) const = 0;
};

namespace
{
struct Hidden final : Virtual {
    NOINLINE long operator()(leaf_function leaf) const override
    {
        Box<double, 3> box{2.5};
        return box.enter(leaf) + 1;
    }
};
} // namespace

} // namespace shapes

static inline __attribute__((always_inline)) long twice(const shapes::Virtual &shape,
                                                        leaf_function leaf)
{
    long first = shape(leaf);
    return first + shape(leaf);
}

extern "C" long cxx_inline(leaf_function leaf, long argument)
{
    static shapes::Hidden hidden;
    return twice(hidden, leaf) + argument;
}

extern "C" long cxx_lambda(leaf_function leaf, long argument)
{
    std::vector<long> numbers{3, 1, 2};
    std::function<bool(long, long)> less = [leaf](long a, long b) {
        sink = leaf(a);
        return a < b;
    };
    std::sort(numbers.begin(), numbers.end(), less);
    return numbers[0] + argument;
}

static NOINLINE long thrower(long argument)
{
    if (argument >= 0)
        throw std::runtime_error("thrown " + std::to_string(argument));
    return argument;
}

extern "C" long cxx_catch(leaf_function leaf, long argument)
{
    try {
        return thrower(argument);
    } catch (const std::exception &error) {
        sink = leaf(argument) + error.what()[0];
    }
    return sink;
}

struct Guard {
    leaf_function leaf;
    NOINLINE ~Guard()
    {
        sink = leaf(0);
    }
};

static NOINLINE long guarded(leaf_function leaf, long argument)
{
    Guard guard{leaf};
    return thrower(argument) + 1;
}

// While the stack is being unwound.
extern "C" long cxx_destructor(leaf_function leaf, long argument)
{
    try {
        return guarded(leaf, argument);
    } catch (const std::exception &) {
        return sink;
    }
}

static thread_local leaf_function terminate_leaf;

[[noreturn]] static void on_terminate()
{
    for (;;)
        sink = terminate_leaf(0);
}

static NOINLINE long may_not_throw(long argument) noexcept
{
    return thrower(argument) + 1;
}

// __cxa_throw -> _Unwind_RaiseException -> personality -> std::terminate
extern "C" long cxx_terminate(leaf_function leaf, long argument)
{
    terminate_leaf = leaf;
    std::set_terminate(on_terminate);
    return may_not_throw(argument) + 1;
}

// The same without a handler of our own: dies of SIGABRT.
extern "C" long cxx_terminate_abort(leaf_function, long argument)
{
    return may_not_throw(argument) + 1;
}

static thread_local long steps_left;
static thread_local leaf_function step_leaf;

static void step_handler(int)
{
    if (steps_left-- <= 0)
        sink = step_leaf(0);
}

// In the middle of throwing, so many instructions after it began.
extern "C" long cxx_throw_step(leaf_function leaf, long argument)
{
    struct sigaction action = {};
    stack_t other = {};

    other.ss_size = 256 * 1024;
    other.ss_sp =
        mmap(nullptr, other.ss_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sigaltstack(&other, nullptr);
    action.sa_handler = step_handler;
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGTRAP, &action, nullptr);
    steps_left = argument;
    step_leaf = leaf;
    try {
        __asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "memory", "cc");
        sink = thrower(argument);
    } catch (const std::exception &error) {
        __asm__ volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "memory", "cc");
        sink += error.what()[0];
    }
    return sink;
}

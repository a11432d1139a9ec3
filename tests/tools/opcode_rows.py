# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints src/cpython/opcodes/opXY.def for the CPython that runs it (3.6 or later):

    python3.12 tests/tools/opcode_rows.py > src/cpython/opcodes/op312.def

To add a Python version: run this with it, add the file to callsite_tables.c, then run
tests/system/callsite_oracle.py with it. Numbers, caches, variants and stack effects are asked
from the interpreter; what it does not tell (or tells for its compiler's use only) stands in the
tables below.
"""
import opcode
import sys
from _opcode import stack_effect

VERSION = sys.version_info[:2]
HAS_JUMP_ARGUMENT = VERSION >= (3, 8)
ARGS = list(range(0, 34)) + [64, 127, 128, 255, 256, 258, 771, 1000]

# (effect kind, function of a, b and the oparg); the first kind that fits every sample wins.
KINDS = [
    ("CONST", lambda a, b, arg: a),
    ("ARG", lambda a, b, arg: a + b * arg),
    ("BIT0", lambda a, b, arg: a + b * (arg & 1)),
    ("BIT2", lambda a, b, arg: a + b * (arg >> 2 & 1)),
    ("IS_3", lambda a, b, arg: a + b * (arg == 3)),
    ("BITS4", lambda a, b, arg: a + b * bin(arg & 15).count("1")),
    ("UNPACK_EX", lambda a, b, arg: a + b * ((arg & 255) + (arg >> 8))),
]

# Where stack_effect() differs from what ceval does: (falling through, jumping).
OVERRIDES = {}
if VERSION in ((3, 11), (3, 12)):
    OVERRIDES["RETURN_GENERATOR"] = (1, 1)  # resumed with the value sent on the stack
if VERSION <= (3, 7):  # no jump argument; ceval.c of 3.6 and 3.7
    OVERRIDES.update({
        "FOR_ITER": (1, -1), "JUMP_IF_FALSE_OR_POP": (-1, 0), "JUMP_IF_TRUE_OR_POP": (-1, 0),
        "SETUP_EXCEPT": (0, 6), "SETUP_FINALLY": (0, 6), "SETUP_WITH": (1, 6),
        "SETUP_ASYNC_WITH": (0, 5), "POP_EXCEPT": (-3, -3),
    })

# Opcodes of <= 3.8 whose effect depends on how a finally block was entered: done in C.
FINALLY = {"BEGIN_FINALLY", "CALL_FINALLY", "POP_FINALLY", "END_FINALLY", "WITH_CLEANUP_START",
           "WITH_CLEANUP_FINISH", "END_ASYNC_FOR", "POP_EXCEPT", "SETUP_EXCEPT", "SETUP_FINALLY",
           "SETUP_WITH", "SETUP_ASYNC_WITH"}

STOP = {"RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE", "INTERPRETER_EXIT",
        "CONTINUE_LOOP"}
# <= 3.7: go through the finally blocks around them with a value and a code on the stack.
LEAVE = {"RETURN_VALUE", "CONTINUE_LOOP"} if VERSION <= (3, 7) else set()
GO = {"JUMP_FORWARD", "JUMP_ABSOLUTE", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT"}

# Touch nothing below what they pop, and leave nothing new behind.
DROPS = ("POP_TOP", "POP_ITER", "END_FOR", "NOP", "NOT_TAKEN", "RESUME", "KW_NAMES", "PRECALL",
         "POP_BLOCK", "SETUP_LOOP", "SETUP_EXCEPT", "SETUP_FINALLY", "GEN_START", "MAKE_CELL",
         "COPY_FREE_VARS", "LIST_APPEND", "SET_ADD", "MAP_ADD", "CACHE")
DROP_STARTS = ("STORE_", "DELETE_", "POP_JUMP_", "JUMP_")


def role(name):
    """What the opcode means for a call: (role, parameter). Slots count down from the depth."""
    old, v11 = VERSION <= (3, 10), VERSION in ((3, 11), (3, 12))
    shift = int(VERSION >= (3, 11))
    fixed = {
        "CALL_FUNCTION": ("CALL", 1), "CALL_FUNCTION_KW": ("CALL", 2),
        "CALL_METHOD": ("CALL_METHOD", 2), "PRECALL": ("CALL_METHOD", 2),
        "CALL": ("CALL_METHOD", 2) if v11 else ("CALL_SELF", 2),
        "CALL_KW": ("CALL_SELF", 3),
        "CALL_FUNCTION_EX": ("CALL_EX_FLAG", 2) if VERSION <= (3, 12) else
                            ("CALL_EX_FLAG", 3) if VERSION == (3, 13) else ("CALL_EX", 4),
        "SETUP_WITH": ("ENTER_EXIT", 0),
        "BEFORE_WITH": ("ENTER_EXIT" if VERSION == (3, 11) else "ENTER_MANAGER", 0),
        "BEFORE_ASYNC_WITH": ("ENTER_EXIT" if VERSION <= (3, 11) else "ENTER_MANAGER", 2),
        "WITH_CLEANUP_START": ("EXIT_GONE", 0),
        "WITH_EXCEPT_START": ("EXIT", 7) if old else
                             ("EXIT", 4) if VERSION <= (3, 13) else ("EXIT_SELF", 5),
        "FOR_ITER": ("ITER", 2 if VERSION >= (3, 15) else 1),
        "SEND": ("SEND", 3 if VERSION >= (3, 15) else 2), "YIELD_FROM": ("SEND", 2),
        "GET_AWAITABLE": ("AWAIT", 0),
        "IMPORT_NAME": ("IMPORT", 2 if VERSION >= (3, 15) else 0),
        "LOAD_GLOBAL": ("LOAD_GLOBAL", shift), "LOAD_NAME": ("LOAD_NAME", 0),
        "LOAD_FROM_DICT_OR_GLOBALS": ("LOAD_DICT_NAME", 0),
        "LOAD_FROM_DICT_OR_DEREF": ("LOAD_DICT_DEREF", 0),
        "LOAD_ATTR": ("LOAD_ATTR", int(VERSION >= (3, 12))), "LOAD_METHOD": ("LOAD_METHOD", 0),
        "LOAD_SUPER_ATTR": ("LOAD_SUPER", 2),
        "LOAD_FAST": ("LOAD_FAST", 0), "LOAD_FAST_CHECK": ("LOAD_FAST", 0),
        "LOAD_FAST_BORROW": ("LOAD_FAST", 0), "LOAD_FAST_AND_CLEAR": ("LOAD_FAST", 0),
        "LOAD_FAST_LOAD_FAST": ("LOAD_FAST_PAIR", 0),
        "LOAD_FAST_BORROW_LOAD_FAST_BORROW": ("LOAD_FAST_PAIR", 0),
        "STORE_FAST_LOAD_FAST": ("STORE_LOAD_FAST", 0),
        "LOAD_DEREF": ("LOAD_DEREF", 0), "LOAD_CLASSDEREF": ("LOAD_DEREF", 0),
        "LOAD_CONST": ("LOAD_CONST", 0), "LOAD_SPECIAL": ("LOAD_SPECIAL", 0),
        "LOAD_BUILD_CLASS": ("BUILD_CLASS", 0), "PUSH_NULL": ("PUSH_NULL", 0),
        "ROT_TWO": ("SHUFFLE", 2), "ROT_THREE": ("SHUFFLE", 3), "ROT_FOUR": ("SHUFFLE", 4),
        "EXTENDED_ARG": ("EXTENDED_ARG", 0), "ROT_N": ("SHUFFLE", 0), "SWAP": ("SHUFFLE", 0),
    }
    if name in fixed:
        return fixed[name]
    if name in DROPS or name.startswith(DROP_STARTS):
        return ("DROP", 0)
    return ("NONE", 0)


def effect_at(number, arg, jump):
    """stack_effect(), None for an opcode it refuses."""
    keywords = {"jump": jump} if HAS_JUMP_ARGUMENT else {}
    for arguments in ((number, arg), (number,)):
        try:
            return stack_effect(*arguments, **keywords)
        except ValueError:
            pass
    return None


def fit(samples):
    """The effect kind and its a, b that reproduce {arg: effect}."""
    for kind, function in KINDS:
        a = samples[0]
        for b in (0, 1, 2, -1, -2, -3):
            if all(function(a, b, arg) == value for arg, value in samples.items()):
                return kind, a, b
    raise SystemExit("no effect kind fits %r" % samples)


def effect_of(name, number):
    """(kind, a, b, effect when jumping)."""
    if name in OVERRIDES:
        falling, jumping = OVERRIDES[name]
        kind, a, b = "CONST", falling, 0
    else:
        samples = {arg: effect_at(number, arg, False) for arg in ARGS}
        if set(samples.values()) == {None}:
            samples = {arg: 0 for arg in ARGS}  # NOP, EXTENDED_ARG of 3.6: refused, no effect
        kind, a, b = fit(samples)
        jumping = effect_at(number, 0, True) or 0
        if name == "PRECALL":  # 3.11: the compiler counts the arguments here, CALL takes them
            kind, a, b = "CONST", 0, 0
        if name == "CALL" and VERSION == (3, 11):
            kind, a, b = "ARG", -1, -1
    if VERSION <= (3, 8) and name in FINALLY:
        kind = name
    return kind, a, b, jumping


def jump_of(name, number):
    """How control leaves the instruction."""
    if name in LEAVE:
        return "LEAVE"
    if name == "BREAK_LOOP":
        return "BREAK"
    if name in STOP:
        return "STOP"
    if name == "ENTER_EXECUTOR":
        return "EXECUTOR"
    if name == "END_ASYNC_FOR":  # 3.14: its argument only names the SEND, for monitoring
        return "NEXT"
    if number in getattr(opcode, "hasjabs", ()):
        direction = "ABSOLUTE"
    elif number in opcode.hasjrel or number in getattr(opcode, "hasjump", ()):
        direction = "BACKWARD" if "BACKWARD" in name else "FORWARD"
    else:
        return "NEXT"
    return "GO_" + direction if name in GO else direction


def caches_of(name, number):
    """Inline cache code units after the opcode."""
    table = getattr(opcode, "_inline_cache_entries", None)
    if name == "ENTER_EXECUTOR":
        name = "JUMP_BACKWARD"  # what it replaces
    if table is None:
        return 0
    return table[number] if isinstance(table, list) else table.get(name, 0)


def all_variants(base_names):
    """{number: (name, base name)} of specialised and instrumented opcodes."""
    by_name = {variant: base
               for base, variants in getattr(opcode, "_specializations", {}).items()
               for variant in variants}
    numbers = dict(getattr(opcode, "_specialized_opmap", {}))
    if not numbers and by_name:  # 3.11, 3.12: dis fills the free numbers in order
        import dis
        numbers = {name: dis._all_opmap[name] for name in by_name}
    ret = {number: (name, by_name[name]) for name, number in numbers.items()}
    for name, number in opcode.opmap.items():
        base = name[len("INSTRUMENTED_"):]
        if name.startswith("INSTRUMENTED_") and base in base_names:
            ret[number] = (name, base)
    return ret


def main():
    print("// SPDX-License-Identifier: GPL-3.0-or-later")
    print("// Opcodes of CPython %d.%d, printed by tests/tools/opcode_rows.py: do not edit."
          % VERSION)
    print("// OP(number, name, caches, effect kind, a, b, jump, effect when jumping, role, "
          "parameter)")
    print("// VARIANT(number, name, number of the base opcode): specialised, instrumented")
    names = {name: number for name, number in opcode.opmap.items()
             if number < 256 and not name.startswith("INSTRUMENTED_")
             and name not in ("RESERVED", "TRACE_RECORD")}
    for name, number in sorted(names.items(), key=lambda item: item[1]):
        kind, a, b, jumping = effect_of(name, number)
        print("OP(%d, %s, %d, %s, %d, %d, %s, %d, %s, %d)" % (
            (number, name, caches_of(name, number), kind, a, b, jump_of(name, number), jumping)
            + role(name)))
    for number, (name, base) in sorted(all_variants(names).items()):
        print("VARIANT(%d, %s, %d)" % (number, name, opcode.opmap[base]))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that never stands still, and whose every possible stack is known from the names.

f_X may be called by f_(X without its last part) only, r_X by f_X and by itself, s_N by short_lived,
leaf_a by hot_a and leaf_b by hot_b; each of these functions has a file of its own, /churn/NAME.py.
More than 1,000 stacks are possible. Threads start and end, exceptions are raised through many
frames, code objects are freed and made anew at the same places under other names.
SIGTERM ends it: exit status 0, and a line with what it did. Runs on Python 3.6 and later.
"""

import random
import signal
import sys
import threading
import time

BRANCHES, DEPTH = 4, 5
over = threading.Event()
done = {"walks": 0, "short": 0, "alternations": 0, "wrong": 0}


class Thrown(Exception):
    pass


def define(name, source, namespace):
    exec(compile(source, "/churn/%s.py" % name, "exec"), namespace)
    return namespace[name]


BRANCH = """
def {name}(path, end):
    junk = [path] * (end % 50)
    try:
        if path[0] == 0:
            return f_{key}_0(path[1:], end) + 1
        if path[0] == 1:
            return f_{key}_1(path[1:], end) + 1
        if path[0] == 2:
            return f_{key}_2(path[1:], end) + 1
        return f_{key}_3(path[1:], end) + 1
    except Thrown:
        if end & 1:
            raise
        return 1
"""

LEAF = """
def {name}(path, end):
    if end % 5 == 0:
        raise Thrown(end)
    if end % 5 == 1:
        return r_{key}(end % 40)
    if end % 5 == 2:
        return len([{{"key": number}} for number in range(end)]) * 0
    if end % 5 == 3:
        return sum(range(end * 10)) * 0
    sleep(0.0002)
    return 0
def unused(): pass
"""

RECURSION = """
def {name}(depth):
    return {name}(depth - 1) if depth > 0 else sum(range(300)) * 0
"""


def build(namespace, key, depth):
    template = BRANCH if depth < DEPTH else LEAF
    define("f_" + key, template.format(name="f_" + key, key=key), namespace)
    if depth == DEPTH:
        define("r_" + key, RECURSION.format(name="r_" + key), namespace)
        return
    for branch in range(BRANCHES):
        build(namespace, "%s_%d" % (key, branch), depth + 1)


def walk(first, seed, count):
    chooser = random.Random(seed)
    while count and not over.is_set():
        count -= 1
        end = chooser.randrange(1, 200)
        try:
            first([chooser.randrange(BRANCHES) for _ in range(DEPTH)], end)
        except Thrown as error:
            done["wrong"] += error.args[0] != end
        done["walks"] += 1


def short_lived():
    """Names of one length, so that one's memory fits the next."""
    chooser = random.Random(4711)
    while not over.is_set():
        name = "s_%03d" % chooser.randrange(300)
        function = define(name, "def %s():\n    return sum(range(200)), %r\n" % (name, name), {})
        done["wrong"] += function()[1] != name
        del function
        done["short"] += 1
        if done["short"] % 20 == 0:
            time.sleep(0.0005)


def alternate(hot_a, hot_b):
    while not over.is_set():
        for _ in range(50):
            done["wrong"] += hot_a() != "a"
            done["wrong"] += hot_b() != "b"
        done["alternations"] += 50


def main():
    namespace = {"Thrown": Thrown, "sleep": time.sleep}
    build(namespace, "0", 0)
    for letter in "ab":
        define("leaf_" + letter, "def leaf_%s():\n    return %r\n" % (letter, letter), namespace)
        define("hot_" + letter,
               "def hot_{0}():\n    for _ in range(20): leaf_{0}()\n    return leaf_{0}()\n"
               .format(letter), namespace)
    signal.signal(signal.SIGTERM, lambda signo, frame: over.set())
    for function, arguments in ((walk, (namespace["f_0"], 1, -1)), (short_lived, ()),
                                (alternate, (namespace["hot_a"], namespace["hot_b"]))):
        threading.Thread(target=function, args=arguments).start()
    print("READY")
    sys.stdout.flush()
    seed = 2
    while not over.is_set():
        crowd = [threading.Thread(target=walk, args=(namespace["f_0"], seed + number, 20))
                 for number in range(4)]
        for thread in crowd:
            thread.start()
        for thread in crowd:
            thread.join()
        seed += 4
    while threading.active_count() > 1:
        time.sleep(0.001)
    print("DONE wrong=%(wrong)d walks=%(walks)d short=%(short)d alternations=%(alternations)d"
          % done)


if __name__ == "__main__":
    main()

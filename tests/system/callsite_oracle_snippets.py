# SPDX-License-Identifier: GPL-3.0-or-later
"""What callsite_oracle_probe.py runs: (first version, source that defines run()).

P is a C callable that looks at the frame calling it; o.P the same; make() returns it. K["sort"]
and so on are C callables which a C function of that name is expected to call.
"""
SNIPPETS = [
    ((3, 6), """
def run():
    P(); P(1); P(1, 2, 3); P(1, k=2); P(k=1, j=2)
    return P(P(1), k=P(2))
"""),
    ((3, 6), """
def run():
    a = [1, 2]; d = {"k": 1}
    P(*a); P(**d); P(*a, **d); P(1, *a, j=2, **d); P(*a, 7, *a, **d, **{"z": 1})
    x = [P(*a), P(**d), {"q": P(*a, **d)}]
"""),
    ((3, 6), """
def run():
    p = P
    p(); p(1, 2); p(k=1)
    x = (1, p(2), [3, p(4), {5: p(6)}])
    def inner():
        p(1); p(k=2); p(*[1])
        return lambda: p(3)
    inner()()
"""),
    ((3, 6), """
def run():
    o.P(); o.P(1, 2); o.P(k=1); o.P(*[1], **{"k": 2})
    make()(); make()(1, k=2); (P if o else make)(1); (o and P)(1)
    [P][0](1)
    x = 1 + 2 * P(1) + (P(2) or P(3))
"""),
    ((3, 6), """
def run():
    l = [3, 1, 2]
    l.sort(key=K["sort"]); sorted(l, key=K["sorted"]); max(l, key=K["max"])
    l.extend(map(K["extend"], [1, 2])); list.sort(l, key=K["sort"])
    x = (1, l.sort(key=K["sort"]), 2)
    f = l.sort
    sort = f
    sort(key=K["sort"])
"""),
    ((3, 6), """
def run():
    for i in map(K["iter"], [1, 2, 3]):
        P(i)
        for j in map(K["iter"], [1, 2]):
            P(j)
            if j: continue
            P(i, j)
        else:
            P(i)
    x = [P(i) for i in map(K["iter"], [1, 2])]
    y = {P(i): P(i) for i in map(K["iter"], [1, 2]) if not P(i)}
    z = {P(a, b) for a in (1, 2) for b in map(K["iter"], [1, 2])}
    w = list(P(i) for i in map(K["iter"], [1, 2]))
    P([P(i) for i in (1, 2)], *[P(j) for j in (3, 4)])
"""),
    ((3, 6), """
def run():
    def g():
        yield from map(K["send"], [1, 2])
        x = yield P(1)
        try:
            yield P(x, (yield))
        finally:
            P(1)
    for x in g():
        P(x)
    P(*g())
"""),
    ((3, 6), """
def reader():
    keep.append(io.BufferedReader(Raw()))
    return keep[-1]
def ended(n):
    for i in (1, 2):
        with reader() as r:
            P(1)
            if n == 1: return P(2)
            if n == 2: break
            if n == 3: continue
            if n == 4: raise KeyError(P(3))
            with reader(), reader() as s:
                P(5, k=6)
                if n == 5: return P(7)
                if n == 6: raise KeyError
        P(4)
    return P(5)
def run():
    for n in range(8):
        try:
            ended(n)
        except KeyError:
            pass
"""),
    ((3, 6), """
def ended(n):
    for i in (1, 2):
        try:
            P(1)
            if n == 1: return P(2)
            if n == 2: break
            if n == 3: raise KeyError(P(3))
            try:
                P(4)
                if n == 4: return P(5)
                if n == 5: raise KeyError
                if n == 6: continue
            except KeyError as e:
                P(6)
                if n == 5: raise ValueError
            else:
                P(7)
            finally:
                P(8)
                for j in (1, 2):
                    P(j, *[9])
                try:
                    P(9)
                    if n == 7: raise KeyError
                except KeyError:
                    P(10)
                finally:
                    P(11)
                    try:
                        P(12)
                    finally:
                        P(13)
                P(14)
            P(15)
        finally:
            P(16, k=17)
            x = [P(17), (P(18), 1)]
            if n == 8: break
        P(18)
    else:
        P(19)
    return P(20)
def run():
    for n in range(10):
        try:
            ended(n)
        except (KeyError, ValueError):
            P(n)
"""),
    ((3, 6), """
class Silent:
    def __enter__(self): return P(1)
    def __exit__(self, *a):
        P(*a)
        return True
def f(n):
    with Silent() as a, Silent() as b:
        P(2)
        if n: raise KeyError
    P(3)
    with Silent():
        raise KeyError(P(4))
    P(5)
    while True:
        with Silent():
            try:
                if n: return P(6)
                break
            finally:
                with Silent():
                    P(7)
                    raise KeyError
                P(8)
    P(9)
def run():
    f(0); f(1)
"""),
    ((3, 6), """
class Base:
    def __init__(self, *a, **k): P(*a, **k)
def dec(*a):
    return lambda f: f
def run():
    class A(Base, metaclass=type):
        P(1)
        x = [P(i) for i in (1, 2)]
        def __init__(self):
            super().__init__(P(2), k=P(3))
            P(super().__init__(1))
    A()
    @dec(P(1))
    def f(a=P(2), *, b: P(3) = P(4)) -> P(5): pass
    P(f"{P(1)}{P(2):>{P(3) or 3}}", f"{P(4)!r}")
    P(1 if P(0) else P(1), P(2) and P(3), not P(4), 0 < P(5) < 3 or P(6))
    a, *b = P(1), P(2), P(3)
    assert not P(4), P(5)
    del a, b
    x = [1, 2, 3]
    x[P(0)] += P(1); x[P(0):P(1) + 1] = [P(2)]; o.z = P(3)
    global g
    g = P(4)
    try:
        import callsite_nothing
    except ImportError:
        P(6)
    try:
        from callsite_nothing import x
    except ImportError:
        P(7)
"""),
    ((3, 6), "x = 0\n" + "def run():\n    x = 0\n    for i in (1, 2):\n        P(x)\n"
     + "\n".join("        x = x + i * %d; y%d = x" % (i + 300, i) for i in range(300))
     + "\n        if x: P(1)\n        P(y5)\n    P(" + ", ".join(str(i) for i in range(200))
     + ")\n    return P(2)\n"),
    ((3, 6), "def run():\n" + "\n".join("    name%d = P" % i for i in range(280))
     + "\n    q = P\n    q(); q(1); P(q(2))\n    " + "; ".join(
         "o.a%d = 1" % i for i in range(300)) + "\n    o.q = P\n    o.q(1); o.P(2)\n"),
    ((3, 6), """
class Aiter:
    def __init__(self): self.n = 2
    def __aiter__(self): return self
    async def __anext__(self):
        P(1)
        self.n -= 1
        if self.n < 0: raise StopAsyncIteration
        return self.n
class Amgr:
    async def __aenter__(self): return P(2)
    async def __aexit__(self, *a):
        P(3)
        return True
class Await:
    def __await__(self): return map(K["send"], [1, 2])
async def agen():
    yield P(1)
    try:
        yield P(2)
    finally:
        P(3)
async def run():
    async for x in Aiter():
        P(x)
        if P(0): continue
    else:
        P(4)
    async with Amgr() as m, Amgr():
        P(5)
        raise KeyError
    P(6)
    y = [P(i) async for i in Aiter() if not P(i)]
    z = P([i async for i in agen()], await Aiter().__anext__())
    await Await()
    async for x in agen():
        async with Amgr():
            try:
                P(7)
                if x: break
            finally:
                P(8)
    P(await Aiter().__anext__(), k=9)
    return P(10)
"""),
    # What the specialising interpreters have opcodes of their own for.
    ((3, 6), """
class X:
    __len__ = staticmethod(K["len"])
    __hash__ = staticmethod(K["get"])
    __int__ = staticmethod(K["int"])
    __str__ = staticmethod(K["str"])
    __round__ = staticmethod(K["round"])
    __reversed__ = staticmethod(K["reversed"])
class Index:
    __index__ = staticmethod(K["hex"])
class Equal:
    __eq__ = staticmethod(K["index"])
class Counted:
    __eq__ = staticmethod(K["count"])
class Less:
    __lt__ = staticmethod(K["sort"])
class Meta(type):
    __instancecheck__ = staticmethod(K["isinstance"])
    __subclasscheck__ = staticmethod(K["issubclass"])
class Checked(metaclass=Meta):
    pass
class Got:
    got = property(K["getattr"])
def run():
    x = X(); d = {}; e = [1]; c = [Counted(), 2]; q = [Equal(), 1]; i = Index(); g = Got()
    less = [Less(), Less()]
    len(x); int(x); str(x); round(x); reversed(x); hex(i); isinstance(1, Checked)
    issubclass(int, Checked)
    d.get(x); d.get(x, 1); q.index(1); c.count(2); less.sort()
    tuple(map(K["tuple"], e)); list(map(K["list"], e)); set(map(K["set"], e))
    sum(map(K["sum"], e)); any(map(K["any"], e)); next(map(K["next"], e)); min(e, key=K["min"])
    "".join(map(K["join"], e)); getattr(g, "got"); max(map(K["max"], e), default=1)
    dict.fromkeys(map(K["fromkeys"], e)); bytes(map(K["bytes"], e)); e.extend(map(K["extend"], [1]))
    [len(x), (1, len(x), d.get(x), {2: isinstance(1, Checked)})]
    sum(map(K["sum"], *[e])); max(*[map(K["max"], e)], **{"default": 1})
"""),
    ((3, 8), """
def run():
    if (n := P(1)) is not None: P(n)
    P((m := 3), m)
    for i in (1, 2):
        try:
            continue
        finally:
            P(i)
    def f():
        for i in (1, 2):
            try:
                return P(i)
            finally:
                P(2)
                if i == 1: continue
    f()
"""),
    ((3, 10), """
class Point:
    __match_args__ = ("x", "y")
    x, y = 1, 2
def run():
    for v in (1, [1, 2, 3], {"a": P(1), "b": 2}, Point(), "s", None):
        match v:
            case 1 if not P(1): P(2)
            case [a, *rest] if P(a) == 0: P(rest)
            case {"a": q, **more} if not P(q): P(more)
            case Point(x=1, y=z) if not P(z): P(P(3))
            case "s" | "t": P(4)
            case _: P(5)
        P(6)
"""),
    ((3, 11), """
def run():
    try:
        try:
            raise ExceptionGroup("g", [KeyError(P(1)), ValueError(2)])
        except* KeyError as e:
            P(3)
            raise TypeError
        except* ValueError:
            P(4, *[5])
        finally:
            P(5)
    except* TypeError:
        P(6)
    P(7)
"""),
    ((3, 12), """
class A:
    def m(self, *a): return P(*a)
class B(A):
    def m(self):
        p = P
        x = [[p(i, j) for j in (1, 2)] for i in (1, 2) if not p(i)]
        super().m(p(1)); super().m
        P([p(i) for i in map(K["iter"], [1, 2])], {p(i): 1 for i in (1, 2)})
        return p(*[i for i in (1, 2)])
def run[T](x: T = 1):
    type Alias[U] = P(1)
    Alias.__value__
    class C[V: P]: y = P(2)
    return B().m()
"""),
    ((3, 14), """
def run():
    x = t"{P(1)}{P(2)!r:>{P(3)}}"
    P(t"{P(4)}")
    any(P(i) for i in (1, 2)); all(P(i) for i in (1, 2)); tuple(P(i) for i in (1, 2))
"""),
]

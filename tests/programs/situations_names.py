# SPDX-License-Identifier: GPL-3.0-or-later
"""Situations with difficult names, file names and line tables."""

import hashlib
import importlib.util
import marshal
import os
import sys
import types

from situations import park, situation


def renamed(function, **fields):
    """A copy of a function whose code object has other names."""
    code = function.__code__
    if hasattr(code, "replace"):
        code = code.replace(**fields)
    else:
        order = ("argcount", "kwonlyargcount", "nlocals", "stacksize", "flags", "code", "consts",
                 "names", "varnames", "filename", "name", "firstlineno", "lnotab", "freevars",
                 "cellvars")
        code = types.CodeType(*[fields.get("co_" + field, getattr(code, "co_" + field))
                                for field in order])
    return types.FunctionType(code, function.__globals__)


def plain():
    park()


NAMES = {
    "latin-1": "caf\u00e9\u00fc",
    "cyrillic": "\u0444\u0443\u043d\u043a\u0446\u0438\u044f",
    "cjk": "\u51fd\u6570\u540d",
    "astral": "\U00020000\U0001f600",
    "mixed": "a\u00e9\u0444\u51fd\U0001f600z",
    "surrogate": "lone\ud800name",
    "surrogate-escape": "bytes\udcff\udc80",
    "empty": "",
    "spaces": "with space, \"quotes\" and \\ back",
    "control": "tab\tnewline\nescape\x1b[31m nul\0end \x7f \x85 \u2028",
    "long": "n" * 5000,
    "long-cjk": "\u540d" * 5000,
    "bidi": "\u202eevil\u202c",
}

for _label, _text in NAMES.items():
    _fields = {"co_name": _text, "co_filename": "/tmp/%s/%s.py" % (_text, _text)}
    if sys.version_info >= (3, 11):
        _fields["co_qualname"] = "Class.%s" % _text
    situation(name="code-name-" + _label)(renamed(plain, **_fields))
    situation(name="thread \u2014 %s %s" % (_label, _text))(plain)

_namespace = {"park": park}
exec(compile("""
class Кл\u00e4\u00dfe:
    def 方法_\U00020001(self, é):
        def \u00f1():
            return park()
        return [\u00f1() for \u00e6 in '\U0001f600']
def situation():
    ("\U0001f600\U0001f600", Кл\u00e4\u00dfe().方法_\U00020001(1))
""", "<файл \U0001f600 \udcff>", "exec"), _namespace)
situation(name="identifiers")(_namespace["situation"])


# ---- Line tables ---------------------------------------------------------------------------------

def compiled(source, filename):
    """As compile(), which takes longest of all here: kept for the next program in $SITUATIONS_CACHE."""
    folder = os.environ.get("SITUATIONS_CACHE")
    if not folder:
        return compile(source, filename, "exec")
    key = hashlib.sha1(importlib.util.MAGIC_NUMBER + ("%s\0%s" % (filename, source)).encode())
    kept = os.path.join(folder, key.hexdigest())
    try:
        with open(kept, "rb") as stream:
            return marshal.load(stream)
    except FileNotFoundError:
        code = compile(source, filename, "exec")
    new = "%s.%d" % (kept, os.getpid())
    with open(new, "wb") as stream:
        marshal.dump(code, stream)
    os.rename(new, kept)
    return code


def generated(name, source, filename="<generated>"):
    namespace = {"park": park}
    exec(compiled(source, filename), namespace)
    situation(name=name)(namespace["situation"])


# The last line of 20,000; both kinds of table are beyond 64 KiB with calls in all lines.
generated("line-table-long", "def situation():\n    value = nothing = None\n" +
          "    value = (value, 1 if nothing else 2)[1]\n" * 20000 + "    park()\n")
generated("line-table-middle", "def situation():\n" + "    value = [1, (2, 3)]\n" * 9000 +
          "    park()\n" + "    value = [1, (2, 3)]\n" * 9000)
# Steps of more than 127 and 32,767 lines, forwards and backwards.
generated("line-far", "def situation():\n    return (1,\n" + "\n" * 300 + "     park(" + "\n" * 40000 +
          "     ),\n" + "\n" * 70000 + "      2)\n")
generated("line-first", "\n" * 100000 + "def situation(): park()\n")
generated("line-back", "def both(*args): park()\ndef situation():\n    both(\n" +
          "".join("        %d,\n" % number for number in range(200)) + "    )\n")
# Columns beyond 80, 127, 255 and 65,535.
for _width in (75, 120, 250, 1000, 70000):
    generated("column-%d" % _width,
              "def situation():\n    return [%s, park(), 1]\n" % ("1" + " " * _width))
generated("column-of-bytes", "def situation():\n    return ['%s', park(), 1]\n" % ("\u540d" * 100))
generated("code-long", "def situation():\n    value = 1\n    for number in (1,):\n        if value:\n" +
          "            value = value + 1\n" * 30000 + "        park()\n")
# Bytecode that no source line belongs to has no line.
exec(compile("def situation():\n  try:\n    pass\n  finally:\n    park()\n", "", "exec"), _namespace)
situation(name="file-name-empty")(_namespace["situation"])

if sys.version_info >= (3, 8):
    situation(name="first-line-shifted")(renamed(plain, co_firstlineno=1000000))
    situation(name="line-table-missing")(renamed(plain, **{
        "co_linetable" if sys.version_info >= (3, 10) else "co_lnotab": b""}))

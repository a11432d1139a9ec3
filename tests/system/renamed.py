# SPDX-License-Identifier: GPL-3.0-or-later
"""A program with other names for all that is its own: functions, classes, variables, methods and
attributes. What it imports keeps its names."""
import ast


class Own(ast.NodeVisitor):
    """The names that a program binds itself, as variables and as attributes."""

    def __init__(self):
        self.names, self.attributes, self.foreign = set(), set(), set()
        self.in_class = False

    def visit_ClassDef(self, node):
        self.names.add(node.name)
        before, self.in_class = self.in_class, True
        self.generic_visit(node)
        self.in_class = before

    def visit_FunctionDef(self, node):
        (self.attributes if self.in_class else self.names).add(node.name)
        before, self.in_class = self.in_class, False
        self.generic_visit(node)
        self.in_class = before

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_arg(self, node):
        self.names.add(node.arg)

    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Store):
            self.names.add(node.id)

    def visit_Attribute(self, node):
        # Of another object an attribute may be the library's.
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            self.attributes.add(node.attr)
        self.generic_visit(node)

    def visit_keyword(self, node):
        self.foreign.add(node.arg)  # the name of somebody else's parameter, mostly
        self.generic_visit(node)


class Rename(ast.NodeTransformer):
    def __init__(self, names):
        self.names = names

    def new(self, name):
        return self.names.get(name, name)

    def visit_Name(self, node):
        node.id = self.new(node.id)
        return node

    def visit_arg(self, node):
        node.arg = self.new(node.arg)
        return node

    def visit_Attribute(self, node):
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            node.attr = self.new(node.attr)
        self.generic_visit(node)
        return node

    def visit_definition(self, node):
        node.name = self.new(node.name)
        self.generic_visit(node)
        return node

    visit_FunctionDef = visit_AsyncFunctionDef = visit_ClassDef = visit_definition

    def visit_Nonlocal(self, node):
        node.names = [self.new(name) for name in node.names]
        return node

    visit_Global = visit_Nonlocal


def renamed(text):
    """(the program, {old name: new name})."""
    tree = ast.parse(text)
    own = Own()
    own.visit(tree)
    all_own = sorted(name for name in own.names | own.attributes
                     if name not in own.foreign and not name.startswith("__"))
    names = {name: "x%d_%s" % (number, "ab"[number % 2]) for number, name in enumerate(all_own)}
    return ast.unparse(Rename(names).visit(tree)) + "\n", names

"""Which names a cell takes from the cells above it, and which it gives to those below."""

from __future__ import annotations

import ast

SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Names(ast.NodeVisitor):
    """`taken` before the cell gave them itself, and `given`; imports are neither.

    Read in the order in which Python evaluates. The body of a function counts as read after the
    cell, for it runs when somebody calls it; `inside` holds what each function takes.
    """

    def __init__(self, tree: ast.Module) -> None:
        self.taken: set[str] = set()
        self.given: set[str] = set()
        self.inside: dict[str, set[str]] = {}
        self._later: list[ast.AST] = []
        for statement in tree.body:
            self.visit(statement)
        for node in self._later:
            self.taken |= _free(node) - self.given

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store):
            self.given.add(node.id)
        elif node.id not in self.given:
            self.taken.add(node.id)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._in_order(node.value, *node.targets)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name) and node.target.id not in self.given:
            self.taken.add(node.target.id)
        self._in_order(node.value, node.target)

    def visit_For(self, node: ast.For) -> None:
        self._in_order(node.iter, node.target, *node.body, *node.orelse)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self._in_order(node.value, node.target)

    def generic_visit(self, node: ast.AST) -> None:
        if isinstance(node, SCOPES):
            if not isinstance(node, ast.Lambda):
                self._in_order(*node.decorator_list)
                self.given.add(node.name)
                self.inside[node.name] = _free(node)
            self._later.append(node)
        elif isinstance(node, COMPREHENSIONS):
            self.taken |= _free(node) - self.given
        else:
            super().generic_visit(node)

    def _in_order(self, *nodes: ast.AST) -> None:
        for node in nodes:
            self.visit(node)


def _free(node: ast.AST) -> set[str]:
    """Names that a function, class or comprehension reads and doesn't bind anywhere inside."""
    names = [inner for inner in ast.walk(node) if isinstance(inner, ast.Name)]
    bound = {name.id for name in names if isinstance(name.ctx, ast.Store)}
    bound |= {inner.arg for inner in ast.walk(node) if isinstance(inner, ast.arg)}
    bound |= {inner.name for inner in ast.walk(node) if isinstance(inner, ast.FunctionDef)}
    return {name.id for name in names} - bound

"""Change a module in one small place at a time, as a slip of the hand would.

What cannot change what the code does is left alone: docstrings, annotations, decorators, texts for people,
``__slots__``, blocks for the type checker only, how a dataclass field is shown. Strings are left alone, too.
"""

import ast
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from types import CodeType

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitOr,
}
_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any", "sorted": "list"}

_UNTOUCHED_FIELDS = frozenset({"annotation", "returns", "decorator_list", "bases", "pattern"})
_UNTOUCHED_NAMES = frozenset({"__slots__", "__all__"})
_UNTOUCHED_KEYWORDS = frozenset({"repr", "compare", "usedforsecurity"})
_SAYERS = frozenset({"Reason", "FormatError", "OverBudget", "_Lack"})
"""Calls whose strings are for a person."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change: ``node`` takes a place in the tree of its module."""

    line: int
    before: str
    after: str
    parent: ast.AST
    field: str
    index: int | None  # in the field, if that is a list
    node: ast.AST

    def compile(self, tree: ast.Module, path: str) -> CodeType:
        """Give the code of the changed module; the tree is as before afterwards."""
        old = self._replace(self.node)
        try:
            return compile(ast.fix_missing_locations(tree), path, "exec")
        finally:
            self._replace(old)

    def _replace(self, node: ast.AST) -> ast.AST:
        holder = getattr(self.parent, self.field)
        if self.index is None:
            setattr(self.parent, self.field, node)
            return holder  # type: ignore[no-any-return]
        old: ast.AST = holder[self.index]
        holder[self.index] = node
        return old


def mutants(tree: ast.Module) -> list[Mutant]:
    """Give every change to a module, in the order of the source."""
    redone = _assigned_again(tree)
    found = []
    for parent, field, index, node in _places(tree):
        for other in _variants(node, field, redone):
            ast.copy_location(other, node)
            line: int = getattr(node, "lineno", 0) or getattr(parent, "lineno", 0)
            found.append(Mutant(line, _shown(node), _shown(other), parent, field, index, other))
    return found


def _places(parent: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Yield where a node may be changed: its parent, the field, the index in it, the node."""
    for field, value in ast.iter_fields(parent):
        if field in _UNTOUCHED_FIELDS:
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(node, ast.AST) and not _is_untouched(node, parent):
                yield parent, field, index, node
                yield from _places(node)


def _is_untouched(node: ast.AST, parent: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name in _UNTOUCHED_NAMES
        case ast.Call(func=ast.Name(id="field")):
            return True
        case ast.keyword(arg=str(name)):
            return name in _UNTOUCHED_KEYWORDS
        case ast.JoinedStr():
            return isinstance(parent, ast.Call) and getattr(parent.func, "id", "") in _SAYERS
        case ast.BinOp(left=ast.Name(id=one), op=ast.BitOr(), right=ast.Name(id=other)):
            return one[:1].isupper() and other[1:].islower() and other[:1].isupper()  # a union of types
    return False


def _variants(node: ast.AST, field: str, redone: set[ast.stmt]) -> Iterator[ast.AST]:
    if isinstance(node, ast.expr):
        yield from _expressions(node)
        if field in {"test", "ifs", "guard"}:
            yield from _conditions(node)
    elif isinstance(node, ast.stmt):
        yield from _statements(node, redone)
    elif isinstance(node, ast.Slice):
        yield from _slices(node)


def _expressions(node: ast.expr) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=ops):
            for at, op in enumerate(ops):
                for other in _COMPARISONS[type(op)]:
                    yield _with(node, "ops", [*ops[:at], other(), *ops[at + 1 :]])
        case ast.BoolOp(op=ast.And()):
            yield _with(node, "op", ast.Or())
        case ast.BoolOp():
            yield _with(node, "op", ast.And())
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.BinOp(op=op) if type(op) in _ARITHMETIC:
            yield _with(node, "op", _ARITHMETIC[type(op)]())
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(number)):
            yield ast.Constant(number + 1)
            yield ast.Constant(number - 1)
        case ast.Call(func=ast.Name(id=name)) if name in _CALLS:
            yield _with(node, "func", ast.Name(_CALLS[name], ast.Load()))
        case ast.Call(func=ast.Attribute(value=value, attr="lower"), args=[]):
            yield value
        case ast.Slice():
            yield from _slices(node)


def _conditions(test: ast.expr) -> Iterator[ast.AST]:
    if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp):
        yield ast.UnaryOp(ast.Not(), test)
    if not any(isinstance(node, ast.NamedExpr) for node in ast.walk(test)):  # else a name has no value
        yield ast.Constant(True)
        yield ast.Constant(False)


def _slices(node: ast.Slice) -> Iterator[ast.AST]:
    for field in ("lower", "upper"):
        bound = getattr(node, field)
        if bound is None:
            continue
        yield _with(node, field, None)
        if not isinstance(bound, ast.Constant):
            yield _with(node, field, ast.BinOp(bound, ast.Add(), ast.Constant(1)))
            yield _with(node, field, ast.BinOp(bound, ast.Sub(), ast.Constant(1)))


def _statements(node: ast.stmt, redone: set[ast.stmt]) -> Iterator[ast.AST]:
    match node:
        case ast.AugAssign(op=op) if type(op) in _ARITHMETIC:
            yield _with(node, "op", _ARITHMETIC[type(op)]())
            yield ast.Pass()
        case ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()) | ast.Raise() | ast.Delete():
            yield ast.Pass()
        case ast.Assign() if node in redone:
            yield ast.Pass()
        case ast.Return(value=ast.Constant() | None):  # constants change on their own
            pass
        case ast.Return():
            yield ast.Return(ast.Constant(None))
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()


def _assigned_again(tree: ast.Module) -> set[ast.stmt]:
    """Give the assignments without which every name still has a value: to leave out others is no slip."""
    again: set[ast.stmt] = set()
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        first = {arg.arg: 0 for arg in ast.walk(function.args) if isinstance(arg, ast.arg)}
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                first[node.id] = min(first.get(node.id, node.lineno), node.lineno)
        for node in ast.walk(function):
            if isinstance(node, ast.Assign):
                targets = [part for target in node.targets for part in ast.walk(target)]
                names = [part.id for part in targets if isinstance(part, ast.Name) and part.id in first]
                if all(first[name] < node.lineno for name in names):
                    again.add(node)
    return again


def _with(node: ast.AST, field: str, value: object) -> ast.AST:
    other = copy(node)
    setattr(other, field, value)
    return other


def _shown(node: ast.AST) -> str:
    text = " ".join(ast.unparse(ast.fix_missing_locations(node)).split())
    return text if len(text) <= 90 else f"{text[:87]}..."

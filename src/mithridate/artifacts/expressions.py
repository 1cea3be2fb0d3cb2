"""Expressions of sizes in exported programs, which torch evaluates as code: arithmetic or nothing.

`torch.export.load` hands every such string to `sympy.sympify`, which is `eval`.
"""

from __future__ import annotations

import ast
import re

LONGEST = 20_000
FUNCTIONS = frozenset({
    "Symbol", "Dummy", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Mod", "PythonMod",
    "Max", "Min", "Abs", "Where", "FloorDiv", "CeilDiv", "CleanDiv", "ModularIndexing",
    "CeilToInt", "FloorToInt", "RoundToInt", "RoundDecimal", "TruncToInt", "TruncToFloat",
    "ToFloat", "LShift", "RShift", "PowByNatural", "FloatPow", "FloatTrueDiv", "IntTrueDiv",
    "Identity", "IsNonOverlappingAndDenseIndicator", "floor", "ceiling", "sqrt", "And", "Or",
    "Not", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "Equality", "Unequality", "StrictLessThan",
    "LessThan", "StrictGreaterThan", "GreaterThan", "Piecewise", "ExprCondPair", "Tuple",
    "OpaqueUnaryFn_sqrt", "OpaqueUnaryFn_exp", "OpaqueUnaryFn_log", "OpaqueUnaryFn_sin",
    "OpaqueUnaryFn_cos", "OpaqueUnaryFn_tanh", "OpaqueUnaryFn_log2", "BitwiseFn_bitwise_and",
    "BitwiseFn_bitwise_or",
})  # fmt: skip
"""What may be called: the constructors that torch writes."""

NAMES = re.compile(r"[a-z]{1,4}\d{1,6}|true|false|oo|int_oo|S")
STRINGS = re.compile(r"[A-Za-z_]\w{0,99}|-?\d{1,40}(\.\d{0,40})?(e[+-]?\d{1,3})?", re.ASCII)
PLAIN = (
    ast.Expression, ast.Load, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Add, ast.Sub,
    ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.USub, ast.UAdd, ast.Not, ast.And, ast.Or, ast.Eq,
    ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.keyword,
)  # fmt: skip


def objection(words: object) -> str:
    """Say what in an expression is no arithmetic; "" where it is nothing else."""
    if not isinstance(words, str):
        return "it is no string"
    if len(words) > LONGEST or not words.isascii() or not words.isprintable():
        return "it is too long, or holds unusual characters"
    try:
        tree = ast.parse(words.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "it cannot be parsed"
    return next((why for node in ast.walk(tree) if (why := _wrong(node))), "")


def _wrong(node: ast.AST) -> str:
    """Say what is wrong with one part of an expression."""
    if isinstance(node, ast.Call):
        function = node.func
        if not isinstance(function, ast.Name) or function.id not in FUNCTIONS:
            return f"it calls {ast.unparse(function)[:60]}"
        return _power(node) if function.id in ("Pow", "PowByNatural") else ""
    if isinstance(node, ast.Name):
        known = node.id in FUNCTIONS or NAMES.fullmatch(node.id)
        return "" if known else f"it names {node.id[:60]}"
    if isinstance(node, ast.Constant):
        return _constant(node.value)
    return "" if isinstance(node, PLAIN) else f"it holds {type(node).__name__}"


def _constant(value: object) -> str:
    """Say what is wrong with a constant."""
    if isinstance(value, str):
        return "" if STRINGS.fullmatch(value) else "it holds a string that is no name or number"
    if isinstance(value, int | float) and abs(value) < 1 << 64:
        return ""
    return "it holds a constant that is no size"


def _power(node: ast.Call) -> str:
    """Refuse powers that would take years to compute."""
    if len(node.args) != 2:
        return "it takes a power of something else than two arguments"
    inner = node.args[1]
    if isinstance(inner, ast.Call) and len(inner.args) == 1:
        inner = inner.args[0]
    value = inner.operand if isinstance(inner, ast.UnaryOp) else inner
    small = isinstance(value, ast.Constant) and isinstance(value.value, int | float)
    if small and isinstance(value, ast.Constant) and abs(value.value) <= 64:  # type: ignore[arg-type]
        return ""
    return "it takes a power with a large or computed exponent"

"""Long lines break where ruff's formatter breaks them: by hand-made and by random statements."""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from collections.abc import Callable

import pytest

from prunec.emit import layout
from prunec.emit.document import Group, IfBreaks, Indent, Line, block, columns, render
from prunec.emit.expr import (
    ATOM,
    COMPARE,
    PRODUCT,
    SUM,
    UNARY,
    Expr,
    binary,
    call,
    display,
    literal,
    named,
    pair,
    quote,
)

KEY = "encoder.layers.11.attention.output.dense.weight"
NAMES = ("x", "q", "self", "residual", "self.conv1", "hidden_states", "x.shape[0]", "attn_weights")
CALLEES = ("self.norm1", "torch.cat", "F.scaled_dot_product_attention", "Block", "self.layers[0]")
METHODS = ("flatten", "permute", "unflatten", "masked_fill", "softmax")
STRINGS = ("bilinear", "it's", 'say "x"', "漢字", "many words in it that say nothing at all")
SIGNS = {"+": SUM, "-": SUM, "*": PRODUCT, "//": PRODUCT, "@": PRODUCT, "==": COMPARE, "<": COMPARE}
NUMBERS = (0, 1, -1, 64, 0.5, -1e-5, True, None, float("-inf"), (2, -1), (1,), ())


class Writer:
    """Random expressions and statements, spaced as ruff spaces them."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def statement(self) -> str:
        value = self.expression(self.random.randrange(2, 5)).text
        second = self.expression(2).text
        shapes: tuple[Callable[[], str], ...] = (
            lambda: f"return {value}",
            lambda: f"return {value}, {second}",
            lambda: f"x = {value}",
            lambda: f"self.attention_weights = {value}",
            lambda: f"query, key, value = {value}",
            lambda: f"outputs, (hidden, cell) = {value}",
            lambda: f"weights[{quote(KEY)}] = {value}",
            lambda: f"x[:, 1] = {value}",
            lambda: f"x += {value}",
            lambda: f"for layer in {value}:",
            lambda: f"if {value}:",
            lambda: call("self.register_buffer", self.arguments(3)).text,
            lambda: call("features.append", [self.expression(3)]).text,
        )
        return self.random.choice(shapes)()

    def expression(self, depth: int) -> Expr:
        below = depth - 1
        if depth <= 0:
            return self.atom()
        shapes: tuple[Callable[[], Expr], ...] = (
            self.atom,
            lambda: call(self.random.choice(CALLEES), self.arguments(below)),
            lambda: call(self.random.choice(CALLEES), self.arguments(below)),
            lambda: call(
                f"{self.base(below)}.{self.random.choice(METHODS)}", self.arguments(below)
            ),
            lambda: call(
                f"{self.base(below)}.{self.random.choice(METHODS)}", self.arguments(below)
            ),
            lambda: Expr(f"{self.base(below)}.mT"),
            lambda: Expr(f"{self.base(below)}[{self.subscript(below)}]"),
            lambda: self.operation(below),
            lambda: self.operation(below),
            lambda: Expr(f"-{self.expression(below).at(UNARY)}", UNARY),
            lambda: display(self.expressions(below, 4), self.random.choice(("[]", "()"))),
            lambda: display([pair(s, self.expression(below)) for s in STRINGS[1:3]], "{}"),
            lambda: Expr(f"[{self.expression(below)} for layer in {self.atom()}]"),
            lambda: call("nn.Sequential", [Expr(f"*{self.expression(below).at(ATOM)}")]),
            lambda: call("f", [Expr(f"{self.atom()} if {self.atom()} else {self.atom()}", -1)]),
        )
        return self.random.choice(shapes)()

    def atom(self) -> Expr:
        values = (*NUMBERS, *STRINGS)
        named_ = self.random.random() < 0.7
        return Expr(self.random.choice(NAMES)) if named_ else literal(self.random.choice(values))

    def base(self, depth: int) -> str:
        found = self.expression(depth).at(ATOM)
        return "x" if found[0] in "0123456789-\"'[(" else found

    def operation(self, depth: int) -> Expr:
        sign = self.random.choice(list(SIGNS))
        return binary(sign, SIGNS[sign], self.expression(depth), self.expression(depth))

    def expressions(self, depth: int, most: int) -> list[Expr]:
        return [self.expression(depth) for _ in range(self.random.randrange(most))]

    def arguments(self, depth: int) -> list[Expr]:
        keys = self.random.sample(("stride", "attn_mask", "is_causal"), self.random.randrange(3))
        return [*self.expressions(depth, 4), *(named(k, self.expression(depth)) for k in keys)]

    def subscript(self, depth: int) -> str:
        fixed = ("None", ":", "1:", "...", ": x.shape[1]", "n // 2 :", "::2")
        shown = [self.random.choice(fixed) for _ in range(self.random.randrange(1, 3))]
        return ", ".join([*shown, self.expression(depth).text][self.random.randrange(2) :])


@pytest.mark.parametrize("seed", range(4))
def test_breaks_random_statements_as_ruff_does(seed: int) -> None:
    writer = Writer(seed)
    shown: list[str] = []
    while len(shown) < 500:
        text = writer.statement()
        if 76 < len(text) < 900:
            body = "\n            pass" if text.endswith(":") else ""
            shown.append(f"class A:\n    def f(self):\n        {text}{body}")
    flat = "\n\n\n".join(shown) + "\n"
    ours = layout.run(flat)
    assert ast.dump(ast.parse(ours)) == ast.dump(ast.parse(flat))
    assert formatted(ours).split("\n\n\n") == ours.split("\n\n\n")


@pytest.mark.parametrize("count", range(1, 9))
def test_breaks_the_heads_of_functions_as_ruff_does(count: int) -> None:
    row = ", ".join(f"encoder_hidden_states_{i}={i}" for i in range(count))
    flat = f"class A:\n    def forward(self, {row}):\n        pass\n"
    assert formatted(layout.run(flat)) == layout.run(flat)


def test_leaves_comments_strings_and_what_it_does_not_know() -> None:
    word = "word " * 30
    for text in (
        f"# {word}",
        f'"""{word}"""',
        f"    x = lambda x: {'y' * 90}",
        f"not python {word}",
    ):
        assert layout.run(text) == text


def test_a_pair_that_is_returned_gets_parentheses() -> None:
    one = "self.out(hidden_states + residual)"
    shown = layout.run(f"        return {one}, {one}, {one}")
    line = f"\n            {one},"
    assert shown == f"        return ({line * 3}\n        )"
    two = layout.run(f"        return {one}, {one}x")
    assert two == f"        return {one}, {one}x"


def test_a_document_breaks_where_its_group_does_not_fit() -> None:
    inner = Group(block("f(", ("aaa,", Line(" "), "bbb", IfBreaks(",")), ")"))
    assert render(inner, 0, 20) == ["f(aaa, bbb)"]
    assert render(("x = ", inner), 2, 10) == ["  x = f(", "      aaa,", "      bbb,", "  )"]
    assert render(Group(("a", Indent((Line(hard=True), "b")))), 0, 80) == ["a", "    b"]


def test_wide_characters_take_two_columns() -> None:
    assert (columns("abc"), columns("漢字"), columns("e\u0301")) == (3, 4, 1)


def formatted(text: str) -> str:
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout

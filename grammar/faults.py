"""What the parser says of a fault, in the language's own words."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from lark import Token

from prunec.diagnostics import Diagnostic, Span, nearest

USAGE = {
    "MODEL": "`model zoo.cifar:resnet56 { input x: float32[N, 3, 32, 32] }`",
    "DATA": '`data calibrate = zoo.cifar:batches(split="train")`',
    "TARGET": '`target macs <= 50%`, of some modules `target params <= 40% in "layer3.*"`, or on a '
    "device `target latency <= 5ms on cpu`",
    "PRUNE": '`prune channels { in "layer3.*"  score l2  keep >= 25%, multiple of 8 }`',
    "FREEZE": '`freeze "conv1"`, or `freeze inputs of "linear"`',
    "SOLVE": "`solve dp(bins=10_000)`",
    "REPAIR": "`repair least_squares, batchnorm`, or `repair none`",
    "EMIT": '`emit SlimResNet56 to "build/"`, or `emit SlimResNet56 to "build/" with onnx`',
}
STATEMENTS = frozenset(USAGE)
KEYS = frozenset({"WEIGHTS", "INPUT", "PART", "IN", "SCORE", "KEEP"})
OTHERS = {
    *("INPUTS", "MULTIPLE", "OF", "ON", "TO", "WITH", "TYPE", "AND", "OR", "NOT"),
    *("TRUE", "FALSE", "NONE", "AUTO"),
}
KEYWORDS = STATEMENTS | KEYS | OTHERS
SELECTOR = frozenset({"STRING", "TYPE", "NOT", "LPAR"})
VALUE = frozenset({"STRING", "NUMBER", "TRUE", "FALSE", "NONE", "LSQB"})
NAMES = {
    "MODEL": "a factory such as `zoo.cifar:resnet56`",
    "EQUAL": "a factory such as `zoo.cifar:batches`",
    "DATA": "`calibrate` or another name",
    "TARGET": "a metric such as `macs`",
    "PRUNE": "what to prune, such as `channels`",
    "SCORE": "a score such as `l2`",
    "SOLVE": "a solver such as `dp`",
    "REPAIR": "a repair such as `batchnorm`",
    "EMIT": "the name of a class",
    "WITH": "a format such as `onnx`",
    "ON": "a device such as `cpu(threads=1)`",
    "TYPE": "the name of a class such as `Conv2d`",
    "INPUT": "the name of an input",
}
SYMBOLS = {
    "LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]", "LBRACE": "{", "RBRACE": "}",
    "COMMA": ",", "COLON": ":", "DOT": ".", "EQUAL": "=", "LE": "<=", "GE": ">=",
}  # fmt: skip
PARTNER = {"(": ")", "[": "]", "{": "}"}


def unexpected(
    place: Span, token: Token, read: Sequence[Token], expected: Collection[str]
) -> Diagnostic:
    """A token that cannot stand where it does; ``read`` are those of the statement before it."""
    if token.type == "UNCLOSED":
        help_ = 'close it with `"` on the same line; inside a string a quote is written `\\"`'
        return Diagnostic("P0105", "a string is never closed", span=place, help=help_)
    word = token.type == "NAME" or token.type in KEYWORDS
    if not read:
        return _no_statement(place, token, word)
    keys = [k.lower() for k in KEYS & set(expected)]
    if word and keys and "RBRACE" in expected:
        kind = read[0].lower()
        message = f"a `{kind}` block has no `{token}`"
        help_ = nearest(token, keys) or f"it holds {_listing(keys)}"
        return Diagnostic("P0103", message, span=place, help=help_)
    message = f"expected {_expected(read, expected)}, found {_show(token)}"
    words = [e.lower() for e in _words(expected)] if len(token) > 2 else []
    return Diagnostic("P0101", message, span=place, help=nearest(token, words) or _usage(read))


def cut_short(last: Span, read: Sequence[Token], expected: Collection[str]) -> Diagnostic:
    """A statement that ends too early."""
    column = last.end_column
    place = Span(last.source, last.end_line, column, last.end_line, column + 1)
    message = f"this `{read[0]}` statement is not complete"
    label = f"expected {_expected(read, expected)}"
    return Diagnostic("P0101", message, span=place, label=label, help=_usage(read))


def never_closed(place: Span, opener: Token) -> Diagnostic:
    """A bracket that is open where the statement must end."""
    closer = PARTNER[str(opener)]
    return Diagnostic("P0105", f"`{opener}` is never closed", span=place, help=f"add `{closer}`")


def too_deep(place: Span, deepest: int) -> Diagnostic:
    """Brackets or `not`s within each other, beyond all use."""
    message = f"nested more than {deepest} levels deep"
    return Diagnostic("P0109", message, span=place, help="take some brackets away")


def in_order(found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Diagnostics by where they point to; those that point nowhere stand last."""

    def place(diagnostic: Diagnostic) -> tuple[bool, int, int]:
        span = diagnostic.span
        return (True, 0, 0) if span is None else (False, span.line, span.column)

    return tuple(sorted(found, key=place))


def _no_statement(place: Span, token: Token, word: bool) -> Diagnostic:
    known = [s.lower() for s in USAGE]
    listed = f"statements are {_listing(known)}"
    if not word:
        message = f"expected a statement, found {_show(token)}"
        return Diagnostic("P0101", message, span=place, help=listed)
    message = f"there is no statement `{token}`"
    return Diagnostic("P0102", message, span=place, help=nearest(token, known) or listed)


def _usage(read: Sequence[Token]) -> str | None:
    form = USAGE.get(read[0].type)
    return form and f"the form is {form}"


def _words(expected: Collection[str]) -> list[str]:
    """The keywords that can follow, those of the next statement included."""
    words = set(expected) & KEYWORDS
    return sorted(words | STATEMENTS) if "$END" in expected else sorted(words)


def _expected(read: Sequence[Token], expected: Collection[str]) -> str:
    """What can follow, in words."""
    left = set(expected)
    found: list[str] = []
    for group, words in ((VALUE, "a value"), (SELECTOR, 'a selector such as `"layer3.*"`')):
        if group <= left:
            found.append(words)
            left -= group
    if "NAME" in left:
        found.append(NAMES.get(read[-1].type, "a name"))
    if "NUMBER" in left:
        found.append(
            "a number" if read[-1].type in ("LSQB", "COMMA", "OF") else "an amount such as `50%`"
        )
    if "STRING" in left:
        found.append("a string in quotes")
    found += [f"`{word.lower()}`" for word in sorted(left & KEYWORDS)]
    found += [f"`{symbol}`" for name, symbol in SYMBOLS.items() if name in left]
    if "$END" in left:
        found.append("the next statement")
    return _listing(found, "or", quoted=False)


def _show(token: Token) -> str:
    text = str(token)
    return text if len(text) > 2 and text[0] == '"' else f"`{text[:40]}`"


def _listing(words: Iterable[str], last: str = "and", quoted: bool = True) -> str:
    """``a, b and c``."""
    shown = [f"`{w}`" for w in sorted(words)] if quoted else list(words)
    if len(shown) < 2:
        return "".join(shown)
    return f"{', '.join(shown[:-1])} {last} {shown[-1]}"

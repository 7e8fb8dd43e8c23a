"""The parser: text to a typed tree, and all of its faults in one run.

Statements are taken one at a time. At the first fault of a statement the parser says what was
expected, steps to where the next statement begins, and goes on. Where that is, the layout says: a
statement's keyword that is the first word of its line (and is no argument's name) begins a
statement, whatever bracket is open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any

from lark import Lark, Token
from lark.exceptions import UnexpectedToken

from prunec.diagnostics import Diagnostic, PruneError, Source, Span
from prunec.grammar import faults, tree
from prunec.grammar.builder import Builder, span
from prunec.grammar.faults import KEYWORDS, STATEMENTS
from prunec.grammar.source import check

DEEPEST = 64
MOST_FAULTS = 100
OPENING = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
CLOSING = {closing: opening for opening, closing in OPENING.items()}
OPERAND_ENDS = frozenset({"STRING", "NAME", "RPAR"})


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one statement that was read; words that are no keywords here are names."""

    statement: tree.Statement
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Parsed:
    """What could be read, and the faults of the rest in source order.

    ``statements`` and ``comments`` are what the formatter works on.
    """

    file: tree.File
    faults: tuple[Diagnostic, ...]
    statements: tuple[Tokens, ...]
    comments: tuple[Token, ...]


def parse(source: Source) -> tree.File:
    """The syntax tree of a text.

    Raises:
        PruneError: every fault, P0101 to P0109.
    """
    found = parse_all(source)
    if found.faults:
        raise PruneError(*found.faults)
    return found.file


def parse_all(source: Source) -> Parsed:
    """The syntax tree of what is sound, with the faults of what is not (P0101 to P0105, P0109).

    Raises:
        PruneError: P0106, P0107 for a text that cannot be looked at at all.
    """
    check(source)
    return _Reader(source).run()


class _Fault(Exception):
    """The first fault of a statement."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        self.diagnostic = diagnostic


class _Reader:
    """One pass over the tokens of one source; ``at`` is the next one."""

    def __init__(self, source: Source) -> None:
        tokens = tuple(_lark().lex(source.text))
        self.source = source
        self.comments = tuple(t for t in tokens if t.type == "COMMENT")
        self.tokens = tuple(t for t in tokens if t.type != "COMMENT")
        self.builder = Builder(source)
        self.at = 0

    def run(self) -> Parsed:
        found: list[Tokens] = []
        wrong: list[Diagnostic] = []
        while self.at < len(self.tokens) and len(wrong) < MOST_FAULTS:
            start, nesting = self.at, _Nesting()
            try:
                found.append(self._statement(nesting))
            except _Fault as fault:
                wrong.append(fault.diagnostic)
                self._recover(start, len(nesting.brackets))
        if self.at < len(self.tokens):
            wrong[-1] = replace(wrong[-1], notes=(f"reading stopped after {MOST_FAULTS} faults",))
        wrong += self.builder.faults
        file = tree.File(self._whole(), tuple(s.statement for s in found))
        return Parsed(file, faults.in_order(wrong), tuple(found), self.comments)

    def _statement(self, nesting: _Nesting) -> Tokens:
        """Read one statement and step behind it.

        Raises:
            _Fault: at its first fault, with ``at`` there.
        """
        start = self.at
        session = _session()
        read: list[Token] = []
        while self.at < len(self.tokens):
            token = self._as_expected(session.choices(), start)
            if token.type not in session.choices():
                break
            try:
                session.feed_token(token)
            except UnexpectedToken:  # it has gone too far to say what was expected
                session = _session(read)
                break
            nesting.step(token)
            if nesting.depth > DEEPEST:
                raise _Fault(faults.too_deep(span(self.source, token), DEEPEST))
            read.append(token)
            self.at += 1
        if not self._may_end(session):
            raise self._unexpected(session, read, nesting)
        parsed: Any = session.feed_eof(read[-1])
        return Tokens(self.builder.transform(parsed), tuple(read))

    def _as_expected(self, choices: dict[str, Any], start: int) -> Token:
        """The next token; a keyword where only a name can stand is a name."""
        token = self.tokens[self.at]
        if token.type not in KEYWORDS or "NAME" not in choices:
            return token
        if self.at > start and self._begins(self.at):
            return token
        option = self._kind(self.at + 1) == "EQUAL"  # `none=1`, not the value `none`
        return token if token.type in choices and not option else token.update(type="NAME")

    def _may_end(self, session: Any) -> bool:
        """Whether the statement can end here, and what follows can be left to the next."""
        if "$END" not in session.choices() or "$END" not in session.accepts():
            return False
        if self.at == len(self.tokens):
            return True
        return self.tokens[self.at].type in STATEMENTS or self._leads_line(self.at)

    def _unexpected(self, session: Any, read: Sequence[Token], nesting: _Nesting) -> _Fault:
        """The fault at the next token."""
        ended = self.at == len(self.tokens) or (bool(read) and self._begins(self.at))
        if ended and nesting.brackets:
            opener = nesting.brackets[-1]
            return _Fault(faults.never_closed(span(self.source, opener), opener))
        expected = session.accepts()
        if ended:
            return _Fault(faults.cut_short(span(self.source, read[-1]), read, expected))
        token = self.tokens[self.at]
        return _Fault(faults.unexpected(span(self.source, token), token, read, expected))

    def _recover(self, start: int, depth: int) -> None:
        """Step to where the next statement begins."""
        while self.at < len(self.tokens):
            if self.at > start and self._restarts(self.at, start, depth):
                return
            kind = self.tokens[self.at].type
            depth = max(0, depth + (kind in OPENING) - (kind in CLOSING))
            self.at += 1

    def _restarts(self, at: int, start: int, depth: int) -> bool:
        """Whether a statement begins at a token behind the fault of the one that began at
        ``start``.
        """
        if depth > 0 or self._begins(at):
            return self._begins(at)
        token = self.tokens[at]
        if self.tokens[at - 1].type in CLOSING and token.type in STATEMENTS:
            return True
        outwards = (token.column or 0) <= (self.tokens[start].column or 0)
        return outwards and self._leads_line(at) and token.type in KEYWORDS | {"NAME"}

    def _begins(self, at: int) -> bool:
        """Whether a statement surely begins at a token, whatever is open."""
        if self.tokens[at].type not in STATEMENTS or not self._leads_line(at):
            return False
        return self._kind(at + 1) not in ("EQUAL", "COLON", "DOT")

    def _kind(self, at: int) -> str:
        return self.tokens[at].type if at < len(self.tokens) else "$END"

    def _leads_line(self, at: int) -> bool:
        return at == 0 or (self.tokens[at - 1].end_line or 0) < (self.tokens[at].line or 0)

    def _whole(self) -> Span:
        """From the first token to the last."""
        if not self.tokens:
            return Span(self.source, 1, 1, 1, 1)
        first, last = span(self.source, self.tokens[0]), span(self.source, self.tokens[-1])
        return Span(self.source, first.line, first.column, last.end_line, last.end_column)


class _Nesting:
    """What is open: brackets, and `not`s that wait for their operand."""

    def __init__(self) -> None:
        self.brackets: list[Token] = []
        self.waiting = [0]

    @property
    def depth(self) -> int:
        return len(self.brackets) + sum(self.waiting)

    def step(self, token: Token) -> None:
        if token.type in OPENING:
            self.brackets.append(token)
            self.waiting.append(0)
        elif token.type in CLOSING:
            self.brackets.pop()
            self.waiting.pop()
        elif token.type == "NOT":
            self.waiting[-1] += 1
        if token.type in OPERAND_ENDS:
            self.waiting[-1] = 0


def _session(read: Sequence[Token] = ()) -> Any:
    """Lark's parser behind some tokens of a statement; lark leaves its type open."""
    session: Any = _lark().parse_interactive()
    for token in read:
        session.feed_token(token)
    return session


class _KeepTrivia:
    """Tells lark not to drop the terminals that no rule mentions."""

    always_accept = ("COMMENT", "UNCLOSED", "STRAY")

    def process(self, stream: Any) -> Any:
        return stream


@cache
def _lark() -> Lark:
    grammar = files("prunec.grammar").joinpath("prune.lark").read_text(encoding="utf-8")
    return Lark(
        grammar,
        parser="lalr",
        lexer="basic",
        start="statement",
        postlex=_KeepTrivia(),
        propagate_positions=True,
        maybe_placeholders=True,
    )

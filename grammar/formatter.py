"""The formatter: canonical text of a `.prune` file, every comment in its place.

It works on tokens, so nothing but white space can change, and the order of a target's `in` and
`on` where no comment stands between them. A statement, a key of a block and a
comment have a line of their own, a block with one key stays on one line; what belongs together is
aligned in a column; lists, `and`/`or` and `with` are broken at 100 columns; one blank line is kept
where there were some. `layout` puts the lines on the page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from lark import Token

from prunec.diagnostics import PruneError, Source
from prunec.grammar.faults import KEYS
from prunec.grammar.layout import INDENT, WIDTH, Note, Piece, Row, page
from prunec.grammar.parser import OPENING, parse_all

ALIGNED = {"DATA": 2, "TARGET": 2, "SOLVE": 1, "REPAIR": 1, "EMIT": 1}
"""Statements of which the rest is aligned behind the first so many tokens."""
GROUPS = {"SOLVE": "how", "REPAIR": "how", "EMIT": "how"}
TIGHT_BEFORE = frozenset({"COMMA", "RPAR", "RSQB", "COLON", "DOT"})
TIGHT_AFTER = frozenset({"LPAR", "LSQB", "DOT"})


def fmt(source: Source) -> str:
    """The canonical text, which says the same and whose canonical text is itself.

    Raises:
        PruneError: P0101 to P0109 where the text cannot be parsed; what it means is not looked at.
    """
    parsed = parse_all(source)
    if parsed.faults:
        raise PruneError(*parsed.faults)
    words, tail = _attach([t for s in parsed.statements for t in s.tokens], parsed.comments)
    rows: list[Row | Note] = []
    for found in parsed.statements:
        statement, words = words[: len(found.tokens)], words[len(found.tokens) :]
        rows += _statement(_in_before_on(statement))
    return page([*rows, *tail])


@dataclass(frozen=True, slots=True)
class _Word:
    """A token with the comments around it. ``blank``: an empty line stands before it (and its
    notes).
    """

    token: Token
    notes: tuple[Note, ...] = ()
    comment: str = ""
    blank: bool = False

    @property
    def kind(self) -> str:
        return self.token.type


def _attach(
    tokens: Sequence[Token], comments: Sequence[Token]
) -> tuple[list[_Word], tuple[Note, ...]]:
    """Every comment at its token: behind it on the same line, or on lines of its own before the
    next; and the rest.
    """
    words: list[_Word] = []
    notes: tuple[Note, ...] = ()
    line = 0
    for item in sorted([*tokens, *comments], key=lambda t: t.start_pos or 0):
        blank = line > 0 and (item.line or 0) > line + 1
        text = str(item).rstrip()
        if item.type != "COMMENT":
            words.append(_Word(item, notes, blank=blank))
            notes = ()
        elif words and not notes and item.line == line:
            words[-1] = replace(words[-1], comment=text)
        else:
            notes = (*notes, Note(text, blank=blank))
        line = item.end_line or 0
    return words, notes


def _in_before_on(words: Sequence[_Word]) -> Sequence[_Word]:
    """A statement whose `in` stands before its `on`; as it is where a comment is in the way."""
    kinds = [w.kind for w in words]
    if kinds[0] != "TARGET" or not {"IN", "ON"} <= set(kinds):
        return words
    on, within = kinds.index("ON"), kinds.index("IN")
    tail = words[min(on, within) :]
    if within < on or any(w.notes for w in tail) or any(w.comment for w in tail[:-1]):
        return words
    comment = words[-1].comment
    swapped = [*words[:on], *words[within:], *words[on:within]]
    plain = [replace(w, comment="") if w is words[-1] else w for w in swapped]
    return [*plain[:-1], replace(plain[-1], comment=comment)]


def _statement(words: Sequence[_Word]) -> Iterator[Row | Note]:
    """The lines of one statement."""
    yield from words[0].notes
    kinds = [w.kind for w in words]
    if "LBRACE" not in kinds:
        yield _row(words, ALIGNED.get(kinds[0], 0), GROUPS.get(kinds[0], kinds[0]))
        return
    opening = kinds.index("LBRACE")
    keys = _keys(words[opening + 1 : -1])
    bare = not any(w.notes for w in words[1:]) and not any(w.comment for w in words[:-1])
    line = _row(words, 0, "")
    if bare and len(keys) < 2 and line.length <= WIDTH:
        yield line
        return
    yield _row(words[: opening + 1], 0, "")
    group = f"block {words[0].token.start_pos}"
    for number, key in enumerate(keys):
        first = number == 0
        yield from _inside(key[0].notes, first)
        row = _row(key, 1, group, indent=INDENT)
        yield replace(row, blank=row.blank and not (first and not key[0].notes))
    yield from _inside(words[-1].notes, first=not keys)
    yield replace(_row(words[-1:], 0, ""), blank=False)


def _inside(notes: Sequence[Note], first: bool) -> Iterator[Note]:
    """Notes within a block; no empty line stands at its beginning."""
    for number, note in enumerate(notes):
        at_top = first and number == 0
        yield replace(note, indent=INDENT, blank=note.blank and not at_top)


def _keys(words: Sequence[_Word]) -> list[Sequence[_Word]]:
    """The words of each key of a block."""
    starts, depth = [], 0
    for at, word in enumerate(words):
        if depth == 0 and word.kind in KEYS:
            starts.append(at)
        depth += (word.kind in OPENING) - (word.kind in ("RPAR", "RSQB"))
    return [words[a:b] for a, b in pairwise([*starts, len(words)])]


def _row(words: Sequence[_Word], aligned: int, group: str, indent: int = 0) -> Row:
    """One line, to be broken where it must; the first ``aligned`` words are its first column."""
    disturbed = any(w.comment for w in words[:aligned]) or any(
        w.notes for w in words[1 : aligned + 1]
    )
    if disturbed:
        aligned, group = 0, ""
    pieces = _pieces(words)
    head, rest = _split(pieces, words[:aligned])
    return Row(
        indent=indent,
        head=head,
        pieces=rest,
        comment=words[-1].comment,
        blank=words[0].blank,
        group=group,
        hang=2 if words[0].kind in ("DATA", "TARGET") else 0,
    )


def _split(pieces: tuple[Piece, ...], head: Sequence[_Word]) -> tuple[str, tuple[Piece, ...]]:
    """The first column, and the pieces of the second."""
    if not head:
        return "", pieces
    text = " ".join(str(w.token) for w in head)
    first = replace(pieces[0], text=pieces[0].text[len(text) :].lstrip())
    return text, (first, *pieces[1:])


def _pieces(words: Sequence[_Word]) -> tuple[Piece, ...]:
    """The text between places where a line may, or must, be broken."""
    found: list[Piece] = []
    depth, start = 0, ""
    for at, word in enumerate(words):
        before = words[at - 1] if at else None
        if word.kind in KEYS and depth == 0:
            start = word.kind
        if before is None:
            found.append(Piece(str(word.token)))
        elif before.comment or word.notes:
            found[-1] = replace(found[-1], comment=before.comment, ends=True)
            found.append(Piece(str(word.token), tuple(n.text for n in word.notes)))
        elif before.kind == "COMMA" or word.kind in ("AND", "OR", "WITH", "ON"):
            found.append(Piece(str(word.token)))
        else:
            space = " " if _spaced(before.kind, word.kind, depth, start) else ""
            found[-1] = replace(found[-1], text=f"{found[-1].text}{space}{word.token}")
        depth += (word.kind in ("LPAR", "LSQB")) - (word.kind in ("RPAR", "RSQB"))
    return tuple(found)


def _spaced(before: str, after: str, depth: int, key: str) -> bool:
    """Whether a space stands between two tokens of a line."""
    if before == "COLON":
        return key == "INPUT"
    if after in TIGHT_BEFORE or before in TIGHT_AFTER:
        return False
    if "EQUAL" in (before, after):
        return depth == 0
    if after in ("LPAR", "LSQB"):
        return before != "NAME"
    return (before, after) != ("LBRACE", "RBRACE")

"""The two little languages as data: `.prune` files (`parse`, `fmt`), axis signatures (`axes`)."""

if __name__ != "prunec.grammar":
    raise ImportError("import this package as `prunec.grammar`: a second copy has its own classes")

from prunec.grammar.formatter import fmt as fmt
from prunec.grammar.parser import Parsed as Parsed
from prunec.grammar.parser import parse as parse
from prunec.grammar.parser import parse_all as parse_all
from prunec.grammar.source import decode as decode
from prunec.grammar.source import read_source as read_source

__all__ = ["Parsed", "decode", "fmt", "parse", "parse_all", "read_source"]

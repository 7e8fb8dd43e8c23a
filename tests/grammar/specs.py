"""Random `.prune` texts: statements as token lists, spread over lines at random, with comments
between.
"""

from __future__ import annotations

from hypothesis import strategies as st

Tokens = list[str]

TOUR = """\
# Half the multiply-adds of a CIFAR-10 ResNet-56.
model zoo.cifar:resnet56 {
  weights "resnet56.safetensors"
  input   x: float32[N, 3, 32, 32]
}
data calibrate = zoo.cifar:batches(split="train", images=1024)
data evaluate  = zoo.cifar:batches(split="validation")

target macs   <= 50%
target params <= 600K
target params <= 40% in "layer3.*"

prune channels {
  in    "layer*.*.conv1", "layer*.*.conv2"
  score taylor(batches=8)
  keep  >= 25%, multiple of 8
}
freeze "conv1"             # its output channels stay
freeze inputs of "linear"  # and these stay too

solve  dp(bins=10_000)
repair least_squares(ridge=1e-3), batchnorm
emit   SlimResNet56 to "build/"
"""

names = st.sampled_from(
    ["a", "b_1", "Conv2d", "x", "none", "inputs", "keep", "of", "on", "auto", "größe"]
)
numbers = st.sampled_from(["1", "50%", "600K", "1_000", "-2.5e-3", "1.5MiB", "20ms", "8"])
strings = st.sampled_from(
    ['"layer*.*.conv1"', '""', r'"a \"b\" \\ é"', '"# no comment"', '"' + 60 * "x" + '"']
)
comments = st.sampled_from(["#", "# why", '# "quoted" { ( not', "#!x"])


def _join(parts: list[Tokens], separator: str) -> Tokens:
    found = list(parts[0]) if parts else []
    for part in parts[1:]:
        found += [separator, *part]
    return found


def _seq(*parts: st.SearchStrategy[Tokens] | str) -> st.SearchStrategy[Tokens]:
    made = [st.just([p]) if isinstance(p, str) else p for p in parts]
    return st.tuples(*made).map(lambda found: [token for part in found for token in part])


def _one(words: st.SearchStrategy[str]) -> st.SearchStrategy[Tokens]:
    return words.map(lambda word: [word])


def _many(
    item: st.SearchStrategy[Tokens], separator: str, least: int = 1
) -> st.SearchStrategy[Tokens]:
    return st.lists(item, min_size=least, max_size=3).map(lambda found: _join(found, separator))


def _maybe(item: st.SearchStrategy[Tokens]) -> st.SearchStrategy[Tokens]:
    return st.just([]) | item


values = st.recursive(
    _one(numbers | strings | st.sampled_from(["true", "false", "none"])),
    lambda inner: _seq("[", _many(inner, ",", 0), "]"),
    max_leaves=4,
)
arguments = _seq("(", _many(_seq(_maybe(_seq(_one(names), "=")), values), ",", 0), ")")
calls = _seq(_one(names), _maybe(arguments))
paths = _many(_one(names), ".")
factories = _seq(paths, ":", paths, _maybe(arguments))
selectors = st.recursive(
    _one(strings) | _seq("type", _one(names)),
    lambda inner: (
        _seq("(", inner, ")")
        | _seq("(", inner, "and", inner, ")")
        | _seq("(", inner, "or", inner, "or", inner, ")")
        | _seq("not", inner)
    ),
    max_leaves=5,
)
within = _seq("in", _many(selectors, ","))
device = _seq("on", calls)
relations = _one(st.sampled_from(["<=", ">="]))
inputs = _seq(
    "input", _one(names), ":", _one(names), "[", _many(_one(names | numbers), ",", 0), "]"
)
multiple = _seq("multiple", "of", _one(numbers | st.just("auto")))
keep = _seq("keep", ">=", _one(numbers), _maybe(_seq(",", multiple))) | _seq("keep", multiple)
part = _seq("part", _one(strings))
model_block = _seq("{", _many(_seq("weights", _one(strings)) | inputs | part, " ", 0), "}")
prune_block = _seq("{", _many(within | _seq("score", calls) | keep, " ", 0), "}")

statements = st.one_of(
    _seq("model", factories, _maybe(model_block)),
    _seq("model", model_block),
    _seq("data", _one(names), "=", factories),
    _seq("target", _one(names), relations, _one(numbers), _maybe(within), _maybe(device)),
    _seq("target", _one(names), relations, _one(numbers), device, within),
    _seq("prune", _one(names), _maybe(prune_block)),
    _seq("freeze", _maybe(st.just(["inputs", "of"])), _many(selectors, ",")),
    _seq("solve", calls),
    _seq("repair", _many(calls, ",")),
    _seq(
        "emit",
        _one(names),
        _maybe(_seq("to", _one(strings))),
        _maybe(_seq("with", _many(calls, ","))),
    ),
)


@st.composite
def texts(draw: st.DrawFn) -> str:
    """A text that can be parsed, laid out in any legal way."""
    gaps = st.sampled_from([" ", "  ", "\n", "\n\n\n", "\t", "\r\n  "])
    found = draw(_maybe(_one(comments.map(lambda c: f"{c}\n"))))
    for statement in draw(st.lists(statements, max_size=5)):
        for token in statement:
            comment = draw(st.just("") | st.just("") | comments)
            found += [token, draw(gaps), f"{comment}\n" if comment else ""]
        found.append("\n")
    return "".join(found)

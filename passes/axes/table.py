"""Signatures of the operators whose equations do not depend on argument values (notation:
`grammar/axes.lark`).
"""

from __future__ import annotations

from functools import cache

from prunec.grammar.axes import Signature, parse_signatures

TEXT = """
# Contractions
linear  input[..., i] weight[o, i] bias[o] -> [..., o]
conv1d  input[..., g*i, h] weight[g*o, i, .] bias[g*o] groups=g -> [..., g*o, h']
conv2d  input[..., g*i, h, w] weight[g*o, i, ., .] bias[g*o] groups=g -> [..., g*o, h', w']
conv3d
    input[..., g*i, d, h, w] weight[g*o, i, ., ., .] bias[g*o] groups=g -> [..., g*o, d', h', w']
conv_transpose1d  input[..., g*i, h] weight[g*i, o, .] bias[g*o] groups=g -> [..., g*o, h']
conv_transpose2d
    input[..., g*i, h, w] weight[g*i, o, ., .] bias[g*o] groups=g -> [..., g*o, h', w']
conv_transpose3d
    input[..., g*i, d, h, w] weight[g*i, o, ., ., .] bias[g*o] groups=g -> [..., g*o, d', h', w']
bilinear   input1[..., i] input2[..., j] weight[o, i, j] bias[o] -> [..., o]
mv         self[a, k] vec[k] -> [a]
outer|ger  self[a] vec2[b] -> [a, b]
addmv      self[a] mat[a, k] vec[k] -> [a]
addr       self[a, b] vec1[a] vec2[b] -> [a, b]
addbmm     self[a, b] batch1[n, a, k] batch2[n, k, b] -> [a, b]
embedding  weight[v, c] indices[...] -> [..., c]  freezes v

# Norms, and parameters that lie along one axis
batch_norm     input[n, c, ...] weight[c] bias[c] running_mean[c] running_var[c] -> [n, c, ...]
instance_norm  input[n, c, ...] weight[c] bias[c] running_mean[c] running_var[c] -> [n, c, ...]
    mixes ...
group_norm     input[n, g*c, ...] weight[g*c] bias[g*c] num_groups=g -> [n, g*c, ...]
    mixes c mixes ...
layer_norm     input[..., c..] weight[c..] bias[c..] normalized_shape=c.. -> [..., c..]  mixes c..
rms_norm       input[..., c..] weight[c..] normalized_shape=c.. -> [..., c..]  mixes c..
prelu          self[n, c, ...] weight[c] -> [n, c, ...]
"""


@cache
def signatures() -> dict[str, Signature]:
    """Operator name (without namespace and overload) -> signature."""
    return parse_signatures(TEXT)

"""Attention under masks, positions, soft cap and sink in float64 NumPy, variant by variant, written
from their definitions and from nothing of the tool.

The order is: rows of Q and K are placed, scores, soft cap, ALiBi's bias, the values of an additive
mask, masks, softmax with the sink in its sum. Rows without an allowed key are zero.
"""

from __future__ import annotations

import numpy as np


def slopes(heads):
    """ALiBi's slopes, as the authors' get_slopes has them."""
    def of_power(n):
        start = 2 ** (-8 / n)
        return [start ** (i + 1) for i in range(n)]
    below = 2 ** int(np.floor(np.log2(heads)))
    return np.array(of_power(below) + of_power(2 * below)[0::2][:heads - below])


def placed(x, positions, kind):
    """Rows [..., N, D] with sinusoidal or rotary positions applied."""
    dim = x.shape[-1]
    angles = positions[:, None] / 10000 ** (2 * np.arange((dim + 1) // 2) / dim)
    if kind == "sinusoidal":
        both = np.stack([np.sin(angles), np.cos(angles)], -1).reshape(len(positions), -1)
        return x + both[:, :dim]
    if kind == "rope":
        a, b = np.split(x, 2, -1)
        cosine, sine = np.cos(angles), np.sin(angles)
        return np.concatenate([a * cosine - b * sine, a * sine + b * cosine], -1)
    return x


def softmax(logits, sink=None):
    """Over the last axis, with a further logit [H, 1, 1] in the sum alone."""
    extra = np.full(logits.shape[:-1] + (1,), -np.inf)
    if sink is not None:
        extra[...] = np.asarray(sink, np.float64)[:, None, None]
    both = np.concatenate([logits, extra], -1)
    top = both.max(-1, keepdims=True)
    terms = np.exp(both - np.where(np.isfinite(top), top, 0))
    total = terms.sum(-1, keepdims=True)
    return np.divide(terms, total, out=np.zeros_like(terms), where=total > 0)[..., :-1]


class Terms:
    """What is done to rows and logits of one call."""

    def __init__(self, heads, seq_q, seq_k, *, mask=None, causal=False, lengths=None,
                 position="none", softcap=None, sink=None):
        self.i = np.arange(seq_q) + seq_k - seq_q
        self.j = np.arange(seq_k)
        self.heads, self.position, self.softcap, self.sink = heads, position, softcap, sink
        batch = 1 if lengths is None else len(lengths)
        allowed = np.ones((batch, 1, seq_q, seq_k), bool)
        if causal:
            allowed &= self.j <= self.i[:, None]
        if lengths is not None:
            allowed = allowed & (self.j < np.asarray(lengths)[:, None, None, None])
        self.bias = 0.0
        if mask is not None and mask.dtype == bool:
            allowed = allowed & mask
        elif mask is not None:
            allowed = allowed & np.isfinite(mask)
            self.bias = np.where(np.isfinite(mask), mask, 0).astype(np.float64)
        self.allowed = allowed

    def rows(self, q, k):
        return placed(q, self.i, self.position), placed(k, self.j, self.position)

    def logits(self, scores, allowed=True):
        """Finished logits of scores [B, H, Nq, Nk]; `allowed` is the variant's own pattern."""
        s = scores
        if self.softcap is not None:
            s = self.softcap * np.tanh(s / self.softcap)
        if self.position == "alibi":
            s = s - slopes(self.heads)[:, None, None] * np.abs(self.i[:, None] - self.j)
        return np.where(self.allowed & allowed, s + self.bias, -np.inf)

    def weights(self, scores, allowed=True):
        return softmax(self.logits(scores, allowed), self.sink)


def _product(q, k):
    return q @ k.swapaxes(-1, -2)


def _scaled(q, k):
    return _product(q, k) / np.sqrt(q.shape[-1])


def flash(q, k, v, terms, _aux):
    return terms.weights(_scaled(*terms.rows(q, k))) @ v


full = flash


def dot(q, k, v, terms, _aux):
    return terms.weights(_product(*terms.rows(q, k))) @ v


def local(q, k, v, terms, _aux, left=9, right=4):
    distance = terms.j - terms.i[:, None]
    window = (distance >= -left) & (distance <= right)
    return terms.weights(_scaled(*terms.rows(q, k)), window) @ v


def content(q, k, v, terms, _aux):
    q, k = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in terms.rows(q, k))
    return terms.weights(_product(q, k)) @ v


def bilinear(q, k, v, terms, aux):
    q, k = terms.rows(q, k)
    return terms.weights(_product(q @ aux["W"], k)) @ v


def additive(q, k, v, terms, aux):
    q, k = terms.rows(q, k)
    hidden = np.tanh((q @ aux["Wq"].T)[..., :, None, :] + (k @ aux["Wk"].T)[..., None, :, :]
                     + aux["b"])
    return terms.weights(hidden @ aux["v"]) @ v


def mlp(q, k, v, terms, aux):
    q, k = terms.rows(q, k)
    dim = q.shape[-1]
    first = np.tanh((q @ aux["W1"][:, :dim].T)[..., :, None, :]
                    + (k @ aux["W1"][:, dim:].T)[..., None, :, :] + aux["b1"])
    return terms.weights(np.tanh(first @ aux["W2"].T + aux["b2"]) @ aux["w3"]) @ v


def location(q, k, v, terms, aux):
    return terms.weights(q @ aux["W"][:k.shape[2]].T) @ v


def _gaussian(terms, center, reach):
    """What a window around `center` [..., Nq, 1] allows, and its weights."""
    distance = terms.j - center
    return np.abs(distance) <= reach, np.exp(-2 * (distance / reach) ** 2)


def local_m(q, k, v, terms, _aux, window=10):
    allowed, factor = _gaussian(terms, terms.i[:, None], window)
    return (terms.weights(_product(*terms.rows(q, k)), allowed) * factor) @ v


def local_p(q, k, v, terms, aux, window=10):
    q, k = terms.rows(q, k)
    z = np.tanh(q @ aux["Wp"].T) @ aux["vp"]
    allowed, factor = _gaussian(terms, (k.shape[2] / (1 + np.exp(-z)))[..., None], window)
    return (terms.weights(_product(q, k), allowed) * factor) @ v


def topk(q, k, v, terms, _aux, count=6):
    logits = terms.logits(_scaled(*terms.rows(q, k)))
    order = np.argsort(-logits, axis=-1, kind="stable")
    chosen = np.zeros(logits.shape, bool)
    np.put_along_axis(chosen, order[..., :count], True, -1)
    return softmax(np.where(chosen, logits, -np.inf), terms.sink) @ v


def hard(q, k, v, terms, _aux):
    logits = terms.logits(_scaled(*terms.rows(q, k)))
    best = logits.argmax(-1)
    top = logits.max(-1)
    taken = np.isfinite(top)
    if terms.sink is not None:
        taken &= top >= np.asarray(terms.sink, np.float64)[:, None]
    return np.where(taken[..., None], np.take_along_axis(v, best[..., None], 2), 0)


def hard_sampled(q, k, v, terms, aux):
    reached = np.cumsum(terms.weights(_scaled(*terms.rows(q, k))), -1)
    passed = reached <= aux["u"].astype(np.float64)[..., None]
    index = passed.sum(-1)
    taken = index < k.shape[2]
    index = np.minimum(index, k.shape[2] - 1)
    return np.where(taken[..., None], np.take_along_axis(v, index[..., None], 2), 0)


def mha(q, k, v, terms, aux, group=2):
    """Cross attention of a layer whose input is the heads side by side."""
    def rows(x):
        return x.swapaxes(1, 2).reshape(x.shape[0], x.shape[2], -1)

    def heads(x, count):
        return x.reshape(x.shape[0], x.shape[1], count, -1).swapaxes(1, 2)
    count = q.shape[1]
    keys, values = k[:, ::group], v[:, ::group]  # Given once per query head.
    projected = heads(rows(q) @ aux["Wq"], count)
    keys = np.repeat(heads(rows(keys) @ aux["Wk"], count // group), group, 1)
    values = np.repeat(heads(rows(values) @ aux["Wv"], count // group), group, 1)
    context = terms.weights(_scaled(*terms.rows(projected, keys))) @ values
    return heads(rows(context) @ aux["Wo"], count)


def margins(q, k, terms, count):
    """[B, H, Nq]: how far the count-th largest logit (1: the largest) is from the next, and from the
    sink where the largest decides."""
    logits = terms.logits(_scaled(*terms.rows(q, k)))
    ordered = -np.sort(-logits, -1)
    ordered = np.where(np.isfinite(ordered), ordered, -1e30)
    margin = ordered[..., count - 1] - ordered[..., count]
    margin = np.where(ordered[..., count] == -1e30, np.inf, margin)
    if count == 1 and terms.sink is not None:
        margin = np.minimum(margin, np.abs(ordered[..., 0]
                                           - np.asarray(terms.sink, np.float64)[:, None]))
    return margin

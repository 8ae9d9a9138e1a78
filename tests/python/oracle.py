"""The six variants in float64 NumPy, written from their definitions and from nothing of the tool.

Shapes: q [B, Hq, Nq, D], k [B, Hkv, Nk, D], v [B, Hkv, Nk, Dv]. Every function returns (output,
weights) with output = weights @ v. Rows without an allowed key are zero. Causal masks are aligned
bottom-right.
"""

from __future__ import annotations

import numpy as np


def _expand(x, heads):
    """Key-value heads repeated for the query heads of their group."""
    return np.repeat(np.asarray(x, np.float64), heads // x.shape[1], axis=1)


def _positions(seq_q, seq_k):
    """Key position of each query, and each key, for broadcasting."""
    return np.arange(seq_q)[:, None] + (seq_k - seq_q), np.arange(seq_k)[None, :]


def base_mask(seq_q, seq_k, causal, batch=1, key_lengths=None):
    """[B, 1, Nq, Nk]: what softmax attention may read."""
    i, j = _positions(seq_q, seq_k)
    mask = np.broadcast_to(j <= i if causal else np.full((seq_q, seq_k), True),
                           (batch, 1, seq_q, seq_k)).copy()
    if key_lengths is not None:
        mask &= j[None, None] < np.asarray(key_lengths)[:, None, None, None]
    return mask


def masked_softmax(q, k, v, mask, scale=None):
    """Softmax attention under a boolean mask that broadcasts to [B, Hq, Nq, Nk]."""
    heads = q.shape[1]
    q, k, v = np.asarray(q, np.float64), _expand(k, heads), _expand(v, heads)
    scale = 1 / np.sqrt(q.shape[-1]) if scale is None else scale
    logits = np.where(mask, scale * q @ k.swapaxes(-1, -2), -np.inf)
    top = logits.max(-1, keepdims=True)
    terms = np.exp(logits - np.where(np.isfinite(top), top, 0))
    total = terms.sum(-1, keepdims=True)
    weights = np.divide(terms, total, out=np.zeros_like(terms), where=total > 0)
    return weights @ v, weights


def full(q, k, v, causal=False, scale=None, key_lengths=None):
    mask = base_mask(q.shape[2], k.shape[2], causal, q.shape[0], key_lengths)
    return masked_softmax(q, k, v, mask, scale)


flash = full


def local(q, k, v, left=128, right=128, causal=False, scale=None, key_lengths=None):
    """Keys from `left` before to `right` after the query's position; -1 is unlimited."""
    mask = base_mask(q.shape[2], k.shape[2], causal, q.shape[0], key_lengths)
    i, j = _positions(q.shape[2], k.shape[2])
    if left >= 0:
        mask &= j - i >= -left
    if right >= 0:
        mask &= j - i <= right
    return masked_softmax(q, k, v, mask, scale)


def sparse(q, k, v, pattern, stride, summary=1, causal=True, scale=None, key_lengths=None):
    """Sparse Transformer, the merged union of its two sets; not causal, they look both ways."""
    mask = base_mask(q.shape[2], k.shape[2], causal, q.shape[0], key_lengths)
    i, j = _positions(q.shape[2], k.shape[2])
    if pattern == "strided":
        allowed = (np.abs(i - j) < stride) | ((i - j) % stride == 0)
    else:
        allowed = (i // stride == j // stride) | (j % stride >= stride - summary)
    return masked_softmax(q, k, v, mask & allowed, scale)


def linformer(q, k, v, e, f, scale=None):
    """softmax(scale Q (E K)^T) (F V); e and f are [k, Nk] or [Hkv, k, Nk]."""
    heads = q.shape[1]
    e, f = (np.broadcast_to(np.asarray(x, np.float64), (k.shape[1],) + np.shape(x)[-2:])
            for x in (e, f))
    keys = e[None] @ np.asarray(k, np.float64)
    mask = np.full((q.shape[2], keys.shape[2]), True)
    _, probabilities = masked_softmax(q, keys, keys, mask, scale)
    weights = probabilities @ np.repeat(f, heads // k.shape[1], axis=0)[None]
    return weights @ _expand(v, heads), weights


def performer(q, k, v, omega, causal=False, epsilon=0.0):
    """FAVOR+ positive features; omega is [m, D].

    The row maximum of queries and the maximum over all keys and features of a head are taken out of
    the exponents, which changes nothing while nothing is added to the features (`epsilon` = 0): with
    more, the maximum over all keys would let a causal row depend on later keys.
    """
    heads = q.shape[1]
    omega = np.asarray(omega, np.float64)
    q, k, v = np.asarray(q, np.float64), _expand(k, heads), _expand(v, heads)
    root = q.shape[-1] ** -0.25

    def exponent(x):
        x = x * root
        return x @ omega.T - (x * x).sum(-1, keepdims=True) / 2

    queries, keys = exponent(q), exponent(k)
    phi_q = np.exp(queries - queries.max(-1, keepdims=True)) + epsilon
    phi_k = np.exp(keys - keys.max((-1, -2), keepdims=True)) + epsilon
    kernel = phi_q @ phi_k.swapaxes(-1, -2)
    kernel = np.where(base_mask(q.shape[2], k.shape[2], causal), kernel, 0)
    total = kernel.sum(-1, keepdims=True)
    weights = np.divide(kernel, total, out=np.zeros_like(kernel), where=total > 0)
    return weights @ v, weights


def relative_l2(found, expected):
    """Frobenius norm of the difference over that of the expectation; a zero demands a zero."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape, (found.shape, expected.shape)
    norm = np.linalg.norm(expected)
    difference = np.linalg.norm(found - expected)
    if norm == 0:
        return 0.0 if difference == 0 else np.inf
    return difference / norm

// Problems with masks, for the suites over all variants that take them.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "attention/problem.h"

namespace attnbench::testing {

/// A boolean mask of shape [batch, heads, seq_q, seq_k] from a function of its indices.
std::shared_ptr<const AttentionMask> boolean_mask(
    const std::vector<std::int64_t>& shape,
    const std::function<bool(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j)>&
        read);

/// An additive one; -infinity forbids.
std::shared_ptr<const AttentionMask> additive_mask(
    const std::vector<std::int64_t>& shape,
    const std::function<double(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j)>&
        value);

/// A drawn mask with blocks that are read whole, in part and not at all, and rows without a key.
std::shared_ptr<const AttentionMask> drawn_mask(const std::vector<std::int64_t>& shape,
                                                bool additive);

/// Problems with boolean and additive masks of every broadcast shape: grouped heads, decoding, both
/// layouts, padded batches, causal too.
const std::vector<Problem>& masked_grid();

/// Masks of every kind (boolean, additive, of blocks) together with positions, soft cap, sink,
/// causal and key lengths.
const std::vector<Problem>& crossed_grid();

}  // namespace attnbench::testing

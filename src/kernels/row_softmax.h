// The softmax of one row of logits in memory.
#pragma once

#include <cstdint>

namespace attnbench::kernels {

/// row[0, n) = exp(row - maximum). Returns 1 / sum, or 0 when all of them are -infinity. Logits are
/// in base 2 (scaled by log2 e), and so is the `sink`, a logit that counts in the sum alone.
float softmax_row(float* row, std::int64_t n, float sink);

}  // namespace attnbench::kernels

// What a problem does to queries, keys and logits beside their product, in float64: the definitions
// that kernels are held against. The order is: rows are placed, s = scale q.k, soft cap, bias,
// mask, sink, softmax.
#pragma once

#include <cstdint>
#include <vector>

#include "attention/problem.h"

namespace attnbench {

/// ALiBi's slope of query head h of `heads`: 2^(-8 (h + 1) / heads) where heads is a power of two;
/// otherwise the slopes of the power of two below, then every other one of the power of two above
/// (Press, Smith, Lewis 2022, arXiv 2108.12409, section 3, and the authors' code).
double alibi_slope(std::int64_t h, std::int64_t heads);

/// Applies a problem's position encoding to single rows of Q and K.
///
///   sinusoidal: x_2i += sin(a_i), x_2i+1 += cos(a_i)      (Vaswani et al. 2017, section 3.5)
///   rope: (x_i, x_i+D/2) -> (x_i cos a_i - x_i+D/2 sin a_i, x_i sin a_i + x_i+D/2 cos a_i)
///                    (Su et al. 2021, section 3.2.2, with halves), or the pairs (x_2i, x_2i+1)
///
/// a_i = position * base^(-2i/D), base 10000 unless rope has another. Query i is at position i + Nk
/// - Nq, key j at position j.
class RowPlacement {
 public:
  explicit RowPlacement(const Problem& problem);
  /// `row` [D] at `position`, which may be negative; as it is when the problem places no rows.
  template <class Number>
  std::vector<double> placed(const Number* row, std::int64_t position) const {
    return placed(std::vector<double>(row, row + dim_), position);
  }
  std::vector<double> placed(std::vector<double> row, std::int64_t position) const;

 private:
  Position position_;
  bool interleaved_ = false;
  std::size_t dim_ = 0;
  std::vector<double> frequency_;
};

/// The logit of query i and key j in query head h, from s = scale q.k: soft cap, then ALiBi's bias
/// -slope |i + Nk - Nq - j|.
double shaped_logit(const Problem& problem, double s, std::int64_t h, std::int64_t i,
                    std::int64_t j);

/// A sink for `heads` query heads, drawn from the seed: independent standard normal logits.
std::vector<float> draw_sink(std::int64_t heads, std::uint64_t seed);

}  // namespace attnbench

// Wilcoxon's signed-rank test, the Hodges-Lehmann estimate and the interval by inverting the test:
// one object, so that p-value, estimate and interval can never contradict each other.
//
// Everything is read from the Walsh averages (x_i + x_j) / 2, i <= j. With T(m) the number of them
// above m, the test of "centre <= m" rejects at `level` when P(T >= T(m)) <= level under the exact
// null distribution; the lower bound is the Walsh average at which that flips. Averages equal to m
// count against a rejection, which defines ties and zeros and errs on the careful side.
// Hollander, Wolfe, Chicken, Nonparametric Statistical Methods, 3rd ed., sections 3.1 to 3.3.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "record/files.h"

namespace attnbench::analyse {

/// The null distribution of the sum of the positive ranks of `count` values. Exact up to
/// kExactCount values, normal with continuity correction beyond.
class SignedRankDistribution {
 public:
  static constexpr std::size_t kExactCount = 512;

  explicit SignedRankDistribution(std::size_t count);
  /// P(T >= statistic).
  double at_least(std::size_t statistic) const;
  /// The smallest statistic whose at_least() is `level` or less; count (count + 1) / 2 + 1 when
  /// there is none.
  std::size_t critical(double level) const;
  /// The largest statistic.
  std::size_t maximum() const { return maximum_; }

 private:
  std::size_t count_, maximum_;
  std::vector<double> upper_tail_;  ///< [statistic]
};

/// Shared and computed once per count. Thread safe.
const SignedRankDistribution& signed_rank_distribution(std::size_t count);

class SignedRank {
 public:
  /// A usage error when there is no value, or one that is not finite.
  static Result<SignedRank> make(std::span<const double> values);

  std::size_t count() const { return count_; }
  /// Hodges and Lehmann: the median of the Walsh averages.
  double estimate() const;
  /// Of the one-sided test of "centre <= bound".
  double p_above(double bound) const;
  /// Of the one-sided test of "centre >= bound".
  double p_below(double bound) const;
  /// One-sided confidence bounds at 1 - level: p_above(m) <= level exactly when
  /// lower_bound(level) > m, and the same mirrored. Infinite when there are too few values for a
  /// rejection at this level.
  double lower_bound(double level) const;
  double upper_bound(double level) const;

 private:
  SignedRank() = default;
  std::size_t count_ = 0;
  std::vector<double> walsh_;  ///< Ascending.
};

}  // namespace attnbench::analyse

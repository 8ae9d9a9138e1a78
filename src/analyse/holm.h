// Holm's step-down procedure: several tests, one bound on the chance of any false rejection.
// S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6, 1979.
#pragma once

#include <span>
#include <vector>

namespace attnbench::analyse {

/// What Holm's procedure says of one hypothesis.
struct HolmDecision {
  double adjusted_p = 1;  ///< Rejected exactly when this is at most alpha.
  bool rejected = false;
  /// The level at which this hypothesis's own test decided: a confidence bound at this level lies
  /// beyond the hypothesis exactly when it is rejected (the simultaneous bounds of Strassburger and
  /// Bretz, Statist. Med. 27, 2008, in their simple form).
  double level = 0;
};

/// One decision per p-value, in the order given. A p-value that is not a number counts as 1.
std::vector<HolmDecision> holm(std::span<const double> p_values, double alpha);

}  // namespace attnbench::analyse

// Growth laws in the sequence length N: "1", "N", "N log N", "N^1.5", ...
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace attnbench::analyse {

/// N^power * (log N)^log_power. A factor in front does not matter.
struct GrowthLaw {
  double power = 0;
  double log_power = 0;

  /// Reads "1", "N", "N^1.5", "N^(1/2)", "N log N", "N^2 log N", "log N", "sqrt(N)", "N sqrt(N)",
  /// with '*' or blanks between factors and "O(...)" around it; nothing for anything else.
  static std::optional<GrowthLaw> parse(std::string_view text);

  /// Natural logarithm of the law's value at n >= 1 (n = 1 counts as 2 where the law has a log N,
  /// which would be zero).
  double log_value(double n) const;
  /// The slope of log_value against log N between two lengths.
  double local_exponent(double n_low, double n_high) const;
  bool constant() const { return power == 0 && log_power == 0; }
  /// "N^1.5 log N"; what parse() reads.
  std::string text() const;
  friend bool operator==(const GrowthLaw&, const GrowthLaw&) = default;
};

/// The candidates of the ranking: 1, N, N log N, N^1.5, N^2, N^3.
const std::vector<GrowthLaw>& candidate_laws();

}  // namespace attnbench::analyse

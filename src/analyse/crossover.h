// From which sequence length on one series is faster than another.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analyse/series.h"

namespace attnbench::analyse {

enum class CrossoverVerdict {
  crossover,      ///< There is one within the measured range.
  none_in_range,  ///< `b` is faster at every common length.
  uncertain,      ///< The noise does not tell whether there is one.
};
/// "crossover", "none in range", "uncertain".
std::string_view to_string(CrossoverVerdict verdict);

/// Two series of the same problem and thread count; `b` is the faster one at the longest common
/// length.
struct Crossover {
  std::size_t a = 0, b = 0;  ///< Indices into the series.
  CrossoverVerdict verdict = CrossoverVerdict::uncertain;
  /// From here on b stays faster: where the interpolated log ratio crosses 0 for the last time.
  std::optional<double> seq;
  /// 95% interval of seq over noise and interpolation, within the measured range.
  std::optional<double> ci_low, ci_high;
  double found_share = 0;  ///< Of the bootstrap replicates, those with such a crossing.
  std::int64_t seq_min = 0, seq_max = 0;      ///< Common lengths.
  double ratio_at_min = 1, ratio_at_max = 1;  ///< time(a) / time(b).
};

struct CrossoverOptions {
  int replicates = 1000;
  std::uint64_t seed = 1;
};

/// Nothing when fewer than two lengths are common.
std::optional<Crossover> find_crossover(const std::vector<Series>& series, std::size_t a,
                                        std::size_t b, CrossoverOptions options = {});

/// All pairs of series with the same problem and thread count.
std::vector<Crossover> find_crossovers(const std::vector<Series>& series,
                                       CrossoverOptions options = {});

}  // namespace attnbench::analyse

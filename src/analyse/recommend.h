// The fastest series at a sequence length, within limits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analyse/growth.h"
#include "analyse/selection.h"

namespace attnbench::analyse {

struct Request {
  std::int64_t seq = 1024;
  std::optional<double> max_error = {};         ///< On error_rel_l2.
  std::optional<double> max_memory_bytes = {};  ///< On the workspace.
  /// Beyond the measured lengths: by the fitted growth. Otherwise a series that was not measured on
  /// both sides of `seq` (or at it) is no candidate.
  bool extrapolate = false;
  /// Variants that may answer; empty: all but those whose exactness is "different".
  std::vector<std::string> variants = {};
};

/// What one series would be at the requested length.
struct Estimate {
  std::size_t series = 0;
  double time_s = 0;
  Interval time_interval;       ///< 95%: noise, and for an extrapolation that of the exponent.
  std::optional<double> error;  ///< The larger of the neighbouring lengths'.
  /// Of answering mean(V), at the same lengths: an error that is no smaller is no approximation.
  std::optional<double> error_mean_v;
  std::optional<double> workspace_bytes;  ///< Interpolated.
  bool measured = false;                  ///< At this very length.
  bool extrapolated = false;
  /// Why it does not come into question; empty when it does.
  std::string rejected;
};

struct Recommendation {
  std::vector<Estimate> accepted;  ///< Fastest first.
  std::vector<Estimate> rejected;  ///< In the order of the series.

  /// Time of the second over that of the first, with its 95% interval: from 1 on the difference is
  /// sure. Nothing with fewer than two.
  std::optional<double> margin() const;
  std::optional<Interval> margin_interval() const;
};

/// Times between measured lengths by monotone cubics on log time over log N.
Recommendation recommend(const std::vector<Series>& series, const Selected& among,
                         const Request& request);

}  // namespace attnbench::analyse

// Groups the rows of a run into series: the same case at several sequence lengths.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "record/record.h"

namespace attnbench::analyse {

/// Times of one case by round, the independent units of its interval.
using RoundValues = std::map<int, double>;

/// Round values of every case: the median of the samples of each round. Times that are not positive
/// are left out.
std::map<std::string, RoundValues> round_values(std::span<const SampleRow> samples);

struct Time {
  double median_s = 0;
  /// Standard deviation of the log of the median, from the row's interval; without one from the
  /// round values, else from kUnknownNoise.
  double log_sd = 0;
  double low_s = 0, high_s = 0;  ///< 95% interval.
};

/// Assumed relative noise of a time that comes without an interval and without samples.
inline constexpr double kUnknownNoise = 0.03;

/// One measured length.
struct SeriesPoint {
  std::int64_t seq = 1;
  Time time;
  RoundValues rounds;  ///< Empty without samples.
  Record record;       ///< The first row of this length.
};

/// A length that has a row but no time.
struct Gap {
  std::int64_t seq = 1;
  RowStatus status = RowStatus::skipped;
  std::string reason;
};

struct Series {
  /// Of the first row; the swept lengths are those of that row.
  CaseAxes axes;
  /// "seq" when queries and keys grow together, else "seq_k" or "seq_q".
  std::string swept = "seq";
  /// Everything but variant, params, threads and the swept length, unique: "B=1 H=4 D=64 causal
  /// avx512". Axes at their defaults are not named.
  std::string problem;
  std::string time_law, workspace_law;
  std::vector<SeriesPoint> points;  ///< Ascending.
  std::vector<Gap> gaps;            ///< Ascending.

  /// "performer features=64".
  std::string name() const;
  const SeriesPoint* at(std::int64_t seq) const;
};

/// The text of a problem; `swept` names the lengths to leave out: "seq" (both), "seq_k", "seq_q".
std::string problem_text(const CaseAxes& axes, const std::string& swept);

/// "N=1024 B=1 H=2 D=64 causal avx512": lengths and problem of one case; "Nq=1 Nk=1024" where they
/// differ.
std::string case_problem(const CaseAxes& axes);
/// What reports call a cell, and accepted-slowdown patterns match: variant and parameters, problem,
/// threads. "local left=64;right=64 N=1024 B=1 H=2 D=64 avx512 T=1". Differs where case_ids do.
std::string cell_label(const CaseAxes& axes);

/// Series in the order of their first rows. N is the key length, or the query length where only
/// that varies. Rows of the same case (of several runs) are merged: the geometric mean of their
/// times, their spread counted into the interval.
std::vector<Series> group_series(std::span<const Record> records,
                                 std::span<const SampleRow> samples = {});

}  // namespace attnbench::analyse

// Picks the series of a run that answer one question: same problem, same machine settings.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "analyse/series.h"

namespace attnbench::analyse {

/// Axis columns of summary.csv to their values as text, e.g. {"dim_qk", "64"}, {"causal", "true"}.
using AxisValues = std::map<std::string, std::string>;

/// The axis was asked for and no series has it.
struct NotMeasured {
  std::string axis, wanted;
  std::vector<std::string> measured;  ///< What is left of the axis after the ones before it.
};
/// Several values are left and none is the usual one.
struct Ambiguous {
  std::string axis;
  std::vector<std::string> measured;
};
using Selected = std::vector<std::size_t>;  ///< Indices into the series.
using Selection = std::variant<Selected, NotMeasured, Ambiguous>;

/// Keeps the series with the wanted values. An axis that is not asked for and has several values
/// left is narrowed, in column order, to its usual one (that of a run without flags: batch 1,
/// heads_kv = heads_q, dim_v = dim_qk, not causal, ...), unless `keep` names it.
Selection select_series(const std::vector<Series>& series, const AxisValues& wanted,
                        const std::vector<std::string>& keep = {});

/// The series' value of an axis column, as written in the CSV.
std::string axis_value(const Series& series, std::string_view column);

}  // namespace attnbench::analyse

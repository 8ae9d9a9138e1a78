// The fastest variant over the measured grid, for programs that choose a kernel.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "analyse/recommend.h"

namespace attnbench::analyse {

/// The winner at one measured length.
struct DispatchEntry {
  std::size_t series = 0;
  std::int64_t seq = 1;
  /// Lengths that it answers for, inclusive: to where the interpolated times of two neighbouring
  /// winners meet, or to the geometric mean of the lengths where one wins at both.
  std::int64_t seq_from = 1, seq_to = 1;
  double time_s = 0;
  std::optional<double> margin;  ///< Time of the next over its own.
  std::optional<double> error, workspace_bytes;
};

struct DispatchTable {
  std::string run_id;
  Request limits;                      ///< Its seq is not used.
  AxisValues shared;                   ///< Axes that all entries have in common and no key has.
  std::vector<DispatchEntry> entries;  ///< By problem and threads, then by length.
};

/// The axes that a lookup is keyed by, beside the length.
const std::vector<std::string>& dispatch_keys();

/// Winners among the given series at every measured length, for each combination of
/// dispatch_keys(). Lengths where nothing is within the limits have no entry.
DispatchTable dispatch_table(const std::vector<Series>& series, const Selected& among,
                             const Request& limits);

std::string dispatch_json(const DispatchTable& table, const std::vector<Series>& series);

/// A C header without dependencies (C99 and C++): the table as static data and
/// `attnbench_lookup()`, which gives null outside of what was measured.
std::string dispatch_header(const DispatchTable& table, const std::vector<Series>& series);

}  // namespace attnbench::analyse

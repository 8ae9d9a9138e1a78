// What is left of a sweep's budget when every case had its turn, and which cases get it: those with
// the widest intervals. Pure, like schedule.h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace attnbench::measure {

/// A case that had its turn.
struct RevisitCase {
  std::size_t batch = 0;       ///< Cases that are measured together share one.
  std::vector<double> values;  ///< Of its rounds so far.
  double sample_cost_s = 0;    ///< Of one more round.
  double setup_s = 0;          ///< To make the case ready once more.
};

struct RevisitLimits {
  double target_relative_half_width = 0.02;
  std::int64_t min_rounds = 7;
  std::int64_t max_rounds = 200;
  double time_s = 0;  ///< For everything, setting up included.
};

/// A return to one batch.
struct Visit {
  std::size_t batch = 0;
  std::vector<std::size_t> cases;  ///< Indices into the cases given, ascending.
  double time_s = 0;               ///< For samples, setting up not included.
  double target_relative_half_width = 0;
};

/// The visits that pay: the time is given out so that the widest interval becomes as narrow as it
/// can, by the rule that widths shrink with the root of the number of rounds. Cases at the target
/// or at the largest number of rounds are left alone, and so are those whose next interval costs
/// more than the time. `batch_setup_s`: seconds to set up each batch, besides its cases. The batch
/// of the widest interval comes first.
std::vector<Visit> plan_visits(std::span<const RevisitCase> cases,
                               std::span<const double> batch_setup_s, const RevisitLimits& limits);

}  // namespace attnbench::measure

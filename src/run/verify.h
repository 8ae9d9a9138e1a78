// Checks a case against float64 before it is timed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attention/variant.h"
#include "plan/plan.h"

namespace attnbench {

/// Error figures of one query head of one batch row, over its checked rows.
struct HeadFigures {
  std::int64_t batch = 0;
  std::int64_t head = 0;
  std::int64_t rows = 0;
  double definition_rel_l2 = 0;
  std::optional<double> error_rel_l2;  ///< Against softmax attention; absent for `different`.
};

/// What a verification found. Figures are relative L2 (Frobenius) unless named otherwise.
struct Verification {
  bool passed = false;
  std::string reason;  ///< Why not.
  double definition_rel_l2 = 0;
  double tolerance = 0;  ///< What definition_rel_l2 was held against.
  std::optional<double> error_rel_l2, error_max_abs, error_mean_v;
  std::string error_reference;  ///< "all rows" or "N sampled rows".
  RowIndex worst_row;
  double worst_row_rel = 0;
  std::int64_t checked_rows = 0;
  std::int64_t undecided_rows = 0;
  std::int64_t workspace_peak_bytes = 0;
  std::vector<HeadFigures> heads;  ///< Only from verify_case().
};

/// Draws the inputs of a case from `seed`, runs it once and compares at most `max_rows` rows with
/// float64 (0: as many as a run would check). A result that is wrong is a Verification that did not
/// pass; an error means that the case could not be run (no memory, an exception in the variant).
Result<Verification> verify_case(const Case& spec, std::uint64_t seed, std::int64_t max_rows);

namespace run {

class PreparedCase;
class ReferenceCache;

/// Compares `output`, which the case has just computed, with the references. `executor` lends its
/// threads to the float64 work.
Verification verify_output(const PreparedCase& prepared, ConstTensorView output,
                           ReferenceCache& references, Executor& executor);

/// NaN everywhere: a row that a variant forgets to write cannot pass.
void poison(Tensor& output);

/// The output tensor of a problem.
Tensor make_output(const Problem& problem);

}  // namespace run
}  // namespace attnbench

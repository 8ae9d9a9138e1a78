// Float64 reference values of one problem's rows, computed once and shared by the cases of a group.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "attention/inputs.h"
#include "attention/reference.h"
#include "attention/variant.h"

namespace attnbench::run {

/// Multiply-adds of a reference that still covers all rows, and of one that samples rows.
constexpr double kAllRowsMacs = 2e8;
constexpr double kSampledRowsMacs = 1e8;
constexpr std::int64_t kFewestRows = 16;

/// How many rows a verification checks: all when that costs at most kAllRowsMacs, else as many as
/// kSampledRowsMacs pays for, at least kFewestRows.
std::int64_t checked_rows(const Problem& problem);

/// Multiply-adds of softmax attention on the rows that a verification checks.
double reference_macs(const Problem& problem);

/// Softmax attention under one mask, and what to compare it with.
struct SoftmaxRows {
  std::vector<double> values;  ///< [rows][Dv]
  double mean_v_error = 0;     ///< Of answering mean(V).
};

/// Seconds that a variant's own reference may take before it is cut short.
constexpr double kReferenceAllotment_s = 0.15;

/// Rows of a variant's definition: all rows of the cache, or the part that was affordable.
struct DefinitionRows {
  std::vector<std::size_t> at;  ///< Which of the cache's rows, ascending.
  std::vector<RowIndex> rows;
  ReferenceRows expected;
};

class ReferenceCache {
 public:
  /// The inputs must outlive this. `max_rows` above 0 takes the place of checked_rows().
  ReferenceCache(const Problem& problem, const Inputs& inputs, std::uint64_t seed,
                 std::int64_t max_rows = 0, double allotment_s = kReferenceAllotment_s);

  const std::vector<RowIndex>& rows() const { return rows_; }
  bool all_rows_checked() const { return all_rows_; }
  const Problem& problem() const { return problem_; }
  const Inputs& inputs() const { return inputs_; }

  /// The variant's own definition on rows that it can afford. Thread counts share it; variants that
  /// are softmax attention share softmax(). Others are evaluated on 16 rows, then on four times as
  /// many as long as that should stay within the allotment: nobody knows beforehand what a
  /// definition written for clarity costs. Which rows come first is drawn from the seed.
  const DefinitionRows& affordable_definition(const Variant& variant, const ParamValues& params,
                                              const AuxSet& aux, Executor& executor);
  /// The same on all of rows(), whatever that costs.
  const ReferenceRows& definition(const Variant& variant, const ParamValues& params,
                                  const AuxSet& aux, Executor& executor);
  /// Softmax attention under variant.allows(), on all of rows().
  const SoftmaxRows& softmax(const Variant& variant, const ParamValues& params, Executor& executor);
  /// The largest size of a logit of softmax attention in the checked rows, and the relative L2
  /// error of evaluating those rows plainly in float32: what rounding alone may cost.
  struct PlainFloat {
    double largest_logit = 0;
    double relative_l2 = 0;
  };
  const PlainFloat& plain_float(const Variant& variant, const ParamValues& params,
                                Executor& executor);

 private:
  std::string softmax_key(const Variant& variant, const ParamValues& params);
  DefinitionRows evaluate(const Variant& variant, const ParamValues& params, const AuxSet& aux,
                          Executor& executor, double allotment_s) const;
  const DefinitionRows& cached_definition(const Variant& variant, const ParamValues& params,
                                          const AuxSet& aux, Executor& executor,
                                          double allotment_s);

  Problem problem_;
  Inputs inputs_;
  std::vector<RowIndex> rows_;
  std::uint64_t seed_;
  double allotment_s_;
  bool all_rows_ = true;
  std::map<std::string, std::string> softmax_keys_;
  std::map<std::string, DefinitionRows> definitions_;
  std::map<std::string, SoftmaxRows> softmax_;
  std::map<std::string, PlainFloat> plain_;
};

}  // namespace attnbench::run

// One row of summary.csv, typed. docs/csv_schema.md defines every column; contracts of the file
// formats are versioned by kSchemaVersion.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attention/problem.h"
#include "attention/variant.h"

namespace attnbench {

constexpr int kSchemaVersion = 1;

enum class RowStatus { ok, skipped, failed, timeout, out_of_memory };
enum class StopReason { none, precision, budget, max_samples };
std::string_view to_string(RowStatus status);
std::string_view to_string(StopReason reason);
Result<RowStatus> parse_row_status(std::string_view text);
Result<StopReason> parse_stop_reason(std::string_view text);

/// The axes that identify a case: everything from `variant` to `threads` in summary.csv. Strings,
/// not enums, where a reader must accept rows of variants that this build does not know.
struct CaseAxes {
  std::string variant;
  std::string family;
  std::string exactness;
  std::string params;  ///< ParamValues::canonical().
  std::string mode = "self";
  std::string pass = "fwd";
  std::string dtype = "f32";
  std::string layout = "bhnd";
  std::string isa;  ///< The instruction set that ran: avx512, avx2, sse2, neon, ...
  std::string input = "gaussian";
  std::string mask = "none";
  std::string position = "none";
  std::string cache = "hot";
  std::int64_t batch = 1;
  std::int64_t heads_q = 1;
  std::int64_t heads_kv = 1;
  std::int64_t seq_q = 1;
  std::int64_t seq_k = 1;
  std::int64_t dim_qk = 1;
  std::int64_t dim_v = 1;
  bool causal = false;
  int threads = 1;

  /// 16 hexadecimal digits (FNV-1a, 64 bits) over the axis columns as written in the CSV, joined by
  /// the unit separator.
  std::string case_id() const;
};

/// A row. Absent optionals are empty cells.
struct Record {
  std::string run_id;
  /// As read from a file, so that foreign ids keep matching their samples; empty on a new row.
  std::string stored_case_id;
  CaseAxes axes;
  RowStatus status = RowStatus::ok;
  std::string reason;  ///< Why skipped or failed; a warning on an ok row (roofline above 1.05).
  StopReason stop_reason = StopReason::none;
  std::int64_t samples = 0;
  std::optional<double> time_median_s, time_ci_low_s, time_ci_high_s, time_min_s, time_mad_s;
  std::optional<double> cpu_time_median_s, thread_census;
  std::optional<double> useful_flops, performed_flops, exp_count, min_bytes, traffic_bytes;
  std::optional<double> gflops_useful, gflops_performed, roofline_bound_s, roofline_fraction;
  std::optional<std::int64_t> workspace_model_bytes, workspace_peak_bytes;
  std::string time_law, workspace_law;
  std::optional<double> definition_rel_l2, error_rel_l2, error_max_abs, error_mean_v;
  std::string error_reference;  ///< "all rows" or "N sampled rows"; empty when not verified.
  std::optional<std::int64_t> cycles, instructions, cache_misses;
  std::uint64_t seed = 1;
  std::string repro;

  /// The id as read, or that of the axes: what samples.csv refers to.
  std::string case_id() const;
  /// Needs no rerun: measured, or known not to run.
  bool finished() const { return status == RowStatus::ok || status == RowStatus::skipped; }
};

/// A row of samples.csv.
struct SampleRow {
  std::string case_id;
  int round = 0;
  int order = 0;  ///< Position within its round.
  std::int64_t inner_iterations = 1;
  double time_s = 0;      ///< Wall time per iteration.
  double cpu_time_s = 0;  ///< Process CPU time per iteration.
  double start_s = 0;     ///< Since the run began.
};

}  // namespace attnbench

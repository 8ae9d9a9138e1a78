// The columns of summary.csv, in file order (docs/csv_schema.md shows this table).
#include <fmt/format.h>

#include <array>

#include "record/column_of.h"

namespace attnbench {
namespace {

using columns_detail::column_from;
using columns_detail::column_of;

template <auto Member>
Column<Record> of(std::string_view name, std::string_view unit, std::string_view definition) {
  return column_of<Record, Member>(name, unit, definition);
}
template <auto Member>
Column<Record> size(std::string_view name, std::string_view definition) {
  return column_from<Record, Member>(1, name, "1", definition);
}
template <auto Member>
Column<Record> error(std::string_view name, std::string_view definition) {
  Column<Record> column = of<Member>(name, "1", definition);
  column.may_be_infinite = true;
  return column;
}

Column<Record> schema_version_column() {
  Column<Record> column;
  column.name = "schema_version";
  column.unit = "1";
  column.definition = "Version of this table: 1. It changes with every change of a column.";
  column.type = CellType::integer;
  column.may_be_empty = false;
  column.get = [](const Record&) -> CellValue { return std::int64_t{kSchemaVersion}; };
  column.set = [](Record&, CellValue&& value) -> Status {
    if (std::get<std::int64_t>(value) == kSchemaVersion) return ok_status();
    return io_error(fmt::format("this build reads schema {}", kSchemaVersion));
  };
  return column;
}

Column<Record> case_id_column() {
  Column<Record> column = of<&Record::stored_case_id>(
      "case_id", "",
      "The case, independent of run and seed: 16 hexadecimal digits of the 64-bit FNV-1a hash over "
      "the cells `variant` to `threads` (before quoting), joined by byte 1F.");
  column.get = [](const Record& row) -> CellValue { return row.case_id(); };
  return column;
}

template <class Enum, Enum Record::*Member, auto Parse>
Column<Record> word(std::string_view name, std::string_view definition) {
  Column<Record> column;
  column.name = name;
  column.definition = definition;
  column.get = [](const Record& row) -> CellValue {
    const std::string_view text = to_string(row.*Member);
    return text.empty() ? CellValue{} : CellValue{std::string(text)};
  };
  column.set = [](Record& row, CellValue&& value) -> Status {
    const auto* text = std::get_if<std::string>(&value);
    auto parsed = Parse(text != nullptr ? std::string_view(*text) : std::string_view());
    if (!parsed) return parsed.error();
    row.*Member = *parsed;
    return ok_status();
  };
  return column;
}

Column<Record> variant_column() {
  auto column = of<&CaseAxes::variant>("variant", "", "Name of the attention variant.");
  column.may_be_empty = false;
  return column;
}
Column<Record> status_column() {
  auto column = word<RowStatus, &Record::status, parse_row_status>(
      "status",
      "`ok`: verified and timed. `skipped`: not run, `reason` says why. `failed`: verification or "
      "the variant itself failed; not timed. `timeout`: one call took longer than allowed. "
      "`out-of-memory`: an allocation failed.");
  column.may_be_empty = false;
  return column;
}
Column<Record> samples_column() {
  auto column = of<&Record::samples>("samples", "1", "Timed samples behind the time columns.");
  column.may_be_empty = true;  // Programs that know only present figures leave it empty.
  return column;
}

const auto kColumns = std::to_array<Column<Record>>({
    schema_version_column(),
    of<&Record::run_id>("run_id", "", "The run that measured the row, as in manifest.json."),
    case_id_column(),
    variant_column(),
    of<&CaseAxes::family>("family", "", "Family of the variant: softmax, local, sparse, ..."),
    of<&CaseAxes::exactness>(
        "exactness", "",
        "How the variant's function relates to softmax attention: `exact` (the same), "
        "`exact-under-mask` (the same under a mask that the variant declares, or that its logits "
        "choose), `approximate` "
        "(its error is a figure), `different` (another function)."),
    of<&CaseAxes::params>("params", "",
                          "All parameters as `k=v;k=v`, sorted by name; elements of a list value "
                          "are joined by `+`; `softcap`, `sink`, `rope-base` and `rope-pairs` of "
                          "the call among them. Empty "
                          "when there are none."),
    of<&CaseAxes::mode>("mode", "",
                        "`self` (Nq = Nk), `cross`, `decode` (few queries on a filled KV cache) or "
                        "`generate`."),
    of<&CaseAxes::pass>("pass", "", "`fwd`, or `fwd+bwd` when the gradients are computed too."),
    of<&CaseAxes::dtype>("dtype", "", "Element type of Q, K, V and O: `f32`."),
    of<&CaseAxes::layout>("layout", "",
                          "Memory order of the tensors: `bhnd` is [B,H,N,D], `bnhd` is [B,N,H,D]."),
    of<&CaseAxes::isa>("isa", "", "Instruction set that the kernels used: avx512, avx2, ..."),
    of<&CaseAxes::input>(
        "input", "",
        "Distribution that Q, K and V were drawn from, or file:NAME#HASH of recorded ones."),
    of<&CaseAxes::mask>("mask", "", "Mask beside `causal` and the variant's own; `none` without."),
    of<&CaseAxes::position>("position", "", "Position encoding inside the call; `none` without."),
    of<&CaseAxes::cache>("cache", "",
                         "State of the CPU caches before a sample: `hot` (the same buffers again) "
                         "or `cold` (inputs rotated so that they are in no cache)."),
    size<&CaseAxes::batch>("batch", "Batch size B."),
    size<&CaseAxes::heads_q>("heads_q", "Query heads Hq."),
    size<&CaseAxes::heads_kv>("heads_kv", "Key-value heads Hkv; Hq is a multiple of it."),
    size<&CaseAxes::seq_q>("seq_q", "Query length Nq."),
    size<&CaseAxes::seq_k>("seq_k", "Key-value length Nk."),
    size<&CaseAxes::dim_qk>("dim_qk", "Head dimension D of queries and keys."),
    size<&CaseAxes::dim_v>("dim_v", "Head dimension Dv of values and output."),
    of<&CaseAxes::causal>(
        "causal", "", "Whether query i sees only keys j <= i + Nk - Nq (aligned bottom right)."),
    size<&CaseAxes::threads>("threads", "Threads that the call may use."),
    status_column(),
    of<&Record::reason>("reason", "",
                        "Why a row is not `ok`; on an `ok` row a warning about its figures."),
    word<StopReason, &Record::stop_reason, parse_stop_reason>(
        "stop_reason",
        "Why sampling ended: `precision` (the interval is narrow enough), `budget` (the case's "
        "share of time is spent, or rounds of two visits differ) or `max-samples`. Empty when "
        "nothing was timed."),
    samples_column(),
    of<&Record::time_median_s>("time_median_s", "s",
                               "Median over rounds of the wall time of one call. Timed is all "
                               "that depends on the call's Q, K or V; draws, masks, code "
                               "generation, weights and the cache filled by earlier tokens are "
                               "not."),
    of<&Record::time_ci_low_s>("time_ci_low_s", "s",
                               "Lower end of the 95% interval of the median, from order "
                               "statistics over rounds."),
    of<&Record::time_ci_high_s>("time_ci_high_s", "s", "Upper end of that interval."),
    of<&Record::time_min_s>("time_min_s", "s", "Smallest sample."),
    of<&Record::time_mad_s>("time_mad_s", "s",
                            "Median absolute deviation from the median, unscaled."),
    of<&Record::cpu_time_median_s>("cpu_time_median_s", "s",
                                   "Median CPU time of the whole process for one call."),
    of<&Record::thread_census>("thread_census", "1",
                               "CPU time over wall time, median: threads that were really busy. "
                               "Above `threads` the process ran more threads than it was given."),
    of<&Record::useful_flops>("useful_flops", "FLOP",
                              "Dense softmax attention on the same problem: 2 * pairs * (D + Dv) "
                              "over all query heads, a multiply-add counting 2 and causal pairs "
                              "counted one by one. Empty where no such problem exists."),
    of<&Record::performed_flops>("performed_flops", "FLOP",
                                 "Matrix products and feature projections that the variant "
                                 "executes, masked work that it does execute included; "
                                 "exponentials apart."),
    of<&Record::exp_count>("exp_count", "1",
                           "exp, tanh and similar functions evaluated, masked ones included."),
    of<&Record::min_bytes>("min_bytes", "bytes",
                           "Each input read once and the output written once."),
    of<&Record::traffic_bytes>("traffic_bytes", "bytes",
                               "`min_bytes` plus what the variant's definition writes to memory "
                               "and reads back (for `full` the score matrix)."),
    of<&Record::gflops_useful>("gflops_useful", "GFLOP/s",
                               "`useful_flops` / `time_median_s` / 1e9."),
    of<&Record::gflops_performed>("gflops_performed", "GFLOP/s",
                                  "`performed_flops` / `time_median_s` / 1e9."),
    of<&Record::roofline_bound_s>(
        "roofline_bound_s", "s",
        "Least time that the machine's measured ceilings allow at T threads: max(performed_flops / "
        "fma(T) + exp_count / exp_rate(T), traffic_bytes / bandwidth(T)). What a variant does in "
        "float64 (`local-p`: its positions) has half of fma(T) and exp_rate(T). The bandwidth is "
        "that of the smallest cache level that holds the working set when `cache` is hot, and of "
        "memory when cold."),
    of<&Record::roofline_fraction>("roofline_fraction", "1",
                                   "`roofline_bound_s` / `time_median_s`. Above 1.05 the ceilings "
                                   "or the counts are in doubt, and `reason` says so."),
    of<&Record::workspace_model_bytes>("workspace_model_bytes", "bytes",
                                       "Working memory beyond inputs and output that the variant's "
                                       "cost model predicts; for `full` one score matrix for each "
                                       "head in flight, at most T of them, and a tile per "
                                       "thread."),
    of<&Record::workspace_peak_bytes>("workspace_peak_bytes", "bytes",
                                      "High-water mark of the working memory that the call took."),
    of<&Record::time_law>("time_law", "",
                          "Growth of the time in the sequence length N that the variant declares: "
                          "1, N, N log N, N^1.5, N^2 or N^3."),
    of<&Record::workspace_law>("workspace_law", "", "The same for its working memory."),
    error<&Record::definition_rel_l2>(
        "definition_rel_l2",
        "Relative error against the variant's own definition in float64 with the same auxiliary "
        "tensors: Frobenius norm of the difference over that of the reference, over all checked "
        "rows, heads and batches. `inf` when the output is not finite, or not zero where the "
        "reference is."),
    error<&Record::error_rel_l2>("error_rel_l2",
                                 "The same norm against float64 softmax attention under the same "
                                 "mask on the same inputs. Empty when `exactness` is different."),
    error<&Record::error_max_abs>("error_max_abs",
                                  "Largest absolute difference against that softmax attention."),
    error<&Record::error_mean_v>("error_mean_v",
                                 "`error_rel_l2` of answering mean(V) in every row: what an "
                                 "approximation has to beat on these inputs."),
    of<&Record::error_reference>("error_reference", "",
                                 "Rows that the error columns are over: `all rows` or `N sampled "
                                 "rows`. Empty when the case was not verified."),
    of<&Record::cycles>("cycles", "1",
                        "CPU cycles of one call, where the operating system allows counting them."),
    of<&Record::instructions>("instructions", "1", "Instructions retired in one call, likewise."),
    of<&Record::cache_misses>("cache_misses", "1",
                              "Last-level cache misses of one call, likewise."),
    of<&Record::seed>("seed", "1", "Seed that inputs and auxiliary tensors were drawn from."),
    of<&Record::repro>("repro", "", "The one command that measures this row again."),
});

std::size_t index_of(std::string_view name) {
  std::size_t i = 0;
  while (kColumns[i].name != name) ++i;
  return i;
}

}  // namespace

template <>
std::span<const Column<Record>> columns<Record>() {
  return kColumns;
}

std::span<const Column<Record>> axis_columns() {
  static const std::size_t first = index_of("variant");
  static const std::size_t last = index_of("threads");
  return std::span(kColumns).subspan(first, last - first + 1);
}

}  // namespace attnbench

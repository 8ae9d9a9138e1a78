#include "cli/recommend.h"

#include <fmt/format.h>

#include <array>
#include <ostream>

#include "analyse/dispatch_table.h"
#include "analyse/recommend.h"
#include "cli/help.h"
#include "cli/recommend_text.h"
#include "cli/report.h"
#include "cli/scalar_flags.h"
#include "cli/stored_run.h"
#include "config/sweep_config.h"
#include "record/files.h"

namespace attnbench::cli {
namespace {

/// A flag that narrows an axis column.
struct AxisFlag {
  const char* flag;
  const char* column;
  const char* value;
  const char* description;
  bool integer;
};

constexpr std::array<AxisFlag, 12> kAxisFlags{{
    {"--dim", "dim_qk", "D", "Head dimension.", true},
    {"--heads", "heads_q", "H", "Query heads.", true},
    {"--threads", "threads", "T", "Threads that the call may use.", true},
    {"--batch", "batch", "B", "Batch size. Default: 1.", true},
    {"--kv-heads", "heads_kv", "H", "Key-value heads. Default: --heads.", true},
    {"--dim-v", "dim_v", "D", "Head dimension of the values. Default: --dim.", true},
    {"--mode", "mode", "MODE", "self, cross, decode, generate. Default: self.", false},
    {"--pass", "pass", "PASS", "fwd or fwd+bwd. Default: fwd.", false},
    {"--input", "input", "NAME", "Distribution of Q, K, V. Default: gaussian.", false},
    {"--layout", "layout", "NAME", "bhnd or bnhd. Default: bhnd.", false},
    {"--cache", "cache", "STATE", "hot or cold. Default: hot.", false},
    {"--isa", "isa", "NAME", "Instruction set that ran.", false},
}};

constexpr std::int64_t kMostInteger = std::int64_t{1} << 40;

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

std::string flag_of(const std::string& column) {
  for (const AxisFlag& each : kAxisFlags) {
    if (column == each.column) return each.flag;
  }
  return column == "causal" ? "--causal" : column;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> words;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    if (comma > from) words.push_back(text.substr(from, comma - from));
    from = comma + 1;
  }
  return words;
}

class RecommendCommand final : public Command {
 public:
  void declare(CLI::App& app) override;
  ExitCode execute(const Context& context) override;

 private:
  Result<analyse::Request> request() const;
  Result<analyse::AxisValues> axes() const;
  ExitCode answer(const Context& context, const std::vector<analyse::Series>& series,
                  const analyse::Request& request, const analyse::AxisValues& wanted) const;
  ExitCode write_table(const Context& context, const std::vector<analyse::Series>& series,
                       const analyse::Request& limits, const analyse::AxisValues& wanted) const;

  std::string run_, seq_, causal_, max_error_, max_memory_, variants_, table_;
  std::array<std::string, kAxisFlags.size()> axis_;
  bool extrapolate_ = false, json_ = false;
};

void RecommendCommand::declare(CLI::App& app) {
  app.add_option("RUN", run_, "Folder of a run, or a CSV file with the columns of summary.csv.")
      ->required()
      ->group("Input");
  add_text(app, "--seq", seq_, "N", "Sequence length; in decode mode that of the cache.",
           "Problem");
  for (std::size_t i = 0; i < kAxisFlags.size(); ++i) {
    const AxisFlag& each = kAxisFlags[i];
    add_text(app, each.flag, axis_[i], each.value, each.description, "Problem");
  }
  add_text(app, "--causal", causal_, "on|off", "Causal attention. Default: off.", "Problem");
  add_text(app, "--max-error", max_error_, "E",
           "Largest error_rel_l2 that is accepted. Default: any.", "Limits");
  add_text(app, "--max-memory", max_memory_, "SIZE",
           "Largest workspace: 64MiB, 1GB, bytes. Default: any.", "Limits");
  add_text(app, "--variants", variants_, "LIST",
           "Variants that may answer. Default: all that stand for softmax attention.", "Limits");
  app.add_flag("--extrapolate", extrapolate_,
               "Beyond the measured lengths, follow the fitted growth.")
      ->group("Limits");
  add_text(app, "--table", table_, "FILE",
           "Write the fastest variant over the measured lengths: a C header (.h) or JSON (.json).",
           "Output");
  app.add_flag("--json", json_, "Print one JSON object.")->group("Output");
  app.footer(
      "An axis that is not given and has one value in the run takes that. Between measured\n"
      "lengths times are interpolated; beyond them nothing is claimed without --extrapolate.\n"
      "Exit codes: 0 an answer; 2 usage or file; 3 the run cannot tell, and what it measured.\n"
      "\n"
      "Examples:\n"
      "  attnbench recommend results/first --seq 3000 --dim 64 --heads 4 --threads 2\n"
      "  attnbench recommend results/first --seq 4k --threads 1 --max-error 1e-3 --max-memory "
      "64MiB\n"
      "  attnbench recommend results/first --table attention_choice.h --max-error 1e-3");
}

Result<analyse::Request> RecommendCommand::request() const {
  analyse::Request request;
  request.extrapolate = extrapolate_;
  request.variants = split(variants_);
  if (seq_.empty() && table_.empty()) return usage_error("--seq N or --table FILE is required");
  if (!seq_.empty()) {
    const auto seq = parse_integer(seq_, "--seq", 1, kMostInteger);
    if (!seq) return seq.error();
    request.seq = *seq;
  }
  if (!max_error_.empty()) {
    const auto error = parse_number(max_error_, "--max-error");
    if (!error) return error.error();
    if (!(*error >= 0)) {
      return usage_error(
          fmt::format("--max-error: given \"{}\"; accepted: a number from 0 on", max_error_));
    }
    request.max_error = *error;
  }
  if (!max_memory_.empty()) {
    const auto bytes = parse_bytes(max_memory_, "--max-memory");
    if (!bytes) return bytes.error();
    request.max_memory_bytes = *bytes;
  }
  if (!table_.empty() && !table_.ends_with(".h") && !table_.ends_with(".json")) {
    return usage_error(fmt::format(
        "--table: given \"{}\"; accepted: a file name that ends in .h or .json", table_));
  }
  return request;
}

Result<analyse::AxisValues> RecommendCommand::axes() const {
  analyse::AxisValues wanted;
  for (std::size_t i = 0; i < kAxisFlags.size(); ++i) {
    if (axis_[i].empty()) continue;
    wanted[kAxisFlags[i].column] = axis_[i];
    if (!kAxisFlags[i].integer) continue;
    const auto value = parse_integer(axis_[i], kAxisFlags[i].flag, 1, kMostInteger);
    if (!value) return value.error();
    wanted[kAxisFlags[i].column] = std::to_string(*value);
  }
  if (!causal_.empty()) {
    const auto causal = parse_switch(causal_, "--causal");
    if (!causal) return causal.error();
    wanted["causal"] = *causal ? "true" : "false";
  }
  return wanted;
}

/// Why no series was selected, and what there is.
ExitCode explain(const Context& context, const std::vector<analyse::Series>& series,
                 const analyse::Selection& selection) {
  if (const auto* missing = std::get_if<analyse::NotMeasured>(&selection)) {
    context.err << fmt::format(
        "attnbench: error: {} {} was not measured{}\n", flag_of(missing->axis), missing->wanted,
        missing->measured.empty() ? "" : "; measured: " + joined(missing->measured));
    context.err << "The run has\n" << measured_text(series);
    return ExitCode::inconclusive;
  }
  const auto& several = std::get<analyse::Ambiguous>(selection);
  return fail_usage(
      context,
      fmt::format("the run has several values of {}: {}", several.axis, joined(several.measured)),
      fmt::format("say which: {} ...", flag_of(several.axis)));
}

ExitCode RecommendCommand::answer(const Context& context,
                                  const std::vector<analyse::Series>& series,
                                  const analyse::Request& request,
                                  const analyse::AxisValues& wanted) const {
  analyse::AxisValues one_problem = wanted;
  one_problem.try_emplace("causal", "false");
  const analyse::Selection selection = analyse::select_series(series, one_problem);
  const auto* selected = std::get_if<analyse::Selected>(&selection);
  if (selected == nullptr) return explain(context, series, selection);
  const analyse::Recommendation found = analyse::recommend(series, *selected, request);
  if (json_) context.out << recommendation_json(series, found, request);
  if (!found.accepted.empty()) {
    if (!json_) context.out << recommendation_text(series, found, request);
    return ExitCode::good;
  }
  context.err << fmt::format("attnbench: error: no variant comes into question at N={}\n",
                             request.seq);
  for (const analyse::Estimate& each : found.rejected) {
    context.err << fmt::format("  {}: {}\n", series[each.series].name(), each.rejected);
  }
  context.err << "The run has\n" << measured_text(series);
  return ExitCode::inconclusive;
}

ExitCode RecommendCommand::write_table(const Context& context,
                                       const std::vector<analyse::Series>& series,
                                       const analyse::Request& limits,
                                       const analyse::AxisValues& wanted) const {
  const analyse::Selection selection =
      analyse::select_series(series, wanted, analyse::dispatch_keys());
  const auto* selected = std::get_if<analyse::Selected>(&selection);
  if (selected == nullptr) return explain(context, series, selection);
  const analyse::DispatchTable table = analyse::dispatch_table(series, *selected, limits);
  if (table.entries.empty()) {
    context.err << "attnbench: error: nothing that was measured is within the limits\n";
    return ExitCode::inconclusive;
  }
  const std::string text = table_.ends_with(".h") ? analyse::dispatch_header(table, series)
                                                  : analyse::dispatch_json(table, series);
  if (const Status done = write_file_atomically(table_, text); !done) {
    return fail(context, done.error());
  }
  if (!json_) context.out << fmt::format("{}: {} entries\n", table_, table.entries.size());
  return ExitCode::good;
}

ExitCode RecommendCommand::execute(const Context& context) {
  const std::string help = "'attnbench recommend --help' shows what is accepted";
  const auto asked = request();
  if (!asked) return fail(context, asked.error(), help);
  const auto wanted = axes();
  if (!wanted) return fail(context, wanted.error(), help);
  const auto run = read_stored_run(run_);
  if (!run) return fail(context, run.error(), "give the folder of a run, or its summary.csv");
  for (const std::string& warning : run->warnings) warn(context, warning);
  const std::vector<analyse::Series> series = analyse::group_series(run->records, run->samples);
  if (!table_.empty()) {
    const ExitCode code = write_table(context, series, *asked, *wanted);
    if (code != ExitCode::good || seq_.empty()) return code;
  }
  return answer(context, series, *asked, *wanted);
}

}  // namespace

std::unique_ptr<Command> make_recommend_command() { return std::make_unique<RecommendCommand>(); }

}  // namespace attnbench::cli

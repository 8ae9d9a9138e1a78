#include "cli/gate_aa.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "analyse/clopper_pearson.h"
#include "record/files.h"
#include "record/json_text.h"

namespace attnbench::cli {
namespace {

/// Null gates needed to claim a rate below 1% when none fails.
constexpr int kNeededForOnePercent = 299;

std::string share_text(std::int64_t hits, std::int64_t trials) {
  const auto interval = analyse::clopper_pearson(hits, trials);
  return fmt::format(
      "{} of {} ({:.1f}%; 95% interval {:.2f}..{:.2f}%)", hits, trials,
      trials > 0 ? 100.0 * static_cast<double>(hits) / static_cast<double>(trials) : 0.0,
      100 * interval.low, 100 * interval.high);
}

}  // namespace

std::string null_gate_line(const NullGate& gate, const std::string& setup) {
  const OrderedJson json = {{"setup", setup},
                            {"exit_code", gate.exit_code},
                            {"outcome", gate.outcome},
                            {"elapsed_s", gate.elapsed_s},
                            {"launch_spread", gate.launch_spread}};
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace) + "\n";
}

Result<std::vector<NullGate>> read_null_gates(const std::string& path, const std::string& setup) {
  std::vector<NullGate> gates;
  if (!std::filesystem::exists(path)) return gates;
  const auto text = read_file(path);
  if (!text) return text.error();
  std::size_t start = 0;
  for (std::size_t end = 0; (end = text->find('\n', start)) != std::string::npos; start = end + 1) {
    const OrderedJson line = OrderedJson::parse(text->substr(start, end - start), nullptr, false);
    if (!line.is_object() || !line.contains("exit_code")) continue;
    try {
      if (line.at("setup").get<std::string>() != setup) {
        return usage_error(path +
                           " has gates of another build or configuration; choose another --out");
      }
      gates.push_back({line.at("exit_code").get<int>(), line.at("outcome").get<std::string>(),
                       line.at("elapsed_s").get<double>(), line.at("launch_spread").get<double>()});
    } catch (const OrderedJson::exception& thrown) {
      return io_error(path + ": " + thrown.what());
    }
  }
  return gates;
}

CheckReport aa_report(const std::vector<NullGate>& gates, const CheckSide& build, int wanted) {
  CheckReport report;
  report.kind = CheckKind::gate_aa;
  report.title = fmt::format("gate {} against itself", build.label);
  report.base = report.head = build;
  std::map<int, std::int64_t> codes;
  double elapsed_s = 0;
  for (const NullGate& gate : gates) {
    ++codes[gate.exit_code];
    elapsed_s += gate.elapsed_s;
  }
  const auto trials = static_cast<std::int64_t>(gates.size());
  const std::int64_t false_alarms = codes[1];
  const double bound = analyse::clopper_pearson_upper(false_alarms, trials);
  const bool finished = trials >= wanted;
  report.outcome = fmt::format("{}{} false alarms in {} gates: below {:.2f}% with 95% confidence",
                               finished ? "" : "UNFINISHED: ", false_alarms, trials, 100 * bound);
  report.summary = {"Failed, though nothing changed: " + share_text(codes[1], trials) + ".",
                    "A/A control tripped: " + share_text(codes[4], trials) + ".",
                    "Inconclusive: " + share_text(codes[3], trials) + ".",
                    "Passed: " + share_text(codes[0], trials) + "."};
  if (false_alarms == 0 && trials < kNeededForOnePercent) {
    report.summary.push_back(fmt::format(
        "{} gates without a false alarm would show a rate below 1%.", kNeededForOnePercent));
  }
  report.figures = {{"gates", static_cast<double>(trials)},
                    {"false_alarms", static_cast<double>(false_alarms)},
                    {"false_alarm_bound", bound},
                    {"tripped", static_cast<double>(codes[4])},
                    {"inconclusive", static_cast<double>(codes[3])},
                    {"passed", static_cast<double>(codes[0])},
                    {"elapsed_s", elapsed_s}};
  return report;
}

}  // namespace attnbench::cli

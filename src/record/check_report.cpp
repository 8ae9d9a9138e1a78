#include "record/check_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "record/files.h"

namespace attnbench {

std::string_view to_string(CheckKind kind) {
  switch (kind) {
    case CheckKind::compare:
      return "compare";
    case CheckKind::gate_ab:
      return "gate ab";
    case CheckKind::gate_aa:
      return "gate aa";
    case CheckKind::exact:
      break;
  }
  return "exact";
}

std::string_view to_string(CheckVerdict verdict) {
  switch (verdict) {
    case CheckVerdict::regression:
      return "regression";
    case CheckVerdict::failed:
      return "failed";
    case CheckVerdict::missing:
      return "missing";
    case CheckVerdict::unconfirmed:
      return "unconfirmed";
    case CheckVerdict::inconclusive:
      return "inconclusive";
    case CheckVerdict::accepted:
      return "accepted";
    case CheckVerdict::improved:
      return "improved";
    case CheckVerdict::added:
      return "new";
    case CheckVerdict::pass:
      break;
  }
  return "pass";
}

int exit_code_of(CheckVerdict verdict) {
  switch (verdict) {
    case CheckVerdict::regression:
    case CheckVerdict::failed:
    case CheckVerdict::missing:
      return 1;
    case CheckVerdict::unconfirmed:
    case CheckVerdict::inconclusive:
      return 3;
    default:
      return 0;
  }
}

int exit_code_of_rows(const CheckReport& report) {
  int worst = 0;
  for (const CheckRow& row : report.rows) {
    const int code = exit_code_of(row.verdict);
    if (code == 1) return 1;
    worst = std::max(worst, code);
  }
  return worst;
}

std::size_t count_rows(const CheckReport& report, CheckVerdict verdict) {
  return static_cast<std::size_t>(std::ranges::count(report.rows, verdict, &CheckRow::verdict));
}

std::vector<std::size_t> rows_by_severity(const CheckReport& report) {
  std::vector<std::size_t> order(report.rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return report.rows[i].verdict; });
  return order;
}

Status write_check_files(const CheckReport& report, const std::string& folder) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) return io_error(fmt::format("{}: {}", folder, failed.message()));
  const auto write = [&](const char* name, const std::string& text) {
    return write_file_atomically((std::filesystem::path(folder) / name).string(), text);
  };
  if (Status done = write("check.json", check_json(report)); !done) return done;
  if (Status done = write("check.md", check_markdown(report)); !done) return done;
  return write("check.xml", check_junit(report));
}

}  // namespace attnbench

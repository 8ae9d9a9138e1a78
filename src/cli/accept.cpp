#include "cli/accept.h"

#include <fmt/format.h>

#include <optional>

namespace attnbench::cli {
namespace {

std::string date_text(std::chrono::year_month_day date) {
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
}

std::string limit_text(const AcceptedSlowdown& entry) {
  return entry.missing ? "missing" : fmt::format("{:g}%", entry.limit * 100);
}

bool matches(const AcceptedSlowdown& entry, const CheckRow& row) {
  return glob_matches(entry.cell, row.label) && glob_matches(entry.metric, row.metric);
}

/// Whether the row says anything that would have to be accepted.
bool is_bad(const CheckRow& row) { return exit_code_of(row.verdict) != 0; }

bool covers(const AcceptedSlowdown& entry, const CheckRow& row) {
  switch (row.verdict) {
    case CheckVerdict::missing:
    case CheckVerdict::failed:
      return entry.missing;
    case CheckVerdict::regression: {
      // Rows without a ratio (growth exponents) have a base and a head.
      std::optional<double> ratio = row.ratio;
      if (!ratio && row.base && row.head && *row.base > 0) ratio = *row.head / *row.base;
      return !entry.missing && ratio && *ratio <= 1 + entry.limit;
    }
    default:
      return !entry.missing && row.upper && *row.upper <= 1 + entry.limit;
  }
}

/// What became of an entry.
struct Use {
  std::size_t matched = 0, covered = 0, beyond = 0;
};

void apply(std::span<const AcceptedSlowdown> entries, std::chrono::year_month_day today,
           std::vector<Use>& uses, CheckRow& row) {
  std::string beyond;
  bool accepted = false;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const AcceptedSlowdown& entry = entries[i];
    if (!matches(entry, row)) continue;
    ++uses[i].matched;
    if (accepted || !is_bad(row)) continue;
    if (entry.expires < today) {
      beyond = fmt::format("accepted up to {} until {} ({})", limit_text(entry),
                           date_text(entry.expires), entry.place);
      continue;
    }
    if (!covers(entry, row)) {
      ++uses[i].beyond;
      beyond = fmt::format("beyond the accepted {} ({})", limit_text(entry), entry.place);
      continue;
    }
    ++uses[i].covered;
    accepted = true;
    row.reason = fmt::format("{}, up to {} until {} ({}); was {}{}{}", entry.reason,
                             limit_text(entry), date_text(entry.expires), entry.place,
                             to_string(row.verdict), row.reason.empty() ? "" : ": ", row.reason);
    row.verdict = CheckVerdict::accepted;
  }
  if (accepted || beyond.empty()) return;
  row.reason += (row.reason.empty() ? "" : "; ") + beyond;
}

}  // namespace

std::chrono::year_month_day today_utc() {
  return std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
}

void apply_accepted(std::span<const AcceptedSlowdown> entries, std::chrono::year_month_day today,
                    CheckReport& report) {
  std::vector<Use> uses(entries.size());
  for (CheckRow& row : report.rows) apply(entries, today, uses, row);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const AcceptedSlowdown& entry = entries[i];
    const auto warn = [&](const std::string& what) {
      report.warnings.push_back(
          fmt::format("{}: accepted slowdown \"{}\" {}", entry.place, entry.cell, what));
    };
    if (entry.expires < today) {
      warn(fmt::format("expired on {} and accepts nothing; remove it or renew it",
                       date_text(entry.expires)));
    } else if (uses[i].matched == 0) {
      warn("matches no cell");
    } else if (uses[i].covered == 0 && uses[i].beyond == 0) {
      warn("is not needed any more");
    }
  }
}

Result<std::vector<AcceptedSlowdown>> accepted_of_flag(const std::string& path) {
  if (path.empty()) return std::vector<AcceptedSlowdown>{};
  return load_accepted_slowdowns(path);
}

}  // namespace attnbench::cli

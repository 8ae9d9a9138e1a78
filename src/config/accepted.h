// A file of accepted slowdowns: which cells may be slower than the margin, by how much, why, and
// until when. docs/ci.md describes it.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "attention/result.h"

namespace attnbench {

/// One [[accept]] table.
struct AcceptedSlowdown {
  std::string cell;             ///< Pattern of cell labels: * is any text, ? one character.
  std::string metric = "time";  ///< Pattern of metrics.
  double limit = 0;             ///< Accepted up to this slowdown: 0.08 is 8%.
  bool missing = false;         ///< limit = "missing": the cell may be absent or fail.
  std::string reason;
  std::chrono::year_month_day expires;  ///< The last day on which it holds.
  std::string place;                    ///< "accepted.toml:3:1".
};

/// Reads the file. Errors name file:line:column, what was given and what is accepted (usage), or
/// the file that cannot be read (io).
Result<std::vector<AcceptedSlowdown>> load_accepted_slowdowns(const std::string& path);
/// The same for text; `name` stands for the file in messages.
Result<std::vector<AcceptedSlowdown>> parse_accepted_slowdowns(std::string_view text,
                                                               std::string_view name);

/// Whether the whole text matches: * stands for any text, also none, ? for one character.
bool glob_matches(std::string_view pattern, std::string_view text);

}  // namespace attnbench

// Lays a file of accepted slowdowns over the rows of a check.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <vector>

#include "config/accepted.h"
#include "record/check_report.h"

namespace attnbench::cli {

/// Today, UTC.
std::chrono::year_month_day today_utc();

/// Turns rows into `accepted` that an entry covers: a regression whose ratio, or an inconclusive or
/// unconfirmed row whose upper bound, is within the entry's limit; missing and failed cells under
/// limit = "missing". The first entry in the file that covers a row is used. Warns of entries that
/// have expired (they accept nothing), that match no cell, and that no cell needs any more. The
/// caller works out outcome and exit code afterwards.
void apply_accepted(std::span<const AcceptedSlowdown> entries, std::chrono::year_month_day today,
                    CheckReport& report);

/// The flag --accept: the entries of the file; none for an empty path.
Result<std::vector<AcceptedSlowdown>> accepted_of_flag(const std::string& path);

}  // namespace attnbench::cli

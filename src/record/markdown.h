// Records for people: scaled units, one line per case.
#pragma once

#include <span>
#include <string>

#include "record/record.h"

namespace attnbench {

/// Aligned plain text (ASCII apart from what the records hold): a line with what all rows share,
/// then variant, params, N, the axes that vary, median time with half its 95% interval, GF/s of
/// performed work, percent of the roofline, workspace, error against softmax attention (or, marked
/// "def", against the variant's own definition), and status with reason.
std::string console_table(std::span<const Record> records);

/// The same with more columns as a GitHub Markdown table; what summary.md holds.
std::string markdown_table(std::span<const Record> records);

/// `value` with `digits` significant digits, without an exponent between 1e-4 and 1e9: "0.0123".
std::string significant(double value, int digits);
/// "1.50 KiB", "12.0 MiB", "0 B".
std::string bytes_text(double bytes);

}  // namespace attnbench

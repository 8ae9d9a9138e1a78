#include "record/record.h"

#include <fmt/format.h>

#include "attention/hash.h"
#include "record/schema.h"

namespace attnbench {

std::string_view to_string(RowStatus status) {
  switch (status) {
    case RowStatus::ok:
      return "ok";
    case RowStatus::skipped:
      return "skipped";
    case RowStatus::failed:
      return "failed";
    case RowStatus::timeout:
      return "timeout";
    case RowStatus::out_of_memory:
      return "out-of-memory";
  }
  return "";
}

std::string_view to_string(StopReason reason) {
  switch (reason) {
    case StopReason::none:
      return "";
    case StopReason::precision:
      return "precision";
    case StopReason::budget:
      return "budget";
    case StopReason::max_samples:
      return "max-samples";
  }
  return "";
}

Result<RowStatus> parse_row_status(std::string_view text) {
  for (RowStatus status : {RowStatus::ok, RowStatus::skipped, RowStatus::failed, RowStatus::timeout,
                           RowStatus::out_of_memory}) {
    if (text == to_string(status)) return status;
  }
  return io_error("expected ok, skipped, failed, timeout or out-of-memory");
}

Result<StopReason> parse_stop_reason(std::string_view text) {
  for (StopReason reason :
       {StopReason::none, StopReason::precision, StopReason::budget, StopReason::max_samples}) {
    if (text == to_string(reason)) return reason;
  }
  return io_error("expected precision, budget, max-samples, or nothing");
}

std::string CaseAxes::case_id() const {
  Record row;
  row.axes = *this;
  std::string text;
  for (const auto& column : axis_columns()) {
    if (!text.empty()) text += '\x1f';
    text += cell_text(column, column.get(row));
  }
  return hex16(fnv1a64(text));
}

std::string Record::case_id() const {
  return stored_case_id.empty() ? axes.case_id() : stored_case_id;
}

}  // namespace attnbench

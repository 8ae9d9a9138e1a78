// A check report as JSON.
#include <cmath>

#include "record/check_report.h"
#include "record/json_text.h"

namespace attnbench {
namespace {

constexpr int kCheckSchemaVersion = 1;

OrderedJson number(const std::optional<double>& value) {
  return value && std::isfinite(*value) ? OrderedJson(*value) : OrderedJson(nullptr);
}

OrderedJson side_json(const CheckSide& side) {
  return {{"label", side.label}, {"detail", side.detail}};
}

OrderedJson row_json(const CheckRow& row) {
  OrderedJson json = OrderedJson::object();
  json["verdict"] = to_string(row.verdict);
  json["cell"] = row.label;
  json["case_id"] = row.case_id;
  json["variant"] = row.variant;
  json["params"] = row.params;
  json["problem"] = row.problem;
  json["threads"] = row.threads;
  json["metric"] = row.metric;
  json["unit"] = row.unit;
  json["base"] = number(row.base);
  json["head"] = number(row.head);
  json["ratio"] = number(row.ratio);
  json["ratio_low"] = number(row.low);
  json["ratio_high"] = number(row.high);
  json["ratio_upper"] = number(row.upper);
  json["p_value"] = number(row.p_value);
  json["detectable_ratio"] = number(row.detectable);
  json["reason"] = row.reason;
  return json;
}

OrderedJson control_json(const CheckControl& control) {
  return {{"name", control.name},
          {"as_expected", control.as_expected},
          {"ratio", number(control.ratio)},
          {"ratio_low", number(control.low)},
          {"ratio_high", number(control.high)},
          {"detail", control.detail}};
}

OrderedJson facts_json(const CheckReport& report) {
  OrderedJson json = OrderedJson::object();
  json["schema_version"] = kCheckSchemaVersion;
  json["kind"] = to_string(report.kind);
  json["title"] = report.title;
  json["outcome"] = report.outcome;
  json["exit_code"] = report.exit_code;
  json["base"] = side_json(report.base);
  json["head"] = side_json(report.head);
  json["figures"] = OrderedJson::object();
  for (const auto& [name, value] : report.figures) json["figures"][name] = number(value);
  json["controls"] = OrderedJson::array();
  for (const CheckControl& each : report.controls) json["controls"].push_back(control_json(each));
  json["summary"] = report.summary;
  json["warnings"] = report.warnings;
  return json;
}

}  // namespace

std::string check_json(const CheckReport& report) {
  // Rows go out one by one: a document of a million rows would need gigabytes.
  std::string text = dump_json(facts_json(report));
  text.erase(text.find_last_not_of("}\n") + 1);
  text += ",\n  \"rows\": [";
  for (std::size_t i = 0; i < report.rows.size(); ++i) {
    text += i == 0 ? "\n    " : ",\n    ";
    text += row_json(report.rows[i]).dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
  }
  return text + (report.rows.empty() ? "]\n}\n" : "\n  ]\n}\n");
}

}  // namespace attnbench

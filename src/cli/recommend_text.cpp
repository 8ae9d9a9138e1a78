#include "cli/recommend_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/report.h"
#include "cli/text_table.h"
#include "record/markdown.h"

namespace attnbench::cli {
namespace {

using analyse::Estimate;
using analyse::Recommendation;
using analyse::Request;
using analyse::Series;
using Align = TextTable::Align;
using Json = nlohmann::ordered_json;

/// The estimate's standing: measured there, or how it was come by.
const char* basis(const Estimate& estimate) {
  if (estimate.measured) return "measured";
  return estimate.extrapolated ? "extrapolated" : "interpolated";
}

std::string candidates_table(const std::vector<Series>& series, const Recommendation& found) {
  TextTable table({{"variant"},
                   {"time", Align::right},
                   {"95% interval"},
                   {"basis"},
                   {"exactness"},
                   {"error", Align::right},
                   {"workspace", Align::right}});
  for (const Estimate& each : found.accepted) {
    table.add({series[each.series].name(), duration_text(each.time_s),
               fmt::format("{} .. {}", duration_text(each.time_interval.low),
                           duration_text(each.time_interval.high)),
               basis(each), series[each.series].axes.exactness,
               each.error ? fmt::format("{:.2g}", *each.error) : "-",
               each.workspace_bytes ? bytes_text(*each.workspace_bytes) : "-"});
  }
  return table.text(2);
}

Json estimate_json(const std::vector<Series>& series, const Estimate& estimate) {
  const auto number = [](const std::optional<double>& value) {
    return value ? Json(*value) : Json(nullptr);
  };
  const CaseAxes& axes = series[estimate.series].axes;
  return {{"variant", axes.variant},
          {"params", axes.params},
          {"exactness", axes.exactness},
          {"time_s", estimate.time_s},
          {"ci_low_s", estimate.time_interval.low},
          {"ci_high_s", estimate.time_interval.high},
          {"basis", basis(estimate)},
          {"error_rel_l2", number(estimate.error)},
          {"error_mean_v", number(estimate.error_mean_v)},
          {"workspace_bytes", number(estimate.workspace_bytes)}};
}

std::string margin_sentence(const std::vector<Series>& series, const Recommendation& found) {
  if (found.accepted.size() < 2) return "nothing else comes into question";
  const auto interval = *found.margin_interval();
  return fmt::format("next is {}, {:.2f} times as long [{:.2f}, {:.2f}]{}",
                     series[found.accepted[1].series].name(), *found.margin(), interval.low,
                     interval.high,
                     interval.low < 1 ? ": the measurements do not tell them apart" : "");
}

}  // namespace

std::string recommendation_text(const std::vector<Series>& series, const Recommendation& found,
                                const Request& request) {
  const Estimate& best = found.accepted.front();
  const Series& winner = series[best.series];
  std::string out =
      fmt::format("{}, T={}, N={}\n", winner.problem, winner.axes.threads, request.seq);
  out += fmt::format("  {}: {} ({})\n", winner.name(), duration_text(best.time_s), basis(best));
  out += fmt::format("  {}\n", margin_sentence(series, found));
  if (winner.axes.exactness == "exact-under-mask") {
    out += "  it attends under its own mask: the error is against softmax attention under it\n";
  }
  if (best.error && best.error_mean_v && *best.error >= *best.error_mean_v) {
    out += fmt::format(
        "  its error of {:.2g} is not below that of answering mean(V), {:.2g}: set --max-error\n",
        *best.error, *best.error_mean_v);
  }
  if (winner.axes.exactness != "exact") {
    const auto exact = std::ranges::find_if(found.accepted, [&](const Estimate& each) {
      return series[each.series].axes.exactness == "exact";
    });
    if (exact != found.accepted.end()) {
      out += fmt::format("  fastest exact one: {}, {}\n", series[exact->series].name(),
                         duration_text(exact->time_s));
    }
  }
  out += "\n" + candidates_table(series, found);
  for (const Estimate& each : found.rejected) {
    if (&each == &found.rejected.front()) out += "\nNot in question\n";
    out += fmt::format("  {}: {}\n", series[each.series].name(), each.rejected);
  }
  return out;
}

std::string recommendation_json(const std::vector<Series>& series, const Recommendation& found,
                                const Request& request) {
  Json json;
  json["seq"] = request.seq;
  const std::vector<Estimate>& any = found.accepted.empty() ? found.rejected : found.accepted;
  json["problem"] = any.empty() ? Json(nullptr) : Json(series[any.front().series].problem);
  json["threads"] = any.empty() ? Json(nullptr) : Json(series[any.front().series].axes.threads);
  json["variant"] = nullptr;
  json["params"] = nullptr;
  json["margin"] = nullptr;
  json["margin_ci_low"] = nullptr;
  json["margin_ci_high"] = nullptr;
  if (!found.accepted.empty()) {
    json["variant"] = series[found.accepted.front().series].axes.variant;
    json["params"] = series[found.accepted.front().series].axes.params;
  }
  if (const auto margin = found.margin()) {
    json["margin"] = *margin;
    json["margin_ci_low"] = found.margin_interval()->low;
    json["margin_ci_high"] = found.margin_interval()->high;
  }
  json["candidates"] = Json::array();
  for (const Estimate& each : found.accepted) {
    json["candidates"].push_back(estimate_json(series, each));
  }
  json["rejected"] = Json::array();
  for (const Estimate& each : found.rejected) {
    const CaseAxes& axes = series[each.series].axes;
    json["rejected"].push_back(
        {{"variant", axes.variant}, {"params", axes.params}, {"reason", each.rejected}});
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string measured_text(const std::vector<Series>& series) {
  std::vector<std::string> order;
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> ranges;
  for (const Series& each : series) {
    if (each.points.empty()) continue;
    const std::string what = fmt::format("{}, T={}", each.problem, each.axes.threads);
    const std::int64_t least = each.points.front().seq, most = each.points.back().seq;
    const auto [place, fresh] = ranges.try_emplace(what, least, most);
    if (fresh) order.push_back(what);
    place->second = {std::min(place->second.first, least), std::max(place->second.second, most)};
  }
  std::string out;
  for (const std::string& what : order) {
    const auto [least, most] = ranges[what];
    out += least == most ? fmt::format("  {}: N {}\n", what, least)
                         : fmt::format("  {}: N from {} to {}\n", what, least, most);
  }
  return out.empty() ? "  nothing\n" : out;
}

}  // namespace attnbench::cli

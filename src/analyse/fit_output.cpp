#include "analyse/fit_output.h"

#include <cmath>
#include <vector>

#include "record/csv.h"
#include "record/json_text.h"

namespace attnbench::analyse {
namespace {

/// Six significant digits: nothing here is known better, and files stay readable.
double rounded(double value) {
  if (value == 0 || !std::isfinite(value)) return value;
  const double scale = std::pow(10, 5 - std::floor(std::log10(std::abs(value))));
  return std::isfinite(scale) && scale > 0 ? std::round(value * scale) / scale : value;
}

OrderedJson number(double value) {
  if (std::isnan(value)) return nullptr;
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return rounded(value);
}
OrderedJson number(const std::optional<double>& value) {
  return value ? number(*value) : OrderedJson(nullptr);
}
OrderedJson text_or_null(const std::string& text) {
  return text.empty() ? OrderedJson(nullptr) : OrderedJson(text);
}

void add_interval(OrderedJson& json, const std::string& low, const std::string& high,
                  const std::optional<Interval>& interval) {
  json[low] = interval ? number(interval->low) : OrderedJson(nullptr);
  json[high] = interval ? number(interval->high) : OrderedJson(nullptr);
}

OrderedJson cost_json(const CostAgreement& cost) {
  OrderedJson json;
  json["column"] = cost.column;
  json["c"] = number(cost.c);
  json["a"] = number(cost.a);
  json["residual_rms"] = number(cost.residual_rms);
  json["residual_max"] = number(cost.residual_max);
  json["power"] = number(cost.power);
  add_interval(json, "power_ci_low", "power_ci_high", cost.power_interval);
  json["last_exponent"] = number(cost.last_exponent);
  json["last_growing_exponent"] = number(cost.last_growing_exponent);
  json["verdict"] = to_string(cost.verdict);
  return json;
}

OrderedJson curve_json(const std::optional<PowerCurve>& curve) {
  if (!curve) return nullptr;
  return {{"exponent", number(curve->p)}, {"c", number(curve->c)}, {"a", number(curve->a)}};
}

OrderedJson growth_json(const Growth& growth) {
  OrderedJson json;
  json["exponent"] = number(growth.exponent);
  add_interval(json, "ci_low", "ci_high", growth.exponent_interval);
  json["law"] = growth.law;
  json["law_weight"] = growth.ranking.empty() ? OrderedJson(nullptr) : number(growth.law_weight);
  json["declared"] = text_or_null(growth.declared);
  json["verdict"] = to_string(growth.verdict);
  json["note"] = text_or_null(growth.note);
  json["lengths"] = growth.lengths;
  json["seq_min"] = number(growth.n_min);
  json["seq_max"] = number(growth.n_max);
  json["c"] = growth.exponent ? number(growth.c) : OrderedJson(nullptr);
  json["a"] = growth.exponent ? number(growth.a) : OrderedJson(nullptr);
  json["curve_at_low"] = curve_json(growth.curve_at_low);
  json["curve_at_high"] = curve_json(growth.curve_at_high);
  json["residual_rms"] = growth.exponent ? number(growth.residual_rms) : OrderedJson(nullptr);
  json["candidates"] = OrderedJson::array();
  for (const RankedLaw& law : growth.candidates()) {
    json["candidates"].push_back({{"law", law.law.text()},
                                  {"weight", number(law.weight)},
                                  {"aicc", number(law.aicc)},
                                  {"residual_rms", number(law.residual_rms)}});
  }
  json["cost"] = growth.cost ? cost_json(*growth.cost) : OrderedJson(nullptr);
  json["local_exponents"] = OrderedJson::array();
  for (const LocalExponent& local : growth.local) {
    json["local_exponents"].push_back({{"seq_low", number(local.n_low)},
                                       {"seq_high", number(local.n_high)},
                                       {"exponent", number(local.exponent)},
                                       {"ci_low", number(local.interval.low)},
                                       {"ci_high", number(local.interval.high)}});
  }
  json["breaks"] = OrderedJson::array();
  for (const Break& each : growth.breaks) {
    json["breaks"].push_back({{"seq_low", number(each.n_low)},
                              {"seq_high", number(each.n_high)},
                              {"factor", number(each.factor)},
                              {"level", text_or_null(each.level)}});
  }
  return json;
}

/// The axes that series share or differ in, as in summary.csv; the swept lengths are null.
OrderedJson axes_json(const Series& series) {
  const CaseAxes& axes = series.axes;
  OrderedJson json;
  json["mode"] = axes.mode;
  json["pass"] = axes.pass;
  json["dtype"] = axes.dtype;
  json["layout"] = axes.layout;
  json["isa"] = axes.isa;
  json["input"] = axes.input;
  json["mask"] = axes.mask;
  json["position"] = axes.position;
  json["cache"] = axes.cache;
  json["batch"] = axes.batch;
  json["heads_q"] = axes.heads_q;
  json["heads_kv"] = axes.heads_kv;
  json["seq_q"] = series.swept == "seq_k" ? OrderedJson(axes.seq_q) : OrderedJson(nullptr);
  json["seq_k"] = series.swept == "seq_q" ? OrderedJson(axes.seq_k) : OrderedJson(nullptr);
  json["dim_qk"] = axes.dim_qk;
  json["dim_v"] = axes.dim_v;
  json["causal"] = axes.causal;
  return json;
}

OrderedJson series_json(const Series& series, const SeriesFit& fit) {
  OrderedJson json;
  json["variant"] = series.axes.variant;
  json["params"] = series.axes.params;
  json["threads"] = series.axes.threads;
  json["problem"] = series.problem;
  json["family"] = series.axes.family;
  json["exactness"] = series.axes.exactness;
  json["axes"] = axes_json(series);
  json["seq"] = OrderedJson::array();
  for (const SeriesPoint& point : series.points) json["seq"].push_back(point.seq);
  json["not_measured"] = OrderedJson::array();
  for (const Gap& gap : series.gaps) {
    json["not_measured"].push_back(
        {{"seq", gap.seq}, {"status", std::string(to_string(gap.status))}, {"reason", gap.reason}});
  }
  json["time"] = growth_json(fit.time);
  json["workspace"] = growth_json(fit.workspace);
  return json;
}

OrderedJson crossover_json(const FitReport& report, const Crossover& crossover) {
  const Series &a = report.series[crossover.a], &b = report.series[crossover.b];
  OrderedJson json;
  json["a"] = a.axes.variant;
  json["a_params"] = a.axes.params;
  json["b"] = b.axes.variant;
  json["b_params"] = b.axes.params;
  json["threads"] = a.axes.threads;
  json["problem"] = a.problem;
  json["seq"] = number(crossover.seq);
  json["ci_low"] = number(crossover.ci_low);
  json["ci_high"] = number(crossover.ci_high);
  json["verdict"] = to_string(crossover.verdict);
  json["found_share"] = number(crossover.found_share);
  json["seq_min"] = crossover.seq_min;
  json["seq_max"] = crossover.seq_max;
  json["ratio_at_min"] = number(crossover.ratio_at_min);
  json["ratio_at_max"] = number(crossover.ratio_at_max);
  return json;
}

OrderedJson scaling_json(const Scaling& scaling) {
  OrderedJson json;
  const ThreadPoint& most = scaling.points.back();
  json["variant"] = scaling.variant;
  json["params"] = scaling.params;
  json["problem"] = scaling.problem;
  json["seq"] = scaling.seq;
  json["threads"] = most.threads;
  json["speedup"] = number(most.speedup);
  json["speedup_ci_low"] = number(most.speedup_interval.low);
  json["speedup_ci_high"] = number(most.speedup_interval.high);
  json["efficiency"] = number(most.efficiency);
  json["machine_ratio"] = number(most.machine_ratio);
  json["machine_basis"] = scaling.machine_basis;
  json["of_machine"] = number(most.of_machine);
  json["serial_fraction"] = number(scaling.serial_fraction);
  add_interval(json, "serial_fraction_ci_low", "serial_fraction_ci_high", scaling.serial_interval);
  json["best_threads"] = scaling.best_threads;
  json["points"] = OrderedJson::array();
  for (const ThreadPoint& point : scaling.points) {
    json["points"].push_back({{"threads", point.threads},
                              {"time_s", number(point.time_s)},
                              {"speedup", number(point.speedup)},
                              {"ci_low", number(point.speedup_interval.low)},
                              {"ci_high", number(point.speedup_interval.high)},
                              {"efficiency", number(point.efficiency)},
                              {"machine_ratio", number(point.machine_ratio)}});
  }
  return json;
}

OrderedJson pareto_json(const FitReport& report, const ParetoGroup& group) {
  OrderedJson json;
  json["problem"] = group.problem;
  json["input"] = group.input;
  json["seq"] = group.seq;
  json["threads"] = group.threads;
  json["points"] = OrderedJson::array();
  for (const ParetoPoint& point : group.points) {
    const CaseAxes& axes = report.series[point.series].axes;
    json["points"].push_back({{"variant", axes.variant},
                              {"params", axes.params},
                              {"exactness", axes.exactness},
                              {"time_s", number(point.time_s)},
                              {"error_rel_l2", number(point.error)},
                              {"on_front", point.on_front},
                              {"on_dense_front", point.on_dense_front}});
  }
  return json;
}

std::string cell(const std::optional<double>& value) {
  return value ? format_real(rounded(*value)) : "";
}

void append_growth(std::string& out, const Series& series, const char* quantity,
                   const Growth& growth) {
  const auto& interval = growth.exponent_interval;
  const auto cost = [&](double CostAgreement::*field) {
    return growth.cost ? format_real(rounded((*growth.cost).*field)) : std::string();
  };
  append_csv_row(
      out, std::vector<std::string>{
               series.axes.variant, series.axes.params, std::to_string(series.axes.threads),
               series.problem, quantity, std::to_string(growth.lengths), format_real(growth.n_min),
               format_real(growth.n_max), cell(growth.exponent),
               interval ? cell(interval->low) : "", interval ? cell(interval->high) : "",
               growth.law, growth.ranking.empty() ? "" : cell(growth.law_weight), growth.declared,
               std::string(to_string(growth.verdict)), growth.cost ? growth.cost->column : "",
               cost(&CostAgreement::power), cost(&CostAgreement::residual_rms), growth.note});
}

}  // namespace

std::string fit_json(const FitReport& report) {
  OrderedJson json;
  for (const char* key : {"series", "crossovers", "scaling", "pareto"}) {
    json[key] = OrderedJson::array();
  }
  for (std::size_t i = 0; i < report.series.size(); ++i) {
    json["series"].push_back(series_json(report.series[i], report.fits[i]));
  }
  for (const Crossover& crossover : report.crossovers) {
    json["crossovers"].push_back(crossover_json(report, crossover));
  }
  for (const Scaling& scaling : report.scaling) json["scaling"].push_back(scaling_json(scaling));
  for (const ParetoGroup& group : report.pareto) {
    json["pareto"].push_back(pareto_json(report, group));
  }
  return dump_json(json);
}

std::string fit_csv(const FitReport& report) {
  std::string out;
  append_csv_row(
      out, std::vector<std::string>{"variant", "params", "threads", "problem", "quantity",
                                    "lengths", "seq_min", "seq_max", "exponent", "ci_low",
                                    "ci_high", "law", "law_weight", "declared", "verdict",
                                    "cost_column", "cost_power", "cost_residual_rms", "note"});
  for (std::size_t i = 0; i < report.series.size(); ++i) {
    append_growth(out, report.series[i], "time", report.fits[i].time);
    append_growth(out, report.series[i], "workspace", report.fits[i].workspace);
  }
  return out;
}

}  // namespace attnbench::analyse

// attnbench describe: one variant, and what it costs at a shape.
#include <fmt/format.h>

#include <ostream>

#include "cli/command.h"
#include "cli/config_flags.h"
#include "cli/data_files.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/text_table.h"
#include "cli/variant_json.h"
#include "kernels/arena.h"
#include "measure/environment.h"
#include "plan/plan.h"
#include "record/markdown.h"

namespace attnbench::cli {
namespace {

nlohmann::ordered_json case_json(const Case& cell) {
  nlohmann::ordered_json json{{"problem", cell.problem.describe()},
                              {"batch", cell.problem.batch},
                              {"heads_q", cell.problem.heads_q},
                              {"heads_kv", cell.problem.heads_kv},
                              {"seq_q", cell.problem.seq_q},
                              {"seq_k", cell.problem.seq_k},
                              {"dim_qk", cell.problem.dim_qk},
                              {"dim_v", cell.problem.dim_v},
                              {"causal", cell.problem.causal},
                              {"threads", cell.threads},
                              {"params", cell.params.all()},
                              {"position", std::string(to_string(cell.problem.position))},
                              {"sink", !cell.problem.sink.empty()}};
  if (cell.problem.softcap) json["softcap"] = *cell.problem.softcap;
  if (cell.skip) {
    json["unsupported"] = *cell.skip;
    return json;
  }
  json["time_law"] = cell.laws.time;
  json["workspace_law"] = cell.laws.workspace;
  json["performed_flops"] = cell.cost.performed_flops;
  json["exp_count"] = cell.cost.exp_count;
  json["min_bytes"] = cell.cost.min_bytes;
  json["traffic_bytes"] = cell.cost.traffic_bytes;
  json["workspace_bytes"] = cell.cost.workspace_bytes;
  if (cell.cost.attention_flops) json["attention_flops"] = *cell.cost.attention_flops;
  if (cell.cost.useful_flops) json["useful_flops"] = *cell.cost.useful_flops;
  return json;
}

std::string positions_text(const ScoreOptions& takes) {
  std::string text = "none";
  for (const Position position : takes.positions) text += fmt::format(", {}", to_string(position));
  return text + " (--position)";
}

std::string logits_text(const ScoreOptions& takes) {
  if (!takes.softcap && !takes.sink) return "no softcap, no sink";
  return fmt::format("{}softcap, {}sink (--softcap, --sink)", takes.softcap ? "" : "no ",
                     takes.sink ? "" : "no ");
}

std::string masks_text(const VariantInfo& info) {
  if (info.takes_mask) return "from files (--mask)";
  return fmt::format("none from files{}{}", info.mask_refusal.empty() ? "" : ": ",
                     info.mask_refusal);
}

void print_info(std::ostream& out, const VariantInfo& info) {
  constexpr int kIndent = 12;
  const auto line = [&](const char* title, const std::string& text) {
    out << fmt::format("{:<{}}", title, kIndent) << wrapped(text, kHelpColumns - kIndent, kIndent)
        << '\n';
  };
  out << info.name << ": " << info.summary << "\n\n";
  line("family", info.family);
  line("exactness", std::string(to_string(info.exactness)));
  line("formula", info.formula);
  line("source", info.source);
  line("growth", fmt::format("time {}, workspace {} (in N, default parameters)", info.laws.time,
                             info.laws.workspace));
  line("scale", info.has_scale ? "accepted (--scale); default 1/sqrt(D) unless the formula differs"
                               : "not accepted");
  line("positions", positions_text(info.takes));
  line("logits", logits_text(info.takes));
  line("masks", masks_text(info));
  line("weights", info.has_dense_weights ? "eval --weights writes them" : "not defined");
  if (!info.params.empty()) {
    out << "\nParameters (--param NAME=VALUE)\n";
    TextTable table({{"name"}, {"default"}, {"accepted"}, {"meaning"}});
    for (const ParamSpec& spec : info.params) {
      table.add({spec.name, spec.default_text, spec.accepted(), spec.meaning});
    }
    out << table.text(2);
  }
  if (!info.aux.empty()) {
    out << "\nAuxiliary tensors (eval --aux NAME=FILE.npy)\n";
    TextTable table({{"name"}, {"shape"}, {"type"}, {"meaning"}});
    for (const AuxSpec& spec : info.aux) {
      table.add({spec.name, spec.shape, spec.is_integer ? "integer" : "float32", spec.meaning});
    }
    out << table.text(2);
  }
}

/// The share of a whole layer's FLOPs that is attention.
std::string attention_text(const Cost& cost) {
  if (!cost.attention_flops) return "-";
  return fmt::format("{:.0f}%", 100 * *cost.attention_flops / cost.performed_flops);
}

void print_costs(std::ostream& out, const SweepPlan& plan) {
  using Align = TextTable::Align;
  TextTable table({{"problem"},
                   {"parameters"},
                   {"threads", Align::right},
                   {"FLOP", Align::right},
                   {"dense FLOP", Align::right},
                   {"exp", Align::right},
                   {"traffic", Align::right},
                   {"workspace", Align::right},
                   {"attention", Align::right}});
  for (const Case& cell : plan.cases) {
    if (cell.skip) continue;
    const Cost& cost = cell.cost;
    const std::string params = cell.params.canonical();
    table.add({cell.problem.describe(), params.empty() ? "-" : params, std::to_string(cell.threads),
               count_text(cost.performed_flops),
               cost.useful_flops ? count_text(*cost.useful_flops) : "-", count_text(cost.exp_count),
               bytes_text(cost.traffic_bytes),
               bytes_text(static_cast<double>(cost.workspace_bytes)), attention_text(cost)});
  }
  if (!table.empty()) out << "\nCost of one call\n" << table.text(2);
  for (const Case& cell : plan.cases) {
    if (cell.skip) {
      out << "\nNot available for " << cell.problem.describe() << ": " << *cell.skip << '\n';
    }
  }
}

class DescribeCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_option("VARIANT", name_, "One of 'attnbench list'.")->required()->group("Variant");
    shape_.set_default("seq", "1k");
    shape_.set_default("threads", "1");
    shape_.declare(
        app, "Shape of the cost table",
        {"shape", "seq", "seq-k", "mode", "seq-q", "batch", "heads", "kv-heads", "dim", "dim-v",
         "causal", "position", "rope-pairs", "rope-base", "softcap", "sink", "threads", "scale"});
    shape_.declare_params(app, "Shape of the cost table");
    app.add_flag("--json", json_, "Print JSON.")->group("Output");
    app.footer(std::string(kListGrammar) +
               "\n\nExamples:\n"
               "  attnbench describe flash\n"
               "  attnbench describe local --seq 1k:64k:x4 --causal --param left=256\n"
               "  attnbench describe performer --seq 4096 --heads 16 --dim 128 --json");
  }

  ExitCode execute(const Context& context) override {
    const Variant* variant = context.registry.find(name_);
    if (variant == nullptr) {
      const auto selected = context.registry.select(name_);
      const std::string hint = "'attnbench list' shows all variants; describe takes one name";
      if (!selected) return fail(context, selected.error(), hint);
      return fail_usage(context,
                        fmt::format("describe: '{}' is not the name of one variant", name_), hint);
    }
    FlagTexts texts = shape_.texts();
    texts["variants"] = name_;
    // A shape has lengths of its own.
    if (shape_.given("shape") && !shape_.given("seq")) texts.erase("seq");
    const auto config = load_sweep_config(std::nullopt, texts, shape_.params(), context.registry,
                                          kernels::available_cpus(), shapes_file());
    if (!config)
      return fail(context, config.error(), "'attnbench describe --help' lists the flags");
    const SweepPlan plan = make_plan(*config, context.registry, PlanRates{},
                                     static_cast<double>(measure::available_memory_bytes()));
    if (json_) {
      nlohmann::ordered_json json = variant_json(variant->info());
      json["costs"] = nlohmann::ordered_json::array();
      for (const Case& cell : plan.cases) json["costs"].push_back(case_json(cell));
      context.out << json.dump(2) << '\n';
      return ExitCode::good;
    }
    print_info(context.out, variant->info());
    print_costs(context.out, plan);
    return ExitCode::good;
  }

 private:
  std::string name_;
  ConfigFlags shape_;
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_describe_command() { return std::make_unique<DescribeCommand>(); }

}  // namespace attnbench::cli

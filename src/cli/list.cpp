// attnbench list: every variant, or every shape of a published model, in one table.
#include <fmt/format.h>

#include <ostream>

#include "cli/command.h"
#include "cli/data_files.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/text_table.h"
#include "cli/variant_json.h"
#include "config/shapes.h"

namespace attnbench::cli {
namespace {

std::string parameters_text(const VariantInfo& info) {
  std::string text;
  for (const ParamSpec& spec : info.params) {
    text += (text.empty() ? "" : " ") + spec.name + "=" + spec.default_text;
  }
  return text.empty() ? "-" : text;
}

std::string lengths_text(const std::vector<std::int64_t>& lengths) {
  std::string text;
  for (const std::int64_t length : lengths) {
    text += fmt::format("{}{}", text.empty() ? "" : ",", length);
  }
  return text;
}

/// What the model does to logits, and where its window is.
std::string extras_text(const ModelShape& shape) {
  std::string text;
  const auto add = [&](const std::string& word) { text += (text.empty() ? "" : " ") + word; };
  if (shape.window) add(fmt::format("window={}+{}", shape.window->first, shape.window->second));
  if (shape.softcap) add(fmt::format("softcap={}", *shape.softcap));
  if (shape.sink) add("sink");
  return text.empty() ? "-" : text;
}

nlohmann::ordered_json shape_json(const ModelShape& shape) {
  nlohmann::ordered_json json{
      {"name", shape.name},         {"model", shape.model},
      {"heads", shape.heads},       {"kv_heads", shape.kv_heads},
      {"dim", shape.dim},           {"dim_v", shape.dim_v},
      {"seq", shape.seq},           {"seq_k", shape.seq_k},
      {"causal", shape.causal},     {"mode", std::string(to_string(shape.mode))},
      {"position", shape.position}, {"sink", shape.sink},
      {"source", shape.source}};
  if (shape.window) json["window"] = {shape.window->first, shape.window->second};
  if (shape.rope_base > 0) json["rope_base"] = shape.rope_base;
  if (shape.rope_dim > 0) json["rope_dim"] = shape.rope_dim;
  if (shape.rope_interleaved) json["rope_interleaved"] = true;
  if (shape.softcap) json["softcap"] = *shape.softcap;
  return json;
}

void print_shapes(std::ostream& out, const std::vector<ModelShape>& shapes) {
  constexpr auto kRight = TextTable::Align::right;
  TextTable table({{"shape"},
                   {"heads", kRight},
                   {"kv-heads", kRight},
                   {"dim", kRight},
                   {"dim-v", kRight},
                   {"seq"},
                   {"seq-k"},
                   {"causal"},
                   {"mode"},
                   {"position"},
                   {"further"},
                   {"model"}});
  for (const ModelShape& shape : shapes) {
    table.add({shape.name, std::to_string(shape.heads), std::to_string(shape.kv_heads),
               std::to_string(shape.dim), std::to_string(shape.dim_v), lengths_text(shape.seq),
               shape.seq_k.empty() ? "=" : lengths_text(shape.seq_k), shape.causal ? "on" : "off",
               std::string(to_string(shape.mode)), shape.position.empty() ? "-" : shape.position,
               extras_text(shape), shape.model});
  }
  out << table.text();
}

class ListCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_flag("--json", json_, "Print a JSON array with everything 'describe' knows.")
        ->group("Output");
    app.add_flag("--shapes", shapes_,
                 "List the shapes of published models (--shape of run, verify and describe) "
                 "instead; --json has their sources.")
        ->group("Output");
    app.footer(
        "Growth laws are in the sequence length N, at default parameters; 'exact' is the function\n"
        "of softmax attention, 'exact-under-mask' the same under a mask, 'approximate' comes "
        "close\n"
        "to it, 'different' is another function.\n\n"
        "Examples:\n"
        "  attnbench list                               # what can be measured\n"
        "  attnbench list --json | jq '.[].name'        # for scripts\n"
        "  attnbench list --shapes                      # models whose shapes --shape takes\n"
        "  attnbench describe performer                 # everything about one of them");
  }

  ExitCode execute(const Context& context) override {
    if (shapes_) return list_shapes(context);
    if (json_) {
      nlohmann::ordered_json all = nlohmann::ordered_json::array();
      for (const Variant* variant : context.registry.all()) {
        all.push_back(variant_json(variant->info()));
      }
      context.out << all.dump(2) << '\n';
      return ExitCode::good;
    }
    TextTable table({{"variant"},
                     {"family"},
                     {"exactness"},
                     {"time"},
                     {"workspace"},
                     {"parameters"},
                     {"summary"}});
    for (const Variant* variant : context.registry.all()) {
      const VariantInfo& info = variant->info();
      table.add({info.name, info.family, std::string(to_string(info.exactness)), info.laws.time,
                 info.laws.workspace, parameters_text(info), info.summary});
    }
    context.out << table.text();
    return ExitCode::good;
  }

 private:
  ExitCode list_shapes(const Context& context) const {
    const auto shapes = load_shapes(shapes_file());
    if (!shapes) return fail(context, shapes.error());
    if (!json_) {
      print_shapes(context.out, *shapes);
      return ExitCode::good;
    }
    nlohmann::ordered_json all = nlohmann::ordered_json::array();
    for (const ModelShape& shape : *shapes) all.push_back(shape_json(shape));
    context.out << all.dump(2) << '\n';
    return ExitCode::good;
  }

  bool json_ = false, shapes_ = false;
};

}  // namespace

std::unique_ptr<Command> make_list_command() { return std::make_unique<ListCommand>(); }

}  // namespace attnbench::cli

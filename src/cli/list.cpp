// attnbench list: every variant in one table.
#include <ostream>

#include "cli/command.h"
#include "cli/help.h"
#include "cli/text_table.h"
#include "cli/variant_json.h"

namespace attnbench::cli {
namespace {

std::string parameters_text(const VariantInfo& info) {
  std::string text;
  for (const ParamSpec& spec : info.params) {
    text += (text.empty() ? "" : " ") + spec.name + "=" + spec.default_text;
  }
  return text.empty() ? "-" : text;
}

class ListCommand final : public Command {
 public:
  void declare(CLI::App& app) override {
    app.add_flag("--json", json_, "Print a JSON array with everything 'describe' knows.")
        ->group("Output");
    app.footer(
        "Growth laws are in the sequence length N, at default parameters; 'exact' is the function\n"
        "of softmax attention, 'exact-under-mask' the same under a mask, 'approximate' comes "
        "close\n"
        "to it, 'different' is another function.\n\n"
        "Examples:\n"
        "  attnbench list                               # what can be measured\n"
        "  attnbench list --json | jq '.[].name'        # for scripts\n"
        "  attnbench describe performer                 # everything about one of them");
  }

  ExitCode execute(const Context& context) override {
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
  bool json_ = false;
};

}  // namespace

std::unique_ptr<Command> make_list_command() { return std::make_unique<ListCommand>(); }

}  // namespace attnbench::cli

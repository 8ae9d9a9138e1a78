#include "cli/help.h"

#include <algorithm>

#include "cli/text_table.h"

namespace attnbench::cli {
namespace {

constexpr int kNameColumn = 30;

std::string entry(const std::string& name, const std::string& description) {
  std::string line = "  " + name;
  const auto column = static_cast<std::size_t>(kNameColumn);
  if (line.size() + 2 > column) {
    line += "\n" + std::string(column, ' ');
  } else {
    line += std::string(column - line.size(), ' ');
  }
  return line + wrapped(description, kHelpColumns - kNameColumn, kNameColumn) + "\n";
}

std::string option_name(const CLI::Option& option) {
  const std::string value = option.get_type_name();
  std::string name;
  if (option.get_positional()) {
    name = option.get_name(true);
    return option.get_required() ? name : "[" + name + "]";
  }
  for (const std::string& short_name : option.get_snames()) name += "-" + short_name + ", ";
  for (const std::string& long_name : option.get_lnames()) name += "--" + long_name;
  return value.empty() ? name : name + " " + value;
}

std::string usage(const CLI::App& app, const std::string& name) {
  std::string line = "Usage: " + name;
  for (const CLI::Option* option : app.get_options()) {
    if (option->get_positional()) line += " " + option_name(*option);
  }
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional() && option->get_required()) line += " " + option_name(*option);
  }
  if (!app.get_subcommands([](const CLI::App*) { return true; }).empty()) line += " COMMAND";
  return line + " [flags]\n";
}

}  // namespace

std::string HelpFormatter::make_help(const CLI::App* app, std::string name,
                                     CLI::AppFormatMode) const {
  std::string text = usage(*app, name) + "\n";
  text += wrapped(app->get_description(), kHelpColumns, 0) + "\n";

  std::vector<std::string> groups;
  for (const CLI::Option* option : app->get_options()) {
    const std::string& group = option->get_group();
    if (!group.empty() && std::find(groups.begin(), groups.end(), group) == groups.end()) {
      groups.push_back(group);
    }
  }
  // What every page has (--help) goes last.
  std::stable_partition(groups.begin(), groups.end(),
                        [](const std::string& group) { return group != kGeneralGroup; });
  const auto subcommands = app->get_subcommands([](const CLI::App*) { return true; });
  if (!subcommands.empty()) {
    text += "\nCommands:\n";
    for (const CLI::App* sub : subcommands) text += entry(sub->get_name(), sub->get_description());
  }
  for (const std::string& group : groups) {
    text += "\n" + group + ":\n";
    for (const CLI::Option* option : app->get_options()) {
      if (option->get_group() == group)
        text += entry(option_name(*option), option->get_description());
    }
  }
  const std::string footer = app->get_footer();
  if (!footer.empty()) text += "\n" + footer + "\n";
  return text;
}

CLI::Option* add_text(CLI::App& app, const std::string& name, std::string& target,
                      const std::string& value, const std::string& description,
                      const std::string& group) {
  return app.add_option(name, target, description)->type_name(value)->group(group);
}

CLI::Option* add_texts(CLI::App& app, const std::string& name, std::vector<std::string>& target,
                       const std::string& value, const std::string& description,
                       const std::string& group) {
  return app.add_option(name, target, description)
      ->type_name(value)
      ->group(group)
      ->expected(1)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

}  // namespace attnbench::cli

// Help pages: the same look with every version of the parser library.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace attnbench::cli {

constexpr int kHelpColumns = 100;  ///< Help text is wrapped to this width.

constexpr const char* kGeneralGroup = "General";

class HelpFormatter : public CLI::FormatterBase {
 public:
  std::string make_help(const CLI::App* app, std::string name,
                        CLI::AppFormatMode mode) const override;
};

/// Adds an option that takes one text. `value` is what the help page calls it: "LIST".
CLI::Option* add_text(CLI::App& app, const std::string& name, std::string& target,
                      const std::string& value, const std::string& description,
                      const std::string& group);
/// Adds an option that may be repeated, each with one text.
CLI::Option* add_texts(CLI::App& app, const std::string& name, std::vector<std::string>& target,
                       const std::string& value, const std::string& description,
                       const std::string& group);

}  // namespace attnbench::cli

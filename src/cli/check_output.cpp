#include "cli/check_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <ostream>

#include "attention/text_parts.h"
#include "cli/report.h"

namespace attnbench::cli {
namespace {

struct Format {
  const char* name;
  std::string (*text)(const CheckReport& report);
};

constexpr std::array<Format, 5> kFormats{{
    {"console", [](const CheckReport& report) { return check_console(report); }},
    {"markdown", [](const CheckReport& report) { return check_markdown(report); }},
    {"json", check_json},
    {"junit", check_junit},
    {"github", check_annotations},
}};

}  // namespace

Result<std::vector<std::string>> parse_check_formats(const std::string& text) {
  std::vector<std::string> words;
  for (const TextPart& part : comma_parts(text)) {
    const std::string word(part.text);
    const bool known =
        std::ranges::any_of(kFormats, [&](const Format& format) { return word == format.name; });
    if (!known) {
      return usage_error(fmt::format("--format: given \"{}\"; accepted: {}, comma separated", word,
                                     kCheckFormats));
    }
    words.push_back(word);
  }
  return words;
}

ExitCode put_report(const Context& context, const CheckReport& report,
                    const std::vector<std::string>& formats, const std::string& folder) {
  for (const std::string& word : formats) {
    for (const Format& format : kFormats) {
      if (word == format.name) context.out << format.text(report);
    }
  }
  context.out.flush();
  if (!folder.empty()) {
    if (const Status written = write_check_files(report, folder); !written) {
      return fail(context, written.error());
    }
  }
  return static_cast<ExitCode>(report.exit_code);
}

Status clear_check_files(const std::string& folder) {
  if (folder.empty()) return ok_status();
  for (const char* name : {"check.json", "check.md", "check.xml"}) {
    const std::filesystem::path path = std::filesystem::path(folder) / name;
    std::error_code code;
    std::filesystem::remove(path, code);
    if (code) return io_error(fmt::format("{}: {}", path.string(), code.message()));
  }
  return ok_status();
}

}  // namespace attnbench::cli

#include "cli/app.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <exception>
#include <iostream>
#include <new>

#include "cli/build_info.h"
#include "cli/compare.h"
#include "cli/fit.h"
#include "cli/gate.h"
#include "cli/help.h"
#include "cli/recommend.h"
#include "cli/report.h"

namespace attnbench::cli {
namespace {

struct Entry {
  const char* name;
  const char* summary;
  bool runs_kernels;
  std::unique_ptr<Command> (*make)();
};

constexpr auto kCommands = std::to_array<Entry>({
    {"list", "Every variant: family, exactness, growth laws, parameters.", false,
     make_list_command},
    {"describe", "One variant: formula, source, parameters, auxiliary tensors, cost at a shape.",
     false, make_describe_command},
    {"run", "Measure a sweep: verify, time, and store every cell.", true, make_run_command},
    {"verify", "Check every variant against the float64 reference, without timing.", true,
     make_verify_command},
    {"eval", "Apply a variant to your own tensors (.npy in, .npy out).", true, make_eval_command},
    {"machine", "Measured ceilings of this machine, and how noisy it is now.", true,
     make_machine_command},
    {"fit", "Growth laws, crossovers, thread scaling and error against time of a run.", false,
     make_fit_command},
    {"recommend", "The fastest variant for a problem, from a run; dispatch tables.", false,
     make_recommend_command},
    {"compare", "Stored runs against a new one, cell by cell: slower, missing, failing?", false,
     make_compare_command},
    {"gate", "Is this build slower than that one? An interleaved regression gate.", true,
     make_gate_command},
    {"plot", "Draw the plots of a run (PNG and SVG).", false, make_plot_command},
    {"report", "One HTML page of a run: summary, plots, sortable tables.", false,
     make_report_command},
});

constexpr const char* kDescription =
    "Benchmarks attention variants on CPUs: time and memory against sequence length, threads and "
    "error, each variant verified against a float64 reference and held against what this machine "
    "can do.";

constexpr const char* kExamples =
    "Examples:\n"
    "  attnbench run configs/quickstart.toml --out results/first   # measure six variants\n"
    "  attnbench plot results/first                                # draw the curves\n"
    "  attnbench report results/first                              # one page of everything\n"
    "  attnbench run --variants flash,local --seq 1k:16k:x2 --threads 1,2 --budget 60s\n"
    "\n"
    "Exit codes: 0 good; 1 a check said no; 2 usage, configuration or file error;\n"
    "3 inconclusive; 4 control tripped; 130 interrupted, with what was measured kept.\n"
    "'attnbench COMMAND --help' explains each command.";

struct Parser {
  CLI::App app{kDescription, "attnbench"};
  std::vector<std::unique_ptr<Command>> commands;  ///< In the order of kCommands.
  std::vector<CLI::App*> subcommands;
};

void declare(Parser& parser) {
  parser.app.formatter(std::make_shared<HelpFormatter>());
  parser.app.set_help_flag("-h,--help", "Print this page.")->group(kGeneralGroup);
  parser.app.set_version_flag("--version", version_text())
      ->description("Print the version, the compiler and the libraries.")
      ->group(kGeneralGroup);
  parser.app.footer(kExamples);
  for (const Entry& entry : kCommands) {
    CLI::App* sub = parser.app.add_subcommand(entry.name, entry.summary);
    sub->set_help_flag("-h,--help", "Print this page.")->group(kGeneralGroup);
    parser.subcommands.push_back(sub);
    parser.commands.push_back(entry.make());
    parser.commands.back()->declare(*sub);
  }
}

bool is_switch_list(const std::string& text) {
  static const std::vector<std::string> words{"on", "off", "true", "false", "yes", "no", "0", "1"};
  std::size_t start = 0;
  while (start <= text.size()) {
    const std::size_t end = std::min(text.find(',', start), text.size());
    if (std::find(words.begin(), words.end(), text.substr(start, end - start)) == words.end()) {
      return false;
    }
    start = end + 1;
  }
  return true;
}

/// A bare --causal, --sink or --counters means on: made explicit, so that it never swallows the
/// argument after it. `help COMMAND` becomes `COMMAND --help`.
std::vector<std::string> normalised(std::vector<std::string> words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    const bool counters = words[i] == "--counters";
    if (words[i] != "--causal" && words[i] != "--sink" && !counters) continue;
    const bool has_value = i + 1 < words.size() &&
                           (is_switch_list(words[i + 1]) || (counters && words[i + 1] == "auto"));
    if (has_value) {
      words[i] += "=" + words[i + 1];
      words.erase(words.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    } else {
      words[i] += "=on";
    }
  }
  if (!words.empty() && words[0] == "help") {
    words.erase(words.begin());
    if (!words.empty()) words.resize(1);
    words.emplace_back("--help");
  }
  return words;
}

std::optional<std::size_t> command_index(const std::string& name) {
  for (std::size_t i = 0; i < kCommands.size(); ++i) {
    if (name == kCommands[i].name) return i;
  }
  return std::nullopt;
}

ExitCode unknown_command(const Context& context, const std::string& name) {
  std::vector<std::string> known;
  std::string list;
  for (const Entry& entry : kCommands) {
    known.emplace_back(entry.name);
    list += (list.empty() ? "" : ", ") + known.back();
  }
  const std::optional<std::string> nearest = nearest_word(name, known);
  return fail_usage(context, fmt::format("unknown command '{}'; accepted are {}", name, list),
                    nearest ? fmt::format("did you mean 'attnbench {}'?", *nearest)
                            : "'attnbench --help' lists the commands");
}

/// The parser library would report a missing flag before a misspelt one; the misspelt one is the
/// cause, so it is looked for first.
std::optional<ExitCode> unknown_flag(const Context& context, const CLI::App& sub,
                                     const std::vector<std::string>& words) {
  std::vector<std::string> known;
  for (const CLI::Option* option : sub.get_options()) {
    for (const std::string& name : option->get_lnames()) known.push_back(name);
  }
  for (const std::string& word : words) {
    if (word == "--") break;
    if (word.rfind("--", 0) != 0) continue;
    const std::string name = word.substr(2, word.find('=') - 2);
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::optional<std::string> nearest = nearest_word(name, known);
    return fail_usage(context, fmt::format("{}: unknown flag --{}", sub.get_name(), name),
                      nearest
                          ? fmt::format("did you mean --{}? 'attnbench {} --help' lists all flags",
                                        *nearest, sub.get_name())
                          : fmt::format("'attnbench {} --help' lists all flags", sub.get_name()));
  }
  return std::nullopt;
}

/// Whether a flag stands in a command line more than once.
bool is_repeated(const std::string& flag, const std::vector<std::string>& words) {
  const auto is_it = [&](const std::string& word) {
    return word.substr(0, word.find('=')) == flag;
  };
  return std::count_if(words.begin(), words.end(), is_it) > 1;
}

/// Why this machine cannot run the kernels; nothing when it can.
std::optional<std::string> cpu_refusal() {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
    return "this CPU has no AVX2 and FMA, which the kernels need";
  }
#endif
  return std::nullopt;
}

ExitCode finished(const Context& context, ExitCode code) {
  context.out.flush();
  if (!context.out.good()) return fail(context, io_error("standard output cannot be written"));
  return code;
}

ExitCode parse_and_run(const Context& context, std::vector<std::string> words) {
  Parser parser;
  declare(parser);
  if (words.empty()) {
    context.err << parser.app.help();
    return ExitCode::usage;
  }
  std::optional<std::size_t> index;
  if (words[0].rfind('-', 0) != 0) {
    index = command_index(words[0]);
    if (!index) return unknown_command(context, words[0]);
    const std::vector<std::string> rest(words.begin() + 1, words.end());
    if (auto code = unknown_flag(context, *parser.subcommands[*index], rest)) return *code;
  } else if (words[0] != "--help" && words[0] != "-h" && words[0] != "--version") {
    return fail_usage(context, fmt::format("unknown flag {} before a command", words[0]),
                      "write 'attnbench COMMAND [flags]'; 'attnbench --help' lists the commands");
  }
  try {
    parser.app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  } catch (const CLI::CallForHelp&) {
    context.out << parser.app.help();
    return finished(context, ExitCode::good);
  } catch (const CLI::CallForVersion&) {
    context.out << version_text();
    return finished(context, ExitCode::good);
  } catch (const CLI::ParseError& error) {
    const std::string command = index ? kCommands[*index].name : "";
    // The parser library's own words count values: "--seq: At Most 1 required but received 2".
    const std::string what = error.what(), flag = what.substr(0, what.find(':'));
    if (index && dynamic_cast<const CLI::ArgumentMismatch*>(&error) && is_repeated(flag, words)) {
      return fail_usage(context,
                        fmt::format("{}: {} is given more than once; accepted is once, lists with "
                                    "commas",
                                    command, flag),
                        fmt::format("'attnbench {} --help' shows what is accepted", command));
    }
    return fail_usage(
        context, index ? command + ": " + error.what() : error.what(),
        fmt::format("'attnbench {}--help' shows what is accepted", index ? command + " " : ""));
  }
  if (!index) return fail_usage(context, "no command given", "'attnbench --help' lists them");
  if (kCommands[*index].runs_kernels) {
    if (const auto refusal = cpu_refusal()) {
      return fail_usage(
          context, *refusal,
          "x86-64 CPUs have both since Intel Haswell (2013) and AMD Excavator (2015)");
    }
  }
  return finished(context, parser.commands[*index]->execute(context));
}

int terminal_columns() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

}  // namespace

ExitCode run_command_line(Context context) {
  if (!context.registry.errors().empty()) {
    for (const std::string& error : context.registry.errors()) {
      context.err << "attnbench: error: " << error << '\n';
    }
    context.err << "attnbench: hint: this build is broken; rename one of the variants\n";
    return ExitCode::usage;
  }
  const std::vector<std::string> words(context.arguments.begin() + 1, context.arguments.end());
  try {
    return parse_and_run(context, normalised(words));
  } catch (const std::bad_alloc&) {
    return fail(context, Error{Error::Kind::out_of_memory, "out of memory"},
                "use smaller shapes, or free memory");
  } catch (const std::exception& error) {
    return fail(context, Error{Error::Kind::internal, error.what()});
  }
}

int run_main(int argc, char** argv) {
  std::vector<std::string> arguments(argv, argv + argc);
  if (arguments.empty()) arguments.emplace_back("attnbench");
  return static_cast<int>(run_command_line({.out = std::cout,
                                            .err = std::cerr,
                                            .registry = Registry::instance(),
                                            .err_is_terminal = ::isatty(STDERR_FILENO) == 1,
                                            .err_columns = terminal_columns(),
                                            .arguments = std::move(arguments)}));
}

}  // namespace attnbench::cli

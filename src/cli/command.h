// What every subcommand is to the dispatcher. One file per subcommand implements it.
#pragma once

#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

#include "attention/registry.h"
#include "attention/result.h"

namespace CLI {
class App;
}

namespace attnbench::cli {

/// The same for every subcommand.
enum class ExitCode {
  good = 0,
  check_failed = 1,  ///< A check said no: failed verification, a failed row.
  usage = 2,         ///< Flags, configuration, files, an unsupported request.
  inconclusive = 3,
  control_tripped = 4,
  interrupted = 130,  ///< What was measured is kept.
};

/// The world as a subcommand sees it.
struct Context {
  std::ostream& out;
  std::ostream& err;
  const Registry& registry;
  bool err_is_terminal = false;
  int err_columns = 80;                ///< Width of the terminal, when it is one.
  std::vector<std::string> arguments;  ///< The command line, program name included.
};

class Command {
 public:
  virtual ~Command() = default;
  /// Declares flags, which are bound to this object, and the examples of the help page.
  virtual void declare(CLI::App& app) = 0;
  virtual ExitCode execute(const Context& context) = 0;
};

std::unique_ptr<Command> make_list_command();
std::unique_ptr<Command> make_describe_command();
std::unique_ptr<Command> make_run_command();
std::unique_ptr<Command> make_verify_command();
std::unique_ptr<Command> make_eval_command();
std::unique_ptr<Command> make_machine_command();
std::unique_ptr<Command> make_plot_command();
std::unique_ptr<Command> make_report_command();

}  // namespace attnbench::cli

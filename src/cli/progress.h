// The progress line of a run.
#pragma once

#include <functional>
#include <iosfwd>
#include <optional>
#include <string>

#include "attention/result.h"
#include "run/runner.h"

namespace attnbench::cli {

enum class ProgressStyle {
  none,
  line,   ///< One line, redrawn.
  plain,  ///< A new line for every finished group, at most one a second.
};

/// What --progress and --quiet mean on this kind of error stream: `auto` redraws on a terminal and
/// writes plain lines elsewhere, `always` redraws everywhere, `never` and --quiet write nothing.
Result<ProgressStyle> progress_style(const std::string& word, bool quiet, bool is_terminal);

/// "[12/60] flash N=4096 T=2 (sample), 0:12 elapsed, 0:48 left".
std::string progress_text(const RunProgress& progress);

class ProgressPrinter {
 public:
  /// `columns` cuts the redrawn line; `clock` gives seconds.
  ProgressPrinter(std::ostream& out, ProgressStyle style, int columns,
                  std::function<double()> clock);
  /// Something moved: redraws, at most ten times a second.
  void update(const RunProgress& progress);
  /// A group is finished.
  void group_finished();
  /// Removes the redrawn line, so that other output starts on a clean one.
  void clear();

 private:
  std::ostream& out_;
  ProgressStyle style_;
  std::size_t columns_;
  std::function<double()> clock_;
  RunProgress latest_;
  std::optional<double> last_output_s_;
  bool drawn_ = false;
};

}  // namespace attnbench::cli

#include "cli/progress.h"

#include <fmt/format.h>

#include <ostream>

#include "cli/report.h"

namespace attnbench::cli {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr double kPlainSeconds = 1.0;

}  // namespace

Result<ProgressStyle> progress_style(const std::string& word, bool quiet, bool is_terminal) {
  if (word != "auto" && word != "always" && word != "never") {
    return usage_error(
        fmt::format("--progress: given \"{}\"; accepted: auto, always, never", word));
  }
  if (quiet || word == "never") return ProgressStyle::none;
  return is_terminal || word == "always" ? ProgressStyle::line : ProgressStyle::plain;
}

std::string progress_text(const RunProgress& progress) {
  std::string text = fmt::format("[{}/{}]", progress.done, progress.total);
  if (!progress.current.empty()) text += " " + progress.current;
  if (!progress.phase.empty()) text += " (" + progress.phase + ")";
  text += fmt::format(", {} elapsed", clock_text(progress.elapsed_s));
  if (progress.done < progress.total) {
    text += fmt::format(", {} left", clock_text(progress.remaining_s));
  }
  return text;
}

ProgressPrinter::ProgressPrinter(std::ostream& out, ProgressStyle style, int columns,
                                 std::function<double()> clock)
    : out_(out),
      style_(style),
      columns_(columns > 10 ? static_cast<std::size_t>(columns) : 80),
      clock_(std::move(clock)) {}

void ProgressPrinter::update(const RunProgress& progress) {
  latest_ = progress;
  if (style_ != ProgressStyle::line) return;
  const double now = clock_();
  if (last_output_s_ && now - *last_output_s_ < kRedrawSeconds) return;
  last_output_s_ = now;
  // The last column stays free: some terminals wrap when it is written.
  out_ << '\r' << progress_text(progress).substr(0, columns_ - 1) << "\x1b[K" << std::flush;
  drawn_ = true;
}

void ProgressPrinter::group_finished() {
  if (style_ != ProgressStyle::plain) return;
  const double now = clock_();
  if (last_output_s_ && now - *last_output_s_ < kPlainSeconds) return;
  last_output_s_ = now;
  out_ << "attnbench: " << progress_text(latest_) << std::endl;
}

void ProgressPrinter::clear() {
  if (!drawn_) return;
  out_ << "\r\x1b[K" << std::flush;
  drawn_ = false;
}

}  // namespace attnbench::cli

#include "cli/fit_files.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "analyse/fit_output.h"
#include "record/files.h"

namespace attnbench::cli {

analyse::FitReport analyse_stored_run(const StoredRun& run) {
  return analyse::analyse_run(run.records, run.samples, run.manifest ? &*run.manifest : nullptr);
}

Status write_fit_files(const std::string& folder, const analyse::FitReport& report) {
  const std::filesystem::path path(folder);
  std::error_code failed;
  std::filesystem::create_directories(path, failed);
  if (failed) return io_error(fmt::format("{}: {}", folder, failed.message()));
  const Status done =
      write_file_atomically((path / "fit.json").string(), analyse::fit_json(report));
  if (!done) return done;
  return write_file_atomically((path / "fit.csv").string(), analyse::fit_csv(report));
}

}  // namespace attnbench::cli

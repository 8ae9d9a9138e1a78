#include "cli/stored_run.h"

#include <filesystem>

#include "record/json.h"
#include "record/reader.h"

namespace attnbench::cli {
namespace {

bool is_there(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

}  // namespace

Result<StoredRun> read_stored_run(const std::string& path) {
  StoredRun run;
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(path, ignored);
  const std::filesystem::path summary =
      folder ? std::filesystem::path(path) / "summary.csv" : std::filesystem::path(path);
  run.summary = summary.string();
  run.folder = summary.parent_path().string();
  if (run.folder.empty()) run.folder = ".";
  auto records = read_summary(run.summary);
  if (!records) return records.error();
  run.records = std::move(*records);

  const std::filesystem::path samples = summary.parent_path() / "samples.csv";
  if (is_there(samples)) {
    auto rows = read_samples(samples.string());
    if (rows) {
      run.samples = std::move(*rows);
    } else {
      run.warnings.push_back(rows.error().message + "; going on without samples");
    }
  }
  const std::filesystem::path manifest = summary.parent_path() / "manifest.json";
  if (is_there(manifest)) {
    auto facts = read_manifest(manifest.string());
    if (facts) {
      run.manifest = std::move(*facts);
    } else {
      run.warnings.push_back(facts.error().message + "; going on without the machine's ceilings");
    }
  }
  return run;
}

}  // namespace attnbench::cli

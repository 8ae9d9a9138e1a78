// A run that is already on the disk, for the commands that analyse one.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "attention/result.h"
#include "record/manifest.h"
#include "record/record.h"

namespace attnbench::cli {

struct StoredRun {
  std::string folder;   ///< Of the summary; where files about it go.
  std::string summary;  ///< Its path.
  std::vector<Record> records;
  std::vector<SampleRow> samples;     ///< Empty without a samples.csv.
  std::optional<Manifest> manifest;   ///< Nothing without a manifest.json.
  std::vector<std::string> warnings;  ///< Files beside the summary that could not be used.
};

/// Reads the summary.csv of a folder, or a CSV file with its columns, and samples.csv and
/// manifest.json where they lie beside it. Only the summary has to be readable.
Result<StoredRun> read_stored_run(const std::string& path);

}  // namespace attnbench::cli

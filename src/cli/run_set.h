// The stored runs of one side of a comparison.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "attention/result.h"
#include "record/manifest.h"
#include "record/record.h"

namespace attnbench::cli {

/// One run: the rows of one run_id in one summary.csv.
struct RunFacts {
  std::string summary;  ///< Path of the file.
  std::string run_id;
  std::string isa;                   ///< Of its rows.
  bool mixed_isa = false;            ///< Its rows name several.
  std::optional<Manifest> manifest;  ///< Nothing where the machine is not known.
  std::size_t rows = 0;
};

/// The summary.csv files that the paths stand for: a CSV file; a folder with a summary.csv; a
/// folder of such folders, in the order of their names. An error names a path without any.
Result<std::vector<std::string>> find_summaries(const std::vector<std::string>& paths);

/// Streams one file. `row` gets every row with the index of its run in the returned list; what it
/// returns as an error ends the reading, with file and line in front. A manifest.json beside the
/// file is that of the run it names. Rows without run_id are one run.
Result<std::vector<RunFacts>> read_runs(
    const std::string& summary,
    const std::function<Status(std::size_t run, const Record& record)>& row,
    std::vector<std::string>& warnings);

/// Why the runs cannot be judged against each other: machines that differ or are not known. Empty
/// when they can.
std::vector<std::string> machine_doubts(const std::vector<RunFacts>& base,
                                        const std::vector<RunFacts>& head);

/// "3 runs, 0.1.0 g1a2b3c, GNU 12.2.0, AMD EPYC".
std::string runs_text(const std::vector<RunFacts>& runs);

}  // namespace attnbench::cli

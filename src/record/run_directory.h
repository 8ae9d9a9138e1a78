// The files of one run: summary.csv, samples.csv, manifest.json and what was asked for besides.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "attention/result.h"
#include "record/files.h"
#include "record/manifest.h"
#include "record/record.h"

namespace attnbench {

/// What an earlier, unfinished run left behind.
struct ResumeState {
  std::vector<Record> records;             ///< All rows, those to be rerun included.
  std::vector<std::string> done_case_ids;  ///< Finished: measured, or skipped with a reason.
  std::optional<Manifest> manifest;        ///< Of the earlier run; nothing when it left no files.
};

/// Writes a run so that a kill at any moment loses no finished case: summary.csv is a whole, valid
/// file at all times (written beside and renamed), samples.csv grows by whole cases and is on the
/// disk before the summary names them. Holds a lock on the directory.
class RunDirectory {
 public:
  /// What to do with a run that is already there.
  enum class Existing {
    refuse,     ///< A usage error.
    overwrite,  ///< Its files are removed.
    resume,     ///< Its rows are kept; load_for_resume must follow.
  };

  /// Makes the directory and its parents. Errors: usage when a run is there and `existing` is
  /// refuse, or when another process is writing there; io when it cannot be made or written.
  static Result<RunDirectory> create(const std::string& path, Existing existing);

  /// Reads what is there and makes it the start of this run: rows stay until append() replaces
  /// them, samples of unfinished cases and a torn last line are dropped. Refuses (usage) a
  /// directory of another configuration, of another machine or build (`fingerprint`, unless empty),
  /// and rows whose manifest is missing. A directory without rows is an empty state.
  Result<ResumeState> load_for_resume(const std::string& config_toml,
                                      const std::string& fingerprint);

  /// Adds finished rows and their samples and writes both to the disk. A row takes the place of an
  /// earlier run's unfinished row (failed, timeout, out-of-memory) of the same case, of its skipped
  /// row, and of its good row when it has at least as many samples: `samples` are then those that
  /// were added. With nothing
  /// to add the files are still made. On an error (a full disk) the files hold what they held; the
  /// rows and samples stay in memory, and the next call writes them too.
  Status append(const std::vector<Record>& records, const std::vector<SampleRow>& samples);

  /// Replaces manifest.json.
  Status write_manifest(const Manifest& manifest);

  /// Writes the records once more: "json" -> summary.json, "markdown" -> summary.md; "csv" is
  /// always there. Another word is a usage error.
  Status write_extra(const std::vector<std::string>& formats);

  /// Every row so far, in file order.
  const std::vector<Record>& records() const { return records_; }
  const std::string& path() const { return path_; }
  /// The path of one of the run's files: file("summary.csv").
  std::string file(const std::string& name) const;

 private:
  RunDirectory(std::string path, DirectoryLock lock, bool must_load);
  Status remove_files();
  Status check_loaded() const;
  /// Fails when rows are there.
  Status check_nothing_measured() const;
  Status adopt_samples();
  Status open_samples();
  void add_record(const Record& record);
  bool takes_the_place_of(const Record& record, const Record& earlier) const;
  std::string summary_text() const;

  std::string path_;
  DirectoryLock lock_;
  AppendFile samples_;
  std::vector<Record> records_;
  std::vector<std::string> lines_;             ///< records_ as CSV rows.
  std::map<std::string, std::size_t> places_;  ///< Of each case its last row.
  std::set<std::string> unfinished_before_;    ///< Cases an earlier run did not finish.
  std::string unwritten_samples_;
  /// What is on the disk was not read yet, so nothing may be written over it.
  bool must_load_ = false;
};

}  // namespace attnbench

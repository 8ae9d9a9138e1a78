#include "record/run_directory.h"

#include <fmt/format.h>

#include <filesystem>
#include <set>
#include <system_error>

#include "record/csv.h"
#include "record/json.h"
#include "record/markdown.h"
#include "record/reader.h"
#include "record/schema.h"

namespace attnbench {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSummary = "summary.csv";
constexpr const char* kSamples = "samples.csv";
constexpr const char* kManifest = "manifest.json";
constexpr const char* kJson = "summary.json";
constexpr const char* kMarkdown = "summary.md";
/// The manifest last: as long as it is there, the rest is known to belong to it.
constexpr const char* kFiles[] = {kSummary, kSamples, kJson, kMarkdown, kManifest};

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::symlink_status(path, ignored).type() > fs::file_type::not_found;
}

template <class Row>
std::string csv_line(const Row& row) {
  std::string line;
  append_csv_row(line, to_cells(row));
  return line;
}

std::string header_line(const std::vector<std::string>& names) {
  std::string line;
  append_csv_row(line, names);
  return line;
}

std::string trimmed(const std::string& text) {
  const auto end = text.find_last_not_of(" \t\r\n");
  return end == std::string::npos ? "" : text.substr(0, end + 1);
}

/// The first line in which two configurations differ, for people.
std::string first_difference(const std::string& there, const std::string& here) {
  const auto line_at = [](const std::string& text, std::size_t begin) {
    return begin > text.size() ? std::string() : text.substr(begin, text.find('\n', begin) - begin);
  };
  std::size_t begin = 0;
  for (std::size_t i = 0; i < there.size() && i < here.size() && there[i] == here[i]; ++i) {
    if (there[i] == '\n') begin = i + 1;
  }
  return fmt::format("there {}, here {}", quoted_excerpt(line_at(there, begin)),
                     quoted_excerpt(line_at(here, begin)));
}

}  // namespace

RunDirectory::RunDirectory(std::string path, DirectoryLock lock, bool must_load)
    : path_(std::move(path)), lock_(std::move(lock)), must_load_(must_load) {}

std::string RunDirectory::file(const std::string& name) const {
  return (fs::path(path_) / name).string();
}

Result<RunDirectory> RunDirectory::create(const std::string& path, Existing existing) {
  std::error_code code;
  fs::create_directories(path, code);
  if (!fs::is_directory(path)) {
    return io_error(fmt::format("{}: cannot make this directory: {}", path,
                                code ? code.message() : "a file of that name is there"));
  }
  Result<DirectoryLock> lock = DirectoryLock::take(path);
  if (!lock) return lock.error();
  RunDirectory directory(path, std::move(*lock), existing == Existing::resume);
  if (existing == Existing::refuse) {
    for (const char* name : kFiles) {
      if (!exists(directory.file(name))) continue;
      return usage_error(
          fmt::format("{}: a run is already there ({}); choose another directory, resume that run, "
                      "or overwrite "
                      "it",
                      path, name));
    }
  }
  if (existing == Existing::overwrite) {
    if (Status removed = directory.remove_files(); !removed) return removed.error();
  }
  return directory;
}

Status RunDirectory::remove_files() {
  for (const char* name : kFiles) {
    for (const std::string& victim : {file(name) + kTemporarySuffix, file(name)}) {
      std::error_code code;
      fs::remove(victim, code);
      if (code) return io_error(fmt::format("{}: cannot remove: {}", victim, code.message()));
    }
  }
  return ok_status();
}

Result<ResumeState> RunDirectory::load_for_resume(const std::string& config_toml,
                                                  const std::string& fingerprint) {
  if (!must_load_) {
    return Error{Error::Kind::internal, path_ + ": not opened to be resumed, or already read"};
  }
  ResumeState state;
  if (!exists(file(kManifest))) {
    if (Status nothing = check_nothing_measured(); !nothing) return nothing.error();
    if (Status samples = adopt_samples(); !samples) return samples.error();
    must_load_ = false;
    return state;
  }
  Result<Manifest> manifest = read_manifest(file(kManifest));
  if (!manifest) return manifest.error();
  const std::string there = trimmed(manifest->config_toml);
  const std::string here = trimmed(config_toml);
  if (there != here) {
    return usage_error(fmt::format("{}: holds a run of another configuration ({}); cannot resume",
                                   path_, first_difference(there, here)));
  }
  if (!fingerprint.empty() && fingerprint != manifest->fingerprint()) {
    return usage_error(fmt::format(
        "{}: holds a run of another machine or build (fingerprint {}, here {}); cannot resume",
        path_, manifest->fingerprint(), fingerprint));
  }
  if (exists(file(kSummary))) {
    Result<std::vector<Record>> rows = read_summary(file(kSummary));
    if (!rows) return rows.error();
    records_.clear();
    lines_.clear();
    places_.clear();
    unfinished_before_.clear();
    for (const Record& row : *rows) {
      add_record(row);
      if (row.finished()) state.done_case_ids.push_back(row.case_id());
    }
    for (const Record& row : records_) {
      if (!row.finished()) unfinished_before_.insert(row.case_id());
    }
  }
  if (Status samples = adopt_samples(); !samples) return samples.error();
  must_load_ = false;
  state.records = records_;
  state.manifest = std::move(*manifest);
  return state;
}

Status RunDirectory::check_nothing_measured() const {
  if (exists(file(kSummary))) {
    const Result<std::vector<Record>> rows = read_summary(file(kSummary));
    if (!rows) return rows.error();
    if (!rows->empty()) {
      return usage_error(fmt::format(
          "{}: there is no {}, so nobody knows which sweep these rows are of; cannot resume", path_,
          kManifest));
    }
  }
  return ok_status();
}

Status RunDirectory::adopt_samples() {
  if (!exists(file(kSamples))) return ok_status();
  Result<std::string> text = read_file(file(kSamples));
  if (!text) return text.error();
  // A power cut may leave a header without its line end, or a block of zeros at the end.
  text->erase(text->find_last_not_of('\0') + 1);
  text->erase(text->find_last_of('\n') + 1);
  // Samples of unfinished cases go, and so do those that a kill kept out of their row.
  std::map<std::string, std::int64_t> wanted;
  for (const Record& record : records_) {
    if (record.finished()) wanted[record.case_id()] += record.samples;
  }
  std::string kept = header_line(samples_header());
  if (!text->empty()) {
    auto reader = SamplesReader::from_text(std::move(*text), file(kSamples));
    if (!reader) return reader.error();
    while (true) {
      SampleRow row;
      Result<bool> more = reader->next(row);
      if (!more) return more.error();
      if (!*more) break;
      const auto left = wanted.find(row.case_id);
      if (left == wanted.end() || left->second-- <= 0) continue;
      append_csv_row(kept, to_cells(row));
    }
  }
  return write_file_atomically(file(kSamples), kept);
}

bool RunDirectory::takes_the_place_of(const Record& record, const Record& earlier) const {
  if (!earlier.finished()) return unfinished_before_.contains(earlier.case_id());
  if (earlier.status == RowStatus::skipped) return record.status != RowStatus::skipped;
  return record.status == RowStatus::ok && record.samples >= earlier.samples;
}

void RunDirectory::add_record(const Record& record) {
  const std::string id = record.case_id();
  const auto place = places_.find(id);
  if (place == places_.end() || !takes_the_place_of(record, records_[place->second])) {
    places_[id] = records_.size();
    records_.push_back(record);
    lines_.push_back(csv_line(record));
    return;
  }
  records_[place->second] = record;
  lines_[place->second] = csv_line(record);
  unfinished_before_.erase(id);
}

std::string RunDirectory::summary_text() const {
  std::string text = header_line(summary_header());
  for (const std::string& line : lines_) text += line;
  return text;
}

Status RunDirectory::open_samples() {
  if (samples_.is_open()) return ok_status();
  if (!exists(file(kSamples))) {
    Status written = write_file_atomically(file(kSamples), header_line(samples_header()));
    if (!written) return written;
  }
  Result<AppendFile> opened = AppendFile::open(file(kSamples));
  if (!opened) return opened.error();
  samples_ = std::move(*opened);
  return ok_status();
}

Status RunDirectory::append(const std::vector<Record>& records,
                            const std::vector<SampleRow>& samples) {
  if (Status loaded = check_loaded(); !loaded) return loaded;
  for (const Record& record : records) add_record(record);
  for (const SampleRow& sample : samples) append_csv_row(unwritten_samples_, to_cells(sample));
  if (Status opened = open_samples(); !opened) return opened;
  if (Status appended = samples_.append(unwritten_samples_); !appended) return appended;
  unwritten_samples_.clear();
  return write_file_atomically(file(kSummary), summary_text());
}

Status RunDirectory::check_loaded() const {
  if (!must_load_) return ok_status();
  return Error{Error::Kind::internal, path_ + ": written to before its earlier rows were read"};
}

Status RunDirectory::write_manifest(const Manifest& manifest) {
  if (Status loaded = check_loaded(); !loaded) return loaded;
  return write_file_atomically(file(kManifest), manifest_to_json(manifest));
}

Status RunDirectory::write_extra(const std::vector<std::string>& formats) {
  for (const std::string& format : formats) {
    Status written = ok_status();
    if (format == "json") {
      written = write_file_atomically(file(kJson), records_to_json(records_));
    } else if (format == "markdown") {
      written = write_file_atomically(file(kMarkdown), markdown_table(records_));
    } else if (format != "csv") {
      return usage_error(
          fmt::format("format {}: expected csv, json or markdown", quoted_excerpt(format)));
    }
    if (!written) return written;
  }
  return ok_status();
}

}  // namespace attnbench

#include "cli/run_set.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "record/json.h"
#include "record/reader.h"

namespace attnbench::cli {
namespace {

namespace fs = std::filesystem;

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored) && !fs::is_directory(path, ignored);
}

Result<std::vector<std::string>> summaries_below(const std::string& folder) {
  std::vector<std::string> found;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed)) {
    const fs::path summary = entry.path() / "summary.csv";
    if (is_file(summary)) found.push_back(summary.string());
  }
  if (failed) return io_error(fmt::format("{}: {}", folder, failed.message()));
  if (found.empty()) {
    return io_error(fmt::format(
        "{}: no summary.csv in it or in a folder of it; accepted: the folder of a run, a folder of "
        "such folders, or a CSV file",
        folder));
  }
  std::ranges::sort(found);
  return found;
}

/// The manifest beside a summary, when there is one that can be read.
std::optional<Manifest> manifest_beside(const std::string& summary,
                                        std::vector<std::string>& warnings) {
  const fs::path path = fs::path(summary).parent_path() / "manifest.json";
  if (!is_file(path)) return std::nullopt;
  auto manifest = read_manifest(path.string());
  if (manifest) return std::move(*manifest);
  warnings.push_back(manifest.error().message);
  return std::nullopt;
}

std::string joined(const std::vector<std::string>& words, std::size_t most) {
  std::string text;
  for (std::size_t i = 0; i < std::min(words.size(), most); ++i) {
    text += (text.empty() ? "" : "; ") + words[i];
  }
  if (words.size() > most) text += fmt::format("; and {} more", words.size() - most);
  return text;
}

std::string name_of(const RunFacts& run) {
  return run.run_id.empty() ? run.summary : fmt::format("{} (run {})", run.summary, run.run_id);
}

std::string reason_unknown(const RunFacts& run) {
  return fmt::format("{}: no manifest.json beside it names this run: its machine is not known",
                     name_of(run));
}

}  // namespace

Result<std::vector<std::string>> find_summaries(const std::vector<std::string>& paths) {
  std::vector<std::string> all;
  for (const std::string& path : paths) {
    std::error_code ignored;
    if (!fs::is_directory(path, ignored)) {
      all.push_back(path);
      continue;
    }
    const fs::path own = fs::path(path) / "summary.csv";
    if (is_file(own)) {
      all.push_back(own.string());
      continue;
    }
    auto below = summaries_below(path);
    if (!below) return below.error();
    all.insert(all.end(), below->begin(), below->end());
  }
  return all;
}

Result<std::vector<RunFacts>> read_runs(
    const std::string& summary,
    const std::function<Status(std::size_t run, const Record& record)>& row,
    std::vector<std::string>& warnings) {
  auto reader = SummaryReader::open(summary);
  if (!reader) return reader.error();
  std::vector<RunFacts> runs;
  std::map<std::string, std::size_t> index;
  while (true) {
    Record record;
    const Result<bool> more = reader->next(record);
    if (!more) return more.error();
    if (!*more) break;
    const auto [found, fresh] = index.try_emplace(record.run_id, runs.size());
    if (fresh) runs.push_back({summary, record.run_id, record.axes.isa, false, std::nullopt, 0});
    RunFacts& run = runs[found->second];
    run.mixed_isa = run.mixed_isa || run.isa != record.axes.isa;
    ++run.rows;
    if (Status added = row(found->second, record); !added) {
      return Error{added.error().kind, reader->where() + added.error().message};
    }
  }
  if (const auto manifest = manifest_beside(summary, warnings)) {
    for (RunFacts& run : runs) {
      if (run.run_id == manifest->run_id) run.manifest = manifest;
    }
  }
  return runs;
}

std::vector<std::string> machine_doubts(const std::vector<RunFacts>& base,
                                        const std::vector<RunFacts>& head) {
  std::vector<std::string> doubts;
  std::vector<const RunFacts*> all;
  for (const RunFacts& run : base) all.push_back(&run);
  for (const RunFacts& run : head) all.push_back(&run);
  const RunFacts* first = nullptr;
  std::set<std::string> told;
  for (const RunFacts* run : all) {
    if (run->mixed_isa) {
      doubts.push_back(name_of(*run) +
                       ": its rows name several instruction sets: rows of several machines?");
    }
    if (!run->manifest) {
      doubts.push_back(reason_unknown(*run));
      continue;
    }
    if (!run->manifest->isa.empty() && !run->mixed_isa && run->isa != run->manifest->isa) {
      doubts.push_back(fmt::format("{}: its rows ran on {}, its manifest says {}", name_of(*run),
                                   run->isa, run->manifest->isa));
    }
    if (first == nullptr) first = run;
    const auto differences = fingerprint_differences(*first->manifest, *run->manifest);
    // Said once for runs that differ in the same way.
    if (!differences.empty() && told.insert(run->manifest->fingerprint()).second) {
      doubts.push_back(fmt::format("{} and {} are of different machines or builds: {}",
                                   name_of(*first), name_of(*run), joined(differences, 6)));
    }
  }
  return doubts;
}

std::string runs_text(const std::vector<RunFacts>& runs) {
  std::string text = fmt::format("{} run{}", runs.size(), runs.size() == 1 ? "" : "s");
  const auto add = [&](const std::string& word) {
    if (!word.empty()) text += ", " + word;
  };
  for (const RunFacts& run : runs) {
    if (!run.manifest) continue;
    const Manifest& manifest = *run.manifest;
    add("attnbench " + manifest.tool.version);
    add(manifest.tool.git);
    add(manifest.tool.compiler);
    add(manifest.machine.cpu_model);
    break;
  }
  return text;
}

}  // namespace attnbench::cli

#include "cli/gate_builds.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <vector>

#include "attention/hash.h"
#include "cli/build_info.h"
#include "cli/process.h"
#include "cli/report.h"
#include "record/files.h"

namespace attnbench::cli {
namespace {

namespace fs = std::filesystem;

/// The flags of both builds, whatever their own CMakeLists says: code that is aligned the same way
/// differs less in speed when only its place changed.
constexpr const char* kAlignment = "-falign-functions=64 -falign-loops=32";

/// Standard output of a program without its last line end; nothing when it failed.
std::optional<std::string> output_of(const std::vector<std::string>& command) {
  const std::string line = shell_quoted(command) + " 2>/dev/null";
  FILE* pipe = ::popen(line.c_str(), "r");
  if (pipe == nullptr) return std::nullopt;
  std::string text;
  std::array<char, 4096> chunk{};
  for (std::size_t got = 0; (got = std::fread(chunk.data(), 1, chunk.size(), pipe)) > 0;) {
    text.append(chunk.data(), got);
  }
  if (::pclose(pipe) != 0) return std::nullopt;
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::optional<std::string> commit_of(const std::string& repository, const std::string& revision) {
  return output_of({"git", "-C", repository, "rev-parse", "--verify", "--quiet", "--end-of-options",
                    revision + "^{commit}"});
}

/// The repository to look in: of the working directory when it is one of attnbench, else the
/// sources of this build.
std::optional<std::string> repository() {
  for (const std::string& start : {std::string("."), std::string(ATTNBENCH_SOURCE_DIR)}) {
    const auto top = output_of({"git", "-C", start, "rev-parse", "--show-toplevel"});
    if (top && fs::exists(fs::path(*top) / "src" / "attention" / "variant.h")) return top;
  }
  return std::nullopt;
}

fs::path cache_folder() {
  std::string root = environment_variable("XDG_CACHE_HOME");
  if (root.empty()) root = environment_variable("HOME") + "/.cache";
  return fs::path(root) / "attnbench" / "builds";
}

/// Runs a step of a build with its output in `log`.
Status step(const std::vector<std::string>& command, const fs::path& log) {
  const auto code = run_process(
      {"/bin/sh", "-c", shell_quoted(command) + " >> " + shell_quoted({log.string()}) + " 2>&1"});
  if (!code) return code.error();
  if (*code == 0) return ok_status();
  return io_error(
      fmt::format("'{}' failed; its output is in {}", shell_quoted(command), log.string()));
}

Status build_revision(const std::string& top, const std::string& commit, const fs::path& folder) {
  std::error_code ignored;
  const fs::path source = folder / "source", log = folder / "build.log";
  // What an interrupted build left is begun again.
  fs::remove_all(source, ignored);
  fs::remove(log, ignored);
  Status status = step({"git", "-C", top, "worktree", "prune"}, log);
  if (status) {
    status = step(
        {"git", "-C", top, "worktree", "add", "--detach", "--force", source.string(), commit}, log);
  }
  const std::string tree = (source / "build" / "release").string();
  if (status) {
    status = step({"cmake", "-S", source.string(), "-B", tree, "-DCMAKE_BUILD_TYPE=Release",
                   "-DATTNBENCH_TESTS=OFF", std::string("-DCMAKE_CXX_FLAGS=") + kAlignment},
                  log);
  }
  if (status) {
    status = step({"cmake", "--build", tree, "--parallel", "--target", "attnbench"}, log);
  }
  return status;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

Result<NamedBuild> from_revision(const std::string& text, const std::string& flag,
                                 const std::function<void(const std::string&)>& say) {
  const auto top = repository();
  if (!top) {
    return usage_error(fmt::format(
        "{} {}: no such file, and no repository of attnbench here to find a revision in; accepted: "
        "the path of an attnbench binary, or a git revision inside its repository",
        flag, text));
  }
  const auto commit = commit_of(*top, text);
  if (!commit) {
    return usage_error(fmt::format(
        "{} {}: neither a file nor a git revision of {}; accepted: the path of an attnbench "
        "binary, or a revision (main, v1.0, HEAD~1)",
        flag, text, *top));
  }
  const std::string recipe = build_info().compiler + kAlignment;
  const fs::path folder =
      cache_folder() / (commit->substr(0, 12) + "-" + hex16(fnv1a64(recipe)).substr(0, 8));
  std::error_code code;
  fs::create_directories(folder, code);
  if (code) return io_error(fmt::format("{}: {}", folder.string(), code.message()));
  const auto lock = DirectoryLock::take(folder.string());
  if (!lock) return lock.error();
  const fs::path binary = folder / "source" / "build" / "release" / "attnbench";
  const fs::path marker = folder / "built";
  if (!fs::exists(marker) || !fs::exists(binary)) {
    say(fmt::format("building {} ({}) in {}", text, commit->substr(0, 12), folder.string()));
    Status built = build_revision(*top, *commit, folder);
    if (built) built = write_file_atomically(marker.string(), *commit + "\n");
    if (!built) return built.error();
  }
  return NamedBuild{text, binary.string(), "commit " + commit->substr(0, 12)};
}

}  // namespace

Result<NamedBuild> find_build(const std::string& text, const std::string& flag,
                              const std::function<void(const std::string&)>& say) {
  const fs::path path(text);
  std::error_code code;
  if (!fs::is_regular_file(path, code)) return from_revision(text, flag, say);
  if (path.extension() == ".so") {
    return unsupported_error(
        fmt::format("{} {}: kernels in shared libraries cannot be gated yet; accepted: the path of "
                    "an attnbench binary, or a git revision",
                    flag, text));
  }
  const std::string absolute = fs::absolute(path).lexically_normal().string();
  if (::access(absolute.c_str(), X_OK) != 0) {
    return usage_error(
        fmt::format("{} {}: is not executable; accepted: the path of an attnbench "
                    "binary, or a git revision",
                    flag, text));
  }
  const auto version = output_of({absolute, "--version"});
  return NamedBuild{text, absolute, version ? first_line(*version) : ""};
}

}  // namespace attnbench::cli

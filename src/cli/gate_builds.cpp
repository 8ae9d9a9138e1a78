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
#include "kernels/arena.h"
#include "record/files.h"

namespace attnbench::cli {
namespace {

namespace fs = std::filesystem;

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

/// Compiler, build type and flags of this build: a revision is built the way this one was.
std::vector<std::string> recipe() {
  std::vector<std::string> settings{std::string("-DCMAKE_BUILD_TYPE=") + ATTNBENCH_BUILD_TYPE,
                                    std::string("-DCMAKE_CXX_FLAGS=") + ATTNBENCH_CXX_FLAGS};
  if (fs::exists(ATTNBENCH_CXX_COMPILER)) {
    settings.push_back(std::string("-DCMAKE_CXX_COMPILER=") + ATTNBENCH_CXX_COMPILER);
  }
  return settings;
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
    std::vector<std::string> configure{"cmake", "-S", source.string(),
                                       "-B",    tree, "-DATTNBENCH_TESTS=OFF"};
    for (std::string& setting : recipe()) configure.push_back(std::move(setting));
    status = step(configure, log);
  }
  if (status) {
    // Without a number some build tools start everything at once.
    status = step({"cmake", "--build", tree, "--parallel",
                   std::to_string(kernels::available_cpus()), "--target", "attnbench"},
                  log);
  }
  return status;
}

/// The build of a program: what --version says of it.
NamedBuild described(const std::string& given, const std::string& binary) {
  NamedBuild build{given, binary, "", ""};
  const auto version = output_of({binary, "--version"});
  if (!version) return build;
  const std::size_t line_end = version->find('\n');
  build.detail = version->substr(0, line_end);
  if (line_end != std::string::npos) build.made_of = version->substr(line_end + 1);
  return build;
}

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
  const std::string made_by = build_info().compiler + shell_quoted(recipe());
  const fs::path folder =
      cache_folder() / (commit->substr(0, 12) + "-" + hex16(fnv1a64(made_by)).substr(0, 8));
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
  NamedBuild build = described(text, binary.string());
  build.detail = "commit " + commit->substr(0, 12);
  return build;
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
  return described(text, absolute);
}

}  // namespace attnbench::cli

#include "cli/build_info.h"

#include <fmt/format.h>
#include <hwy/highway.h>
#include <oneapi/dnnl/dnnl_version.h>
#include <tbb/version.h>
#include <toml++/toml.h>

#include <CLI/Version.hpp>
#include <boost/version.hpp>
#include <nlohmann/json.hpp>

#include "version.inc"

namespace attnbench::cli {

BuildInfo build_info() {
  const auto dotted = [](int major, int minor, int patch) {
    return fmt::format("{}.{}.{}", major, minor, patch);
  };
  BuildInfo info{.version = ATTNBENCH_VERSION,
                 .git = ATTNBENCH_GIT,
                 .compiler = ATTNBENCH_COMPILER,
                 .flags = ATTNBENCH_FLAGS,
                 .libraries = {}};
  info.libraries = {
      {"oneDNN", dotted(DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR, DNNL_VERSION_PATCH)},
      {"oneTBB", dotted(TBB_VERSION_MAJOR, TBB_VERSION_MINOR, TBB_VERSION_PATCH)},
      {"fmt", dotted(FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
      {"CLI11", CLI11_VERSION},
      {"Highway", dotted(HWY_MAJOR, HWY_MINOR, HWY_PATCH)},
      {"Google Benchmark", ATTNBENCH_BENCHMARK_VERSION},
      {"toml++", dotted(TOML_LIB_MAJOR, TOML_LIB_MINOR, TOML_LIB_PATCH)},
      {"nlohmann-json", dotted(NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                               NLOHMANN_JSON_VERSION_PATCH)},
      {"Boost", dotted(BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000, BOOST_VERSION % 100)},
  };
  return info;
}

std::string version_text() {
  const BuildInfo info = build_info();
  std::string text = "attnbench " + info.version;
  if (!info.git.empty()) text += " (" + info.git + ")";
  text += fmt::format("\nbuilt with {}, {}\n", info.compiler, info.flags);
  std::string libraries;
  for (const auto& [name, version] : info.libraries) {
    libraries += (libraries.empty() ? "" : ", ") + name + " " + version;
  }
  return text + "libraries: " + libraries + "\n";
}

}  // namespace attnbench::cli

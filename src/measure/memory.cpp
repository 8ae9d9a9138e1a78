#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "measure/environment.h"
#include "measure/system_files.h"

namespace attnbench::measure {
namespace {

constexpr std::int64_t kUnlimited = std::numeric_limits<std::int64_t>::max();

/// What one cgroup directory leaves: limit - use, page cache that can be dropped not counted as
/// use. Unlimited where there is no limit or no controller.
std::int64_t cgroup_left(const std::string& directory, const char* limit_file,
                         const char* usage_file, const char* inactive_key) {
  const std::optional<std::int64_t> limit = read_integer(directory + "/" + limit_file);
  const std::optional<std::int64_t> usage = read_integer(directory + "/" + usage_file);
  // v2 writes "max" and v1 a number near 2^63 where there is no limit.
  if (!limit || !usage || *limit > (std::int64_t{1} << 60)) return kUnlimited;
  std::int64_t droppable = 0;
  if (const auto stat = read_text(directory + "/memory.stat")) {
    if (const auto inactive = field_of(*stat, inactive_key)) {
      droppable = parse_integer(*inactive).value_or(0);
    }
  }
  return std::max<std::int64_t>(0, *limit - std::max<std::int64_t>(0, *usage - droppable));
}

/// The least that this cgroup and those above it leave. `path` starts with '/'.
std::int64_t hierarchy_left(const std::string& mount, std::string path, const char* limit_file,
                            const char* usage_file, const char* inactive_key) {
  std::int64_t left = kUnlimited;
  for (;;) {
    left = std::min(left, cgroup_left(mount + path, limit_file, usage_file, inactive_key));
    const std::size_t slash = path.find_last_of('/');
    if (path.empty() || slash == std::string::npos) return left;
    path.resize(slash);
  }
}

std::int64_t cgroups_left(const std::string& root) {
  std::int64_t left = kUnlimited;
  const std::string text = read_text(root + "/proc/self/cgroup").value_or("");
  const std::string mount = root + "/sys/fs/cgroup";
  std::size_t start = 0;
  while (start < text.size()) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    const std::string line = text.substr(start, end - start);
    start = end + 1;
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    const std::string path = line.substr(second + 1);
    if (controllers == ",,") {
      left = std::min(left,
                      hierarchy_left(mount, path, "memory.max", "memory.current", "inactive_file"));
    } else if (controllers.find(",memory,") != std::string::npos) {
      left = std::min(left, hierarchy_left(mount + "/memory", path, "memory.limit_in_bytes",
                                           "memory.usage_in_bytes", "total_inactive_file"));
    }
  }
  return left;
}

}  // namespace

std::int64_t available_memory_bytes(const std::string& root) {
  const std::string info = read_text(root + "/proc/meminfo").value_or("");
  std::optional<std::int64_t> available;
  if (const auto field = field_of(info, "MemAvailable")) available = parse_integer(*field);
  const std::int64_t left = cgroups_left(root);
  if (!available) return left == kUnlimited ? 0 : left;
  return std::min(*available * 1024, left);
}

}  // namespace attnbench::measure

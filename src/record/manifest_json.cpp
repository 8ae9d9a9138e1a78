#include <fmt/format.h>

#include <cmath>

#include "attention/hash.h"
#include "record/files.h"
#include "record/json.h"
#include "record/json_text.h"
#include "record/manifest_fields.h"

namespace attnbench {
namespace {

OrderedJson text_or_null(const std::string& text) {
  return text.empty() ? OrderedJson(nullptr) : OrderedJson(text);
}
template <class T>
OrderedJson value_or_null(const std::optional<T>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}
OrderedJson finite_or_null(double value) {
  return std::isfinite(value) ? OrderedJson(value) : OrderedJson(nullptr);
}

OrderedJson machine_json(const ManifestMachine& machine) {
  OrderedJson caches = OrderedJson::array();
  for (const ManifestCache& cache : machine.caches) {
    caches.push_back({{"level", cache.level},
                      {"type", cache.type},
                      {"bytes", cache.bytes},
                      {"shared_by", cache.shared_by}});
  }
  return {{"cpu_model", text_or_null(machine.cpu_model)},
          {"vendor", text_or_null(machine.vendor)},
          {"family", value_or_null(machine.family)},
          {"model", value_or_null(machine.model)},
          {"stepping", value_or_null(machine.stepping)},
          {"microcode", text_or_null(machine.microcode)},
          {"cores", machine.cores},
          {"smt", machine.smt},
          {"numa_nodes", machine.numa_nodes},
          {"caches", std::move(caches)},
          {"memory_bytes", machine.memory_bytes},
          {"governor", text_or_null(machine.governor)},
          {"turbo", text_or_null(machine.turbo)},
          {"kernel", text_or_null(machine.kernel)},
          {"virtualised", value_or_null(machine.virtualised)}};
}

OrderedJson ceilings_json(const Manifest& manifest) {
  OrderedJson fma = OrderedJson::array();
  OrderedJson exp = OrderedJson::array();
  OrderedJson bandwidth = OrderedJson::array();
  for (const ManifestCompute& compute : manifest.compute) {
    fma.push_back(
        {{"threads", compute.threads}, {"fma_gflops", finite_or_null(compute.fma_gflops)}});
    exp.push_back({{"threads", compute.threads}, {"exp_per_s", finite_or_null(compute.exp_per_s)}});
  }
  for (const ManifestBandwidth& level : manifest.bandwidth) {
    bandwidth.push_back({{"level", level.level},
                         {"capacity_bytes", level.capacity_bytes},
                         {"threads", level.threads},
                         {"read_gbs", finite_or_null(level.read_gbs)},
                         {"copy_gbs", finite_or_null(level.copy_gbs)}});
  }
  return {{"isa", text_or_null(manifest.isa)},
          {"fma_gflops", std::move(fma)},
          {"bandwidth_gbs", std::move(bandwidth)},
          {"exp_per_s", std::move(exp)}};
}

template <class Map>
OrderedJson map_json(const Map& map) {
  OrderedJson object = OrderedJson::object();
  for (const auto& [key, value] : map) {
    if constexpr (std::is_same_v<typename Map::mapped_type, double>) {
      object[key] = finite_or_null(value);
    } else {
      object[key] = value;
    }
  }
  return object;
}

OrderedJson tool_json(const Manifest::Tool& tool) {
  return {{"version", tool.version},
          {"git", text_or_null(tool.git)},
          {"compiler", tool.compiler},
          {"flags", tool.flags}};
}

ManifestMachine machine_from(const ManifestFields& json) {
  ManifestMachine machine;
  json.read("cpu_model", machine.cpu_model);
  json.read("vendor", machine.vendor);
  json.read("family", machine.family);
  json.read("model", machine.model);
  json.read("stepping", machine.stepping);
  json.read("microcode", machine.microcode);
  json.read("cores", machine.cores);
  json.read("smt", machine.smt);
  json.read("numa_nodes", machine.numa_nodes);
  json.read_array("caches", [&](const ManifestFields& entry) {
    ManifestCache& cache = machine.caches.emplace_back();
    entry.read("level", cache.level);
    entry.read("type", cache.type);
    entry.read("bytes", cache.bytes);
    entry.read("shared_by", cache.shared_by);
  });
  json.read("memory_bytes", machine.memory_bytes);
  json.read("governor", machine.governor);
  json.read("turbo", machine.turbo);
  json.read("kernel", machine.kernel);
  json.read("virtualised", machine.virtualised);
  return machine;
}

ManifestCompute& compute_at(Manifest& manifest, int threads) {
  for (ManifestCompute& compute : manifest.compute) {
    if (compute.threads == threads) return compute;
  }
  ManifestCompute& compute = manifest.compute.emplace_back();
  compute.threads = threads;
  return compute;
}

void read_ceilings(const ManifestFields& json, Manifest& manifest) {
  json.read("isa", manifest.isa);
  const auto read_figure = [&](const char* key, double ManifestCompute::*figure) {
    json.read_array(key, [&](const ManifestFields& entry) {
      int threads = 1;
      entry.read("threads", threads);
      entry.read(key, compute_at(manifest, threads).*figure);
    });
  };
  read_figure("fma_gflops", &ManifestCompute::fma_gflops);
  read_figure("exp_per_s", &ManifestCompute::exp_per_s);
  json.read_array("bandwidth_gbs", [&](const ManifestFields& entry) {
    ManifestBandwidth& level = manifest.bandwidth.emplace_back();
    entry.read("level", level.level);
    entry.read("capacity_bytes", level.capacity_bytes);
    entry.read("threads", level.threads);
    entry.read("read_gbs", level.read_gbs);
    entry.read("copy_gbs", level.copy_gbs);
  });
}

void read_tool(const ManifestFields& json, Manifest::Tool& tool) {
  json.read("version", tool.version);
  json.read("git", tool.git);
  json.read("compiler", tool.compiler);
  json.read("flags", tool.flags);
}

/// What two runs must have in common to be compared.
OrderedJson identity_json(const Manifest& manifest) {
  OrderedJson identity = machine_json(manifest.machine);
  identity.erase("memory_bytes");
  identity["compiler"] = manifest.tool.compiler;
  identity["flags"] = manifest.tool.flags;
  identity["libraries"] = map_json(manifest.libraries);
  identity["isa"] = manifest.isa;
  return identity;
}

}  // namespace

std::string Manifest::fingerprint() const {
  return hex16(fnv1a64(dump_json(identity_json(*this))));
}

std::vector<std::string> fingerprint_differences(const Manifest& a, const Manifest& b) {
  const OrderedJson left = identity_json(a), right = identity_json(b);
  const auto text = [](const OrderedJson& value) {
    if (value.is_null()) return std::string("unknown");
    return value.is_string() ? value.get<std::string>() : value.dump();
  };
  std::vector<std::string> differences;
  for (const auto& [key, value] : left.items()) {
    if (value == right[key]) continue;
    if (key != "libraries") {
      differences.push_back(fmt::format("{}: {} | {}", key, text(value), text(right[key])));
      continue;
    }
    std::map<std::string, std::pair<std::string, std::string>> versions;
    for (const auto& [name, version] : a.libraries) versions[name].first = version;
    for (const auto& [name, version] : b.libraries) versions[name].second = version;
    for (const auto& [name, pair] : versions) {
      if (pair.first == pair.second) continue;
      differences.push_back(fmt::format("{}: {} | {}", name,
                                        pair.first.empty() ? "none" : pair.first,
                                        pair.second.empty() ? "none" : pair.second));
    }
  }
  return differences;
}

std::string manifest_to_json(const Manifest& manifest) {
  return dump_json({{"schema_version", kSchemaVersion},
                    {"run_id", manifest.run_id},
                    {"started_at", text_or_null(manifest.started_at)},
                    {"finished_at", text_or_null(manifest.finished_at)},
                    {"complete", manifest.complete},
                    {"command", manifest.command},
                    {"config", manifest.config_toml},
                    {"seed", manifest.seed},
                    {"tool", tool_json(manifest.tool)},
                    {"libraries", map_json(manifest.libraries)},
                    {"machine", machine_json(manifest.machine)},
                    {"ceilings", ceilings_json(manifest)},
                    {"noise", map_json(manifest.noise)},
                    {"timing", map_json(manifest.timing)},
                    {"warnings", manifest.warnings},
                    {"fingerprint", manifest.fingerprint()}});
}

Result<Manifest> manifest_from_json(std::string_view text, const std::string& source) {
  Result<OrderedJson> json = parse_json(text, source);
  if (!json) return json.error();
  if (!json->is_object()) return io_error(source + ": expected an object");
  ManifestErrors errors;
  const ManifestFields root(*json, "", errors);
  std::int64_t version = 0;
  root.require("schema_version", version);
  if (errors.first.empty() && version != kSchemaVersion) {
    return io_error(fmt::format("{}: schema_version is {}; this build reads schema {}", source,
                                version, kSchemaVersion));
  }
  Manifest manifest;
  root.require("run_id", manifest.run_id);
  root.require("config", manifest.config_toml);
  root.require("seed", manifest.seed);
  root.read("started_at", manifest.started_at);
  root.read("finished_at", manifest.finished_at);
  root.read("complete", manifest.complete);
  root.read("command", manifest.command);
  read_tool(root.object("tool"), manifest.tool);
  root.read_map("libraries", manifest.libraries);
  manifest.machine = machine_from(root.object("machine"));
  read_ceilings(root.object("ceilings"), manifest);
  root.read_map("noise", manifest.noise);
  root.read_map("timing", manifest.timing);
  root.read_list("warnings", manifest.warnings);
  if (!errors.first.empty()) return io_error(source + ": " + errors.first);
  return manifest;
}

Result<Manifest> read_manifest(const std::string& path) {
  Result<std::string> text = read_file(path);
  if (!text) return text.error();
  return manifest_from_json(*text, path);
}

}  // namespace attnbench

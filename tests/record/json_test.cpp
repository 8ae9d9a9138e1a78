#include "record/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "record/example.h"
#include "record/schema.h"

namespace attnbench {
namespace {

using nlohmann::json;
using testing::example_record;

json records_json(const std::vector<Record>& records) {
  return json::parse(records_to_json(records));
}

std::string records_error(const json& value) {
  const auto records = records_from_json(value.dump(), "s.json");
  return records ? "accepted" : records.error().message;
}

Manifest example_manifest() {
  Manifest m;
  m.run_id = "2031-02-03T04-05-06Z-quick";
  m.started_at = "2031-02-03T04:05:06Z";
  m.finished_at = "2031-02-03T04:06:06Z";
  m.complete = true;
  m.command = "attnbench run 'my config.toml'";
  m.config_toml = "variants = [\"full\"]\nseed = 7\n";
  m.seed = 18446744073709551615ULL;
  m.tool = {"0.1.0", "abc1234", "GNU 12.2.0", "Release -O3"};
  m.libraries = {{"oneDNN", "2.6.0"}, {"TBB", "2021.8"}};
  m.machine.cpu_model = "CPU X";
  m.machine.vendor = "Vendor";
  m.machine.family = 6;
  m.machine.model = 85;
  m.machine.stepping = 7;
  m.machine.microcode = "0x1";
  m.machine.cores = 2;
  m.machine.smt = true;
  m.machine.caches = {{1, "data", 32768, 2}, {3, "unified", 1 << 25, 16}};
  m.machine.memory_bytes = 8LL << 30;
  m.machine.governor = "performance";
  m.machine.turbo = "on";
  m.machine.kernel = "6.1";
  m.machine.virtualised = true;
  m.isa = "avx512";
  m.compute = {{1, 150.5, 2e9}, {2, 283.25, 4e9}};
  m.bandwidth = {{"L1", 32768, 1, 400.5, 300}, {"memory", 0, 2, 14.5, 12}};
  m.noise = {{"steal_fraction", 0.01}};
  m.timing = {{"wall_s", 60.5}, {"timed_s", 55}};
  m.warnings = {"the governor is powersave", "a \"quoted\" one"};
  return m;
}

std::string manifest_error(const json& value) {
  const auto manifest = manifest_from_json(value.dump(), "m.json");
  return manifest ? "accepted" : manifest.error().message;
}

json manifest_document() { return json::parse(manifest_to_json(example_manifest())); }

TEST(RecordsJson, NumbersAreNumbersAndAbsentIsNull) {
  const json array = records_json({example_record(), testing::skipped_record()});
  ASSERT_EQ(array.size(), 2u);
  EXPECT_EQ(array[0]["schema_version"], 1);
  EXPECT_EQ(array[0]["case_id"], example_record().case_id());
  EXPECT_EQ(array[0]["time_median_s"], 0.00125);
  EXPECT_EQ(array[0]["instructions"], 9000000000000);
  EXPECT_EQ(array[0]["seed"], 18446744073709551615ULL);
  EXPECT_EQ(array[0]["causal"], true);
  EXPECT_EQ(array[0]["status"], "ok");
  EXPECT_TRUE(array[1]["time_median_s"].is_null());
  EXPECT_TRUE(array[1]["stop_reason"].is_null());
  EXPECT_EQ(array[1]["samples"], 0);
}

TEST(RecordsJson, KeysAreTheColumnsInOrder) {
  const auto ordered =
      nlohmann::ordered_json::parse(records_to_json(std::vector{example_record()}));
  std::vector<std::string> keys;
  for (const auto& [key, value] : ordered[0].items()) keys.push_back(key);
  EXPECT_EQ(keys, summary_header());
}

TEST(RecordsJson, RoundTrips) {
  Record infinite = example_record();
  infinite.definition_rel_l2 = HUGE_VAL;
  const std::vector<Record> records{example_record(), testing::skipped_record(), infinite};
  EXPECT_EQ(records_json(records)[2]["definition_rel_l2"], "inf");
  const auto back = records_from_json(records_to_json(records), "s.json");
  ASSERT_TRUE(back) << back.error().message;
  ASSERT_EQ(back->size(), records.size());
  for (std::size_t i = 0; i < records.size(); ++i) {
    EXPECT_EQ(to_cells((*back)[i]), to_cells(records[i]));
  }
  EXPECT_TRUE(records_from_json("[]", "s.json")->empty());
}

TEST(RecordsJson, ReplacesBytesThatAreNotUtf8) {
  Record record = testing::skipped_record();
  record.reason = "bad \xff byte";
  EXPECT_EQ(records_json({record})[0]["reason"], "bad \xef\xbf\xbd byte");
}

TEST(RecordsJson, RefusesWrongTypesAndSaysWhere) {
  const json good = records_json({example_record()});
  const auto with = [&](const char* key, json value) {
    json changed = good;
    changed[0][key] = std::move(value);
    return records_error(changed);
  };
  EXPECT_EQ(with("variant", "another"), "accepted");
  EXPECT_EQ(with("comment", "ignored"), "accepted");
  EXPECT_EQ(with("time_median_s", 2), "accepted");
  EXPECT_EQ(
      with("time_median_s", -2),
      "s.json: record 1: key time_median_s: -2 is not accepted; expected a finite number >= 0, "
      "or nothing");
  EXPECT_EQ(with("threads", nullptr),
            "s.json: record 1: key threads: null is not accepted; expected an integer >= 1");
  EXPECT_EQ(with("schema_version", 2),
            "s.json: record 1: key schema_version: 2 is not accepted; this build reads schema 1");
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, json>>{{"time_median_s", "0.1"},
                                                 {"time_median_s", true},
                                                 {"time_median_s", "inf"},
                                                 {"threads", 1.5},
                                                 {"threads", json::array()},
                                                 {"causal", 1},
                                                 {"causal", "true"},
                                                 {"variant", 5},
                                                 {"seed", -1},
                                                 {"status", "great"},
                                                 {"cycles", 9223372036854775808ULL}}) {
    EXPECT_NE(with(key, value), "accepted") << key << " " << value;
  }
  EXPECT_EQ(records_error(json::object()), "s.json: expected an array of objects");
  EXPECT_EQ(records_error(json::array({1})), "s.json: record 1: expected an object");
  const auto torn = records_from_json("[{\"a\": ", "s.json");
  ASSERT_FALSE(torn);
  EXPECT_EQ(torn.error().message.find("s.json: not valid JSON: parse error at line 1"), 0u);
}

TEST(RecordsJson, SurvivesDeepNesting) {
  EXPECT_FALSE(records_from_json(std::string(100000, '['), "s.json"));
  const std::string nested = std::string(50000, '[') + std::string(50000, ']');
  EXPECT_FALSE(records_from_json(nested, "s.json"));
}

TEST(ManifestJson, HasTheKeysOfTheContract) {
  const auto document = nlohmann::ordered_json::parse(manifest_to_json(example_manifest()));
  std::vector<std::string> keys;
  for (const auto& [key, value] : document.items()) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<std::string>{"schema_version", "run_id", "started_at", "finished_at",
                                            "complete", "command", "config", "seed", "tool",
                                            "libraries", "machine", "ceilings", "noise", "timing",
                                            "warnings", "fingerprint"}));
  EXPECT_EQ(document["ceilings"]["fma_gflops"][1]["threads"], 2);
  EXPECT_EQ(document["ceilings"]["fma_gflops"][1]["fma_gflops"], 283.25);
  EXPECT_EQ(document["ceilings"]["exp_per_s"][0]["exp_per_s"], 2e9);
  EXPECT_EQ(document["ceilings"]["bandwidth_gbs"][1]["level"], "memory");
  EXPECT_EQ(document["machine"]["caches"][0]["bytes"], 32768);
}

TEST(ManifestJson, RoundTrips) {
  const std::string text = manifest_to_json(example_manifest());
  const auto back = manifest_from_json(text, "m.json");
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(manifest_to_json(*back), text);
  EXPECT_EQ(back->seed, 18446744073709551615ULL);
  EXPECT_EQ(back->compute.size(), 2u);
  EXPECT_EQ(back->compute[1].fma_gflops, 283.25);
  EXPECT_EQ(back->compute[1].exp_per_s, 4e9);
  EXPECT_EQ(back->warnings, example_manifest().warnings);
}

TEST(ManifestJson, AbsentFiguresAreNullAndComeBackAbsent) {
  Manifest bare;
  bare.run_id = "r";
  bare.noise["load_1min"] = std::nan("");
  const std::string text = manifest_to_json(bare);
  const json document = json::parse(text);
  EXPECT_TRUE(document["finished_at"].is_null());
  EXPECT_TRUE(document["machine"]["family"].is_null());
  EXPECT_TRUE(document["machine"]["virtualised"].is_null());
  EXPECT_TRUE(document["machine"]["governor"].is_null());
  EXPECT_TRUE(document["noise"]["load_1min"].is_null());
  const auto back = manifest_from_json(text, "m.json");
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_FALSE(back->machine.family);
  EXPECT_FALSE(back->noise.contains("load_1min"));
}

TEST(ManifestJson, ReadsAShortOneAndIgnoresUnknownKeys) {
  const auto manifest = manifest_from_json(
      R"({"schema_version": 1, "run_id": "r", "config": "", "seed": 3, "extra": {"a": [1]}})", "m");
  ASSERT_TRUE(manifest) << manifest.error().message;
  EXPECT_EQ(manifest->seed, 3u);
  EXPECT_FALSE(manifest->complete);
}

TEST(ManifestJson, RefusesWrongTypesAndNamesTheKey) {
  const auto with = [](const char* pointer, json value) {
    json changed = manifest_document();
    changed[json::json_pointer(pointer)] = std::move(value);
    return manifest_error(changed);
  };
  EXPECT_EQ(with("/complete", true), "accepted");
  EXPECT_EQ(with("/machine/cores", "two"),
            "m.json: key machine.cores: \"two\" is not accepted; expected an integer");
  EXPECT_EQ(with("/machine/caches/1/bytes", 1.5),
            "m.json: key machine.caches[1].bytes: 1.5 is not accepted; expected an integer");
  EXPECT_EQ(with("/ceilings/fma_gflops", 150),
            "m.json: key ceilings.fma_gflops: 150 is not accepted; expected an array");
  EXPECT_EQ(with("/schema_version", 2), "m.json: schema_version is 2; this build reads schema 1");
  EXPECT_EQ(with("/seed", -1), "m.json: key seed: -1 is not accepted; expected an integer >= 0");
  EXPECT_EQ(with("/machine/model", 1LL << 40),
            "m.json: key machine.model: 1099511627776 is not accepted; expected a smaller integer");
  EXPECT_NE(with("/warnings", "one"), "accepted");
  EXPECT_NE(with("/noise/steal_fraction", "low"), "accepted");
  EXPECT_NE(with("/tool", 5), "accepted");
  json missing = manifest_document();
  missing.erase("config");
  EXPECT_EQ(manifest_error(missing), "m.json: key config is missing");
  EXPECT_EQ(manifest_error(json::array()), "m.json: expected an object");
}

TEST(ManifestJson, ReadingAMissingFileIsAnError) {
  const testing::ScratchDirectory scratch;
  const auto manifest = read_manifest(scratch.file("manifest.json"));
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().kind, Error::Kind::io);
}

TEST(Fingerprint, DependsOnMachineBuildAndLibrariesAlone) {
  const Manifest base = example_manifest();
  const std::string fingerprint = base.fingerprint();
  EXPECT_EQ(fingerprint.size(), 16u);
  const auto changed = [&](auto change) {
    Manifest other = base;
    change(other);
    return other.fingerprint() != fingerprint;
  };
  EXPECT_FALSE(changed([](Manifest& m) { m.machine.memory_bytes = 1; }));
  EXPECT_FALSE(changed([](Manifest& m) { m.run_id = "other"; }));
  EXPECT_FALSE(changed([](Manifest& m) { m.tool.git = "other"; }));
  EXPECT_FALSE(changed([](Manifest& m) { m.compute.clear(); }));
  EXPECT_FALSE(changed([](Manifest& m) { m.seed = 2; }));
  EXPECT_TRUE(changed([](Manifest& m) { m.machine.cpu_model = "other"; }));
  EXPECT_TRUE(changed([](Manifest& m) { m.machine.caches[0].bytes = 1; }));
  EXPECT_TRUE(changed([](Manifest& m) { m.machine.virtualised.reset(); }));
  EXPECT_TRUE(changed([](Manifest& m) { m.tool.compiler = "other"; }));
  EXPECT_TRUE(changed([](Manifest& m) { m.tool.flags = "other"; }));
  EXPECT_TRUE(changed([](Manifest& m) { m.libraries["TBB"] = "other"; }));
  EXPECT_TRUE(changed([](Manifest& m) { m.isa = "avx2"; }));
}

}  // namespace
}  // namespace attnbench

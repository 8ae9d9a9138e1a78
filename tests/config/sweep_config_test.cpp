// Files and flags become a SweepConfig.
#include "config/sweep_config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/fake_variants.h"

namespace attnbench {
namespace {

using Integers = std::vector<std::int64_t>;
using Texts = std::vector<std::string>;

class SweepConfigTest : public ::testing::Test {
 protected:
  SweepConfigTest() { testing::add_fakes(registry_); }

  Result<SweepConfig> parse(const std::string& toml, const FlagTexts& flags = {},
                            const Texts& params = {}, int threads = 4) const {
    return parse_sweep_config(toml, "s.toml", flags, params, registry_, threads);
  }
  SweepConfig good(const std::string& toml, const FlagTexts& flags = {}, const Texts& params = {},
                   int threads = 4) const {
    auto config = parse(toml, flags, params, threads);
    EXPECT_TRUE(config) << (config ? "" : config.error().message);
    return config ? *config : SweepConfig{};
  }

  Registry registry_;
};

TEST_F(SweepConfigTest, DefaultsWithoutFileAndFlags) {
  const auto config = load_sweep_config(std::nullopt, {}, {}, registry_, 4);
  ASSERT_TRUE(config);
  SweepConfig expected;
  expected.variants = registry_.names();
  expected.seq = {256, 512, 1024, 2048, 4096};
  expected.threads = {1, 4};
  EXPECT_EQ(*config, expected);
}

TEST_F(SweepConfigTest, ThreadsDefaultToOneOnAMachineWithOneCore) {
  EXPECT_EQ(good("", {}, {}, 1).threads, (Integers{1}));
  EXPECT_EQ(good("threads = \"1,all\"", {}, {}, 1).threads, (Integers{1}));
  EXPECT_EQ(good("threads = [1, \"all\"]", {}, {}, 6).threads, (Integers{1, 6}));
  EXPECT_EQ(good("", {{"threads", "1:all:x2,all"}}, {}, 6).threads, (Integers{1, 2, 4, 6}));
}

TEST_F(SweepConfigTest, ReadsEveryKey) {
  const SweepConfig config = good(R"(
title = "all of it"
variants = ["local", "flash"]
mode = "cross"
seq = "256:1024:x2"
seq-k = [128, "1k"]
threads = 2
batch = [1, 2]
heads = 16
kv-heads = "4,16"
dim = 32
dim-v = [32, 48]
causal = [false, true]
position = ["none", "rope,alibi"]
softcap = ["none", 50, "30.5"]
sink = [false, true]
pass = "fwd,fwd+bwd"
input = ["gaussian", "sink"]
layout = "bnhd"
cache = "cold"
counters = "off"
isa = "avx2"
scale = 0.5
seed = 42
target-ci = "5%"
budget = "2m"
timeout = 10
max-samples = 50
memory-limit = "1GiB"
format = "json,markdown"
[param.local]
left = [64, 128]
right = "0"
)");
  SweepConfig expected;
  expected.title = "all of it";
  expected.variants = {"local", "flash"};
  expected.mode = Mode::cross;
  expected.seq = {256, 512, 1024};
  expected.seq_k = {128, 1024};
  expected.threads = {2};
  expected.batch = {1, 2};
  expected.heads = {16};
  expected.kv_heads = {4, 16};
  expected.dim = {32};
  expected.dim_v = {32, 48};
  expected.causal = {false, true};
  expected.position = {Position::none, Position::rope, Position::alibi};
  expected.softcap = {std::nullopt, 50, 30.5};
  expected.sink = {false, true};
  expected.pass = {Pass::fwd, Pass::fwd_bwd};
  expected.input = {"gaussian", "sink"};
  expected.layout = Layout::bnhd;
  expected.cache = {CacheState::cold};
  expected.counters = CounterUse::off;
  expected.isa = "avx2";
  expected.scale = 0.5;
  expected.seed = 42;
  expected.target_ci = 0.05;
  expected.budget_s = 120;
  expected.case_timeout_s = 10;
  expected.max_samples = 50;
  expected.memory_limit_bytes = 1073741824.0;
  expected.formats = {"csv", "json", "markdown"};
  expected.params = {{"local", {{"left", {"64", "128"}}, {"right", {"0"}}}}};
  EXPECT_EQ(config, expected);
}

TEST_F(SweepConfigTest, TheSameTextIsAcceptedFromFlags) {
  const SweepConfig from_flags = good("",
                                      {{"variants", "local,flash"},
                                       {"seq", "256:1024:x2"},
                                       {"seq-k", "="},
                                       {"causal", "off,on"},
                                       {"position", "alibi, rope"},
                                       {"softcap", "none,50"},
                                       {"sink", ""},
                                       {"scale", "-0.25"},
                                       {"seed", "18446744073709551615"},
                                       {"format", "markdown"}},
                                      {"local.left=64,128"});
  EXPECT_EQ(from_flags.seq, (Integers{256, 512, 1024}));
  EXPECT_TRUE(from_flags.seq_k.empty());
  EXPECT_EQ(from_flags.causal, (std::vector<bool>{false, true}));
  EXPECT_EQ(from_flags.position, (std::vector<Position>{Position::alibi, Position::rope}));
  EXPECT_EQ(from_flags.softcap, (std::vector<std::optional<double>>{std::nullopt, 50}));
  EXPECT_EQ(from_flags.sink, (std::vector<bool>{true}));
  EXPECT_EQ(from_flags.scale, -0.25);
  EXPECT_EQ(from_flags.seed, 18446744073709551615u);
  EXPECT_EQ(from_flags.formats, (Texts{"csv", "markdown"}));
  EXPECT_EQ(from_flags.params.at("local").at("left"), (Texts{"64", "128"}));
}

TEST_F(SweepConfigTest, FlagsOverrideTheFileKeyByKey) {
  const std::string file =
      "variants = \"local\"\nseq = 512\nheads = 2\n"
      "[param.local]\nleft = 64\nright = 8\n";
  const SweepConfig config = good(file, {{"seq", "1k"}}, {"left=1,2"});
  EXPECT_EQ(config.seq, (Integers{1024}));
  EXPECT_EQ(config.heads, (Integers{2}));
  EXPECT_EQ(config.params.at("local").at("left"), (Texts{"1", "2"}));
  EXPECT_EQ(config.params.at("local").at("right"), (Texts{"8"}));
}

TEST_F(SweepConfigTest, BareCausalIsOn) {
  EXPECT_EQ(good("", {{"causal", ""}}).causal, (std::vector<bool>{true}));
}

TEST_F(SweepConfigTest, UnderscoresAreDashes) {
  const SweepConfig config = good(
      "kv_heads = 2\ntarget_ci = 0.1\nvariants = \"global\"\n[param.global]\nself_loops = "
      "[true, false]\n");
  EXPECT_EQ(config.kv_heads, (Integers{2}));
  EXPECT_EQ(config.target_ci, 0.1);
  EXPECT_EQ(config.params.at("global").at("self-loops"), (Texts{"true", "false"}));
}

TEST_F(SweepConfigTest, VariantsInEveryForm) {
  EXPECT_EQ(good("variants = \"family:softmax, local\"").variants,
            (Texts{"flash", "full", "local"}));
  EXPECT_EQ(good("variants = [\"local\", \"family:sparse\", \"all\"]").variants.size(), 8u);
  EXPECT_EQ(good("variants = [\"local\", \"flash\", \"local\"]").variants,
            (Texts{"local", "flash"}));
}

TEST_F(SweepConfigTest, ParametersInEveryForm) {
  const auto left = [&](const std::string& toml, const Texts& flags = {}) {
    return good("variants = \"local\"\n" + toml, {}, flags).params.at("local").at("left");
  };
  EXPECT_EQ(left("param.local.left = 64"), (Texts{"64"}));
  EXPECT_EQ(left("param.left = \"64,128\""), (Texts{"64", "128"}));
  EXPECT_EQ(left("[param]\nlocal = { left = [64, \"128,064\"] }"), (Texts{"64", "128"}));
  EXPECT_EQ(left("", {"left=64:256:x2,-1"}), (Texts{"64", "128", "256", "-1"}));
  EXPECT_EQ(left("", {"local.left = 4k"}), (Texts{"4096"}));
  const SweepConfig global = good(
      "variants = [\"global\"]\n[param.global]\npositions = [[0, 5], [], \"1+2\"]\n"
      "sharpness = [0.5, 2]\nself-loops = [true, \"off\"]\n");
  EXPECT_EQ(global.params.at("global").at("positions"), (Texts{"0+5", "none", "1+2"}));
  EXPECT_EQ(global.params.at("global").at("sharpness"), (Texts{"0.5", "2"}));
  EXPECT_EQ(global.params.at("global").at("self-loops"), (Texts{"true", "false"}));
  EXPECT_EQ(good("", {{"variants", "sparse"}}, {"stride=auto,8"}).params.at("sparse").at("stride"),
            (Texts{"auto", "8"}));
}

TEST_F(SweepConfigTest, NarrowingByFlagLeavesOutTheFilesParametersOfOtherVariants) {
  const std::string file = "variants = [\"local\", \"flash\"]\n[param.local]\nleft = 64\n";
  EXPECT_TRUE(good(file, {{"variants", "flash"}}).params.empty());
  // Still checked: a typing error does not hide behind a flag.
  EXPECT_FALSE(parse("[param.local]\nleft = \"x\"\n", {{"variants", "flash"}}));
}

TEST_F(SweepConfigTest, RoundTripsThroughToml) {
  const std::vector<SweepConfig> configs{
      good(""),
      good("title = 'say \"hi\" \\ to C:'\nseed = \"18446744073709551615\"\nscale = 0.1\n"
           "target-ci = \"3.3%\"\nbudget = \"1.7ms\"\nmemory-limit = 1e30\nvariants = \"sparse, "
           "local\"\n[param.sparse]\npattern = [\"fixed\", \"strided\"]\nstride = [\"auto\", 8]\n"
           "[param.local]\nleft = -1\n"),
      good("mode = \"decode\"\nseq = 4096\nseq-q = 7\nbatch = [3, 1, 2]\ncausal = \"on,off\"\n"),
      good("position = \"rope,none\"\nsoftcap = [0.1, \"none\"]\nsink = \"on\"\n"),
      good("seq-k = [7, 9]\nkv-heads = 2\ndim-v = 5\npass = \"fwd+bwd\"\ninput = \"peaked=3\"\n"),
      good("variants = \"global\"\n[param.global]\npositions = [[0, 5], []]\nsharpness = 1e-7\n"),
  };
  for (const SweepConfig& config : configs) {
    const std::string text = to_toml(config);
    const auto again = parse(text, {}, {}, 64);  // On another machine.
    ASSERT_TRUE(again) << again.error().message << "\n" << text;
    EXPECT_EQ(*again, config) << text;
    EXPECT_EQ(to_toml(*again), text);
  }
  EXPECT_NE(to_toml(configs[0]), to_toml(configs[1]));
}

TEST_F(SweepConfigTest, ReadsFilesAndNamesThoseItCannotRead) {
  const auto path = std::filesystem::temp_directory_path() / "attnbench_sweep_config_test.toml";
  std::ofstream(path) << "\xEF\xBB\xBFseq = 512\r\nheads = 2\r\n";  // A byte order mark and CRLF.
  const auto config = load_sweep_config(path.string(), {}, {}, registry_, 2);
  std::filesystem::remove(path);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->heads, (Integers{2}));

  const auto missing = load_sweep_config("no/such.toml", {}, {}, registry_, 2);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, Error::Kind::io);
  EXPECT_EQ(missing.error().message, "no/such.toml: cannot be read: No such file or directory");
  const auto folder = load_sweep_config("/", {}, {}, registry_, 2);
  ASSERT_FALSE(folder);
  EXPECT_EQ(folder.error().message, "/: a folder; accepted: a TOML file");
}

TEST_F(SweepConfigTest, AnEmptyRegistryIsAnError) {
  const auto config = load_sweep_config(std::nullopt, {}, {}, Registry(), 1);
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().message, "variants: none are registered");
}

TEST_F(SweepConfigTest, EveryFileInConfigsLoads) {
  int files = 0;
  const std::filesystem::path folder = std::filesystem::path(ATTNBENCH_SOURCE_DIR) / "configs";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    // shapes.toml is a table that sweeps refer to.
    if (entry.path().extension() != ".toml" || entry.path().stem() == "shapes") continue;
    ++files;
    const auto config = load_sweep_config(entry.path().string(), {}, {}, registry_, 2);
    ASSERT_TRUE(config) << config.error().message;
    EXPECT_EQ(config->title, entry.path().stem().string());
  }
  EXPECT_GE(files, 5);
}

/// The cells of a table row, without the blanks around them.
Texts table_cells(const std::string& line) {
  Texts cells;
  std::istringstream stream(line.substr(1));
  for (std::string cell; std::getline(stream, cell, '|');) {
    const auto from = cell.find_first_not_of(' ');
    cells.push_back(
        from == std::string::npos ? "" : cell.substr(from, cell.find_last_not_of(' ') - from + 1));
  }
  return cells;
}

TEST(ConfigurationPage, ListsEveryKeyInOrderWithItsDefault) {
  std::ifstream page(std::string(ATTNBENCH_SOURCE_DIR) + "/docs/configuration.md");
  ASSERT_TRUE(page);
  std::vector<std::pair<std::string, std::string>> documented, expected;
  bool in_table = false;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("| key |")) in_table = true;
    if (line.empty()) in_table = false;
    if (!in_table || !line.starts_with("| `")) continue;
    const Texts cells = table_cells(line);
    ASSERT_EQ(cells.size(), 4u) << line;
    documented.emplace_back(cells[0], cells[1]);
  }
  for (const ConfigKey& key : config_keys()) {
    const bool words = key.default_text.find(' ') != std::string::npos;
    const std::string value =
        words || key.default_text.empty() ? key.default_text : "`" + key.default_text + "`";
    expected.emplace_back("`" + key.name + "`", value);
    EXPECT_FALSE(key.accepted.empty()) << key.name;
    EXPECT_FALSE(key.meaning.empty()) << key.name;
  }
  EXPECT_EQ(documented, expected);
}

TEST(ConfigKeys, DefaultsAreWhatAnEmptyConfigurationHas) {
  Registry registry;
  testing::add_fakes(registry);
  const auto defaults = load_sweep_config(std::nullopt, {}, {}, registry, 4);
  ASSERT_TRUE(defaults);
  for (const ConfigKey& key : config_keys()) {
    // Derived defaults are described in words; seq-q is of decode mode only.
    if (key.default_text.find(' ') != std::string::npos || key.name == "seq-q") continue;
    const auto written =
        load_sweep_config(std::nullopt, {{key.name, key.default_text}}, {}, registry, 4);
    ASSERT_TRUE(written) << written.error().message;
    EXPECT_EQ(*written, *defaults) << key.name;
  }
}

TEST_F(SweepConfigTest, CacheIsAListAndBareCountersMeanOn) {
  EXPECT_EQ(good("cache = [\"hot\", \"cold\"]").cache,
            (std::vector<CacheState>{CacheState::hot, CacheState::cold}));
  EXPECT_EQ(good("", {{"cache", "cold,hot,cold"}}).cache,
            (std::vector<CacheState>{CacheState::cold, CacheState::hot}));
  EXPECT_EQ(good("").counters, CounterUse::automatic);
  EXPECT_EQ(good("", {{"counters", ""}}).counters, CounterUse::on);
  EXPECT_EQ(good("", {{"counters", "off"}}).counters, CounterUse::off);
  EXPECT_EQ(good("counters = \"on\"", {{"counters", "auto"}}).counters, CounterUse::automatic);
}

TEST(SweepConfig, RecordedInputsAreReadBackAndDropTheFilesShape) {
  Registry registry;
  testing::add_fakes(registry);
  const auto config =
      parse_sweep_config("heads = 4\ndim = 32\nbatch = [1, 2]\n", "s.toml",
                         {{"input", "file:a \"b\".safetensors,file:dir/{}.npy"}}, {}, registry, 2);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_TRUE(config->recorded_only());
  EXPECT_EQ(config->input,
            (std::vector<std::string>{"file:a \"b\".safetensors", "file:dir/{}.npy"}));
  EXPECT_EQ(config->heads, SweepConfig{}.heads) << "of the recording";
  EXPECT_EQ(config->batch, SweepConfig{}.batch);
  const auto again = parse_sweep_config(to_toml(*config), "again.toml", {}, {}, registry, 2);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, *config);
  // Beside drawn inputs the axes count.
  const auto both =
      parse_sweep_config("heads = 4\ninput = \"gaussian,file:a\"\n", "s.toml", {}, {}, registry, 2);
  ASSERT_TRUE(both) << both.error().message;
  EXPECT_FALSE(both->recorded_only());
  EXPECT_EQ(both->heads, (std::vector<std::int64_t>{4}));
  EXPECT_FALSE(parse_sweep_config("input = \"file:\"", "s.toml", {}, {}, registry, 2));
}

}  // namespace
}  // namespace attnbench

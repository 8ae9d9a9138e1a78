// Shapes of published models: the table's grammar, and what naming one does to a sweep.
#include "config/shapes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "config/sweep_config.h"
#include "fake_variants.h"

namespace attnbench {
namespace {

const std::string kShapes = std::string(ATTNBENCH_SOURCE_DIR) + "/configs/shapes.toml";

class ShapesTest : public ::testing::Test {
 protected:
  ShapesTest() { testing::add_fakes(registry_); }

  Result<SweepConfig> parse(std::string_view toml, const FlagTexts& flags,
                            const std::vector<std::string>& params = {}) {
    return parse_sweep_config(toml, "s.toml", flags, params, registry_, 4, kShapes);
  }

  Registry registry_;
};

using Lengths = std::vector<std::int64_t>;

TEST_F(ShapesTest, TheFileHasTheModelsThatPeopleKnow) {
  const auto shapes = load_shapes(kShapes);
  ASSERT_TRUE(shapes) << shapes.error().message;
  EXPECT_GE(shapes->size(), 40u);
  std::set<std::string> names;
  for (const ModelShape& shape : *shapes) {
    EXPECT_TRUE(names.insert(shape.name).second) << shape.name;
    EXPECT_EQ(shape.heads % shape.kv_heads, 0) << shape.name;
    EXPECT_FALSE(shape.position.empty()) << shape.name;
    EXPECT_TRUE(std::ranges::is_sorted(shape.seq)) << shape.name;
    EXPECT_NE(shape.source.find_first_of("0123456789/"), std::string::npos) << shape.name;
    // Every one is a sweep that can be planned.
    const auto config = parse("", {{"shape", shape.name}});
    ASSERT_TRUE(config) << shape.name << ": " << config.error().message;
    EXPECT_EQ(config->title, shape.name);
    EXPECT_EQ(config->heads, Lengths{shape.heads});
    EXPECT_EQ(config->kv_heads,
              shape.kv_heads == shape.heads ? Lengths{} : Lengths{shape.kv_heads});
    EXPECT_EQ(config->dim, Lengths{shape.dim});
    EXPECT_EQ(config->dim_v, shape.dim_v == shape.dim ? Lengths{} : Lengths{shape.dim_v});
    EXPECT_EQ(config->seq, shape.seq);
    EXPECT_EQ(config->seq_k, shape.seq_k);
    EXPECT_EQ(config->mode, shape.mode);
    EXPECT_EQ(config->causal, std::vector<bool>{shape.causal});
    const bool in_attention =
        shape.position == "alibi" || (shape.position == "rope" && shape.rope_dim == 0);
    EXPECT_EQ(config->position.size(), 1u);
    EXPECT_EQ(to_string(config->position[0]), in_attention ? shape.position : "none") << shape.name;
  }
  for (const char* name : {"bert-base", "gpt2", "llama-3-8b", "vit-b16", "whisper-small-cross",
                           "clip-text", "mistral-7b", "gemma-2-9b", "deepseek-v2-mla"}) {
    EXPECT_TRUE(names.contains(name)) << name;
  }
}

TEST_F(ShapesTest, AFlagOverridesOneFigure) {
  const auto config = parse("", {{"shape", "llama-3-8b"}, {"seq", "512"}, {"kv-heads", "="}});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->seq, Lengths{512});
  EXPECT_TRUE(config->kv_heads.empty());
  EXPECT_EQ(config->heads, Lengths{32});
  EXPECT_EQ(config->dim, Lengths{128});
  EXPECT_EQ(config->causal, std::vector<bool>{true});
}

TEST_F(ShapesTest, PositionsAreThoseWithinAttention) {
  const auto llama = parse("", {{"shape", "llama-3-8b"}});
  ASSERT_TRUE(llama) << llama.error().message;
  EXPECT_EQ(llama->position, std::vector<Position>{Position::rope});
  EXPECT_EQ(llama->rope, (Rope{false, 500000}));
  const auto by_hand = parse("", {{"shape", "llama-3-8b"}, {"position", "none,alibi"}});
  ASSERT_TRUE(by_hand) << by_hand.error().message;
  EXPECT_EQ(by_hand->position, (std::vector<Position>{Position::none, Position::alibi}));
  const auto other = parse("", {{"shape", "llama-3-8b"}, {"rope-base", "1e4"}});
  ASSERT_TRUE(other) << other.error().message;
  EXPECT_EQ(other->rope, Rope());
  for (const char* name : {"gpt2", "bert-base", "whisper-small-cross", "clip-text", "gpt-j-6b"}) {
    const auto none = parse("", {{"shape", name}});
    ASSERT_TRUE(none) << none.error().message;
    EXPECT_EQ(none->position, std::vector<Position>{Position::none}) << name;
  }
  const auto bloom = parse("", {{"shape", "bloom-176b"}});
  ASSERT_TRUE(bloom) << bloom.error().message;
  EXPECT_EQ(bloom->position, std::vector<Position>{Position::alibi});
}

TEST_F(ShapesTest, FillsInBelowWhoeverNamesIt) {
  const char* const toml = "shape = \"gpt2\"\nheads = 3\n";
  const auto by_file = parse(toml, {{"dim", "32"}});
  ASSERT_TRUE(by_file) << by_file.error().message;
  EXPECT_EQ(by_file->heads, Lengths{3});
  EXPECT_EQ(by_file->dim, Lengths{32});
  EXPECT_EQ(by_file->seq, (Lengths{256, 512, 1024}));

  const auto by_flag = parse(toml, {{"shape", "falcon-7b"}});
  ASSERT_TRUE(by_flag) << by_flag.error().message;
  EXPECT_EQ(by_flag->heads, Lengths{71});
  EXPECT_EQ(by_flag->kv_heads, Lengths{1});

  const auto none = parse(toml, {{"shape", "none"}});
  ASSERT_TRUE(none) << none.error().message;
  EXPECT_EQ(none->heads, Lengths{3});
  EXPECT_EQ(none->dim, Lengths{64});
  EXPECT_EQ(none->title, "");
}

TEST_F(ShapesTest, AWindowBecomesLocalsParametersWhereLocalIsSelected) {
  const auto config = parse("", {{"shape", "mistral-7b"}, {"variants", "local,flash"}});
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_TRUE(config->params.contains("local"));
  EXPECT_EQ(config->params.at("local").at("left"), std::vector<std::string>{"4095"});

  const auto given =
      parse("", {{"shape", "mistral-7b"}, {"variants", "local,flash"}}, {"local.left=7"});
  ASSERT_TRUE(given) << given.error().message;
  EXPECT_EQ(given->params.at("local").at("left"), std::vector<std::string>{"7"});

  const auto without = parse("", {{"shape", "mistral-7b"}, {"variants", "flash"}});
  ASSERT_TRUE(without) << without.error().message;
  EXPECT_TRUE(without->params.empty());
}

TEST_F(ShapesTest, AConfigurationReadsBackWithoutTheTable) {
  for (const char* name : {"whisper-small-cross", "llama-3-8b"}) {
    const auto config = parse("", {{"shape", name}, {"variants", "flash"}});
    ASSERT_TRUE(config) << config.error().message;
    const auto again = parse_sweep_config(to_toml(*config), "again.toml", {}, {}, registry_, 4);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, *config) << name;
  }
  const auto turned = parse("position = \"rope\"\nrope-pairs = \"interleaved\"\n", {});
  ASSERT_TRUE(turned) << turned.error().message;
  EXPECT_TRUE(turned->rope.interleaved);
  const auto again = parse_sweep_config(to_toml(*turned), "again.toml", {}, {}, registry_, 4);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, *turned);
}

TEST_F(ShapesTest, AnUnknownNameSuggestsTheNearest) {
  const auto flag = parse("", {{"shape", "lama-3-8b"}});
  ASSERT_FALSE(flag);
  EXPECT_EQ(flag.error().message,
            "--shape: given \"lama-3-8b\"; accepted: the name of one shape, or none ('attnbench "
            "list --shapes'); did you mean \"llama-3-8b\"?");
  const auto list = parse("shape = [\"gpt2\", \"bert-base\"]", {});
  ASSERT_FALSE(list);
  EXPECT_EQ(list.error().message,
            "s.toml:1:1: shape: given an array; accepted: the name of one shape, or none "
            "('attnbench list --shapes')");
  const auto nowhere = parse_sweep_config("", "", {{"shape", "gpt2"}}, {}, registry_, 4);
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().message, "--shape: given \"gpt2\"; there is no table of shapes here");
}

TEST(ShapeTable, RefusesWhatItDoesNotKnow) {
  const std::string good = "[a]\nmodel = \"m\"\nheads = 4\ndim = 8\nseq = [16]\nsource = \"s\"\n";
  const auto accepted = parse_shapes(good, "t.toml");
  ASSERT_TRUE(accepted) << accepted.error().message;
  EXPECT_EQ(accepted->front().kv_heads, 4);
  EXPECT_EQ(accepted->front().dim_v, 8);
  const std::pair<std::string, std::string> bad[] = {
      {good + "kv-heads = 3\n", "heads 4 is not a multiple of kv-heads 3"},
      {good + "hedas = 3\n", "t.toml:7:9: hedas: shape a: not accepted; accepted: model, heads"},
      {good + "dim-v = 0\n", "t.toml:7:9: dim-v: shape a: not accepted; accepted: a positive"},
      {good + "seq-k = 77\n", "an array of integers"},
      {good + "window = [3]\n", "[left, right], from 0"},
      {good + "position = \"ropes\"\n", "none, learned, sinusoidal, rope, alibi, relative"},
      {good + "softcap = -1\n", "a number above 0"},
      {good + "rope-base = 1\n", "a number above 1"},
      {good + "rope-interleaved = 2\n", "true or false"},
      {good + "mode = \"generate\"\n", "self, cross or decode"},
      {good + "causal = 1\n", "true or false"},
      {"[a]\nmodel = \"m\"\nheads = 4\ndim = 8\nsource = \"s\"\n", "shape a has no seq"},
      {"a = 3\n", "tables [NAME], one per shape"},
      {"[a\n", "not valid TOML"},
  };
  for (const auto& [text, message] : bad) {
    const auto shapes = parse_shapes(text, "t.toml");
    ASSERT_FALSE(shapes) << text;
    EXPECT_NE(shapes.error().message.find(message), std::string::npos) << shapes.error().message;
  }
}

}  // namespace
}  // namespace attnbench

// Every rejected configuration: the exact message, with line and column or the flag.
#include <gtest/gtest.h>

#include "config/fake_variants.h"
#include "config/sweep_config.h"

namespace attnbench {
namespace {

constexpr const char* kKeys =
    "title, variants, shape, mode, seq, seq-k, seq-q, threads, batch, heads, kv-heads, dim, dim-v, "
    "causal, key-lengths, mask, position, rope-pairs, rope-base, softcap, sink, pass, input, "
    "layout, "
    "cache, isa, scale, "
    "seed, target-ci, budget, "
    "timeout, "
    "max-samples, memory-limit, counters, format, param";
constexpr const char* kHeads =
    "integers from 1 to 4096, comma separated, and ranges FIRST:LAST:xFACTOR or FIRST:LAST:+STEP; "
    "4k = 4096, 1m = 1048576";
constexpr const char* kVariants =
    "flash, full, global, linear, linformer, local, performer, sparse";

struct Bad {
  std::string toml;
  std::string message;
  FlagTexts flags = {};
  std::vector<std::string> params = {};
};

void expect_messages(const std::vector<Bad>& cases) {
  Registry registry;
  testing::add_fakes(registry);
  for (const Bad& bad : cases) {
    const auto config = parse_sweep_config(bad.toml, "s.toml", bad.flags, bad.params, registry, 4);
    ASSERT_FALSE(config) << bad.toml << "\nshould be refused: " << bad.message;
    EXPECT_EQ(config.error().message, bad.message) << bad.toml;
    EXPECT_EQ(config.error().kind, Error::Kind::usage);
  }
}

TEST(ConfigErrors, KeysOfFiles) {
  const std::string keys = kKeys;
  expect_messages({
      {"seq = 512\n\n  sec = 4\n",
       "s.toml:3:3: sec: unknown key; accepted: " + keys + "; did you mean \"seq\"?"},
      {"kv_head = 4",
       "s.toml:1:1: kv_head: unknown key; accepted: " + keys + "; did you mean \"kv-heads\"?"},
      {"quite-other = 4", "s.toml:1:1: quite-other: unknown key; accepted: " + keys},
      {"[run]\nseq = 4", "s.toml:1:2: run: unknown key; accepted: " + keys},
      {"kv-heads = 2\nkv_heads = 2",
       "s.toml:2:1: kv_heads: the same key as kv-heads, which is given already"},
      {"zzz = 1\naaa = 2", "s.toml:1:1: zzz: unknown key; accepted: " + keys},
  });
}

TEST(ConfigErrors, ValuesOfFiles) {
  const std::string heads = kHeads;
  expect_messages({
      {"heads = true", "s.toml:1:9: heads: given true (a boolean); accepted: " + heads},
      {"heads = 1.5", "s.toml:1:9: heads: given 1.5 (a number); accepted: " + heads},
      {"heads = 2024-01-01", "s.toml:1:9: heads: given a date or time; accepted: " + heads},
      {"[heads]\na = 1", "s.toml:1:1: heads: given a table; accepted: " + heads},
      {"heads = []", "s.toml:1:1: heads: given an empty array; accepted: " + heads},
      {"heads = [[1]]", "s.toml:1:10: heads: given an array; accepted: " + heads},
      {"heads = [2,\n  4,\n  -8]",
       "s.toml:3:3: heads: given \"-8\": -8 is negative (position 1); accepted: " + heads},
      {"heads = [2, 0]",
       "s.toml:1:13: heads: given \"0\": 0 is out of range (position 1); accepted: " + heads},
      {"dim = 64\nheads = \"1,2:4\"",
       "s.toml:2:9: heads: given \"1,2:4\": the range has no step (position 6); accepted: " +
           heads},
      {"heads = \"=\"",
       "s.toml:1:9: heads: given \"=\": \"=\" is not an integer (position 1); accepted: " + heads},
      {"causal = [false, \"maybe\"]",
       "s.toml:1:18: causal: given \"maybe\": \"maybe\" is not a switch (position 1); accepted: "
       "off and on, comma separated (also false, true)"},
      {"causal = \"\"",
       "s.toml:1:10: causal: given \"\"; accepted: off and on, comma separated (also false, true)"},
      {"causal = 1",
       "s.toml:1:10: causal: given 1 (an integer); accepted: off and on, comma separated (also "
       "false, true)"},
      {"mode = \"slf\"",
       "s.toml:1:8: mode: given \"slf\"; accepted: self, cross, decode, generate; did you mean "
       "\"self\"?"},
      {"mode = [\"self\"]",
       "s.toml:1:1: mode: given an array; accepted: self, cross, decode, generate"},
      {"pass = \"fwd,backward\"",
       "s.toml:1:8: pass: given \"backward\"; accepted: fwd, fwd+bwd (comma separated)"},
      {"position = \"rop\"",
       "s.toml:1:12: position: given \"rop\"; accepted: none, sinusoidal, rope, alibi (comma "
       "separated); did you mean \"rope\"?"},
      {"position = true",
       "s.toml:1:12: position: given true (a boolean); accepted: none, sinusoidal, rope, alibi "
       "(comma separated)"},
      {"rope-pairs = \"both\"",
       "s.toml:1:14: rope-pairs: given \"both\"; accepted: half or interleaved"},
      {"rope-base = 1", "s.toml:1:13: rope-base: given 1 (an integer); accepted: a number above 1"},
      {"softcap = 0",
       "s.toml:1:11: softcap: given 0 (an integer); accepted: none and numbers above 0 (comma "
       "separated)"},
      {"softcap = [\"none\", -30]",
       "s.toml:1:20: softcap: given -30 (an integer); accepted: none and numbers above 0 (comma "
       "separated)"},
      {"softcap = \"50,\"",
       "s.toml:1:11: softcap: given \"50,\"; accepted: none and numbers above 0 (comma separated)"},
      {"softcap = inf",
       "s.toml:1:11: softcap: given inf (a number); accepted: none and numbers above 0 (comma "
       "separated)"},
      {"sink = 1",
       "s.toml:1:8: sink: given 1 (an integer); accepted: off and on, comma separated (also false, "
       "true)"},
      {"layout = \"bhdn\"",
       "s.toml:1:10: layout: given \"bhdn\"; accepted: bhnd, bnhd; did you mean \"bhnd\"?"},
      {"cache = \"warm\"",
       "s.toml:1:9: cache: given \"warm\"; accepted: hot, cold (comma separated)"},
      {"isa = \"avx51\"",
       "s.toml:1:7: isa: given \"avx51\"; accepted: auto, avx2, avx512; did you mean \"avx512\"?"},
      {"format = [\"csv\", \"jsn\"]",
       "s.toml:1:18: format: given \"jsn\"; accepted: csv, json, markdown (comma separated); did "
       "you mean \"json\"?"},
      {"target-ci = 2",
       "s.toml:1:13: target-ci: given 2 (an integer); accepted: a percentage (2%) or a fraction "
       "(0.02), above 0 and below 1"},
      {"budget = \"2 weeks\"",
       "s.toml:1:10: budget: given \"2 weeks\"; accepted: a time above 0 with the unit ms, s, m or "
       "h; seconds without"},
      {"timeout = -1",
       "s.toml:1:11: timeout: given -1 (an integer); accepted: a time above 0 with the unit ms, s, "
       "m or h; seconds without"},
      {"memory-limit = \"4G\"",
       "s.toml:1:16: memory-limit: given \"4G\"; accepted: a size above 0 in bytes, or with the "
       "unit B, kB, MB, GB, TB, KiB, MiB, GiB or TiB"},
      {"seed = -1",
       "s.toml:1:8: seed: given -1 (an integer); accepted: an integer from 0 to "
       "18446744073709551615"},
      {"seed = \"18446744073709551616\"",
       "s.toml:1:8: seed: given \"18446744073709551616\"; accepted: an integer from 0 to "
       "18446744073709551615"},
      {"scale = \"half\"", "s.toml:1:9: scale: given \"half\"; accepted: a number"},
      {"scale = inf", "s.toml:1:9: scale: given inf (a number); accepted: a number"},
      {"max-samples = \"1,2\"",
       "s.toml:1:15: max-samples: given \"1,2\"; accepted: one integer from 1 to 100000"},
      {"title = \"two\\nlines\"",
       "s.toml:1:9: title: given \"two\\nlines\"; accepted: a text of one line"},
      {"title = 3", "s.toml:1:9: title: given 3 (an integer); accepted: a text of one line"},
  });
}

TEST(ConfigErrors, Syntax) {
  Registry registry;
  testing::add_fakes(registry);
  const std::vector<std::pair<std::string, std::string>> cases{
      {"seq = 512\nheads = \n", "s.toml:2:"},
      {"seq = 512\nseq = 256\n", "s.toml:2:"},
      {"seq = [1, 2", "s.toml:1:"},
      {"\nseq = 0512", "s.toml:2:"},
      {"a\xff = 1", "s.toml:1:"},
  };
  for (const auto& [toml, place] : cases) {
    const auto config = parse_sweep_config(toml, "s.toml", {}, {}, registry, 4);
    ASSERT_FALSE(config) << toml;
    const std::string& message = config.error().message;
    EXPECT_TRUE(message.starts_with(place)) << message;
    EXPECT_NE(message.find(": not valid TOML: "), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(ConfigErrors, Flags) {
  const std::string heads = kHeads, keys = kKeys;
  expect_messages({
      {"heads = true",
       "--heads: given \"4,x\": \"x\" is not an integer (position 3); accepted: " + heads,
       {{"heads", "4,x"}},
       {}},
      {"",
       "--head: unknown key; accepted: " + keys + "; did you mean \"heads\"?",
       {{"head", "4"}},
       {}},
      {"", "--mode: given \"\"; accepted: self, cross, decode, generate", {{"mode", ""}}, {}},
      {"",
       "--budget: given \"soon\"; accepted: a time above 0 with the unit ms, s, m or h; seconds "
       "without",
       {{"budget", "soon"}},
       {}},
      {"",
       "--format: given \"xml\"; accepted: csv, json, markdown (comma separated)",
       {{"format", "xml"}},
       {}},
  });
}

TEST(ConfigErrors, VariantsAndInputsNameThePlace) {
  Registry registry;
  testing::add_fakes(registry);
  const auto message = [&](const std::string& toml, const FlagTexts& flags) {
    const auto config = parse_sweep_config(toml, "s.toml", flags, {}, registry, 4);
    return config ? std::string("accepted") : config.error().message;
  };
  const auto expect_parts = [](const std::string& text, const std::string& start,
                               const std::string& part) {
    EXPECT_TRUE(text.starts_with(start)) << text;
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  expect_parts(message("variants = [\"flash\",\n \"flsh\"]", {}),
               "s.toml:2:2: variants: ", "flash");
  expect_parts(message("", {{"variants", "flash,locl"}}), "--variants: ", "local");
  expect_parts(message("variants = \"family:sprase\"", {}), "s.toml:1:12: variants: ", "sparse");
  expect_parts(message("variants = \"\"", {}), "s.toml:1:12: variants: ", "flash");
  expect_parts(message("input = [\"gaussian\", \"guassian\"]", {}),
               "s.toml:1:22: input: ", "gaussian");
  expect_parts(message("variants = 3", {}), "s.toml:1:12: variants: given 3 (an integer)", "names");
}

TEST(ConfigErrors, Parameters) {
  const std::string left = "an integer in [-1, 1048576]";
  const std::string variants = kVariants;
  expect_messages({
      {"[param.locl]\nleft = 1",
       "s.toml:2:1: param.locl.left: given unknown variant \"locl\"; accepted: " + variants +
           "; did you mean \"local\"?"},
      {"[param.local]\nlefty = 1",
       "s.toml:2:1: param.local.lefty: given unknown parameter \"lefty\" of variant local; "
       "accepted: left, right; did you mean \"left\"?"},
      {"[param.flash]\nx = 1", "s.toml:2:1: param.flash.x: variant flash has no parameters"},
      {"[param.local]\nleft = [1,\n \"two\"]",
       "s.toml:3:2: param.local.left: given \"two\"; accepted: " + left},
      {"[param.local]\nleft = -2", "s.toml:2:8: param.local.left: given \"-2\"; accepted: " + left},
      {"[param.local]\nleft = []",
       "s.toml:2:1: param.local.left: given an empty array; accepted: " + left},
      {"[param.local]\nleft = [[1, 2]]",
       "s.toml:2:9: param.local.left: given an array; accepted: " + left},
      {"[param.local]\nleft = 2024-01-01",
       "s.toml:2:8: param.local.left: given a date or time; accepted: " + left},
      {"[param.local.deeper]\nleft = 1",
       "s.toml:1:14: param.local.deeper: given unknown parameter \"deeper\" of variant local; "
       "accepted: left, right"},
      {"[param.sparse]\npattern = \"strided,fixd\"",
       "s.toml:2:11: param.sparse.pattern: given \"fixd\"; accepted: one of strided, fixed; did "
       "you "
       "mean \"fixed\"?"},
      {"param = 3",
       "s.toml:1:1: param: given 3 (an integer); accepted: tables [param.VARIANT] with entries "
       "name "
       "= value or name = [values]"},
      {"variants = \"flash\"\n[param.local]\nleft = 1",
       "s.toml:3:1: param.local.left: variant local is not selected; selected: flash"},
      {"",
       "--param local.left: variant local is not selected; selected: flash",
       {{"variants", "flash"}},
       {"local.left=1"}},
      {"",
       "--param left: a parameter without its variant needs exactly one selected variant; "
       "selected: local, flash; accepted: VARIANT.left",
       {{"variants", "local,flash"}},
       {"left=1"}},
      {"",
       "--param local.left: given \"1,,2\": a value is missing (position 3); accepted: " + left,
       {},
       {"local.left=1,,2"}},
      {"",
       "--param local.left: given \"\": a value is missing (position 1); accepted: " + left,
       {},
       {"local.left="}},
      {"",
       "--param local.left: given \"8:4:x2\": the range ends at 4, before its start 8 (position "
       "3); accepted: integers from 0 to 1048576, comma separated, and ranges "
       "FIRST:LAST:xFACTOR or FIRST:LAST:+STEP; 4k = 4096, 1m = 1048576",
       {},
       {"local.left=8:4:x2"}},
      {"",
       "--param local.left: given more than once; accepted: one list of values, separated by "
       "commas",
       {},
       {"local.left=1", "local.left=2"}},
      {"",
       "--param: given \"local.left\"; accepted: VARIANT.NAME=LIST, or NAME=LIST for one variant",
       {},
       {"local.left"}},
      {"",
       "--param: given \".left=1\"; accepted: VARIANT.NAME=LIST, or NAME=LIST for one variant",
       {},
       {".left=1"}},
      {"",
       "--param: given \"=1\"; accepted: VARIANT.NAME=LIST, or NAME=LIST for one variant",
       {},
       {"=1"}},
  });
}

TEST(ConfigErrors, WhatHoldsForEveryCell) {
  expect_messages({
      {"seq-q = 2",
       "s.toml:1:1: seq-q: given in mode self; accepted: in mode decode only, where seq is the key "
       "length; elsewhere seq is the query length"},
      {"mode = \"decode\"",
       "--seq-k: given in mode decode; accepted: in modes self and cross; in mode decode seq is "
       "the "
       "key length and seq-q the query length",
       {{"seq-k", "64"}},
       {}},
      {"scale = 0.5\nvariants = \"flash,linear\"",
       "s.toml:1:1: scale: given 0.5; selected variants that define no scale: linear; accepted: a "
       "scale where every selected variant has one"},
      {"",
       "--scale: given 1; selected variants that define no scale: linear; accepted: a scale "
       "where every selected variant has one",
       {{"scale", "1"}, {"variants", "linear"}},
       {}},
      {"variants = \"flash\"\nthreads = 1\nseq = \"1:4096:+1\"\nbatch = \"1:4096:+1\"",
       "the sweep has 16777216 cells (all axes crossed); accepted: at most 1000000"},
  });
  Registry registry;
  testing::add_fakes(registry);
  EXPECT_TRUE(parse_sweep_config("mode = \"decode\"\nseq-k = \"=\"\nseq-q = 2", "s.toml", {}, {},
                                 registry, 4));
  EXPECT_TRUE(parse_sweep_config("scale = 0\nvariants = \"flash\"", "s.toml", {}, {}, registry, 4));
}

TEST(ConfigErrors, ShapesBesideRecordedInputsOnly) {
  const std::string tail =
      ": given with recorded inputs only; accepted: beside drawn inputs; batch, heads and "
      "dimensions of a recording are those of its file";
  expect_messages({
      {"input = \"file:a.safetensors\"\nheads = 4", "s.toml:2:1: heads" + tail},
      {"input = \"file:a.safetensors\"", "--dim" + tail, {{"dim", "64"}}},
      {"", "--kv-heads" + tail, {{"input", "file:a"}, {"kv-heads", "2"}}},
  });
}

}  // namespace
}  // namespace attnbench

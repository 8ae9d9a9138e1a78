// The small grammars: lists of integers, fractions, durations, byte sizes, switches.
#include "config/grammar.h"

#include <gtest/gtest.h>

#include "config/sweep_config.h"

namespace attnbench {
namespace {

using Integers = std::vector<std::int64_t>;

TEST(IntegerList, ReadsListsRangesAndSuffixes) {
  const std::vector<std::pair<std::string, Integers>> cases{
      {"7", {7}},
      {"1,2,4", {1, 2, 4}},
      {" 1 ,\t2 , 4 ", {1, 2, 4}},
      {"4,1,2", {4, 1, 2}},
      {"2,2,1,2", {2, 1}},
      {"256:4096:x2", {256, 512, 1024, 2048, 4096}},
      {"256:4095:x2", {256, 512, 1024, 2048}},
      {"1024:4096:+1024", {1024, 2048, 3072, 4096}},
      {"1024:4000:+1024", {1024, 2048, 3072}},
      {"5:5:x2", {5}},
      {"5:6:+7", {5}},
      {"4k", {4096}},
      {"2K,1m,1M", {2048, 1048576}},
      {"1k:4k:x2", {1024, 2048, 4096}},
      {"1k:3k:+1k", {1024, 2048, 3072}},
      {"1:9:x3,2:4:+1", {1, 3, 9, 2, 4}},
      {"007", {7}},
      {"16777216", {16777216}},
  };
  for (const auto& [text, expected] : cases) {
    const auto values = parse_integer_list(text, "--seq", 1, 16777216);
    ASSERT_TRUE(values) << text << ": " << values.error().message;
    EXPECT_EQ(*values, expected) << text;
  }
}

TEST(IntegerList, RangesReachTheEndOfTheTypeWithoutOverflow) {
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  const auto values =
      parse_integer_list("4611686018427387904:9223372036854775807:x2", "n", 1, most);
  ASSERT_TRUE(values);
  EXPECT_EQ(*values, Integers{4611686018427387904});
  const auto steps = parse_integer_list("9223372036854775800:9223372036854775807:+5", "n", 1, most);
  ASSERT_TRUE(steps);
  EXPECT_EQ(*steps, (Integers{9223372036854775800, 9223372036854775805}));
}

TEST(IntegerList, MalformedTextNamesFlagTextPositionAndGrammar) {
  const std::string grammar =
      "; accepted: integers from 1 to 65536, comma separated, and ranges FIRST:LAST:xFACTOR or "
      "FIRST:LAST:+STEP; 4k = 4096, 1m = 1048576";
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "the list is empty (position 1)"},
      {"   ", "the list is empty (position 4)"},
      {"1,,2", "an element is missing (position 3)"},
      {",1", "an element is missing (position 1)"},
      {"1,2,", "an element is missing (position 5)"},
      {"abc", "\\\"abc\\\" is not an integer (position 1)"},
      {"12x", "\\\"12x\\\" is not an integer (position 3)"},
      {"1,2 3", "\\\"2 3\\\" is not an integer (position 4)"},
      {"4g", "\\\"4g\\\" is not an integer (position 2)"},
      {"k", "\\\"k\\\" is not an integer (position 1)"},
      {"1.5", "\\\"1.5\\\" is not an integer (position 2)"},
      {"0x10", "\\\"0x10\\\" is not an integer (position 2)"},
      {"+5", "\\\"+5\\\" is not an integer (position 1)"},
      {"1e3", "\\\"1e3\\\" is not an integer (position 2)"},
      {"0", "0 is out of range (position 1)"},
      {"1,65537", "65537 is out of range (position 3)"},
      {"64k,65k", "65k is out of range (position 5)"},
      {"-4", "-4 is negative (position 1)"},
      {"99999999999999999999", "99999999999999999999 is too large (position 1)"},
      {"9223372036854775807k", "9223372036854775807k is too large (position 1)"},
      {"256:4096", "the range has no step (position 9)"},
      {"256:", "the range has no step (position 5)"},
      {"256:4096:", "the step \\\"\\\" is neither xFACTOR nor +STEP (position 10)"},
      {"256:4096:2", "the step \\\"2\\\" is neither xFACTOR nor +STEP (position 10)"},
      {"256:4096:*2", "the step \\\"*2\\\" is neither xFACTOR nor +STEP (position 10)"},
      {"256:4096:x", "a number is missing (position 11)"},
      {"256:4096:x1", "the factor must be at least 2 (position 10)"},
      {"256:4096:x0", "the factor must be at least 2 (position 10)"},
      {"256:4096:x-2", "-2 is negative (position 11)"},
      {"256:4096:x1.5", "\\\"1.5\\\" is not an integer (position 12)"},
      {"256:4096:+0", "the step must be at least 1 (position 10)"},
      {"256:4096:x2:x2", "\\\"2:x2\\\" is not an integer (position 12)"},
      {"4096:256:x2", "the range ends at 256, before its start 4096 (position 6)"},
      {"8,4096:256:+2", "the range ends at 256, before its start 4096 (position 8)"},
      {":4:x2", "a number is missing (position 1)"},
      {"4::x2", "a number is missing (position 3)"},
      {"0:4:x2", "0 is out of range (position 1)"},
      {"1:70000:x2", "70000 is out of range (position 3)"},
      {"1:65536:+1", "more than 4096 values (position 9)"},
  };
  for (const auto& [text, problem] : cases) {
    const auto values = parse_integer_list(text, "--heads", 1, 65536);
    ASSERT_FALSE(values) << text;
    std::string expected = "--heads: given \"" + text + "\": " + problem + grammar;
    for (std::size_t at; (at = expected.find("\\\"")) != std::string::npos;) expected.erase(at, 1);
    EXPECT_EQ(values.error().message, expected) << text;
    EXPECT_EQ(values.error().kind, Error::Kind::usage);
  }
}

TEST(IntegerList, WordsAreValuesAndEndsOfRanges) {
  const config::IntegerRange range{1, 4096, {{"all", 6}}};
  const auto values = config::parse_integer_list("1:all:x2,all", "--threads", range);
  ASSERT_TRUE(values);
  EXPECT_EQ(*values, (Integers{1, 2, 4, 6}));
  const auto unknown = config::parse_integer_list("1,al", "--threads", range);
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().message,
            "--threads: given \"1,al\": \"al\" is not an integer (position 3); accepted: integers "
            "from 1 to 4096 or all (= 6), comma separated, and ranges FIRST:LAST:xFACTOR or "
            "FIRST:LAST:+STEP; 4k = 4096, 1m = 1048576");
}

TEST(Fraction, ReadsPercentAndNumber) {
  EXPECT_EQ(*parse_fraction("2%", "f"), 0.02);
  EXPECT_EQ(*parse_fraction("7%", "f"), 0.07);
  EXPECT_EQ(*parse_fraction(" 0.5 % ", "f"), 0.005);
  EXPECT_EQ(*parse_fraction("0.02", "f"), 0.02);
  EXPECT_EQ(*parse_fraction("1e-3", "f"), 0.001);
}

TEST(Fraction, RefusesWhatIsNotBetweenZeroAndOne) {
  for (const char* text : {"", "%", "0", "0%", "100%", "1", "-2%", "2", "nan", "inf", "2%%", "x",
                           "0,02", "2 percent", "+2%"}) {
    const auto value = parse_fraction(text, "--target-ci");
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().message,
              std::string("--target-ci: given \"") + text +
                  "\"; accepted: a percentage (2%) or a fraction (0.02), above 0 and below 1");
  }
}

TEST(Duration, ReadsUnits) {
  EXPECT_EQ(*parse_duration("120", "d"), 120);
  EXPECT_EQ(*parse_duration("120s", "d"), 120);
  EXPECT_EQ(*parse_duration("1.5 s", "d"), 1.5);
  EXPECT_EQ(*parse_duration("500ms", "d"), 0.5);
  EXPECT_EQ(*parse_duration("3ms", "d"), 0.003);
  EXPECT_EQ(*parse_duration("2m", "d"), 120);
  EXPECT_EQ(*parse_duration("1h", "d"), 3600);
}

TEST(Duration, RefusesTheRest) {
  for (const char* text :
       {"", "s", "0", "0s", "-1s", "1d", "1us", "1e400", "nan", "1 2", "2m30s", "inf"}) {
    const auto value = parse_duration(text, "--budget");
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().message,
              std::string("--budget: given \"") + text +
                  "\"; accepted: a time above 0 with the unit ms, s, m or h; seconds without");
  }
}

TEST(Bytes, ReadsUnits) {
  EXPECT_EQ(*parse_bytes("1e9", "b"), 1e9);
  EXPECT_EQ(*parse_bytes("512", "b"), 512);
  EXPECT_EQ(*parse_bytes("512B", "b"), 512);
  EXPECT_EQ(*parse_bytes("4KiB", "b"), 4096);
  EXPECT_EQ(*parse_bytes("512MiB", "b"), 512.0 * 1048576);
  EXPECT_EQ(*parse_bytes("4 GiB", "b"), 4.0 * 1073741824);
  EXPECT_EQ(*parse_bytes("1TiB", "b"), 1099511627776.0);
  EXPECT_EQ(*parse_bytes("3kB", "b"), 3000);
  EXPECT_EQ(*parse_bytes("3MB", "b"), 3e6);
  EXPECT_EQ(*parse_bytes("0.5GB", "b"), 5e8);
  EXPECT_EQ(*parse_bytes("2TB", "b"), 2e12);
}

TEST(Bytes, RefusesTheRest) {
  for (const char* text : {"", "GiB", "0", "-1GiB", "4G", "4Gib", "4gib", "1e999", "4GiBB"}) {
    const auto value = parse_bytes(text, "--memory-limit");
    ASSERT_FALSE(value) << text;
    EXPECT_EQ(value.error().message,
              std::string("--memory-limit: given \"") + text +
                  "\"; accepted: a size above 0 in bytes, or with the unit B, kB, MB, GB, TB, KiB, "
                  "MiB, GiB or TiB");
  }
}

TEST(Switches, ReadsListsAndBare) {
  EXPECT_EQ(*parse_switch_list("", "c"), (std::vector<bool>{true}));
  EXPECT_EQ(*parse_switch_list("on", "c"), (std::vector<bool>{true}));
  EXPECT_EQ(*parse_switch_list("off, on", "c"), (std::vector<bool>{false, true}));
  EXPECT_EQ(*parse_switch_list("true,false,on", "c"), (std::vector<bool>{true, false}));
}

TEST(Switches, RefusesTheRest) {
  const auto value = parse_switch_list("off,maybe", "--causal");
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().message,
            "--causal: given \"off,maybe\": \"maybe\" is not a switch (position 5); accepted: off "
            "and on, comma separated (also false, true)");
  EXPECT_FALSE(parse_switch_list("off,", "--causal"));
  EXPECT_FALSE(parse_switch_list("On", "--causal"));
}

TEST(Messages, StayOnOneLine) {
  const auto value = parse_integer_list("1\n2\x01", "--seq", 1, 9);
  ASSERT_FALSE(value);
  EXPECT_EQ(value.error().message.find('\n'), std::string::npos);
  EXPECT_NE(value.error().message.find("\"1\\n2\\x01\""), std::string::npos);
}

}  // namespace
}  // namespace attnbench

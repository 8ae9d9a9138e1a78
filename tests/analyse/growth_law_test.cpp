#include "analyse/growth_law.h"

#include <gtest/gtest.h>

#include <cmath>

namespace attnbench::analyse {
namespace {

TEST(GrowthLaw, ReadsTheLawsThatVariantsDeclare) {
  const struct {
    const char* text;
    GrowthLaw law;
  } cases[]{{"1", {0, 0}},           {"N", {1, 0}},           {"N log N", {1, 1}},
            {"N^1.5", {1.5, 0}},     {"N^2", {2, 0}},         {"N^3", {3, 0}},
            {"N^0.5", {0.5, 0}},     {"O(N^2)", {2, 0}},      {"n*log(n)", {1, 1}},
            {"sqrt(N)", {0.5, 0}},   {"N sqrt(N)", {1.5, 0}}, {"N^(3/2)", {1.5, 0}},
            {"log N", {0, 1}},       {"N^2 log N", {2, 1}},   {"N log N log N", {1, 2}},
            {"O( N log N )", {1, 1}}};
  for (const auto& each : cases) {
    const auto law = GrowthLaw::parse(each.text);
    ASSERT_TRUE(law) << each.text;
    EXPECT_EQ(*law, each.law) << each.text;
    EXPECT_EQ(GrowthLaw::parse(law->text()), law) << law->text();
  }
}

TEST(GrowthLaw, RefusesWhatIsNoLaw) {
  for (const char* text : {"", "banana", "N^", "N^x", "2", "N^-1", "N^99", "M^2", "N +1", "N^2*",
                           "N^(1/0)", "N^(2", "N M", "1 N", "O()", "log", "N^1.5.2"}) {
    EXPECT_FALSE(GrowthLaw::parse(text)) << text;
  }
}

TEST(GrowthLaw, ValuesAndLocalExponents) {
  const GrowthLaw n_log_n{1, 1};
  EXPECT_NEAR(std::exp(n_log_n.log_value(1024)), 1024 * std::log(1024.0), 1e-6);
  EXPECT_NEAR(n_log_n.local_exponent(256, 512), 1 + std::log(9.0 / 8) / std::log(2.0), 1e-12);
  EXPECT_DOUBLE_EQ((GrowthLaw{1.5, 0}.local_exponent(100, 300)), 1.5);
  EXPECT_TRUE(std::isfinite(n_log_n.log_value(1)));
  EXPECT_TRUE((GrowthLaw{0, 0}.constant()));
  EXPECT_FALSE((GrowthLaw{0, 1}.constant()));
}

TEST(GrowthLaw, CandidatesAreTheDocumentedOnes) {
  std::string all;
  for (const GrowthLaw& law : candidate_laws()) all += law.text() + ", ";
  EXPECT_EQ(all, "1, N, N log N, N^1.5, N^2, N^3, ");
}

}  // namespace
}  // namespace attnbench::analyse

#include "analyse/recommend.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "analyse/dispatch_table.h"
#include "analyse/synthetic.h"

namespace attnbench::analyse {
namespace {

using testing::row;

constexpr std::int64_t kCrossing = 1500;

/// exact: quadratic; rough: linear, crossing at 1500; windowed: half of rough, under its own mask.
std::vector<Record> example() {
  std::vector<Record> rows;
  for (std::int64_t n = 256; n <= 4096; n *= 2) {
    const auto x = static_cast<double>(n);
    Record exact = row("exact", n, 1e-9 * x * x);
    exact.error_rel_l2 = 3e-7;
    exact.workspace_peak_bytes = 4 * n * n;
    rows.push_back(exact);
    Record rough = row("rough", n, 1e-9 * kCrossing * x);
    rough.axes.exactness = "approximate";
    rough.error_rel_l2 = 0.1 + 1e-5 * x;
    rough.error_mean_v = 0.9;
    rough.workspace_peak_bytes = 65536;
    rows.push_back(rough);
    Record other = row("other", n, 1e-12);
    other.axes.exactness = "different";
    rows.push_back(other);
  }
  return rows;
}

Selected all_of(const std::vector<Series>& series) {
  const Selection selection = select_series(series, {});
  const auto* selected = std::get_if<Selected>(&selection);
  EXPECT_NE(selected, nullptr);
  return selected == nullptr ? Selected{} : *selected;
}

std::string best_at(const std::vector<Series>& series, Request request) {
  const Recommendation found = recommend(series, all_of(series), request);
  return found.accepted.empty() ? "" : series[found.accepted[0].series].axes.variant;
}

TEST(Recommend, TheFastestWithItsMargin) {
  const auto series = group_series(example());
  const Recommendation found = recommend(series, all_of(series), {.seq = 512});
  ASSERT_EQ(found.accepted.size(), 2u);
  EXPECT_EQ(series[found.accepted[0].series].axes.variant, "exact");
  EXPECT_TRUE(found.accepted[0].measured);
  EXPECT_NEAR(*found.margin(), kCrossing / 512.0, 1e-9);
  EXPECT_GT(found.margin_interval()->low, 0.97 * *found.margin());
  EXPECT_LT(found.margin_interval()->high, 1.03 * *found.margin());
  ASSERT_EQ(found.rejected.size(), 1u);
  EXPECT_EQ(found.rejected[0].rejected, "another function than softmax attention");
}

TEST(Recommend, BetweenLengthsItInterpolates) {
  const auto series = group_series(example());
  EXPECT_EQ(best_at(series, {.seq = 1400}), "exact");
  EXPECT_EQ(best_at(series, {.seq = 1600}), "rough");
  const Recommendation found = recommend(series, all_of(series), {.seq = 3000});
  EXPECT_NEAR(found.accepted[0].time_s, 1e-9 * kCrossing * 3000, 1e-8);
  EXPECT_FALSE(found.accepted[0].measured);
  EXPECT_FALSE(found.accepted[0].extrapolated);
  EXPECT_NEAR(*found.accepted[0].error, 0.1 + 0.04096, 1e-9) << "the worse neighbour's";
  EXPECT_EQ(*found.accepted[0].error_mean_v, 0.9);
  EXPECT_NEAR(*found.accepted[1].workspace_bytes, 4 * 9e6, 1e3);
}

TEST(Recommend, Limits) {
  const auto series = group_series(example());
  EXPECT_EQ(best_at(series, {.seq = 4096}), "rough");
  EXPECT_EQ(best_at(series, {.seq = 4096, .max_error = 1e-3}), "exact");
  EXPECT_EQ(best_at(series, {.seq = 512, .max_memory_bytes = 1e5}), "rough");
  EXPECT_EQ(best_at(series, {.seq = 512, .max_error = 1e-3, .max_memory_bytes = 1e5}), "");
  EXPECT_EQ(best_at(series, {.seq = 512, .variants = {"rough"}}), "rough");
  EXPECT_EQ(best_at(series, {.seq = 512, .variants = {"other"}}), "other") << "asked for by name";
}

TEST(Recommend, ExtrapolatesOnlyWhenAsked) {
  auto rows = example();
  Record gap = row("exact", 16384, 1);
  gap.status = RowStatus::skipped;
  gap.reason = "needs 17 GiB";
  gap.time_median_s.reset();
  rows.push_back(gap);
  const auto series = group_series(rows);
  const Recommendation refused = recommend(series, all_of(series), {.seq = 16384});
  EXPECT_TRUE(refused.accepted.empty());
  EXPECT_EQ(refused.rejected[0].rejected, "measured from 256 to 4096: needs 17 GiB");
  EXPECT_EQ(best_at(series, {.seq = 128}), "") << "below the range too";

  const Recommendation asked =
      recommend(series, all_of(series), {.seq = 16384, .extrapolate = true});
  ASSERT_EQ(asked.accepted.size(), 2u);
  EXPECT_TRUE(asked.accepted[0].extrapolated);
  EXPECT_NEAR(asked.accepted[0].time_s, 1e-9 * kCrossing * 16384, 1e-7);
  EXPECT_NEAR(asked.accepted[1].time_s, 1e-9 * 16384 * 16384, 1e-3);
  EXPECT_NEAR(*asked.accepted[1].workspace_bytes, 4.0 * 16384 * 16384, 1e6);
  const auto few = group_series(std::vector{row("a", 256, 1e-3), row("a", 512, 2e-3)});
  const Recommendation none = recommend(few, all_of(few), {.seq = 1024, .extrapolate = true});
  EXPECT_TRUE(none.accepted.empty());
}

TEST(SelectSeries, WantedUsualAndAmbiguous) {
  std::vector<Record> rows;
  for (const std::int64_t heads : {4, 8, 16}) {
    for (const char* input : {"sink", "peaked"}) {
      rows.push_back(row("a", 256, 1e-3));
      rows.back().axes.heads_q = rows.back().axes.heads_kv = heads;
      rows.back().axes.input = input;
    }
  }
  const auto series = group_series(rows);
  const Selection ambiguous = select_series(series, {});
  ASSERT_TRUE(std::holds_alternative<Ambiguous>(ambiguous));
  EXPECT_EQ(std::get<Ambiguous>(ambiguous).axis, "input");
  const Selection usual = select_series(series, {{"input", "sink"}});
  ASSERT_TRUE(std::holds_alternative<Selected>(usual));
  ASSERT_EQ(std::get<Selected>(usual).size(), 1u);
  EXPECT_EQ(series[std::get<Selected>(usual)[0]].axes.heads_q, 8);
  const Selection kept = select_series(series, {{"input", "sink"}}, {"heads_q", "heads_kv"});
  EXPECT_EQ(std::get<Selected>(kept).size(), 3u);
  const Selection missing = select_series(series, {{"heads_q", "12"}});
  ASSERT_TRUE(std::holds_alternative<NotMeasured>(missing));
  EXPECT_EQ(std::get<NotMeasured>(missing).measured, (std::vector<std::string>{"4", "8", "16"}));
}

TEST(DispatchTable, RangesMeetWhereTheTimesDo) {
  const auto series = group_series(example());
  const DispatchTable table = dispatch_table(series, all_of(series), {});
  ASSERT_EQ(table.entries.size(), 5u);
  EXPECT_EQ(table.entries.front().seq_from, 256);
  EXPECT_EQ(table.entries.back().seq_to, 4096);
  for (std::size_t i = 0; i + 1 < table.entries.size(); ++i) {
    const DispatchEntry &low = table.entries[i], &high = table.entries[i + 1];
    EXPECT_EQ(low.seq_to + 1, high.seq_from);
    EXPECT_LE(low.seq, low.seq_to);
    EXPECT_GE(high.seq, high.seq_from);
  }
  EXPECT_EQ(series[table.entries[2].series].axes.variant, "exact");
  EXPECT_EQ(series[table.entries[3].series].axes.variant, "rough");
  EXPECT_NEAR(static_cast<double>(table.entries[2].seq_to), kCrossing, 2);
  EXPECT_EQ(table.shared.at("input"), "gaussian");
  EXPECT_FALSE(table.shared.contains("threads"));
}

TEST(DispatchTable, ALengthThatALimitEmptiesIsAHole) {
  auto rows = example();
  for (Record& r : rows) {
    if (r.axes.seq_k == 1024) r.error_rel_l2 = 5;
  }
  const auto series = group_series(rows);
  const DispatchTable table = dispatch_table(series, all_of(series), {.max_error = 1});
  ASSERT_EQ(table.entries.size(), 4u);
  EXPECT_EQ(table.entries[1].seq_to, 512);
  EXPECT_EQ(table.entries[2].seq_from, 2048);
}

// The exact variant is the faster one at 512 and 1024, but its workspace is too large from 1024 on.
TEST(DispatchTable, BeyondALimitNothingIsClaimed) {
  const auto series = group_series(example());
  const DispatchTable table =
      dispatch_table(series, all_of(series), {.max_memory_bytes = 4.0 * 600 * 600});
  EXPECT_EQ(series[table.entries[1].series].axes.variant, "exact");
  EXPECT_EQ(table.entries[1].seq_to, 512);
  EXPECT_EQ(series[table.entries[2].series].axes.variant, "rough");
  EXPECT_EQ(table.entries[2].seq_from, 513);
}

TEST(DispatchTable, Json) {
  const auto series = group_series(example());
  const auto json = nlohmann::json::parse(
      dispatch_json(dispatch_table(series, all_of(series), {.max_error = 1}), series));
  EXPECT_EQ(json["entries"].size(), 5u);
  EXPECT_EQ(json["entries"][4]["variant"], "rough");
  EXPECT_EQ(json["entries"][4]["seq"], 4096);
  EXPECT_EQ(json["limits"]["error"], 1.0);
  EXPECT_TRUE(json["limits"]["workspace_bytes"].is_null());
}

TEST(DispatchTable, HeaderEscapesHostileNames) {
  auto rows = example();
  for (Record& r : rows) {
    r.axes.variant =
        "a\"\\\n?"
        "?/\xc3\xa9"
        "7";
    r.run_id = "x */ #error \n";
  }
  const auto series = group_series(rows);
  const std::string text = dispatch_header(dispatch_table(series, all_of(series), {}), series);
  EXPECT_NE(text.find(R"("a\"\\\012\?\?/\303\2517")"), std::string::npos) << text;
  EXPECT_EQ(text.find("x */"), std::string::npos);
  EXPECT_EQ(text.find("\n#error"), std::string::npos);
}

}  // namespace
}  // namespace attnbench::analyse

#include "analyse/pareto.h"

#include <gtest/gtest.h>

#include "analyse/synthetic.h"

namespace attnbench::analyse {
namespace {

using testing::row;

Record with_error(const std::string& variant, double time_s, double error,
                  const std::string& exactness = "approximate") {
  Record r = row(variant, 1024, time_s);
  r.axes.exactness = exactness;
  r.error_rel_l2 = error;
  return r;
}

std::vector<Record> example() {
  return {
      with_error("full", 4, 3e-7, "exact"), with_error("flash", 2, 2e-7, "exact"),
      with_error("linformer", 1, 0.7),      with_error("performer", 1.5, 0.3),
      with_error("poor", 1.6, 0.4),         with_error("local", 0.5, 2.5e-7, "exact-under-mask")};
}

TEST(Pareto, FrontAndDenseFront) {
  const auto series = group_series(example());
  const auto groups = pareto_groups(series);
  ASSERT_EQ(groups.size(), 1u);
  std::string order, front, dense;
  for (const ParetoPoint& point : groups[0].points) {
    const std::string name = series[point.series].axes.variant + " ";
    order += name;
    if (point.on_front) front += name;
    if (point.on_dense_front) dense += name;
  }
  EXPECT_EQ(order, "local linformer performer poor flash full ");
  EXPECT_EQ(front, "local flash ");
  EXPECT_EQ(dense, "linformer performer flash ");
}

TEST(Pareto, FastestWithinAnError) {
  const auto series = group_series(example());
  const ParetoGroup group = pareto_groups(series)[0];
  EXPECT_EQ(series[group.fastest_within(1)->series].axes.variant, "local");
  EXPECT_EQ(series[group.fastest_within(2.2e-7)->series].axes.variant, "flash");
  EXPECT_EQ(group.fastest_within(1e-9), nullptr);
}

TEST(Pareto, GroupsByProblemInputLengthAndThreads) {
  auto rows = example();
  const std::size_t one = rows.size();
  for (std::size_t i = 0; i < one; ++i) {
    rows.push_back(rows[i]);
    rows.back().axes.input = "sink";
    rows.push_back(rows[i]);
    rows.back().axes.threads = 2;
    rows.push_back(rows[i]);
    rows.back().axes.seq_q = rows.back().axes.seq_k = 2048;
  }
  rows.push_back(row("different", 1024, 1e-9));
  EXPECT_EQ(pareto_groups(group_series(rows)).size(), 4u);
}

TEST(Pareto, TiesAreBothOnTheFront) {
  const auto groups =
      pareto_groups(group_series(std::vector{with_error("a", 1, 0.5), with_error("b", 1, 0.5),
                                             with_error("c", 1, 0.6), with_error("d", 2, 0.5)}));
  int front = 0;
  for (const ParetoPoint& point : groups[0].points) front += point.on_front;
  EXPECT_EQ(front, 2);
}

}  // namespace
}  // namespace attnbench::analyse

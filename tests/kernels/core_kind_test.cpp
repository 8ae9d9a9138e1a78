#include "kernels/core_kind.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>

namespace attnbench::kernels {
namespace {

TEST(CoreKind, RowsAreAskedForNearWhereThatWasMeasuredToBeFaster) {
  EXPECT_TRUE(asks_rows_near("AuthenticAMD", 26));
  EXPECT_FALSE(asks_rows_near("AuthenticAMD", 25));
  EXPECT_FALSE(asks_rows_near("AuthenticAMD", 27));
  EXPECT_FALSE(asks_rows_near("GenuineIntel", 6));
  EXPECT_FALSE(asks_rows_near("GenuineIntel", 26));
  EXPECT_FALSE(asks_rows_near("", 26));
}

/// What follows ": " on the first line of /proc/cpuinfo that begins with `key` and a tab.
std::string cpu_fact(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(": ");
    if (line.starts_with(key + '\t') && colon != std::string::npos) return line.substr(colon + 2);
  }
  return {};
}

/// CPUID, against what the system says.
TEST(CoreKind, IsThatOfThisMachine) {
  const std::string vendor = cpu_fact("vendor_id"), family = cpu_fact("cpu family");
  if (vendor.empty() || family.empty()) GTEST_SKIP() << "the system does not say which CPU this is";
  EXPECT_EQ(asks_rows_near(), asks_rows_near(vendor, std::stoi(family)));
}

}  // namespace
}  // namespace attnbench::kernels

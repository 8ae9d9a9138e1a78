// Lengths of padded batches from .npy files.
#include "attention/key_lengths.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "attention/npy.h"

namespace attnbench {
namespace {

class KeyLengthsTest : public ::testing::Test {
 protected:
  KeyLengthsTest() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::temp_directory_path() /
              (std::string("attnbench_key_lengths_") + test->name());
    std::filesystem::create_directories(folder_);
  }
  ~KeyLengthsTest() override { std::filesystem::remove_all(folder_); }

  std::string file(const std::string& name, const std::vector<std::int64_t>& values,
                   const std::vector<std::int64_t>& shape) {
    const std::string path = (folder_ / name).string();
    EXPECT_TRUE(write_npy(path, shape, std::span<const std::int64_t>(values)));
    return path;
  }

  std::filesystem::path folder_;
};

TEST_F(KeyLengthsTest, AreNamedByFileAndContent) {
  const auto a = load_key_lengths(file("a.npy", {5, 0, 7}, {3}));
  ASSERT_TRUE(a);
  EXPECT_EQ(a->values, (std::vector<std::int64_t>{5, 0, 7}));
  EXPECT_EQ(a->name.substr(0, 6), "a.npy@");
  EXPECT_EQ(a->name.size(), 6U + 16U);
  const auto same = load_key_lengths(file("a.npy", {5, 0, 7}, {3}));
  const auto other = load_key_lengths(file("a.npy", {5, 7, 0}, {3}));
  ASSERT_TRUE(same && other);
  EXPECT_EQ(*a, *same);
  EXPECT_NE(a->name, other->name);
}

TEST_F(KeyLengthsTest, RefusesWhatTheyCannotBe) {
  EXPECT_FALSE(load_key_lengths(file("negative.npy", {5, -1}, {2})));
  EXPECT_FALSE(load_key_lengths(file("matrix.npy", {5, 1}, {1, 2})));
  EXPECT_FALSE(load_key_lengths((folder_ / "missing.npy").string()));
  const std::string path = (folder_ / "floats.npy").string();
  const std::vector<float> values{5, 1};
  const std::vector<std::int64_t> shape{2};
  ASSERT_TRUE(write_npy(path, shape, std::span<const float>(values)));
  const auto floats = load_key_lengths(path);
  ASSERT_FALSE(floats);
  EXPECT_EQ(floats.error().message,
            path + ": holds [2] '<f4'; accepted are key lengths: integers [B]");
}

}  // namespace
}  // namespace attnbench

#include "attention/npy.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <vector>

namespace attnbench {
namespace {

namespace fs = std::filesystem;

class NpyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() / (std::string("attnbench_npy_") + test->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  /// A version 1 file with this dictionary and these data bytes.
  template <class T>
  std::string file(const std::string& dictionary, const std::vector<T>& data,
                   std::size_t drop_bytes = 0) const {
    std::string bytes("\x93NUMPY\x01\x00", 8);
    bytes += static_cast<char>(dictionary.size() & 0xff);
    bytes += static_cast<char>(dictionary.size() >> 8);
    bytes += dictionary;
    bytes.append(reinterpret_cast<const char*>(data.data()), data.size() * sizeof(T));
    bytes.resize(bytes.size() - drop_bytes);
    return raw(bytes);
  }
  std::string raw(const std::string& bytes) const {
    std::ofstream(path("a.npy"), std::ios::binary) << bytes;
    return path("a.npy");
  }
  static std::string dictionary(const std::string& descr, const std::string& shape,
                                const std::string& fortran = "False") {
    return "{'descr': '" + descr + "', 'fortran_order': " + fortran + ", 'shape': " + shape +
           ", }\n";
  }
  static std::string message(const Result<NpyArray>& result) {
    return result ? "accepted" : result.error().message;
  }

  fs::path folder_;
};

TEST_F(NpyTest, WritesTheBytesThatNumpyWrites) {
  const std::vector<std::int64_t> shape{2, 1};
  const std::vector<float> values{1.0F, -2.5F};
  ASSERT_TRUE(write_npy(path("w.npy"), shape, values));
  std::ifstream in(path("w.npy"), std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  std::string expected("\x93NUMPY\x01\x00\x76\x00", 10);
  expected += "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1), }";
  expected += std::string(128 - expected.size() - 1, ' ') + "\n";
  expected.append(reinterpret_cast<const char*>(values.data()), 8);
  EXPECT_EQ(bytes, expected);
  EXPECT_FALSE(fs::exists(path("w.npy.tmp")));
}

TEST_F(NpyTest, ReadsBackWhatItWrote) {
  const std::vector<std::int64_t> shape{1, 2, 3};
  const std::vector<float> values{0, 1, 2, 3, 4, -5};
  ASSERT_TRUE(write_npy(path("w.npy"), shape, values));
  const auto read = read_npy(path("w.npy"));
  ASSERT_TRUE(read) << message(read);
  EXPECT_EQ(read->shape, shape);
  EXPECT_EQ(read->values, values);
  EXPECT_FALSE(read->is_integer);

  const std::vector<std::int64_t> ints{7, -8};
  const std::vector<std::int64_t> flat{2};
  ASSERT_TRUE(write_npy(path("i.npy"), flat, ints));
  const auto read_ints = read_npy(path("i.npy"));
  ASSERT_TRUE(read_ints) << message(read_ints);
  EXPECT_EQ(read_ints->shape, flat);
  EXPECT_EQ(read_ints->ints, ints);
  EXPECT_TRUE(read_ints->is_integer);
}

TEST_F(NpyTest, ConvertsFloat64AndFloat16) {
  const auto wide = read_npy(file<double>(dictionary("<f8", "(2,)"), {0.1, -3.0}));
  ASSERT_TRUE(wide) << message(wide);
  EXPECT_EQ(wide->values, (std::vector<float>{0.1F, -3.0F}));
  const auto half = read_npy(file<std::uint16_t>(dictionary("<f2", "(3,)"), {0x3c00, 0xc100, 1}));
  ASSERT_TRUE(half) << message(half);
  EXPECT_EQ(half->values, (std::vector<float>{1.0F, -2.5F, std::ldexp(1.0F, -24)}));
}

TEST_F(NpyTest, HalfPrecisionIsExactOverItsWholeRange) {
  EXPECT_EQ(half_to_float(0x0000), 0.0F);
  EXPECT_TRUE(std::signbit(half_to_float(0x8000)));
  EXPECT_EQ(half_to_float(0x7bff), 65504.0F);
  EXPECT_EQ(half_to_float(0x0400), std::ldexp(1.0F, -14));
  EXPECT_EQ(half_to_float(0x03ff), 1023.0F * std::ldexp(1.0F, -24));
  EXPECT_TRUE(std::isinf(half_to_float(0x7c00)));
  EXPECT_TRUE(std::isnan(half_to_float(0x7c01)));
  for (std::uint16_t bits = 0; bits < 0x7c00; ++bits) {
    ASSERT_LT(half_to_float(bits), half_to_float(static_cast<std::uint16_t>(bits + 1))) << bits;
  }
}

TEST_F(NpyTest, ReadsIntegersOfEveryWidth) {
  const auto bytes = read_npy(file<std::int8_t>(dictionary("|i1", "(2,)"), {-1, 5}));
  ASSERT_TRUE(bytes) << message(bytes);
  EXPECT_EQ(bytes->ints, (std::vector<std::int64_t>{-1, 5}));
  const auto words = read_npy(file<std::uint32_t>(dictionary("<u4", "(1,)"), {4294967295U}));
  ASSERT_TRUE(words) << message(words);
  EXPECT_EQ(words->ints, (std::vector<std::int64_t>{4294967295}));
  const auto flags = read_npy(file<std::uint8_t>(dictionary("|b1", "(2,)"), {0, 1}));
  ASSERT_TRUE(flags) << message(flags);
  EXPECT_EQ(flags->ints, (std::vector<std::int64_t>{0, 1}));
  const auto huge =
      read_npy(file<std::uint64_t>(dictionary("<u8", "(1,)"), {0x8000000000000000ULL}));
  EXPECT_NE(message(huge).find("beyond 64 signed bits"), std::string::npos) << message(huge);
}

TEST_F(NpyTest, ReadsOtherSpellingsOfTheHeader) {
  const std::string loose = "{\"shape\":(2,1),\"descr\":\"<f4\",\"fortran_order\":False}   \n";
  const auto read = read_npy(file<float>(loose, {1, 2}));
  ASSERT_TRUE(read) << message(read);
  EXPECT_EQ(read->shape, (std::vector<std::int64_t>{2, 1}));

  std::string version2("\x93NUMPY\x02\x00", 8);
  const std::string text = dictionary("<f4", "()");
  version2 += static_cast<char>(text.size());
  version2 += std::string(3, '\0') + text + std::string(4, '\0');
  const auto scalar = read_npy(raw(version2));
  ASSERT_TRUE(scalar) << message(scalar);
  EXPECT_TRUE(scalar->shape.empty());
  EXPECT_EQ(scalar->values, (std::vector<float>{0}));
}

TEST_F(NpyTest, FortranOrderIsRefusedUnlessTheOrderCannotMatter) {
  const auto refused = read_npy(file<float>(dictionary("<f4", "(2, 2)", "True"), {1, 2, 3, 4}));
  EXPECT_NE(message(refused).find("Fortran order"), std::string::npos) << message(refused);
  EXPECT_NE(message(refused).find("ascontiguousarray"), std::string::npos);
  const auto vector = read_npy(file<float>(dictionary("<f4", "(2,)", "True"), {1, 2}));
  EXPECT_TRUE(vector) << message(vector);
}

TEST_F(NpyTest, ValuesThatAreNotFiniteAreNamedWithTheirIndex) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto bad = read_npy(file<float>(dictionary("<f4", "(2, 2)"), {1, 2, nan, 4}));
  EXPECT_NE(message(bad).find("element [1, 0] is nan"), std::string::npos) << message(bad);
  const auto inf = read_npy(file<std::uint16_t>(dictionary("<f2", "(1,)"), {0xfc00}));
  EXPECT_NE(message(inf).find("element [0] is -inf"), std::string::npos) << message(inf);
  const auto wide = read_npy(file<double>(dictionary("<f8", "(1,)"), {1e300}));
  EXPECT_NE(message(wide).find("beyond the range of float32"), std::string::npos);
}

TEST_F(NpyTest, DamagedAndForeignFilesAreRefused) {
  struct Bad {
    std::string bytes_or_dictionary;
    std::string expected;
  };
  EXPECT_NE(message(read_npy(path("absent.npy"))).find("cannot be read"), std::string::npos);
  EXPECT_NE(message(read_npy(folder_.string())).find("is a directory"), std::string::npos);
  EXPECT_NE(message(read_npy(raw(""))).find("not an .npy file"), std::string::npos);
  EXPECT_NE(message(read_npy(raw("\x93NUMP"))).find("truncated: 5 of the 8 bytes"),
            std::string::npos);
  EXPECT_NE(message(read_npy(raw("PK\x03\x04 a zip, as .npz is"))).find("not an .npy file"),
            std::string::npos);
  EXPECT_NE(
      message(read_npy(raw(std::string("\x93NUMPY\x07\x00\x02\x00{}", 12)))).find("version 7"),
      std::string::npos);
  EXPECT_NE(message(read_npy(raw(std::string("\x93NUMPY\x01\x00\x50\x00{", 11))))
                .find("truncated in the .npy header"),
            std::string::npos);
  const std::vector<Bad> cases{
      {dictionary("<f4", "(3,)"), "needs 12 bytes of data, found 8"},
      {dictionary("<f4", "(1,)"), "too long"},
      {dictionary("<f4", "(4611686018427387904, 16)"), "too large"},
      {dictionary("<f4", "(99999999999999999999,)"), "a tuple of sizes"},
      {dictionary("<f4", "(-1,)"), "a tuple of sizes"},
      {dictionary(">f4", "(2,)"), "is big-endian"},
      {dictionary("|O", "(2,)"), "pickled Python objects"},
      {dictionary("<c8", "(1,)"), "is not supported"},
      {dictionary("<V2", "(4,)"), "is not supported"},
      {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,), }\n", "structured"},
      {"{'descr': '<f4', 'shape': (2,), }\n", "lacks"},
      {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,), }\n", "True or False"},
      {"{'descr': '<f4', 'bogus': 1}\n", "unknown key 'bogus'"},
      {"nonsense", "expected '{'"},
      {"{'descr", "expected a quoted key"},
  };
  for (const Bad& bad : cases) {
    const auto read = read_npy(file<float>(bad.bytes_or_dictionary, {1, 2}));
    EXPECT_NE(message(read).find(bad.expected), std::string::npos)
        << bad.bytes_or_dictionary << " gave: " << message(read);
    EXPECT_NE(message(read).find("a.npy"), std::string::npos) << "the file is not named";
  }
}

TEST_F(NpyTest, WritingReplacesFilesButNotDevicesOrFolders) {
  const std::vector<std::int64_t> shape{1};
  const std::vector<float> one{1};
  std::ofstream(path("old.npy")) << "old";
  ASSERT_TRUE(write_npy(path("old.npy"), shape, one));
  EXPECT_TRUE(read_npy(path("old.npy")));
  fs::create_symlink(path("old.npy"), path("link.npy"));
  ASSERT_TRUE(write_npy(path("link.npy"), shape, std::vector<float>{2}));
  EXPECT_TRUE(fs::is_symlink(path("link.npy")));
  EXPECT_EQ(read_npy(path("old.npy"))->values.front(), 2.0F);
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  const int reader = ::open(path("pipe").c_str(), O_RDWR | O_NONBLOCK);
  EXPECT_TRUE(write_npy(path("pipe"), shape, one));
  EXPECT_TRUE(fs::is_fifo(path("pipe")));
  EXPECT_NE(message(read_npy(path("pipe"))).find("not a regular file"), std::string::npos);
  ::close(reader);
  EXPECT_FALSE(write_npy(folder_.string(), shape, one));
  EXPECT_FALSE(write_npy(path("no/such/folder/x.npy"), shape, one));
}

}  // namespace
}  // namespace attnbench

#include "attention/safetensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

namespace attnbench {
namespace {

namespace fs = std::filesystem;

class SafetensorsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() / (std::string("attnbench_safetensors_") + test->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string raw(const std::string& bytes) const {
    const std::string path = (folder_ / "a.safetensors").string();
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }
  /// A file with this header text and so many bytes of data (of value 0).
  std::string file(const std::string& header, std::size_t data_bytes) const {
    return raw(length_bytes(header.size()) + header + std::string(data_bytes, '\0'));
  }
  template <class T>
  std::string file(const std::string& header, const std::vector<T>& data) const {
    return raw(length_bytes(header.size()) + header +
               std::string(reinterpret_cast<const char*>(data.data()), data.size() * sizeof(T)));
  }
  static std::string length_bytes(std::uint64_t length) {
    std::string bytes(sizeof(length), '\0');
    std::memcpy(bytes.data(), &length, sizeof(length));
    return bytes;
  }
  static std::string entry(const std::string& name, const std::string& dtype,
                           const std::string& shape, const std::string& offsets) {
    return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
           ",\"data_offsets\":" + offsets + "}";
  }
  /// The message with which the header is refused.
  static std::string refused(const std::string& path) {
    const auto header = read_safetensors_header(path);
    return header ? "accepted" : header.error().message;
  }

  fs::path folder_;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(SafetensorsTest, ReadsEveryFloatingType) {
  EXPECT_EQ(read_safetensors(file("{" + entry("q", "F32", "[2,1]", "[0,8]") + "}",
                                  std::vector<float>{1.5F, -2.0F}),
                             "q")
                ->values,
            (std::vector<float>{1.5F, -2.0F}));
  EXPECT_EQ(read_safetensors(file("{" + entry("q", "F64", "[1,2]", "[0,16]") + "}",
                                  std::vector<double>{0.25, 3e30}),
                             "q")
                ->values,
            (std::vector<float>{0.25F, 3e30F}));
  EXPECT_EQ(read_safetensors(file("{" + entry("q", "F16", "[3]", "[0,6]") + "}",
                                  std::vector<std::uint16_t>{0x3c00, 0xc000, 0x0001}),
                             "q")
                ->values,
            (std::vector<float>{1.0F, -2.0F, std::ldexp(1.0F, -24)}));
  // bfloat16 is the upper half of a float32: 0x3f80 is 1, 0x4049 is 3.140625.
  EXPECT_EQ(read_safetensors(file("{" + entry("q", "BF16", "[3]", "[0,6]") + "}",
                                  std::vector<std::uint16_t>{0x3f80, 0x4049, 0xbf00}),
                             "q")
                ->values,
            (std::vector<float>{1.0F, 3.140625F, -0.5F}));
}

TEST_F(SafetensorsTest, ReadsTheTensorThatIsAskedFor) {
  const std::string path =
      file("{\"__metadata__\":{\"model\":\"tiny\"}," + entry("v", "F32", "[1,2]", "[8,16]") + "," +
               entry("q", "F32", "[2]", "[0,8]") + "}  ",
           std::vector<float>{1, 2, 3, 4});
  const auto v = read_safetensors(path, "v");
  ASSERT_TRUE(v) << v.error().message;
  EXPECT_EQ(v->shape, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(v->values, (std::vector<float>{3, 4}));
  EXPECT_EQ(read_safetensors(path, "q")->values, (std::vector<float>{1, 2}));
  EXPECT_EQ(read_safetensors_header(path)->metadata.at("model"), "tiny");
  const auto missing = read_safetensors(path, "k");
  ASSERT_FALSE(missing);
  EXPECT_TRUE(contains(missing.error().message, "has no tensor 'k'; it has q, v"))
      << missing.error().message;
}

TEST_F(SafetensorsTest, RefusesWhatIsNotAFileOfTheFormat) {
  EXPECT_TRUE(contains(refused((folder_ / "none.safetensors").string()), "cannot be read"));
  EXPECT_TRUE(contains(refused(folder_.string()), "not a regular file"));
  EXPECT_TRUE(contains(refused(raw("")), "shorter than 8 bytes"));
  EXPECT_TRUE(contains(refused(raw("{\"q\"")), "shorter than 8 bytes"));
  EXPECT_TRUE(contains(refused(raw(length_bytes(100) + "{}")), "truncated"));
  // Header lengths that no machine has the memory for.
  EXPECT_TRUE(contains(refused(raw(length_bytes(~0ULL) + "{}")), "truncated"));
  EXPECT_TRUE(contains(refused(raw(length_bytes(1ULL << 40) + "{}")), "truncated"));
  EXPECT_TRUE(contains(refused(file("no json", 0)), "not JSON"));
  EXPECT_TRUE(contains(refused(file("{\"q\":", 0)), "not JSON"));
  EXPECT_TRUE(contains(refused(file("[1,2]", 0)), "not a JSON object"));
  EXPECT_TRUE(contains(refused(file(std::string(100000, '['), 0)), "not JSON"));
  EXPECT_TRUE(contains(refused(file("{\"__metadata__\":[1]}", 0)), "__metadata__"));
  EXPECT_TRUE(contains(refused(file("{\"__metadata__\":{\"a\":1}}", 0)), "__metadata__"));
}

TEST_F(SafetensorsTest, RefusesEntriesThatAreIncompleteOrOfAnotherForm) {
  EXPECT_TRUE(contains(refused(file("{\"q\":{}}", 0)), "lacks dtype, shape or data_offsets"));
  EXPECT_TRUE(contains(refused(file("{\"q\":5}", 0)), "lacks dtype"));
  EXPECT_TRUE(
      contains(refused(file("{\"q\":{\"dtype\":1,\"shape\":[],\"data_offsets\":[0,0]}}", 0)),
               "lacks dtype"));
  EXPECT_TRUE(contains(refused(file("{" + entry("q", "F7", "[1]", "[0,4]") + "}", 4)), "'F7'"));
  EXPECT_TRUE(contains(refused(file("{" + entry("q", "F32", "[-1]", "[0,4]") + "}", 4)), "shape"));
  EXPECT_TRUE(contains(refused(file("{" + entry("q", "F32", "[1.5]", "[0,4]") + "}", 4)), "shape"));
  EXPECT_TRUE(contains(refused(file("{" + entry("q", "F32", "\"1\"", "[0,4]") + "}", 4)), "shape"));
  EXPECT_TRUE(
      contains(refused(file("{" + entry("q", "F32", "[1]", "[4]") + "}", 4)), "data_offsets"));
  EXPECT_TRUE(
      contains(refused(file("{" + entry("q", "F32", "[1]", "[-4,0]") + "}", 4)), "data_offsets"));
  EXPECT_TRUE(contains(refused(file("{" + entry("q", "F32", "[1]", "[4,0]") + "}", 4)),
                       "end (0) before they begin (4)"));
}

TEST_F(SafetensorsTest, RefusesByteRangesThatDoNotFit) {
  EXPECT_TRUE(contains(refused(file("{" + entry("q", "F32", "[2]", "[0,8]") + "}", 7)),
                       "truncated: its data end at byte 8, the file has 7"));
  EXPECT_TRUE(contains(refused(file("{" + entry("q", "F32", "[3]", "[0,8]") + "}", 8)),
                       "needs 12 bytes of data, data_offsets span 8"));
  EXPECT_TRUE(
      contains(refused(file("{" + entry("q", "F32", "[4294967296,4294967296]", "[0,8]") + "}", 8)),
               "too large"));
  EXPECT_TRUE(contains(
      refused(file("{" + entry("q", "F32", "[9223372036854775808]", "[0,8]") + "}", 8)), "shape"));
  EXPECT_TRUE(contains(refused(file("{" + entry("k", "F32", "[2]", "[0,8]") + "," +
                                        entry("q", "F32", "[2]", "[4,12]") + "}",
                                    12)),
                       "the data of 'k' and 'q' overlap"));
  EXPECT_TRUE(contains(refused(file("{" + entry("k", "F32", "[1]", "[0,4]") + "," +
                                        entry("q", "F32", "[1]", "[8,12]") + "}",
                                    12)),
                       "belong to no tensor"));
  EXPECT_TRUE(contains(refused(file("{" + entry("k", "F32", "[1]", "[0,4]") + "}", 5)),
                       "belong to no tensor"));
  EXPECT_EQ(refused(file("{" + entry("k", "F32", "[0,3]", "[0,0]") + "," +
                             entry("q", "F32", "[1]", "[0,4]") + "}",
                         4)),
            "accepted");
}

TEST_F(SafetensorsTest, RefusesANameThatOccursTwice) {
  const std::string one = entry("q", "F32", "[1]", "[0,4]");
  EXPECT_TRUE(contains(refused(file("{" + one + "," + one + "}", 4)), "has 'q' twice"));
  EXPECT_TRUE(contains(
      refused(file("{\"q\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":"
                   "[0,4]}}",
                   4)),
      "has 'dtype' twice"));
  // The same name in two objects is none twice.
  EXPECT_EQ(refused(file("{" + one + "," + entry("k", "F32", "[1]", "[4,8]") + "}", 8)),
            "accepted");
}

TEST_F(SafetensorsTest, RefusesValuesAndTypesThatAreNoFloats) {
  const auto reading = [&](const std::string& path) {
    const auto read = read_safetensors(path, "q");
    return read ? "accepted" : read.error().message;
  };
  EXPECT_TRUE(contains(reading(file("{" + entry("q", "I32", "[1]", "[0,4]") + "}", 4)),
                       "tensor 'q': dtype I32; accepted are F16, BF16, F32, F64"));
  EXPECT_TRUE(contains(reading(file("{" + entry("q", "F32", "[2,2]", "[0,16]") + "}",
                                    std::vector<float>{0, 0, std::nanf(""), 0})),
                       "element [1, 0] is nan"));
  EXPECT_TRUE(contains(reading(file("{" + entry("q", "BF16", "[2]", "[0,4]") + "}",
                                    std::vector<std::uint16_t>{0x3f80, 0xff80})),
                       "element [1] is -inf"));
  EXPECT_TRUE(contains(
      reading(file("{" + entry("q", "F64", "[1]", "[0,8]") + "}", std::vector<double>{1e300})),
      "beyond the range of float32"));
}

TEST_F(SafetensorsTest, MessagesStayOneLine) {
  const std::string message = refused(file("{" + entry("a\\nb", "F32", "[2]", "[0,4]") + "}", 4));
  EXPECT_TRUE(contains(message, "tensor 'a?b'")) << message;
}

}  // namespace
}  // namespace attnbench

#include "attention/capture.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "attention/npy.h"

namespace attnbench {
namespace {

namespace fs = std::filesystem;
using Shape = std::vector<std::int64_t>;

std::vector<float> counting(std::int64_t count, float from) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i) values.push_back(from + static_cast<float>(i));
  return values;
}

std::int64_t elements(const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count *= size;
  return count;
}

class CaptureTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() / (std::string("attnbench_capture_") + test->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  /// q, k and v count up from 0, 1000 and 2000.
  std::string npy_folder(const std::string& name, const std::array<Shape, 3>& shapes) const {
    const fs::path at = folder_ / name;
    fs::create_directories(at);
    for (std::size_t i = 0; i < 3; ++i) {
      const auto values = counting(elements(shapes[i]), 1000.0F * static_cast<float>(i));
      const Status written = write_npy((at / (kNames[i] + ".npy")).string(), shapes[i], values);
      EXPECT_TRUE(written);
    }
    return at.string();
  }
  std::string safetensors(const std::string& name, const std::array<Shape, 3>& shapes) const {
    std::string header = "{", data;
    for (std::size_t i = 0; i < 3; ++i) {
      const auto values = counting(elements(shapes[i]), 1000.0F * static_cast<float>(i));
      const std::size_t begin = data.size();
      data.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
      std::string sizes;
      for (const std::int64_t size : shapes[i]) {
        sizes += (sizes.empty() ? "" : ",") + std::to_string(size);
      }
      header += (i == 0 ? "\"" : ",\"") + kNames[i] + "\":{\"dtype\":\"F32\",\"shape\":[" + sizes +
                "],\"data_offsets\":[" + std::to_string(begin) + "," + std::to_string(data.size()) +
                "]}";
    }
    header += "}";
    const std::uint64_t length = header.size();
    std::string bytes(sizeof(length), '\0');
    std::memcpy(bytes.data(), &length, sizeof(length));
    const std::string path = (folder_ / name).string();
    std::ofstream(path, std::ios::binary) << bytes << header << data;
    return path;
  }
  static std::shared_ptr<const Capture> load(const std::string& path) {
    auto capture = load_capture("file:" + path);
    EXPECT_TRUE(capture) << (capture ? "" : capture.error().message);
    return capture ? *capture : nullptr;
  }
  static std::string refused(const std::string& path) {
    const auto capture = load_capture("file:" + path);
    return capture ? "accepted" : capture.error().message;
  }

  const std::array<std::string, 3> kNames{"q", "k", "v"};
  fs::path folder_;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(CaptureTest, TakesTheShapeFromTheFile) {
  const auto grouped =
      load(safetensors("a.safetensors", {{{2, 4, 6, 3}, {2, 2, 6, 3}, {2, 2, 6, 5}}}));
  const Problem& p = grouped->shape;
  EXPECT_EQ(p.batch, 2);
  EXPECT_EQ(p.heads_q, 4);
  EXPECT_EQ(p.heads_kv, 2);
  EXPECT_EQ(p.seq_q, 6);
  EXPECT_EQ(p.seq_k, 6);
  EXPECT_EQ(p.dim_qk, 3);
  EXPECT_EQ(p.dim_v, 5);
  EXPECT_DOUBLE_EQ(grouped->bytes(), 4.0 * (2 * 4 * 6 * 3 + 2 * 2 * 6 * 3 + 2 * 2 * 6 * 5));
  const auto heads = load(npy_folder("b", {{{4, 6, 3}, {2, 6, 3}, {2, 6, 5}}}));
  EXPECT_EQ(heads->shape.batch, 1);
  EXPECT_EQ(heads->shape.heads_q, 4);
  const auto matrix = load(npy_folder("c", {{{6, 3}, {7, 3}, {7, 5}}}));
  EXPECT_EQ(matrix->shape.heads_q, 1);
  EXPECT_EQ(matrix->shape.seq_q, 6);
  EXPECT_EQ(matrix->shape.seq_k, 7);
}

TEST_F(CaptureTest, IsNamedByFileAndContent) {
  const std::array<Shape, 3> shapes{{{4, 6, 3}, {2, 6, 3}, {2, 6, 5}}};
  const std::string a = load(safetensors("a.safetensors", shapes))->label;
  const std::string b = load(npy_folder("b", shapes))->label;
  ASSERT_EQ(a.size(), std::string("file:a.safetensors#12345678").size()) << a;
  EXPECT_EQ(a.substr(0, 19), "file:a.safetensors#");
  EXPECT_EQ(b.substr(0, 7), "file:b#");
  EXPECT_EQ(a.substr(19), b.substr(7)) << "the same tensors in another format";
  EXPECT_EQ(load((folder_ / "b").string() + "/")->label, b);
  EXPECT_EQ(load((folder_ / "b" / "{}.npy").string())->label, "file:{}.npy#" + b.substr(7));
  const std::string other = load(npy_folder("b", {{{4, 6, 3}, {2, 6, 3}, {2, 6, 6}}}))->label;
  EXPECT_NE(other, b) << "another shape";
}

TEST_F(CaptureTest, RefusesWhatDoesNotFitTogether) {
  EXPECT_TRUE(contains(refused("x.bin"), "accepted: a .safetensors file"));
  EXPECT_TRUE(contains(refused((folder_ / "nothing").string()), "a folder with q.npy"));
  EXPECT_TRUE(contains(refused(folder_.string()), "q.npy: cannot be read"));
  EXPECT_TRUE(contains(refused(npy_folder("a", {{{6, 3}, {6, 4}, {6, 3}}})), "head dimension D"));
  EXPECT_TRUE(contains(refused(npy_folder("a", {{{6, 3}, {6, 3}, {5, 3}}})), "number of keys"));
  EXPECT_TRUE(contains(refused(npy_folder("a", {{{3, 6, 3}, {2, 6, 3}, {2, 6, 3}}})),
                       "must be a multiple of key-value heads"));
  EXPECT_TRUE(contains(refused(npy_folder("a", {{{2, 1, 6, 3}, {6, 3}, {6, 3}}})), "batch size"));
  EXPECT_TRUE(contains(refused(npy_folder("a", {{{6}, {6, 3}, {6, 3}}})), "1 dimensions"));
  EXPECT_TRUE(contains(refused(npy_folder("a", {{{0, 3}, {6, 3}, {6, 3}}})), "is empty"));
  const std::vector<std::int64_t> whole{1, 2, 3};
  ASSERT_TRUE(write_npy((folder_ / "a" / "q.npy").string(), Shape{1, 3}, whole));
  EXPECT_TRUE(contains(refused((folder_ / "a").string()), "holds integers"));
}

TEST_F(CaptureTest, CutsPrefixesInBothLayouts) {
  const auto capture = load(npy_folder("a", {{{1, 2, 6, 3}, {1, 1, 6, 3}, {1, 1, 6, 2}}}));
  Problem problem = with_capture_shape({}, *capture);
  EXPECT_EQ(problem.heads_q, 2);
  EXPECT_EQ(problem.dim_v, 2);
  problem.seq_q = problem.seq_k = 4;
  for (const Layout layout : {Layout::bhnd, Layout::bnhd}) {
    problem.layout = layout;
    EXPECT_FALSE(capture_refusal(*capture, problem));
    const InputTensors cut = cut_inputs(*capture, problem);
    EXPECT_EQ(cut.q.shape(), (std::array<std::int64_t, 4>{1, 2, 4, 3}));
    EXPECT_EQ(cut.v.shape(), (std::array<std::int64_t, 4>{1, 1, 4, 2}));
    // Query 3 of head 1 is the row at (1 * 6 + 3) * 3.
    EXPECT_EQ(cut.q.view().at(0, 1, 3, 1), 28);
    EXPECT_EQ(cut.k.view().at(0, 0, 2, 0), 1006);
    EXPECT_EQ(cut.v.view().at(0, 0, 3, 1), 2007);
    EXPECT_EQ(cut.q.view().stride, layout_strides({1, 2, 4, 3}, layout));
  }
}

TEST_F(CaptureTest, FewerQueriesThanKeysAreTheLastOnesOfThePrefix) {
  const auto self = load(npy_folder("self", {{{6, 1}, {6, 1}, {6, 1}}}));
  Problem problem = with_capture_shape({}, *self);
  problem.seq_q = 2;
  problem.seq_k = 5;
  EXPECT_EQ(cut_inputs(*self, problem).q.view().at(0, 0, 0, 0), 3);
  EXPECT_EQ(cut_inputs(*self, problem).k.view().at(0, 0, 4, 0), 1004);
  // More queries than keys, or a capture of cross attention: from the start.
  problem.seq_q = 5;
  problem.seq_k = 2;
  EXPECT_EQ(cut_inputs(*self, problem).q.view().at(0, 0, 0, 0), 0);
  const auto cross = load(npy_folder("cross", {{{4, 1}, {6, 1}, {6, 1}}}));
  problem.seq_q = 2;
  problem.seq_k = 5;
  EXPECT_EQ(cut_inputs(*cross, problem).q.view().at(0, 0, 0, 0), 0);
}

TEST_F(CaptureTest, RefusesMoreThanWasRecorded) {
  const auto capture = load(npy_folder("a", {{{4, 1}, {6, 1}, {6, 1}}}));
  Problem problem = with_capture_shape({}, *capture);
  problem.seq_q = 5;
  problem.seq_k = 6;
  EXPECT_TRUE(contains(*capture_refusal(*capture, problem), "5 queries asked for"));
  problem.seq_q = 4;
  problem.seq_k = 7;
  EXPECT_TRUE(contains(*capture_refusal(*capture, problem), "7 keys asked for, file:a#"));
}

TEST_F(CaptureTest, LoadsEachOfAListOnce) {
  const std::string text = "file:" + npy_folder("a", {{{4, 1}, {6, 1}, {6, 1}}});
  const auto set = load_captures({"gaussian", text, "peaked=4", text});
  ASSERT_TRUE(set);
  EXPECT_EQ(set->size(), 1U);
  EXPECT_TRUE(set->contains(text));
  EXPECT_FALSE(load_captures({"gaussian", "file:/nowhere.safetensors"}));
}

}  // namespace
}  // namespace attnbench

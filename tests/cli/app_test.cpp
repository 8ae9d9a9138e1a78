#include "cli/app.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "attention/npy.h"
#include "fake_variants.h"

namespace attnbench::cli {
namespace {

namespace fs = std::filesystem;

/// The command line over a registry of its own.
class AppTest : public ::testing::Test {
 protected:
  void SetUp() override {
    registry_.add(std::make_unique<FakeVariant>("good", 1.0F));
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::temp_directory_path() / (std::string("attnbench_app_") + test->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  int run(std::vector<std::string> words) {
    words.insert(words.begin(), "attnbench");
    out_.str("");
    err_.str("");
    return static_cast<int>(run_command_line({.out = out_,
                                              .err = err_,
                                              .registry = registry_,
                                              .err_is_terminal = false,
                                              .err_columns = 80,
                                              .arguments = std::move(words)}));
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  void write_ones(const std::string& name, std::vector<std::int64_t> shape) const {
    std::int64_t count = 1;
    for (const std::int64_t size : shape) count *= size;
    const std::vector<float> values(static_cast<std::size_t>(count), 0.5F);
    ASSERT_TRUE(write_npy(path(name), shape, values));
  }
  std::vector<std::string> eval_words(const std::string& variant) {
    return {"eval", variant, "--q", path("q.npy"), "--k", path("k.npy"), "--v", path("v.npy")};
  }

  Registry registry_;
  std::ostringstream out_, err_;
  fs::path folder_;
};

TEST_F(AppTest, EveryPageOfHelpIsGoodAndGoesToStandardOutput) {
  EXPECT_EQ(run({"--help"}), 0);
  EXPECT_NE(out_.str().find("Commands:"), std::string::npos);
  EXPECT_EQ(run({"eval", "-h"}), 0);
  EXPECT_NE(out_.str().find("--weights FILE"), std::string::npos);
  EXPECT_NE(out_.str().find("Usage: attnbench eval VARIANT --q FILE"), std::string::npos);
  EXPECT_EQ(err_.str(), "");
}

TEST_F(AppTest, ADuplicateVariantMakesEveryCommandFail) {
  EXPECT_EQ(run({"list"}), 0);
  registry_.add(std::make_unique<FakeVariant>("good", 2.0F));
  EXPECT_EQ(run({"list"}), 2);
  EXPECT_NE(err_.str().find("good"), std::string::npos);
}

TEST_F(AppTest, MisspeltFlagsAreReportedBeforeMissingOnes) {
  EXPECT_EQ(run({"eval", "good", "--querries", "q.npy"}), 2);
  EXPECT_NE(err_.str().find("unknown flag --querries"), std::string::npos);
  EXPECT_EQ(run({"eval", "good"}), 2);
  EXPECT_NE(err_.str().find("--q is required"), std::string::npos);
}

TEST_F(AppTest, FlagsGivenTwiceAreNamed) {
  EXPECT_EQ(run({"verify", "--heads", "2", "--seq", "9", "--heads=4"}), 2);
  EXPECT_NE(err_.str().find("--heads is given more than once"), std::string::npos) << err_.str();
  EXPECT_EQ(run({"verify", "--seq"}), 2);
  EXPECT_EQ(err_.str().find("more than once"), std::string::npos) << err_.str();
}

TEST_F(AppTest, VerifyPassesWhatIsRight) {
  EXPECT_EQ(run({"verify", "--seq", "9", "--heads", "2", "--dim", "4"}), 0) << err_.str();
  EXPECT_NE(out_.str().find("1 verified, 0 failed"), std::string::npos) << out_.str();
}

TEST_F(AppTest, VerifyExitsWithOneWhenAVariantIsWrong) {
  registry_.add(std::make_unique<FakeVariant>("slightly-wrong", 1.0001F));
  EXPECT_EQ(run({"verify", "--seq", "9", "--heads", "2", "--dim", "4"}), 1);
  EXPECT_NE(out_.str().find("FAILED"), std::string::npos);
  EXPECT_NE(err_.str().find("attnbench: failed: slightly-wrong"), std::string::npos) << err_.str();
  EXPECT_EQ(run({"verify", "--variants", "good", "--seq", "9", "--dim", "4"}), 0);
}

TEST_F(AppTest, VerifyCoversItsGridAndCountsWhatIsNotDefined) {
  EXPECT_EQ(run({"verify"}), 0) << err_.str();
  for (const char* part : {"Nq=1 ", "causal", "Hkv=2", "peaked=30", "bnhd", "key-lengths"}) {
    EXPECT_NE(out_.str().find(part), std::string::npos) << part;
  }
  EXPECT_EQ(run({"verify", "--seq", "9", "--dim", "13"}), 2);
  EXPECT_NE(err_.str().find("13 brings bad luck"), std::string::npos);
}

TEST_F(AppTest, EvalChecksItsOutputOnRequest) {
  registry_.add(std::make_unique<FakeVariant>("wrong", 1.01F));
  for (const char* name : {"q.npy", "k.npy", "v.npy"}) write_ones(name, {3, 4});
  auto words = eval_words("good");
  words.insert(words.end(), {"--out", path("o.npy"), "--check"});
  EXPECT_EQ(run(words), 0) << err_.str();
  const auto output = read_npy(path("o.npy"));
  ASSERT_TRUE(output);
  EXPECT_EQ(output->shape, (std::vector<std::int64_t>{3, 4}));
  words[1] = "wrong";
  EXPECT_EQ(run(words), 1);
  EXPECT_NE(out_.str().find("FAILED"), std::string::npos);
}

TEST_F(AppTest, EvalReportsWhatAVariantDoesNotDefine) {
  for (const char* name : {"q.npy", "k.npy", "v.npy"}) write_ones(name, {3, 13});
  auto words = eval_words("good");
  words.insert(words.end(), {"--out", path("o.npy")});
  EXPECT_EQ(run(words), 2);
  EXPECT_NE(err_.str().find("13 brings bad luck"), std::string::npos);
  EXPECT_FALSE(fs::exists(path("o.npy")));
}

TEST_F(AppTest, NothingRunnableIsAUsageError) {
  EXPECT_EQ(run({"run", "--seq", "8", "--dim", "13", "--out", path("r")}), 2);
  EXPECT_NE(err_.str().find("nothing runnable"), std::string::npos);
  EXPECT_FALSE(fs::exists(path("r")));
}

TEST_F(AppTest, ARunWithAFailedVerificationExitsWithOneAndKeepsItsRow) {
  registry_.add(std::make_unique<FakeVariant>("wrong", 1.01F));
  EXPECT_EQ(run({"run", "--seq", "8", "--dim", "4", "--heads", "1", "--threads", "1", "--budget",
                 "10m", "--max-samples", "3", "--out", path("r")}),
            1)
      << err_.str();
  std::ifstream summary(path("r/summary.csv"));
  const std::string text((std::istreambuf_iterator<char>(summary)), {});
  EXPECT_NE(text.find("failed"), std::string::npos);
  EXPECT_NE(text.find(",ok,"), std::string::npos);
}

}  // namespace
}  // namespace attnbench::cli

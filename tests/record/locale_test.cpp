// Numbers look the same whatever the process's locale says.
#include <gtest/gtest.h>
#include <stdlib.h>  // setenv

#include <array>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <locale>
#include <string>

#include "record/csv.h"
#include "record/example.h"
#include "record/json.h"
#include "record/markdown.h"
#include "record/schema.h"

namespace attnbench {
namespace {

struct CommaNumbers : std::numpunct<char> {
  char do_decimal_point() const override { return ','; }
  char do_thousands_sep() const override { return '.'; }
  std::string do_grouping() const override { return "\3"; }
};

struct Texts {
  std::string csv, json, console, manifest;
  bool operator==(const Texts&) const = default;
};

Texts texts() {
  Manifest manifest;
  manifest.compute = {{1, 150.5, 2.5e9}};
  manifest.noise["load"] = 0.5;
  const std::vector records{testing::example_record()};
  Texts out{"", records_to_json(records), console_table(records), manifest_to_json(manifest)};
  append_csv_row(out.csv, to_cells(records[0]));
  return out;
}

/// Puts the C and C++ locales back.
class LocaleTest : public ::testing::Test {
 protected:
  void TearDown() override {
    std::locale::global(std::locale::classic());
    unsetenv("LOCPATH");
    std::setlocale(LC_ALL, "C");
  }

  /// A comma-decimal C locale: one that is installed, or one that is made for this test. False
  /// where neither works.
  bool set_comma_locale() {
    for (const char* name : {"de_DE.UTF-8", "de_DE.utf8", "de_DE", "fr_FR.UTF-8", "nl_NL.UTF-8"}) {
      if (std::setlocale(LC_ALL, name) != nullptr) return true;
    }
    const std::string made =
        "localedef -i de_DE -f UTF-8 '" + scratch_.file("de_DE.UTF-8") + "' >/dev/null 2>&1";
    if (std::system(made.c_str()) != 0) return false;
    setenv("LOCPATH", scratch_.file("").c_str(), 1);
    return std::setlocale(LC_ALL, "de_DE.UTF-8") != nullptr;
  }

  testing::ScratchDirectory scratch_;
};

TEST_F(LocaleTest, StreamsLocaleChangesNothing) {
  const Texts before = texts();
  std::locale::global(std::locale(std::locale::classic(), new CommaNumbers));
  EXPECT_EQ(texts(), before);
}

TEST_F(LocaleTest, CommaDecimalsChangeNothing) {
  const Texts before = texts();
  if (!set_comma_locale()) GTEST_SKIP() << "no locale with a decimal comma here";
  std::array<char, 16> printed{};
  std::snprintf(printed.data(), printed.size(), "%.1f", 0.5);
  ASSERT_STREQ(printed.data(), "0,5");
  EXPECT_EQ(texts(), before);
  EXPECT_EQ(parse_real("0.25"), 0.25);
  EXPECT_FALSE(parse_real("0,25"));
  const auto back = from_cells<Record>(to_cells(testing::example_record()));
  ASSERT_TRUE(back);
  EXPECT_EQ(*back->time_median_s, 0.00125);
  const auto records = records_from_json(before.json, "s.json");
  ASSERT_TRUE(records) << records.error().message;
  EXPECT_EQ(*(*records)[0].time_median_s, 0.00125);
}

}  // namespace
}  // namespace attnbench

// docs/csv_schema.md and the code say the same.
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "record/json.h"
#include "record/schema.h"

namespace attnbench {
namespace {

std::string document() {
  std::ifstream in(ATTNBENCH_SOURCE_DIR "/docs/csv_schema.md", std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The first table below a heading, line ends included; empty when there is none.
std::string table_below(const std::string& text, const std::string& heading) {
  std::istringstream lines(text);
  std::string line;
  std::string table;
  bool below = false;
  while (std::getline(lines, line)) {
    if (line.starts_with("## ")) below = line == "## " + heading;
    if (!below) continue;
    if (line.starts_with("|")) {
      table += line + "\n";
    } else if (!table.empty()) {
      break;
    }
  }
  return table;
}

std::set<std::string> first_cells(const std::string& table) {
  std::istringstream lines(table);
  std::string line;
  std::set<std::string> cells;
  while (std::getline(lines, line)) {
    if (!line.starts_with("| `")) continue;
    cells.insert(line.substr(3, line.find('`', 3) - 3));
  }
  return cells;
}

/// "machine.caches[].level" for every leaf; objects in `open` hold names that are data.
void collect_keys(const nlohmann::json& json, const std::string& path,
                  const std::set<std::string>& open, std::set<std::string>& keys) {
  if (json.is_object() && !open.contains(path)) {
    for (const auto& [key, value] : json.items()) {
      collect_keys(value, path.empty() ? key : path + "." + key, open, keys);
    }
  } else if (json.is_array() && !json.empty() && json[0].is_object()) {
    for (const auto& value : json) collect_keys(value, path + "[]", open, keys);
  } else {
    keys.insert(path);
  }
}

TEST(SchemaDocument, SummaryTableIsTheSchema) {
  EXPECT_EQ(table_below(document(), "summary.csv"), columns_markdown<Record>());
}

TEST(SchemaDocument, SamplesTableIsTheSchema) {
  EXPECT_EQ(table_below(document(), "samples.csv"), columns_markdown<SampleRow>());
}

TEST(SchemaDocument, NamesTheVersion) {
  EXPECT_NE(document().find("schema version **" + std::to_string(kSchemaVersion) + "**"),
            std::string::npos);
}

TEST(SchemaDocument, ManifestTableHasEveryKeyAndNoOther) {
  Manifest manifest;
  manifest.machine.caches.emplace_back();
  manifest.compute.emplace_back();
  manifest.bandwidth.emplace_back();
  std::set<std::string> keys;
  collect_keys(nlohmann::json::parse(manifest_to_json(manifest)), "",
               {"libraries", "noise", "timing"}, keys);
  EXPECT_EQ(first_cells(table_below(document(), "manifest.json")), keys);
}

TEST(SchemaDocument, TheComparisonCanFail) {
  std::string changed = document();
  const auto at = changed.find("| s |");
  ASSERT_NE(at, std::string::npos);
  changed.replace(at, 5, "| ms |");
  EXPECT_NE(table_below(changed, "summary.csv"), columns_markdown<Record>());
  EXPECT_EQ(table_below(document(), "no such heading"), "");
  EXPECT_EQ(first_cells("| `a.b` | text | x |\n| c | d |\n"), std::set<std::string>{"a.b"});
}

}  // namespace
}  // namespace attnbench

// Aligned plain-text tables.
#pragma once

#include <string>
#include <vector>

namespace attnbench::cli {

/// Columns as wide as their widest cell, two blanks apart, no trailing blanks.
class TextTable {
 public:
  enum class Align { left, right };
  struct Column {
    std::string title;
    Align align = Align::left;
  };
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// As many cells as columns.
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  /// Title row, then the rows; each line starts with `indent` blanks and ends with a newline.
  std::string text(int indent = 0) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// Breaks `text` at blanks so that no line is longer than `width` (words longer than that
/// excepted); newlines in the text stay. Lines are joined by a newline and `indent` blanks.
std::string wrapped(const std::string& text, int width, int indent);

}  // namespace attnbench::cli

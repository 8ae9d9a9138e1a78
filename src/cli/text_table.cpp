#include "cli/text_table.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace attnbench::cli {
namespace {

/// Characters of UTF-8 text, which is what a terminal counts.
std::size_t display_width(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

}  // namespace

void TextTable::add(std::vector<std::string> cells) {
  if (cells.size() != columns_.size()) throw std::invalid_argument("cells differ from columns");
  rows_.push_back(std::move(cells));
}

std::string TextTable::text(int indent) const {
  std::vector<std::string> titles;
  for (const Column& column : columns_) titles.push_back(column.title);
  std::vector<std::size_t> widths(columns_.size(), 0);
  const auto widen = [&](const std::vector<std::string>& cells) {
    for (std::size_t c = 0; c < cells.size(); ++c) {
      widths[c] = std::max(widths[c], display_width(cells[c]));
    }
  };
  widen(titles);
  for (const auto& row : rows_) widen(row);
  std::string all;
  const auto print = [&](const std::vector<std::string>& cells) {
    std::string line(static_cast<std::size_t>(indent), ' ');
    for (std::size_t c = 0; c < cells.size(); ++c) {
      if (c > 0) line += "  ";
      const std::string padding(widths[c] - display_width(cells[c]), ' ');
      line += columns_[c].align == Align::right ? padding + cells[c] : cells[c] + padding;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    all += line + '\n';
  };
  print(titles);
  for (const auto& row : rows_) print(row);
  return all;
}

std::string wrapped(const std::string& text, int width, int indent) {
  const std::string break_text = "\n" + std::string(static_cast<std::size_t>(indent), ' ');
  std::string result;
  std::istringstream lines(text);
  std::string line;
  bool first_line = true;
  while (std::getline(lines, line)) {
    if (!first_line) result += break_text;
    first_line = false;
    std::istringstream words(line);
    std::string word;
    std::size_t used = 0;
    while (words >> word) {
      const std::size_t length = display_width(word);
      if (used > 0 && used + 1 + length > static_cast<std::size_t>(width)) {
        result += break_text;
        used = 0;
      }
      if (used > 0) result += ' ';
      result += word;
      used += length + (used > 0 ? 1 : 0);
    }
  }
  return result;
}

}  // namespace attnbench::cli

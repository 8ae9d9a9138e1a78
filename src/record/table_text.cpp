// Tables for people as text: aligned columns, Markdown.
#include <fmt/format.h>

#include <algorithm>

#include "record/people_table.h"

namespace attnbench {
namespace {

/// Characters, not bytes: continuation bytes of UTF-8 take no room.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

void append_aligned(std::string& line, const std::string& cell, std::size_t width, bool right) {
  const std::string padding(width - std::min(width, width_of(cell)), ' ');
  line += right ? padding + cell : cell + padding;
}

std::vector<std::size_t> column_widths(const PeopleTable& table) {
  std::vector<std::size_t> widths;
  for (const auto& heading : table.headings) widths.push_back(width_of(heading.text));
  for (const auto& row : table.rows) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      widths[i] = std::max(widths[i], width_of(row[i]));
    }
  }
  return widths;
}

std::string without_trailing_blanks(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace

std::string one_line(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = ' ';
  }
  return out;
}

std::string markdown_escaped(std::string_view text) {
  std::string out;
  for (char c : one_line(text)) {
    if (c == '<') {
      out += "&lt;";
      continue;
    }
    if (std::string_view("|\\*_`[").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string aligned_lines(const PeopleTable& given) {
  PeopleTable table = given;
  for (auto& row : table.rows) {
    for (std::string& cell : row) cell = one_line(cell);
  }
  const std::vector<std::size_t> widths = column_widths(table);
  std::string out;
  const auto append_line = [&](auto cell_at) {
    std::string line;
    for (std::size_t i = 0; i < widths.size(); ++i) {
      if (i > 0) line += "  ";
      append_aligned(line, cell_at(i), widths[i], table.headings[i].right_aligned);
    }
    out += without_trailing_blanks(std::move(line)) + "\n";
  };
  append_line([&](std::size_t i) { return table.headings[i].text; });
  append_line([&](std::size_t i) { return std::string(widths[i], '-'); });
  for (const auto& row : table.rows) append_line([&](std::size_t i) { return row[i]; });
  return out;
}

std::string markdown_headings(const PeopleTable& table) {
  std::string out = "|";
  for (const auto& heading : table.headings) out += fmt::format(" {} |", heading.text);
  out += "\n|";
  for (const auto& heading : table.headings) out += heading.right_aligned ? "--:|" : "---|";
  return out + "\n";
}

std::string markdown_row(const std::vector<std::string>& cells) {
  std::string out = "|";
  for (const std::string& cell : cells) out += fmt::format(" {} |", markdown_escaped(cell));
  return out + "\n";
}

}  // namespace attnbench

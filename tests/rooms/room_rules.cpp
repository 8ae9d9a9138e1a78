#include "rooms/room_rules.h"

#include <map>
#include <regex>
#include <set>
#include <sstream>

namespace attnbench::test {
namespace {

/// Rooms that each room may include besides itself.
const std::map<std::string, std::set<std::string>>& allowed_rooms() {
  static const std::map<std::string, std::set<std::string>> table{
      {"attention", {}},
      {"kernels", {"attention"}},
      {"variants", {"attention", "kernels"}},
      {"measure", {}},
      {"record", {"attention"}},
      {"plugin", {"attention"}},
      {"config", {"attention"}},
      {"plan", {"config", "attention"}},
      {"run", {"plan", "measure", "kernels", "attention", "record", "plugin"}},
      {"analyse", {"record"}},
      {"cli",
       {"attention", "kernels", "measure", "record", "plugin", "config", "plan", "run", "analyse"}},
      {"main", {"cli"}},
  };
  return table;
}

struct Ban {
  std::regex pattern;
  std::string what;
};

/// What library code leaves to cli/.
const std::vector<Ban>& bans() {
  static const std::vector<Ban> table = [] {
    const std::vector<std::pair<const char*, const char*>> raw{
        {R"(\bstd::(cout|cerr|clog|wcout|wcerr)\b|#\s*include\s*<iostream>)", "prints"},
        {R"((^|[^\w])(printf|vprintf|puts|putchar|perror)\s*\()", "prints"},
        {R"(\bfmt::print(ln)?\s*\(|\bstd::print(ln)?\s*\()", "prints"},
        {R"(\b(stdout|stderr)\b)", "prints"},
        {R"((^|[^\w.>:]|std::)(exit|_exit|_Exit|quick_exit|abort|terminate)\s*\()",
         "ends the process"},
        {R"(\b(getenv|secure_getenv|setenv|putenv)\b)", "reads or writes the environment"},
        {R"(#\s*include\s*[<"]CLI/)", "uses CLI11"},
    };
    std::vector<Ban> made;
    for (const auto& [pattern, what] : raw) made.push_back({std::regex(pattern), what});
    return made;
  }();
  return table;
}

/// Where a literal that starts at text[i] ends (one past), or i when none starts there.
std::size_t literal_end(const std::string& text, std::size_t i) {
  if (text[i] == '"' && i > 0 && text[i - 1] == 'R') {
    const std::size_t open = text.find('(', i);
    if (open == std::string::npos) return text.size();
    const std::string close = ")" + text.substr(i + 1, open - i - 1) + "\"";
    const std::size_t end = text.find(close, open);
    return end == std::string::npos ? text.size() : end + close.size();
  }
  if (text[i] != '"' && text[i] != '\'') return i;
  // A quote between digits separates them: 1'000.
  if (text[i] == '\'' && i > 0 && std::isalnum(static_cast<unsigned char>(text[i - 1]))) return i;
  std::size_t end = i + 1;
  while (end < text.size() && text[end] != text[i] && text[end] != '\n') {
    end += text[end] == '\\' ? 2 : 1;
  }
  return std::min(end + 1, text.size());
}

void blank(std::string& text, std::size_t begin, std::size_t end) {
  for (std::size_t k = begin; k < end; ++k) {
    if (text[k] != '\n') text[k] = ' ';
  }
}

void check_include(const std::string& room, const std::string& line, int number,
                   std::vector<Violation>& found) {
  static const std::regex quoted(R"re(^\s*#\s*include\s*"([^"]+)")re");
  std::smatch match;
  if (!std::regex_search(line, match, quoted)) return;
  const std::string path = match[1];
  const std::size_t slash = path.find('/');
  const std::string target = path.substr(0, slash);
  if (slash == std::string::npos || target == "." || target == "..") {
    // The generated facts of the build are the one file without a room.
    if (room == "cli" && path == "version.inc") return;
    found.push_back({number, "includes \"" + path + "\": write it as \"room/file.h\""});
    return;
  }
  const auto& table = allowed_rooms();
  if (!table.contains(target) || target == room) return;  // A library, or the room's own.
  const auto own = table.find(room);
  if (own == table.end() || !own->second.contains(target)) {
    found.push_back({number, room + " may not include " + target});
  }
}

}  // namespace

std::string room_of(const std::string& path) {
  if (path.starts_with("variants/")) return "variants";
  if (!path.starts_with("src/")) return "";
  const std::string rest = path.substr(4);
  const std::size_t slash = rest.find('/');
  if (slash == std::string::npos) return rest == "main.cpp" ? "main" : "";
  return rest.substr(0, slash);
}

std::string blank_comments(const std::string& text, bool keep_literals) {
  std::string out = text;
  std::size_t i = 0;
  while (i < text.size()) {
    std::size_t end = i + 1;
    if (text.compare(i, 2, "//") == 0) {
      end = std::min(text.find('\n', i), text.size());
      blank(out, i, end);
    } else if (text.compare(i, 2, "/*") == 0) {
      const std::size_t close = text.find("*/", i + 2);
      end = close == std::string::npos ? text.size() : close + 2;
      blank(out, i, end);
    } else if (const std::size_t literal = literal_end(text, i); literal > i) {
      end = literal;
      if (!keep_literals) blank(out, i, end);
    }
    i = end;
  }
  return out;
}

std::vector<Violation> check_source(const std::string& room, const std::string& text) {
  std::vector<Violation> found;
  if (!allowed_rooms().contains(room)) {
    found.push_back({0, "'" + room + "' is no room of docs/design.md"});
    return found;
  }
  std::istringstream with_literals(blank_comments(text, true));
  std::string line;
  for (int number = 1; std::getline(with_literals, line); ++number) {
    check_include(room, line, number, found);
  }
  if (room == "cli" || room == "main") return found;
  std::istringstream code(blank_comments(text, false));
  for (int number = 1; std::getline(code, line); ++number) {
    for (const Ban& ban : bans()) {
      if (std::regex_search(line, ban.pattern)) {
        found.push_back({number, room + " " + ban.what + ", which only cli/ may: " + line});
      }
    }
  }
  return found;
}

}  // namespace attnbench::test

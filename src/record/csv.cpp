#include "record/csv.h"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>

namespace attnbench {
namespace {

constexpr std::size_t kBlockBytes = 1 << 16;
constexpr std::size_t kExcerptBytes = 60;

template <class T>
std::optional<T> parse_whole(std::string_view text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, code] = std::from_chars(text.data(), end, value);
  if (code != std::errc{} || stop != end) return std::nullopt;
  return value;
}

template <class T>
std::optional<T> parse_integral(std::string_view text) {
  if (auto value = parse_whole<T>(text)) return value;
  // Beyond 2^53 a double no longer tells which integer was meant.
  const auto real = parse_whole<double>(text);
  const double lowest = std::is_signed_v<T> ? -0x1p53 : 0.0;
  if (!real || !(*real >= lowest && *real <= 0x1p53) || *real != std::floor(*real)) {
    return std::nullopt;
  }
  return static_cast<T>(*real);
}

}  // namespace

std::string format_real(double value) {
  char text[32];
  const auto result = std::to_chars(text, text + sizeof text, value);
  return {text, result.ptr};
}

std::optional<double> parse_real(std::string_view text) { return parse_whole<double>(text); }
std::optional<std::int64_t> parse_integer(std::string_view text) {
  return parse_integral<std::int64_t>(text);
}
std::optional<std::uint64_t> parse_unsigned(std::string_view text) {
  return parse_integral<std::uint64_t>(text);
}

void append_csv_row(std::string& out, std::span<const std::string> cells) {
  bool first = true;
  for (const std::string& cell : cells) {
    if (!first) out += ',';
    first = false;
    if (cell.find_first_of(",\"\r\n") == std::string::npos) {
      out += cell;
      continue;
    }
    out += '"';
    for (char c : cell) {
      if (c == '"') out += '"';
      out += c;
    }
    out += '"';
  }
  out += "\r\n";
}

std::string quoted_excerpt(std::string_view text) {
  std::string out = "'";
  for (char c : text.substr(0, kExcerptBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += c;
    }
  }
  // A cut must not leave half of a UTF-8 sequence behind.
  if (text.size() > kExcerptBytes) {
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xc0) == 0x80) out.pop_back();
    if (!out.empty() && static_cast<unsigned char>(out.back()) >= 0xc0) out.pop_back();
    out += "...";
  }
  return out + "'";
}

Result<CsvReader> CsvReader::open(const std::string& path, TornRow torn_row) {
  errno = 0;
  auto file = std::make_unique<std::ifstream>(path, std::ios::binary);
  // Opening a directory succeeds; the first read of it does not.
  if (!*file || (file->peek(), file->bad())) {
    const int code = errno;
    return io_error(fmt::format("{}: cannot read: {}", path,
                                code != 0 ? std::strerror(code) : "not a readable file"));
  }
  file->clear();
  return CsvReader(std::move(file), path, torn_row);
}

CsvReader::CsvReader(std::string text, std::string name, TornRow torn_row)
    : CsvReader(std::make_unique<std::istringstream>(std::move(text)), std::move(name), torn_row) {}

CsvReader::CsvReader(std::unique_ptr<std::istream> input, std::string name, TornRow torn_row)
    : input_(std::move(input)), name_(std::move(name)), torn_row_(torn_row) {}

bool CsvReader::fill() {
  buffer_.resize(kBlockBytes);
  input_->read(buffer_.data(), static_cast<std::streamsize>(kBlockBytes));
  buffer_.resize(static_cast<std::size_t>(input_->gcount()));
  position_ = 0;
  return !buffer_.empty();
}

int CsvReader::peek() {
  if (position_ == buffer_.size() && !fill()) return -1;
  return static_cast<unsigned char>(buffer_[position_]);
}

int CsvReader::get() {
  const int byte = peek();
  if (byte >= 0) ++position_;
  if (byte == '\n') ++line_;
  return byte;
}

std::string CsvReader::where() const { return fmt::format("{}:{}: ", name_, row_line_); }

Error CsvReader::error(const std::string& message) const {
  return io_error(fmt::format("{}:{}: {}", name_, line_, message));
}

Result<bool> CsvReader::next(std::vector<std::string>& cells) {
  if (!started_) {
    started_ = true;
    for (int byte : {0xef, 0xbb, 0xbf}) {
      if (peek() != byte) break;
      get();
    }
  }
  std::int64_t blank_line = 0;
  while (true) {
    row_line_ = line_;
    if (peek() < 0) {
      if (input_->bad()) return error("reading failed");
      return false;
    }
    const auto end = read_row(cells);
    const bool torn =
        torn_row_ == TornRow::drop && peek() < 0 && (!end || *end != RowEnd::line_end);
    if (torn) return false;
    if (!end) return end.error();
    const bool blank = cells.size() == 1 && cells[0].empty();
    if (!blank || width_ == 1) break;
    if (blank_line == 0) blank_line = row_line_;
  }
  if (blank_line != 0) {
    return io_error(fmt::format("{}:{}: blank line between rows", name_, blank_line));
  }
  if (width_ == 0) width_ = cells.size();
  if (cells.size() != width_) {
    return io_error(
        fmt::format("{}{} cells where the header has {}", where(), cells.size(), width_));
  }
  return true;
}

Result<CsvReader::RowEnd> CsvReader::read_row(std::vector<std::string>& cells) {
  for (std::size_t count = 0;; ++count) {
    if (count == cells.size()) cells.emplace_back();
    cells[count].clear();
    if (Status read = read_cell(cells[count]); !read) return read.error();
    if (peek() == ',') {
      get();
      continue;
    }
    cells.resize(count + 1);
    if (peek() < 0) return RowEnd::end_of_file;
    if (get() == '\r' && get() != '\n') return error("carriage return without line feed");
    return RowEnd::line_end;
  }
}

Status CsvReader::check_byte(int byte) const {
  if (byte == 0) return error("NUL byte: this is not a text file");
  return ok_status();
}

Status CsvReader::read_cell(std::string& cell) {
  if (peek() == '"') return read_quoted(cell);
  while (true) {
    const int byte = peek();
    if (byte < 0 || byte == ',' || byte == '\n' || byte == '\r') return ok_status();
    if (byte == '"') return error("quote inside a cell that does not begin with one");
    if (Status ok = check_byte(byte); !ok) return ok;
    cell += static_cast<char>(get());
  }
}

Status CsvReader::read_quoted(std::string& cell) {
  const std::int64_t opened = line_;
  get();
  while (true) {
    const int byte = get();
    if (byte < 0) return error(fmt::format("the quote opened in line {} is never closed", opened));
    if (Status ok = check_byte(byte); !ok) return ok;
    if (byte != '"') {
      cell += static_cast<char>(byte);
      continue;
    }
    if (peek() == '"') {
      cell += static_cast<char>(get());
      continue;
    }
    const int behind = peek();
    if (behind < 0 || behind == ',' || behind == '\n' || behind == '\r') return ok_status();
    return error("text behind a closing quote");
  }
}

}  // namespace attnbench

#include "analyse/growth_law.h"

#include <algorithm>
#include <cctype>
#include <cmath>

#include "record/csv.h"

namespace attnbench::analyse {
namespace {

/// Reads a law from the front of a text without blanks, in lower case.
class LawParser {
 public:
  explicit LawParser(std::string_view text) : rest_(text) {}

  std::optional<GrowthLaw> parse() {
    if (rest_.empty()) return std::nullopt;
    if (rest_ == "1") return GrowthLaw{};
    GrowthLaw law;
    while (!rest_.empty()) {
      if (!factor(law)) return std::nullopt;
      if (take("*") && rest_.empty()) return std::nullopt;
    }
    return law;
  }

 private:
  bool take(std::string_view word) {
    if (!rest_.starts_with(word)) return false;
    rest_.remove_prefix(word.size());
    return true;
  }

  bool factor(GrowthLaw& law) {
    if (take("sqrt(n)")) {
      law.power += 0.5;
      return true;
    }
    if (take("log(n)") || take("logn")) {
      law.log_power += 1;
      return true;
    }
    if (!take("n")) return false;
    double power = 1;
    if (take("^")) {
      const std::optional<double> given = exponent();
      if (!given) return false;
      power = *given;
    }
    law.power += power;
    return true;
  }

  std::optional<double> number() {
    std::size_t length = 0;
    while (length < rest_.size() &&
           (std::isdigit(static_cast<unsigned char>(rest_[length])) != 0 || rest_[length] == '.')) {
      ++length;
    }
    const std::optional<double> value = parse_real(rest_.substr(0, length));
    rest_.remove_prefix(length);
    return value;
  }

  /// "2", "1.5", "(3/2)". Beyond 10 it is a typing error and no growth law.
  std::optional<double> exponent() {
    const bool bracket = take("(");
    std::optional<double> value = number();
    if (value && bracket && take("/")) {
      const std::optional<double> divisor = number();
      if (!divisor || !(*divisor > 0)) return std::nullopt;
      value = *value / *divisor;
    }
    if (bracket && !take(")")) return std::nullopt;
    if (!value || !(*value >= 0) || !(*value <= 10)) return std::nullopt;
    return value;
  }

  std::string_view rest_;
};

std::string factor_text(const std::string& base, double power) {
  return power == 1 ? base : base + "^" + format_real(power);
}

}  // namespace

std::optional<GrowthLaw> GrowthLaw::parse(std::string_view text) {
  std::string plain;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isspace(byte) == 0) plain += static_cast<char>(std::tolower(byte));
  }
  std::string_view inner = plain;
  if (inner.starts_with("o(") && inner.ends_with(")")) {
    inner.remove_prefix(2);
    inner.remove_suffix(1);
  }
  return LawParser(inner).parse();
}

double GrowthLaw::log_value(double n) const {
  double value = power * std::log(n);
  if (log_power != 0) value += log_power * std::log(std::log(std::max(n, 2.0)));
  return value;
}

double GrowthLaw::local_exponent(double n_low, double n_high) const {
  return (log_value(n_high) - log_value(n_low)) / std::log(n_high / n_low);
}

std::string GrowthLaw::text() const {
  if (constant()) return "1";
  std::string all;
  if (power != 0) all = factor_text("N", power);
  // Powers of log N other than 1 are repeated: parse() reads them back.
  for (double left = log_power; left > 0; left -= 1) all += all.empty() ? "log N" : " log N";
  return all;
}

const std::vector<GrowthLaw>& candidate_laws() {
  static const std::vector<GrowthLaw> laws{{0, 0}, {1, 0}, {1, 1}, {1.5, 0}, {2, 0}, {3, 0}};
  return laws;
}

}  // namespace attnbench::analyse

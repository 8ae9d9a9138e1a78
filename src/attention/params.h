// Typed, validated, sweepable parameters of variants.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attention/result.h"

namespace attnbench {

/// Declares one parameter: its type, default, accepted values and meaning.
struct ParamSpec {
  enum class Type { integer, real, boolean, choice, integer_list };
  std::string name;
  Type type = Type::integer;
  /// As the user would write it. "auto" where the variant derives it from the problem.
  std::string default_text;
  /// Inclusive range of integers and reals (of each element of a list).
  std::optional<double> minimum;
  std::optional<double> maximum;
  std::vector<std::string> choices;  ///< Accepted words of a choice.
  std::string meaning;
  bool accepts_auto = false;  ///< The word "auto" is accepted beside typed values.

  /// "integer in [1, 4096], or auto": for error messages and `describe`.
  std::string accepted() const;
};

/// A validated set of values, one per ParamSpec, in canonical text form.
class ParamValues {
 public:
  bool is_auto(const std::string& name) const { return text(name) == "auto"; }
  std::int64_t integer(const std::string& name) const;
  double real(const std::string& name) const;
  bool boolean(const std::string& name) const;
  const std::string& text(const std::string& name) const;
  std::vector<std::int64_t> integer_list(const std::string& name) const;

  void set(const std::string& name, std::string canonical_text) {
    values_[name] = std::move(canonical_text);
  }
  bool contains(const std::string& name) const { return values_.contains(name); }
  const std::map<std::string, std::string>& all() const { return values_; }
  /// "k=v;k=v", sorted by name: the `params` column. Within a list value, elements are joined by
  /// '+', so that the text stays one CSV cell and one element of a sweep list.
  std::string canonical() const;

 private:
  std::map<std::string, std::string> values_;
};

/// Checks one value against its spec; returns the canonical text ("0128" -> "128", "on" -> "true").
Result<std::string> check_param(const ParamSpec& spec, std::string_view text);

/// Defaults overlaid with `given`. Unknown names and rejected values are usage errors that list
/// what is accepted, with the nearest known name suggested.
Result<ParamValues> resolve_params(const std::string& variant, const std::vector<ParamSpec>& specs,
                                   const std::map<std::string, std::string>& given);

/// The known word nearest to `word` by edit distance, if near enough to be a likely typo.
std::optional<std::string> nearest_word(std::string_view word,
                                        const std::vector<std::string>& known);

}  // namespace attnbench

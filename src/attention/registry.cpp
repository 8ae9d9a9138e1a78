#include "attention/registry.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace attnbench {

Registry& Registry::instance() {
  static Registry registry;
  return registry;
}

void Registry::add(std::unique_ptr<Variant> variant) {
  const std::string& name = variant->info().name;
  const auto at = std::ranges::lower_bound(
      variants_, name, {}, [](const auto& v) -> const std::string& { return v->info().name; });
  if (at != variants_.end() && (*at)->info().name == name) {
    errors_.push_back(fmt::format("two variants are named '{}'", name));
    return;
  }
  variants_.insert(at, std::move(variant));
}

const Variant* Registry::find(const std::string& name) const {
  for (const auto& variant : variants_) {
    if (variant->info().name == name) return variant.get();
  }
  return nullptr;
}

std::vector<const Variant*> Registry::all() const {
  std::vector<const Variant*> result;
  for (const auto& variant : variants_) result.push_back(variant.get());
  return result;
}

std::vector<std::string> Registry::names() const {
  std::vector<std::string> result;
  for (const auto& variant : variants_) result.push_back(variant->info().name);
  return result;
}

std::vector<std::string> Registry::families() const {
  std::set<std::string> families;
  for (const auto& variant : variants_) families.insert(variant->info().family);
  return {families.begin(), families.end()};
}

Result<std::vector<const Variant*>> Registry::select(const std::string& text) const {
  std::vector<const Variant*> chosen;
  const auto add_once = [&](const Variant* v) {
    if (std::ranges::find(chosen, v) == chosen.end()) chosen.push_back(v);
  };
  std::size_t from = 0;
  while (from <= text.size()) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    const std::string word = text.substr(from, comma - from);
    from = comma + 1;
    if (word == "all") {
      for (const Variant* v : all()) add_once(v);
    } else if (word.starts_with("family:")) {
      const std::string family = word.substr(7);
      const auto known = families();
      if (std::ranges::find(known, family) == known.end()) {
        return usage_error(
            fmt::format("family '{}' is unknown; there are {}", family, fmt::join(known, ", ")));
      }
      for (const Variant* v : all()) {
        if (v->info().family == family) add_once(v);
      }
    } else if (const Variant* v = find(word)) {
      add_once(v);
    } else {
      const auto nearest = nearest_word(word, names());
      return usage_error(fmt::format(
          "variant '{}' is unknown{}; there are {}, and also all and family:NAME", word,
          nearest ? " (did you mean '" + *nearest + "'?)" : "", fmt::join(names(), ", ")));
    }
  }
  return chosen;
}

}  // namespace attnbench

// Typed access to the keys of one JSON object; the first thing that does not fit is remembered, so
// that a reader is a list of fields and one check at its end.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "record/json_text.h"

namespace attnbench {

struct ManifestErrors {
  std::string first;  ///< "key machine.cores: "x" is not accepted; expected an integer".
};

class ManifestFields {
 public:
  /// `path` is the object's own key path, "" at the root.
  ManifestFields(const OrderedJson& object, std::string path, ManifestErrors& errors)
      : object_(object), path_(std::move(path)), errors_(errors) {}

  /// Leaves `field` as it is when the key is missing or null.
  template <class T>
  void read(const std::string& key, T& field) const {
    const OrderedJson* json = find(key);
    if (json != nullptr) convert(key, *json, field);
  }

  template <class T>
  void require(const std::string& key, T& field) const {
    if (find(key) == nullptr) return fail("key {} is missing", key);
    read(key, field);
  }

  /// An empty object when the key is missing.
  ManifestFields object(const std::string& key) const {
    static const OrderedJson kEmpty = OrderedJson::object();
    const OrderedJson* json = find(key);
    if (json != nullptr && !json->is_object()) {
      refuse(key, *json, "an object");
      json = nullptr;
    }
    return {json != nullptr ? *json : kEmpty, name(key), errors_};
  }

  /// Calls `each` with every element of an array of objects.
  template <class Each>
  void read_array(const std::string& key, Each each) const {
    const OrderedJson* json = find(key);
    if (json == nullptr) return;
    if (!json->is_array()) return refuse(key, *json, "an array");
    for (std::size_t i = 0; i < json->size(); ++i) {
      const std::string element = fmt::format("{}[{}]", key, i);
      if (!(*json)[i].is_object()) return refuse(element, (*json)[i], "an object");
      each(ManifestFields((*json)[i], name(element), errors_));
    }
  }

  /// An object of equally typed values; nulls are left out.
  template <class T>
  void read_map(const std::string& key, std::map<std::string, T>& map) const {
    const ManifestFields inner = object(key);
    for (const auto& [name, value] : inner.object_.items()) {
      if (!value.is_null()) inner.convert(name, value, map[name]);
    }
  }

  void read_list(const std::string& key, std::vector<std::string>& list) const {
    const OrderedJson* json = find(key);
    if (json == nullptr) return;
    if (!json->is_array()) return refuse(key, *json, "an array");
    for (const OrderedJson& value : *json) convert(key, value, list.emplace_back());
  }

 private:
  /// Null when the key is missing or null.
  const OrderedJson* find(const std::string& key) const {
    const auto found = object_.find(key);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }

  std::string name(const std::string& key) const { return path_.empty() ? key : path_ + "." + key; }

  void fail(const char* format, const std::string& key) const {
    if (errors_.first.empty()) errors_.first = fmt::format(fmt::runtime(format), name(key));
  }
  void refuse(const std::string& key, const OrderedJson& json, const char* expected) const {
    if (!errors_.first.empty()) return;
    std::string given = json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
    if (given.size() > 60) given = given.substr(0, 60) + "...";
    errors_.first =
        fmt::format("key {}: {} is not accepted; expected {}", name(key), given, expected);
  }

  void convert(const std::string& key, const OrderedJson& json, std::string& field) const {
    if (!json.is_string()) return refuse(key, json, "a string");
    field = json.get<std::string>();
  }
  void convert(const std::string& key, const OrderedJson& json, bool& field) const {
    if (!json.is_boolean()) return refuse(key, json, "true or false");
    field = json.get<bool>();
  }
  void convert(const std::string& key, const OrderedJson& json, double& field) const {
    if (!json.is_number()) return refuse(key, json, "a number");
    field = json.get<double>();
  }
  void convert(const std::string& key, const OrderedJson& json, std::uint64_t& field) const {
    if (!json.is_number_unsigned()) return refuse(key, json, "an integer >= 0");
    field = json.get<std::uint64_t>();
  }
  void convert(const std::string& key, const OrderedJson& json, std::int64_t& field) const {
    if (!json.is_number_integer() ||
        (json.is_number_unsigned() && json.get<std::uint64_t>() > INT64_MAX)) {
      return refuse(key, json, "an integer");
    }
    field = json.get<std::int64_t>();
  }
  void convert(const std::string& key, const OrderedJson& json, int& field) const {
    std::int64_t wide = field;
    convert(key, json, wide);
    if (wide < std::numeric_limits<int>::min() || wide > std::numeric_limits<int>::max()) {
      return refuse(key, json, "a smaller integer");
    }
    field = static_cast<int>(wide);
  }
  template <class T>
  void convert(const std::string& key, const OrderedJson& json, std::optional<T>& field) const {
    T value{};
    convert(key, json, value);
    field = value;
  }

  const OrderedJson& object_;
  std::string path_;
  ManifestErrors& errors_;
};

}  // namespace attnbench

#include "config/shapes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>

#include "config/grammar.h"
#include "config/text_file.h"

namespace attnbench {
namespace {

const std::vector<std::string> kPositions{"none", "learned", "sinusoidal",
                                          "rope", "alibi",   "relative"};
constexpr std::int64_t kMaxSize = std::int64_t{1} << 24;

/// Reads the keys of one shape; remembers the first thing that is not accepted.
class ShapeReader {
 public:
  ShapeReader(std::string_view file, std::string name) : file_(file) {
    shape_.name = std::move(name);
  }

  Result<ModelShape> read(const toml::table& table) {
    for (const auto& [key, node] : table) read_key(std::string(key.str()), node);
    const auto demand = [&](bool given, std::string_view key) {
      if (!given && !error_) {
        error_ = usage_error(
            fmt::format("{}: shape {} has no {}", place(table.source()), shape_.name, key));
      }
    };
    demand(shape_.heads > 0, "heads");
    demand(shape_.dim > 0, "dim");
    demand(!shape_.seq.empty(), "seq");
    demand(!shape_.model.empty(), "model");
    demand(!shape_.source.empty(), "source");
    if (shape_.kv_heads == 0) shape_.kv_heads = shape_.heads;
    if (shape_.dim_v == 0) shape_.dim_v = shape_.dim;
    if (!error_ && shape_.heads % shape_.kv_heads != 0) {
      error_ = usage_error(fmt::format("{}: shape {}: heads {} is not a multiple of kv-heads {}",
                                       place(table.source()), shape_.name, shape_.heads,
                                       shape_.kv_heads));
    }
    if (error_) return *error_;
    return std::move(shape_);
  }

 private:
  std::string place(const toml::source_region& source) const {
    return fmt::format("{}:{}:{}", file_, source.begin.line, source.begin.column);
  }

  void reject(const toml::node& node, std::string_view key, std::string_view accepted) {
    if (error_) return;
    error_ = usage_error(fmt::format("{}: {}: shape {}: not accepted; accepted: {}",
                                     place(node.source()), key, shape_.name, accepted));
  }

  void read_key(const std::string& key, const toml::node& node) {
    if (key == "model") return text(key, node, shape_.model);
    if (key == "source") return text(key, node, shape_.source);
    if (key == "heads") return size(key, node, shape_.heads);
    if (key == "kv-heads") return size(key, node, shape_.kv_heads);
    if (key == "dim") return size(key, node, shape_.dim);
    if (key == "dim-v") return size(key, node, shape_.dim_v);
    if (key == "seq") return sizes(key, node, shape_.seq);
    if (key == "seq-k") return sizes(key, node, shape_.seq_k);
    if (key == "causal") return boolean(key, node, shape_.causal);
    if (key == "sink") return boolean(key, node, shape_.sink);
    if (key == "mode") return mode(key, node);
    if (key == "window") return window(key, node);
    if (key == "position") return position(key, node);
    if (key == "softcap") return number(key, node, 0, shape_.softcap);
    if (key == "rope-base") return number(key, node, 1, shape_.rope_base);
    if (key == "rope-dim") return size(key, node, shape_.rope_dim);
    if (key == "rope-interleaved") return boolean(key, node, shape_.rope_interleaved);
    reject(node, key,
           "model, heads, kv-heads, dim, dim-v, seq, seq-k, causal, mode, window, position, "
           "rope-base, rope-dim, rope-interleaved, softcap, sink, source");
  }

  void text(const std::string& key, const toml::node& node, std::string& value) {
    const auto* given = node.as_string();
    if (given == nullptr || given->get().empty()) return reject(node, key, "a text");
    value = given->get();
  }

  void size(const std::string& key, const toml::node& node, std::int64_t& value) {
    const auto* given = node.as_integer();
    if (given == nullptr || given->get() < 1 || given->get() > kMaxSize) {
      return reject(node, key, "a positive integer");
    }
    value = given->get();
  }

  void sizes(const std::string& key, const toml::node& node, std::vector<std::int64_t>& values) {
    const toml::array* array = node.as_array();
    if (array == nullptr || array->empty()) return reject(node, key, "an array of integers");
    for (const toml::node& item : *array) size(key, item, values.emplace_back());
  }

  void boolean(const std::string& key, const toml::node& node, bool& value) {
    const auto* given = node.as_boolean();
    if (given == nullptr) return reject(node, key, "true or false");
    value = given->get();
  }

  void mode(const std::string& key, const toml::node& node) {
    const auto* given = node.as_string();
    const auto parsed = parse_mode(given == nullptr ? "" : given->get());
    if (!parsed || *parsed == Mode::generate) return reject(node, key, "self, cross or decode");
    shape_.mode = *parsed;
  }

  void window(const std::string& key, const toml::node& node) {
    const toml::array* array = node.as_array();
    const auto side = [&](std::size_t at) -> std::int64_t {
      const auto* value =
          array != nullptr && array->size() == 2 ? array->get_as<int64_t>(at) : nullptr;
      return value == nullptr ? -1 : value->get();
    };
    if (side(0) < 0 || side(1) < 0) return reject(node, key, "[left, right], from 0");
    shape_.window = {side(0), side(1)};
  }

  void position(const std::string& key, const toml::node& node) {
    const auto* given = node.as_string();
    if (given == nullptr || std::ranges::find(kPositions, given->get()) == kPositions.end()) {
      return reject(node, key, fmt::format("{}", fmt::join(kPositions, ", ")));
    }
    shape_.position = given->get();
  }

  template <class Number>
  void number(const std::string& key, const toml::node& node, double above, Number& value) {
    const auto given = node.value<double>();
    if (!given || !(*given > above))
      return reject(node, key, fmt::format("a number above {}", above));
    value = *given;
  }

  std::string_view file_;
  ModelShape shape_;
  std::optional<Error> error_;
};

}  // namespace

Result<std::vector<ModelShape>> parse_shapes(std::string_view toml_text, std::string_view name) {
  try {
    const toml::table root = toml::parse(toml_text, name);
    std::vector<std::pair<std::uint32_t, ModelShape>> by_line;
    for (const auto& [key, node] : root) {
      const toml::table* table = node.as_table();
      if (table == nullptr) {
        return usage_error(fmt::format("{}:{}:{}: {}: accepted: tables [NAME], one per shape", name,
                                       node.source().begin.line, node.source().begin.column,
                                       std::string_view(key.str())));
      }
      auto shape = ShapeReader(name, std::string(key.str())).read(*table);
      if (!shape) return shape.error();
      by_line.emplace_back(node.source().begin.line, std::move(*shape));
    }
    std::ranges::stable_sort(by_line, {}, &std::pair<std::uint32_t, ModelShape>::first);
    std::vector<ModelShape> shapes;
    for (auto& [line, shape] : by_line) shapes.push_back(std::move(shape));
    return shapes;
  } catch (const toml::parse_error& error) {
    std::string description(error.description());
    std::ranges::replace(description, '\n', ' ');
    return usage_error(fmt::format("{}:{}:{}: not valid TOML: {}", name, error.source().begin.line,
                                   error.source().begin.column, description));
  }
}

Result<std::vector<ModelShape>> load_shapes(const std::string& path) {
  const auto text = config::read_text_file(path);
  if (!text) return text.error();
  return parse_shapes(*text, path);
}

}  // namespace attnbench

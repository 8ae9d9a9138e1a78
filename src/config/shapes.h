// Attention shapes of published models: configs/shapes.toml, which --shape and `shape` name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attention/problem.h"
#include "attention/result.h"

namespace attnbench {

/// One table of the file; the head of configs/shapes.toml explains the keys.
struct ModelShape {
  std::string name;
  std::string model;
  std::int64_t heads = 0;
  std::int64_t kv_heads = 0;
  std::int64_t dim = 0;
  std::int64_t dim_v = 0;
  std::vector<std::int64_t> seq;
  std::vector<std::int64_t> seq_k;  ///< Empty: equal to seq.
  bool causal = false;
  Mode mode = Mode::self;
  /// Keys before and after the query that a windowed layer of the model reads.
  std::optional<std::pair<std::int64_t, std::int64_t>> window;
  std::string position;
  double rope_base = 0;       ///< 0: not given.
  std::int64_t rope_dim = 0;  ///< Numbers of a head that rope turns; 0: all.
  bool rope_interleaved = false;
  std::optional<double> softcap;
  bool sink = false;
  std::string source;
};

/// Reads TOML text of shapes, in its order; `name` stands for the file in messages. Refuses, as a
/// usage error that names file:line:column, keys and values that it does not know, and shapes
/// without heads, dim, seq, model or source.
Result<std::vector<ModelShape>> parse_shapes(std::string_view toml_text, std::string_view name);

/// The same for a file; an io error when it cannot be read.
Result<std::vector<ModelShape>> load_shapes(const std::string& path);

}  // namespace attnbench

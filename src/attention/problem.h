// The shape of one attention call, and the facts that follow from it alone.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attention/mask.h"
#include "attention/result.h"

namespace attnbench {

enum class Mode { self, cross, decode, generate };
enum class Pass { fwd, fwd_bwd };
enum class Layout { bhnd, bnhd };
/// How queries and keys learn where they are: `sinusoidal` is added to their rows, `rope` (rotary)
/// turns them, `alibi` adds a bias that falls with the distance to the logits.
enum class Position { none, sinusoidal, rope, alibi };

std::string_view to_string(Mode mode);
std::string_view to_string(Pass pass);
std::string_view to_string(Layout layout);
std::string_view to_string(Position position);
Result<Mode> parse_mode(std::string_view text);
Result<Pass> parse_pass(std::string_view text);
Result<Layout> parse_layout(std::string_view text);
Result<Position> parse_position(std::string_view text);

/// How rotary positions turn a row: by the angles position * base^(-2m/D) the pairs (m, m + D/2),
/// or the neighbours (2m, 2m + 1).
struct Rope {
  bool interleaved = false;
  double base = 10000;
  bool operator==(const Rope&) const = default;
};

/// Q [batch, heads_q, seq_q, dim_qk], K [batch, heads_kv, seq_k, dim_qk],
/// V [batch, heads_kv, seq_k, dim_v], O [batch, heads_q, seq_q, dim_v].
/// heads_q is a multiple of heads_kv; query head h reads key-value head h / group().
struct Problem {
  std::int64_t batch = 1;
  std::int64_t heads_q = 8;
  std::int64_t heads_kv = 8;
  std::int64_t seq_q = 1024;
  std::int64_t seq_k = 1024;
  std::int64_t dim_qk = 64;
  std::int64_t dim_v = 64;
  /// Bottom-right aligned: query i sees keys j <= i + seq_k - seq_q.
  bool causal = false;
  Mode mode = Mode::self;
  Pass pass = Pass::fwd;
  Layout layout = Layout::bhnd;
  /// Factor on the logits; absent means the variant's own default (1/sqrt(dim_qk) for softmax).
  std::optional<double> scale;
  /// [batch]: keys at and beyond a batch row's length are never read. Empty: all keys count.
  std::vector<std::int64_t> key_lengths;
  /// What records call the key lengths: the file's name and the hash of its content.
  std::string key_lengths_name;
  /// A mask from a file beside causal and key lengths; null for none.
  std::shared_ptr<const AttentionMask> mask;

  Position position = Position::none;
  Rope rope;  ///< Of position rope.
  /// A logit s becomes c tanh(s / c), after the scale and before bias and mask. Above 0.
  std::optional<double> softcap;
  /// [heads_q]: a further logit per query head, which counts in the softmax's sum alone (it has no
  /// value). Empty: none.
  std::vector<float> sink;

  std::int64_t group() const { return heads_q / heads_kv; }
  /// Keys of this batch row that may be read.
  std::int64_t key_length(std::int64_t b) const {
    return key_lengths.empty() ? seq_k : key_lengths[static_cast<std::size_t>(b)];
  }
  /// The offset of the causal diagonal: query i is at key position i + diagonal().
  std::int64_t diagonal() const { return seq_k - seq_q; }
  double scale_or_default() const;
  /// Whether the rows of Q change with their position before the product.
  bool places_queries() const {
    return position == Position::sinusoidal || position == Position::rope;
  }
  /// Whether those of K do. Not in decode mode: a key enters the cache with its position applied.
  bool places_keys() const { return places_queries() && mode != Mode::decode; }
  /// The variant's parameters and what else a record's `params` column says of the call: rope's
  /// base and pairs where they are not the default, softcap and sink, sorted by name with them
  /// ("left=4;sink=true;softcap=50").
  std::string params_text(const std::string& variant_params) const;
  /// "B=1 Hq=8 Hkv=8 Nq=1024 Nk=1024 D=64 Dv=64 causal".
  std::string describe() const;
};

/// What records call the mask beside `causal`: "none", or the names of the key lengths and of the
/// mask, joined by ';'.
std::string mask_text(const Problem& problem);

/// Positive sizes, heads_q a multiple of heads_kv, key lengths within [0, seq_k], a mask that fits,
/// pairs of dimensions for rope, a softcap above 0, a sink for every query head.
Status validate(const Problem& problem);

/// Whether softmax attention's base mask (causal and key lengths) lets query i of batch row b read
/// key j.
bool base_mask_allows(const Problem& problem, std::int64_t b, std::int64_t i, std::int64_t j);

/// Whether the mask from a file, which may differ from head to head, does.
inline bool file_mask_allows(const Problem& problem, std::int64_t b, std::int64_t h, std::int64_t i,
                             std::int64_t j) {
  return problem.mask == nullptr || problem.mask->allows(b, h, i, j);
}
/// Whether both do.
inline bool mask_allows(const Problem& problem, std::int64_t b, std::int64_t h, std::int64_t i,
                        std::int64_t j) {
  return base_mask_allows(problem, b, i, j) && file_mask_allows(problem, b, h, i, j);
}
/// What an additive mask adds to the logit of an allowed pair, before the softmax; else 0.
inline double mask_value(const Problem& problem, std::int64_t b, std::int64_t h, std::int64_t i,
                         std::int64_t j) {
  return problem.mask == nullptr ? 0.0 : static_cast<double>(problem.mask->value(b, h, i, j));
}

/// Keys of the base mask that query i may read: always the first ones.
std::int64_t readable_keys(const Problem& problem, std::int64_t b, std::int64_t i);

/// Number of (query, key) pairs that mask_allows, over all batch rows and query heads.
double allowed_pairs(const Problem& problem);

/// FLOPs of dense softmax attention on this problem: 2 * pairs * (D + Dv) over all heads; a
/// multiply-add counts 2 and masked pairs do not count.
double dense_flops(const Problem& problem);

/// Bytes that any implementation moves: each float32 input (the sink among them) read once, the
/// output written once, and the mask from a file, a bit or a float32 per pair.
double compulsory_bytes(const Problem& problem);

}  // namespace attnbench

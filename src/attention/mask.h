// Masks from files: which (query, key) pairs take part, or what is added to their logits.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "attention/npy.h"
#include "attention/result.h"

namespace attnbench {

/// A boolean mask (true: the query reads the key) or an additive one (added to the scaled logit;
/// -infinity: the query does not read the key). Immutable, shared by all problems that use it.
///
/// Shape [batch, heads, seq_q, seq_k], where batch, heads and seq_q may be 1 and then hold for all.
/// Kept as one bit per pair, row by row, beside the values of an additive mask, and a summary of
/// blocks, from which engines tell what to skip.
class AttentionMask {
 public:
  /// Rows and keys of a summarised block.
  static constexpr std::int64_t kBlockRows = 16;
  static constexpr std::int64_t kBlockKeys = 64;
  enum class Block : std::uint8_t {
    none,   ///< No pair takes part.
    plain,  ///< All do, and nothing is added.
    mixed,
  };
  /// Size that additive values are cut to: in base 2 they still fit into a float32.
  static constexpr float kLargestValue = 2.3e38F;

  /// Takes an array of type bool or uint8 (0 and 1), or of floats, with shape [Nq, Nk], [H, Nq, Nk]
  /// or [B, H, Nq, Nk]. Other types and shapes, NaN and +infinity are refused, in a message that
  /// starts with `path`.
  static Result<std::shared_ptr<const AttentionMask>> from_array(const NpyArray& array,
                                                                 const std::string& path);

  /// A boolean mask of which every entry stands for `block` x `block` pairs: entry (i / block,
  /// j / block) is query i's and key j's, and a row that holds for all queries still does. Fits
  /// problems whose lengths round up to it. Additive masks are refused.
  static Result<std::shared_ptr<const AttentionMask>> from_blocks(const NpyArray& array,
                                                                  const std::string& path,
                                                                  std::int64_t block);

  /// "mask.npy@0123456789abcdef": the file's name without its folder, and a hash of the content.
  const std::string& name() const { return name_; }
  std::int64_t batch() const { return batch_; }
  std::int64_t heads() const { return heads_; }
  std::int64_t seq_q() const { return seq_q_; }  ///< Of block masks: rounded up to whole blocks,
  std::int64_t seq_k() const { return seq_k_; }  ///< likewise.
  std::int64_t block() const { return block_; }  ///< 1 unless entries stand for blocks.
  bool is_additive() const { return !values_.empty(); }
  bool per_head() const { return heads_ > 1; }
  /// "[1, 8, 128, 128]".
  std::string shape_text() const;
  /// What a kernel that reads all of it once moves: a bit per pair or block, or a float32 value.
  double stored_bytes() const;

  bool allows(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) const {
    return (bits(b, h, i)[j / 64] >> (j % 64) & 1) != 0;
  }
  /// What is added to the logit of an allowed pair; 0 for boolean masks.
  float value(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t j) const {
    return values_.empty() ? 0.0F : values(b, h, i)[j];
  }
  /// Bit j % 64 of word j / 64 belongs to key j; there is a word more than that, and bits beyond
  /// the last key are 0.
  const std::uint64_t* bits(std::int64_t b, std::int64_t h, std::int64_t i) const {
    return bits_.data() + row(b, h, i) * words_;
  }
  /// The row of an additive mask, [seq_k]; 0 where the pair does not take part.
  const float* values(std::int64_t b, std::int64_t h, std::int64_t i) const {
    return values_.data() + row(b, h, i) * seq_k_;
  }
  /// Keys among the first `keys` that the query reads.
  std::int64_t count(std::int64_t b, std::int64_t h, std::int64_t i, std::int64_t keys) const;
  /// What there is in keys [64 key_block, ...) of queries [first, last].
  Block summary(std::int64_t b, std::int64_t h, std::int64_t first, std::int64_t last,
                std::int64_t key_block) const;

 private:
  AttentionMask() = default;
  std::int64_t slice(std::int64_t b, std::int64_t h) const {
    return (batch_ > 1 ? b : 0) * heads_ + (heads_ > 1 ? h : 0);
  }
  std::int64_t row(std::int64_t b, std::int64_t h, std::int64_t i) const {
    return slice(b, h) * seq_q_ + (seq_q_ > 1 ? i : 0);
  }
  void expand(std::int64_t block);
  void finish(const std::string& path);
  Status take_booleans(const NpyArray& array, const std::string& path);
  Status take_values(const NpyArray& array, const std::string& path);
  void summarise();

  std::string name_;
  std::int64_t batch_ = 1, heads_ = 1, seq_q_ = 1, seq_k_ = 1;
  std::int64_t block_ = 1;
  std::int64_t words_ = 1;  // Per row.
  std::int64_t block_rows_ = 1, block_columns_ = 1;
  std::vector<std::uint64_t> bits_;
  std::vector<float> values_;
  std::vector<Block> blocks_;  // [slices][block_rows_][block_columns_]
};

/// Reads "FILE.npy" with AttentionMask::from_array, "FILE.npy:64" as a mask of blocks of 64. Errors
/// name the file.
Result<std::shared_ptr<const AttentionMask>> load_mask(const std::string& text);

}  // namespace attnbench

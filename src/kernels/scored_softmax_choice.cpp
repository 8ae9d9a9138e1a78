#include "kernels/scored_softmax_choice.h"

#include <algorithm>
#include <numbers>

#include "kernels/scored_softmax_choose.h"

namespace attnbench::kernels {
namespace {

/// Runs tile(job) over every tile of queries; `floats` of scratch per thread.
template <class RunTile>
void for_each_choice_tile(const Problem& p, double scale, const Inputs& inputs, TensorView output,
                          std::size_t floats, Workspace& workspace, Executor& executor,
                          RunTile run_tile) {
  const WindowPattern pattern = base_pattern(p);
  const auto scratch = take_per_thread(workspace, floats, executor.threads());
  const auto base2_scale = static_cast<float>(scale * std::numbers::log2e);
  for_each_lane_tile(p, kTileQueries, inputs.q, output, executor, [&](LaneTile& tile, int slot) {
    const std::int64_t b = tile.queries.batch;
    run_tile(ChoiceTile{p, tile, pattern, base2_scale, inputs.k.row(b, tile.kv_head, 0),
                        inputs.k.stride[2], inputs.v.row(b, tile.kv_head, 0), inputs.v.stride[2],
                        scratch[static_cast<std::size_t>(slot)]});
  });
}

/// Calls add(lanes, keys) with the keys that each tile visits.
template <class Add>
void for_each_visit(const Problem& p, Add add) {
  for (std::int64_t b = 0; b < p.batch; ++b) {
    for (std::int64_t tile = 0; tile < tile_count(p, kTileQueries); ++tile) {
      TileQueries queries;
      tile_lanes(p, kTileQueries, tile, b, 0, queries);
      add(queries.lanes, readable_keys(p, b, queries.last()));
    }
  }
}

/// Calls add(keys) with the keys that each query of one key-value head's group may read.
template <class Add>
void for_each_query(const Problem& p, Add add) {
  for (std::int64_t b = 0; b < p.batch; ++b) {
    for (std::int64_t i = 0; i < p.seq_q; ++i) add(readable_keys(p, b, i));
  }
}

double d(std::int64_t x) { return static_cast<double>(x); }

/// FLOPs of the logits of all heads.
double logit_flops(const Problem& p) {
  double pairs = 0;
  for_each_visit(p, [&](int lanes, std::int64_t keys) { pairs += d(lanes * keys); });
  return 2 * pairs * d(p.heads_kv * p.dim_qk);
}

std::size_t per_thread(std::size_t floats, int threads) {
  return static_cast<std::size_t>(threads) * workspace_take_bytes(floats);
}

}  // namespace

std::int64_t sample_segment(std::int64_t seq_k) {
  const std::int64_t blocks = (seq_k + kKeyBlock - 1) / kKeyBlock;
  return kKeyBlock * ((blocks + kSampleSegments - 1) / kSampleSegments);
}

std::int64_t topk_slots(std::int64_t seq_k, std::int64_t count) {
  constexpr std::int64_t kSlack = 2 * kKeyBlock;
  const std::int64_t keys = (seq_k + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
  return count >= keys ? keys : std::min(keys, (2 * count + kSlack + 15) / 16 * 16);
}

std::size_t argmax_floats(const Problem& p) {
  return static_cast<std::size_t>((p.dim_qk + kKeyBlock) * kTileQueries);
}

std::size_t sampled_floats(const Problem& p) {
  return static_cast<std::size_t>((p.dim_qk + kKeyBlock + 3 + 2 * kSampleSegments) * kTileQueries +
                                  sample_segment(p.seq_k));
}

std::size_t topk_floats(const Problem& p, std::int64_t count) {
  const std::int64_t slots = topk_slots(p.seq_k, count);
  return static_cast<std::size_t>((p.dim_qk + kKeyBlock + 2 * slots) * kTileQueries);
}

void argmax_attention(const Problem& p, double scale, const Inputs& inputs, TensorView output,
                      Workspace& workspace, Executor& executor) {
  for_each_choice_tile(p, scale, inputs, output, argmax_floats(p), workspace, executor,
                       [](const ChoiceTile& job) { run_argmax_tile(job); });
}

void sampled_attention(const Problem& p, double scale, const float* uniform, const Inputs& inputs,
                       TensorView output, Workspace& workspace, Executor& executor) {
  for_each_choice_tile(p, scale, inputs, output, sampled_floats(p), workspace, executor,
                       [&](const ChoiceTile& job) { run_sampled_tile(job, uniform); });
}

void topk_attention(const Problem& p, double scale, std::int64_t count, const Inputs& inputs,
                    TensorView output, Workspace& workspace, Executor& executor) {
  for_each_choice_tile(p, scale, inputs, output, topk_floats(p, count), workspace, executor,
                       [&](const ChoiceTile& job) { run_topk_tile(job, count); });
}

ChoiceWork argmax_attention_work(const Problem& p, int threads) {
  return {logit_flops(p), 0, per_thread(argmax_floats(p), threads)};
}

ChoiceWork sampled_attention_work(const Problem& p, int threads) {
  const std::int64_t length = sample_segment(p.seq_k);
  double again = 0, exps = 0;
  for_each_query(p, [&](std::int64_t keys) { again += d(std::min(keys, length)); });
  again *= d(p.heads_q);
  for_each_visit(p, [&](int lanes, std::int64_t keys) {
    const std::int64_t blocks = (keys + kKeyBlock - 1) / kKeyBlock;
    exps += d(lanes * (keys + blocks + (keys + length - 1) / length));
  });
  return {logit_flops(p) + 2 * again * d(p.dim_qk), exps * d(p.heads_kv) + again,
          per_thread(sampled_floats(p), threads)};
}

ChoiceWork topk_attention_work(const Problem& p, std::int64_t count, int threads) {
  double chosen = 0;
  for_each_query(p, [&](std::int64_t keys) { chosen += d(std::min(keys, count)); });
  chosen *= d(p.heads_q);
  return {logit_flops(p) + 2 * chosen * d(p.dim_v), chosen,
          per_thread(topk_floats(p, count), threads)};
}

}  // namespace attnbench::kernels

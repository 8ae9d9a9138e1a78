#include "kernels/scored_softmax_choice.h"

#include <algorithm>
#include <numbers>

#include "kernels/masked_pattern.h"
#include "kernels/scored_softmax_choose.h"

namespace attnbench::kernels {
namespace {

/// Runs tile(job) over every tile of queries; `floats` of scratch per thread.
template <class RunTile>
void for_each_choice_tile(const Problem& p, double scale, const Inputs& inputs, TensorView output,
                          std::size_t floats, Workspace& workspace, Executor& executor,
                          RunTile run_tile) {
  const WindowPattern base = base_pattern(p);
  const ProblemPattern pattern(p, base);
  const ProblemShaping shaping(p);
  const auto scratch = take_per_thread(workspace, floats, executor.threads());
  const auto base2_scale = static_cast<float>(scale * std::numbers::log2e);
  for_each_lane_tile(p, inputs.q, output, executor, [&](LaneTile& tile, int slot) {
    const std::int64_t b = tile.queries.batch;
    run_tile(ChoiceTile{p, tile, *pattern, shaping.view(), base2_scale,
                        inputs.k.row(b, tile.kv_head, 0), inputs.k.stride[2],
                        inputs.v.row(b, tile.kv_head, 0), inputs.v.stride[2],
                        scratch[static_cast<std::size_t>(slot)]});
  });
}

double d(std::int64_t x) { return static_cast<double>(x); }

/// What the tiles of a call visit, over all heads.
struct Visits {
  double pairs = 0;
  double lane_blocks = 0;    ///< Blocks of keys, once per lane.
  double lane_segments = 0;  ///< Segments of `segment` keys, visited or not, once per lane.
};
Visits visits_of(const Problem& p, std::int64_t segment = kKeyBlock) {
  Visits visits;
  for_each_distinct_head(p, [&](std::int64_t b, std::int64_t head, double heads) {
    for (std::int64_t tile = 0; tile < tile_count(p); ++tile) {
      TileQueries queries;
      tile_lanes(p, tile, b, head, queries);
      const std::int64_t total = readable_keys(p, b, queries.last());
      std::int64_t keys = total, blocks = (total + kKeyBlock - 1) / kKeyBlock;
      if (p.mask != nullptr) {
        const TileMask mask(*p.mask, queries);
        for (std::int64_t block = blocks - 1; block >= 0; --block) {
          if (mask.block(block) != AttentionMask::Block::none) continue;
          keys -= std::min<std::int64_t>(kKeyBlock, total - block * kKeyBlock);
          --blocks;
        }
      }
      const double lanes = heads * queries.lanes;
      visits.pairs += lanes * d(keys);
      visits.lane_blocks += lanes * d(blocks);
      visits.lane_segments += lanes * d((total + segment - 1) / segment);
    }
  });
  return visits;
}

/// Calls add(keys, heads) with the keys that each query may read; `heads` have as many.
template <class Add>
void for_each_query(const Problem& p, Add add) {
  const bool differ = p.mask != nullptr && p.mask->per_head();
  for (std::int64_t b = 0; b < p.batch; ++b) {
    for (std::int64_t h = 0; h < (differ ? p.heads_q : 1); ++h) {
      for (std::int64_t i = 0; i < p.seq_q; ++i) {
        const std::int64_t keys = readable_keys(p, b, i);
        add(p.mask == nullptr ? keys : p.mask->count(b, h, i, keys), d(differ ? 1 : p.heads_q));
      }
    }
  }
}

double logit_flops(const Problem& p, const Visits& visits) {
  return 2 * visits.pairs * d(p.dim_qk);
}

/// exp and friends of the soft cap on the logits.
double cap_exps(const Problem& p, double pairs) { return pairs * LogitTerms(p).exps_per_pair(); }

std::size_t per_thread(std::size_t floats, int threads) {
  return static_cast<std::size_t>(threads) * workspace_take_bytes(floats);
}

}  // namespace

std::int64_t sample_segment(std::int64_t seq_k) {
  const std::int64_t blocks = (seq_k + kKeyBlock - 1) / kKeyBlock;
  return kKeyBlock * ((blocks + kSampleSegments - 1) / kSampleSegments);
}

std::int64_t topk_slots(std::int64_t seq_k, std::int64_t count) {
  constexpr std::int64_t kSlack = std::int64_t{2} * kKeyBlock;
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
  const std::int64_t slots = topk_slots(p.seq_k, count) + kTopkSpare;
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
  const Visits visits = visits_of(p);
  return {logit_flops(p, visits), cap_exps(p, visits.pairs), per_thread(argmax_floats(p), threads)};
}

ChoiceWork sampled_attention_work(const Problem& p, int threads) {
  const std::int64_t length = sample_segment(p.seq_k);
  const Visits visits = visits_of(p, length);
  // The logits of each query's segment, whatever masks from files forbid in it.
  double again = 0;
  for (std::int64_t b = 0; b < p.batch; ++b) {
    for (std::int64_t i = 0; i < p.seq_q; ++i) again += d(std::min(readable_keys(p, b, i), length));
  }
  again *= d(p.heads_q);
  double exps = visits.pairs + visits.lane_blocks + visits.lane_segments + again;
  if (!p.sink.empty()) exps += d(p.batch * p.heads_q * p.seq_q);
  return {logit_flops(p, visits) + 2 * again * d(p.dim_qk),
          exps + cap_exps(p, visits.pairs + again), per_thread(sampled_floats(p), threads)};
}

ChoiceWork topk_attention_work(const Problem& p, std::int64_t count, int threads) {
  const Visits visits = visits_of(p);
  double chosen = 0, sinks = 0;
  for_each_query(p, [&](std::int64_t keys, double heads) {
    chosen += heads * d(std::min(keys, count));
    if (keys > 0 && !p.sink.empty()) sinks += heads;
  });
  return {logit_flops(p, visits) + 2 * chosen * d(p.dim_v),
          chosen + sinks + cap_exps(p, visits.pairs), per_thread(topk_floats(p, count), threads)};
}

}  // namespace attnbench::kernels

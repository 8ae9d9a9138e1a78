#include "bench/micro_tile.h"

#include <cmath>
#include <vector>

#include "attention/inputs.h"
#include "bench/micro_kernels.h"
#include "bench/micro_timer.h"
#include "kernels/tiled_softmax.h"

namespace attnbench::bench {
namespace {

constexpr std::ptrdiff_t kLanes = kernels::kTileQueries;

/// Everything that a tile of kLanes queries over `keys` keys of one head needs.
class TileBench {
 public:
  TileBench(std::ptrdiff_t dim, std::ptrdiff_t keys)
      : dim_(dim),
        keys_(keys),
        pattern_(kernels::WindowPattern::kUnlimited, kernels::WindowPattern::kUnlimited, 0, keys,
                 {}),
        scratch_(kernels::tile_scratch_floats(dim, dim)),
        scores_(kernels::kKeyBlock * kLanes),
        packed_(static_cast<std::size_t>(dim * kLanes)),
        factor_(kLanes) {
    Problem problem;
    problem.heads_q = problem.heads_kv = 1;
    problem.seq_q = kLanes;
    problem.seq_k = keys;
    problem.dim_qk = problem.dim_v = dim;
    inputs_ = draw_inputs(problem, "gaussian", 1);
    output_ = Tensor({1, 1, kLanes, dim}, Layout::bhnd);
    // Weights like those of a softmax; factors of one keep the accumulator where it is.
    for (float& s : scores_.span()) s = 1.0F / 64;
    for (float& f : factor_.span()) f = 1;
    for (float& p : packed_.span()) p = 0;
    fill_job(problem);
  }

  void tile(std::int64_t repeats) {
    for (std::int64_t i = 0; i < repeats; ++i) kernels::run_tile(job_);
  }
  void products_of_scores(std::int64_t repeats) { score_products(products(inputs_.k), repeats); }
  void products_of_values(std::int64_t repeats) { value_products(products(inputs_.v), repeats); }
  void pack_queries(std::int64_t repeats) {
    pack(job_.q_rows, kLanes, dim_, packed_.data(), repeats);
  }
  void unpack_output(std::int64_t repeats) {
    unpack(packed_.data(), kLanes, dim_, factor_.data(), job_.out_rows, repeats);
  }
  /// The tile first, then its parts.
  std::vector<Piece> pieces() {
    return {[this](std::int64_t n) { tile(n); }, [this](std::int64_t n) { products_of_scores(n); },
            [this](std::int64_t n) { products_of_values(n); },
            [this](std::int64_t n) { pack_queries(n); },
            [this](std::int64_t n) { unpack_output(n); }};
  }
  double flops() const { return 4.0 * static_cast<double>(kLanes * keys_ * dim_); }
  double scores() const { return static_cast<double>(kLanes * keys_); }

 private:
  void fill_job(const Problem& problem) {
    kernels::tile_lanes(problem, 0, 0, 0, job_.queries);
    for (std::ptrdiff_t lane = 0; lane < kLanes; ++lane) {
      job_.q_rows[lane] = inputs_.q.view().row(0, 0, lane);
      job_.out_rows[lane] = output_.view().row(0, 0, lane);
    }
    source_ = {inputs_.k.view().row(0, 0, 0), dim_, inputs_.v.view().row(0, 0, 0), dim_};
    job_.sources = {&source_, 1};
    job_.pattern = &pattern_;
    job_.dim_qk = job_.dim_v = dim_;
    job_.scale = problem.scale_or_default();
    job_.scratch = scratch_.data();
    job_.runs = &runs_;
  }
  TileProducts products(Tensor& rows) {
    return {rows.view().row(0, 0, 0), keys_,          kernels::kKeyBlock, dim_,
            packed_.data(),           scores_.data(), factor_.data()};
  }

  std::ptrdiff_t dim_, keys_;
  kernels::WindowPattern pattern_;
  FloatBuffer scratch_, scores_, packed_, factor_;
  InputTensors inputs_;
  Tensor output_;
  kernels::SourceRows source_;
  std::vector<kernels::KeyRun> runs_;
  kernels::TileJob job_;
};

/// Seconds of a tile that are neither products nor packing.
double softmax_seconds(const Paired& paired) {
  double rest_s = paired.piece_s[0];
  for (std::size_t i = 1; i < paired.piece_s.size(); ++i) rest_s -= paired.piece_s[i];
  return rest_s;
}

}  // namespace

void whole_tile(benchmark::State& state, std::ptrdiff_t dim, std::ptrdiff_t keys) {
  TileBench bench(dim, keys);
  const Paired paired = run_paired(state, bench.pieces());
  const double tile_s = paired.piece_s[0];
  report_flops(state, paired, bench.flops());
  state.counters["scores_%"] = 100 * paired.piece_s[1] / tile_s;
  state.counters["values_%"] = 100 * paired.piece_s[2] / tile_s;
  state.counters["packing_%"] = 100 * (paired.piece_s[3] + paired.piece_s[4]) / tile_s;
  state.counters["softmax_%"] = 100 * softmax_seconds(paired) / tile_s;
}

void softmax_block(benchmark::State& state) {
  TileBench bench(8, 512);
  const Paired paired = run_paired(state, bench.pieces());
  report_elements(state, paired, bench.scores(), softmax_seconds(paired));
}

}  // namespace attnbench::bench

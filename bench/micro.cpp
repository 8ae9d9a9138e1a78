// attnbench_micro [--isa auto|avx2|avx512] [--rounds N] [Google Benchmark's flags]
//
// The pieces of the kernels on one thread, each in turns with the multiply-add peak of the same
// core (micro_timer.h). bench/README.md explains the counters.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "attention/inputs.h"
#include "attention/tensor.h"
#include "bench/micro_kernels.h"
#include "bench/micro_tile.h"
#include "bench/micro_timer.h"
#include "kernels/isa.h"
#include "kernels/key_pattern.h"

namespace attnbench::bench {
namespace {

constexpr std::ptrdiff_t kLanes = kernels::kTileQueries;
constexpr std::size_t kBlock = std::size_t{64} * 64;  ///< Scores of a block.

FloatBuffer normal_values(std::size_t count, const char* stream) {
  const CounterRng rng(1, stream);
  FloatBuffer buffer(count);
  for (std::size_t i = 0; i < count; ++i) buffer.data()[i] = static_cast<float>(rng.normal(i));
  return buffer;
}

void product_64x64(benchmark::State& state, MatrixOrder order, OldValues old,
                   std::ptrdiff_t depth) {
  const auto cells = static_cast<std::size_t>(64 * depth);
  const FloatBuffer a = normal_values(cells, "a");
  const FloatBuffer b = normal_values(cells, "b");
  FloatBuffer c = normal_values(kBlock, "c");
  FloatBuffer factor(kLanes);
  // Half of what was there, so that sums neither grow without bound nor become denormal.
  for (float& f : factor.span()) f = 0.5F;
  ProductArgs args{order, old,      64,     kLanes,   depth,  a.data(),
                   0,     b.data(), kLanes, c.data(), kLanes, factor.data()};
  args.lda = order == MatrixOrder::row_major ? depth : 64;
  const Paired paired = run_paired(state, {[&](std::int64_t repeats) { product(args, repeats); }});
  report_flops(state, paired, 2.0 * 64 * 64 * static_cast<double>(depth));
}

void exp2_elements(benchmark::State& state) {
  constexpr std::size_t kCount = kBlock;  // 16 KiB, and 16 KiB for the result.
  FloatBuffer from(kCount), to(kCount);
  const CounterRng rng(1, "x");
  for (std::size_t i = 0; i < kCount; ++i) {
    from.data()[i] = -20.0F * static_cast<float>(rng.uniform(i));
  }
  const Paired paired = run_paired(state, {[&](std::int64_t repeats) {
                                     exponentials(from.data(), to.data(), kCount, repeats);
                                   }});
  report_elements(state, paired, kCount, paired.piece_s[0]);
}

/// Rows of `dim` values one after the other, and a tile to hold them as lanes.
struct PackedTile {
  explicit PackedTile(std::ptrdiff_t width)
      : dim(width),
        values(normal_values(static_cast<std::size_t>(kLanes * width), "rows")),
        packed(static_cast<std::size_t>(kLanes * width)),
        factor(kLanes) {
    for (float& f : factor.span()) f = 1;
    for (float& p : packed.span()) p = 1;
    for (std::ptrdiff_t lane = 0; lane < kLanes; ++lane) {
      rows.push_back(values.data() + lane * dim);
    }
  }
  double elements() const { return static_cast<double>(kLanes * dim); }
  std::ptrdiff_t dim;
  FloatBuffer values, packed, factor;
  std::vector<float*> rows;
};

void pack_tile(benchmark::State& state, std::ptrdiff_t dim) {
  PackedTile tile(dim);
  const Paired paired =
      run_paired(state, {[&](std::int64_t repeats) {
                   pack(tile.rows.data(), kLanes, dim, tile.packed.data(), repeats);
                 }});
  report_elements(state, paired, tile.elements(), paired.piece_s[0]);
}

void unpack_tile(benchmark::State& state, std::ptrdiff_t dim) {
  PackedTile tile(dim);
  const Paired paired = run_paired(state, {[&](std::int64_t repeats) {
                                     unpack(tile.packed.data(), kLanes, dim, tile.factor.data(),
                                            tile.rows.data(), repeats);
                                   }});
  report_elements(state, paired, tile.elements(), paired.piece_s[0]);
}

template <class Body>
void add(const std::string& name, const Body& body) {
  benchmark::RegisterBenchmark(name.c_str(), body)
      ->UseManualTime()
      ->Iterations(rounds())
      ->Unit(benchmark::kMicrosecond);
}

void add_all() {
  struct OldName {
    OldValues old;
    const char* name;
  };
  constexpr OldName kOlds[] = {{OldValues::overwrite, "overwrite"},
                               {OldValues::accumulate, "accumulate"},
                               {OldValues::rescale, "rescale"}};
  for (const MatrixOrder order : {MatrixOrder::row_major, MatrixOrder::col_major}) {
    const char* layout = order == MatrixOrder::row_major ? "row_major" : "col_major";
    for (const OldName& old : kOlds) {
      for (const std::ptrdiff_t depth : {32, 64, 96, 128, 256}) {
        add(fmt::format("gemm/{}/{}/64x64x{}", layout, old.name, depth),
            [=](benchmark::State& state) { product_64x64(state, order, old.old, depth); });
      }
    }
  }
  add("exp2/4096", exp2_elements);
  add("softmax/64x64", softmax_block);
  for (const std::ptrdiff_t dim : {64, 128}) {
    add(fmt::format("pack/64x{}", dim), [=](benchmark::State& s) { pack_tile(s, dim); });
    add(fmt::format("unpack/64x{}", dim), [=](benchmark::State& s) { unpack_tile(s, dim); });
  }
  for (const std::ptrdiff_t dim : {64, 128}) {
    for (const std::ptrdiff_t keys : {64, 512, 1024}) {
      add(fmt::format("tile/D{}/keys{}", dim, keys),
          [=](benchmark::State& s) { whole_tile(s, dim, keys); });
    }
  }
}

/// Takes "--name=value" or "--name value" out of the arguments.
std::optional<std::string> take_flag(std::vector<char*>& arguments, const std::string& name) {
  for (auto at = arguments.begin() + 1; at < arguments.end(); ++at) {
    const std::string text = *at;
    if (text.starts_with(name + "=")) {
      arguments.erase(at);
      return text.substr(name.size() + 1);
    }
    if (text == name && at + 1 < arguments.end()) {
      const std::string value = *(at + 1);
      arguments.erase(at, at + 2);
      return value;
    }
  }
  return std::nullopt;
}

int run(int argc, char** argv) {
  std::vector<char*> arguments(argv, argv + argc);
  const std::string isa = take_flag(arguments, "--isa").value_or("auto");
  if (const auto selected = kernels::select_isa(isa); !selected) {
    std::cerr << "attnbench_micro: " << selected.error().message << '\n';
    return 2;
  }
  if (const auto text = take_flag(arguments, "--rounds")) {
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), rounds());
    if (error != std::errc() || end != text->data() + text->size() || rounds() < 1) {
      std::cerr << "attnbench_micro: --rounds '" << *text << "' is not a positive integer\n";
      return 2;
    }
  }
  auto count = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  benchmark::AddCustomContext("isa", kernels::active_isa());
  add_all();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace attnbench::bench

int main(int argc, char** argv) { return attnbench::bench::run(argc, argv); }

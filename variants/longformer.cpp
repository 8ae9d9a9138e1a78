// longformer: a sliding window, dilated or not, and global positions.
//
//   O_i = sum over j in A(i) of softmax(scale q_i . k_j) v_j,  with p = i + Nk - Nq:
//   A(i) = {p + d t : |t| <= w} u G,  everything when p is in G,  and j <= p when causal
//
// Shapes: Q [B, Hq, Nq, D], K [B, Hkv, Nk, D], V [B, Hkv, Nk, Dv], O [B, Hq, Nq, Dv].
// Exact under its mask: w keys on each side, a key of the window that is global counts once. Time
// grows as N, workspace (the gathered global keys) not at all, with a dilation (the gathered keys
// of a residue class) as N.
// Source: Beltagy, Peters, Cohan 2020, "Longformer: The Long-Document Transformer", arXiv
// 2004.05150, section 3.1; the same projections for global attention, and w on one side as in the
// authors' code (the paper's w counts both).
#include <algorithm>
#include <cstdlib>

#include "attention/registry.h"
#include "kernels/global_window.h"

namespace attnbench {
namespace {

kernels::GlobalWindow pattern_of(const ParamValues& params) {
  kernels::GlobalWindow pattern{params.integer("window"), params.integer("dilation"),
                                params.integer_list("global")};
  std::ranges::sort(pattern.globals);
  pattern.globals.erase(std::unique(pattern.globals.begin(), pattern.globals.end()),
                        pattern.globals.end());
  return pattern;
}

class Longformer final : public SoftmaxVariant {
 public:
  const VariantInfo& info() const override {
    static const VariantInfo info{
        .name = "longformer",
        .family = "sparse",
        .summary = "sliding window, dilated or not, and global positions",
        .formula =
            "O_i = sum_j softmax(scale q_i.k_j) v_j over {p + d t : |t| <= w} u G, all j when p is "
            "in G;  p = i + Nk - Nq",
        .source =
            "Beltagy, Peters, Cohan 2020, Longformer: The Long-Document Transformer, arXiv "
            "2004.05150, section 3.1",
        .exactness = Exactness::exact_under_mask,
        .laws = {"N", "1"},
        .params = {{.name = "window",
                    .type = ParamSpec::Type::integer,
                    .default_text = "256",
                    .minimum = 0,
                    .maximum = 1e12,
                    .choices = {},
                    .meaning = "w, keys on each side of the query's own; before it when causal"},
                   {.name = "dilation",
                    .type = ParamSpec::Type::integer,
                    .default_text = "1",
                    .minimum = 1,
                    .maximum = 1 << 16,
                    .choices = {},
                    .meaning = "d, the distance of neighbouring keys in the window"},
                   {.name = "global",
                    .type = ParamSpec::Type::integer_list,
                    .default_text = "none",
                    .minimum = 0,
                    .maximum = 1e12,
                    .choices = {},
                    .meaning = "G, positions that read all and that all read"}},
        .aux = {},
        .takes = ScoreOptions::all(),
        .takes_mask = true,
    };
    return info;
  }

  GrowthLaws laws(const ParamValues& params) const override {
    return {"N", params.integer("dilation") > 1 ? "N" : "1"};
  }

  std::optional<std::string> unsupported_reason(const Problem& p,
                                                const ParamValues& params) const override {
    for (std::int64_t position : params.integer_list("global")) {
      if (position >= p.seq_k) {
        return "global position " + std::to_string(position) + " is beyond the " +
               std::to_string(p.seq_k) + " keys";
      }
    }
    return std::nullopt;
  }

  bool allows(const Problem& p, const ParamValues& params, std::int64_t b, std::int64_t,
              std::int64_t i, std::int64_t j) const override {
    if (!base_mask_allows(p, b, i, j)) return false;
    const std::int64_t position = i + p.seq_k - p.seq_q;
    const std::int64_t dilation = params.integer("dilation");
    const std::int64_t distance = std::abs(position - j);
    if (distance % dilation == 0 && distance / dilation <= params.integer("window")) return true;
    if (params.text("global") == "none") return false;
    const std::vector<std::int64_t> globals = params.integer_list("global");
    return std::ranges::find(globals, j) != globals.end() ||
           std::ranges::find(globals, position) != globals.end();
  }

  Cost cost(const Problem& problem, const ParamValues& params, int threads) const override {
    return kernels::global_window_cost(problem, pattern_of(params), threads);
  }

  Result<std::unique_ptr<Plan>> prepare(const Problem& problem, const ParamValues& params,
                                        const AuxSet&) const override {
    return kernels::make_global_window_plan(problem, pattern_of(params));
  }
};

}  // namespace
}  // namespace attnbench

ATTNBENCH_REGISTER_VARIANT(attnbench::Longformer)

// attnbench eval: a variant applied to the user's own tensors.
#include <fmt/format.h>

#include <ostream>

#include "cli/command.h"
#include "cli/eval_call.h"
#include "cli/eval_tensors.h"
#include "cli/help.h"
#include "cli/report.h"
#include "cli/scalar_flags.h"
#include "kernels/arena.h"
#include "kernels/isa.h"
#include "measure/environment.h"

namespace attnbench::cli {
namespace {

constexpr const char* kExamples =
    "Tensors are little-endian float32, float64 or float16 .npy files in C order, finite; or the\n"
    "tensors q, k and v of a .safetensors file (bfloat16 too). A missing batch or head size is "
    "one;\n"
    "the output is float32 with as many dimensions as Q. Query heads may be a multiple of "
    "key-value\n"
    "heads; causal is aligned bottom-right.\n"
    "\n"
    "Examples:\n"
    "  attnbench eval flash --q Q.npy --k K.npy --v V.npy --out O.npy --causal --check\n"
    "  attnbench eval performer --q Q.npy --k K.npy --v V.npy --out O.npy \\\n"
    "            --aux omega=omega.npy --weights W.npy\n"
    "  attnbench eval linformer --q Q.npy --k K.npy --v V.npy --out O.npy \\\n"
    "            --param rank=64 --seed 7 --save-aux drawn/";

/// The problem's own auxiliary tensor, whatever the variant.
bool is_sink(const std::string& assignment) { return assignment.rfind("sink=", 0) == 0; }

class EvalCommand final : public Command {
 public:
  void declare(CLI::App& app) override;
  ExitCode execute(const Context& context) override;

 private:
  struct Scalars {
    int threads = 1;
    std::uint64_t seed = 1;
    EvalRequest request;
  };
  Result<Scalars> scalars() const;
  Status score_flags(EvalRequest& request) const;
  Result<EvalCall> make_call(const Variant& variant, const Problem& problem,
                             std::uint64_t seed) const;
  Status deliver(const Context& context, const EvalCall& call, const EvalInputs& inputs,
                 Executor& executor, const Tensor& output) const;
  ExitCode print_check(const Context& context, const EvalCall& call, const EvalInputs& inputs,
                       const Tensor& output, std::uint64_t seed, Executor& executor) const;

  std::string variant_, q_, k_, v_, out_, weights_, key_lengths_, mask_, save_aux_;
  std::string causal_ = "off", position_ = "none", rope_pairs_ = "half", rope_base_ = "10000",
              softcap_ = "none", sink_ = "off", scale_;
  std::string threads_ = "1", layout_ = "bhnd", isa_ = "auto", seed_ = "1";
  std::vector<std::string> params_, aux_;
  bool check_ = false;
};

void EvalCommand::declare(CLI::App& app) {
  app.add_option("VARIANT", variant_, "One of 'attnbench list'.")->required()->group("Variant");
  add_texts(app, "--param", params_, "NAME=VALUE",
            "A parameter; may be repeated. 'attnbench describe VARIANT' lists them.", "Variant");
  add_texts(app, "--aux", aux_, "NAME=FILE",
            "An auxiliary tensor (.npy); may be repeated. Those not given are drawn from the seed; "
            "a given one fixes the sizes.",
            "Variant");
  add_text(app, "--seed", seed_, "INTEGER", "Seed of auxiliary tensors that are drawn. Default: 1.",
           "Variant");
  const char* files = "Tensors (.npy files; q, k and v also from .safetensors)";
  add_text(app, "--q", q_, "FILE", "Queries [B, Hq, Nq, D], or [Hq, Nq, D], or [Nq, D].", files)
      ->required();
  add_text(app, "--k", k_, "FILE", "Keys [B, Hkv, Nk, D].", files)->required();
  add_text(app, "--v", v_, "FILE", "Values [B, Hkv, Nk, Dv].", files)->required();
  add_text(app, "--key-lengths", key_lengths_, "FILE",
           "Integers [B]: keys at and beyond a row's length are not read.", files);
  add_text(
      app, "--mask", mask_, "FILE",
      "[Nq, Nk], [H, Nq, Nk] or [B, H, Nq, Nk] with 1 for B, H or Nq where all share: bool "
      "(True: the query reads the key), or floats that are added to the logits. FILE:64: a bool "
      "entry stands for 64 x 64 pairs.",
      files);
  add_text(app, "--layout", layout_, "bhnd|bnhd",
           "Order of the input and output files: [B, H, N, D] or [B, N, H, D]. Default: bhnd.",
           files);
  add_text(app, "--out", out_, "FILE", "Output [B, Hq, Nq, Dv], replaced in one step.", files);
  add_text(app, "--weights", weights_, "FILE",
           "Also write the dense weights W [B, Hq, Nq, Nk] with O = W V.", files);
  add_text(app, "--save-aux", save_aux_, "DIR",
           "Also write the auxiliary tensors that were used, as DIR/NAME.npy.", files);
  add_text(app, "--causal", causal_, "[on|off]", "Mask keys after the query. Default: off.",
           "Call");
  add_text(app, "--position", position_, "WORD",
           "none, sinusoidal, rope or alibi; query i is at position i + Nk - Nq. Default: none.",
           "Call");
  add_text(app, "--rope-pairs", rope_pairs_, "WORD",
           "Pairs that rope turns: half for (m, m + D/2), or interleaved for (2m, 2m + 1). "
           "Default: half.",
           "Call");
  add_text(app, "--rope-base", rope_base_, "NUMBER",
           "Base of rope's angles p / base^(2m/D). Default: 10000.", "Call");
  add_text(app, "--softcap", softcap_, "NUMBER",
           "Cap c of the logits: s becomes c tanh(s / c). Default: none.", "Call");
  add_text(app, "--sink", sink_, "[on|off]",
           "A further logit per query head in the softmax's sum: drawn from the seed, or "
           "[Hq] from --aux sink=FILE. Default: off.",
           "Call");
  add_text(app, "--scale", scale_, "NUMBER",
           "Factor on the logits. Default: the variant's own, 1/sqrt(D) for softmax attention.",
           "Call");
  add_text(app, "--threads", threads_, "INTEGER", "Threads, or 'all'. Default: 1.", "Call");
  add_text(app, "--isa", isa_, "auto|avx2|avx512", "Restrict the kernels. Default: auto.", "Call");
  app.add_flag("--check", check_,
               "Print the error against float64 references; exit 1 when the variant is further "
               "from its own definition than its tolerance.")
      ->group("Call");
  app.footer(kExamples);
}

Result<EvalCommand::Scalars> EvalCommand::scalars() const {
  Scalars all;
  const auto threads = parse_threads(threads_);
  if (!threads) return threads.error();
  const auto seed = parse_seed(seed_);
  if (!seed) return seed.error();
  const auto causal = parse_switch(causal_, "--causal");
  if (!causal) return causal.error();
  const auto layout = parse_layout(layout_);
  if (!layout) return layout.error();
  all.threads = *threads;
  all.seed = *seed;
  all.request.q_path = q_;
  all.request.k_path = k_;
  all.request.v_path = v_;
  all.request.layout = *layout;
  all.request.causal = *causal;
  all.request.key_lengths_path = key_lengths_;
  all.request.mask_path = mask_;
  if (Status status = score_flags(all.request); !status) return status.error();
  all.request.seed = all.seed;
  if (!scale_.empty()) {
    const auto scale = parse_number(scale_, "--scale");
    if (!scale) return scale.error();
    all.request.scale = *scale;
  }
  return all;
}

Status EvalCommand::score_flags(EvalRequest& request) const {
  const auto position = parse_position(position_);
  if (!position) return usage_error("--position: " + position.error().message);
  request.position = *position;
  if (rope_pairs_ != "half" && rope_pairs_ != "interleaved") {
    return usage_error(
        fmt::format("--rope-pairs: given \"{}\"; accepted: half or interleaved", rope_pairs_));
  }
  const auto base = parse_number(rope_base_, "--rope-base");
  if (!base || !(*base > 1)) {
    return usage_error(
        fmt::format("--rope-base: given \"{}\"; accepted: a number above 1", rope_base_));
  }
  if (request.position == Position::rope) request.rope = {rope_pairs_ == "interleaved", *base};
  if (softcap_ != "none") {
    const auto softcap = parse_number(softcap_, "--softcap");
    if (!softcap || !(*softcap > 0)) {
      return usage_error(
          fmt::format("--softcap: given \"{}\"; accepted: none or a number above 0", softcap_));
    }
    request.softcap = *softcap;
  }
  const auto sink = parse_switch(sink_, "--sink");
  if (!sink) return sink.error();
  request.sink = *sink;
  for (const std::string& text : aux_) {
    if (!is_sink(text)) continue;
    if (!request.sink_path.empty()) return usage_error("--aux: sink is given twice");
    request.sink_path = text.substr(text.find('=') + 1);
  }
  return ok_status();
}

Result<EvalCall> EvalCommand::make_call(const Variant& variant, const Problem& problem,
                                        std::uint64_t seed) const {
  const VariantInfo& info = variant.info();
  std::vector<std::string> texts = params_;
  for (std::string& text : texts) {
    if (text.rfind(info.name + ".", 0) == 0) text.erase(0, info.name.size() + 1);
  }
  const auto given = parse_assignments(texts, "--param");
  if (!given) return given.error();
  auto params = resolve_params(info.name, info.params, *given);
  if (!params) return params.error();
  std::vector<std::string> own_aux = aux_;
  std::erase_if(own_aux, is_sink);
  auto given_aux = load_aux(info, own_aux);
  if (!given_aux) return given_aux.error();
  auto aux = variant.complete_aux(problem, *params, std::move(*given_aux), seed);
  if (!aux) return aux.error();
  return EvalCall{&variant, problem, std::move(*params), std::move(*aux)};
}

Status EvalCommand::deliver(const Context& context, const EvalCall& call, const EvalInputs& inputs,
                            Executor& executor, const Tensor& output) const {
  const auto report = [&](const std::string& path, const std::vector<std::int64_t>& shape) {
    context.out << fmt::format("wrote {} {}\n", path, shape_text(shape));
  };
  if (!out_.empty()) {
    const std::vector<std::int64_t> shape = output_shape(inputs);
    if (Status status = write_npy(out_, shape, output.buffer().span()); !status) return status;
    report(out_, shape);
  }
  if (!weights_.empty()) {
    const auto weights =
        dense_weights(call, inputs.tensors, executor,
                      0.9 * static_cast<double>(measure::available_memory_bytes()));
    if (!weights) return weights.error();
    const Problem& p = call.problem;
    const std::vector<std::int64_t> shape{p.batch, p.heads_q, p.seq_q, p.seq_k};
    if (Status status = write_npy(weights_, shape, *weights); !status) return status;
    report(weights_, shape);
  }
  if (!save_aux_.empty()) {
    AuxSet all = call.aux;
    if (const auto& sink = call.problem.sink; !sink.empty()) {
      all["sink"] = {{static_cast<std::int64_t>(sink.size())}, sink, {}, false};
    }
    if (Status status = save_aux(save_aux_, all); !status) return status;
    for (const auto& [name, tensor] : all) report(save_aux_ + "/" + name + ".npy", tensor.shape);
  }
  return ok_status();
}

ExitCode EvalCommand::print_check(const Context& context, const EvalCall& call,
                                  const EvalInputs& inputs, const Tensor& output,
                                  std::uint64_t seed, Executor& executor) const {
  const EvalCheck check = check_output(call, inputs.tensors.view(), output.view(), seed, executor);
  const bool passed = check.definition.relative_l2 <= check.tolerance;
  context.out << fmt::format("checked {} rows{} against float64\n", check.definition.rows,
                             check.all_rows ? "" : " (a sample)");
  context.out << fmt::format("definition_rel_l2  {:.3g}  (tolerance {:.3g}: {})\n",
                             check.definition.relative_l2, check.tolerance,
                             passed ? "ok" : "FAILED");
  if (check.softmax) {
    context.out << fmt::format("error_rel_l2       {:.3g}  (against softmax attention)\n",
                               check.softmax->relative_l2);
    context.out << fmt::format("error_max_abs      {:.3g}\n", check.softmax->max_abs);
    context.out << fmt::format("error_mean_v       {:.3g}  (of answering mean(V))\n",
                               *check.mean_v);
  }
  return passed ? ExitCode::good : ExitCode::check_failed;
}

ExitCode EvalCommand::execute(const Context& context) {
  const std::string help = "'attnbench eval --help' shows what is accepted";
  if (out_.empty() && weights_.empty() && save_aux_.empty() && !check_) {
    return fail_usage(context, "eval: nothing to do: none of --out, --weights, --save-aux, --check",
                      help);
  }
  const Variant* variant = context.registry.find(variant_);
  if (variant == nullptr) {
    const auto nearest = nearest_word(variant_, context.registry.names());
    return fail_usage(context, fmt::format("eval: unknown variant '{}'", variant_),
                      nearest ? fmt::format("did you mean {}? 'attnbench list' shows all", *nearest)
                              : "'attnbench list' shows all variants");
  }
  const auto flags = scalars();
  if (!flags) return fail(context, flags.error(), help);
  if (flags->request.scale && !variant->info().has_scale) {
    return fail_usage(context, fmt::format("--scale: {} defines no scale", variant_),
                      "leave --scale out, or scale Q");
  }
  if (!weights_.empty() && !variant->info().has_dense_weights) {
    return fail_usage(context,
                      fmt::format("--weights: {} has no dense weights W with O = W V", variant_));
  }
  if (const Status status = kernels::select_isa(isa_); !status) {
    return fail(context, status.error(), help);
  }
  auto inputs = load_eval_inputs(flags->request);
  if (!inputs) return fail(context, inputs.error(), help);
  const auto call = make_call(*variant, inputs->problem, flags->seed);
  const std::string about = fmt::format("'attnbench describe {}' shows what it accepts", variant_);
  if (!call) return fail(context, call.error(), about);
  kernels::ThreadArena arena(flags->threads);
  const auto output = run_call(*call, inputs->tensors.view(), arena);
  if (!output) return fail(context, output.error(), about);
  if (const Status status = deliver(context, *call, *inputs, arena, *output); !status) {
    return fail(context, status.error());
  }
  return check_ ? print_check(context, *call, *inputs, *output, flags->seed, arena)
                : ExitCode::good;
}

}  // namespace

std::unique_ptr<Command> make_eval_command() { return std::make_unique<EvalCommand>(); }

}  // namespace attnbench::cli

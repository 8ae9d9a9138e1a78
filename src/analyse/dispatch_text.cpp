// The two texts of a dispatch table: JSON and a C header.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "analyse/dispatch_table.h"
#include "record/csv.h"
#include "record/json_text.h"

namespace attnbench::analyse {
namespace {

OrderedJson number(const std::optional<double>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

/// A C string literal. Bytes beyond printable ASCII are octal escapes, which end after three
/// digits; '?' is escaped because of trigraphs.
std::string c_string(const std::string& text) {
  std::string literal = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\' || c == '?') {
      literal += '\\';
      literal += c;
    } else if (byte < 0x20 || byte > 0x7e) {
      literal += fmt::format("\\{:03o}", byte);
    } else {
      literal += c;
    }
  }
  return literal + "\"";
}

/// Text that cannot end a C comment.
std::string comment(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    safe += byte < 0x20 || byte > 0x7e || c == '/' || c == '\\' ? '_' : c;
  }
  return safe;
}

constexpr const char* kHead = R"(#ifndef ATTNBENCH_DISPATCH_H
#define ATTNBENCH_DISPATCH_H

#include <stddef.h>

/* What is asked for: all fields count, and must be what was measured. */
typedef struct attnbench_problem {
  long long batch, heads, kv_heads, dim, dim_v;
  int causal; /* 0 or 1 */
  int threads;
  long long seq;
} attnbench_problem;

/* The fastest variant for lengths from seq_from to seq_to; time_s was measured at seq. */
typedef struct attnbench_choice {
  long long batch, heads, kv_heads, dim, dim_v;
  int causal;
  int threads;
  long long seq, seq_from, seq_to;
  const char* variant;
  const char* params; /* "name=value;name=value" */
  double time_s;
  double margin; /* time of the next best over time_s; 0 when there is none */
} attnbench_choice;

)";

constexpr const char* kTail = R"(/* The entry for a problem; NULL outside of what was measured. */
static inline const attnbench_choice* attnbench_lookup(const attnbench_problem* problem) {
  size_t i;
  for (i = 0; i < sizeof attnbench_choices / sizeof attnbench_choices[0]; ++i) {
    const attnbench_choice* each = &attnbench_choices[i];
    if (each->batch == problem->batch && each->heads == problem->heads &&
        each->kv_heads == problem->kv_heads && each->dim == problem->dim &&
        each->dim_v == problem->dim_v && each->causal == problem->causal &&
        each->threads == problem->threads && each->seq_from <= problem->seq &&
        problem->seq <= each->seq_to) {
      return each;
    }
  }
  return NULL;
}

#endif
)";

std::string limits_text(const Request& limits) {
  std::string text;
  if (limits.max_error) text += fmt::format(", error <= {}", format_real(*limits.max_error));
  if (limits.max_memory_bytes) {
    text += fmt::format(", workspace <= {} bytes", format_real(*limits.max_memory_bytes));
  }
  return text;
}

}  // namespace

std::string dispatch_json(const DispatchTable& table, const std::vector<Series>& series) {
  OrderedJson json;
  json["dispatch_version"] = 1;
  json["run_id"] = table.run_id;
  json["limits"] = {{"error", number(table.limits.max_error)},
                    {"workspace_bytes", number(table.limits.max_memory_bytes)}};
  json["shared"] = OrderedJson::object();
  for (const auto& [axis, value] : table.shared) json["shared"][axis] = value;
  json["entries"] = OrderedJson::array();
  for (const DispatchEntry& entry : table.entries) {
    const CaseAxes& axes = series[entry.series].axes;
    json["entries"].push_back({{"batch", axes.batch},
                               {"heads_q", axes.heads_q},
                               {"heads_kv", axes.heads_kv},
                               {"dim_qk", axes.dim_qk},
                               {"dim_v", axes.dim_v},
                               {"causal", axes.causal},
                               {"threads", axes.threads},
                               {"seq", entry.seq},
                               {"seq_from", entry.seq_from},
                               {"seq_to", entry.seq_to},
                               {"variant", axes.variant},
                               {"params", axes.params},
                               {"time_s", entry.time_s},
                               {"margin", number(entry.margin)},
                               {"error_rel_l2", number(entry.error)},
                               {"workspace_bytes", number(entry.workspace_bytes)}});
  }
  return dump_json(json);
}

std::string dispatch_header(const DispatchTable& table, const std::vector<Series>& series) {
  std::string shared;
  for (const auto& [axis, value] : table.shared) shared += fmt::format(" {}={}", axis, value);
  std::string out = fmt::format(
      "/* The fastest attention variant by problem and length, as measured by attnbench in run\n"
      " * {}{}.\n *{}\n */\n",
      comment(table.run_id), comment(limits_text(table.limits)), comment(shared));
  out += kHead;
  out += "static const attnbench_choice attnbench_choices[] = {\n";
  for (const DispatchEntry& entry : table.entries) {
    const CaseAxes& a = series[entry.series].axes;
    out +=
        fmt::format("    {{{}, {}, {}, {}, {}, {}, {}, {}, {}, {},\n     {}, {}, {:e}, {:.4f}}},\n",
                    a.batch, a.heads_q, a.heads_kv, a.dim_qk, a.dim_v, a.causal ? 1 : 0, a.threads,
                    entry.seq, entry.seq_from, entry.seq_to, c_string(a.variant),
                    c_string(a.params), entry.time_s, entry.margin.value_or(0));
  }
  out += "};\n\n";
  return out + kTail;
}

}  // namespace attnbench::analyse

// From what a gate found to what is told of it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analyse/gate_settings.h"
#include "analyse/gate_verdict.h"
#include "record/check_report.h"
#include "record/record.h"

namespace attnbench::analyse {

/// A cell of a gate, measured or not.
struct GateCell {
  enum class State {
    compared,  ///< By both builds; `outcome` says how.
    missing,   ///< The base runs it, the head does not know it or refuses it.
    failed,    ///< The base runs it, the head tried and failed.
    added,     ///< Only the head runs it.
  };
  State state = State::compared;
  CaseAxes axes;
  std::string reason;                    ///< Of a cell that was not compared.
  std::optional<std::size_t> outcome;    ///< Index into GateResult::cells.
  std::optional<double> base_s, head_s;  ///< Seconds of a call, median over launches.
};

struct GateStory {
  CheckSide base, head;
  std::vector<GateCell> cells;
  std::string control_label;          ///< The cell that the controls measured.
  std::vector<std::string> warnings;  ///< Beside those of the result.
};

/// Rows, controls, sentences, outcome and exit code.
CheckReport gate_report(const GateSettings& settings, const GateResult& result,
                        const GateStory& story);

/// Works out outcome and exit code again, after rows became `accepted`.
void conclude_gate(const GateResult& result, CheckReport& report);

}  // namespace attnbench::analyse

// Everything `attnbench fit` says about a run.
#pragma once

#include <span>
#include <vector>

#include "analyse/crossover.h"
#include "analyse/growth.h"
#include "analyse/pareto.h"
#include "analyse/scaling.h"
#include "analyse/series.h"
#include "record/manifest.h"

namespace attnbench::analyse {

struct SeriesFit {
  Growth time;
  Growth workspace;
};

struct FitReport {
  std::vector<Series> series;
  std::vector<SeriesFit> fits;  ///< One per series.
  std::vector<Crossover> crossovers;
  std::vector<Scaling> scaling;
  std::vector<ParetoGroup> pareto;
};

/// Time against N: costs are roofline_bound_s and performed_flops where every row has them. Breaks
/// are named by the manifest's caches where the working set crosses one; `manifest` may be null.
Growth time_growth(const Series& series, const Manifest* manifest);
/// Workspace against N: the measured peak, or the model where no peak was measured.
Growth workspace_growth(const Series& series);

FitReport analyse_run(std::span<const Record> records, std::span<const SampleRow> samples,
                      const Manifest* manifest, CrossoverOptions options = {});

}  // namespace attnbench::analyse

// How one series of measurements grows with the sequence length: exponent, law, agreement with what
// the variant declares. Pure; nothing here knows where the numbers come from.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analyse/law_ranking.h"
#include "analyse/power_fit.h"

namespace attnbench::analyse {

/// What the measurements say about a declared growth.
enum class Verdict {
  agrees,
  faster,        ///< Grows less than declared.
  slower,        ///< Grows more than declared.
  undetermined,  ///< Too few lengths, too narrow a range, or too wide an interval to tell.
};
std::string_view to_string(Verdict verdict);

inline constexpr const char* kUndetermined = "undetermined";
/// A law is declared, and a verdict given, from this many lengths over this factor in N.
inline constexpr std::size_t kLeastLengths = 5;
inline constexpr double kLeastFactor = 16;
inline constexpr double kDeclaredWeight = 0.95;

/// One length of a series.
struct GrowthPoint {
  double n = 1;          ///< Sequence length.
  double value = 1;      ///< Seconds or bytes; positive.
  double log_sd = 0;     ///< Of log value; 0 for exact numbers.
  std::size_t from = 0;  ///< For the caller: where the point comes from.
};

/// What the variant says the value should be proportional to, one figure per point.
struct CostCurve {
  std::string name;  ///< The column it is from.
  std::vector<double> values;
};

struct GrowthInput {
  std::vector<GrowthPoint> points;  ///< Distinct lengths, ascending.
  std::vector<CostCurve> costs;     ///< Alternatives: the one with the smallest residual is used.
  std::string declared;             ///< A growth law as text, or anything, or nothing.
};

struct Interval {
  double low = 0;
  double high = 0;
};

/// value = c + a * cost.
struct CostAgreement {
  std::string column;
  double c = 0;
  double a = 0;
  double residual_rms = 0;  ///< Of the log, so relative.
  double residual_max = 0;
  /// The q of value = c + a * cost^q: 1 when the value follows the cost.
  double power = 1;
  std::optional<Interval> power_interval;
  /// Growth of the cost itself between the two longest lengths.
  double last_exponent = 0;
  /// The same without the cost's own constant part, from the three longest lengths.
  std::optional<double> last_growing_exponent;
  Verdict verdict = Verdict::undetermined;
};

/// The slope of log value against log N between neighbouring lengths.
struct LocalExponent {
  double n_low = 0, n_high = 0;
  double exponent = 0;
  Interval interval;  ///< 95%, from the points' noise alone.
};

/// A jump of the local exponents that neither noise nor the rest of the curve explains.
struct Break {
  double n_low = 0, n_high = 0;
  double factor = 1;  ///< How much more the value grew here than the curve would have it.
  std::string level;  ///< The memory level whose capacity is crossed here, where known.
};

struct Growth {
  std::size_t lengths = 0;
  double n_min = 0, n_max = 0;
  /// value = c + a N^exponent.
  std::optional<double> exponent;
  std::optional<Interval> exponent_interval;
  double c = 0, a = 0;
  /// The best curves whose exponent is the lower and the upper end of its interval.
  std::optional<PowerCurve> curve_at_low, curve_at_high;
  double residual_rms = 0;
  std::string law = kUndetermined;
  double law_weight = 0;           ///< Of the best law; 0 when nothing could be ranked.
  std::vector<RankedLaw> ranking;  ///< All candidates, best first.
  std::string declared;
  Verdict verdict = Verdict::undetermined;
  std::optional<CostAgreement> cost;
  std::vector<LocalExponent> local;
  std::vector<Break> breaks;
  std::string note;  ///< Why something is undetermined, or what the verdict rests on.

  /// The laws that make up 0.95 of the weight.
  std::vector<RankedLaw> candidates() const;
};

Growth analyse_growth(const GrowthInput& input);

}  // namespace attnbench::analyse

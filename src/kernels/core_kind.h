// What cores that have the same instructions do differently. Internal to kernels/.
#pragma once

#include <string_view>

namespace attnbench::kernels {

/// Whether rows of up to four lines, each asked for at once, arrive sooner in the first-level cache
/// of such a core than in its second-level cache. `vendor` and `family` as CPUID gives them
/// ("AuthenticAMD", 26). Pure.
bool asks_rows_near(std::string_view vendor, int family);

/// The same of the core that this runs on; false where that is not known.
bool asks_rows_near();

}  // namespace attnbench::kernels

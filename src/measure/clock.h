// The one clock of the tool.
#pragma once

namespace attnbench::measure {

/// Seconds of the steady clock, since an arbitrary origin.
double steady_now_s();
/// CPU time of the whole process so far, user and system, in seconds.
double process_cpu_s();
/// The smallest step of the steady clock that was seen, in seconds. Measured once.
double clock_resolution_s();

}  // namespace attnbench::measure

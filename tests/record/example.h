// A record with every column filled, and a scratch directory.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "record/record.h"

namespace attnbench::testing {

inline Record example_record() {
  Record r;
  r.run_id = "run-1";
  r.axes.variant = "performer";
  r.axes.family = "kernel";
  r.axes.exactness = "approximate";
  r.axes.params = "features=256;kernel=softmax";
  r.axes.isa = "avx512";
  r.axes.heads_q = 8;
  r.axes.heads_kv = 2;
  r.axes.seq_q = 1024;
  r.axes.seq_k = 2048;
  r.axes.dim_qk = 64;
  r.axes.dim_v = 32;
  r.axes.causal = true;
  r.axes.threads = 2;
  r.axes.mode = "cross";
  r.reason = "census 2.5, above 2 threads";
  r.stop_reason = StopReason::precision;
  r.samples = 21;
  r.time_median_s = 0.00125;
  r.time_ci_low_s = 0.00124;
  r.time_ci_high_s = 0.001275;
  r.time_min_s = 0.0012;
  r.time_mad_s = 1e-5;
  r.cpu_time_median_s = 0.0025;
  r.thread_census = 2.5;
  r.useful_flops = 3221225472.0;
  r.performed_flops = 1.5e9;
  r.exp_count = 6291456;
  r.min_bytes = 4718592;
  r.traffic_bytes = 4718592;
  r.gflops_useful = 2576.9803776;
  r.gflops_performed = 1200;
  r.roofline_bound_s = 0.000625;
  r.roofline_fraction = 0.5;
  r.workspace_model_bytes = 1048576;
  r.workspace_peak_bytes = 1048576;
  r.time_law = "N";
  r.workspace_law = "1";
  r.definition_rel_l2 = 3.25e-7;
  r.error_rel_l2 = 0.25;
  r.error_max_abs = 1.5;
  r.error_mean_v = 0.795;
  r.error_reference = "64 sampled rows";
  r.cycles = 4000000;
  r.instructions = 9000000000000;
  r.cache_misses = 0;
  r.seed = 18446744073709551615ULL;
  r.repro = "attnbench run --variants performer --param 'features=256,512'";
  return r;
}

/// A case that did not run.
inline Record skipped_record(const std::string& variant = "full") {
  Record r;
  r.run_id = "run-1";
  r.axes.variant = variant;
  r.status = RowStatus::skipped;
  r.reason = "needs 17.2 GiB, 8 GiB are free";
  return r;
}

/// A directory that is removed with the object.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "attnbench-record-XXXXXX").string();
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    path_ = pattern;
  }
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;

  std::string file(const std::string& name) const { return path_ + "/" + name; }
  /// Writes a file and returns its path.
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(file(name), std::ios::binary) << text;
    return file(name);
  }
  std::string read(const std::string& name) const {
    std::ifstream in(file(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::string path_;
};

}  // namespace attnbench::testing

#include "record/schema.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "attention/hash.h"
#include "record/csv.h"
#include "record/example.h"

namespace attnbench {
namespace {

using testing::example_record;

const char* const kHeader =
    "schema_version,run_id,case_id,variant,family,exactness,params,mode,pass,dtype,layout,isa,"
    "input,"
    "mask,position,cache,batch,heads_q,heads_kv,seq_q,seq_k,dim_qk,dim_v,causal,threads,status,"
    "reason,stop_reason,samples,time_median_s,time_ci_low_s,time_ci_high_s,time_min_s,time_mad_s,"
    "cpu_time_median_s,thread_census,useful_flops,performed_flops,exp_count,min_bytes,traffic_"
    "bytes,"
    "gflops_useful,gflops_performed,roofline_bound_s,roofline_fraction,workspace_model_bytes,"
    "workspace_peak_bytes,time_law,workspace_law,definition_rel_l2,error_rel_l2,error_max_abs,"
    "error_mean_v,error_reference,cycles,instructions,cache_misses,seed,repro\r\n";

const char* const kExampleRow =
    "1,run-1,CASEID,performer,kernel,approximate,features=256;kernel=softmax,cross,fwd,f32,"
    "bhnd,avx512,gaussian,none,none,hot,1,8,2,1024,2048,64,32,true,2,ok,"
    "\"census 2.5, above 2 threads\",precision,21,0.00125,0.00124,0.001275,0.0012,1e-05,0.0025,2.5,"
    "3221225472,1.5e+09,6291456,4718592,4718592,2576.9803776,1200,0.000625,0.5,1048576,1048576,"
    "N,"
    "1,3.25e-07,0.25,1.5,0.795,64 sampled rows,4000000,9000000000000,0,18446744073709551615,"
    "\"attnbench run --variants performer --param 'features=256,512'\"\r\n";

std::string csv_of(const std::vector<std::string>& cells) {
  std::string out;
  append_csv_row(out, cells);
  return out;
}

std::size_t cell_index(std::string_view name) {
  const auto header = summary_header();
  return static_cast<std::size_t>(std::find(header.begin(), header.end(), name) - header.begin());
}

/// The message of reading the example with one cell replaced.
std::string error_with(std::string_view column, const std::string& text) {
  auto cells = to_cells(example_record());
  cells[cell_index(column)] = text;
  const auto record = from_cells<Record>(cells);
  return record ? "accepted" : record.error().message;
}

TEST(Schema, HeaderIsExact) {
  EXPECT_EQ(csv_of(summary_header()), kHeader);
  EXPECT_EQ(csv_of(samples_header()),
            "case_id,round,order,inner_iterations,time_s,cpu_time_s,start_s\r\n");
}

TEST(Schema, RowIsExact) {
  std::string expected = kExampleRow;
  expected.replace(expected.find("CASEID"), 6, example_record().axes.case_id());
  EXPECT_EQ(csv_of(to_cells(example_record())), expected);
}

TEST(Schema, AbsentValuesAreEmptyCells) {
  EXPECT_EQ(csv_of(to_cells(testing::skipped_record())),
            "1,run-1," + testing::skipped_record().axes.case_id() +
                ",full,,,,self,fwd,f32,bhnd,,gaussian,none,none,hot,1,1,1,1,1,1,1,false,1,skipped,"
                "\"needs 17.2 GiB, 8 GiB are free\",,0" +
                std::string(29, ',') + "1,\r\n");
}

TEST(Schema, EveryCellRoundTrips) {
  for (const Record& record : {example_record(), testing::skipped_record()}) {
    const auto back = from_cells<Record>(to_cells(record));
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(to_cells(*back), to_cells(record));
  }
  const SampleRow sample{"0123456789abcdef", 3, 1, 64, 0.00125, 0.0025, 17.5};
  const auto back = from_cells<SampleRow>(to_cells(sample));
  ASSERT_TRUE(back);
  EXPECT_EQ(to_cells(*back), to_cells(sample));
  EXPECT_EQ(csv_of(to_cells(sample)), "0123456789abcdef,3,1,64,0.00125,0.0025,17.5\r\n");
}

TEST(Schema, NoTwoColumnsShareAMember) {
  // A column that reads or writes its neighbour's member would survive a plain round trip.
  const auto all = columns<Record>();
  const Record blank;
  for (const auto& column : all) {
    if (column.name == "schema_version") continue;
    Record record;
    ASSERT_TRUE(column.set(record, column.get(example_record()))) << column.name;
    std::set<std::string_view> changed;
    for (const auto& other : all) {
      if (other.name == "case_id" && column.name != "case_id") continue;
      if (cell_text(other, other.get(record)) != cell_text(other, other.get(blank))) {
        changed.insert(other.name);
      }
    }
    changed.erase(column.name);
    EXPECT_TRUE(changed.empty()) << column.name << " also changes " << *changed.begin();
  }
}

TEST(Schema, NonFiniteNumbersAreAbsentAndInfiniteErrorsAreInf) {
  Record record = example_record();
  record.time_median_s = std::nan("");
  record.gflops_useful = HUGE_VAL;
  record.definition_rel_l2 = HUGE_VAL;
  const auto cells = to_cells(record);
  EXPECT_EQ(cells[cell_index("time_median_s")], "");
  EXPECT_EQ(cells[cell_index("gflops_useful")], "");
  EXPECT_EQ(cells[cell_index("definition_rel_l2")], "inf");
  const auto back = from_cells<Record>(cells);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back->definition_rel_l2, HUGE_VAL);
}

TEST(Schema, RefusesCellsAndSaysWhatIsAccepted) {
  EXPECT_EQ(
      error_with("time_median_s", "-1"),
      "column time_median_s: '-1' is not accepted; expected a finite number >= 0, or nothing");
  EXPECT_EQ(error_with("threads", "0"),
            "column threads: '0' is not accepted; expected an integer >= 1");
  EXPECT_EQ(error_with("seq_q", ""),
            "column seq_q: an empty cell is not accepted; expected an integer >= 1");
  EXPECT_EQ(error_with("causal", "True"),
            "column causal: 'True' is not accepted; expected true or false");
  EXPECT_EQ(error_with("status", "done"),
            "column status: 'done' is not accepted; expected ok, skipped, failed, timeout or "
            "out-of-memory");
  EXPECT_EQ(error_with("schema_version", "2"),
            "column schema_version: '2' is not accepted; this build reads schema 1");
  EXPECT_EQ(error_with("variant", ""),
            "column variant: an empty cell is not accepted; expected text");
  EXPECT_EQ(error_with("seed", "-1"),
            "column seed: '-1' is not accepted; expected an integer in [0, 2^64)");
  for (const char* column : {"time_ci_low_s", "time_min_s", "gflops_useful", "thread_census"}) {
    for (const char* text : {"nan", "inf", "-inf", "1,5", "1.5s", "0x1p3", "-1e-9"}) {
      EXPECT_NE(error_with(column, text), "accepted") << column << " " << text;
    }
  }
  for (const char* text : {"nan", "-inf", "-0.1"}) {
    EXPECT_NE(error_with("error_rel_l2", text), "accepted") << text;
  }
  for (const char* column :
       {"stop_reason", "samples", "cycles", "workspace_peak_bytes", "threads"}) {
    EXPECT_NE(error_with(column, "word"), "accepted") << column;
    EXPECT_NE(error_with(column, "1.5"), "accepted") << column;
  }
  EXPECT_NE(error_with("threads", "4294967297"), "accepted");
  EXPECT_EQ(error_with("variant", "a-variant-of-tomorrow"), "accepted");
  EXPECT_EQ(error_with("cycles", "1024.0"), "accepted");
  EXPECT_EQ(error_with("samples", ""), "accepted");
}

TEST(Schema, RefusesAWrongNumberOfCells) {
  auto cells = to_cells(example_record());
  cells.pop_back();
  EXPECT_FALSE(from_cells<Record>(cells));
}

TEST(CaseId, IsTheHashOfTheAxisCells) {
  // FNV-1a, 64 bits, of the 22 cells joined by 0x1f, computed with another program.
  EXPECT_EQ(example_record().axes.case_id(), "07a51eabf2018421");
  EXPECT_EQ(fnv1a64(""), 0xcbf29ce484222325ULL);
  EXPECT_EQ(hex16(fnv1a64("a")), "af63dc4c8601ec8c");
  EXPECT_EQ(hex16(1), "0000000000000001");
}

TEST(CaseId, DependsOnEveryAxisAndOnNothingElse) {
  const Record base = example_record();
  Record other = base;
  other.run_id = "run-2";
  other.seed = 7;
  other.time_median_s = 1;
  other.status = RowStatus::failed;
  EXPECT_EQ(other.case_id(), base.case_id());
  std::set<std::string> ids{base.case_id()};
  for (const auto& column : axis_columns()) {
    Record changed = base;
    const std::string text = column.type == CellType::text      ? "other"
                             : column.type == CellType::boolean ? "false"
                                                                : "77";
    ASSERT_TRUE(set_cell(column, changed, text));
    EXPECT_TRUE(ids.insert(changed.axes.case_id()).second) << column.name;
  }
  EXPECT_EQ(ids.size(), 23u);
}

TEST(CaseId, SeparatesNeighbouringCells) {
  CaseAxes a;
  a.variant = "ab";
  a.family = "c";
  CaseAxes b;
  b.variant = "a";
  b.family = "bc";
  EXPECT_NE(a.case_id(), b.case_id());
}

TEST(Words, ParseBackAndRefuseOthers) {
  for (RowStatus status : {RowStatus::ok, RowStatus::skipped, RowStatus::failed, RowStatus::timeout,
                           RowStatus::out_of_memory}) {
    ASSERT_TRUE(parse_row_status(to_string(status)));
    EXPECT_EQ(*parse_row_status(to_string(status)), status);
  }
  for (StopReason reason :
       {StopReason::none, StopReason::precision, StopReason::budget, StopReason::max_samples}) {
    ASSERT_TRUE(parse_stop_reason(to_string(reason)));
    EXPECT_EQ(*parse_stop_reason(to_string(reason)), reason);
  }
  EXPECT_FALSE(parse_row_status(""));
  EXPECT_FALSE(parse_row_status("OK"));
  EXPECT_FALSE(parse_stop_reason("none"));
}

}  // namespace
}  // namespace attnbench

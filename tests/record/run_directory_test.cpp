#include "record/run_directory.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>

#include "record/csv.h"
#include "record/example.h"
#include "record/json.h"
#include "record/reader.h"
#include "record/schema.h"

namespace attnbench {
namespace {

using Existing = RunDirectory::Existing;

constexpr const char* kConfig = "variants = [\"full\", \"flash\"]\nseed = 1\n";

Record row_of(const std::string& variant, RowStatus status = RowStatus::ok) {
  Record record = testing::example_record();
  record.axes.variant = variant;
  record.status = status;
  record.reason = status == RowStatus::ok ? "" : "because";
  return record;
}

std::vector<SampleRow> samples_of(const Record& record, int count) {
  std::vector<SampleRow> samples;
  for (int i = 0; i < count; ++i) samples.push_back({record.case_id(), i, 0, 4, 0.5, 0.5, 1.0 * i});
  return samples;
}

Manifest manifest_of(const std::string& config = kConfig) {
  Manifest manifest;
  manifest.run_id = "run-1";
  manifest.config_toml = config;
  manifest.machine.cpu_model = "CPU X";
  return manifest;
}

std::vector<std::string> variants_in(const std::vector<Record>& records) {
  std::vector<std::string> names;
  for (const Record& record : records) {
    names.push_back(record.axes.variant + ":" + std::string(to_string(record.status)));
  }
  return names;
}

class RunDirectoryTest : public ::testing::Test {
 protected:
  RunDirectory open(Existing existing) {
    auto directory = RunDirectory::create(path(), existing);
    EXPECT_TRUE(directory) << directory.error().message;
    return std::move(*directory);
  }
  std::string path() const { return scratch_.file("runs/one"); }
  std::string name(const std::string& file) const { return "runs/one/" + file; }

  /// A run that was killed with one good, one skipped and one failed case behind it.
  void leave_unfinished_run() {
    RunDirectory directory = open(Existing::refuse);
    ASSERT_TRUE(directory.write_manifest(manifest_of()));
    Record flash = row_of("flash");
    flash.samples = 2;
    const Record failed = row_of("hyena", RowStatus::timeout);
    std::vector<SampleRow> samples = samples_of(flash, 2);
    samples.push_back(samples_of(failed, 1)[0]);
    ASSERT_TRUE(directory.append({failed, flash, row_of("full", RowStatus::skipped)}, samples));
  }

  std::vector<Record> rows_on_disk() {
    auto rows = read_summary(scratch_.file(name("summary.csv")));
    EXPECT_TRUE(rows) << rows.error().message;
    return rows ? *rows : std::vector<Record>{};
  }
  std::vector<SampleRow> samples_on_disk() {
    auto rows = read_samples(scratch_.file(name("samples.csv")));
    EXPECT_TRUE(rows) << rows.error().message;
    return rows ? *rows : std::vector<SampleRow>{};
  }

  testing::ScratchDirectory scratch_;
};

TEST_F(RunDirectoryTest, WritesExactBytes) {
  RunDirectory directory = open(Existing::refuse);
  const Record record = row_of("flash");
  ASSERT_TRUE(directory.append({record}, samples_of(record, 1)));
  std::string summary;
  append_csv_row(summary, summary_header());
  append_csv_row(summary, to_cells(record));
  EXPECT_EQ(scratch_.read(name("summary.csv")), summary);
  EXPECT_EQ(scratch_.read(name("samples.csv")),
            "case_id,round,order,inner_iterations,time_s,cpu_time_s,start_s\r\n" +
                record.case_id() + ",0,0,4,0.5,0.5,0\r\n");
  EXPECT_FALSE(std::filesystem::exists(scratch_.file(name("summary.csv.tmp"))));
}

TEST_F(RunDirectoryTest, AppendsGroupAfterGroup) {
  RunDirectory directory = open(Existing::refuse);
  ASSERT_TRUE(directory.append({}, {}));
  EXPECT_TRUE(rows_on_disk().empty());
  EXPECT_TRUE(samples_on_disk().empty());
  for (const char* variant : {"flash", "full", "local"}) {
    const Record record = row_of(variant);
    ASSERT_TRUE(directory.append({record}, samples_of(record, 2)));
  }
  EXPECT_EQ(variants_in(rows_on_disk()),
            (std::vector<std::string>{"flash:ok", "full:ok", "local:ok"}));
  EXPECT_EQ(samples_on_disk().size(), 6u);
}

TEST_F(RunDirectoryTest, RefusesARunThatIsThere) {
  leave_unfinished_run();
  const std::string before = scratch_.read(name("summary.csv"));
  const auto second = RunDirectory::create(path(), Existing::refuse);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, Error::Kind::usage);
  EXPECT_NE(second.error().message.find("a run is already there (summary.csv)"), std::string::npos);
  EXPECT_EQ(scratch_.read(name("summary.csv")), before);
}

TEST_F(RunDirectoryTest, AcceptsADirectoryWithOtherFiles) {
  std::filesystem::create_directories(path());
  scratch_.write(name("notes.txt"), "mine");
  RunDirectory directory = open(Existing::refuse);
  ASSERT_TRUE(directory.append({row_of("flash")}, {}));
  RunDirectory moved = std::move(directory);
  ASSERT_TRUE(moved.append({row_of("full")}, {}));
  EXPECT_EQ(scratch_.read(name("notes.txt")), "mine");
  EXPECT_EQ(rows_on_disk().size(), 2u);
}

TEST_F(RunDirectoryTest, OverwriteRemovesTheOldRunAndNothingElse) {
  leave_unfinished_run();
  scratch_.write(name("notes.txt"), "mine");
  RunDirectory directory = open(Existing::overwrite);
  EXPECT_FALSE(std::filesystem::exists(scratch_.file(name("manifest.json"))));
  ASSERT_TRUE(directory.append({row_of("local")}, {}));
  EXPECT_EQ(variants_in(rows_on_disk()), std::vector<std::string>{"local:ok"});
  EXPECT_TRUE(samples_on_disk().empty());
  EXPECT_EQ(scratch_.read(name("notes.txt")), "mine");
}

TEST_F(RunDirectoryTest, ResumeKeepsFinishedCasesAndRerunsTheOthers) {
  leave_unfinished_run();
  RunDirectory directory = open(Existing::resume);
  const auto state = directory.load_for_resume(kConfig, manifest_of().fingerprint());
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->records.size(), 3u);
  EXPECT_EQ(state->done_case_ids,
            (std::vector<std::string>{row_of("flash").case_id(), row_of("full").case_id()}));
  EXPECT_EQ(state->manifest->run_id, "run-1");
  // The samples of the finished case stay, those of the timeout go; its row stays until replaced.
  EXPECT_EQ(samples_on_disk().size(), 2u);
  EXPECT_EQ(samples_on_disk()[0].case_id, row_of("flash").case_id());
  const Record local = row_of("local");
  ASSERT_TRUE(directory.append({local}, samples_of(local, 3)));
  EXPECT_EQ(variants_in(rows_on_disk()),
            (std::vector<std::string>{"hyena:timeout", "flash:ok", "full:skipped", "local:ok"}));
  const Record hyena = row_of("hyena");
  ASSERT_TRUE(directory.append({hyena}, samples_of(hyena, 1)));
  EXPECT_EQ(variants_in(rows_on_disk()),
            (std::vector<std::string>{"hyena:ok", "flash:ok", "full:skipped", "local:ok"}));
  EXPECT_EQ(samples_on_disk().size(), 6u);
}

TEST_F(RunDirectoryTest, ResumeOfAnEmptyDirectoryStartsAfresh) {
  RunDirectory directory = open(Existing::resume);
  const auto state = directory.load_for_resume(kConfig, "");
  ASSERT_TRUE(state);
  EXPECT_FALSE(state->manifest);
  EXPECT_TRUE(state->done_case_ids.empty());
  ASSERT_TRUE(directory.append({row_of("flash")}, {}));
  EXPECT_EQ(rows_on_disk().size(), 1u);
}

TEST_F(RunDirectoryTest, ResumeOfARunKilledBeforeItsManifestStartsAfresh) {
  {
    RunDirectory killed = open(Existing::refuse);
    ASSERT_TRUE(killed.append({}, {}));
  }
  scratch_.write(name("samples.csv"), scratch_.read(name("samples.csv")) + "torn,0");
  RunDirectory directory = open(Existing::resume);
  const auto state = directory.load_for_resume(kConfig, "");
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_FALSE(state->manifest);
  const Record record = row_of("flash");
  ASSERT_TRUE(directory.append({record}, samples_of(record, 2)));
  EXPECT_EQ(rows_on_disk().size(), 1u);
  EXPECT_EQ(samples_on_disk().size(), 2u);
}

TEST_F(RunDirectoryTest, ResumeRefusesAnotherConfigurationMachineOrNoManifest) {
  leave_unfinished_run();
  const auto refusal = [&](const std::string& config, const std::string& fingerprint) {
    RunDirectory directory = open(Existing::resume);
    const auto state = directory.load_for_resume(config, fingerprint);
    EXPECT_FALSE(state);
    // What was refused cannot be overwritten by accident either.
    EXPECT_FALSE(directory.append({row_of("local")}, {}));
    EXPECT_FALSE(directory.write_manifest(manifest_of()));
    return state ? Error{} : state.error();
  };
  const Error config = refusal("variants = [\"full\", \"flash\"]\nseed = 2\n", "");
  EXPECT_EQ(config.kind, Error::Kind::usage);
  EXPECT_NE(config.message.find("another configuration (there 'seed = 1', here 'seed = 2')"),
            std::string::npos)
      << config.message;
  const Error machine = refusal(kConfig, "0123456789abcdef");
  EXPECT_EQ(machine.kind, Error::Kind::usage);
  EXPECT_NE(machine.message.find("another machine or build"), std::string::npos);
  std::filesystem::remove(scratch_.file(name("manifest.json")));
  EXPECT_EQ(refusal(kConfig, "").kind, Error::Kind::usage);
  EXPECT_EQ(rows_on_disk().size(), 3u);
}

TEST_F(RunDirectoryTest, ResumeRefusesADamagedSummaryAndLeavesItAlone) {
  leave_unfinished_run();
  const std::string damaged = scratch_.read(name("summary.csv")) + "1,2,3\r\n";
  scratch_.write(name("summary.csv"), damaged);
  RunDirectory directory = open(Existing::resume);
  const auto state = directory.load_for_resume(kConfig, "");
  ASSERT_FALSE(state);
  EXPECT_NE(state.error().message.find("summary.csv:5: 3 cells"), std::string::npos);
  EXPECT_EQ(scratch_.read(name("summary.csv")), damaged);
}

TEST_F(RunDirectoryTest, ResumeDropsTornAndOrphanedSamples) {
  leave_unfinished_run();
  const std::string samples = scratch_.read(name("samples.csv"));
  const std::string orphan = "0123456789abcdef,0,0,4,0.5,0.5,9\r\n";
  const std::string torn = row_of("flash").case_id() + ",7,0,4,0.5,0.5,9";
  for (const std::string& tail : {orphan, torn, orphan + torn.substr(0, 20), std::string(700, '\0'),
                                  torn + std::string(9, '\0')}) {
    scratch_.write(name("samples.csv"), samples + tail);
    scratch_.write(name("summary.csv.tmp"), "schema_version,run_");
    RunDirectory directory = open(Existing::resume);
    const auto state = directory.load_for_resume(kConfig, "");
    ASSERT_TRUE(state) << state.error().message;
    EXPECT_EQ(samples_on_disk().size(), 2u);
    EXPECT_EQ(rows_on_disk().size(), 3u);
  }
  scratch_.write(name("samples.csv"), "case_id,rou");
  RunDirectory directory = open(Existing::resume);
  ASSERT_TRUE(directory.load_for_resume(kConfig, ""));
  EXPECT_TRUE(samples_on_disk().empty());
}

TEST_F(RunDirectoryTest, AKilledRunKeepsEveryFinishedCase) {
  // The child appends until it is killed in the middle of whatever it is doing; the summary is
  // whole whenever it is looked at, and its cases have all their samples.
  constexpr int kSamples = 50;
  constexpr std::size_t kRowsBeforeKill = 5;
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto directory = RunDirectory::create(path(), Existing::refuse);
    if (!directory || !directory->write_manifest(manifest_of())) _exit(1);
    for (int i = 0; i < 100000; ++i) {
      Record record = row_of("variant-" + std::to_string(i));
      record.samples = kSamples;
      if (!directory->append({record}, samples_of(record, kSamples))) _exit(1);
    }
    _exit(0);
  }
  std::size_t seen = 0;
  while (seen < kRowsBeforeKill) {
    if (std::filesystem::exists(scratch_.file(name("summary.csv")))) seen = rows_on_disk().size();
    if (HasFailure()) break;
  }
  kill(child, SIGKILL);
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFSIGNALED(status));
  RunDirectory directory = open(Existing::resume);
  const auto state = directory.load_for_resume(kConfig, "");
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_GE(state->done_case_ids.size(), seen);
  EXPECT_EQ(samples_on_disk().size(), state->done_case_ids.size() * kSamples);
}

TEST_F(RunDirectoryTest, AFullDiskLeavesTheFilesAsTheyWereAndLosesNothing) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // A limit on the size of files stands for the full disk.
    signal(SIGXFSZ, SIG_IGN);
    auto directory = RunDirectory::create(path(), Existing::refuse);
    const Record flash = row_of("flash");
    const Record full = row_of("full");
    if (!directory || !directory->append({flash}, samples_of(flash, 2))) _exit(1);
    const rlimit tight{1500, RLIM_INFINITY};
    const rlimit wide{RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &tight);
    const Status refused = directory->append({full}, samples_of(full, 100));
    if (refused || refused.error().kind != Error::Kind::io) _exit(2);
    if (read_summary(directory->file("summary.csv"))->size() != 1) _exit(3);
    const auto samples = read_samples(directory->file("samples.csv"));
    if (!samples || samples->size() != 2) _exit(4);
    setrlimit(RLIMIT_FSIZE, &wide);
    if (!directory->append({}, {})) _exit(5);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_TRUE(WIFEXITED(status));
  ASSERT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(rows_on_disk().size(), 2u);
  EXPECT_EQ(samples_on_disk().size(), 102u);
}

TEST_F(RunDirectoryTest, ASecondWriterIsRefused) {
  const RunDirectory first = open(Existing::refuse);
  const auto second = RunDirectory::create(path(), Existing::overwrite);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, Error::Kind::usage);
  EXPECT_NE(second.error().message.find("another run is writing"), std::string::npos);
}

TEST_F(RunDirectoryTest, AFileInTheWayIsAnError) {
  scratch_.write("file", "x");
  const auto directory = RunDirectory::create(scratch_.file("file"), Existing::refuse);
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().kind, Error::Kind::io);
  EXPECT_FALSE(RunDirectory::create(scratch_.file("file/below"), Existing::refuse));
}

TEST_F(RunDirectoryTest, WritesTheOtherFormats) {
  RunDirectory directory = open(Existing::refuse);
  ASSERT_TRUE(directory.append({row_of("flash")}, {}));
  ASSERT_TRUE(directory.write_extra({"csv", "json", "markdown"}));
  const auto records = records_from_json(scratch_.read(name("summary.json")), "summary.json");
  ASSERT_TRUE(records) << records.error().message;
  EXPECT_EQ(to_cells((*records)[0]), to_cells(row_of("flash")));
  EXPECT_NE(scratch_.read(name("summary.md")).find("| flash |"), std::string::npos);
  const Status xml = directory.write_extra({"xml"});
  ASSERT_FALSE(xml);
  EXPECT_EQ(xml.error().kind, Error::Kind::usage);
}

TEST_F(RunDirectoryTest, ReplacesTheManifest) {
  RunDirectory directory = open(Existing::refuse);
  Manifest manifest = manifest_of();
  ASSERT_TRUE(directory.write_manifest(manifest));
  EXPECT_FALSE(read_manifest(directory.file("manifest.json"))->complete);
  manifest.complete = true;
  ASSERT_TRUE(directory.write_manifest(manifest));
  EXPECT_TRUE(read_manifest(directory.file("manifest.json"))->complete);
}

TEST_F(RunDirectoryTest, NothingWorseTakesThePlaceOfAFinishedCase) {
  RunDirectory directory = open(Existing::refuse);
  ASSERT_TRUE(directory.append({row_of("flash")}, {}));
  ASSERT_TRUE(directory.append({row_of("flash", RowStatus::failed)}, {}));
  EXPECT_EQ(variants_in(rows_on_disk()), (std::vector<std::string>{"flash:ok", "flash:failed"}));
}

TEST_F(RunDirectoryTest, ARowWithMoreSamplesTakesThePlaceOfTheEarlierOne) {
  RunDirectory directory = open(Existing::refuse);
  Record flash = row_of("flash");
  flash.samples = 2;
  const std::vector<SampleRow> two = samples_of(flash, 2);
  ASSERT_TRUE(directory.append({flash, row_of("full", RowStatus::skipped)}, two));
  ASSERT_TRUE(directory.append({row_of("local")}, {}));
  flash.samples = 5;
  flash.time_median_s = 0.25;
  ASSERT_TRUE(directory.append({flash, row_of("full")}, samples_of(flash, 3)));
  const auto rows = rows_on_disk();
  EXPECT_EQ(variants_in(rows), (std::vector<std::string>{"flash:ok", "full:ok", "local:ok"}));
  EXPECT_EQ(rows.at(0).samples, 5);
  EXPECT_EQ(rows[0].time_median_s, 0.25);
  EXPECT_EQ(samples_on_disk().size(), 5u);
}

TEST_F(RunDirectoryTest, SamplesThatAKillKeptOutOfTheirRowAreDropped) {
  Record flash = row_of("flash");
  flash.samples = 2;
  {
    RunDirectory directory = open(Existing::refuse);
    ASSERT_TRUE(directory.write_manifest(manifest_of()));
    ASSERT_TRUE(directory.append({flash}, samples_of(flash, 2)));
    const std::string before = scratch_.read(name("summary.csv"));
    flash.samples = 6;
    ASSERT_TRUE(directory.append({flash}, samples_of(flash, 4)));
    scratch_.write(name("summary.csv"), before);  // The kill came between the two files.
  }
  EXPECT_EQ(samples_on_disk().size(), 6u);
  RunDirectory directory = open(Existing::resume);
  ASSERT_TRUE(directory.load_for_resume(kConfig, ""));
  EXPECT_EQ(rows_on_disk().at(0).samples, 2);
  EXPECT_EQ(samples_on_disk().size(), 2u);
}

}  // namespace
}  // namespace attnbench

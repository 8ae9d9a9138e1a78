#include "measure/environment.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "measure/system_files.h"

namespace attnbench::measure {
namespace {

/// A folder that stands for the root of a made-up machine.
class FakeRoot {
 public:
  FakeRoot() {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    path_ = std::filesystem::path(testing::TempDir()) /
            (std::string("attnbench_") + test->test_suite_name() + "_" + test->name());
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }
  ~FakeRoot() { std::filesystem::remove_all(path_); }
  void write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

TEST(SystemFiles, ParseLists) {
  EXPECT_EQ(count_cpu_list("0-3,8,10-11"), 7);
  EXPECT_EQ(count_cpu_list("0"), 1);
  EXPECT_EQ(count_cpu_list(""), 0);
  EXPECT_EQ(count_cpu_list("x,2"), 1);
}

TEST(SystemFiles, FindFieldsByTheirWholeKey) {
  const std::string text = "model name\t: AMD EPYC\nmodel\t\t: 17\nMemTotal:  5 kB\n";
  EXPECT_EQ(field_of(text, "model"), "17");
  EXPECT_EQ(field_of(text, "model name"), "AMD EPYC");
  EXPECT_EQ(field_of(text, "MemTotal"), "5 kB");
  EXPECT_EQ(field_of("cpu  1 2\ncpu0 3 4\n", "cpu"), "1 2");
  EXPECT_FALSE(field_of(text, "Mem").has_value());
  EXPECT_FALSE(parse_integer("max").has_value());
}

TEST(ReadMachine, ReadsAMadeUpMachine) {
  const FakeRoot root;
  root.write("proc/cpuinfo",
             "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\n"
             "model name\t: Some Xeon\nstepping\t: 8\nmicrocode\t: 0x2b\nflags\t\t: fpu avx2\n");
  root.write("proc/meminfo", "MemTotal:       1024 kB\nMemAvailable:    512 kB\n");
  root.write("proc/sys/kernel/osrelease", "6.1.0\n");
  const std::string cpu = "sys/devices/system/cpu/";
  root.write(cpu + "cpu0/topology/thread_siblings_list", "0,4\n");
  root.write(cpu + "cpu0/cpufreq/scaling_governor", "powersave\n");
  root.write(cpu + "intel_pstate/no_turbo", "1\n");
  root.write("sys/devices/system/node/online", "0-1\n");
  for (const auto& [index, level, type, size, shared] :
       {std::tuple{"index0", "1", "Data", "48K", "0,4"},
        std::tuple{"index1", "1", "Instruction", "32K", "0,4"},
        std::tuple{"index3", "3", "Unified", "30M", "0-7"},
        std::tuple{"index2", "2", "Unified", "2048K", "0,4"}}) {
    const std::string directory = cpu + "cpu0/cache/" + index + "/";
    root.write(directory + "level", level);
    root.write(directory + "type", type);
    root.write(directory + "size", size);
    root.write(directory + "shared_cpu_list", shared);
  }
  const Machine machine = read_machine(root.path());
  EXPECT_EQ(machine.cpu_model, "Some Xeon");
  EXPECT_EQ(machine.vendor, "GenuineIntel");
  EXPECT_EQ(machine.family, 6);
  EXPECT_EQ(machine.model, 143);
  EXPECT_EQ(machine.stepping, 8);
  EXPECT_EQ(machine.microcode, "0x2b");
  EXPECT_TRUE(machine.smt);
  EXPECT_EQ(machine.numa_nodes, 2);
  EXPECT_EQ(machine.memory_bytes, 1024 * 1024);
  EXPECT_EQ(machine.governor, "powersave");
  EXPECT_EQ(machine.turbo, "off");
  EXPECT_EQ(machine.kernel, "6.1.0");
  EXPECT_EQ(machine.virtualised, false);
  ASSERT_EQ(machine.caches.size(), 3U);
  EXPECT_EQ(machine.caches[0].bytes, 48 * 1024);
  EXPECT_EQ(machine.caches[1].level, 2);
  EXPECT_EQ(machine.caches[2].bytes, 30 << 20);
  EXPECT_EQ(machine.caches[2].shared_by, 8);
}

TEST(ReadMachine, MakesNothingUp) {
  const FakeRoot root;
  const Machine machine = read_machine(root.path());
  EXPECT_EQ(machine.cpu_model, "");
  EXPECT_FALSE(machine.family.has_value());
  EXPECT_FALSE(machine.virtualised.has_value());
  EXPECT_EQ(machine.turbo, "");
  EXPECT_EQ(machine.governor, "");
  EXPECT_TRUE(machine.caches.empty());
  EXPECT_EQ(machine.memory_bytes, 0);
  EXPECT_EQ(available_memory_bytes(root.path()), 0);
}

TEST(ReadMachine, KnowsThisMachine) {
  const Machine machine = read_machine();
  EXPECT_GE(machine.cores, 1);
  EXPECT_GT(machine.memory_bytes, 0);
  EXPECT_FALSE(machine.kernel.empty());
  EXPECT_GT(available_memory_bytes(), 0);
}

TEST(AvailableMemory, IsLimitedByACgroupV2AboveTheProcess) {
  const FakeRoot root;
  root.write("proc/meminfo", "MemAvailable:    1000000 kB\n");
  root.write("proc/self/cgroup", "0::/a/b\n");
  EXPECT_EQ(available_memory_bytes(root.path()), 1000000 * 1024LL);
  root.write("sys/fs/cgroup/a/b/memory.max", "max\n");
  root.write("sys/fs/cgroup/a/b/memory.current", "5\n");
  EXPECT_EQ(available_memory_bytes(root.path()), 1000000 * 1024LL);
  root.write("sys/fs/cgroup/a/memory.max", "1000\n");
  root.write("sys/fs/cgroup/a/memory.current", "700\n");
  root.write("sys/fs/cgroup/a/memory.stat", "anon 500\ninactive_file 200\n");
  EXPECT_EQ(available_memory_bytes(root.path()), 500);
}

TEST(AvailableMemory, IsLimitedByACgroupV1) {
  const FakeRoot root;
  root.write("proc/meminfo", "MemAvailable:    1000000 kB\n");
  root.write("proc/self/cgroup", "5:cpu,memory:/x\n4:cpuset:/\n");
  root.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  root.write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1\n");
  EXPECT_EQ(available_memory_bytes(root.path()), 1000000 * 1024LL);
  root.write("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "4096\n");
  root.write("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "5000\n");
  EXPECT_EQ(available_memory_bytes(root.path()), 0);
}

TEST(Noise, SaysWhatOthersDid) {
  NoiseSnapshot before, after;
  before.load_1min = 1.5;
  after.wall_s = 10;
  after.busy_s = 12;
  after.own_cpu_s = 8;
  after.steal_s = 1;
  after.involuntary_switches = 50;
  const NoiseFigures noise = noise_between(before, after, 2);
  EXPECT_DOUBLE_EQ(noise.wall_s, 10);
  EXPECT_DOUBLE_EQ(noise.load_1min, 1.5);
  EXPECT_DOUBLE_EQ(noise.other_cpu_fraction, 0.2);
  EXPECT_DOUBLE_EQ(noise.steal_fraction, 0.05);
  EXPECT_DOUBLE_EQ(noise.involuntary_switches_per_s, 5);
  EXPECT_DOUBLE_EQ(noise_between(after, after, 2).other_cpu_fraction, 0);
}

TEST(Noise, OfThisMachineCanBeRead) {
  const NoiseSnapshot shot = noise_snapshot();
  EXPECT_GT(shot.wall_s, 0);
  EXPECT_GT(shot.own_cpu_s, 0);
}

TEST(DoubtfulCircumstances, AreNamedOneByOne) {
  Machine quiet;
  quiet.cores = 4;
  EXPECT_TRUE(doubtful_circumstances(quiet, {}).empty());
  Machine machine = quiet;
  machine.governor = "powersave";
  machine.turbo = "on";
  machine.smt = true;
  machine.virtualised = true;
  NoiseFigures noise;
  noise.load_1min = 3;
  noise.steal_fraction = 0.05;
  noise.other_cpu_fraction = 0.2;
  noise.involuntary_switches_per_s = 1000;
  EXPECT_EQ(doubtful_circumstances(machine, noise).size(), 8U);
  machine.governor = "performance";
  EXPECT_EQ(doubtful_circumstances(machine, noise).size(), 7U);
}

}  // namespace
}  // namespace attnbench::measure

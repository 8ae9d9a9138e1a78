// Holds src/ and variants/ to the table of rooms in docs/design.md.
#include "rooms/room_rules.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace attnbench::test {
namespace {

namespace fs = std::filesystem;

std::string read_text(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

std::vector<fs::path> sources() {
  std::vector<fs::path> found;
  for (const char* folder : {"src", "variants"}) {
    for (const auto& entry :
         fs::recursive_directory_iterator(fs::path(ATTNBENCH_SOURCE_DIR) / folder)) {
      const std::string extension = entry.path().extension().string();
      if (extension == ".h" || extension == ".cpp" || extension == ".inc") {
        found.push_back(entry.path());
      }
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

TEST(Rooms, EverySourceKeepsTheRules) {
  const std::vector<fs::path> files = sources();
  ASSERT_GT(files.size(), 20U) << "looked in " << ATTNBENCH_SOURCE_DIR;
  for (const fs::path& file : files) {
    const std::string path = fs::relative(file, ATTNBENCH_SOURCE_DIR).generic_string();
    for (const Violation& violation : check_source(room_of(path), read_text(file))) {
      ADD_FAILURE() << path << ":" << violation.line << ": " << violation.what;
    }
  }
}

TEST(Rooms, HeadersStartWithPragmaOnce) {
  for (const fs::path& file : sources()) {
    const std::string name = file.filename().string();
    // Highway compiles -inl.h files once per target; they carry its own guard.
    if (file.extension() != ".h" || name.ends_with("-inl.h")) continue;
    EXPECT_NE(read_text(file).find("#pragma once"), std::string::npos) << file;
  }
}

bool says_no(const std::string& room, const std::string& text) {
  return !check_source(room, text).empty();
}

TEST(RoomRules, RoomsOfPaths) {
  EXPECT_EQ(room_of("src/kernels/arena.h"), "kernels");
  EXPECT_EQ(room_of("variants/full.cpp"), "variants");
  EXPECT_EQ(room_of("src/main.cpp"), "main");
  EXPECT_EQ(room_of("src/stray.cpp"), "");
}

TEST(RoomRules, RefuseForbiddenIncludes) {
  EXPECT_TRUE(says_no("attention", "#include \"kernels/arena.h\"\n"));
  EXPECT_TRUE(says_no("kernels", "#include \"run/runner.h\"\n"));
  EXPECT_TRUE(says_no("variants", "  #  include \"measure/sampler.h\"\n"));
  EXPECT_TRUE(says_no("measure", "#include \"attention/problem.h\"\n"));
  EXPECT_TRUE(says_no("analyse", "#include \"measure/clock.h\"\n"));
  EXPECT_TRUE(says_no("record", "#include \"cli/app.h\"\n"));
  EXPECT_TRUE(says_no("main", "#include \"attention/registry.h\"\n"));
  EXPECT_TRUE(says_no("attention", "#include \"problem.h\"\n"));
  EXPECT_TRUE(says_no("attention", "#include \"../kernels/arena.h\"\n"));
  EXPECT_TRUE(says_no("attic", ""));
}

TEST(RoomRules, AcceptAllowedIncludes) {
  EXPECT_FALSE(says_no("kernels", "#include \"attention/tensor.h\"\n#include \"kernels/isa.h\"\n"));
  EXPECT_FALSE(says_no("kernels", "#include \"hwy/foreach_target.h\"\n#include <vector>\n"));
  EXPECT_FALSE(says_no("cli", "#include \"version.inc\"\n#include <CLI/CLI.hpp>\n"));
  EXPECT_FALSE(says_no("attention", "// #include \"kernels/arena.h\"\n"));
  EXPECT_FALSE(says_no("attention", "/*\n#include \"kernels/arena.h\"\n*/\n"));
}

TEST(RoomRules, RefusePrintingExitsAndTheEnvironment) {
  EXPECT_TRUE(says_no("run", "void f() { std::cout << 1; }\n"));
  EXPECT_TRUE(says_no("run", "#include <iostream>\n"));
  EXPECT_TRUE(says_no("run", "  printf(\"%d\", 1);\n"));
  EXPECT_TRUE(says_no("run", "std::fprintf(stderr, \"x\");\n"));
  EXPECT_TRUE(says_no("run", "fmt::print(\"x\");\n"));
  EXPECT_TRUE(says_no("kernels", "if (bad) std::abort();\n"));
  EXPECT_TRUE(says_no("kernels", "exit(1);\n"));
  EXPECT_TRUE(says_no("measure", "const char* home = std::getenv(\"HOME\");\n"));
  EXPECT_TRUE(says_no("plan", "#include <CLI/CLI.hpp>\n"));
}

TEST(RoomRules, AcceptWhatOnlyLooksLikeIt) {
  EXPECT_FALSE(says_no("run", "// printf(x) and exit(1) in a comment\n"));
  EXPECT_FALSE(says_no("run", "const char* text = \"std::cout, exit(1)\";\n"));
  EXPECT_FALSE(says_no("run", "auto t = R\"(exit(1); \"getenv\")\"; int n = 1'000;\n"));
  EXPECT_FALSE(says_no("run", "std::snprintf(buffer, size, \"%d\", 1);\n"));
  EXPECT_FALSE(says_no("run", "loop.exit(1); on_exit(1); arena->abort();\n"));
  EXPECT_FALSE(says_no("cli", "std::cout << std::getenv(\"HOME\");\n"));
}

TEST(RoomRules, CommentsAndLiteralsAreBlankedInPlace) {
  EXPECT_EQ(blank_comments("a // b\nc /* d\ne */ f", true), "a     \nc     \n     f");
  EXPECT_EQ(blank_comments("x = \"a\\\"b\" + 'c';", false), "x =        +    ;");
  EXPECT_EQ(blank_comments("x = \"// no\"; // yes", true), "x = \"// no\";       ");
}

}  // namespace
}  // namespace attnbench::test

# Writes OUTPUT with the version facts of this build, touching it only when they change.
find_program(GIT git)
set(git_revision "")
if(GIT)
  execute_process(COMMAND ${GIT} -C ${SOURCE_DIR} describe --always --dirty
    OUTPUT_VARIABLE git_revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT [[
#define ATTNBENCH_VERSION "@VERSION@"
#define ATTNBENCH_GIT "@git_revision@"
#define ATTNBENCH_COMPILER "@COMPILER@"
#define ATTNBENCH_FLAGS "@FLAGS@"
]] @ONLY)

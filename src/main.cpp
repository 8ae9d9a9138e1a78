#include "cli/app.h"

int main(int argc, char** argv) { return attnbench::cli::run_main(argc, argv); }

// cogwork's guardian: see guardian.h. Standard input is the pipe from its engine, descriptor 3 the list of programs; the argument
// is the grace in milliseconds.
#include <unistd.h>

#include <cstdlib>

#include "cogwork/cogs/guardian_list.h"

int main(int argc, char** argv) { return cogwork::guard(STDIN_FILENO, 3, argc > 1 ? std::atoi(argv[1]) : 2000); }

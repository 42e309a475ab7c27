// A process Cog that does nothing, for process_bench: what is measured is the way to it and back.
#include <cogwork/serve.h>

int main() {
  cogwork::Program program("1");
  program.cog("nothing", [](cogwork::Call&) { return cogwork::success(); }).arg("host", cogwork::Kind::TEXT).idempotent();
  return program.serve();
}

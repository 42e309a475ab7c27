// The Cogs of tests/python/test_serve_alike.py in C++; in Python they are tests/python/alike_program.py.
#include <cogwork/serve.h>

#include <string_view>

using cogwork::Call;
using cogwork::Value;

int main(int argc, char** argv) {
  cogwork::Program program;
  program
      .cog("facts",
           [](Call& call) {
             Value::Map outputs;
             for (const auto& [name, value] : call.outputs) outputs.emplace_back(name, value);
             return cogwork::success(Value::Map{{"job", call.job},
                                                {"labor", call.labor},
                                                {"labor_name", call.labor_name},
                                                {"job_name", call.job_name},
                                                {"target", call.target},
                                                {"attempt", call.attempt},
                                                {"check", call.check},
                                                {"real_user", call.real_user},
                                                {"timeout", call.timeout},
                                                {"outputs", outputs}});
           })
      .concurrency(1);
  if (argc < 2 || argv[1] != std::string_view("--only")) {
    program.cog("is_check", [](Call& call) { return cogwork::success(call.check); });
    program.cog("waits", [](Call& call) {
      call.log("waiting");
      return cogwork::success(call.sleep(60) ? "not asked" : "asked to end");
    });
  }
  return program.serve();
}
